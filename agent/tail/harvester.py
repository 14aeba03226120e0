"""One followed file: its state, the look that tells whether it grew, was truncated or is gone, and its reading."""

# ruff: noqa: PTH116 - paths are str here: a pathlib object costs 20 times as much, 1,000 files a scan

from __future__ import annotations

import errno
import math
import os
import time
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from agent.core.decompress import compression
from agent.core.model import HEAD_BYTES
from agent.tail.discover import FoundFile
from agent.tail.identity import FileKey, generation, head_hash, same_generation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiofiles.threadpool.binary import AsyncFileIO

    from agent.core.model import FileGeneration
    from agent.tail.reader import LineReader
    from agent.tail.registry import Registry
    from agent.tail.settings import SourceSettings

CHUNK_BYTES = 1 << 18
_READ_BYTES = 1 << 20  # per file and round: 10 ms of the writer's time. A read costs 60 to 190 µs of thread switches,
# which at 256 KiB were twice as much per line (0.3 µs) as the parts of a batch's way through the tailer together
_PAGE_BYTES = 4096  # a chunk of NULs of this size or more may be a hole


class Harvester(msgspec.Struct, eq=False):
    """A file generation, its reading state, and when to look at it next (instants on the monotonic clock)."""

    source: SourceSettings
    reader: LineReader
    head: bytes
    resolved: str  # the path without symbolic links at the opening
    handle: AsyncFileIO | None = None
    fd: int = -1  # of the handle; -1 while closed
    size: int = 0  # as last seen
    mtime_ns: int = 0
    links: int = 1  # 0: deleted
    globbed: bool = True  # its present path is one that the source matches
    short_copy: bool = False  # a copy made before the last lines were read: nothing to read, nothing to doubt
    armed: bool = False  # an inotify watch will wake it
    final: bool = False  # the final batch has been delivered
    next_poll: float = 0.0
    interval_s: float = 0.0
    last_growth: float = 0.0
    retry_s: float = 0.0  # > 0 while reading fails

    @property
    def file(self) -> FileGeneration:
        """The generation, as it is now."""
        return self.reader.file

    def change(self, **facts: object) -> None:
        """What is known of the generation has changed; `Registry.save` tells the store."""
        self.reader.file = replace(self.reader.file, **facts)

    @property
    def key(self) -> FileKey:
        """Device and inode."""
        return FileKey(self.file.device, self.file.inode)

    @property
    def drained(self) -> bool:
        """Whether all bytes that were seen have been read."""
        return self.reader.position >= self.size

    def grow_head(self, start: int, chunk: bytes) -> None:
        """Let the head hash cover the bytes `chunk`, read at `start`, as far as they belong to the head. From the very
        beginning they are the head, whatever the file began with when it was opened.
        """
        if start == 0:
            self.head = b""
        elif start > len(self.head) or len(self.head) >= HEAD_BYTES:
            return
        self.set_head((self.head[:start] + chunk[:HEAD_BYTES])[:HEAD_BYTES])

    def set_head(self, head: bytes) -> None:
        """`head` is how the file begins."""
        if len(head) >= len(self.head):
            self.head = head
            self.change(head_length=len(head), head_hash=head_hash(head))

    def wait_for_event(self) -> None:
        """Nothing to do until it is woken."""
        self.next_poll = math.inf


class FileStatus(msgspec.Struct):
    """What a look at a harvester's file gave."""

    size: int = 0
    mtime_ns: int = 0
    links: int = 1
    intact: bool = True  # what lies before the read position is what was read
    error: OSError | None = None


def check_all(harvesters: Sequence[Harvester]) -> list[FileStatus]:
    """Look at many files in one call: one hop to an executor thread costs more than 20 looks."""
    return [check(harvester) for harvester in harvesters]


def check(harvester: Harvester) -> FileStatus:
    """Look at one file: one fstat, and one pread of at most 256 bytes where it grew. Never raises OSError."""
    try:
        if harvester.fd < 0:
            return _check_closed(harvester)
        status = os.fstat(harvester.fd)
        return _examine(harvester, harvester.fd, status)
    except OSError as error:
        return FileStatus(error=error)


def _examine(harvester: Harvester, fd: int, status: os.stat_result) -> FileStatus:
    result = FileStatus(status.st_size, status.st_mtime_ns, status.st_nlink)
    reader = harvester.reader
    if status.st_size > reader.position:
        result.intact = _holds(fd, reader.recent, reader.position)
    elif status.st_size == reader.position and status.st_mtime_ns != harvester.mtime_ns:
        result.intact = _holds(fd, reader.recent, reader.position) and _holds(fd, harvester.head, len(harvester.head))
    elif not harvester.short_copy:
        result.intact = status.st_size == reader.position
    return result


