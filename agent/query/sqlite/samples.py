"""Events that show what an error group is: the first, the latest, some between, and what else happened in its trace.

They are found by the minutes in which the group had events (`group_minutes`) and by the index of errors by time, which
holds their groups: whether a group has one event or a million, some twenty seeks. An index by group would find them
too, and cost every error 2 µs when it is written.
"""

# ruff: noqa: S608 - statements are built from this package's own words; every value is bound

from __future__ import annotations

import heapq
import json
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from agent.core.units import SECOND_NS
from agent.query.events import COLUMNS, Files, StoredEvent, time_order
from agent.query.language import all_equal
from agent.query.selection import Selection
from agent.query.sqlite.scan import Scan

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Iterator

SAMPLES = 5
TRACE_EVENTS = 10
_MINUTE_NS = 60 * SECOND_NS
_TRACE_BEFORE_NS = 15 * 60 * SECOND_NS  # how far around an event its trace is looked for …
_TRACE_AFTER_NS = 60 * SECOND_NS
_TRACE_ROWS = 50_000  # … and how many events on either side: 50 ms

_OLDEST = (
    "SELECT timestamp FROM events INDEXED BY errors_by_time WHERE severity_number >= 17 ORDER BY timestamp LIMIT 1"
)
_NEWEST = (
    "SELECT timestamp, id FROM events INDEXED BY errors_by_time WHERE severity_number >= 17 AND group_id = ?"
    " ORDER BY timestamp DESC, id DESC LIMIT ?"
)
_IN_MINUTE = (
    "SELECT timestamp, id FROM events INDEXED BY errors_by_time"
    " WHERE severity_number >= 17 AND group_id = ? AND timestamp >= ? AND timestamp < ?"
    " ORDER BY timestamp {order}, id {order} LIMIT ?"
)

_Key = tuple[int, int]  # timestamp, id


class Elsewhere(Protocol):
    """Where events of the group are that have left the store."""

    def events(self, start: int | None, *, descending: bool) -> Generator[StoredEvent]:
        """Those not earlier than `start` (Unix ns), in the order of time or against it; their ids are negative."""


def group_samples(connection: sqlite3.Connection, group: int, elsewhere: Elsewhere | None = None) -> list[StoredEvent]:
    """At most SAMPLES events of a group, newest first: the latest, some evenly spread in time, the first.

    Args:
        connection: read-only.
        group: its id.
        elsewhere: its events that are not in the store, if they are to be looked for.
    """
    others: dict[int, StoredEvent] = {}

    def noted(event: StoredEvent) -> _Key:
        others[event.id] = event
        return event.timestamp, event.id

    def keys(count: int, start: int | None = None, *, descending: bool = False) -> list[_Key]:
        stored = _keys(connection, group, start, descending=descending)
        if elsewhere is None:
            return list(islice(stored, count))
        with closing(elsewhere.events(start, descending=descending)) as found:
            merged = heapq.merge(stored, map(noted, found), key=lambda key: time_order(*key), reverse=descending)
            return list(islice(merged, count))

    newest = keys(SAMPLES, descending=True)
    if len(newest) == SAMPLES:
        latest, first = newest[0], keys(1)[0]
        step = (latest[0] - first[0]) // (SAMPLES - 1)
        starts = [first[0] + step * number for number in range(1, SAMPLES - 1)]
        between = [(keys(1, start) or [latest])[0] for start in starts]
        # Where there are bursts some are the same event: the newest take their places.
        newest = list(dict.fromkeys([latest, first, *between, *newest]))[:SAMPLES]
    elif not newest:  # a repaired store may have lost the minutes
        newest = connection.execute(_NEWEST, (group, SAMPLES)).fetchall()
    ids = json.dumps([number for _, number in newest if number >= 0])
    files = Files(connection)
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM json_each(?) j JOIN events e ON e.id = j.value", (ids,)
    ).fetchall()
    found = [StoredEvent(row, files[row[4]]) for row in rows] + [others[number] for _, number in newest if number < 0]
    return sorted(found, key=lambda event: time_order(event.timestamp, event.id), reverse=True)


def trace_selection(connection: sqlite3.Connection, event: StoredEvent) -> Selection | None:
    """What to ask for to see the events with an event's trace id; None where it has no such id.

    They are looked for in the quarter of an hour before it and the minute after it, and there among the nearest 50,000
    stored events on either side: nothing indexes trace ids.
    """
    if event.trace_id is None:
        return None
    key = (event.timestamp, event.id)
    since, until = event.timestamp - _TRACE_BEFORE_NS, event.timestamp + _TRACE_AFTER_NS
    scan = Scan(connection, Selection(all_equal("trace_id", [event.trace_id]), since, until))
    if (low := scan.slice_end(key, _TRACE_ROWS, descending=True)) is not None:
        since = low[0]
    if (high := scan.slice_end(key, _TRACE_ROWS)) is not None:
        until = high[0] + 1
    return Selection(scan.selection.query, since, until)


def trace_events(connection: sqlite3.Connection, event: StoredEvent) -> list[StoredEvent]:
    """The last TRACE_EVENTS stored events with an event's trace id, oldest first."""
    selection = trace_selection(connection, event)
    return [] if selection is None else list(Scan(connection, selection).events(TRACE_EVENTS))


def _keys(
    connection: sqlite3.Connection, group: int, start: int | None = None, *, descending: bool = False
) -> Iterator[_Key]:
    """Timestamp and id of a group's stored events in the order of time, or against it.

    Args:
        connection: read-only.
        group: its id.
        start: Unix ns; only those that are not earlier.
        descending: the newest first.
    """
    (oldest,) = connection.execute(_OLDEST).fetchone() or (0,)
    start = oldest if start is None else max(start, oldest)
    order = "DESC" if descending else "ASC"
    in_minute = _IN_MINUTE.format(order=order)
    for (minute,) in connection.execute(
        f"SELECT minute FROM group_minutes WHERE group_id = ? AND minute >= ? ORDER BY minute {order}",
        (group, start // _MINUTE_NS),
    ):
        begin, end = max(start, minute * _MINUTE_NS), (minute + 1) * _MINUTE_NS
        yield from connection.execute(in_minute, (group, begin, end, SAMPLES)).fetchall()
