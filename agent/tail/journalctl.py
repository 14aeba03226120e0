"""Reading systemd's journal by its own program: how journalctl is called, what it says, and its lines as batches.

Each line of `journalctl -o json` has the cursor of its entry, which names the place behind it. Reading goes on by
`--cursor` and a comparison: `--after-cursor` of systemd 252 passes over the first entry behind one that was vacuumed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
from asyncio.subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING

import msgspec

from agent.core.errors import TailError
from agent.core.model import Gap, LineBatch
from agent.core.patterns import lazy
from agent.tail.reader import SAMPLE_BYTES, over_long

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from agent.config.schema import JournalConfig
    from agent.core.model import FileGeneration

PROGRAM = "journalctl"
CHUNK_BYTES = 1 << 18
TOLD = b"~"  # before a cursor: that it was vacuumed is a gap already
_SAID_BYTES = 4096
_PROBE_S = 30.0
_KILL_S = 1.0
# A quote inside a value has a backslash before it: these bytes are the key itself, wherever they stand.
_CURSOR = lazy(rb'[{,]"__CURSOR":"([^"\\]{1,512})"')
_CURSOR_BYTES = 1024  # in which key and value fit
_NUMBER = lazy(rb"(?:^|;)i=([0-9a-f]{1,16})(?:;|$)")
_JOURNAL_ID = lazy(rb"(?:^|;)s=([0-9a-f]+)(?:;|$)")


class JournalSelection(msgspec.Struct, frozen=True):
    """Which entries a source reads; an entry fits one of the units, one of the identifiers, and the priority."""

    units: tuple[str, ...]
    identifiers: tuple[str, ...]
    priority: str | None
    directory: str | None

    @staticmethod
    def from_config(journal: JournalConfig) -> JournalSelection:
        """What the configuration says."""
        directory = None if journal.directory is None else str(journal.directory)
        return JournalSelection(tuple(journal.units), tuple(journal.identifiers), journal.priority, directory)

    def is_there(self) -> bool:
        """Whether its directory is there, if it has one of its own."""
        return self.directory is None or os.path.isdir(self.directory)  # noqa: PTH112

    @property
    def name(self) -> str:
        """How it is called, as one text."""
        return shlex.join((PROGRAM, *self.arguments))

    @property
    def place(self) -> list[str]:
        """The arguments that say which journal."""
        return [] if self.directory is None else [f"--directory={self.directory}"]

    @property
    def arguments(self) -> list[str]:
        """The arguments of journalctl that say which journal, and which of its entries."""
        matches = [f"--unit={unit}" for unit in self.units] + [f"--identifier={name}" for name in self.identifiers]
        return [*self.place, *matches, *([] if self.priority is None else [f"--priority={self.priority}"])]


# ---------------------------------------------------------------- the program


class Journalctl:
    """A running journalctl. Its output is a pipe: when the other end is closed it ends by itself, also while it waits
    for entries, so that none outlives an agent that was killed.
    """

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self.output = process.stdout
        self.said = ""  # the end of what it has said on standard error
        self._process = process
        self._listening = asyncio.create_task(self._listen())

    @staticmethod
    async def start(*arguments: str) -> Journalctl:
        """Start it without a shell.

        Raises:
            TailError: SL211, it cannot be started.
        """
        command = [PROGRAM, "--output=json", "--all", "--no-pager", *arguments]
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=environment, start_new_session=True,
                limit=CHUNK_BYTES,
            )  # fmt: skip
        except OSError as error:
            raise TailError.of("SL211", PROGRAM, why=error) from None
        return Journalctl(process)

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(_SAID_BYTES):
            self.said = (self.said + data.decode("utf-8", "backslashreplace"))[-_SAID_BYTES:]

    async def end(self) -> int:
        """Its exit code, when it has ended by itself."""
        await self._listening
        return await self._process.wait()

    async def kill(self) -> None:
        """Let it end now."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._listening.cancel()
        with contextlib.suppress(asyncio.TimeoutError):  # one that hangs in a system call on a dead disk
            await asyncio.wait_for(self._drain(), _KILL_S)

    async def _drain(self) -> None:
        while await self.output.read(CHUNK_BYTES):
            pass
        await self._process.wait()


def refusal(subject: str, selection: JournalSelection, said: str) -> TailError | None:
    """What keeps journalctl from reading entries, from what it has said; None where nothing does."""
    if "insufficient permissions" in said or "not seeing messages from" in said or "Permission denied" in said:
        return TailError.of("SL212", subject, why=_last_line(said))
    return None if selection.is_there() else TailError.of("SL213", subject, directory=selection.directory)


def failure(subject: str, code: int, said: str) -> TailError:
    """The condition of a journalctl that has ended although it was to go on."""
    ending = f"exit code {code}" if code >= 0 else f"signal {-code}"
    return TailError.of("SL214", subject, ending=ending, why=_last_line(said) or "nothing")


def _last_line(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("-- ")]
    return lines[-1].strip()[:300] if lines else ""


async def first_entry(selection: JournalSelection, *more: str) -> bytes | None:
    """The cursor of the first entry that journalctl shows of a journal, whatever entries are selected; None: of none.

    Raises:
        TailError: it cannot be asked.
    """
    cursor, code, said = await _ask(*selection.place, *more)
    if code:
        raise refusal(PROGRAM, selection, said) or failure(PROGRAM, code, said)
    return cursor


async def has_entries(subject: str, selection: JournalSelection) -> bool:
    """Whether there is any entry that a source selects.

    Raises:
        TailError: the journal cannot be read, or not all of it.
    """
    cursor, code, said = await _ask(*selection.arguments)
    if (error := refusal(subject, selection, said)) is not None:
        raise error
    if code:
        raise failure(subject, code, said)
    return cursor is not None


