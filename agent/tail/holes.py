"""NUL bytes at the read position of a file: not written yet, or never going to be.

Those at the end of a file are left unread until they are filled, or until the file is over. Those before data wait for
a moment, for pages may reach a file in any order. What stays is a gap.
"""

from __future__ import annotations

import errno
import os
import sys

import msgspec

from agent.core.holes import HOLE_BYTES

LOOK_BYTES = 1 << 24  # searched for data in one look: 3 ms. Blocks that were never allocated cost nothing
_SMALL_BYTES = 1 << 20  # so much is searched at every look: mmap changes what lies there and tells no time of change
_BUSY_S = 1.0  # of a file that has grown since then, only the first byte is looked at: its writer fills it step by step
_BLOCK_BYTES = 1 << 18
_PAGE_BYTES = 1 << 12
_ZEROS = bytes(_BLOCK_BYTES)


class Hole(msgspec.Struct, frozen=True):
    """NULs at the read position of a file of `size` bytes, as far as they were looked at."""

    start: int
    end: int
    has_data: bool  # at `end`; else nothing but NULs was found
    size: int
    mtime_ns: int
    since: float  # monotonic seconds: what lies before `seen` has been as it is since then
    seen: int  # behind data: it is the end of the file, or of the hole

    @property
    def is_tail(self) -> bool:
        """Whether nothing else comes up to the end of the file."""
        return not self.has_data and self.end >= self.size

    @property
    def is_known(self) -> bool:
        """Whether all of it was looked at."""
        return self.has_data or self.end >= self.size


def look(  # noqa: PLR0917 - internal, and its arguments are all different
    fd: int, start: int, status: os.stat_result, known: Hole | None, now: float, last_growth: float
) -> Hole | None:
    """Look at the NUL at `start` of a file, LOOK_BYTES far; None where it is one of a few before data.

    Args:
        fd: open for reading.
        start: the read position.
        status: of the file.
        known: what was seen at the look before this one.
        now: monotonic seconds.
        last_growth: when something was read last, on the same clock; -inf to look at once, and at all of it.

    Raises:
        OSError: the file cannot be read.
    """
    size = status.st_size
    place = start
    if (
        known is not None
        and (known.start, known.size, known.mtime_ns) == (start, size, status.st_mtime_ns)
        and known.end - start > _SMALL_BYTES
    ):
        if known.is_known:
            return known
        place = known.end
    if now - last_growth < _BUSY_S and size - start > _SMALL_BYTES:
        end, has_data = place, False
    else:
        end, has_data = skip(fd, place, size, LOOK_BYTES if last_growth >= 0 else sys.maxsize)
    if has_data and end - start < HOLE_BYTES:
        return None
    since, seen = now, start
    if has_data and known is not None and known.has_data and _is_as_old(start, end, known):
        since, seen = known.since, known.seen
    elif has_data:
        seen = size if os.pread(fd, 1, size - 1) != b"\0" else end
    return Hole(start, end, has_data, size, status.st_mtime_ns, since, seen)


def _is_as_old(start: int, end: int, known: Hole) -> bool:
    """Whether a hole is the known one, or was beside it at the time, and no rest of one that is being filled."""
    return (start, end) == (known.start, known.end) or (start >= known.end and end <= known.seen)


def skip(fd: int, start: int, end: int, most: int = LOOK_BYTES) -> tuple[int, bool]:
    """The first byte of [start, end) that is no NUL.

    Returns:
        Its offset and True; or how far it was looked, which is `end` or at least `most` bytes on, and False.

    Raises:
        OSError: the file cannot be read.
    """
    place, limit = start, start + most
    while place < min(end, limit):
        place = _next_extent(fd, place, end)
        block = os.pread(fd, min(_BLOCK_BYTES, end - place), place) if place < end else b""
        if not block:
            return end, False
        if block != _ZEROS[: len(block)]:
            return place + _leading(block), True
        place += len(block)
    return min(place, end), False


def _leading(block: bytes) -> int:
    """The number of NULs at the beginning; page by page, for `lstrip` takes 4 ns for each."""
    for begin in range(0, len(block), _PAGE_BYTES):
        page = block[begin : begin + _PAGE_BYTES]
        if page != _ZEROS[: len(page)]:
            return begin + len(page) - len(page.lstrip(b"\0"))
    return len(block)


def _next_extent(fd: int, offset: int, end: int) -> int:
    """Where allocated blocks begin at or after `offset` (lseek SEEK_DATA); `end` where there are none."""
    try:
        return min(os.lseek(fd, offset, os.SEEK_DATA), end)
    except OSError as error:
        return end if error.errno == errno.ENXIO else offset


def data_end(fd: int, size: int) -> int:
    """The offset behind the last byte of a file that is no NUL.

    Raises:
        OSError: the file cannot be read.
    """
    end = size
    while end > 0:
        begin = max(0, end - _BLOCK_BYTES)
        block = os.pread(fd, end - begin, begin) if _next_extent(fd, begin, end) < end else b""
        if block != _ZEROS[: len(block)]:
            return begin + len(block.rstrip(b"\0"))
        end = begin
    return 0
