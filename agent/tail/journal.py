"""Following one journal: a journalctl that runs as long as the agent does, begun again where it ends.

What journalctl does not say is asked: whether the entry at which reading goes on is still there, and whether anything
that is selected has come since. An entry is looked for only after something behind it was read: what was there then was
there when it was read.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from agent.core.errors import TailError
from agent.tail.journalctl import (
    CHUNK_BYTES,
    TOLD,
    Journalctl,
    cursor_in,
    entries_between,
    failure,
    first_entry,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.core.conditions import Conditions
    from agent.core.model import LineBatch
    from agent.tail.discover import SourceSettings
    from agent.tail.journalctl import JournalLines, JournalSelection

_RETRY_S = 0.5  # after a journalctl that has ended; doubles
_RETRY_LIMIT_S = 60.0
_SETTLED_S = 1.0  # one that has not ended by then, or said anything, works
_IDLE_S = 600.0  # without an entry for so long: the cursor moves on to what the journal has dropped last
_BLOCKED_S = 5.0  # reading has waited for the store for so long: what journalctl was to show may be vacuumed
_ROOM_S = 0.25
_CODES = ("SL211", "SL212", "SL213", "SL214")


class JournalFollower:
    """Reads the entries that one source selects. Used on the event loop only.

    Args:
        source: whose they are; `lines` says the rest.
        lines: the reading state, which outlives the program.
        deliver: takes a batch.
        room: whether there is room for another read behind `deliver`; waits for it, at most so many seconds.
        gate: held while lines are read and delivered.
        conditions: of reading.
        clock: Unix ns.
        once: end when what is there has been read.
    """

    def __init__(
        self,
        source: SourceSettings,
        lines: JournalLines,
        deliver: Callable[[LineBatch], Awaitable[None]],
        *,
        room: Callable[[float], Awaitable[bool]],
        gate: asyncio.Lock,
        conditions: Conditions,
        clock: Callable[[], int],
        once: bool,
    ) -> None:
        assert source.journal is not None
        self.source = source
        self.lines = lines
        self.selection: JournalSelection = source.journal
        self.bytes_read = 0
        self.at_end = False  # it is to begin behind the newest entry, which is not known yet
        self._deliver = deliver
        self._room = room
        self._gate = gate
        self._conditions = conditions
        self._clock = clock
        self._once = once
        self._joining = False  # the first line is to show whether entries were vacuumed
        self._pending = b""
        self._works = False

    @property
    def subject(self) -> str:
        """Whom its conditions are about."""
        return self.lines.file.path

    async def begin_at_end(self) -> None:
        """Let reading begin behind the newest entry that there is now.

        Raises:
            TailError: the journal cannot be read.
        """
        self.lines.cursor = await first_entry(self.selection) or b""
        self.at_end = False

    async def run(self) -> None:
        """Read, and begin again where journalctl has ended, until this is cancelled; with `once` to the end."""
        pause_s = _RETRY_S
        while True:
            self._works = False
            began = time.monotonic()
            try:
                await self._read_all()
            except TailError as error:
                self._conditions.begin(error)
            if self._once:
                return
            pause_s = _RETRY_S if time.monotonic() - began >= _RETRY_LIMIT_S else pause_s
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _RETRY_LIMIT_S)

    def end_conditions(self) -> None:
        """It is not read any more."""
        self._conditions.end(self.subject, *_CODES)

    async def _read_all(self) -> None:
        """Read what is there, and then what comes, as long as a journalctl follows.

        A following one shows the entries of the last boot alone, unless it is told to merge, which for this machine's
        journal would bring those of others.

        Raises:
            TailError: it cannot be started, or it has ended although it was to go on.
        """
        directory = self.selection.directory
        if not self.selection.is_there():
            raise TailError.of("SL213", self.subject, directory=directory)
        if self.at_end:
            await self.begin_at_end()
            async with self._gate:
                await self._deliver(self.lines.moved(self.lines.cursor, self._clock()))
        if self._once or directory is None:
            await self._run([])
        if not self._once:
            await self._run(["--follow", "--no-tail", *(["--merge"] if directory is not None else [])])

    async def _run(self, how: list[str]) -> None:
        """Let one journalctl write, and read it to its end."""
        cursor = self.lines.cursor
        where = [f"--cursor={cursor.removeprefix(TOLD).decode()}"] if cursor else []
        program = await Journalctl.start(*self.selection.arguments, *how, *where)
        self.lines.begin()
        self._joining, self._pending = bool(cursor) and not cursor.startswith(TOLD), b""
        try:
            await self._read(program)
            code = await program.end()
        finally:
            await program.kill()
        if code or how:
            raise refusal(self.subject, self.selection, program.said) or failure(self.subject, code, program.said)
        await self._look_behind()

    async def _read(self, program: Journalctl) -> None:
        reading: asyncio.Task[bytes] | None = None
        patience_s = _SETTLED_S
        try:
            while True:
                blocked = await self._wait_for_room()
                reading = reading or asyncio.create_task(program.output.read(CHUNK_BYTES))
                done, _ = await asyncio.wait({reading}, timeout=patience_s)
                if not done:
                    self._judge(program)
                    await (self._look_behind() if patience_s < _IDLE_S else self._move_on(reading))
                    patience_s = _IDLE_S
                    continue
                data, reading = reading.result(), None
                if not data:
                    return
                await self._take(data, blocked=blocked)
                if not self._works:
                    self._judge(program)
                patience_s = _IDLE_S
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.wait({reading})

    async def _wait_for_room(self) -> bool:
        """Wait until there is room; whether that was for long."""
        began = time.monotonic()
        while not await self._room(_ROOM_S):
            pass
        return time.monotonic() - began >= _BLOCKED_S

    def _judge(self, program: Journalctl) -> None:
        """It has given entries, or had the time to say what is wrong."""
        self._works = True
        error = refusal(self.subject, self.selection, program.said)
        self._conditions.end(self.subject, *(code for code in _CODES if error is None or code != error.code))
        if error is not None:
            self._conditions.begin(error)

    async def _take(self, data: bytes, *, blocked: bool) -> None:
        """Deliver what journalctl has written."""
        self.bytes_read += len(data)
        if self._joining:
            self._pending += data
            newline = self._pending.find(b"\n") + 1
            if not newline and len(self._pending) <= self.lines.max_line:
                return
            data, self._pending = self._pending, b""
            if newline and cursor_in(data[:newline]) == self.lines.cursor:
                data = data[newline:]
                self._joining = False
        if self._joining or blocked:
            await self._look_behind()
        async with self._gate:
            for batch in self.lines.feed(data, self._clock()):
                await self._deliver(batch)

    async def _look_behind(self) -> None:
        """Make a gap of what was vacuumed behind the cursor. Entries that a journal has lost cannot be counted by what
        is selected: all are.
        """
        cursor = self.lines.cursor
        if not cursor or cursor.startswith(TOLD):
            self._joining = False
            return
        first = await first_entry(self.selection, f"--cursor={cursor.decode()}")
        if first is None:  # the journal is empty: what comes will tell
            return
        self._joining = False
        if first != cursor:
            async with self._gate:
                await self._deliver(self.lines.lost(entries_between(cursor, first), self._clock()))

    async def _move_on(self, reading: asyncio.Task[bytes]) -> None:
        """Nothing selected has come for long: let the cursor be that of the newest entry, as long as it can be shown
        that nothing selected lies before. Else what the journal loses of others, later, would be taken for a gap.
        """
        cursor = self.lines.cursor
        newest = await first_entry(self.selection)
        if not cursor or newest is None or newest == cursor or self._joining:
            return
        old = cursor.removeprefix(TOLD)
        program = await Journalctl.start(*self.selection.arguments, "--lines=2", f"--cursor={old.decode()}")
        try:
            data = await program.output.read()
            code = await program.end()
        finally:
            await program.kill()
        others = [line for line in data.split(b"\n") if line and cursor_in(line) != old]
        async with self._gate:
            if not (code or others or reading.done()) and self.lines.cursor == cursor:
                await self._deliver(self.lines.moved(newest, self._clock()))
