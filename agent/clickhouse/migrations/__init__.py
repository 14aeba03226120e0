"""The steps by which a ClickHouse gets its tables. Each version has a numbered module, frozen as soon as it has landed;
what is to be otherwise is a new number at the end of `STEPS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.clickhouse.migrations import v001_tables, v002_alerts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.clickhouse.layout import TableLayout

STEPS: tuple[Callable[[TableLayout], Iterator[str]], ...] = (v001_tables.statements, v002_alerts.statements)
VERSION = len(STEPS)
