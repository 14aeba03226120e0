"""Version 2: the table alerts, what `sidelog alerts run` remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.clickhouse.layout import TableLayout

_ALERTS = """\
    `name` String,
    `kind` String,
    `key` String,
    `document` String,
    `ver` UInt64"""


def statements(layout: TableLayout) -> Iterator[str]:
    """What makes the table, if it is not there."""
    yield from layout.table("alerts", _ALERTS, "(name, kind, key)", shard="name")
