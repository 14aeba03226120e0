"""Years and dates that a text leaves out: by what is known of the time at which its file was written.

A reference is that time. A year is the latest one for which the instant is no more than a day after it (a log that was
written in January tells of last year's December), a date the one that brings the time of day next to it. Where the
reference is an instant near by, such as that of the line before, the year is the one that brings it next to that.
"""

from __future__ import annotations

from calendar import isleap
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from agent.core.units import SECOND_NS
from agent.parse.instants.zones import OutOfRangeError, ZoneError, seconds_east, zone_offset

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

    from agent.parse.instants.layouts import Reading

DAY_NS = 86_400 * SECOND_NS
_HOUR_NS = 3_600 * SECOND_NS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST_YEAR_NS = 364 * DAY_NS  # between two instants of the same month, day and time, less what zones may change
_SURELY_NEAREST_NS = {True: 180 * DAY_NS, False: 11 * _HOUR_NS}  # with a month; a time of day alone
_LEAP_YEARS = 8  # from 29 February to the next at the most


class Reference(NamedTuple):
    """What completes an instant. `nearest`: it is near by, before or after; `own`: the line itself says it."""

    instant: int
    nearest: bool = False
    own: bool = False


class Completed(NamedTuple):
    """The minute of a completed text, and the references for which it is this one."""

    since: int
    until: int
    minute: int
    nearest: bool


def completed(reading: Reading, instant: int, after: int, reference: Reference) -> Completed:
    """What may be kept of an instant; `after` are the nanoseconds since its minute."""
    if reading.month is not None and not reference.nearest:
        since, until = instant - DAY_NS, instant - DAY_NS + _LEAST_YEAR_NS
    else:
        near = _SURELY_NEAREST_NS[reading.month is not None]
        since, until = instant - near, instant + near
    minute_ns = 60 * SECOND_NS  # every instant of the minute has the same answer
    return Completed(since + minute_ns, until - minute_ns, instant - after, reference.nearest)


@lru_cache(maxsize=256)
def midnight(year: int, month: int, day: int) -> int:
    """Seconds since 1970 at which a day begins in UTC. Raises ValueError where there is no such day."""
    return (datetime(year, month, day, tzinfo=UTC) - _EPOCH).days * 86_400


def instant_of(reading: Reading, zone: tzinfo) -> int:
    """Nanoseconds since 1970 of what says its year.

    Raises:
        ZoneError: its zone cannot be told.
        ValueError: there is no such date.
    """
    assert reading.year is not None
    assert reading.month is not None
    return _at(midnight(reading.year, reading.month, reading.day), reading, zone)


def _at(midnight: int, reading: Reading, zone: tzinfo) -> int:
    local = midnight + reading.second
    if reading.zone is None:
        shift = zone_offset(local, zone)
    else:
        shift = seconds_east(reading.zone, local, zone, mail=reading.mail)
    return (local - shift) * SECOND_NS + reading.nanos


def complete(reading: Reading, zone: tzinfo, reference: Reference) -> int:
    """Nanoseconds since 1970 of what does not say its year, or not even its date.

    Raises:
        ZoneError: its zone cannot be told.
        ValueError: there is no such date.
    """
    at = reference.instant
    if reading.month is None:
        return min(dates(reading, zone, at), key=lambda instant: abs(instant - at))
    if reference.nearest:
        return min(years(reading, zone, at), key=lambda instant: abs(instant - at))
    found = [instant for instant in years(reading, zone, at) if instant <= at + DAY_NS]
    if not found:
        raise OutOfRangeError
    return max(found)


def years(reading: Reading, zone: tzinfo, near: int) -> list[int]:
    """The instants with this month, day and time of the years around another one. Raises ValueError: there are none."""
    this = (_EPOCH + timedelta(seconds=near // SECOND_NS)).year
    is_leap_day = (reading.month, reading.day) == (2, 29)
    around = _LEAP_YEARS if is_leap_day else 1
    some = range(max(this - around, 1), min(this + around, 9999) + 1)
    days = [midnight(year, reading.month or 0, reading.day) for year in some if not is_leap_day or isleap(year)]
    return _told(days, reading, zone)


def dates(reading: Reading, zone: tzinfo, near: int) -> list[int]:
    """The instants with this time of day on the days around another one."""
    local = near // SECOND_NS + zone_offset(near // SECOND_NS, zone)
    today = local - local % 86_400
    return _told((today + days * 86_400 for days in (-2, -1, 0, 1, 2)), reading, zone)


def _told(midnights: Iterable[int], reading: Reading, zone: tzinfo) -> list[int]:
    """The instants on these days. Their zone may have another name on some of them."""
    found = []
    for one in midnights:
        with suppress(ZoneError):
            found.append(_at(one, reading, zone))
    if not found:
        raise ZoneError
    return found
