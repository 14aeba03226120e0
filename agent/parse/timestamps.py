"""Instants in nanoseconds since 1970 out of whatever a library writes, one by one; `bulk` does whole columns.

Texts and integers are exact to the nanosecond; a float is exact to the digits of its shortest text. A leap second
(`:60`) is the following second. A text without an offset is local time of `zone`: of a repeated hour the earlier
instant counts, in a skipped hour the clock reads as before the change.
"""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

from agent.core.patterns import lazy
from agent.core.units import SECOND_NS

MAX_NS = 2**63 - 1  # 2262-04-11: what a 64-bit column holds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Up to where a number counts as seconds, ms, µs; beyond are ns. 1e11 s is the year 5138, 1e11 ms is 1973.
SECONDS_BELOW, MILLIS_BELOW, MICROS_BELOW = 10**11, 10**14, 10**17

_MONTHS = {
    name: n
    for n, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}
ISO = (
    r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9}\d*)?"
    r"(?: ?(?:Z|UTC|[+-]\d\d:?\d\d(?::\d\d)?|[+-]\d\d(?!\d)))?"
)
CLF = r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"
SYSLOG = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})?"
_ISO = lazy(
    r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?: ?(Z|z|UTC|[+-]\d\d(?::?\d\d(?::\d\d)?)?))?",
    re.ASCII,
)
_CLF = lazy(r"(\d\d)/([A-Za-z]{3})/(\d{4}):(\d\d):(\d\d):(\d\d)(?:[.,](\d+))? ([+-]\d{4})", re.ASCII)
_SYSLOG = lazy(r"([A-Za-z]{3}) ([ \d]?\d) (\d\d):(\d\d):(\d\d)(?:\.(\d+))?", re.ASCII)
_KLOG = lazy(r"(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d+))?", re.ASCII)
_NUMBER = lazy(r"(-?\d{1,19})(?:\.(\d{1,30}))?", re.ASCII)


_AFTER_SECOND = lazy(r"(?:[.,](\d+))?(?: ?(Z|z|UTC|[+-]\d\d(?::?\d\d(?::\d\d)?)?))?", re.ASCII)
_SECOND_CHARS = 19  # `2026-11-22 05:39:26`
_MOST_SECONDS = 4096
_SURELY_NEAREST_NS = 180 * 86_400 * SECOND_NS  # less than half a year: no other year's instant is nearer


class OutOfRangeError(ValueError):
    """The value names an instant, but one before 1970 or after 2262."""


@lru_cache(maxsize=256)
def _midnight(year: int, month: int, day: int) -> int:
    return (datetime(year, month, day, tzinfo=UTC) - _EPOCH).days * 86_400


def parse(value: Any, zone: tzinfo, observed: int) -> int:
    """Nanoseconds since 1970 of a decoded JSON value or a text.

    Args:
        value: string, int, float, or one of the objects `{epochSecond, nanoOfSecond}` and `{seconds, nanos}`.
        zone: of texts without an offset.
        observed: when the line was read (ns); names the year where the text has none.

    Raises:
        OutOfRangeError: the instant lies before 1970 or after 2262, or the number is not finite.
        ValueError: the value names no instant.
    """
    kind = type(value)
    if kind is str:
        return checked(_parse_text(value, zone, observed))
    if kind is int:
        return checked(_scale(value))
    if kind is float:
        return checked(parse_float(value))
    if kind is dict:
        return checked(_parse_object(value))
    raise ValueError


class Instants:
    """`parse` for the timestamps of one source: the second is looked up, the fraction added (1 µs instead of 4)."""

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        self._known: dict[str, int] = {}

    def parse(self, value: Any, observed: int) -> int:
        """What `parse(value, zone, observed)` gives or raises."""
        if type(value) is not str:
            return parse(value, self.zone, observed)
        match = _AFTER_SECOND.fullmatch(value, _SECOND_CHARS)
        if match is None or len(value) < _SECOND_CHARS:
            return self._clf(value, observed) if value[2:3] == "/" else parse(value, self.zone, observed)
        fraction, offset = match.groups()
        second = value[:_SECOND_CHARS] if offset is None else value[:_SECOND_CHARS] + offset
        instant = self._known.get(second)
        if instant is None:
            if _ISO.fullmatch(second) is None:
                return parse(value, self.zone, observed)
            instant = _parse_text(second, self.zone, observed)
            self._remember(second, instant)
        return checked(instant + int((fraction + "00000000")[:9]) if fraction else instant)

    def _clf(self, value: str, observed: int) -> int:
        """Of an access log, `22/Nov/2026:05:39:26 +0000`: no other text that is an instant has a slash there."""
        instant = self._known.get(value)
        if instant is None:
            instant = parse(value, self.zone, observed)
            self._remember(value, instant)
        return instant

    def _remember(self, text: str, instant: int) -> None:
        if len(self._known) >= _MOST_SECONDS:
            self._known.clear()
        self._known[text] = instant


def checked(instant: int) -> int:
    """The instant itself. Raises OutOfRangeError before 1970 and after 2262."""
    if 0 <= instant <= MAX_NS:
        return instant
    raise OutOfRangeError


