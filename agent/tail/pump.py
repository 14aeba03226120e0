"""Reading: chunks of the files that grew, through the line reader, to `deliver`."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

from agent.tail.discover import Found
from agent.tail.identity import compression

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.tail.roster import Roster
    from agent.tail.stream import Stream

CHUNK_BYTES = 1 << 18
_CHUNKS_PER_ROUND = 4  # 1 MiB per file and round: about 10 ms of the writer's time
_PAGE_BYTES = 4096  # a chunk of NULs of this size or more may be a hole


class Pump:
    """Reads streams of the roster; `bytes_read` counts for the watchdog."""

    def __init__(self, roster: Roster, clock: Callable[[], int], interval_s: float) -> None:
        self.bytes_read = 0
        self.stopping = False
        self._roster = roster
        self._clock = clock
        self._interval_s = interval_s

    async def read(self, stream: Stream) -> None:
        """Read at most `_CHUNKS_PER_ROUND` chunks and deliver their lines.

        Raises:
            OSError: the file cannot be read; what was read before is delivered.
        """
        reader = stream.reader
        stream.final = False
        os.lseek(stream.fd, reader.position, os.SEEK_SET)
        for _ in range(_CHUNKS_PER_ROUND):
            wanted = min(CHUNK_BYTES, max(stream.size - reader.position, 0) + _PAGE_BYTES)
            start = reader.position
            assert stream.handle is not None
            chunk = await stream.handle.read(wanted)
            if not chunk:
                break
            if stream.retry_s:
                stream.retry_s = 0.0
                self._roster.conditions.end(stream.file.current_path, "SL208")
            if start == 0 and compression(chunk) and await self._reject(stream, chunk):
                return
            stream.grow_head(start, chunk)
            stream.last_growth = time.monotonic()
            self.bytes_read += len(chunk)
            await self._deliver(stream, chunk)
            if len(chunk) < wanted or self.stopping or stream.fd < 0:
                break
        stream.file.last_read = self._clock()
        stream.interval_s = self._interval_s
        now = time.monotonic()
        # one grid for all files, so that many busy ones share a round
        grid = stream.interval_s
        if self._roster.crowded and stream.drained:
            await self._roster.close(stream)
        stream.next_poll = now if stream.reader.position < stream.size else (now // grid + 1) * grid

    async def _deliver(self, stream: Stream, chunk: bytes) -> None:
        reader = stream.reader
        if len(chunk) >= _PAGE_BYTES and not reader.carry and not chunk.strip(b"\0"):
            start = reader.position
            end = _data_after(stream.fd, start + len(chunk), stream.size)
            os.lseek(stream.fd, end, os.SEEK_SET)
            batches = reader.skip_hole(start, end, self._clock())
        else:
            batches = reader.feed(chunk, self._clock())
        for batch in batches:
            await self._roster.deliver(batch)

    async def _reject(self, stream: Stream, chunk: bytes) -> bool:
        file = stream.file
        found = Found(file.current_path, stream.source, stream.key, stream.size, stream.mtime_ns)
        return await self._roster.reject_compressed(stream, found, chunk)


def _data_after(fd: int, offset: int, size: int) -> int:
    """Where data begins at or after `offset` (lseek SEEK_DATA); the size where there is none."""
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        return max(size, offset) if error.errno == errno.ENXIO else offset
