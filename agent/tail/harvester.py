"""One followed file: its state, and the look that tells whether it grew, was truncated or is gone."""

# ruff: noqa: PTH116 - paths are str here: a pathlib object costs 20 times as much, 1,000 files a scan

from __future__ import annotations

import errno
import math
import os
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from agent.core.model import HEAD_BYTES
from agent.tail import holes
from agent.tail.files import is_file_as
from agent.tail.identity import FileKey, generation, head_hash, same_generation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiofiles.threadpool.binary import AsyncFileIO

    from agent.core.model import FileGeneration, LineBatch
    from agent.tail.discover import SourceSettings
    from agent.tail.holes import Hole
    from agent.tail.reader import LineReader


class Timing(msgspec.Struct, frozen=True):
    """Durations in seconds, all measured on the monotonic clock."""

    busy_interval_s: float = 0.05  # a file that grows is looked at this often; half of the 100 ms latency goal
    calm_after_s: float = 0.15  # quiet for so long: wake by inotify again instead of polling
    idle_interval_s: float = 1.0  # polling of a quiet file where there is no inotify
    rescan_s: float = 10.0  # the net under all events
    rescan_polling_s: float = 1.0  # the same where no inotify tells of new files
    debounce_s: float = 0.01  # directory events come in bunches
    rotated_grace_s: float = 60.0  # a renamed file without new bytes for so long has come to its end
    deleted_grace_s: float = 5.0  # the same for a deleted one, which keeps its blocks allocated as long as it is open
    copy_grace_s: float = 5.0  # how long a file that looks like a growing copy of another is left alone
    retry_s: float = 1.0  # after a read error; doubles
    retry_limit_s: float = 60.0
    hole_grace_s: float = 3.0  # NULs before data may be filled for so long: NFS asks no sooner (acregmin, nfs(5))


class Harvester(msgspec.Struct, eq=False):
    """A file generation, its reading state, and when to look at it next (instants on the monotonic clock)."""

    source: SourceSettings
    reader: LineReader
    head: bytes
    handle: AsyncFileIO | None = None
    fd: int = -1  # of the handle; -1 while closed
    size: int = 0  # as last seen; up to the NULs at `hole` while it may still be filled
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
    hole: Hole | None = None  # the NULs that were met last

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

    @property
    def at_hole(self) -> Hole | None:
        """The NULs at the read position."""
        hole = self.hole
        return hole if hole is not None and hole.start == self.reader.position else None

    def pass_hole(self, now_ns: int) -> list[LineBatch]:
        """Nothing will be written into the hole at the read position: it is a gap."""
        hole = self.hole
        assert hole is not None
        self.size = max(self.size, hole.end)
        self.grow_head(hole.start, bytes(min(HEAD_BYTES, hole.end - hole.start)))
        return self.reader.skip_hole(hole.start, hole.end, now_ns)

    def set_head(self, head: bytes) -> None:
        """`head` is how the file begins."""
        if len(head) >= len(self.head):
            self.head = head
            self.change(head_length=len(head), head_hash=head_hash(head))

    def wait_for_event(self) -> None:
        """Nothing to do until it is woken."""
        self.next_poll = math.inf


class FileLag(NamedTuple):
    """How far a file is behind. Sizes in bytes."""

    file: FileGeneration
    stored: int  # the offset up to which it is stored
    size: int  # as last seen
    partial: bool  # all of it is read: what is not stored is the beginning of a line, or on its way


class FileStatus(msgspec.Struct):
    """What a look at a harvester's file gave."""

    size: int = 0
    mtime_ns: int = 0
    links: int = 1
    intact: bool = True  # what lies before the read position is what was read
    hole: Hole | None = None  # the NULs at the read position
    error: OSError | None = None


def check_all(harvesters: Sequence[Harvester], hole_grace_s: float) -> list[FileStatus]:
    """Look at many files in one call: one hop to an executor thread costs more than 20 looks."""
    return [check(harvester, hole_grace_s) for harvester in harvesters]


def check(harvester: Harvester, hole_grace_s: float) -> FileStatus:
    """Look at one file: one fstat, and two preads of at most 257 bytes where it grew. Never raises OSError.

    Args:
        harvester: of the file.
        hole_grace_s: as in Timing.
    """
    try:
        if harvester.fd < 0:
            return _check_closed(harvester, hole_grace_s)
        status = os.fstat(harvester.fd)
        return _examine(harvester, harvester.fd, status, hole_grace_s)
    except OSError as error:
        return FileStatus(error=error)


def _examine(harvester: Harvester, fd: int, status: os.stat_result, hole_grace_s: float) -> FileStatus:
    result = FileStatus(status.st_size, status.st_mtime_ns, status.st_nlink)
    reader = harvester.reader
    if status.st_size > reader.position:
        result.intact = _holds(fd, reader.recent, reader.position)
        if result.intact and os.pread(fd, 1, reader.position) == b"\0":
            now = time.monotonic()
            last_growth = harvester.last_growth if hole_grace_s else -math.inf
            result.hole = hole = holes.look(fd, reader.position, status, harvester.hole, now, last_growth)
            if hole is not None and not (hole.has_data and now - hole.since >= hole_grace_s):
                result.size = reader.position
    elif status.st_size == reader.position and status.st_mtime_ns != harvester.mtime_ns:
        result.intact = _holds(fd, reader.recent, reader.position) and _holds(fd, harvester.head, len(harvester.head))
    elif not harvester.short_copy:
        result.intact = status.st_size == reader.position
    return result


def _check_closed(harvester: Harvester, hole_grace_s: float) -> FileStatus:
    path = harvester.file.current_path
    status = os.stat(path)
    if not is_file_as(status, harvester.key):
        raise FileNotFoundError(errno.ENOENT, "replaced by another file", path)
    if (status.st_size, status.st_mtime_ns) == (harvester.size, harvester.mtime_ns):
        return FileStatus(status.st_size, status.st_mtime_ns, status.st_nlink)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not same_generation(generation(fd), harvester.file.generation):
            return FileStatus(status.st_size, status.st_mtime_ns, status.st_nlink, intact=False)  # a new file's inode
        return _examine(harvester, fd, status, hole_grace_s)
    finally:
        os.close(fd)


def _holds(fd: int, expected: bytes, end: int) -> bool:
    """Whether the file has the bytes `expected` right before the offset `end`."""
    return os.pread(fd, len(expected), end - len(expected)) == expected
