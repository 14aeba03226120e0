"""The data path, read first.

    log files ──▶ tail ──▶ intake ──▶ parse ──▶ group ──▶ store + alert ──▶ query, errors, status (other processes)
                  │        │          └──────── one writer thread ──────┘
                  │        └ bounded in bytes: when the store is slow, reading waits; the files are the buffer
                  └ event loop: watches directories, reads chunks of whole lines, never looks into them

- **tail** finds files, keeps their identity over renames, truncation and restarts, and hands out `LineBatch`es:
  whole lines with the offset of the first.
- **parse** turns a batch into columns (`EventBatch`): instant, severity, logger, record; a file's format is detected
  once and compiled. Lines that fit nothing become events with their raw text and the reason.
- **group** gives each event of severity ERROR and above its error group.
- **alert** looks at each transaction before it is committed: rules change their states in it, and what people are to
  be told is written into it as deliveries, which hooks on the event loop then carry out.
- **rotate** renames logs whose applications cannot (or copies and truncates them), in a thread of its own; what the
  store does not know stays.
- **archive** makes small verified files of rotated logs, in a process of low priority that works beside the reading;
  what it has made goes into the store before a log is deleted.
- **store** commits events, offsets, gaps, groups and rollups in one transaction. That is the whole of exactly-once:
  after a crash the offset and the rows are of the same moment, and reading goes on at the offset.

A room is a whole capability. What rooms share of an event stands in `core`, below all of them; `query` asks the store
and the archives, `views` makes the documents that faces show, and faces (`cli`) stand on top. `Agent` wires what works
while the agent runs, and reacts to signals; the thread that does the work per line is `ingest.Ingest`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from agent import __version__
from agent.alert.running import Alerting
from agent.core import catalogue
from agent.core.conditions import Reporter
from agent.core.errors import EXIT_DONE, EXIT_STORE, ConfigError, SidelogError, StoreError
from agent.core.service import ServiceManager
from agent.ingest import Counters, Ingest
from agent.intake import Intake
from agent.logkeeping import Logkeeping, archive_now, clear_interrupted
from agent.parse.settings import parse_settings, resources
from agent.store import tables
from agent.store.clock import DOUBT_S, WallClock, known_ns
from agent.store.lock import lock_path
from agent.store.maintenance import Maintenance
from agent.store.opening import OpenStore, open_store
from agent.store.retention import Retention
from agent.tail.settings import tail_settings
from agent.tail.tailer import Tailer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.config import Config
    from agent.tail.settings import Timing

INTAKE_BYTES = 2 * 2**20  # eight chunks: enough to keep the writer busy while the next ones are read
STOP_TIMEOUT_S = 4.0  # of the five that a stop may take; what is not committed by then is read again
_ONCE_GIVES_UP_S = 10.0
_CLOCK_GAP_S = 86_400.0  # at a start: a longer time since the last event may be a wrong clock
_ONCE_CLOCK_GAP_S = 8 * _CLOCK_GAP_S  # `--once` may be a weekly job
_SUPERVISE_S = 0.5
_REOPEN_S = 1.0
_PASSING_FAULTS = ("SL408", "SL412")  # locked, full, or a disk that fails: opening is tried again
_MOST_DAMAGED = 3  # stores that one process begins anew; a disk that spoils more needs a person

log = structlog.get_logger("sidelog")


class Summary(msgspec.Struct):
    """What a run did."""

    counters: Counters
    files: int
    seconds: float


class Agent:
    """One agent on one store.

    Args:
        config: validated.
        once: read everything that is there and end, instead of following.
        load_config: reads the configuration again, for SIGHUP.
        on_progress: called on the event loop now and then with the counters and the bytes still to read.
        service: the service manager.
        tail_timing: how long the tailer waits.
    """

    def __init__(
        self,
        config: Config,
        *,
        once: bool = False,
        load_config: Callable[[], Config] | None = None,
        on_progress: Callable[[Counters, int], None] | None = None,
        service: ServiceManager | None = None,
        tail_timing: Timing | None = None,
    ) -> None:
        self.config = config
        self._once = once
        self._load_config = load_config
        self._on_progress = on_progress
        self._service = service or ServiceManager()
        self._tail_timing = tail_timing
        self.reporter = Reporter()
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._generation = 1
        self._alerting: Alerting | None = None
        self._logkeeping: Logkeeping | None = None
        self._started_at = time.time_ns()

    async def run(self) -> Summary:
        """Work until SIGTERM or SIGINT, or with `once` until everything is stored.

        A store found damaged while running is moved aside and a new one begun, in this process, which reads again
        what the sources still hold.

        A store that cannot be opened for now (a full disk, another program's lock) is waited for, unless `once`.

        Raises:
            StoreError: the store cannot be owned or opened, or was deleted or replaced under the running agent.
        """
        _tune_collector()
        catalogue.load()
        damaged, spoiled, created = 0, False, False
        path = self.config.store.path
        with self._signals():
            while not self._stop.is_set():
                opened = None
                created = created or not path.exists()  # an attempt that fails may leave a part of a store
                try:
                    opened = open_store(
                        path,
                        min_free_bytes=self.config.store.min_free,
                        resources=resources(self.config),
                        damaged=spoiled,
                    )
                    opened.created |= created
                    return await self._work(opened)
                except StoreError as error:
                    passing = error.code in _PASSING_FAULTS and not (self._once or spoiled)
                    spoiled = error.code == "SL402" and opened is not None and damaged < _MOST_DAMAGED
                    if not (passing or spoiled):
                        raise
                    damaged += spoiled
                    self.reporter.report(error)
                finally:
                    if opened is not None:
                        opened.close()
                if passing:
                    self._service.alive()
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self._stop.wait(), _REOPEN_S)
        return Summary(Counters(), 0, 0.0)

    # ------------------------------------------------------------ one session on one store

    async def _work(self, opened: OpenStore) -> Summary:
        began = time.monotonic()
        connection = opened.writer.connection
        known = tables.load_files(connection)
        tables.begin_run(connection, self._run_facts())
        if opened.moved_aside is not None:
            self.reporter.report(_moved_aside(self.config.store.path, opened.moved_aside))
        await asyncio.to_thread(clear_interrupted, opened.writer.change)
        intake = Intake(INTAKE_BYTES)
        tailer = Tailer(
            tail_settings(self.config),
            known,
            intake.put,
            room=intake.room,
            allocate_id=_ids_after(tables.last_file_id(connection)),
            report=self.reporter.report,
            avoid=self._own_paths(),
            first_start=opened.created and opened.moved_aside is None,
            once=self._once,
            timing=self._tail_timing,
        )
        alerting = self._alerting = Alerting(self.config, opened.writer, intake.wake, self.reporter.report)
        gap_s = _ONCE_CLOCK_GAP_S if self._once else _CLOCK_GAP_S
        clock = WallClock(known_ns(connection), gap_s, _warn_of_clock)
        maintenance = Maintenance(opened.writer, self._retention(opened), report=self.reporter.report, clock=clock)
        ingest = Ingest(
            intake,
            opened.writer,
            maintenance,
            settings=parse_settings(self.config),
            flush_interval_s=self.config.store.flush_interval,
            reporter=self.reporter,
            changed_files=tailer.take_changed,
            on_fault=opened.lock.note,
            give_up_s=_ONCE_GIVES_UP_S if self._once else None,
            alerts=alerting.rules,
        )
        ingest.start()
        logkeeping = self._logkeeping = Logkeeping(self.config, tailer, ingest.change, self.reporter.report)
        try:
            if not self._once:
                logkeeping.start()
            await self._follow(tailer, ingest, opened, maintenance)
        finally:
            await asyncio.to_thread(logkeeping.stop)
            await self._drain(intake, ingest)
            await alerting.finish(lambda: self._once and not self._stop.is_set())
        self._judge(ingest.failure)
        if self._once:
            change, report = opened.writer.change, self.reporter.report
            await asyncio.to_thread(archive_now, self.config, change, report, self._stop.is_set)
            maintenance.run_retention()
        with contextlib.suppress(StoreError):  # a full disk is no reason to fail a stop
            tables.end_run(connection, time.time_ns())
        return Summary(ingest.counters, len(tailer.files()), time.monotonic() - began)

    def _judge(self, failure: BaseException | None) -> None:
        """Raise what ended the writer, unless it only could not finish in time before a stop."""
        if failure is None:
            return
        if self._stop.is_set() and isinstance(failure, StoreError) and failure.retryable:
            log.warning("stopped with lines uncommitted; they will be read again", code=failure.code)
            return
        raise failure

    async def _follow(self, tailer: Tailer, ingest: Ingest, opened: OpenStore, maintenance: Maintenance) -> None:
        """Let the tailer run until it has ended, somebody asks for a stop, or the writer has failed."""
        tailing = asyncio.create_task(tailer.run(), name="tail")
        self._service.ready(f"following {len(self.config.sources)} sources")
        log.info("agent started", store=str(self.config.store.path), pid=os.getpid(), version=__version__)
        fed = (-1, -1)
        next_feed = 0.0
        try:
            while not (tailing.done() or self._stop.is_set() or ingest.failure or not ingest.is_alive()):
                await self._pause(tailing)
                if self._reload.is_set():
                    self._reload.clear()
                    await self._apply_reload(tailer, ingest, opened, maintenance)
                progress = (tailer.progress, ingest.counters.rounds)
                moved = progress[0] != fed[0] and progress[1] != fed[1]
                if moved and time.monotonic() >= next_feed:
                    fed, next_feed = progress, time.monotonic() + self._service.watchdog_interval_s
                    self._service.alive()
                if self._on_progress is not None:
                    self._on_progress(ingest.counters, sum(tailer.sizes().values()))
        finally:
            self._service.stopping()
            tailer.stop()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(tailing), STOP_TIMEOUT_S / 2)
            if not tailing.done():  # it waits for room in the intake: the writer is stuck
                tailing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await tailing
        if not tailing.cancelled():
            tailing.result()

    async def _pause(self, tailing: asyncio.Task[None]) -> None:
        """Until something happened that the supervisor looks at, or its interval is over."""
        waits = [asyncio.create_task(event.wait()) for event in (self._stop, self._reload)]
        try:
            await asyncio.wait([tailing, *waits], timeout=_SUPERVISE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _drain(self, intake: Intake, ingest: Ingest) -> None:
        """Let the writer commit what was read; what it cannot commit in time will be read again."""
        intake.close()
        patience = None if self._once and not self._stop.is_set() else STOP_TIMEOUT_S / 2
        await asyncio.to_thread(ingest.join, patience)
        if ingest.is_alive():
            ingest.hurry()
            await asyncio.to_thread(ingest.join, STOP_TIMEOUT_S / 2)
        if ingest.is_alive():  # inside a system call that does not end, such as fsync on a dead disk
            log.error("the store does not answer; lines not committed will be read again", code="SL412")
            os._exit(EXIT_DONE if self._stop.is_set() else EXIT_STORE)

    # ------------------------------------------------------------ signals and reload

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGTERM: self._stop.set, signal.SIGINT: self._stop.set, signal.SIGHUP: self._reload.set}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    async def _apply_reload(self, tailer: Tailer, ingest: Ingest, opened: OpenStore, maintenance: Maintenance) -> None:
        """Read the configuration again; a bad one leaves the running one as it is, and `status` says so."""
        self._service.reloading()
        self._generation += 1
        try:
            config = self._read_config()
        except SidelogError as error:
            self.reporter.report(_reload_refused(error))
            log.warning("configuration not reloaded", code=error.code, error=error.message, hint=error.hint)
        else:
            self.config = config
            # The last batches of a source that is gone now may still be on their way.
            ingest.settings = {**ingest.settings, **parse_settings(config)}
            ingest.flush_interval_s = config.store.flush_interval
            opened.writer.min_free_bytes = config.store.min_free
            opened.writer.resources = resources(config)
            maintenance.retention = self._retention(opened)
            if self._alerting is not None:
                self._alerting.reload(config)
            if self._logkeeping is not None:
                self._logkeeping.reload(config)
            await tailer.reload(tail_settings(config))
            self.reporter.clear(frozenset({"SL601"}))
            log.info("configuration reloaded", generation=self._generation)
        self._service.ready(f"following {len(self.config.sources)} sources")

    def _read_config(self) -> Config:
        if self._load_config is None:
            return self.config
        config = self._load_config()
        if config.store.path != self.config.store.path:
            raise ConfigError(
                "SL602",
                "reload",
                str(config.store.path),
                f"store.path cannot change from {self.config.store.path} to {config.store.path} in a running agent",
                hint="restart the agent to use another store",
            )
        return config

    # ------------------------------------------------------------ facts

    def _retention(self, opened: OpenStore) -> Retention:
        kept = self.config.store.retention
        age_ns = None if kept.age is None else int(kept.age * 1e9)
        return Retention(opened.writer, age_ns=age_ns, size_bytes=kept.size)

    def _run_facts(self) -> dict[str, object]:
        return {"pid": os.getpid(), "started_at": self._started_at, "version": __version__, "once": self._once}

    def _own_paths(self) -> list[Path]:
        """What must never be followed: the agent would feed itself."""
        store = self.config.store.path
        own = [store, lock_path(store), *(store.with_name(store.name + end) for end in ("-wal", "-shm", "-journal"))]
        own.append(self.config.archive_directory)
        with contextlib.suppress(OSError):
            own.append(Path("/proc/self/fd/2").readlink())
        return own


def _tune_collector() -> None:
    """Reference counting frees everything on the hot path; the cycle collector would walk it in vain (0.2 µs per
    event at its default threshold).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _ids_after(last: int) -> Callable[[], int]:
    """Hands out the ids of new file generations."""
    counter = iter(range(last + 1, 2**62))
    return lambda: next(counter)


def _warn_of_clock(ahead_s: float) -> None:
    log.warning(
        "the clock is far ahead of what is known; nothing is deleted by age for a while",
        ahead_s=round(ahead_s),
        wait_s=DOUBT_S,
    )


def _moved_aside(store: Path, aside: Path) -> StoreError:
    return StoreError(
        "SL409",
        "open store",
        str(store),
        f"the store was damaged and lies now at {aside}; a new one was begun",
        hint="events whose log files are gone are only in the damaged file: `sqlite3 FILE .recover` may save them",
    )


def _reload_refused(error: SidelogError) -> ConfigError:
    return ConfigError(
        "SL601",
        "reload",
        "configuration",
        f"the changed configuration was not taken over: {error.message}",
        hint=error.hint or "mend it and send SIGHUP again; the agent goes on with the old one",
    )
