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

from agent.core.errors import SidelogError, StoreError
from agent.core.fields import Profile
from agent.core.model import EventBatch, LineBatch, StoredBatch, TailedFile, Transaction
from agent.group import fingerprint, miner
from agent.group.grouper import Grouper
from agent.parse.decode import FileParser, ParseSettings, join
from agent.store.groups import known_groups
from agent.tail.identity import marker

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from agent.alert.live import LiveAlerts
    from agent.core.conditions import Reporter
    from agent.intake import Intake
    from agent.store.maintenance import Maintenance
    from agent.store.writer import StoreWriter

_T = TypeVar("_T")
TRANSACTION_BYTES = 2 * 2**20  # 4 MiB is not faster and takes 4 MB more memory
_COMMIT_PAUSE_S = 0.02  # at the least between two commits: a thousand files with a line each share one
_RETRY_S = 1.0
_IDLE_S = 1.0
_ALERTS_PAUSE_S = 0.02  # at the least between two looks at what is due: many states end at nearly the same instant
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
    committed: dict[int, int] = {}  # file id -> offset, of this run


class _Stream(msgspec.Struct):
    """One file generation on its way: its parser, the batch being parsed or held back (None otherwise: a thousand
    quiet files must not keep a chunk each), and where the transaction will leave it.
    """

    parser: FileParser
    settings: ParseSettings
    profile: Profile | None
    batch: LineBatch | None
    end: int
    marker: tuple[int, bytes]


