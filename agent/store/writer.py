"""The one connection that writes: a transaction per batch, all checkpoints, and the care of the file itself.

Events, offsets, gaps, group counts, rollups and own errors commit together, so that whatever happens, the rows and
the offsets agree. `synchronous=NORMAL` is enough for that: a power cut takes back both.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from agent.core.errors import StoreError
from agent.core.model import (
    Continuation,
    ErrorEvent,
    Gap,
    GroupUpdate,
    JoinedEvent,
    Stored,
    StoredBatch,
    StoredRange,
    Transaction,
)
from agent.core.stored import service_in
from agent.store import faults, tables, team
from agent.store.reader import highest_id
from agent.store.rollups import Rollups

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from agent.core.model import EventBatch, FileGeneration

WAL_CHECKPOINT_BYTES = 16 * 2**20  # from 4 to 64 MiB the cost per event is the same; small keeps readers quick
WAL_ALARM_BYTES = 64 * 2**20  # a reader that keeps its snapshot open holds the WAL: said in `status`
WAL_LIMIT_BYTES = 256 * 2**20  # then reading pauses; the log files are the buffer
_BUSY_TIMEOUT_S = 2.0  # per attempt, and attempts go on for ever: a stop need not wait longer than this
_CACHE_KIB = 4_096

_T = TypeVar("_T")
Joined = tuple[str, bytes | int | str | None, ErrorEvent | None]
# (record, raw, continuation) of the stored event -> its record and raw with the further lines
Joiner = Callable[[str, bytes | int | str | None, Continuation], Joined]


class CommitHook(Protocol):
    """What takes part in every transaction, and may ask for one when no event does. Called in the writer's thread."""

    @property
    def wants_group_news(self) -> bool:
        """Whether it is to know which error groups are new or have come back."""
        ...

    def before_commit(self, connection: sqlite3.Connection, transaction: Transaction, stored: Stored) -> None:
        """Look at what the transaction has stored, and write into it what follows from that; called again where the
        commit is tried again.
        """
        ...

    def after_commit(self, make_durable: Callable[[], None]) -> None:
        """The transaction is committed; once `make_durable` was called, not even a power cut takes it back."""
        ...

    def turn(self) -> None:
        """Called between two transactions."""
        ...

    def is_due(self) -> bool:
        """Whether a transaction is to be made although no event waits for one."""
        ...

    def wait_s(self) -> float:
        """How long nothing is due, in seconds."""
        ...


class _TailEvent(NamedTuple):
    """The stored event that later lines of its file may continue."""

    id: int
    record: str
    raw: bytes | int | str | None
    group_id: int | None
    timestamp: int
    severity_number: int
    observed_timestamp: int
    offset: int


_TAIL_COLUMNS = ", ".join(f'e."{name}"' for name in _TailEvent._fields)


