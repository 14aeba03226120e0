"""Spans of time as pages choose them, and the buckets that a chart divides them into."""

from __future__ import annotations

import time
from typing import NamedTuple

from agent.core.errors import SidelogError
from agent.core.times import DAY_NS, MINUTE_NS, format_local, format_utc, parse_time

_S = 10**9
_HOUR = 60 * MINUTE_NS
_STEPS = (
    _S // 10, _S, 5 * _S, 10 * _S, 30 * _S, MINUTE_NS, 5 * MINUTE_NS, 10 * MINUTE_NS, 30 * MINUTE_NS, _HOUR, 3 * _HOUR,
    6 * _HOUR, 12 * _HOUR, DAY_NS, 7 * DAY_NS, 30 * DAY_NS, 365 * DAY_NS,
)  # fmt: skip
_MOST_BUCKETS = 90
CHOICES = (
    ("15m", "15 minutes"),
    ("1h", "1 hour"),
    ("6h", "6 hours"),
    ("24h", "1 day"),
    ("7d", "7 days"),
    ("30d", "30 days"),
)
DEFAULT = "1h"


class TimeSpan(NamedTuple):
    """What a page shows: [since, until) in Unix ns, and how its address says so."""

    since: int
    until: int
    since_text: str
    until_text: str

    @property
    def step(self) -> int:
        """The length of a chart's buckets."""
        length = max(1, self.until - self.since)
        return next((step for step in _STEPS if length / step <= _MOST_BUCKETS), _STEPS[-1])

    def starts(self) -> list[int]:
        """Where the buckets begin."""
        step = self.step
        return list(range(self.since // step * step, self.until, step))


def read_span(since: str, until: str, now: int | None = None) -> TimeSpan:
    """A span of two texts as people write them; nothing is the last hour.

    Raises:
        UsageError: SL514, one of them is no time.
    """
    now = time.time_ns() if now is None else now
    end = parse_time(until, now) if until else now + _S  # what has just come is in it
    begin = parse_time(since or DEFAULT, now)
    if begin >= end:
        raise SidelogError.of("SL514", since)
    return TimeSpan(begin, end, since or DEFAULT, until)


def step_words(step: int) -> str:
    """The length of a bucket in words that `every` takes."""
    for unit, length in (("d", DAY_NS), ("h", _HOUR), ("m", MINUTE_NS), ("s", _S)):
        if step % length == 0:
            return f"{step // length}{unit}"
    return f"{step // 1_000_000}ms"


def bucket_words(start: int, step: int) -> str:
    """When a bucket begins, for people: as much of it as tells it apart."""
    text = format_local(start, 1 if step < _S else 0)
    return text[:10] if step >= DAY_NS else text if step < MINUTE_NS else text[:16]


def address_time(instant: int) -> str:
    """An instant as addresses have it."""
    return format_utc(instant).rstrip("Z").rstrip("0").rstrip(".") + "Z"
