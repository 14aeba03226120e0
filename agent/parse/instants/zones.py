"""Time zones as logs write them: offsets, names such as CET, regions such as Asia/Kolkata.

A name is told only where it is certain, for an instant that is hours off looks like any other: India, Israel and
Ireland write IST, China, Chicago and Havana CST. What the source's own zone calls itself at that time is certain for
its logs, whoever else writes the same; so `timezone: America/Chicago` makes CST readable.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, lru_cache

from agent.core.patterns import lazy


class InstantError(ValueError):
    """A value that names an instant, which cannot be taken; `reason` begins the event's parse error."""

    reason = "no timestamp"


class OutOfRangeError(InstantError):
    """It lies before 1970 or after 2262."""

    reason = "timestamp out of range"


class AheadError(InstantError):
    """It lies more than a day after the line was read."""

    reason = "timestamp is ahead"


class ZoneError(InstantError):
    """Its zone cannot be told."""

    reason = "time zone cannot be told"


class AmbiguousError(InstantError):
    """Its date can be read in two ways."""

    reason = "day and month cannot be told apart"


# Names that mean one offset in all zones of the tz database (2025b, https://www.iana.org/time-zones) since 2000, in
# hours. KST leaves out Pyongyang's three years of half an hour less, PST that Manila is called so as well: RFC 5322
# (section 4.3) defines it. AST, GST and SST are left out: Java and Windows write them for Arabia, the Gulf and
# Singapore, too.
_HOURS = {
    "UTC": 0, "UT": 0, "GMT": 0, "WET": 0, "WEST": 1, "BST": 1, "WAT": 1, "CET": 1, "MET": 1, "CEST": 2, "MEST": 2,
    "CAT": 2, "EET": 2, "SAST": 2, "EEST": 3, "EAT": 3, "IDT": 3, "MSD": 4, "PKT": 5, "PKST": 6, "WIB": 7, "WITA": 8,
    "HKT": 8, "SGT": 8, "AWST": 8, "AWDT": 9, "WIT": 9, "JST": 9, "KST": 9, "ACST": 9.5, "AEST": 10, "ChST": 10,
    "ACDT": 10.5, "AEDT": 11, "NZST": 12, "NZDT": 13, "HST": -10, "HDT": -9, "AKST": -9, "AKDT": -8, "PST": -8,
    "PDT": -7, "MST": -7, "MDT": -6, "EST": -5, "EDT": -4, "NST": -3.5, "NDT": -2.5, "ADT": -3,
}  # fmt: skip
_MEANT_IN = {"MSK": "Europe/Moscow"}  # another offset from 2011 to 2014
_AMBIGUOUS = ("IST", "CST", "CDT", "AST", "GST", "SST")
_MAIL = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}

# Texts of regular expressions. NAMES has the names above alone, so that no level behind an instant is taken for a zone;
# longer ones come first.
NAMES = "(?:" + "|".join(sorted({*_HOURS, *_MEANT_IN, *_AMBIGUOUS}, key=lambda name: (-len(name), name))) + ")"
OFFSET = r"[+-]\d\d(?::?\d\d(?::?\d\d)?)?"
REGION = r"[A-Z][A-Za-z_]{1,20}(?:/[A-Za-z_+-]{2,24}\d{0,2}){1,2}"
_NUMBERED = lazy(r"(?:UTC|GMT|UT)?([+-])(\d\d?)(?::?(\d\d)(?::?(\d\d))?)?", re.ASCII)
_LOOKS_NAMED = lazy(r"[A-Z][A-Za-z]{0,4}|" + REGION, re.ASCII)


def seconds_east(written: str, local: int, zone: tzinfo, *, mail: bool = False) -> int:
    """Seconds east of UTC.

    Args:
        written: an offset, a name, a region, or an offset with a name or a region behind it, which says nothing more.
        local: the clock's reading, in seconds since 1970 as if in UTC.
        zone: of the source.
        mail: in a date of RFC 5322, which defines the names of North America.

    Raises:
        ZoneError: it looks like a zone, and cannot be told.
        ValueError: it does not look like one.
    """
    first = written.split(maxsplit=1)[0].partition("[")[0] or written.strip("[]")
    if first in ("Z", "z"):
        return 0
    numbered = _NUMBERED.fullmatch(first)
    if numbered is not None:
        return _numbered(numbered)
    if mail and first in _MAIL:
        return _MAIL[first] * 3600
    own = _own_offset(first, local, zone)
    if own is not None:
        return own
    hours = _HOURS.get(first)
    if hours is not None:
        return int(hours * 3600)
    region = _MEANT_IN.get(first, first)
    if region in _regions():
        return zone_offset(local, _region(region))
    if _LOOKS_NAMED.fullmatch(first) is None:
        raise ValueError
    raise ZoneError


def _numbered(match: re.Match[str]) -> int:
    sign, *parts = match.groups("0")
    hours, minutes, seconds = map(int, parts)
    if hours > 18 or minutes > 59 or seconds > 59:  # noqa: PLR2004 - ISO 8601; no zone is further off than 18 hours
        raise ZoneError
    size = hours * 3600 + minutes * 60 + seconds
    return -size if sign == "-" else size


def _own_offset(name: str, local: int, zone: tzinfo) -> int | None:
    """That of the source's zone, if it calls itself so at this reading: of a repeated hour the name tells which."""
    if zone is UTC:
        return None
    for fold in (0, 1):
        when = _at(local).replace(tzinfo=zone, fold=fold)
        if when.tzname() == name:
            offset = when.utcoffset()
            return None if offset is None else int(offset.total_seconds())
    return None


def zone_offset(local: int, zone: tzinfo) -> int:
    """Seconds east of UTC that the zone's clocks show at a local reading (the earlier of two)."""
    if zone is UTC:
        return 0
    offset = _at(local).replace(tzinfo=zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def _at(local: int) -> datetime:
    try:
        return datetime(1970, 1, 1) + timedelta(seconds=local)  # noqa: DTZ001 - a clock's reading
    except OverflowError:
        raise OutOfRangeError from None


@cache
def _regions() -> frozenset[str]:
    from zoneinfo import available_timezones  # noqa: PLC0415 - 3 ms

    return frozenset(name for name in available_timezones() if "/" in name)


@lru_cache(maxsize=32)
def _region(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - 3 ms

    return ZoneInfo(name)
