"""The architecture in short, read first: rooms, threads, walks; and the wiring of what works while the agent runs.
`docs/architecture.md` has the walks step by step, `CONTRIBUTING.md` what to touch for which change.

    log files ──▶ tail ──▶ intake ──▶ parse ──▶ group ──▶ store + alert ──▶ query ──▶ views ──▶ cli (other processes)
                  ▲  │        │       └──────── one writer thread ──────┘
                  │  │        └ bounded in bytes: when the store is slow, reading waits; the files are the buffer
                  │  └ event loop: watches directories, reads chunks of whole lines, never looks into them
                  └ after each commit: the positions that are stored now

A room is a whole capability, and arrows between rooms go downwards only (`pyproject.toml` has the contract):

- **core** has what all rooms need of an event and of a file, and knows none of them.
- **tail** finds files, keeps their identity over renames, truncation and restarts, and hands out `LineBatch`es; those
  of journals and of standard input too (`tail.streams`).
- **parse** turns lines into columns (`EventBatch`); **group** gives each error its group.
- **store** is the one SQLite file: one writing connection, and a transaction for everything of one moment.
- **alert** judges rules in the transaction; **hooks** tells people of them.
- **archive** makes small verified files of rotated logs; **rotate** renames logs whose applications cannot.
- **query** asks for events: a language, and an engine for each place where they are (`sqlite`, `archives`). In idle
  moments the writer thread counts the commonest fields for it (`sqlite.learning`).
- **views** makes the documents that faces show, and **cli** is a face. No room needs anything of these two.

Who works, and what it owns. Between threads go messages: values that nobody changes any more.

- **The event loop** owns `Tailer` (files as `FileGeneration`s, their readers) and the hooks. It sends `LineBatch`,
  `FileChange` and `IngestSettings` through the `Intake`, in one order.
- **The writer thread**, `Ingest`, owns the store's connection, the positions of files, the rules and, in its
  `TransactionBuilder`, the parsers. It tells the tailer each position that it has committed (`Tailer.acknowledge`) and
  the hooks their deliveries.
- **Rotation and archiving** have threads of their own (`Logkeeping`); what they write, the writer writes for them
  (`Ingest.change`).

The walks:

- A line: `Tailer` reads it (`LineReader`) → `Intake` → `TransactionBuilder.add` (`FileParser.feed`, `Grouper.assign`) →
  `StoreWriter.write`, which commits events, positions, gaps, groups and rollups at once. That is the whole of
  exactly-once: after a crash position and rows are of the same moment, and reading goes on at the position.
- A query: a face parses it, the engines of both tiers look, and their union gives rows in the order of time.
- An alert: `StoreWriter.write` shows the transaction to its hook `LiveAlerts`, which changes states and writes
  deliveries into it → after the commit the `HookDispatcher` runs the programs → their outcomes go into a later
  transaction.
- A rotated file: the tailer finds it by its inode or content and reads it to its end → it is quiet and all of it is
  stored → archiving compresses, verifies and indexes it, and only then deletes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from agent import __version__
from agent.alert.running import Alerting
from agent.core.errors import EXIT_DONE, EXIT_STORE, StoreError
from agent.core.times import boot_ns
from agent.forward import passed
from agent.forward.settings import TargetReport  # noqa: TC001 - the struct has it
from agent.ingest import Counters, Ingest
from agent.intake import IngestSettings, Intake
from agent.logkeeping import Logkeeping, archive_now, clear_interrupted
from agent.store import alerts as alert_tables
from agent.store import field_counts, tables, team
from agent.store.archive_totals import archive_totals
from agent.store.lock import store_files
from agent.store.maintenance import DOUBT_S, Maintenance, Retention, WallClock, known_ns
from agent.tail.discover import tail_settings
from agent.tail.tailer import Tailer

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from agent.config import Config
    from agent.core.conditions import Reporter
    from agent.core.metrics import AgentCounters, SourceArchives
    from agent.query.sqlite.learning import Learner
    from agent.store.edit import Change
    from agent.store.opening import OpenStore
    from agent.store.writer import StoreWriter
    from agent.tail.harvester import Timing

INTAKE_BYTES = 2 * 2**20  # eight chunks: enough to keep the writer busy while the next ones are read
STOP_TIMEOUT_S = 4.0  # of the five that a stop may take; what is not committed by then is read again
_ONCE_GIVES_UP_S = 10.0
_CLOCK_GAP_S = 86_400.0  # at a start: a longer time since the last event may be a wrong clock
_ONCE_CLOCK_GAP_S = 8 * _CLOCK_GAP_S  # `--once` may be a weekly job

log = structlog.get_logger("sidelog")


class Summary(msgspec.Struct):
    """What a run did."""

    counters: Counters
    files: int
    seconds: float
    undelivered: dict[str, int] = {}  # of each hook how many deliveries are left for the next start
    unforwarded: list[TargetReport] = []  # the targets of `forward`, after a run that ends by itself


class Pipeline:
    """Everything that works on one open store. Made on the event loop; `start`, then `finish`.

    Args:
        config: validated.
        opened: the store. Its connection belongs to the writer thread from `start` until that has ended.
        reporter: collects own errors from all threads.
        counters: of the process.
        once: read everything that is there and end, instead of following.
        stdin: the descriptor of standard input, where that is to be read: end with it.
        started_at: of the agent, Unix ns.
        stopping: whether somebody has asked for a stop.
        tail_timing: how long the tailer waits.
    """

    def __init__(
        self,
        config: Config,
        opened: OpenStore,
        reporter: Reporter,
        counters: AgentCounters,
        *,
        once: bool,
        stdin: int | None = None,
        started_at: int,
        stopping: Callable[[], bool],
        tail_timing: Timing | None = None,
    ) -> None:
        self._began = time.monotonic()
        self._undelivered: dict[str, int] = {}  # by hook, once `finish` knows it
        self.config = config  # that it goes by now; the event loop
        self._opened, self._reporter = opened, reporter
        self._once = once
        self._ends = once or stdin is not None  # by itself
        self._stopping = stopping
        connection, settings = opened.writer.connection, IngestSettings.from_config(config)
        known, judged_until = tables.load_files(connection), _begin_run(connection, started_at, once=once)
        self._intake = Intake(INTAKE_BYTES)  # a passage: its lock guards it
        # The event loop.
        self.tailer = Tailer(
            tail_settings(config),
            known,
            self._intake.put,
            changed=self._intake.send,
            room=self._intake.room,
            allocate_id=_ids_after(tables.last_file_id(connection)),
            report=reporter.report,
            avoid=_own_paths(config),
            first_start=opened.created and opened.moved_aside is None,
            once=once,
            stdin=stdin,
            timing=tail_timing,
        )
        # The event loop runs the hooks; the rules belong to the writer thread.
        self._alerting = Alerting(
            config, connection, self._intake.wake, reporter.report, judged_until, metrics=counters
        )
        # The writer thread, and what it does between transactions.
        self._maintenance = _maintenance(opened.writer, settings, reporter, once=once)
        self.ingest = Ingest(
            self._intake,
            opened.writer,
            self._maintenance,
            settings=settings,
            known=known,
            reporter=reporter,
            acknowledge=self.tailer.acknowledge,
            on_fault=opened.lock.note,
            metrics=counters,
            give_up_s=_ONCE_GIVES_UP_S if once else None,
            hooks=(self._alerting.rules,),
            idle=None if once else _learning(opened.writer),
        )
        archived = archive_totals(connection)
        self._logkeeping = Logkeeping(config, self.tailer, self.ingest.change, reporter.report, archived)

    async def start(self) -> None:
        """Begin to store; what the tailer is to read is stored from now on."""
        await asyncio.to_thread(clear_interrupted, self._opened.writer.change)
        writer = self._opened.writer
        if team.is_due(writer.connection, self.config.store.group):
            await asyncio.to_thread(self._share, writer.change)
        self.ingest.start()
        if not self._once:
            self._logkeeping.start()

    @property
    def failed(self) -> bool:
        """Whether nothing is stored any more."""
        return self.ingest.failure is not None or not self.ingest.is_alive()

    def firing(self) -> dict[str, int]:
        """Of each rule for how many keys it fires. Any thread may call it."""
        return self._alerting.rules.firing

    def open_circuits(self) -> dict[str, bool]:
        """Of each hook whether its circuit is open. On the event loop."""
        return self._alerting.open_circuits()

    def archive_totals(self) -> dict[str, SourceArchives]:
        """Of each source that has archives. Any thread may call it."""
        return self._logkeeping.archives.totals

    async def reload(self, config: Config) -> None:
        """Go on with another configuration, each of the parts as soon as it can."""
        groups = {self.config.store.group, config.store.group}
        self.config = config
        settings = IngestSettings.from_config(config)
        if groups != {None}:
            with contextlib.suppress(StoreError):  # the writer has ended, which is told by itself
                await asyncio.to_thread(self._share, self.ingest.change)
        self._intake.configure(settings)
        self._alerting.reload(config)
        self._logkeeping.reload(config)
        # A name may be another source's now: what was read for the old one is parsed as that says, redaction included.
        await self.tailer.reload(tail_settings(config), partial(self._intake.send, settings))

    def _share(self, change: Change) -> None:
        """Let the group of the configuration read the store, or take that back."""
        path, group = self.config.store.path, self.config.store.group
        problem = change(lambda connection: team.share(connection, path, group), durable=False)
        if problem is None:
            self._reporter.clear(frozenset({"SL416"}))
        else:
            self._reporter.report(problem)

    async def finish(self) -> None:
        """Store what the tailer, which has ended, has read, and let everything end."""
        await asyncio.to_thread(self._logkeeping.stop)
        await self._drain()
        self._undelivered = await self._alerting.finish(lambda: self._ends and not self._stopping())

    async def _drain(self) -> None:
        """Let the writer commit what was read; what it cannot commit in time will be read again."""
        self._intake.close()
        patience = None if self._ends and not self._stopping() else STOP_TIMEOUT_S / 2
        await asyncio.to_thread(self.ingest.join, patience)
        if self.ingest.is_alive():
            self.ingest.hurry()
            await asyncio.to_thread(self.ingest.join, STOP_TIMEOUT_S / 2)
        if self.ingest.is_alive():  # inside a system call that does not end, such as fsync on a dead disk
            log.error("the store does not answer; lines not committed will be read again", code="SL412")
            os._exit(EXIT_DONE if self._stopping() else EXIT_STORE)

    async def conclude(self) -> Summary:
        """After `finish`: what is done when nothing is read any more, and what the run did.

        Raises:
            BaseException: what has ended the writer, unless it only could not finish in time before a stop.
        """
        failure = self.ingest.failure
        if failure is not None:
            if not (self._stopping() and isinstance(failure, StoreError) and failure.retryable):
                raise failure
            log.warning("stopped with lines uncommitted; they will be read again", code=failure.code)
        writer = self._opened.writer
        if self._once:
            await asyncio.to_thread(archive_now, self.config, writer.change, self._reporter.report, self._stopping)
            self._maintenance.run_retention()
        with contextlib.suppress(StoreError):  # a full disk is no reason to fail a stop
            tables.end_run(writer.connection, time.time_ns())
            late = self._reporter.take()  # what was reported after the writer had ended
            writer.change(partial(tables.save_own_errors, errors=late))
        seconds = time.monotonic() - self._began
        return Summary(self.ingest.counters, len(self.tailer.files()), seconds, self._undelivered)


def _maintenance(writer: StoreWriter, settings: IngestSettings, reporter: Reporter, *, once: bool) -> Maintenance:
    return Maintenance(
        writer,
        Retention(
            writer, age_ns=settings.retention_age_ns, size_bytes=settings.retention_size_bytes, wanted=passed.wanted
        ),
        report=reporter.report,
        clock=WallClock(known_ns(writer.connection), _ONCE_CLOCK_GAP_S if once else _CLOCK_GAP_S, _warn_of_clock),
    )


def _learning(writer: StoreWriter) -> Callable[[], bool]:
    """Counts fields in idle moments. What it needs is loaded when there is a block to count."""
    learner: Learner | None = None

    def step() -> bool:
        nonlocal learner
        if learner is None:
            if field_counts.highest_block(writer.connection) < 0:
                return False
            from agent.query.sqlite.learning import Learner  # noqa: PLC0415 - stringzilla and 12 ms

            learner = Learner(writer)
        return learner.step()

    return step


def _begin_run(connection: sqlite3.Connection, started_at: int, *, once: bool) -> int:
    """Note this run in the store; until when the rules were judged before it (Unix ns)."""
    judged_until = alert_tables.judged_until(connection, time.time_ns(), boot_ns())
    tables.begin_run(connection, {"pid": os.getpid(), "started_at": started_at, "version": __version__, "once": once})
    return judged_until


def _own_paths(config: Config) -> list[Path]:
    """What must never be followed: the agent would feed itself."""
    own = [*store_files(config.store.path), config.archive_directory]
    with contextlib.suppress(OSError):
        own.append(Path("/proc/self/fd/2").readlink())
    return own


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
