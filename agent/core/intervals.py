"""Spans [from, to) of integers, such as offsets or minutes: joined, taken out of each other, searched.

Lists of them ascend, and do not touch.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Span = tuple[int, int]
Spans = list[Span]


def joined(*several: Iterable[Sequence[int]]) -> Spans:
    """The spans that hold what any of these hold."""
    found: Spans = []
    for start, end in sorted((one[0], one[1]) for spans in several for one in spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        elif start < end:
            found.append((start, end))
    return found


def without(spans: Iterable[Sequence[int]], taken: Iterable[Sequence[int]]) -> Spans:
    """What spans hold and others do not."""
    found = []
    taken = joined(taken)
    for start, end in joined(spans):
        at = start
        for first, last in taken:
            if last <= at:
                continue
            if first >= end:
                break
            if first > at:
                found.append((at, first))
            at = last
        if at < end:
            found.append((at, end))
    return found


def holds(spans: Spans, offset: int) -> bool:
    """Whether one of the spans has an offset in it."""
    place = bisect_right(spans, (offset, 1 << 62)) - 1
    return place >= 0 and offset < spans[place][1]
