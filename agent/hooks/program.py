"""Running a hook once: a program, or one POST to a webhook, its output bounded.

A program runs without a shell, in a session of its own, and is killed whole at its timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

import msgspec

from agent import __version__
from agent.core.units import format_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OUTPUT_BYTES = 65_536  # kept of what a hook says; the rest is read and thrown away, so that it goes on
_FLOOD_PAUSE_S = 0.015  # between two reads of the rest: 65 MB/s, where reading as it comes would take half a core
_FLOOD_BYTES = 2**20  # that the kernel holds of it, and that are read at once
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
VALUE_BYTES = 4_096  # of one variable; Linux takes no more than of an argument and starts nothing where one is longer
_ARGUMENT_BYTES = 131_072  # of one argument with the zero at its end, on Linux
# What the system refuses for the command itself, whatever becomes of the program. All else may pass: a program is away
# for a moment while it is replaced, a file system is mounted late.
_FOR_GOOD = frozenset((errno.E2BIG, errno.ENAMETOOLONG))
_KILL_WAIT_S = 5.0  # a killed process ends at once, unless it hangs in the kernel
_POLL_S = 0.02


class HookResult(msgspec.Struct):
    """How a hook's run ended. `error` is the catalogue's key of what kept it from running, empty where it ran.
    `retryable`: the same run may end otherwise later.
    """

    ok: bool
    said: str  # `exit 0`, `timeout after 10s`, `HTTP 503`
    output: str = ""
    error: str = ""
    retryable: bool = True


def base_environment() -> dict[str, str]:
    """What a program has in its environment: nothing of the agent's own, which may hold secrets."""
    user = _user()
    found = {"PATH": SEARCH_PATH, "LANG": "C.UTF-8"}
    if user is not None:
        found |= {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    return found


def environment(document: Mapping[str, Any]) -> dict[str, str]:
    """The whole environment of a hook: whatever is in the document, texts of at most VALUE_BYTES with which a program
    can be started.
    """
    values = {
        "SIDELOG_RULE": str(document["rule"]),
        "SIDELOG_STATE": str(document["state"]),
        "SIDELOG_SEVERITY": str(document["severity"]),
        "SIDELOG_VALUE": f"{document['value']:g}",
        "SIDELOG_THRESHOLD": f"{document['threshold']:g}",
        "SIDELOG_KEY": _short_json(document["key"]),
        "SIDELOG_DELIVERY_ID": str(document["delivery_id"]),
    }
    return base_environment() | {name: _startable(value) for name, value in values.items()}


def _startable(text: str) -> str:
    """A text as a variable's value: without what no variable can hold, cut at a character."""
    data = text.replace("\0", "\\0").encode("utf-8", "backslashreplace")
    return data[:VALUE_BYTES].decode("utf-8", "ignore")


def _short_json(key: Mapping[str, str | None]) -> str:
    """A key as JSON text, in ASCII: no NUL, no lone surrogate. Where it is too long, its names and values are cut to
    the greatest length with which it fits, so that it stays JSON.
    """
    text = _compact(key)
    low, high = 0, VALUE_BYTES  # characters of a value; `low` fits
    while len(text) > VALUE_BYTES and low < high:
        middle = (low + high + 1) // 2
        if len(_compact(_cut(key, middle))) <= VALUE_BYTES:
            low = middle
        else:
            high = middle - 1
    return text if len(text) <= VALUE_BYTES else _compact(_cut(key, low))


def _compact(key: Mapping[str, str | None]) -> str:
    return json.dumps(key, separators=(",", ":"))


def _cut(key: Mapping[str, str | None], most: int) -> dict[str, str | None]:
    return {name[:most]: value and value[:most] for name, value in key.items()}


def _user() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(os.geteuid())
    except KeyError:
        return None


def find(name: str) -> str:
    """The program that a bare name means; the name itself where there is none."""
    return shutil.which(name, path=SEARCH_PATH) or name


def unsafe(program: str) -> str | None:
    """Why a program must not be run: somebody else could have written it. None where it may."""
    path = Path(program)
    for place in (path, path.parent):
        try:
            status = place.stat()
        except (OSError, ValueError):  # a NUL in it, or half of a surrogate pair
            return None  # starting it says better what is wrong
        if status.st_uid not in (0, os.geteuid()):
            return f"{place} belongs to another user (uid {status.st_uid})"
        open_to = status.st_mode & (stat.S_IWOTH | (stat.S_IWGRP if place is path else 0))
        if open_to and not (place is not path and status.st_mode & stat.S_ISVTX):
            return f"{place} can be written by others (mode {stat.S_IMODE(status.st_mode):o})"
    return None


def unstartable(command: Sequence[str]) -> str | None:
    """Why a command can never be started, by the way it is written. None where nothing in it forbids it."""
    for part in command:
        try:
            size = len(os.fsencode(part))
        except UnicodeEncodeError:
            return "half of a surrogate pair is in it"
        if "\0" in part:
            return "a NUL is in it"
        if size >= _ARGUMENT_BYTES:
            return f"an argument of {format_size(size)} is longer than {format_size(_ARGUMENT_BYTES)}"
    return None


async def run(command: Sequence[str], document: bytes, env: Mapping[str, str], timeout_s: float) -> HookResult:
    """Run a program with a document on its standard input.

    Its process group is killed at the timeout, and also what is left of it when the program has ended: a hook that
    wants to leave something running starts it in a session of its own.
    """
    program = find(command[0])
    if (reason := unsafe(program)) is not None:
        return HookResult(ok=False, said=f"refused: {reason}", error="SL701")
    try:
        with _as_file(document) as stdin:
            process = subprocess.Popen(  # noqa: S603, ASYNC220  the administrator's own; returns once it is started
                [program, *command[1:]],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=dict(env),
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        shown = program.encode("utf-8", "backslashreplace").decode()
        may_pass = isinstance(error, OSError) and error.errno not in _FOR_GOOD
        return HookResult(ok=False, said=f"{shown} cannot be started: {reason}", error="SL702", retryable=may_pass)
    run_ = _Run(process)
    try:
        async with asyncio.timeout(timeout_s):
            await run_.ended()
    except TimeoutError:
        await run_.end()
        return HookResult(ok=False, said=f"timeout after {timeout_s:g}s", output=run_.text())
    finally:
        await run_.end()
    status = process.returncode
    said = f"exit {status}" if status is not None and status >= 0 else f"killed by signal {-(status or 0)}"
    return HookResult(ok=status == 0, said=said, output=run_.text())


def _as_file(document: bytes) -> BinaryIO:
    """An anonymous file in memory that holds a document. Not a pipe: a hook outlives an agent that is killed, and must
    not be left with half of a document then.
    """
    make = getattr(os, "memfd_create", None)
    file: BinaryIO = open(make("sidelog-alert"), "w+b") if make else tempfile.TemporaryFile()  # noqa: SIM115, PTH123
    file.write(document)
    file.seek(0)
    return file


class _Run:
    """A running program: listens to it, ends it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._process = process
        self._stdout = process.stdout
        self._output = bytearray()
        self._loop = asyncio.get_running_loop()
        os.set_blocking(self._stdout.fileno(), False)
        self._loop.add_reader(self._stdout.fileno(), self._listen)
        self._over = False
        self._pause: asyncio.TimerHandle | None = None
        self._rest = bytearray()  # where the rest is read to, over and over, once there is one

    def text(self) -> str:
        """What it said, at most OUTPUT_BYTES of it."""
        return self._output.decode("utf-8", "backslashreplace").replace("\0", "\\0")

    async def ended(self) -> None:
        """Wait until the program has ended; it is not reaped, so that its number stays its own."""
        opened = getattr(os, "pidfd_open", None)
        if opened is None:  # not on Linux
            while not _has_ended(self._process.pid):  # noqa: ASYNC110  nothing tells
                await asyncio.sleep(_POLL_S)
            return
        handle = opened(self._process.pid)
        gone = asyncio.Event()
        try:
            self._loop.add_reader(handle, gone.set)
            await gone.wait()
        finally:
            self._loop.remove_reader(handle)
            os.close(handle)

    async def end(self) -> None:
        """Kill what is left of its group, reap it, close the pipes; a second time is nothing."""
        if self._over:
            return
        self._over = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._process.poll() is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_KILL_WAIT_S):
                    await self.ended()
            self._process.poll()
        if not self._stdout.closed:
            self._drain()
        self._close()

    def _listen(self) -> bool:
        """Read once; whether there may be more."""
        try:
            data = self._read()
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._close()
            return False
        self._output += data[: OUTPUT_BYTES - len(self._output)]
        if len(self._output) >= OUTPUT_BYTES and not self._over:
            self._loop.remove_reader(self._stdout.fileno())
            if not self._rest:
                self._rest = bytearray(_FLOOD_BYTES)
                _widen(self._stdout)
            self._pause = self._loop.call_later(_FLOOD_PAUSE_S, self._listen_again)
        return True

    def _read(self) -> bytes:
        """What there is, as far as it is kept; of what is not kept a byte, as a sign that there was something."""
        if not self._rest:
            return os.read(self._stdout.fileno(), OUTPUT_BYTES)
        return b"\0" if os.readv(self._stdout.fileno(), [self._rest]) else b""

    def _listen_again(self) -> None:
        """Go on after a pause: at once where something waits, which saves the loop two turns."""
        if not self._stdout.closed and not self._listen() and not self._stdout.closed:
            self._loop.add_reader(self._stdout.fileno(), self._listen)

    def _drain(self) -> None:
        """Read what it left in the pipe; a child that has left the group may go on writing."""
        while len(self._output) < OUTPUT_BYTES and self._listen():
            pass

    def _close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        if not self._stdout.closed:
            self._loop.remove_reader(self._stdout.fileno())
            self._stdout.close()


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold more, where the system can and the user may."""
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _FLOOD_BYTES)


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


# ---------------------------------------------------------------- webhooks


_SUCCESS = range(200, 300)


async def post(url: str, headers: Mapping[str, str], document: bytes, timeout_s: float) -> HookResult:
    """POST a document. Delivered is what is answered with 2xx; redirections are not followed, since the headers may
    hold a token that is meant for this address alone.
    """
    import httpx  # noqa: PLC0415  70 ms and 12 MB that only those with a webhook should pay

    sent = {"Content-Type": "application/json", "User-Agent": f"sidelog/{__version__}", **headers}
    kept = bytearray()
    try:
        async with (
            asyncio.timeout(timeout_s),
            httpx.AsyncClient(timeout=timeout_s, follow_redirects=False) as client,
            client.stream("POST", url, content=document, headers=sent) as answer,
        ):
            async for part in answer.aiter_bytes():
                kept += part[: OUTPUT_BYTES - len(kept)]
                if len(kept) >= OUTPUT_BYTES:
                    break
            said = f"HTTP {answer.status_code}"
            output = kept.decode("utf-8", "backslashreplace").replace("\0", "\\0")
            return HookResult(ok=answer.status_code in _SUCCESS, said=said, output=output)
    except (TimeoutError, httpx.TimeoutException):
        return HookResult(ok=False, said=f"timeout after {timeout_s:g}s")
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL, ValueError) as error:
        # It never left: wrong in itself. The words of these errors repeat parts of the address and of headers, which
        # are secrets: "Invalid port: 's3c'" of a password with a slash in it.
        said = f"{type(error).__name__}: the webhook is no address that a request can be sent to"
        return HookResult(ok=False, said=said, retryable=False)
    except httpx.HTTPError as error:
        # The URL is a secret: name the kind of error and what the system said, not the request.
        cause = error.__cause__ or error
        said = type(error).__name__ if url in str(cause) else f"{type(error).__name__}: {cause}"
        return HookResult(ok=False, said=said[:500])
