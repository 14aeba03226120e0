"""The agent as a process: opens the store, reacts to signals, reports to the service manager.

What works on an open store is `pipeline.Pipeline`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import structlog

from agent import __version__
from agent.core import catalogue
from agent.core.conditions import Reporter
from agent.core.errors import ConfigError, SidelogError, StoreError
from agent.core.metrics import AgentCounters, Vitals
from agent.core.text import counted, is_seen
from agent.forwarding import ForwardProcess, forward_once, save_targets
from agent.ingest import Counters
from agent.pipeline import STOP_TIMEOUT_S, Pipeline, Summary
from agent.serving import ServerProcess, TypedCommands
from agent.store.opening import OpenStore, open_store
from agent.vitals import VitalSigns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from agent.config import Config
    from agent.tail.harvester import Timing
    from agent.tail.tailer import Tailer

_SUPERVISE_S = 1.0
_PROGRESS_S = 0.5
_REOPEN_S = 1.0
_PASSING_FAULTS = ("SL408", "SL412")  # locked, full, or a disk that fails: opening is tried again
_MOST_DAMAGED = 3  # stores that one process begins anew; a disk that spoils more needs a person

log = structlog.get_logger("sidelog")


class Agent:
    """One agent on one store. Everything here belongs to the event loop.

    Args:
        config: validated.
        once: read everything that is there and end, instead of following.
        stdin: the descriptor of standard input, where that is to be read: end with it.
        load_config: reads the configuration again, for SIGHUP.
        on_progress: called on the event loop now and then with the counters and the bytes still to read.
        service: the service manager.
        tail_timing: how long the tailer waits.
        typed: what the pages say to type.
    """

    def __init__(
        self,
        config: Config,
        *,
        once: bool = False,
        stdin: int | None = None,
        load_config: Callable[[], Config] | None = None,
        on_progress: Callable[[Counters, int], None] | None = None,
        service: ServiceManager | None = None,
        tail_timing: Timing | None = None,
        typed: TypedCommands | None = None,
    ) -> None:
        self.config = config
        self._once = once
        self._stdin = stdin
        self._load_config = load_config
        self._on_progress = on_progress
        self._service = service or ServiceManager()
        self._tail_timing = tail_timing
        self._counters = AgentCounters()
        self.reporter = Reporter(counters=self._counters)
        self._pipeline: Pipeline | None = None  # None while the store cannot be opened
        self._ready = False
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._attention = asyncio.Event()  # the supervisor is to look
        self._generation = 1
        self._started_at = time.time_ns()
        self._signs = VitalSigns(self.reporter, self._counters, self._started_at)
        self._server = ServerProcess(self.reporter, self._vitals, typed or TypedCommands())
        self._forward = ForwardProcess(self.reporter)

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
        with self._signals():
            try:
                return await self._keep_open()
            finally:
                await self._server.stop()

    async def _keep_open(self) -> Summary:
        damaged, spoiled, created = 0, False, False
        path = self.config.store.path
        while not self._stop.is_set():
            opened = None
            created = created or not is_seen(path)  # an attempt that fails may leave a part of a store
            try:
                store = self.config.store
                opened = open_store(
                    path, min_free_bytes=store.min_free, damaged=spoiled, migration_copy=store.migration_copy
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

    def _vitals(self) -> Vitals:
        vitals = self._signs.take(self._pipeline, ready=self._ready, stopping=self._stop.is_set())
        vitals.forward_lag = self._forward.lag
        return vitals

    # ------------------------------------------------------------ one session on one store

    async def _work(self, opened: OpenStore) -> Summary:
        pipeline = Pipeline(
            self.config,
            opened,
            self.reporter,
            self._counters,
            once=self._once,
            stdin=self._stdin,
            started_at=self._started_at,
            stopping=self._stop.is_set,
            tail_timing=self._tail_timing,
        )
        if opened.moved_aside is not None:
            self.reporter.report(StoreError.of("SL409", self.config.store.path, aside=opened.moved_aside))
        if opened.renewed is not None and self.config.forward:
            self.reporter.report(opened.renewed)
        if opened.former is not None:
            log.info("the store was migrated; a copy of what it was lies beside it", copy=str(opened.former))
        if self._once or self._stdin is not None:  # before retention looks what is waited for
            await asyncio.to_thread(save_targets, self.config, opened.writer.change)
        await pipeline.start()
        self._pipeline = pipeline
        try:
            if not (self._once or self._stdin is not None):
                await self._server.use(self.config)
                await self._forward.use(self.config, pipeline.ingest.change)
            await self._follow(pipeline)
        finally:
            self._pipeline, self._ready = None, False
            await asyncio.gather(self._forward.stop(), pipeline.finish())
        summary = await pipeline.conclude()
        if (self._once or self._stdin is not None) and self.config.forward and not self._stop.is_set():
            summary.unforwarded = await asyncio.to_thread(
                forward_once, self.config, opened.writer.change, self._stop.is_set
            )
        return summary

    async def _follow(self, pipeline: Pipeline) -> None:
        """Let the tailer run until it has ended, somebody asks for a stop, or the writer has failed."""
        tailer, counters = pipeline.tailer, pipeline.ingest.counters
        tailing = asyncio.create_task(tailer.run(), name="tail")
        tailing.add_done_callback(lambda _: self._attention.set())
        announcing = asyncio.create_task(self._announce(tailer), name="announce")
        fed = (-1, -1)
        next_feed = 0.0
        try:
            while not (tailing.done() or self._stop.is_set() or pipeline.failed):
                await self._pause()
                if self._reload.is_set():
                    self._reload.clear()
                    await self._apply_reload(pipeline)
                progress = (tailer.progress, counters.rounds)
                moved = progress[0] != fed[0] and progress[1] != fed[1]
                if moved and time.monotonic() >= next_feed:
                    fed, next_feed = progress, time.monotonic() + self._service.watchdog_interval_s
                    self._service.alive()
                if self._on_progress is not None:
                    self._on_progress(counters, sum(lag.size for lag in tailer.lags()))
        finally:
            announcing.cancel()
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

    async def _announce(self, tailer: Tailer) -> None:
        """Say that the agent has started, once what is written from now on is read: also where `start: end` counts."""
        await tailer.looked.wait()
        self._ready = True
        self._service.ready(f"following {counted(len(self.config.sources), 'source')}")
        log.info("agent started", store=str(self.config.store.path), pid=os.getpid(), version=__version__)

    async def _pause(self) -> None:
        """Until something happened that the supervisor looks at, or its interval is over."""
        pause_s = _SUPERVISE_S if self._on_progress is None else _PROGRESS_S
        timer = asyncio.get_running_loop().call_later(pause_s, self._attention.set)
        await self._attention.wait()
        timer.cancel()
        self._attention.clear()

    # ------------------------------------------------------------ signals and reload

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop, signal.SIGHUP: self._reload}
        for number, event in handlers.items():
            loop.add_signal_handler(number, self._tell, event)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _tell(self, event: asyncio.Event) -> None:
        event.set()
        self._attention.set()

    async def _apply_reload(self, pipeline: Pipeline) -> None:
        """Read the configuration again; a bad one leaves the running one as it is, and `status` says so."""
        self._service.reloading()
        self._generation += 1
        try:
            config = self._read_config()
        except SidelogError as error:
            self.reporter.report(
                ConfigError.of("SL601", "configuration", message=error.message, hint=error.hint or None)
            )
            log.warning("configuration not reloaded", code=error.code, error=error.message, hint=error.hint)
        else:
            self.config = config
            await pipeline.reload(config)
            await self._server.use(config)
            await self._forward.use(config, pipeline.ingest.change)
            self.reporter.clear(frozenset({"SL601"}))
            log.info("configuration reloaded", generation=self._generation)
        self._service.ready(f"following {counted(len(self.config.sources), 'source')}")

    def _read_config(self) -> Config:
        if self._load_config is None:
            return self.config
        config = self._load_config()
        if config.store.path != self.config.store.path:
            raise ConfigError.of("SL602", config.store.path, old=self.config.store.path)
        return config


def _tune_collector() -> None:
    """Reference counting frees everything on the hot path; the cycle collector would walk it in vain (0.2 µs per
    event at its default threshold).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


# ---------------------------------------------------------------- the service manager


class ServiceManager:
    """Tells systemd how the agent is; does nothing where no service manager listens.

    Args:
        environ: where NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        own = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        micros = environ.get("WATCHDOG_USEC", "0") if own else "0"
        self.watchdog_interval_s = int(micros) / 2e6 if micros.isdigit() else 0.0  # half of it, as systemd advises

    def ready(self, status: str) -> None:
        """The store is open and files are being followed."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The agent is on its way out."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(message.encode(), address)
