"""Sends what archives hold and a target never got: logs that were archived without ever being stored, what had left the
store before the target was there, and what retention took before it was sent.

What the target got while it was in the store is known by the log's file and offset (`store.unsent`), so that nothing is
sent by both ways. How far each log is, is noted after each batch; a batch that was sent and not noted is sent again
with the same bytes, token and keys.
"""

# ruff: noqa: S608 - statements are built from our own words, ids and numbers

from __future__ import annotations

import hashlib
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec

from agent.archive.directory import load
from agent.clickhouse.columns import EVENTS, names
from agent.core.errors import ArchiveError
from agent.core.event import event_rows
from agent.core.intervals import holds, joined, without
from agent.forward.claim import AgentClaim
from agent.forward.reading import CHUNK_ROWS
from agent.forward.rows import EventEncoder
from agent.query.archives.groups import ArchivedEvent
from agent.query.archives.plan import make_frame_plan, stored_logs
from agent.query.archives.search import ID_BITS, Searcher
from agent.query.language import Query, Selection, bounded, parse_query
from agent.store import forwarding, unsent
from agent.store.edit import editing
from agent.store.identity import is_of_another
from agent.store.reader import one_moment, open_reader

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from agent.core.errors import SidelogError
    from agent.core.intervals import Spans
    from agent.forward.settings import TargetPlace
    from agent.query.archives.plan import FramePlan, FrameRef, StoredPart
    from agent.store.archives import ArchiveRow
    from agent.store.unsent import BackfilledLog

_COLUMNS = names(EVENTS)
_MOST_EVENTS, _MOST_BYTES = 20_000, 8 << 20  # of a batch


class _Batch(msgspec.Struct):
    """What is sent at once, all of one log: its events, and the parts of it that are settled with them."""

    key: str
    log: BackfilledLog
    events: list[ArchivedEvent] = []
    spans: Spans = []
    size: int = 0

    def clear(self) -> None:
        """Begin the next one."""
        self.events, self.spans, self.size = [], [], 0

    def add(self, event: ArchivedEvent) -> None:
        """Take an event in."""
        self.events.append(event)
        self.size += len(event.record)

    @property
    def is_full(self) -> bool:
        """Whether it is to be sent before more is read."""
        return len(self.events) >= _MOST_EVENTS or self.size >= _MOST_BYTES


class BackfillReport(msgspec.Struct):
    """What a backfill did."""

    target: str
    events: int = 0  # that were sent
    archives: int = 0  # that some of them were in
    agent: str = ""  # under which they went
    errors: list[dict[str, str]] = []  # archives that cannot be read


class Backfill:
    """One run for one target.

    Args:
        place: from where to where.
        span: the instants [since, until) to be sent; None: no bound.
    """

    def __init__(self, place: TargetPlace, span: tuple[int | None, int | None] = (None, None)) -> None:
        self._place = place
        self._query = parse_query(place.match) if place.match else None
        self._since, self._until = bounded(*span)
        self._span = span
        self._arrived: frozenset[int] = frozenset()
        self._progress: Callable[[int], None] = lambda _: None
        self.renewed: SidelogError | None = None
        self.failures: list[SidelogError] = []

    def run(self, progress: Callable[[int], None] = lambda _: None) -> BackfillReport:
        """Send all that is to be sent.

        Args:
            progress: is told how many events are sent so far.

        Raises:
            ClickHouseError: the target cannot be sent to; what was sent by then is noted.
            StoreError: the store cannot be read or written.
        """
        self._progress = progress
        claim = AgentClaim(self._place.store, self._place.target, self._place.client)
        self.renewed = claim.take()
        report = BackfillReport(self._place.target, agent=claim.agent)
        with closing(open_reader(self._place.store)) as connection:
            logs = ArchivedLogs(connection, self._place.directory, self._place.target, self._span)
            self._arrived = self._ask_what_arrived(connection)
            encoder = ArchivedEncoder(connection, claim.agent, logs)
            searcher = Searcher(logs.plan, Selection(Query()))
            try:
                for archive in sorted(logs.plan.files):
                    before = report.events
                    self._send_archive(archive, logs, encoder, searcher, report)
                    report.archives += report.events > before
            finally:
                searcher.close()
        report.errors = [{"code": one.code, "subject": one.subject, "message": one.message} for one in self.failures]
        return report

    def _ask_what_arrived(self, connection: sqlite3.Connection) -> frozenset[int]:
        """Events that were on their way when retention took them, and are there. Ids of archives do not tell which, but
        what they say, and where.
        """
        ranges = unsent.in_doubt(connection, self._place.target)
        if not ranges:
            return frozenset()
        agents = ", ".join(f"'{one.id}'" for one in forwarding.agents(connection) if not is_of_another(one))
        spans = " OR ".join(f"(seq >= {first} AND seq < {last})" for first, last in ranges)
        text = "concat(path, '\\t', toString(offset), '\\t', record)"
        table = self._place.client.address.table("events")
        sql = (
            f"SELECT reinterpretAsUInt64(substring(MD5({text}), 1, 8)) FROM {table} FINAL"
            f" WHERE gone = 0 AND agent IN ({agents}) AND ({spans}) FORMAT TSV"
        )
        return frozenset(map(int, self._place.client.execute(sql).split()))

    def _send_archive(
        self, archive: int, logs: ArchivedLogs, encoder: ArchivedEncoder, searcher: Searcher, report: BackfillReport
    ) -> None:
        key, log = logs.log(archive)
        if log.match != self._place.match:  # what another filter has sent may come once more, under the same keys
            log.match, log.sent = self._place.match, {}
        skipped = joined(logs.sent_from_store(archive), log.all_sent)
        batch = _Batch(key, log)
        for ref in logs.frames(archive):
            start, end = ref.raw_offset, ref.raw_offset + ref.place.raw_bytes
            if not without([(start, end)], skipped):
                continue
            try:
                events = [event for event in logs.events(searcher, ref) if not holds(skipped, event.offset)]
                if self._arrived:
                    events = [event for event in events if _place(event) not in self._arrived]
            except ArchiveError as error:
                self.failures.append(error)
                continue
            inside = [event for event in events if self._since <= event.timestamp < self._until]
            # Where it holds other times, or what is in the store, each event is noted alone: the rest may come later.
            whole = len(inside) == len(events) and logs.is_cold(archive, start, end)
            batch.spans += [(start, end)] if whole else [(event.offset, event.offset + 1) for event in inside]
            for event in inside:
                if self._query is None or self._query.matches(event, logs.plan.groups.categories):
                    batch.add(event)
            if batch.is_full:
                self._send(batch, encoder, report)
        if batch.spans:
            self._send(batch, encoder, report)

    def _send(self, batch: _Batch, encoder: ArchivedEncoder, report: BackfillReport) -> None:
        rows = [encoder.row(event, batch.log.base) for event in batch.events]
        chunks = [rows[at : at + CHUNK_ROWS] for at in range(0, len(rows), CHUNK_ROWS)]
        for part in encoder.encode(chunks):
            token = hashlib.sha256(part.body).hexdigest()[:32]
            self._place.client.insert("events", _COLUMNS, part.body, token=token)
        batch.log.add(report.agent, batch.spans)
        with editing(self._place.store) as connection:
            unsent.save_backfilled(connection, self._place.target, batch.key, batch.log)
            connection.execute(
                "UPDATE forward_targets SET forwarded = forwarded + ?, last_success = ? WHERE name = ?",
                (len(batch.events), time.time_ns(), self._place.target),
            )
        report.events += len(batch.events)
        self._progress(report.events)
        batch.clear()