class StoreWriter:
    """Writes transactions into an open store. Made by `opening.open_store`; used from one thread at a time.

    Args:
        connection: in autocommit mode, migrated, the only writing one of this process.
        path: of the store file, to notice that it was deleted or replaced.
        min_free_bytes: below this much free space on the store's disk nothing is written.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, *, min_free_bytes: int) -> None:
        self.connection = connection
        self.path = path
        self.min_free_bytes = min_free_bytes
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        # The WAL's file shrinks when SQLite begins it anew: its size says how much is in it. Without this, a WAL that
        # once had 16 MiB would be checkpointed after every commit for ever.
        connection.execute("PRAGMA journal_size_limit = 0")
        self._identity = faults.identity(path)
        self._directory = path.parent
        self._wal = path.with_name(path.name + "-wal")
        self._rollups = Rollups(connection)
        self._stored = Stored()
        self._last_id = highest_id(connection)

    def write(
        self,
        transaction: Transaction,
        join: Joiner,
        describe: Callable[[ErrorEvent], GroupUpdate],
        hooks: Sequence[CommitHook] = (),
    ) -> Stored:
        """Store a transaction, whole or not at all.

        Args:
            transaction: left untouched on failure, so that it can be tried again.
            join: continues a stored event with later lines (`parse`).
            describe: says what such an event adds to its error group (`group`); the same whenever it is asked.
            hooks: look at it, in their order, before it is committed.

        Returns:
            What was stored.

        Raises:
            StoreError: retryable when the disk is full, low or slow or another program holds the lock; not
                retryable when the file is gone (SL411), replaced or damaged (SL402).
        """
        self.check_file()
        self.check_space()
        self.check_wal()
        self._stored = Stored()
        news = any(hook.wants_group_news for hook in hooks)
        with faults.changing(self.connection, self.path):
            for change in transaction.files.values():
                tables.save_file(self.connection, change)
            now = max((batch.observed_timestamp for batch in transaction.batches), default=0)
            self._save_groups(transaction.groups, now, news=news)
            self._rollups.flush(self.connection, transaction.batches)
            held = bool(transaction.batches) and tables.hold_place(self.connection, self._last_id)
            for batch in transaction.batches:
                self._store(batch, join, describe, news=news)
            if held:
                tables.remove_event(self.connection, self._last_id)
            for hook in hooks:
                hook.before_commit(self.connection, transaction, self._stored)
            tables.save_own_errors(self.connection, transaction.own_errors)
        self._last_id = max([self._last_id, *(one.first_id + len(one.batch.events) - 1 for one in self._stored.ranges)])
        return self._stored

    def _save_groups(self, groups: list[GroupUpdate], now: int, *, news: bool) -> None:
        if not news:
            tables.save_groups(self.connection, groups, now)
            return
        before = tables.group_states(self.connection, groups)
        tables.save_groups(self.connection, groups, now)
        for group, state in tables.group_states(self.connection, groups).items():
            if group not in before:
                self._stored.news[group] = "new"
            elif state == "regressed" and before[group] != state:
                self._stored.news[group] = "regressed"

    def _store(
        self, batch: StoredBatch, join: Joiner, describe: Callable[[ErrorEvent], GroupUpdate], *, news: bool
    ) -> None:
        file, events = batch.file, batch.events
        orphans = 0 if events.continuation is None or self._continue(batch, join, describe, news=news) else 1
        insert_events(self.connection, batch)
        tail = self.connection.execute("SELECT last_insert_rowid()").fetchone()[0] if len(events) else None
        if tail is not None:
            self._stored.ranges.append(StoredRange(batch, tail - len(events) + 1))
        gap_bytes = sum(gap.end - gap.start for gap in events.gaps)
        accounted = events.end - _stored_offset(self.connection, file.id)
        tables.advance_file(
            self.connection,
            batch,
            tail_event_id=tail if events.tail_open else None,
            keep_tail=not len(events) and events.tail_open,
            events=len(events) + orphans,
            event_bytes=accounted - gap_bytes - events.blank_bytes,
            gap_bytes=gap_bytes,
        )
        if events.gaps:
            self._save_gaps(file, events.gaps, batch.observed_timestamp)

    def _save_gaps(self, file: FileGeneration, gaps: list[Gap], now: int) -> None:
        self.connection.executemany(
            'INSERT INTO gaps (file_id, "from", "to", reason, time, sample) VALUES (?, ?, ?, ?, ?, ?)',
            [(file.id, gap.start, gap.end, gap.reason, now, gap.sample) for gap in gaps],
        )

    def _continue(
        self, batch: StoredBatch, join: Joiner, describe: Callable[[ErrorEvent], GroupUpdate], *, news: bool
    ) -> bool:
        """Append lines to the last stored event of the file: a stack trace that arrived late.

        Returns:
            Whether there was such an event; without one the lines are stored as one of their own.
        """
        continuation = batch.events.continuation
        assert continuation is not None
        row = self.connection.execute(
            f"SELECT {_TAIL_COLUMNS} FROM files f JOIN events e ON e.id = f.tail_event_id AND e.file_id = f.id"  # noqa: S608 - names of the schema; values are bound
            " WHERE f.id = ?",
            (batch.file.id,),
        ).fetchone()
        if row is None:  # retention, or somebody else, has deleted it
            offset = _stored_offset(self.connection, batch.file.id)
            tables.insert_orphan(self.connection, batch, offset, continuation.raw)
            self._rollups.add_one(self.connection, batch.observed_timestamp, batch.file.source)
            return False
        event = _TailEvent(*row)
        group_id, severity = event.group_id, event.severity_number
        record, raw, error = join(event.record, event.raw, continuation)
        if error is not None:
            error.timestamp = event.timestamp
            error.service = error.service or service_in(batch.file.resource)
            update = describe(error)
            if group_id != update.id:
                if group_id is not None:
                    tables.leave_group(self.connection, group_id, event.timestamp, error.service)
                self._save_groups([update], batch.observed_timestamp, news=news)
            group_id = update.id
            if error.severity_number > severity:
                severity = error.severity_number
                self._rollups.distrust(self.connection, event.timestamp, batch.file.source)
        self.connection.execute(
            "UPDATE events SET record = ?, raw = ?, group_id = ?, severity_number = ? WHERE id = ?",
            (record, raw, group_id, severity, event.id),
        )
        before = (event.severity_number, event.group_id, event.record, event.raw)
        after = (severity, group_id, record, raw)
        self._stored.joined.append(
            JoinedEvent(batch, event.id, event.timestamp, event.observed_timestamp, event.offset, before, after)
        )
        return True

    def change(self, function: Callable[[sqlite3.Connection], _T], *, durable: bool = False) -> _T:
        """Let a function write in a transaction of its own.

        Args:
            function: gets the connection.
            durable: with the commit, everything that was committed before reaches the disk too. Something that cannot
                be taken back may follow, such as deleting a log.

        Raises:
            StoreError: as `write`.
        """
        self.check_file()
        if durable:
            self.connection.execute("PRAGMA synchronous = FULL")
        try:
            with faults.changing(self.connection, self.path):
                return function(self.connection)
        finally:
            if durable:
                self.connection.execute("PRAGMA synchronous = NORMAL")

    # ------------------------------------------------------------ the file itself

    def check_file(self) -> None:
        """Raise StoreError SL411 when the store's path no longer leads to the open file.

        Inserts into an unlinked file keep succeeding, and everything would be gone at the end of the process.
        """
        if faults.identity(self.path) != self._identity:
            raise StoreError.of("SL411", self.path)

    def check_space(self) -> None:
        """Raise a retryable StoreError SL410 when the store's disk has less than `min_free_bytes` left."""
        disk = os.statvfs(self._directory)
        free = disk.f_bavail * disk.f_frsize
        if free < self.min_free_bytes:
            raise StoreError.of("SL410", self.path, free_mib=free >> 20, asked_mib=self.min_free_bytes >> 20)

    def check_wal(self) -> None:
        """Raise a retryable StoreError SL414 when a reader has kept the WAL from being emptied for too long."""
        if self.wal_bytes() > WAL_LIMIT_BYTES:
            self.checkpoint()
            # Copied frames make room only once no reader needs them; ask for that, briefly.
            self.connection.execute("PRAGMA busy_timeout = 100")
            try:
                self.checkpoint(mode="TRUNCATE")
            finally:
                self.connection.execute(f"PRAGMA busy_timeout = {int(_BUSY_TIMEOUT_S * 1000)}")
            if self.wal_bytes() > WAL_LIMIT_BYTES:
                raise faults.wal_error(self.path, self.wal_bytes())

    def wal_bytes(self) -> int:
        """The size of the write-ahead log."""
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0

    def checkpoint(self, *, mode: str = "PASSIVE") -> bool:
        """Copy the WAL into the store; whether all of it could be copied. Only this connection ever does it:
        SQLite before 3.51.3 can corrupt a store when two connections checkpoint at once (the WAL-reset bug).

        Raises:
            StoreError: the disk is full or damaged.
        """
        try:
            busy, total, done = self.connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite3.Error as error:
            raise faults.writing_error(error, self.path) from error
        return not busy and total == done

    def close(self) -> None:
        """Checkpoint and close; SQLite removes the WAL when no reader is left, unless a group is to read on."""
        team.close(self.connection, self.path, checkpoint=True)


