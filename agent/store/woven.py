"""Events whose lines do not lie side by side: of a container's two streams, which a runtime writes into one file.

Such an event lies at the offset of its first line. Its other lines are between those of other events, in their order.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

_MARKS = (b" stdout ", b" stderr ", b'"stream"')  # in each line that a container runtime has written
_MOST_APART_BYTES = 4 << 20  # between an event's beginning and its end, far more than `parse.streams` lets there be


class _Window(Protocol):
    """A file that is there: `compare.Window`."""

    def read(self, start: int, length: int) -> bytes:
        """The bytes [start, start + length), less at the end of the file."""
        ...

    def after_lines(self, start: int, count: int) -> int:
        """The offset after `count` line ends from `start` on, or the size where there are fewer."""
        ...


def may_be_woven(original: bytes) -> bool:
    """Whether the lines of an event need not lie side by side."""
    end = original.find(b"\n")
    return end >= 0 and is_wrapped(original[:end])


def is_wrapped(line: bytes) -> bool:
    """Whether a container runtime may have written the line."""
    return any(mark in line for mark in _MARKS)


class Woven:
    """The lines of events that have begun which were not met yet, while a file is walked through."""

    def __init__(self) -> None:
        self._queues: list[tuple[int, deque[bytes]]] = []
        self._hidden_until = 0  # up to here there may be lines of an event of which something was redacted

    def begin(self, offset: int, original: bytes, *, hidden: bool) -> int:
        """An event lies at `offset`; where its first line ends. `hidden`: its lines are others than the file's."""
        first, *rest = original.split(b"\n")
        if hidden:
            self._hidden_until = offset + _MOST_APART_BYTES
        elif rest:
            self._queues.append((offset, deque(rest)))
        return offset + len(first) + 1

    def take(self, start: int, target: int, window: _Window | None) -> int:
        """How far the bytes from `start` on, where no event begins before `target`, are such lines."""
        if window is None:
            return self._by_length(start, target)
        while start < target and (length := self._next(start, window)):
            start += length
        return start

    def _next(self, start: int, window: _Window) -> int:
        """The length of the next line, with its newline, if it is one that is waited for."""
        for number, (_, queue) in enumerate(self._queues):
            actual = window.read(start, len(queue[0]) + 1)
            if actual.startswith(queue[0]) and actual[len(queue[0]) :] in (b"\n", b""):
                queue.popleft()
                if not queue:
                    del self._queues[number]
                return len(actual)
        if start < self._hidden_until:
            end = window.after_lines(start, 1)
            return end - start if is_wrapped(window.read(start, end - start)) else 0
        return 0

    def _by_length(self, start: int, target: int) -> int:
        """The same of a file that is gone: whose lines these are is not known, but all of them must be somewhere."""
        if start < self._hidden_until:
            return target
        rest = target - start
        for _, queue in self._queues:
            while queue and rest:
                taken = min(rest, len(queue[0]) + 1)
                rest -= taken
                if taken > len(queue[0]):
                    queue.popleft()
                else:
                    queue[0] = queue[0][taken:]
        self._queues = [(offset, queue) for offset, queue in self._queues if queue]
        return target - rest

    def expire(self, target: int) -> None:
        """The events before `target` were deleted; lines of them may lie behind it."""
        self._queues = []
        self._hidden_until = target + _MOST_APART_BYTES

    def end(self) -> list[tuple[int, int]]:
        """Nothing goes on behind this place: the events, by offset, of which lines were not met, and how many."""
        missing = [(offset, len(queue)) for offset, queue in self._queues]
        self._queues = []
        return missing