def _place(event: ArchivedEvent) -> int:
    text = f"{event.path}\t{event.offset}\t{event.record}".encode()
    return int.from_bytes(hashlib.md5(text, usedforsecurity=False).digest()[:8], "little")


class ArchivedLogs:
    """The archives of a store, and what a target has of their logs.

    Args:
        connection: a reader's.
        directory: of all archives.
        target: the name.
        span: only archives with events of these instants.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        directory: Path,
        target: str,
        span: tuple[int | None, int | None] = (None, None),
    ) -> None:
        with one_moment(connection):  # what leaves the store meanwhile is counted on by nobody else
            self.plan: FramePlan = make_frame_plan(connection, directory, Selection(Query(), *span), with_hot=True)
            self.rows: dict[int, ArchiveRow] = {row.id: row for row in load(connection, directory)}
            self._parts: dict[int, list[StoredPart]] = stored_logs(connection)
            self._unsent = unsent.unsent(connection, target)
            self._done = unsent.backfilled(connection, target)
        self.plan.groups.load()
        self._frames: dict[int, list[FrameRef]] = {}
        for ref in self.plan.frames:
            self._frames.setdefault(ref.archive_id, []).append(ref)

    def log(self, archive: int) -> tuple[str, BackfilledLog]:
        """What names the log of an archive, and how far it is."""
        key = unsent.log_key(archive, self.rows[archive].file_id)
        return key, self._done.setdefault(key, unsent.BackfilledLog(archive))

    def frames(self, archive: int) -> Sequence[FrameRef]:
        """The frames of an archive in its order."""
        return sorted(self._frames.get(archive, []), key=lambda ref: ref.raw_offset)

    def sent_from_store(self, archive: int) -> Spans:
        """What of an archive's log the target got while it was stored."""
        spans: Spans = []
        for part in self._parts.get(self.rows[archive].file_id or 0, []):
            left = (part.start, part.expired + 1)
            spans += without([left], self._unsent.get(part.id, []))
        return joined(spans)

    def is_cold(self, archive: int, start: int, end: int) -> bool:
        """Whether nothing of a part of a log is in the store."""
        first, last = self.plan.files[archive].hot
        return end <= first + 1 or start >= last or first >= last

    def events(self, searcher: Searcher, ref: FrameRef) -> Iterator[ArchivedEvent]:
        """The events of a frame that are not in the store, by offset.

        Raises:
            ArchiveError: the archive is missing or damaged.
        """
        file = self.plan.files[ref.archive_id]
        found = [ArchivedEvent(row, file.at(row.offset), self.plan.groups) for row in event_rows(searcher.search(ref))]
        return iter(sorted(found, key=lambda event: event.offset))


class ArchivedEncoder(EventEncoder):
    """Makes rows of archived events, whose files are those of their archives."""

    def __init__(self, connection: sqlite3.Connection, agent: str, logs: ArchivedLogs) -> None:
        super().__init__(connection, agent)
        self._numbers: dict[tuple[int, int], int] = {}
        self._logs = logs

    def row(self, event: ArchivedEvent, base: int) -> tuple[Any, ...]:
        """A row for `encode`."""
        row = event.row
        number = self._number(-row.file_id, event)
        return (
            *(-((base << ID_BITS) + row.offset), row.timestamp, row.observed_timestamp, row.severity_number, number),
            *(row.offset, event.group, row.record.encode(), row.raw, row.parse_error),
        )

    def _number(self, archive: int, event: ArchivedEvent) -> int:
        """Names the file of an event: an archive may have several, one after the other."""
        key = (archive, id(event.file))
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = -1 - len(self._numbers)
            info, profile = event.file, self._logs.rows[archive].profile or ""
            resource = msgspec.json.encode(info.resource).decode()
            self.add_file(number, info, resource, profile)
        return number

    def _load(self, wanted: set[int]) -> None:
        """They are known."""
