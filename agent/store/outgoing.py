"""Reading what is to be forwarded: events in the order of storage, those that have grown, and what belongs to them."""

# ruff: noqa: S608 - statements are built from this package's own words; every value is bound

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.event import EventRow
from agent.core.stored import StoredEvent
from agent.store.reader import highest_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from agent.core.stored import FileInfo

Row = tuple[Any, ...]  # in the order of EventRow, but the record in bytes, which is what is sent
_RECORD, FILE_ID = EventRow._fields.index("record"), EventRow._fields.index("file_id")
COLUMNS = ", ".join(f"CAST(e.{name} AS BLOB)" if name == "record" else f'e."{name}"' for name in EventRow._fields)
_GROUP_COLUMNS = (
    "id, fingerprint, fingerprint_version, title, coalesce(culprit, ''), coalesce(exception_type, ''),"
    " severity_number, category, coalesce(service, ''), state, state_changed, first_seen, last_seen, count,"
    " coalesce(ignored_until, 0), coalesce(ignored_until_count, 0)"
)


def stored_event(row: Row, file: FileInfo) -> StoredEvent:
    """The event of a row, with its file."""
    return StoredEvent((*row[:_RECORD], row[_RECORD].decode(), *row[_RECORD + 1 :]), file)


def events_after(connection: sqlite3.Connection, after: int, end: int, most: int) -> list[Row]:
    """The next events by id: behind `after`, up to and with `end`, `most` of them at the most."""
    return connection.execute(
        f"SELECT {COLUMNS} FROM events e WHERE e.id > ? AND e.id <= ? ORDER BY e.id LIMIT ?", (after, end, most)
    ).fetchall()


def events_of(connection: sqlite3.Connection, ids: Iterable[int]) -> list[Row]:
    """The events with these ids that are there, by id."""
    return connection.execute(
        f"SELECT {COLUMNS} FROM json_each(?) j JOIN events e ON e.id = j.value ORDER BY e.id", (_listed(ids),)
    ).fetchall()


def instants_after(connection: sqlite3.Connection, after: int, last: int) -> list[tuple[int, int]]:
    """Id and instant (Unix ns) of the events in a span of ids, by id."""
    return connection.execute(
        "SELECT id, timestamp FROM events WHERE id > ? AND id <= ? ORDER BY id", (after, last)
    ).fetchall()


def timestamp_of(connection: sqlite3.Connection, event: int) -> int:
    """When an event happened (Unix ns); 0 where it is gone."""
    row = connection.execute("SELECT timestamp FROM events WHERE id = ?", (event,)).fetchone()
    return 0 if row is None else int(row[0])


def settled_id(connection: sqlite3.Connection, since: int, until: int) -> int:
    """The highest id such that no event up to it may grow: none of those that are the last of their file, and were
    stored in this span (Unix ns).
    """
    row = connection.execute(
        "SELECT min(e.id) FROM files f JOIN events e ON e.id = f.tail_event_id"
        " WHERE f.tail_event_id IS NOT NULL AND e.observed_timestamp BETWEEN ? AND ?",
        (since, until),
    ).fetchone()
    return highest_id(connection) if row[0] is None else int(row[0]) - 1


def last_change(connection: sqlite3.Connection, after: int, most: int) -> int | None:
    """The last of the next changes, `most` of them at the most; None: there is none."""
    row = connection.execute(
        "SELECT max(id) FROM (SELECT id FROM forward_changes WHERE id > ? ORDER BY id LIMIT ?)", (after, most)
    ).fetchone()
    return None if row[0] is None else int(row[0])


def changed_events(connection: sqlite3.Connection, after: int, end: int, position: int) -> dict[int, int]:
    """Of events up to a position that have changed, the last change of each in a span of changes."""
    rows = connection.execute(
        "SELECT event_id, max(id) FROM forward_changes WHERE id > ? AND id <= ? AND event_id <= ? GROUP BY event_id",
        (after, end, position),
    )
    return dict(rows.fetchall())


def file_rows(connection: sqlite3.Connection, ids: Iterable[int]) -> list[tuple[int, str, str, str, str]]:
    """Id, source, path, resource and profile of files, as they are stored."""
    return connection.execute(
        "SELECT id, source, path, resource, coalesce(profile, '') FROM files"
        " WHERE id IN (SELECT value FROM json_each(?))",
        (_listed(ids),),
    ).fetchall()


def fingerprints(connection: sqlite3.Connection, ids: Iterable[int]) -> list[tuple[int, str, int]]:
    """Id, fingerprint and its version of error groups."""
    return connection.execute(
        "SELECT id, fingerprint, fingerprint_version FROM error_groups WHERE id IN (SELECT value FROM json_each(?))",
        (_listed(ids),),
    ).fetchall()


def group_rows(connection: sqlite3.Connection) -> list[tuple[str | int, ...]]:
    """All error groups, in the order of the columns of ClickHouse's table, from `id` on."""
    return connection.execute(f"SELECT {_GROUP_COLUMNS} FROM error_groups").fetchall()


def _listed(ids: Iterable[int]) -> str:
    return msgspec.json.encode(list(ids)).decode()
