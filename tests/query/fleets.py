"""Fills a ClickHouse from a store, row by row and by the plainest means: what forwarding has to have done."""

from __future__ import annotations

import sqlite3
from base64 import b64encode
from contextlib import closing
from typing import TYPE_CHECKING, Any

from agent.clickhouse import columns
from agent.clickhouse.client import ClickHouseClient
from agent.core.event import event_row
from agent.core.stored import StoredEvent
from agent.store.events import EVENT_COLUMNS, Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from agent.clickhouse.address import ClickHouseAddress

AGENT = "a" * 32
_ESCAPES = {b"\\": b"\\\\", b"\t": b"\\t", b"\n": b"\\n", b"\r": b"\\r", b"\0": b"\\0"}


def cell(value: Any) -> bytes:
    """A value as TabSeparated has it."""
    data = value if isinstance(value, bytes) else str("" if value is None else value).encode("utf-8", "surrogatepass")
    for plain, escaped in _ESCAPES.items():
        data = data.replace(plain, escaped)
    return data


def raw_cell(raw: Any) -> bytes:
    if raw is None:
        return b""
    if isinstance(raw, bytes):
        return b"b" + b64encode(raw)
    return b"i%d" % raw if isinstance(raw, int) else b"t" + raw.encode("utf-8", "surrogatepass")


def event_values(event: StoredEvent, agent: str, resource: str, profile: str | None, group: int) -> tuple[Any, ...]:
    """An event in the order of `columns.EVENTS`."""
    return (
        *(agent, event.id, 0, 0, event.timestamp, event.observed_timestamp, event.severity_number, event.source),
        *(event.path, event.offset, event.service or "", event.logger or "", event.body, event.trace_id or ""),
        *(event.span_id or "", group, event.record, raw_cell(event.raw), event.parse_error or "", resource),
        profile or "",
    )


def insert(address: ClickHouseAddress, table: str, rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows in the order of the table's columns."""
    body = b"".join(b"\t".join(map(cell, row)) + b"\n" for row in rows)
    with closing(ClickHouseClient(address)) as client:
        if body:
            client.insert(table, columns.names(columns.TABLES[table]), body, form="TabSeparated")


def fill(
    address: ClickHouseAddress,
    store: Path,
    agent: str = AGENT,
    *,
    after: int = 0,
    number: Callable[[int], int] = lambda local: local,
    version: int = 1,
) -> int:
    """Send what a store has behind an id, and all of its groups; the last id.

    Args:
        address: where to.
        store: the file.
        agent: whose it is.
        after: the last id that is there already.
        number: of a group in the fleet, by that in the store.
        version: of the groups.
    """
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        files = Files(connection)
        kinds = {row[0]: row[1:] for row in connection.execute("SELECT id, resource, profile FROM files")}
        found = connection.execute(f"SELECT {EVENT_COLUMNS} FROM events e WHERE id > ? ORDER BY id", (after,))
        events = [StoredEvent(event_row(row), files[event_row(row).file_id]) for row in found]
        insert(
            address,
            "events",
            (
                event_values(event, agent, *kinds[event.file.id], number(event.group) if event.group else 0)
                for event in events
            ),
        )
        names = (
            "id, fingerprint, fingerprint_version, title, culprit, exception_type, severity_number, category, service,"
            " state, state_changed, first_seen, last_seen, count, ignored_until, ignored_until_count"
        )
        groups = connection.execute(f"SELECT {names} FROM error_groups").fetchall()
        insert(
            address,
            "groups",
            ((agent, number(row[0]), *row[:-2], *(value or 0 for value in row[-2:]), version) for row in groups),
        )
        last = max((event.id for event in events), default=after)
        insert(address, "agents", [(agent, "web1", "1.0", 1, version, last, 0, version)])
        return last