def _scale(number: int) -> int:
    """An integer by its magnitude: seconds, milli-, micro- or nanoseconds."""
    size = abs(number)
    if size < SECONDS_BELOW:
        return number * SECOND_NS
    if size < MILLIS_BELOW:
        return number * 1_000_000
    return number * 1000 if size < MICROS_BELOW else number


def parse_float(number: float) -> int:
    """A float by its magnitude, exact to the digits of its shortest text. Raises OutOfRangeError."""
    if number != number or abs(number) >= 1e19:  # noqa: PLR2004, PLR0124 - NaN is unlike itself; the ns end at 9.2e18
        raise OutOfRangeError
    text = repr(number)
    if "e" in text:
        return _scale(int(number))
    whole, _, fraction = text.partition(".")
    return _scale_decimal(whole, fraction)


def _scale_decimal(whole: str, fraction: str) -> int:
    base = int(whole)
    unit = _scale(base) // base if base else SECOND_NS
    rest = int((fraction + "000000000")[: len(str(unit)) - 1] or "0")
    return base * unit + (-rest if whole.startswith("-") else rest)


def _parse_object(value: dict[str, Any]) -> int:
    for seconds, nanos in (("epochSecond", "nanoOfSecond"), ("seconds", "nanos")):
        whole, rest = value.get(seconds), value.get(nanos, 0)
        if type(whole) is str and re.fullmatch(r"\d{1,12}", whole, re.ASCII):  # protobuf writes int64 as text
            whole = int(whole)
        if type(whole) is int and type(rest) is int:
            return whole * SECOND_NS + rest
    raise ValueError


def _parse_text(text: str, zone: tzinfo, observed: int) -> int:
    text = text.strip().strip("[]")
    match = _ISO.fullmatch(text)
    if match is not None:
        year, month, day, hour, minute, second, fraction, offset = match.groups()
        local = local_seconds(int(year), int(month), int(day), int(hour), int(minute), int(second))
        return _instant(local, fraction, offset, zone)
    match = _NUMBER.fullmatch(text)
    if match is not None:
        return _scale_decimal(match[1], match[2] or "")
    match = _CLF.fullmatch(text)
    if match is not None:
        day, name, year, hour, minute, second, fraction, offset = match.groups()
        local = local_seconds(int(year), _month(name), int(day), int(hour), int(minute), int(second))
        return _instant(local, fraction, offset, zone)
    match = _SYSLOG.fullmatch(text) or _KLOG.fullmatch(text)
    if match is not None:
        month, day, hour, minute, second, fraction = match.groups()
        return _nearest_year(_month(month), int(day), (int(hour), int(minute), int(second)), fraction, zone, observed)
    raise ValueError


def _month(written: str) -> int:
    number = int(written) if written.isdigit() else _MONTHS.get(written.lower())
    if number is None:
        raise ValueError
    return number


def local_seconds(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:  # noqa: PLR0917 - a clock
    """Seconds since 1970 of a clock reading, as if in UTC. Raises ValueError for an impossible date or time."""
    if hour > 23 or minute > 59 or second > 60:  # noqa: PLR2004
        raise ValueError
    return _midnight(year, month, day) + hour * 3600 + minute * 60 + second


def _instant(local: int, fraction: str | None, offset: str | None, zone: tzinfo) -> int:
    seconds = local - (zone_offset(local, zone) if offset is None else offset_seconds(offset))
    return seconds * SECOND_NS + (int((fraction + "00000000")[:9]) if fraction else 0)


def offset_seconds(offset: str) -> int:
    """Seconds east of UTC of `Z`, `UTC`, `+02:00`, `+0200` or `+02`."""
    if offset in ("Z", "z", "UTC"):
        return 0
    digits = offset[1:].replace(":", "").ljust(6, "0")
    size = int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:])
    return -size if offset[0] == "-" else size


def zone_offset(local: int, zone: tzinfo) -> int:
    """Seconds east of UTC that the zone's clocks show at a local reading (the earlier of two)."""
    if zone is UTC:
        return 0
    try:
        offset = (datetime(1970, 1, 1) + timedelta(seconds=local)).replace(tzinfo=zone).utcoffset()  # noqa: DTZ001
    except OverflowError:
        raise OutOfRangeError from None
    return 0 if offset is None else int(offset.total_seconds())


def _nearest_year(  # noqa: PLR0917 - a clock without a year
    month: int, day: int, clock: tuple[int, int, int], fraction: str | None, zone: tzinfo, observed: int
) -> int:
    """The instant next to `observed` with this month, day and time: in January, December is last year's."""
    this = datetime.fromtimestamp(observed // SECOND_NS, UTC).year
    with contextlib.suppress(ValueError):
        instant = _instant(local_seconds(this, month, day, *clock), fraction, None, zone)
        if abs(instant - observed) < _SURELY_NEAREST_NS:
            return instant
    found = []
    for year in (this - 1, this, this + 1, this + 2, this - 2, this + 3, this - 3, this - 4):
        try:
            found.append(_instant(local_seconds(year, month, day, *clock), fraction, None, zone))
        except ValueError:  # 29 February
            continue
    if not found:
        raise ValueError
    return min(found, key=lambda instant: abs(instant - observed))
