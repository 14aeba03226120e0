"""The events of an error group, by the minutes in which it had some (`group_minutes`) and the index of errors by time,
which holds their groups: whether a group has one event or a million, a few seeks for each that is asked for. An index
by group would find them too, and cost every error 2 µs when it is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.core.times import MINUTE_NS
from agent.store.events import Files, load_events

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Iterator

    from agent.core.stored import StoredEvent

_EVENTS_OF_A_MINUTE = 5  # that are read at a time; who asks for samples takes no more

_OLDEST = (
    "SELECT timestamp FROM events INDEXED BY errors_by_time WHERE severity_number >= 17 ORDER BY timestamp LIMIT 1"
)
_NEWEST = (
    "SELECT id FROM events INDEXED BY errors_by_time WHERE severity_number >= 17 AND group_id = ?"
    " ORDER BY timestamp DESC, id DESC LIMIT ?"
)
IN_MINUTE = (
    "SELECT id FROM events INDEXED BY errors_by_time"
    " WHERE severity_number >= 17 AND group_id = ? AND timestamp >= ? AND timestamp < ?"
    " ORDER BY timestamp {order}, id {order} LIMIT ?"
)


def group_events(
    connection: sqlite3.Connection, group: int, start: int | None, *, descending: bool
) -> Generator[StoredEvent]:
    """The first few events of each minute of a group, in the order of (timestamp, id) or against it.

    Args:
        connection: read-only.
        group: its id.
        start: Unix ns; only those that are not earlier.
        descending: the newest first.
    """
    files = Files(connection)
    found = False
    for ids in _by_minute(connection, group, start, descending=descending):
        events = load_events(connection, ids, files)
        found = found or bool(events)
        yield from events
    if start is None and descending and not found and _has_lost_minutes(connection, group):
        ids = [row[0] for row in connection.execute(_NEWEST, (group, _EVENTS_OF_A_MINUTE)).fetchall()]
        yield from load_events(connection, ids, files)


def _by_minute(
    connection: sqlite3.Connection, group: int, start: int | None, *, descending: bool
) -> Iterator[list[int]]:
    (oldest,) = connection.execute(_OLDEST).fetchone() or (0,)
    start = oldest if start is None else max(start, oldest)
    order = "DESC" if descending else "ASC"
    in_minute = IN_MINUTE.format(order=order)
    for (minute,) in connection.execute(
        f"SELECT minute FROM group_minutes WHERE group_id = ? AND minute >= ? ORDER BY minute {order}",  # noqa: S608 - names of the schema; values are bound
        (group, start // MINUTE_NS),
    ):
        span = max(start, minute * MINUTE_NS), (minute + 1) * MINUTE_NS
        yield [row[0] for row in connection.execute(in_minute, (group, *span, _EVENTS_OF_A_MINUTE)).fetchall()]


def _has_lost_minutes(connection: sqlite3.Connection, group: int) -> bool:
    """Whether the store should still have events of a group: one that was repaired may have lost the minutes. To look
    for them without is to walk over all errors.
    """
    (oldest,) = connection.execute(_OLDEST).fetchone() or (None,)
    row = connection.execute("SELECT last_seen FROM error_groups WHERE id = ?", (group,)).fetchone()
    return row is not None and oldest is not None and row[0] >= oldest
