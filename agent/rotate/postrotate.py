"""Telling an application that its log was renamed, by a signal, by a command, or not at all; and whether it has opened
its log again.

Whether it can be told is found out before anything is renamed: an application that cannot be told would write on in the
renamed log.
"""

# ruff: noqa: PTH120 - paths are str here, as in tail

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import shutil
import signal
import stat
import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from agent.core.errors import RotateError
from agent.core.text import OPEN_FLAGS
from agent.hooks import program
from agent.tail import files, locate

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.config import RotateConfig, SignalConfig
    from agent.core.conditions import Conditions
    from agent.tail.identity import FileKey

_PIDFILE_BYTES = 4096
_STOP_LOOK_S = 0.1
_STATUS = "/proc/{}/status"  # proc(5)
_FATAL = {
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGKILL,
}  # who names these wants an end, and a new start
_HARMLESS = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}  # signal(7): ignored where not handled


class Postrotate(Protocol):
    """An application that can be told now."""

    def run(self, document: bytes, stop: Callable[[], bool]) -> bool:
        """Tell it; False where `stop` ended that early.

        Args:
            document: JSON, which logs were rotated.
            stop: whether the agent ends.

        Raises:
            RotateError: it was not told.
        """
        ...

    def close(self) -> None:
        """It is not going to be told."""
        ...


def prepare(source: str, config: RotateConfig) -> Postrotate:
    """What tells the application of a source.

    Raises:
        RotateError: SL821, SL822, it cannot be told now.
    """
    if config.signal is not None:
        return _find_process(source, config.signal)
    if config.command is not None:
        return _find_command(source, config.command, config.timeout)
    return _NoPostrotate()


class _NoPostrotate:
    """The application finds out by itself."""

    def run(self, _document: bytes, _stop: Callable[[], bool]) -> bool:
        return True

    def close(self) -> None:
        pass


# ---------------------------------------------------------------- by a signal


class _SignalPostrotate(msgspec.Struct):
    """A running process; `handle` (pidfd_open(2)) keeps its number from meaning another one, -1 where there is none."""

    source: str
    pidfile: str
    pid: int
    number: signal.Signals
    handle: int

    def run(self, _document: bytes, _stop: Callable[[], bool]) -> bool:
        try:
            if self.handle >= 0:
                signal.pidfd_send_signal(self.handle, self.number)
            else:
                os.kill(self.pid, self.number)
        except ProcessLookupError:
            pass  # it has ended since: whoever comes after it opens the log by its name
        except OSError as error:
            why = f"names process {self.pid}, which cannot be signalled: {os.strerror(error.errno or 0)}"
            raise RotateError.of("SL821", self.source, pidfile=self.pidfile, why=why) from None
        return True

    def close(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1


def signal_number(name: str) -> signal.Signals:
    """USR1, SIGUSR1 or usr1."""
    return signal.Signals[f"SIG{name.upper().removeprefix('SIG')}"]


def _find_process(source: str, config: SignalConfig) -> _SignalPostrotate:
    pidfile = str(config.pidfile)
    number = signal_number(config.name)
    pid, owner = _read_pidfile(source, pidfile)
    handle = -1
    try:
        handle = _open_process(pid)
        os.kill(pid, 0)
        why = "" if owner in (0, os.geteuid()) else _why_not_of(pid, owner)
        if not why and _would_end(pid, number):
            why = f"{number.name} would end: it does not handle it yet, or is another process by now"
    except ProcessLookupError:
        why = "does not run"
    except OSError as error:
        why = f"cannot be signalled: {os.strerror(error.errno or 0)}"
    process = _SignalPostrotate(source, pidfile, pid, number, handle)
    if why:
        process.close()
        raise RotateError.of("SL821", source, pidfile=pidfile, why=f"names process {pid}, which {why}")
    return process


def _open_process(pid: int) -> int:
    """A handle of a process; -1 where there is no such thing: not Linux, before 5.3, a sandbox that forbids it.

    Raises:
        ProcessLookupError: there is no such process.
    """
    if not hasattr(os, "pidfd_open"):
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EPERM}:
            return -1
        raise


def _would_end(pid: int, number: signal.Signals) -> bool:
    """Whether a signal that is to mean something else would end a process. A pidfile that a crash has left may name
    another one by now; and an application may write its pidfile before it handles the signal.
    """
    if number in _HARMLESS or number in _FATAL:
        return False
    try:
        with open(_STATUS.format(pid), encoding="ascii", errors="replace") as file:  # noqa: PTH123 - of the kernel
            masks = re.findall(r"^Sig(?:Blk|Ign|Cgt):\s*([0-9a-f]+)$", file.read(), re.MULTILINE)
    except OSError:
        return False
    return bool(masks) and not any(int(mask, 16) >> number - 1 & 1 for mask in masks)


