"""Times of the day in local time: `03:00`, and mute hours: `22:00-06:00`, `sat,sun`, `mon-fri 18:00-08:00`."""

from __future__ import annotations

import re
import time

import msgspec

from agent.core.patterns import lazy

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = lazy(r"([01]?\d|2[0-4]):([0-5]\d)-([01]?\d|2[0-4]):([0-5]\d)", re.ASCII)
_TIME = lazy(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_MINUTES_PER_DAY = 1440


class Hours(msgspec.Struct, frozen=True):
    """Some days of the week (0: Monday) from a minute of the day to another; over midnight where that is earlier."""

    days: frozenset[int]
    start: int = 0
    end: int = _MINUTES_PER_DAY

    def hold(self, instant: int) -> bool:
        """Whether an instant (Unix ns) lies in them. A span over midnight belongs to the day on which it begins."""
        local = time.localtime(instant // 1_000_000_000)
        minute = local.tm_hour * 60 + local.tm_min
        if self.start < self.end:
            return local.tm_wday in self.days and self.start <= minute < self.end
        return (local.tm_wday in self.days and minute >= self.start) or (
            (local.tm_wday - 1) % 7 in self.days and minute < self.end
        )


def parse_hours(text: str) -> Hours:
    """Read mute hours.

    Raises:
        ValueError: with a sentence that fits after the text.
    """
    days: set[int] = set()
    span: tuple[int, int] | None = None
    for word in re.split(r"[\s,]+", text.strip().lower()):
        if clock := _CLOCK.fullmatch(word):
            if span is not None:
                raise ValueError("has two times of the day")
            start, end = int(clock[1]) * 60 + int(clock[2]), int(clock[3]) * 60 + int(clock[4])
            if start == end or max(start, end) > _MINUTES_PER_DAY:
                raise ValueError("is not a time span of a day")
            span = (start, end)
        else:
            days |= _days(word)
    return Hours(frozenset(days) or frozenset(range(7)), *(span or ()))


def time_of_day(text: str) -> tuple[int, int] | None:
    """Hour and minute of a time such as `03:00`; None where it is none."""
    match = _TIME.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None


def _days(word: str) -> set[int]:
    first, dash, last = word.partition("-")
    if first not in DAYS or (dash and last not in DAYS):
        raise ValueError("is not made of days and a time span")
    begin, end = DAYS.index(first), DAYS.index(last if dash else first)
    return {day % 7 for day in range(begin, end + 1 if begin <= end else end + 8)}
