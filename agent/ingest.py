"""The writer thread: lines → events → groups → one transaction. Everything per line happens here, nothing else does.

A transaction is committed as soon as no more lines wait, at the latest `flush_interval` after its first line, and
earlier when it has grown to TRANSACTION_BYTES. When the store cannot be written the transaction is kept and tried
again; reading stops by itself, because the intake fills.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec.structs import replace

from agent.core.errors import SidelogError, StoreError
from agent.core.fields import Profile
from agent.core.model import EventBatch, FileChange, FileGeneration, LineBatch, Position, StoredBatch, Transaction
from agent.group import fingerprint, miner
from agent.group.grouper import Grouper
from agent.parse.decode import FileParser, ParseSettings, join
from agent.parse.settings import PLAIN
from agent.store.groups import known_groups
from agent.store.retention import Retention
from agent.tail.identity import marker, marker_at

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from agent.core.conditions import Reporter
    from agent.core.model import FileRow
    from agent.intake import IngestSettings, Intake
    from agent.store.maintenance import Maintenance
    from agent.store.writer import CommitHook, StoreWriter

_T = TypeVar("_T")
TRANSACTION_BYTES = 2 * 2**20  # 4 MiB is not faster and takes 4 MB more memory
_COMMIT_PAUSE_S = 0.02  # at the least between two commits: a thousand files with a line each share one
_RETRY_S = 1.0
_IDLE_S = 1.0
_HOOKS_PAUSE_S = 0.02  # at the least between two looks at what is due: many states end at nearly the same instant
_FINISHED_KEPT = 4_096  # finished files remembered, in case one is moved back; the tailer remembers fewer
_WRITE_FAULTS = frozenset({"SL405", "SL408", "SL410", "SL412"})  # over as soon as a commit succeeds


class Counters(msgspec.Struct):
    """What the agent has done since its start; written by the writer thread, read by everybody."""

    events: int = 0
    bytes: int = 0
    errors: int = 0
    gaps: int = 0
    parse_errors: int = 0
    commits: int = 0
    rounds: int = 0  # turns of the writer's loop: what the watchdog is fed by


class _FileState(msgspec.Struct):
    """One file generation as the writer thread has it: where the transaction that is being filled will leave it, its
    parser, and the batch being parsed or held back (None otherwise: a thousand quiet files must not keep a chunk each).
    """

    end: int
    marker: tuple[int, bytes]
    tail_open: bool = False  # later lines may continue the last event
    profile: Profile | None = None
    profile_text: str | None = None
    file: FileGeneration | None = None  # as its row will be; None: it is to be written with the next batch
    parser: FileParser | None = None
    settings: ParseSettings | None = None
    batch: LineBatch | None = None


class Ingest(threading.Thread):
    """Owns the store's connection from `start` until it has ended.

    Args:
        intake: where lines come from.
        writer: the open store.
        maintenance: its care, done while nothing waits.
        settings: of the configuration; further ones come through the intake.
        known: the files that the store remembers.
        reporter: own errors.
        acknowledge: called after each commit with the positions that it has moved, by file id.
        on_fault: called with what keeps the store from being written, and with None when that is over.
        give_up_s: after so many seconds of failing the thread ends (None: never; `--once` must end).
        hooks: take part in every transaction, in their order.
    """

    def __init__(
        self,
        intake: Intake,
        writer: StoreWriter,
        maintenance: Maintenance,
        *,
        settings: IngestSettings,
        known: Iterable[FileRow],
        reporter: Reporter,
        acknowledge: Callable[[Mapping[int, Position]], None],
        on_fault: Callable[[StoreError | None], None] = lambda _fault: None,
        give_up_s: float | None = None,
        hooks: Sequence[CommitHook] = (),
    ) -> None:
        super().__init__(name="sidelog-writer")
        self._intake = intake
        self._writer = writer
        self._maintenance = maintenance
        self._settings = settings
        self._known = {row.id: row for row in known}  # those of which no line has come in this run
        self._reporter = reporter
        self._acknowledge = acknowledge
        self._on_fault = on_fault
        self._give_up_s = give_up_s
        self._hooks = hooks
        self._grouper = Grouper(*known_groups(writer.connection, fingerprint.VERSION, miner.TEMPLATES))
        self._files: dict[int, _FileState] = {}
        self._finished: deque[int] = deque()
        self._held: dict[int, _FileState] = {}
        self._calls: deque[tuple[Future[Any], Callable[[StoreWriter], Any]]] = deque()
        self._transaction = Transaction()
        self._began = 0.0  # when the oldest line of the transaction came; monotonic seconds, as all of these
        self._last_commit = -math.inf
        self._stopping = threading.Event()
        self.counters = Counters()
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Work until the intake is closed and empty; a failure that cannot be retried is left in `failure`."""
        try:
            while not self._intake.drained:
                self._turn()
            self._release_held(due_only=False)
            self._transaction.watched = bool(self._hooks)
            self._commit()
        except BaseException as error:  # noqa: BLE001  the thread's owner decides what it means
            self.failure = error
        finally:
            self._cancel_calls()

    def hurry(self) -> None:
        """Stop retrying a store that cannot be written: what is not stored will be read again at the next start."""
        self._stopping.set()
        self._writer.connection.interrupt()

    def call(self, function: Callable[[StoreWriter], _T]) -> Future[_T]:
        """Let this thread run a function with the writer, between two transactions. Any thread may call it.

        Returns:
            What it gives or raises; cancelled where this thread has ended before.
        """
        future: Future[_T] = Future()
        self._calls.append((future, function))
        self._intake.wake()
        if not self.is_alive():
            self._cancel_calls()
        return future

    def change(self, function: Callable[[sqlite3.Connection], _T], *, durable: bool) -> _T:
        """`StoreWriter.change` on this thread, for others; waits for it.

        Raises:
            StoreError: as there; SL412 too where this thread has ended.
        """
        try:
            return self.call(lambda writer: writer.change(function, durable=durable)).result()
        except CancelledError:
            raise StoreError.of("SL412.closed", self._writer.path) from None

    def _answer_calls(self) -> None:
        while self._calls:
            future, function = self._calls.popleft()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(self._writer))
                except Exception as error:  # noqa: BLE001  it is the caller's
                    future.set_exception(error)

    def _cancel_calls(self) -> None:
        while self._calls:
            self._calls.popleft()[0].cancel()

    def _turn(self) -> None:
        self.counters.rounds += 1
        self._answer_calls()
        for hook in self._hooks:
            hook.turn()
        messages = self._intake.take(self._patience_s())
        self._reconfigure()  # behind `take`: lines of a new source come after its settings
        for message in messages:
            if isinstance(message, LineBatch):
                self._parse(message)
                if self._transaction.bytes >= TRANSACTION_BYTES:
                    self._commit()
            else:
                self._change_file(message)
        self._release_held(due_only=True)
        now = time.monotonic()
        if self._transaction.batches and self._is_due(now):
            self._commit()
        elif not self._transaction.batches:
            self._care()

    def _patience_s(self) -> float:
        """How long the next `take` may wait."""
        now = time.monotonic()
        waits = [_IDLE_S]
        if self._transaction.batches:
            waits.append(max(0.0, self._last_commit + _COMMIT_PAUSE_S - now))
        elif self._maintenance.pending:
            waits.append(0.001)
        else:
            waits += [max(_HOOKS_PAUSE_S, hook.wait_s()) for hook in self._hooks]
        parsers = [state.parser for state in self._held.values() if state.parser is not None]
        waits += [max(0.0, parser.deadline_s - now) for parser in parsers if parser.deadline_s is not None]
        return min(waits)

    def _is_due(self, now: float) -> bool:
        waited = now - self._began
        longest_s = self._settings.flush_interval_s
        if waited >= longest_s:
            return True
        return self._intake.empty and now - self._last_commit >= min(_COMMIT_PAUSE_S, longest_s)

    def _reconfigure(self) -> None:
        """Go on with the settings of reloads."""
        while (settings := self._intake.take_settings()) is not None:
            self._use(settings)

    def _use(self, settings: IngestSettings) -> None:
        # The last batches of a source that is gone now may still be held back.
        self._settings = replace(settings, parse={**self._settings.parse, **settings.parse})
        self._writer.min_free_bytes, self._writer.resources = settings.min_free_bytes, settings.resources
        age_ns, size_bytes = settings.retention_age_ns, settings.retention_size_bytes
        self._maintenance.retention = Retention(self._writer, age_ns=age_ns, size_bytes=size_bytes)

    # ------------------------------------------------------------ lines to events

    def _parse(self, batch: LineBatch) -> None:
        file = batch.file
        state = self._files.get(file.id)
        if state is None:
            state = self._files[file.id] = self._begin(batch)
        if file is not state.file:
            self._change_file(FileChange(file, state.end))
        settings = self._settings.parse.get(file.source, PLAIN)  # unknown: the end of a file whose source is gone
        if state.parser is None:
            state.parser, state.settings = FileParser(settings, state.profile), settings
        elif state.settings != settings:  # a reload has changed how this source is read
            if state.batch is not None:
                self._add(state, state.parser, state.batch, state.parser.flush())
            state.parser, state.settings, state.profile = FileParser(settings), settings, None
        state.batch = batch
        self._add(state, state.parser, batch, state.parser.feed(batch, tail_open=state.tail_open))
        if batch.final:
            self._held.pop(file.id, None)
            state.parser = state.batch = None
        if batch.ends:  # not earlier: a crash before the last lines are stored must leave a file that is to be read
            self._finish(state, replace(file, state="finished"))

    def _begin(self, batch: LineBatch) -> _FileState:
        """How a file stands of which no line has come in this run."""
        row = self._known.pop(batch.file.id, None)
        if row is None:
            return _FileState(batch.offset, (0, b""))
        profile = Profile.from_json(row.profile) if row.profile else None
        tail_open = row.tail_event_id is not None
        return _FileState(row.offset, (row.marker_length, row.marker_hash), tail_open, profile, row.profile)

    def _change_file(self, change: FileChange) -> None:
        self._save(change)
        if (state := self._files.get(change.file.id)) is not None:
            state.file = change.file

    def _save(self, change: FileChange) -> None:
        """Let the transaction write the row of a file."""
        known = self._transaction.files.get(change.file.id)
        if known is not None:
            change = replace(known, file=change.file, profile=change.profile or known.profile)
        self._transaction.files[change.file.id] = change

    def _finish(self, state: _FileState, file: FileGeneration) -> None:
        self._change_file(FileChange(file, state.end))
        self._finished.append(file.id)
        if len(self._finished) > _FINISHED_KEPT:
            self._files.pop(self._finished.popleft(), None)

    def _add(self, state: _FileState, parser: FileParser, batch: LineBatch, events: EventBatch) -> None:
        """Put parsed events into the transaction, with the place in the file that they lead to."""
        file = batch.file
        if parser.deadline_s is not None:
            self._held[file.id] = state
        else:
            self._held.pop(file.id, None)
            state.batch = None
        marker_there = marker_at(batch, events.end)
        if events.end == state.end and not events and marker_there in (None, state.marker):
            return  # all of it is held back
        if parser.profile is not state.profile:
            state.profile, state.profile_text = parser.profile, parser.profile.to_json()
            self._save(FileChange(state.file or file, state.end, state.profile_text))
        if not self._transaction.batches:
            self._began = time.monotonic()
        if events.errors and (service := self._writer.service_of(file)):
            for error in events.errors:
                error.service = error.service or service
        groups = {error.index: self._grouper.assign(error) for error in events.errors}
        if marker_there is not None or events.end != state.end:
            state.marker = marker_there or marker(b"")
        state.tail_open = events.tail_open
        self._transaction.batches.append(
            StoredBatch(file, events, *state.marker, batch.observed_timestamp, groups, state.profile_text)
        )
        self._transaction.bytes += events.end - state.end
        state.end = events.end

    def _release_held(self, *, due_only: bool) -> None:
        """Store events that were held back for lines that did not come."""
        now = time.monotonic()
        for state in list(self._held.values()):
            parser = state.parser
            due = parser is not None and parser.deadline_s is not None and parser.deadline_s <= now
            if parser is not None and state.batch is not None and (due or not due_only):
                self._add(state, parser, state.batch, parser.flush())

    # ------------------------------------------------------------ events to the store

    def _commit(self) -> None:
        """Write the transaction, however often it takes."""
        transaction = self._transaction
        transaction.groups += self._grouper.take_updates()
        transaction.own_errors += self._reporter.take()
        failing_since: float | None = None
        while transaction:
            try:
                self._writer.write(transaction, join, self._grouper.describe, self._hooks)
            except StoreError as error:
                self._reporter.report(error)
                self._on_fault(error)
                if failing_since is None:
                    failing_since = time.monotonic()
                if not error.retryable or self._stopping.is_set() or self._given_up(failing_since):
                    raise
                self.counters.rounds += 1
                self._stopping.wait(_RETRY_S)
                self._reconfigure()
            else:
                if failing_since is not None:
                    self._on_fault(None)
                self._after_commit(transaction)
                return

    def _given_up(self, failing_since: float) -> bool:
        return self._give_up_s is not None and time.monotonic() - failing_since >= self._give_up_s

    def _after_commit(self, transaction: Transaction) -> None:
        self._transaction = Transaction()
        self._last_commit = time.monotonic()
        counters = self.counters
        counters.commits += 1
        counters.bytes += transaction.bytes
        positions: dict[int, Position] = {}
        for batch in transaction.batches:
            events = batch.events
            positions[batch.file.id] = Position(events.end, batch.marker_length, batch.marker_hash)
            counters.events += len(events)
            counters.errors += len(events.errors)
            counters.gaps += len(events.gaps)
            counters.parse_errors += len(events.parse_errors)
        if positions:
            self._acknowledge(positions)
        self._reporter.clear(_WRITE_FAULTS)
        self._maintenance.after_commit()
        for hook in self._hooks:
            hook.after_commit(self._make_durable)

    def _make_durable(self) -> None:
        """Let the WAL, and so what was committed, reach the disk."""
        try:
            self._writer.checkpoint()
        except StoreError as error:  # a page that may be sent twice is better than none
            self._reporter.report(error)

    def _care(self) -> None:
        """While nothing waits: file states, own errors, retention, checkpoints."""
        due = [hook.is_due() for hook in self._hooks]  # all of them are asked
        self._transaction.watched = any(due)
        if self._transaction.files or self._reporter.waiting or self._transaction.watched:
            self._commit()
        try:
            self._maintenance.step()
        except SidelogError as error:
            self._reporter.report(error)
            if not getattr(error, "retryable", False):
                raise
