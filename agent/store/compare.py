"""Compares one file generation with the events that were made of it: every byte is an event's, a blank line's or a
gap's, nothing twice.

What is looked at is a run of events in the order of their offsets. Most runs are lines without anything between
them: one join and one comparison judges hundreds of them. Only a run that is not like that is walked event by event.
"""

from __future__ import annotations

import os
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from agent.core.event import REDACTED
from agent.core.text import counted
from agent.store.woven import Woven, may_be_woven

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_DIFFERENCES = 10  # told per file; the rest is only counted
_REDACTED = REDACTED.encode()
_BLOCK_BYTES = 2**20
_EXCERPT_BYTES = 24


class StoredGap(NamedTuple):
    """A row of `gaps`: bytes [start, end) that are in no event, and why."""

    start: int
    end: int
    reason: str


class Window:
    """Reads from an open file, a block at a time for short pieces. A file that cannot be read any more is as one
    that has ended: what was compared until then stays compared.

    Args:
        descriptor: open for reading; whoever opened it closes it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._start = 0
        self._block = b""
        self.size = os.fstat(descriptor).st_size
        self.failed = False

    def read(self, start: int, length: int) -> bytes:
        """The bytes [start, start + length), less at the end of the file."""
        if length > _BLOCK_BYTES // 2:
            return self._pread(start, length)
        if start < self._start or start + length > self._start + len(self._block):
            self._start, self._block = start, self._pread(start, _BLOCK_BYTES)
        return self._block[start - self._start : start - self._start + length]

    def _pread(self, start: int, length: int) -> bytes:
        try:
            return b"" if self.failed else os.pread(self._descriptor, length, start)
        except OSError:
            self.failed, self.size = True, 0
            return b""

    def has_shrunk(self) -> bool:
        """Whether the file is shorter than it was at its opening; the size is taken over."""
        size = 0 if self.failed else os.fstat(self._descriptor).st_size
        shrunk, self.size = self.failed or size < self.size, min(size, self.size)
        return shrunk

    def after_lines(self, start: int, count: int) -> int:
        """The offset after `count` line ends from `start` on, or the size where there are fewer."""
        while start < self.size:
            block = self.read(start, _BLOCK_BYTES // 2)
            if not block:
                break
            found = block.count(b"\n")
            if found < count:
                count -= found
                start += len(block)
                continue
            place = -1
            for _ in range(count):
                place = block.find(b"\n", place + 1)
            return start + place + 1
        return self.size


class FileAudit(msgspec.Struct):
    """The books of one file generation, and what comparing them with its events and its bytes has shown."""

    id: int
    path: str
    current_path: str
    source: str
    state: str
    offset: int = 0
    start_offset: int = 0
    events: int = 0
    event_bytes: int = 0
    blank_bytes: int = 0
    gap_bytes: int = 0
    gaps: list[StoredGap] = []
    identity: dict[str, Any] = {}  # device, inode, generation, head and marker
    compared: str = "no"  # whole | partly | gone | replaced | truncated | unreadable | no
    compared_bytes: int = 0
    expired_bytes: int = 0
    redacted_events: int = 0
    found: int = 0  # events seen
    uncovered: int = 0  # bytes between events that are no gap: they ought to be blank lines
    position: int = 0  # everything before it is judged
    resync: bool = False  # the next event may follow deleted ones
    differences: list[tuple[int, str]] = []  # the first of them: offset, what differs
    difference_count: int = 0
    _next_gap: int = 0
    _woven: Woven = msgspec.field(default_factory=Woven)
    _loose: bool = False  # the last event was redacted: where it ends is not certain

    def __post_init__(self) -> None:
        self.position = self.start_offset

    @property
    def difference(self) -> int:
        """Bytes that the books do not account for."""
        return self.offset - self.start_offset - self.event_bytes - self.blank_bytes - self.gap_bytes

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, doubled or altered as far as could be seen."""
        return not self.difference_count

    def differs(self, offset: int, what: str) -> None:
        """Note a difference."""
        self.difference_count += 1
        if len(self.differences) < MOST_DIFFERENCES:
            self.differences.append((offset, what))

    # ------------------------------------------------------------ events

    def take(self, offsets: Sequence[int], originals: Sequence[bytes], window: Window | None) -> None:
        """Judge a run of consecutive events.

        Args:
            offsets: where each began, in the order of storage.
            originals: their lines as they were in the file, without the last newline.
            window: the file, None where it is not there any more.
        """
        self.found += len(offsets)
        start = offsets[0]
        ends = list(accumulate((len(original) + 1 for original in originals), initial=start))
        self._reach(start, window)
        if list(offsets) == ends[:-1] and self.position == start and self._is_in_file(originals, start, window):
            self.position = ends[-1]
            return
        for offset, original in zip(offsets, originals, strict=True):
            self._reach(offset, window)
            self._event(offset, original, window)

    def _is_in_file(self, originals: Sequence[bytes], start: int, window: Window | None) -> bool:
        """Whether the file has exactly these lines at `start`. Of one that is gone, where a redacted line ended is not
        known from the line.
        """
        if window is None:
            return _REDACTED not in originals[-1] and not may_be_woven(originals[-1])
        expected = b"\n".join(originals) + b"\n"
        if window.read(start, len(expected)) != expected:
            return False
        self.compared_bytes += len(expected)
        self._loose = False
        return True

    def _event(self, offset: int, original: bytes, window: Window | None) -> None:
        end = offset + len(original)
        self._loose = False
        redacted = _REDACTED in original
        if may_be_woven(original) and (window is None or window.read(offset, len(original)) != original):
            self.position = self._take_woven(offset, original, window, redacted=redacted)
            return
        if window is None or (end > window.size and not redacted):
            # Where a redacted event ends is known from its lines alone: what follows up to the next one is its.
            self.position, self._loose = (offset + 1, True) if redacted else (end + 1, False)
            return
        actual = window.read(offset, len(original) + 1)
        if actual.startswith(original):
            # Without a newline: the file ended here when it was stored, and went on later or not at all.
            self.position = end + (actual[len(original) :] == b"\n")
            self.compared_bytes += self.position - offset
        elif redacted:
            self.redacted_events += 1
            self._loose = True
            # One line of Docker's is several of the text when that has newlines in it: it has one line at the least.
            lines = 1 if actual.startswith(b"{") else original.count(b"\n") + 1
            self.position = max(offset + 1, window.after_lines(offset, lines))
        elif len(actual) < len(original) and window.has_shrunk():
            self.position = end + 1
        else:
            self._differs_at(offset, original, actual, _first_difference(original, actual))
            self.position = end + 1

    def _take_woven(self, offset: int, original: bytes, window: Window | None, *, redacted: bool) -> int:
        """Judge the first line of an event; the others lie somewhere behind it. Where that one ends."""
        end = self._woven.begin(offset, original, hidden=redacted)
        if window is None:
            return offset + 1 if redacted else end
        actual = window.read(offset, end - offset)
        if actual == original[: end - offset]:
            self.compared_bytes += len(actual)
        elif redacted:
            self.redacted_events += 1
            return window.after_lines(offset, 1)
        elif end <= window.size or not window.has_shrunk():
            place = _first_difference(original, actual)
            self._differs_at(offset, original, actual, place)
        return end

    def _differs_at(self, offset: int, original: bytes, actual: bytes, place: int) -> None:
        self.differs(
            offset + place,
            f"the file has {_excerpt(actual, place)} where the event at {offset} has {_excerpt(original, place)}",
        )

    # ------------------------------------------------------------ what lies between events

    def _reach(self, target: int, window: Window | None) -> None:
        """Judge the bytes from the position to `target`, where the next event begins or the accounted bytes end."""
        if self.resync:
            self._skip_expired(target)
        if target < self.position:
            if target == self.position - 1:  # the event before it was stored without a newline
                self.position = target
                return
            self.differs(target, f"bytes {target} to {self.position} are stored twice")
            return
        while self._next_gap < len(self.gaps) and self.gaps[self._next_gap].start < target:
            gap = self.gaps[self._next_gap]
            self._next_gap += 1
            if gap.start < self.position - 1:
                self.differs(gap.start, f"the gap ({gap.reason}) {gap.start} to {gap.end} lies inside of an event")
                continue
            self._blank(gap.start, window)
            self._end_woven()
            self._gap(gap, window)
        self._blank(target, window)

    def _skip_expired(self, target: int) -> None:
        """The events between the position and `target` were deleted because of their age, gaps were not."""
        self.resync = False
        if target <= self.position:
            return
        start, self.position = self.position, target
        self.expired_bytes += target - start
        self._woven.expire(target)
        while self._next_gap < len(self.gaps) and self.gaps[self._next_gap].end <= target:
            gap = self.gaps[self._next_gap]
            self.expired_bytes -= gap.end - max(gap.start, start)
            self._next_gap += 1

    def _gap(self, gap: StoredGap, window: Window | None) -> None:
        if gap.reason == "hole" and window is not None:
            for start, block in _blocks(window, gap.start, gap.end):
                if block.strip(b"\0"):
                    self.differs(start, "the gap is called a hole, but the file has data there")
                    break
                self.compared_bytes += len(block)
        self.position = gap.end

    def _end_woven(self) -> None:
        for offset, lines in self._woven.end():
            self.differs(
                offset,
                f"{counted(lines, 'line')} of the event at {offset} {'is' if lines == 1 else 'are'} not behind it",
            )

    def _blank(self, target: int, window: Window | None) -> None:
        start, loose = self.position, self._loose
        if target > start:
            start, met = self._woven.take(start, target, window), start
            self.compared_bytes += 0 if window is None else start - met
        if target <= start:
            self.position = target
            return
        self.position = target
        self._loose = False
        if loose and (window is None or target >= window.size or window.read(target - 1, 1) == b"\n"):
            return  # further lines of a redacted event that a container runtime had split
        self.uncovered += target - start
        if window is None:
            return
        for place, block in _blocks(window, start, target):
            text = block.lstrip(_EMPTY)
            if text or b"\r\r" in block:
                at = place + len(block) - len(text)
                self.differs(at, f"bytes {at} to {target} are in no event, no blank line and no gap: {_excerpt(text)}")
                return
            self.compared_bytes += len(block)

    def finish(self, window: Window | None) -> None:
        """Judge what is left, and the books as a whole."""
        self._reach(max(self.offset, self.position), window)
        self._end_woven()
        self.judge_books()
        if self.found > self.events:
            self.differs(
                self.offset, f"the store has {counted(self.found, 'event')} of this file, its books say {self.events:,}"
            )
        elif self.found < self.events and not self.expired_bytes:
            self.differs(
                self.offset, f"only {self.found:,} of {counted(self.events, 'event is', 'events are')} in the store"
            )
        elif self.found == self.events and self.expired_bytes:
            self.differs(
                self.start_offset,
                f"{counted(self.expired_bytes, 'byte is', 'bytes are')} in no event, though none was deleted",
            )
        if self.uncovered > self.blank_bytes and not self.difference_count:
            self.differs(
                self.offset,
                f"{counted(self.uncovered, 'byte lies', 'bytes lie')} between events,"
                f" of which {self.blank_bytes:,} are blank lines",
            )

    def judge_books(self) -> None:
        """Do the counters and the gap rows add up to what was read?"""
        if self.difference:
            self.differs(self.offset, f"{counted(self.difference, 'byte is', 'bytes are')} in no counter of the books")
        rows = sum(gap.end - gap.start for gap in self.gaps)
        if rows != self.gap_bytes:
            self.differs(self.offset, f"the gaps have {counted(rows, 'byte')}, the books say {self.gap_bytes:,}")


# What blank lines consist of, and what stands alone in a line between the objects of an array.
_EMPTY = b"\r\n \t[],"


def _blocks(window: Window, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) pieces of [start, end), as far as the file goes."""
    while start < end:
        block = window.read(start, min(_BLOCK_BYTES // 2, end - start))
        if not block:
            return
        yield start, block
        start += len(block)


def _first_difference(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(other))


def _excerpt(data: bytes, place: int = 0) -> str:
    piece = data[place : place + _EXCERPT_BYTES]
    return repr(piece)[1:] if piece else "nothing"
