"""Counts over a sliding window, in buckets: bounded memory whatever the number of events."""

from __future__ import annotations

from array import array
from bisect import bisect_left

BUCKETS = 128  # of one window: an event leaves up to 1/128 of the window early; 2 KiB for a window that is always busy


class SlidingWindow:
    """How many events fell into the last BUCKETS buckets up to `head`, and optionally into as many before these.

    A bucket is an integer, the instant divided by the rule's grain. Bucket b is in the window while head - b < BUCKETS.

    Args:
        twice: also keep what has just left the window, as `previous`.
    """

    __slots__ = ("counts", "first", "head", "previous", "reach", "starts", "total")

    def __init__(self, *, twice: bool = False) -> None:
        self.starts = array("q")  # ascending
        self.counts = array("q")
        self.first = 0  # index of the first bucket inside the window; those before it are `previous`
        self.head = -(2**62)
        self.total = 0
        self.previous = 0
        self.reach = 2 * BUCKETS if twice else BUCKETS

    def advance(self, bucket: int) -> None:
        """Move the window's end to a bucket; backwards is nothing."""
        if bucket <= self.head:
            return
        self.head = bucket
        starts, counts = self.starts, self.counts
        edge, size = bucket - BUCKETS, len(starts)
        while self.first < size and starts[self.first] <= edge:
            self.total -= counts[self.first]
            self.previous += counts[self.first]
            self.first += 1
        edge, gone = bucket - self.reach, 0
        while gone < self.first and starts[gone] <= edge:
            self.previous -= counts[gone]
            gone += 1
        if gone:
            del starts[:gone]
            del counts[:gone]
            self.first -= gone

    def add(self, bucket: int, count: int = 1) -> None:
        """Count events of a bucket, which is moved to where it belongs; one that has left already counts nowhere."""
        if bucket > self.head:
            self.advance(bucket)
        starts, counts = self.starts, self.counts
        if starts and starts[-1] == bucket and self.first < len(starts):
            counts[-1] += count
            self.total += count
            return
        if bucket <= self.head - self.reach:
            return
        index = bisect_left(starts, bucket)
        inside = bucket > self.head - BUCKETS
        if index < len(starts) and starts[index] == bucket:
            counts[index] += count
        else:
            starts.insert(index, bucket)
            counts.insert(index, count)
            self.first += not inside
        if inside:
            self.total += count
        else:
            self.previous += count

    def count(self, bucket: int) -> int:
        """The events of one bucket."""
        index = bisect_left(self.starts, bucket)
        return self.counts[index] if index < len(self.starts) and self.starts[index] == bucket else 0

    @property
    def leaves(self) -> int | None:
        """The bucket at which the oldest events leave the window; None when it is empty."""
        return self.starts[self.first] + BUCKETS if self.first < len(self.starts) else None

    def copy(self, other: SlidingWindow) -> None:
        """Become what another window of the same kind is."""
        self.starts, self.counts = other.starts[:], other.counts[:]
        self.first, self.head, self.total, self.previous = other.first, other.head, other.total, other.previous

    def shift(self, buckets: int) -> None:
        """Move everything in time: the clock has jumped."""
        self.starts = array("q", (start + buckets for start in self.starts))
        self.head += buckets