def _stored_offset(connection: sqlite3.Connection, file_id: int) -> int:
    offset: int = connection.execute('SELECT "offset" FROM files WHERE id = ?', (file_id,)).fetchone()[0]
    return offset


def open_connection(path: Path) -> sqlite3.Connection:
    """A writing connection in autocommit mode that several threads may use in turn."""
    return sqlite3.connect(path, isolation_level=None, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)


# ---------------------------------------------------------------- rows of events


_NULL = math.nan  # SQLite stores it as NULL: for None, Python would look for an adapter, 0.2 µs a value
_ROWS_PER_STATEMENT = 64  # 16: +0.2 µs per row; 256: no gain
# Powers of two, so that any remainder takes at most six statements, all in sqlite3's statement cache.
_SIZES = (_ROWS_PER_STATEMENT, 32, 16, 8, 4, 2, 1)


def _statements(columns: str, row: str) -> list[tuple[int, str]]:
    """The INSERT for each block size; ?1 is the observed timestamp, ?2 the file. Without OR ROLLBACK SQLite copies each
    page that several rows change into a journal of the statement, 0.1 µs a row: what fails rolls back all anyway.
    """
    return [(rows, f"INSERT OR ROLLBACK INTO events ({columns}) VALUES {', '.join([row] * rows)}") for rows in _SIZES]  # noqa: S608 - names of the schema; values are bound


