"""What is to be sent next: committed events in the order of storage, and those that have grown since they were sent.

The newest event of a file may grow with the next line; it is waited for, but not longer than its lines may take. Should
it grow after all, the store notes that, and it is sent again with a higher version. Everything of one batch is read in
one transaction: what it says of changes is true of the events that it has.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from agent.core.event import EventRow
from agent.forward.passed import filter_of
from agent.forward.rows import EncodedPart, EventEncoder
from agent.store import forwarding, outgoing
from agent.store.events import Categories
from agent.store.reader import one_moment

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from agent.core.stored import StoredEvent
    from agent.query.language import Query
    from agent.store.outgoing import Row

CHUNK_ROWS = 2_048  # so many are read and encoded at once
_SCANNED = 10  # times as many events as a batch has are looked at, for those that a filter lets through
_RECORD = EventRow._fields.index("record")
_OBSERVED = EventRow._fields.index("observed_timestamp")
_TOKEN_BYTES = 16


class Batch(NamedTuple):
    """What is to be sent."""

    pending: forwarding.Pending
    ids: list[int]
    parts: list[EncodedPart]  # for a ClickHouse
    events: list[StoredEvent]  # for others
    waited_s: float  # by the oldest of it
    is_full: bool


class BatchLimits(NamedTuple):
    """How large a batch may be."""

    events: int
    bytes: int


class BatchReader:
    """Reads for one target. Used from one thread.

    Args:
        connection: read-only.
        agent: the agent's id.
        tail_wait_s: how long the newest event of a file is waited for.
        encoded: whether rows for a ClickHouse are wanted, or events.
    """

    def __init__(self, connection: sqlite3.Connection, agent: str, tail_wait_s: float, *, encoded: bool) -> None:
        self._connection = connection
        self.agent = agent
        self._tail_wait_ns = int(tail_wait_s * 1e9)
        self._encoded = encoded
        self.encoder = EventEncoder(connection, agent)
        self._categories = Categories(connection)

    def again(self, pending: forwarding.Pending, position: int) -> Batch:
        """What was pending when whoever sent it ended: the same events in the same form, if they have not grown."""
        with one_moment(self._connection):
            self._categories.read_again(self._connection)
            if pending.kind == "changes":
                return self._changes(pending, position)
            limits = BatchLimits(pending.end - pending.start, 1 << 62)
            return self._events(pending, limits, pending.end)

    def next(self, target: forwarding.Target, match: str, limits: BatchLimits) -> Batch | None:
        """What comes next; None: nothing.

        Args:
            target: as it is now, with nothing pending.
            match: its filter.
            limits: of a batch.
        """
        with one_moment(self._connection):
            self._categories.read_again(self._connection)
            changes = outgoing.last_change(self._connection, target.changed, limits.events)
            if changes is not None:
                pending = self._pending("changes", target.changed, changes, match)
                return self._changes(pending, target.position)
            end = self.settled()
            if end <= target.position:
                return None
            return self._events(self._pending("events", target.position, end, match), limits, end)

    def _pending(self, kind: str, start: int, end: int, match: str) -> forwarding.Pending:
        return forwarding.Pending(kind, start, end, os.urandom(_TOKEN_BYTES).hex(), match, self.agent)

    def settled(self) -> int:
        """The highest id up to which no event is to be waited for."""
        now = time.time_ns()
        return outgoing.settled_id(self._connection, now - self._tail_wait_ns, now + self._tail_wait_ns)

    # ------------------------------------------------------------ events

    def _events(self, pending: forwarding.Pending, limits: BatchLimits, end: int) -> Batch:
        reached = _Reached(pending.start)
        chunks = self._chunks(pending, limits, end, reached)
        parts, events = self._made(chunks, {}, frozenset())
        ids = [one for part in parts for one in part.ids] or [event.id for event in events]
        last = max(reached.last, end if reached.exhausted else 0)
        done = msgspec.structs.replace(pending, end=last)
        waited_s = (time.time_ns() - reached.oldest) / 1e9 if reached.oldest else 0.0
        return Batch(done, ids, parts, events, waited_s, not reached.exhausted)

    def _chunks(
        self, pending: forwarding.Pending, limits: BatchLimits, end: int, reached: _Reached
    ) -> Iterator[Sequence[Row]]:
        """Events after the start, up to a limit, that the filter lets through."""
        query = filter_of(pending.match)
        rows_left, bytes_left, scans_left = limits.events, limits.bytes, limits.events * _SCANNED
        average = 1
        while rows_left > 0 and bytes_left > 0 and scans_left > 0:
            wanted = min(CHUNK_ROWS, rows_left if query is None else CHUNK_ROWS, max(1, bytes_left // average))
            rows = outgoing.events_after(self._connection, reached.last, end, wanted)
            if rows:
                reached.oldest = reached.oldest or rows[0][_OBSERVED]
                reached.last = rows[-1][0]
                size = sum(map(len, [row[_RECORD] for row in rows]))
                average = max(1, size // len(rows))
                scans_left -= len(rows)
            exhausted = len(rows) < wanted
            if query is not None:
                rows = self._matching(rows, query)
                size = sum(map(len, [row[_RECORD] for row in rows]))
            if rows:
                rows_left -= len(rows)
                bytes_left -= size
                yield rows
            if exhausted:
                reached.exhausted = True
                return

    def _matching(self, rows: Sequence[Row], query: Query) -> list[Row]:
        events = self._stored(rows)
        return [row for row, event in zip(rows, events, strict=True) if query.matches(event, self._categories)]

    def _stored(self, rows: Sequence[Row]) -> list[StoredEvent]:
        files = self.encoder.files({row[outgoing.FILE_ID] for row in rows})
        return [outgoing.stored_event(row, files[row[outgoing.FILE_ID]]) for row in rows]

    def only(self, ids: Sequence[int], pending: forwarding.Pending, position: int) -> list[EncodedPart]:
        """Rows of some of the events of a batch, encoded."""
        with one_moment(self._connection):
            versions = {} if pending.kind == "events" else self._versions(pending, position)
            rows = outgoing.events_of(self._connection, ids)
            return self.encoder.encode([rows], {one: versions[one] for one in ids if one in versions})

    def _made(
        self, chunks: Iterable[Sequence[Row]], versions: dict[int, int], gone: frozenset[int]
    ) -> tuple[list[EncodedPart], list[StoredEvent]]:
        if self._encoded:
            return self.encoder.encode(chunks, versions, gone), []
        return [], [event for rows in chunks for event in self._stored(rows)]

    # ------------------------------------------------------------ changes

    def _versions(self, pending: forwarding.Pending, position: int) -> dict[int, int]:
        """Of events that were sent before they changed, the last of the changes. Others come in their final form."""
        return outgoing.changed_events(self._connection, pending.start, pending.end, position)

    def _changes(self, pending: forwarding.Pending, position: int) -> Batch:
        versions = self._versions(pending, position)
        rows = outgoing.events_of(self._connection, sorted(versions))
        query = filter_of(pending.match)
        gone: frozenset[int] = frozenset()
        if query is not None:
            kept = {row[0] for row in self._matching(rows, query)}
            gone = frozenset(row[0] for row in rows if row[0] not in kept)
            if not self._encoded:
                rows = [row for row in rows if row[0] in kept]
        chunks = [rows[at : at + CHUNK_ROWS] for at in range(0, len(rows), CHUNK_ROWS)]
        parts, events = self._made(chunks, versions, gone)
        return Batch(pending, [row[0] for row in rows], parts, events, 3600.0, is_full=True)


class _Reached:
    """How far reading has come."""

    def __init__(self, start: int) -> None:
        self.last = start
        self.oldest = 0  # when the first event was stored, Unix ns
        self.exhausted = False  # there is no more up to the end