def _why_not_of(pid: int, owner: int) -> str:
    """Who may write a number into a file must not choose whom the agent signals: it may be root."""
    try:
        found = os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116
    except FileNotFoundError:
        return "cannot be seen in /proc, so that nobody knows whose it is"
    return "" if found == owner else f"is not of the file's owner (uid {owner})"


def _read_pidfile(source: str, pidfile: str) -> tuple[int, int]:
    """The process id in it, and the file's owner.

    Raises:
        RotateError: SL821.
    """
    try:
        fd = os.open(pidfile, os.O_RDONLY | OPEN_FLAGS)
    except OSError as error:
        raise RotateError.of(
            "SL821", source, pidfile=pidfile, why=f"cannot be read: {os.strerror(error.errno or 0)}"
        ) from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise RotateError.of("SL821", source, pidfile=pidfile, why="is no regular file")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            mode = stat.S_IMODE(status.st_mode)
            raise RotateError.of(
                "SL821", source, pidfile=pidfile, why=f"can be written by others than its owner (mode {mode:o})"
            )
        found = re.fullmatch(rb"\s*([0-9]{1,9})(\s.*)?", os.read(fd, _PIDFILE_BYTES), re.DOTALL)
    finally:
        os.close(fd)
    if found is None or int(found[1]) <= 1:
        raise RotateError.of("SL821", source, pidfile=pidfile, why="holds no process id")
    return int(found[1]), status.st_uid


# ---------------------------------------------------------------- by a command


class _CommandPostrotate(msgspec.Struct):
    """A program that may be run."""

    source: str
    command: list[str]
    timeout_s: float

    def run(self, document: bytes, stop: Callable[[], bool]) -> bool:
        environment = program.base_environment() | {"SIDELOG_SOURCE": self.source}
        result = asyncio.run(_run(self.command, document, environment, self.timeout_s, stop))
        if result is None:
            return False
        if not result.ok:
            said = result.output.strip().splitlines()
            why = f"{result.said}: {said[-1]}" if said else result.said
            raise RotateError.of("SL822", self.source, command=self.command[0], why=why)
        return True

    def close(self) -> None:
        pass


def _find_command(source: str, command: list[str], timeout_s: float) -> _CommandPostrotate:
    name = program.find(command[0])
    reason = program.unsafe(name)
    if reason is None and shutil.which(name) is None:
        reason = "there is no such program"
    if reason is not None:
        raise RotateError.of("SL822", source, command=command[0], why=reason)
    return _CommandPostrotate(source, command, timeout_s)


async def _run(
    command: list[str], document: bytes, environment: dict[str, str], timeout_s: float, stop: Callable[[], bool]
) -> program.HookResult | None:
    """The command's end; None where it was killed because the agent ends."""
    running = asyncio.ensure_future(program.run(command, document, environment, timeout_s))
    while not running.done():
        await asyncio.wait({running}, timeout=_STOP_LOOK_S)
        if stop():
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            return None
    return running.result()


# ---------------------------------------------------------------- whether it has opened its log again


class _RenamedLog(msgspec.Struct):
    """A renamed log: where it was seen last, and when it was renamed, Unix ns."""

    key: FileKey
    place: str
    at_ns: int

    def find(self, directory: str) -> bool:
        """Whether it is still in its directory; looks there only where it has got another name."""
        status = _status(self.place)
        if status is not None and files.is_file_as(status, self.key):
            return True
        place = locate.find_inode(self.key, [directory])
        self.place = place or self.place
        return place is not None

    def modified_ns(self) -> int:
        """When it was written last, Unix ns; 0 where it is gone again."""
        status = _status(self.place)
        return 0 if status is None else status.st_mtime_ns


class ReopenCheck:
    """Notices applications that write on in a renamed log.

    Args:
        conditions: SL824 is its own.
        reopened_s: an application that still writes in the renamed log after so long does not know of it.
    """

    def __init__(self, conditions: Conditions, reopened_s: float) -> None:
        self._conditions = conditions
        self._reopened_s = reopened_s
        self._renamed: dict[str, _RenamedLog] = {}  # by path; until there is a log

    def watch(self, path: str, key: FileKey, place: str) -> None:
        """The log at `path` was renamed to `place` a moment ago; `key` is its file."""
        self._renamed[path] = _RenamedLog(key, place, time.time_ns())

    def look(self) -> None:
        """Say which applications write on in a renamed log."""
        failing = set()
        for path, renamed in list(self._renamed.items()):
            if os.path.lexists(path) or not renamed.find(os.path.dirname(path)):
                del self._renamed[path]
            elif renamed.modified_ns() - renamed.at_ns > self._reopened_s * 1e9:
                self._conditions.begin(RotateError.of("SL824", path, rotated=renamed.place))
                failing.add(path)
        self._conditions.keep(failing, "SL824")


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None