async def _ask(*arguments: str) -> tuple[bytes | None, int, str]:
    """The cursor of the first entry shown, the exit code, and what was said."""
    program = await Journalctl.start("--lines=1", "--output-fields=_BOOT_ID", *arguments)
    try:
        data = await asyncio.wait_for(program.output.read(), _PROBE_S)
        code = await asyncio.wait_for(program.end(), _PROBE_S)
    except TimeoutError:
        raise TailError.of("SL214", PROGRAM, ending=f"no answer within {_PROBE_S:.0f} s", why="nothing") from None
    finally:
        await program.kill()
    found = _CURSOR.search(data)
    return found[1] if found else None, code, program.said


# ---------------------------------------------------------------- lines and cursors


def entries_between(before: bytes, after: bytes) -> int:
    """How many entries a journal has lost between two cursors; 1 where nobody knows."""
    ids = _JOURNAL_ID.search(before), _JOURNAL_ID.search(after)
    numbers = _NUMBER.search(before), _NUMBER.search(after)
    if not all((*ids, *numbers)) or ids[0][1] != ids[1][1]:  # type: ignore[index]
        return 1
    return max(1, int(numbers[1][1], 16) - int(numbers[0][1], 16) - 1)  # type: ignore[index]


def cursor_in(data: bytes | memoryview) -> bytes:
    """The cursor in a line, empty where there is none."""
    found = _CURSOR.search(data)
    return bytes(found[1]) if found else b""


class JournalLines:
    """From chunks of journalctl's output to batches of whole lines, each with the cursor that names its end.

    Attributes:
        file: of the batches.
        max_line: a longer line, without its newline, becomes a gap.
        offset: everything before it was returned in batches.
        cursor: of the entry before `offset`.
    """

    def __init__(self, file: FileGeneration, max_line: int, offset: int, cursor: bytes) -> None:
        self.file = file
        self.max_line = max_line
        self.offset = offset
        self.cursor = cursor
        self._carry = b""
        self._skipped = 0  # bytes of the over-long line that is being passed over
        self._sample = b""
        self._window = b""  # its last bytes, while its cursor is looked for
        self._found = b""

    def begin(self) -> None:
        """A program begins to write: what the one before did not end is written once more."""
        self._carry, self._skipped = b"", 0

    def feed(self, chunk: bytes, now_ns: int) -> list[LineBatch]:
        """Take the next bytes; the batches of the lines that they end, in order."""
        batches: list[LineBatch] = []
        if self._skipped:
            newline = chunk.find(b"\n") + 1
            self._skip(chunk[:newline] if newline else chunk)
            if not newline:
                return batches
            batches += self._end_skip(now_ns)
            chunk = chunk[newline:]
        end = chunk.rfind(b"\n") + 1
        if end:
            batches += self._cut(self._carry + chunk[:end], now_ns)
            self._carry = b""
        self._carry += chunk[end:]
        if len(self._carry) > self.max_line:
            self._sample, self._window, self._found = self._carry[:SAMPLE_BYTES], b"", b""
            self._skip(self._carry)
            self._carry = b""
        return batches

    def lost(self, count: int, now_ns: int) -> LineBatch:
        """So many entries behind the cursor are gone."""
        gap = Gap(self.offset, self.offset + count, "vacuumed")
        cursor = self.cursor if self.cursor.startswith(TOLD) else TOLD + self.cursor
        batch = LineBatch(self.file, self.offset, b"", now_ns, gaps=[gap], cursor=cursor)
        self.offset, self.cursor = gap.end, cursor
        return batch

    def moved(self, cursor: bytes, now_ns: int) -> LineBatch:
        """Nothing that is selected lies between the cursor and this one."""
        self.cursor = cursor
        return LineBatch(self.file, self.offset, b"", now_ns, cursor=cursor)

    def finish(self, now_ns: int) -> LineBatch:
        """The final batch."""
        return LineBatch(self.file, self.offset, b"", now_ns, final=True, cursor=self.cursor)

    def _cut(self, data: bytes, now_ns: int) -> list[LineBatch]:
        """Whole lines as batches, with every line over `max_line` as a gap between them."""
        batches: list[LineBatch] = []
        begin = 0
        for place, end in over_long(data, self.max_line):
            batches += self._whole(data[begin:place], now_ns)
            self._skipped, self._sample = end - place, data[place : place + SAMPLE_BYTES]
            self._found = cursor_in(memoryview(data)[place:end])
            batches += self._end_skip(now_ns)
            begin = end
        return batches + self._whole(data[begin:], now_ns)

    def _whole(self, data: bytes, now_ns: int) -> list[LineBatch]:
        if not data:
            return []
        last = data.rfind(b"\n", 0, -1) + 1
        self.cursor = cursor_in(memoryview(data)[last:]) or self.cursor
        batch = LineBatch(self.file, self.offset, data, now_ns, cursor=self.cursor)
        self.offset += len(data)
        return [batch]

    def _skip(self, part: bytes) -> None:
        self._skipped += len(part)
        if not self._found:
            self._window += part
            self._found = cursor_in(self._window)
            self._window = b"" if self._found else self._window[-_CURSOR_BYTES:]

    def _end_skip(self, now_ns: int) -> list[LineBatch]:
        if self._found and self._found == self.cursor:  # the entry at which reading goes on: it is a gap already
            self._skipped = 0
            return []
        gap = Gap(self.offset, self.offset + self._skipped, "over_long", self._sample)
        self.cursor = self._found or self.cursor
        batch = LineBatch(self.file, self.offset, b"", now_ns, gaps=[gap], cursor=self.cursor)
        self.offset, self._skipped = gap.end, 0
        return [batch]