class Ingest(threading.Thread):
    """Owns the store's connection from `start` until it has ended.

    Args:
        intake: where lines come from.
        writer: the open store.
        maintenance: its care, done while nothing waits.
        settings: how each source's lines are parsed.
        flush_interval_s: the longest that a line waits for its commit.
        reporter: own errors.
        changed_files: files that are new, renamed or finished since the last call.
        on_fault: called with what keeps the store from being written, and with None when that is over.
        give_up_s: after so many seconds of failing the thread ends (None: never; `--once` must end).
        alerts: the rules that look at every transaction.
    """

    def __init__(
        self,
        intake: Intake,
        writer: StoreWriter,
        maintenance: Maintenance,
        *,
        settings: Mapping[str, ParseSettings],
        flush_interval_s: float,
        reporter: Reporter,
        changed_files: Callable[[], list[TailedFile]],
        on_fault: Callable[[StoreError | None], None] = lambda _fault: None,
        give_up_s: float | None = None,
        alerts: LiveAlerts | None = None,
    ) -> None:
        super().__init__(name="sidelog-writer")
        self._intake = intake
        self._writer = writer
        self._maintenance = maintenance
        self.settings = settings
        self.flush_interval_s = flush_interval_s
        self._reporter = reporter
        self._changed_files = changed_files
        self._on_fault = on_fault
        self._give_up_s = give_up_s
        self._alerts = alerts
        self._grouper = Grouper(*known_groups(writer.connection, fingerprint.VERSION, miner.TEMPLATES))
        self._streams: dict[int, _Stream] = {}
        self._held: dict[int, _Stream] = {}
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
            self._transaction.files.update((file.id, file) for file in self._changed_files())
            self._transaction.watched = self._alerts is not None
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
            raise StoreError("SL412", "write store", str(self._writer.path), "the store is closed") from None

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
        if self._alerts is not None:
            self._alerts.turn()
        for batch in self._intake.take(self._patience_s()):
            self._parse(batch)
            if self._transaction.bytes >= TRANSACTION_BYTES:
                self._commit()
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
        elif self._alerts is not None:
            waits.append(max(_ALERTS_PAUSE_S, self._alerts.wait_s()))
        waits += [
            max(0.0, held.parser.deadline_s - now) for held in self._held.values() if held.parser.deadline_s is not None
        ]
        return min(waits)

    def _is_due(self, now: float) -> bool:
        waited = now - self._began
        if waited >= self.flush_interval_s:
            return True
        return self._intake.empty and now - self._last_commit >= min(_COMMIT_PAUSE_S, self.flush_interval_s)

    # ------------------------------------------------------------ lines to events

    def _parse(self, batch: LineBatch) -> None:
        file = batch.file
        settings = self.settings[file.source]
        stream = self._streams.get(file.id)
        if stream is None:
            profile = Profile.from_json(file.profile) if file.profile else None
            parser = FileParser(settings, profile)
            marker_there = (file.marker_length, file.marker_hash)
            stream = self._streams[file.id] = _Stream(parser, settings, profile, batch, file.offset, marker_there)
        elif stream.settings != settings:  # a reload has changed how this source is read
            if stream.batch is not None:
                self._add(stream, stream.batch, stream.parser.flush())
            stream.parser, stream.settings, stream.profile = FileParser(settings), settings, None
        stream.batch = batch
        self._add(stream, batch, stream.parser.feed(batch))
        if batch.ends:  # not earlier: a crash before the last lines are stored must leave a file that is to be read
            file.state = "finished"
        if batch.final:
            self._held.pop(file.id, None)
            del self._streams[file.id]
            self._transaction.files[file.id] = file

    def _add(self, stream: _Stream, batch: LineBatch, events: EventBatch) -> None:
        """Put parsed events into the transaction, with the place in the file that they lead to."""
        file, parser = batch.file, stream.parser
        if parser.deadline_s is not None:
            self._held[file.id] = stream
        else:
            self._held.pop(file.id, None)
            stream.batch = None
        marker_there = _marker_at(batch, events.end)
        if events.end == stream.end and not events and marker_there in (None, stream.marker):
            return  # all of it is held back
        if parser.profile is not stream.profile:
            stream.profile = parser.profile
            file.profile = parser.profile.to_json()
        if not self._transaction.batches:
            self._began = time.monotonic()
        if events.errors and (service := self._writer.service_of(file.source)):
            for error in events.errors:
                error.service = error.service or service
        groups = {error.index: self._grouper.assign(error) for error in events.errors}
        if marker_there is not None or events.end != stream.end:
            stream.marker = marker_there or marker(b"")
        file.tail_event_id = -1 if events.tail_open else None
        self._transaction.batches.append(StoredBatch(file, events, *stream.marker, batch.observed_timestamp, groups))
        self._transaction.bytes += events.end - stream.end
        stream.end = events.end

    def _release_held(self, *, due_only: bool) -> None:
        """Store events that were held back for lines that did not come."""
        now = time.monotonic()
        for stream in list(self._held.values()):
            due = stream.parser.deadline_s is not None and stream.parser.deadline_s <= now
            if stream.batch is not None and (due or not due_only):
                self._add(stream, stream.batch, stream.parser.flush())

    # ------------------------------------------------------------ events to the store

    def _commit(self) -> None:
        """Write the transaction, however often it takes."""
        transaction = self._transaction
        transaction.files.update((file.id, file) for file in self._changed_files())
        transaction.groups += self._grouper.take_updates()
        transaction.own_errors += self._reporter.take()
        failing_since: float | None = None
        while transaction:
            try:
                self._writer.write(transaction, join, self._grouper.describe)
            except StoreError as error:
                self._reporter.report(error)
                self._on_fault(error)
                if failing_since is None:
                    failing_since = time.monotonic()
                if not error.retryable or self._stopping.is_set() or self._given_up(failing_since):
                    raise
                self.counters.rounds += 1
                self._stopping.wait(_RETRY_S)
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
        for batch in transaction.batches:
            file, events = batch.file, batch.events
            counters.bytes += max(0, events.end - file.offset)
            file.marker_length, file.marker_hash = batch.marker_length, batch.marker_hash
            file.offset = events.end  # last: a reader of this that waits for the offset finds the marker there
            counters.events += len(events)
            counters.errors += len(events.errors)
            counters.gaps += len(events.gaps)
            counters.parse_errors += len(events.parse_errors)
        self._reporter.clear(_WRITE_FAULTS)
        self._maintenance.after_commit()
        if self._alerts is not None and (deliveries := self._alerts.committed()):
            try:  # a power cut must not take back what a hook is told: the WAL reaches the disk first
                self._writer.checkpoint()
            except StoreError as error:  # a page that may be sent twice is better than none
                self._reporter.report(error)
            self._alerts.hand_over(deliveries)

    def _care(self) -> None:
        """While nothing waits: file states, own errors, retention, checkpoints."""
        changed = self._changed_files()
        self._transaction.watched = self._alerts is not None and self._alerts.is_due()
        if changed or self._reporter.waiting or self._transaction.watched:
            self._transaction.files.update((file.id, file) for file in changed)
            self._commit()
        try:
            self._maintenance.step()
        except SidelogError as error:
            self._reporter.report(error)
            if not getattr(error, "retryable", False):
                raise


def _marker_at(batch: LineBatch, offset: int) -> tuple[int, bytes] | None:
    """Length and hash of the bytes directly before an offset; None where this batch does not hold them."""
    known = offset - batch.offset
    if known < 0:
        return None
    if known > len(batch.data):  # behind a gap, whose bytes were not kept
        return marker(b"")
    return marker(batch.before + batch.data[:known])
