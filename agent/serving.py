"""The HTTP server as the agent has it: a process of its own, started, fed, watched and stopped here.

The agent binds the address and lends it to the process (`supervision`), which may end and begin again without refusing
anybody. What it is told twice a second is how the agent is (`core.metrics.Vitals`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from agent.clickhouse.address import ClickHouseAddress  # noqa: TC001 - the struct has it
from agent.config import HttpConfig, RuleConfig, TlsConfig, listen_address
from agent.core.errors import HttpError
from agent.supervision import ChildProcess, end_task
from agent.views.listening import is_answered, listening_family, tls_fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.config import Config
    from agent.core.conditions import Reporter
    from agent.core.metrics import Vitals

_LONGEST_PAUSE_S = 60.0
_BIND_TRIES_S = 5.0  # the server of an agent that was killed ends as soon as another owns the store
_BACKLOG = 512
_CONDITIONS = frozenset({"SL901", "SL902", "SL914"})

log = structlog.get_logger("sidelog")


class TypedCommands(msgspec.Struct, frozen=True):
    """What pages say to type, anywhere on this machine: what prints a link to them, and what searches as they do."""

    opener: str = "sidelog token link"
    searcher: str = "sidelog query"


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the server is told at its start. `descriptor` is the listening socket that it has from the agent."""

    http: HttpConfig
    store: str
    archive_directory: str
    rules: list[RuleConfig] = []
    certificates: list[list[int]] = []  # which files these are: one that was renewed is loaded by a reload
    typed: TypedCommands = TypedCommands()
    descriptor: int | None = None
    fleet: ClickHouseAddress | None = None  # that is asked for events in place of the store

    def to_line(self) -> bytes:
        """The message of them, one line of JSON."""
        return msgspec.json.encode(self, enc_hook=os.fsdecode) + b"\n"


def read_settings(line: bytes) -> ServerSettings:
    """The settings of a message."""
    return msgspec.json.decode(line, type=ServerSettings, dec_hook=lambda kind, text: kind(text))


class ServerProcess:
    """Used on the event loop.

    Args:
        reporter: collects own errors.
        vitals: how the agent is now.
        typed: what the pages say to type.
    """

    def __init__(self, reporter: Reporter, vitals: Callable[[], Vitals], typed: TypedCommands) -> None:
        self._reporter = reporter
        self._typed = typed
        self._child = ChildProcess(
            "agent.http",
            steady=lambda: reporter.clear(frozenset({"SL902"})),
            say=lambda: vitals().to_line(),
        )
        self._task: asyncio.Task[None] | None = None
        self._settings: ServerSettings | None = None
        self._listener: socket.socket | None = None  # kept while the address is the same: nobody is refused meanwhile

    async def use(self, config: Config) -> None:
        """Serve as a configuration says; where the settings are the same nothing is begun anew."""
        settings = None if config.http is None else server_settings(config, config.http, self._typed)
        if settings == self._settings:
            return
        before = self._settings
        await self._end_task()
        if before is not None and (settings is None or settings.http.listen != before.http.listen):
            self._give_back(before.http.listen)
        self._settings = settings
        if settings is None:
            self._reporter.clear(_CONDITIONS)
        else:
            self._task = asyncio.create_task(self._keep(settings), name="http")

    async def stop(self) -> None:
        """End the process and give back the address."""
        before, self._settings = self._settings, None
        await self._end_task()
        if before is not None:
            self._give_back(before.http.listen)

    async def _end_task(self) -> None:
        task, self._task = self._task, None
        await end_task(task)

    def _give_back(self, address: str) -> None:
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        if address.startswith("unix:"):
            with contextlib.suppress(OSError):
                Path(address.removeprefix("unix:")).unlink()

    # ------------------------------------------------------------ one address

    async def _keep(self, settings: ServerSettings) -> None:
        if self._listener is None:
            self._listener = await self._bind(settings.http)
        if settings.http.tls is not None:
            await self._certified(settings.http.tls)
        settings = msgspec.structs.replace(settings, descriptor=self._listener.fileno())
        await self._child.keep(
            settings.to_line(), partial(self._ended, settings.http.listen), descriptors=(self._listener.fileno(),)
        )

    def _ended(self, listen: str, said: str, pause_s: float) -> None:
        self._reporter.report(HttpError.of("SL902", listen, why=said, wait_s=round(pause_s)))

    async def _bind(self, http: HttpConfig) -> socket.socket:
        """The listening socket; tried again until it can be had."""
        pause_s, end = 0.1, time.monotonic() + _BIND_TRIES_S
        while True:
            try:
                listener = listening_socket(http.listen)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                    self._reporter.report(HttpError.of("SL901", http.listen, why=error))
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                self._reporter.clear(frozenset({"SL901"}))
                return listener
            await asyncio.sleep(pause_s)

    async def _certified(self, tls: TlsConfig) -> None:
        """Wait until the certificate can be used."""
        pause_s = 0.5
        while (fault := await asyncio.to_thread(tls_fault, tls)) is not None:
            self._reporter.report(fault)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s)
        self._reporter.clear(frozenset({"SL914"}))


def server_settings(config: Config, http: HttpConfig, typed: TypedCommands) -> ServerSettings:
    """What a server is told of a configuration, and what its pages say to type."""
    return ServerSettings(
        http=http,
        store=os.fsdecode(config.store.path),
        archive_directory=os.fsdecode(config.archive_directory),
        rules=config.alerts,
        certificates=[] if http.tls is None else [_identity(http.tls.certificate), _identity(http.tls.key)],
        typed=typed,
    )


def _identity(path: Path) -> list[int]:
    """What changes with a file."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns]


# ---------------------------------------------------------------- the address


def listening_socket(listen: str) -> socket.socket:
    """A socket that listens at `HOST:PORT` or `unix:/path`.

    Raises:
        OSError: it cannot be had.
    """
    if listen.startswith("unix:"):
        return _unix_socket(listen.removeprefix("unix:"))
    host, port = listen_address(listen) or ("", 0)
    family, both = listening_family(host)
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    # Those that it accepts have it too: else an answer's body would wait 40 ms for what acknowledges its headers.
    # asyncio sets it only where a socket says that its protocol is TCP, which this one leaves to the system.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _unix_socket(path: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, "there is a file of this name, which is no socket", path)
        if is_answered(path):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)
        Path(path).unlink()  # it was left by a process that is gone
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        Path(path).chmod(0o660)  # nobody can connect before it listens
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