def _check_closed(harvester: Harvester) -> FileStatus:
    path = harvester.file.current_path
    status = os.stat(path)
    if (status.st_dev, status.st_ino) != harvester.key:
        raise FileNotFoundError(errno.ENOENT, "replaced by another file", path)
    if (status.st_size, status.st_mtime_ns) == (harvester.size, harvester.mtime_ns):
        return FileStatus(status.st_size, status.st_mtime_ns, status.st_nlink)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not same_generation(generation(fd), harvester.file.generation):
            return FileStatus(status.st_size, status.st_mtime_ns, status.st_nlink, intact=False)  # a new file's inode
        return _examine(harvester, fd, status)
    finally:
        os.close(fd)


def _holds(fd: int, expected: bytes, end: int) -> bool:
    """Whether the file has the bytes `expected` right before the offset `end`."""
    return os.pread(fd, len(expected), end - len(expected)) == expected


# ---------------------------------------------------------------- reading


class ChunkReader:
    """Reads the files of harvesters in chunks; `bytes_read` counts for the watchdog."""

    def __init__(self, registry: Registry, clock: Callable[[], int], interval_s: float) -> None:
        self.bytes_read = 0
        self.stopping = False
        self._registry = registry
        self._clock = clock
        self._interval_s = interval_s

    async def read(self, harvester: Harvester) -> None:
        """Read once, at most 1 MiB, and deliver the lines in batches of at most CHUNK_BYTES and a carried line.

        The bytes before the position are read along: the file may have been truncated and written anew since the look
        that found it grown, and then the next look is to find that out.

        Raises:
            OSError: the file cannot be read.
        """
        reader = harvester.reader
        harvester.final = False
        assert harvester.handle is not None
        known = reader.recent
        os.lseek(harvester.fd, reader.position - len(known), os.SEEK_SET)
        grown = min(_READ_BYTES, max(harvester.size - reader.position, 0) + _PAGE_BYTES)
        data = await harvester.handle.read(len(known) + grown)
        if not data.startswith(known):
            harvester.next_poll, harvester.mtime_ns = 0.0, 0  # both writes may bear the same time
            return
        if reader.position == 0 and compression(data) and await self._reject(harvester, data):
            return
        if harvester.retry_s:
            harvester.retry_s = 0.0
            self._registry.conditions.end(harvester.file.current_path, "SL208")
        begin = reader.position
        harvester.grow_head(begin, data[len(known) : len(known) + HEAD_BYTES])
        self.bytes_read += len(data) - len(known)
        for start in range(len(known), len(data), CHUNK_BYTES):
            await self._deliver(harvester, data[start : start + CHUNK_BYTES])
            if self.stopping or reader.position > begin + start - len(known) + CHUNK_BYTES:  # the latter: past a hole
                break
        self._look_again(harvester)
        if self._registry.crowded and harvester.drained:
            await self._registry.close(harvester)

    def _look_again(self, harvester: Harvester) -> None:
        now = time.monotonic()
        harvester.last_growth = now
        grid = harvester.interval_s = self._interval_s
        # one grid for all files, so that many busy ones share a round
        harvester.next_poll = (now // grid + 1) * grid if harvester.drained else now

    async def _deliver(self, harvester: Harvester, chunk: bytes) -> None:
        reader = harvester.reader
        if len(chunk) >= _PAGE_BYTES and not reader.carry and not chunk.strip(b"\0"):
            start = reader.position
            end = _data_after(harvester.fd, start + len(chunk), harvester.size)
            batches = reader.skip_hole(start, end, self._clock())
        else:
            batches = reader.feed(chunk, self._clock())
        for batch in batches:
            await self._registry.deliver(batch)

    async def _reject(self, harvester: Harvester, chunk: bytes) -> bool:
        file = harvester.file
        found = FoundFile(file.current_path, harvester.source, harvester.key, harvester.size, harvester.mtime_ns)
        return await self._registry.reject_compressed(harvester, found, chunk)


def _data_after(fd: int, offset: int, size: int) -> int:
    """Where data begins at or after `offset` (lseek SEEK_DATA); the size where there is none."""
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        return max(size, offset) if error.errno == errno.ENXIO else offset
