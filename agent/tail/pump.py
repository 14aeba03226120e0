"""Reading: chunks of the files that grew, through the line reader, to `deliver`."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

from agent.core.decompress import compression
from agent.core.model import HEAD_BYTES
from agent.tail.discover import Found

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.tail.roster import Roster
    from agent.tail.stream import Stream

CHUNK_BYTES = 1 << 18
_READ_BYTES = 1 << 20  # per file and round: 10 ms of the writer's time. A read costs 60 to 190 µs of thread switches,
# which at 256 KiB were twice as much per line (0.3 µs) as the parts of a batch's way through the tailer together
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
        """Read once, at most 1 MiB, and deliver the lines in batches of at most CHUNK_BYTES and a carried line.

        The bytes before the position are read along: the file may have been truncated and written anew since the look
        that found it grown, and then the next look is to find that out.

        Raises:
            OSError: the file cannot be read.
        """
        reader = stream.reader
        stream.final = False
        assert stream.handle is not None
        known = reader.recent
        os.lseek(stream.fd, reader.position - len(known), os.SEEK_SET)
        grown = min(_READ_BYTES, max(stream.size - reader.position, 0) + _PAGE_BYTES)
        data = await stream.handle.read(len(known) + grown)
        if not data.startswith(known):
            stream.next_poll, stream.mtime_ns = 0.0, 0  # both writes may bear the same time
            return
        if reader.position == 0 and compression(data) and await self._reject(stream, data):
            return
        if stream.retry_s:
            stream.retry_s = 0.0
            self._roster.conditions.end(stream.file.current_path, "SL208")
        begin = reader.position
        stream.grow_head(begin, data[len(known) : len(known) + HEAD_BYTES])
        self.bytes_read += len(data) - len(known)
        for start in range(len(known), len(data), CHUNK_BYTES):
            await self._deliver(stream, data[start : start + CHUNK_BYTES])
            if self.stopping or reader.position > begin + start - len(known) + CHUNK_BYTES:  # the latter: past a hole
                break
        self._look_again(stream)
        if self._roster.crowded and stream.drained:
            await self._roster.close(stream)

    def _look_again(self, stream: Stream) -> None:
        now = time.monotonic()
        stream.last_growth = now
        grid = stream.interval_s = self._interval_s
        # one grid for all files, so that many busy ones share a round
        stream.next_poll = (now // grid + 1) * grid if stream.drained else now

    async def _deliver(self, stream: Stream, chunk: bytes) -> None:
        reader = stream.reader
        if len(chunk) >= _PAGE_BYTES and not reader.carry and not chunk.strip(b"\0"):
            start = reader.position
            end = _data_after(stream.fd, start + len(chunk), stream.size)
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
