"""Reading standard input: a pipe, a terminal, or a file of which nothing is known but what it gives."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from agent.core.errors import TailError
from agent.core.model import STDIN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.core.conditions import Conditions
    from agent.core.model import LineBatch
    from agent.tail.reader import LineReader

_CHUNK_BYTES = 1 << 18
_SMALL_CHUNK_BYTES = 1 << 13  # of lines shorter than _SHORT_LINE_BYTES: what is not stored yet must not be many lines
_SHORT_LINE_BYTES = 64
_ROOM_S = 0.25


class InputReader:
    """Reads a descriptor to its end, or until it is stopped. Used on the event loop only.

    Args:
        fd: stays open, and as it is: that it does not block would be so for all who share it.
        reader: the reading state.
        deliver: takes a batch.
        room: as for `journal.JournalFollower`.
        gate: held while lines are read and delivered.
        conditions: of reading.
        clock: Unix ns.
    """

    def __init__(
        self,
        fd: int,
        reader: LineReader,
        deliver: Callable[[LineBatch], Awaitable[None]],
        *,
        room: Callable[[float], Awaitable[bool]],
        gate: asyncio.Lock,
        conditions: Conditions,
        clock: Callable[[], int],
    ) -> None:
        self.reader = reader
        self._fd = fd
        self._deliver = deliver
        self._room = room
        self._gate = gate
        self._conditions = conditions
        self._clock = clock
        self._ready = asyncio.Event()
        self._stopping = False
        self._chunk_bytes = _SMALL_CHUNK_BYTES

    def stop(self) -> None:
        """Let `run` end with what was read until now."""
        self._stopping = True
        self._ready.set()

    async def run(self) -> None:
        """Read and deliver; at the end a last line without its newline is a line, and the generation is over."""
        try:
            while not self._stopping:
                if not await self._room(_ROOM_S):
                    continue
                data = await self._read()
                if not data:
                    break
                is_short = data.count(b"\n") * _SHORT_LINE_BYTES > len(data)
                self._chunk_bytes = _SMALL_CHUNK_BYTES if is_short else _CHUNK_BYTES
                async with self._gate:
                    for batch in self.reader.feed(data, self._clock()):
                        await self._deliver(batch)
        except OSError as error:  # a terminal that is gone
            self._conditions.begin(TailError.of("SL215", STDIN, why=error))
        finally:
            async with self._gate:
                batch = self.reader.finish(self._clock())
                batch.ends = True
                await self._deliver(batch)

    async def _read(self) -> bytes:
        """The next bytes; none at the end, or where it was stopped. No thread waits for them: a read that nobody
        answers could not be ended.
        """
        loop = asyncio.get_running_loop()
        try:
            loop.add_reader(self._fd, self._ready.set)
        except PermissionError:  # a file, of which there is always something to read, or its end
            await asyncio.sleep(0)
            return os.read(self._fd, self._chunk_bytes)
        try:
            await self._ready.wait()
        finally:
            loop.remove_reader(self._fd)
        if self._stopping:
            return b""
        self._ready.clear()
        return os.read(self._fd, self._chunk_bytes)