_COLUMNS = 'observed_timestamp, file_id, timestamp, severity_number, "offset", group_id, record'
_BLOCKS = _statements(_COLUMNS, "(?1, ?2, ?, ?, ?, ?, ?)")

# Where a row of the batch has an original text or a parse error beside the record.
_SPARSE_COLUMNS = ("raw", "parse_error")  # in the order of `_sparse`
_FULL_BLOCKS = _statements(
    ", ".join((_COLUMNS, *_SPARSE_COLUMNS)), f"(?1, ?2, ?, ?, ?, ?, ?{', ?' * len(_SPARSE_COLUMNS)})"
)


def insert_events(connection: sqlite3.Connection, batch: StoredBatch) -> None:
    """Insert all rows of a batch in their order; ids rise with the offset."""
    events = batch.events
    count = len(events)
    columns: list[Sequence[object]] = [events.timestamps, events.severities, events.offsets]
    columns += [_column(batch.group_ids, count), events.records]
    blocks = _BLOCKS
    sparse = _sparse(events)
    if any(sparse):
        blocks = _FULL_BLOCKS
        columns += [_column(values, count) for values in sparse]
    width = len(columns)
    flat: list[object] = [None] * (width * count)
    for place, column in enumerate(columns):  # a slice at once takes a tenth of the time of a tuple for each row
        flat[place::width] = column
    constants = (batch.observed_timestamp, batch.file.id)
    begin = 0
    for rows, statement in blocks:
        while (end := begin + rows * width) <= len(flat):
            connection.execute(statement, [*constants, *flat[begin:end]])
            begin = end


def _column(values: Mapping[int, object], count: int) -> list[object]:
    """What few rows have, as a column."""
    column: list[object] = [_NULL] * count
    for row, value in values.items():
        column[row] = value
    return column


def _sparse(events: EventBatch) -> tuple[Mapping[int, object], ...]:
    """What few rows have, column by column. No None and no bytes, for which sqlite3 would look for an adapter."""
    raws = {row: bytearray(raw) if isinstance(raw, bytes) else raw for row, raw in events.raws.items()}
    return raws, events.parse_errors
