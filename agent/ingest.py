"""The writer thread: lines → events → groups → one transaction. Everything per line happens here, nothing else does.

The first line after a quiet time is committed at once. Few lines that follow it wait for each other, so that there is
one commit in a `flush_interval`, which is also the longest that a line waits; as soon as they are _COMMIT_BYTES, the
transaction is committed when no more lines wait, and always when it has grown to TRANSACTION_BYTES. When the store
cannot be written the transaction is kept and tried again; reading stops by itself, because the intake fills.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import deque
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from agent.core.errors import SidelogError, StoreError
from agent.core.metrics import AgentCounters
from agent.core.model import FileChange, LineBatch, Position
from agent.core.severity import ERRORS_FROM
from agent.group import miner
from agent.group.grouper import Grouper
from agent.parse.decode import join
from agent.store.groups import known_groups
from agent.store.maintenance import Retention
from agent.transaction import TransactionBuilder

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from agent.core.conditions import Reporter
    from agent.core.metrics import SourceCounters
    from agent.core.model import FileRow, Stored, StoredBatch
    from agent.intake import IngestSettings, Intake
    from agent.store.maintenance import Maintenance
    from agent.store.writer import CommitHook, StoreWriter

_T = TypeVar("_T")
_COMMIT_PAUSE_S = 0.02  # at the least between two commits: a thousand files with a line each share one
_COMMIT_BYTES = 8_192  # of lines, that need not wait for more: a commit writes that much in pages for a single line
_PUNCTUAL = 0.9
_RETRY_S = 1.0
_IDLE_S = 2.0
_IDLE_SHARE = 9  # times as long as it took lies between two portions of what can wait
_HOOKS_PAUSE_S = 0.02  # at the least between two looks at what is due: many states end at nearly the same instant
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


class Ingest(threading.Thread):
    """Owns the store's connection from `start` until it has ended.

    Args:
        intake: where lines come from.
        writer: the open store.
        maintenance: its care, a portion at a turn.
        settings: of the configuration; further ones come through the intake.
        known: the files that the store remembers.
        reporter: own errors.
        acknowledge: called after each commit with the positions that it has moved, by file id.
        on_fault: called with what keeps the store from being written, and with None when that is over.
        metrics: where what is stored is counted, and how long commits take.
        give_up_s: after so many seconds of failing the thread ends (None: never; `--once` must end).
        hooks: take part in every transaction, in their order.
        idle: does a portion of what can wait, where nothing is waiting to be stored, and says whether there is more.
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
        metrics: AgentCounters | None = None,
        give_up_s: float | None = None,
        hooks: Sequence[CommitHook] = (),
        idle: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__(name="sidelog-writer")
        self._intake = intake
        self._writer = writer
        self._maintenance = maintenance
        self._settings = settings
        self._reporter = reporter
        self._acknowledge = acknowledge
        self._on_fault = on_fault
        self._metrics = metrics or AgentCounters()
        self._give_up_s = give_up_s
        self._hooks = hooks
        self._idle = idle
        self._idle_from = 0.0  # monotonic seconds
        self._grouper = Grouper(*known_groups(writer.connection, miner.TEMPLATES))
        self._filling = TransactionBuilder(settings.parse, known, self._grouper, reporter.report)
        self._calls: deque[tuple[Future[Any], Callable[[StoreWriter], Any]]] = deque()
        self._last_commit = -math.inf  # monotonic seconds
        self._stopping = threading.Event()
        self.counters = Counters()
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Work until the intake is closed and empty; a failure that cannot be retried is left in `failure`."""
        try:
            while not self._intake.drained:
                self._turn()
            self._filling.release_held(due_only=False)
            self._filling.transaction.watched = bool(self._hooks)
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
        self._reconfigure()
        for message in messages:
            if isinstance(message, LineBatch):
                self._filling.add(message)
                if self._filling.is_full:
                    self._commit()
            elif isinstance(message, FileChange):
                self._filling.change_file(message)
            else:
                self._filling.reload(message.parse)
        self._filling.release_held(due_only=True)
        self._filling.settle()
        if self._is_due(time.monotonic()):
            self._commit()
        self._care()
        self._use_idle_time()

    def _patience_s(self) -> float:
        """How long the next `take` may wait."""
        now = time.monotonic()
        waits = [0.001 if self._maintenance.pending else _IDLE_S]
        if self._filling.transaction.batches:
            waits.append(max(0.0, self._last_commit + self._pause_s() - now))
        if self._idle is not None:
            waits.append(max(0.0, self._idle_from - now))
        waits += [max(_HOOKS_PAUSE_S, hook.wait_s()) for hook in self._hooks]
        waits += [max(0.0, deadline_s - now) for deadline_s in self._filling.deadlines_s()]
        return min(waits)

    def _is_due(self, now: float) -> bool:
        """Whether the transaction is to be committed. Without lines: where it has file states, there are own errors, or
        something is due of hooks.
        """
        transaction = self._filling.transaction
        due = [hook.is_due() for hook in self._hooks]  # all of them are asked
        transaction.watched = any(due)
        if not transaction.batches:
            return bool(transaction.files or self._reporter.waiting or transaction.watched)
        pause = now - self._last_commit
        if now - self._filling.began >= self._settings.flush_interval_s:
            return True
        return (self._intake.empty and pause >= self._pause_s()) or (transaction.watched and pause >= _HOOKS_PAUSE_S)

    def _pause_s(self) -> float:
        """The least time between the last commit and that of the transaction that is being filled."""
        longest_s = self._settings.flush_interval_s
        if self._filling.transaction.bytes >= _COMMIT_BYTES:
            return min(_COMMIT_PAUSE_S, longest_s)
        return longest_s * _PUNCTUAL  # lines are read as often: none is to wait twice

    def _reconfigure(self) -> None:
        """Go on with the settings of reloads. What is parsed already, or waits for it, stays as it was read."""
        while (settings := self._intake.take_settings()) is not None:
            self._use(settings)

    def _use(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._writer.min_free_bytes = settings.min_free_bytes
        age_ns, size_bytes = settings.retention_age_ns, settings.retention_size_bytes
        self._maintenance.retention = Retention(self._writer, age_ns=age_ns, size_bytes=size_bytes)

    # ------------------------------------------------------------ events to the store

    def _commit(self) -> None:
        """Write the transaction, however often it takes."""
        transaction = self._filling.transaction
        transaction.groups += self._grouper.take_updates()
        transaction.own_errors += self._reporter.take()
        failing_since: float | None = None
        while transaction:
            began = time.perf_counter()
            try:
                stored = self._writer.write(transaction, join, self._grouper.describe, self._hooks)
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
                self._metrics.commits.observe(time.perf_counter() - began)
                if failing_since is not None:
                    self._on_fault(None)
                self._after_commit(stored)
                return

    def _given_up(self, failing_since: float) -> bool:
        return self._give_up_s is not None and time.monotonic() - failing_since >= self._give_up_s

    def _after_commit(self, stored: Stored) -> None:
        transaction = self._filling.take()
        if transaction.batches:  # the state of a new file does not make its first line wait
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
            _count(batch, self._metrics.of_source(batch.file.source))
        for joined in stored.joined:  # a stack trace that came late has made an error of its event
            if joined.before[0] < ERRORS_FROM <= joined.after[0]:
                self._metrics.of_source(joined.batch.file.source).error_events += 1
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
        """Retention and checkpoints, also where lines come without a pause; of what is due a portion at a turn."""
        with self._reported():
            self._maintenance.step()

    def _use_idle_time(self) -> None:
        """Do what can wait, in a tenth of the time."""
        if self._idle is None or self._filling.transaction.batches or not self._intake.empty:
            return
        began = time.monotonic()
        if began < self._idle_from or self._maintenance.pending:
            return
        has_more = False
        with self._reported():
            has_more = self._idle()
        ended = time.monotonic()
        self._idle_from = ended + (_IDLE_SHARE * (ended - began) if has_more else _IDLE_S)

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """Report what fails, and go on where that is worth another attempt."""
        try:
            yield
        except SidelogError as error:
            self._reporter.report(error)
            if not error.retryable:
                raise


def _count(batch: StoredBatch, counters: SourceCounters) -> None:
    events = batch.events
    counters.events += len(events)
    counters.read_bytes += batch.read_bytes
    counters.parse_errors += len(events.parse_errors)
    for number in set(events.severities):
        if number >= ERRORS_FROM:
            counters.error_events += events.severities.count(number)
    for gap in events.gaps:
        counters.gap_bytes[gap.reason] = counters.gap_bytes.get(gap.reason, 0) + gap.end - gap.start
