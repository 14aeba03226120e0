"""Instants in nanoseconds since 1970 out of whatever a library writes, one by one; `bulk` does whole columns.

Texts and integers are exact to the nanosecond; a float is exact to the digits of its shortest text. A leap second
(`:60`) is the following second. A text without an offset is local time of `zone`: of a repeated hour the earlier
instant counts, in a skipped hour the clock reads as before the change. What text may look like stands in `layouts`,
what a zone is called in `zones`, and how a missing year or date is completed in `completion`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agent.core.patterns import lazy
from agent.core.units import SECOND_NS
from agent.parse.instants import layouts
from agent.parse.instants.completion import DAY_NS, Completed, Reference, complete, completed, instant_of, midnight
from agent.parse.instants.zones import AheadError, InstantError, OutOfRangeError, ZoneError

if TYPE_CHECKING:
    from datetime import tzinfo

    from agent.core.model import EventBatch
    from agent.parse.instants.layouts import Reading

__all__ = ["CLF", "ISO", "SYSLOG", "InstantError", "Instants", "OutOfRangeError", "parse"]

MAX_NS = 2**63 - 1  # 2262-04-11: what a 64-bit column holds

# Up to where a number counts as seconds, ms, µs; beyond are ns. 1e11 s is the year 5138, 1e11 ms is 1973.
SECONDS_BELOW, MILLIS_BELOW, MICROS_BELOW = 10**11, 10**14, 10**17

# What lines begin with, as texts of regular expressions.
ISO = (
    r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9}\d*)?"
    r"(?: ?(?:Z|UTC|[+-]\d\d:?\d\d(?::\d\d)?|[+-]\d\d(?!\d)))?"
)
CLF = r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"
SYSLOG = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})?"

_NUMBER = lazy(r"(-?\d{1,19})(?:\.(\d{1,30}))?", re.ASCII)
_DATE_DIGITS = 14  # 20261122053926; as a number it would be milliseconds of the year 2612
_TAI64N = lazy(r"@4([0-9a-f]{15})([0-9a-f]{8})(?:[0-9a-f]{8})?", re.ASCII)
_TAI_AHEAD = 10  # seconds: multilog and svlogd count no leap seconds after 1970, https://cr.yp.to/libs/tai64.html
_EARLIEST_IN_BRACKETS = 10**8  # seconds; `[12345.678901]` are the kernel's since boot, and 1973 is no log's
_UNKNOWN_ZONE = lazy(r"(.{5,60}[0-9Mm]) ?[A-Z]{1,5}", re.ASCII)
# Where the seconds stand. They are not the third number of `0:07:20:444`, behind a date and an hour of one digit.
_CLOCK = lazy(r"(?<![\d.])(?<![-Tt ]\d:)(?<![-Tt ]\d\d:)\d\d?:\d\d:(\d\d)(?!\d)(?:[.,:](\d{1,30})(?!\d))?", re.ASCII)
_POINTS, _ISO_MARKS = (".", ","), ("-", "/")
_SIGNS = ("+", "-")
_LONGEST_FRACTION = 30
_MOST_KNOWN = 4096
_LONGEST_KEY = 80
_LONGEST_TEXT = 160  # JavaScript's with the name of a zone has 80


def parse(value: Any, zone: tzinfo, observed: int) -> int:
    """Nanoseconds since 1970 of a decoded JSON value or a text.

    Args:
        value: string, int, float, or one of the objects `{epochSecond, nanoOfSecond}` and `{seconds, nanos}`.
        zone: of texts without an offset.
        observed: when the line was read (ns); completes a text without a year or a date.

    Raises:
        InstantError: the value names an instant that cannot be taken: see its children.
        ValueError: the value names no instant.
    """
    if type(value) is not str:
        return checked(_unwritten(value), observed)
    number = _of_digits(value)
    if number is not None:
        return checked(number, observed)
    reading = read(value)
    if reading.year is not None:
        return checked(instant_of(reading, zone), observed)
    return checked(complete(reading, zone, Reference(observed)), observed)


def checked(instant: int, observed: int = MAX_NS) -> int:
    """The instant itself.

    Raises:
        OutOfRangeError: it lies before 1970 or after 2262.
        AheadError: it lies more than a day after `observed`.
    """
    if not 0 <= instant <= MAX_NS:
        raise OutOfRangeError
    if instant > observed + DAY_NS:
        raise AheadError
    return instant


class Instants:
    """`parse` for the timestamps of one source: the minute is looked up, seconds and fraction are added (1 µs, not 8).

    A text without a year or a date is completed by `reference`: see `completion`. It is noted in the batch that its row
    is for, for who knows the lines around it and may complete it better.
    """

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        self.reference: Reference | None = None  # None: the time at which the line was read
        self.read_by = 0  # Unix ns: the lines were read by then, whenever their file was written
        self.out: EventBatch | None = None  # has the rows before the one whose instant is read; None: nothing is noted
        self.further = 0  # so many rows, which are not in it yet, are before this one, too
        self.dateless = False  # some had the time of day alone
        self._clock_at = 0
        self._known: dict[str, int] = {}
        self._minutes: dict[str, int] = {}
        self._partial: dict[str, Completed] = {}
        self._near: dict[str, Completed] = {}

    def latest(self, observed: int) -> int:
        """The last instant that a line may name that was read at `observed`."""
        return min(max(observed, self.read_by) + DAY_NS, MAX_NS)

    def parse(self, value: Any, observed: int, near: str | None = None) -> int:
        """What `parse(value, zone, observed)` gives or raises.

        Args:
            value: as there.
            observed: as there.
            near: another text of the same line, such as a container's time, which completes this one if it has to be.
        """
        if type(value) is str:
            instant = self._known.get(value)
            if instant is None:
                instant = self._text(value, observed, near)
        else:
            instant = _unwritten(value)
        if 0 <= instant <= observed + DAY_NS and instant <= MAX_NS:
            return instant
        return checked(instant, max(observed, self.read_by))

    def _text(self, value: str, observed: int, near: str | None) -> int:
        if value[13:14] == ":" and value[19:20] in _POINTS and value[4:5] in _ISO_MARKS:
            return self._iso(value, observed)
        return self._unknown_second(value, observed, near)

    def _unknown_second(self, value: str, observed: int, near: str | None) -> int:
        if len(value) > _LONGEST_KEY:
            return self._unknown(value, value, 0, observed, near)
        match = _CLOCK.match(value, self._clock_at)  # where it was last: a search takes 0.6 µs more
        if match is None:
            match = _CLOCK.search(value)
            if match is None:
                return self._unknown(value, value, 0, observed, near)
            self._clock_at = match.start()
        second, fraction = match.groups()
        key = value[: match.start(1)] + value[match.end() :]
        after = int(second) * SECOND_NS
        if fraction is not None:
            after += int((fraction + "00000000")[:9])
        minute = self._minutes.get(key)
        if minute is not None and second < "60":
            if fraction is None:  # the next lines are likely to be of the same second
                self._keep(self._known, value, minute + after)
            return minute + after
        known = (self._partial if near is None else self._near).get(key)
        if known is not None and second < "60":
            reference = self._reference(observed, near)
            if known.since <= reference.instant < known.until and known.nearest == reference.nearest:
                return self._noted(known.minute + after, value, observed, reference)
        return self._unknown(value, key, after, observed, near)

    def _iso(self, value: str, observed: int) -> int:
        """`2026-11-22T05:39:26.123Z`: the commonest layout; a search of the clock would cost as much again."""
        suffix = "Z" if value[-1:] == "Z" else value[-6:] if value[-6:-5] in _SIGNS else ""
        fraction = value[20 : len(value) - len(suffix)]
        if not (fraction.isdigit() and fraction.isascii() and len(fraction) < _LONGEST_FRACTION):
            return self._unknown_second(value, observed, None)
        second = value[:19] + suffix
        known = self._known.get(second)
        after = int((fraction + "00000000")[:9])
        if known is None:
            known = self._unknown_second(value, observed, None) - after
            self._keep(self._known, second, known)
        return known + after

    def _unknown(self, value: str, key: str, after: int, observed: int, near: str | None) -> int:
        """A text that is read as a whole; `key` is what it is without its second, of which `after` is known."""
        number = _of_digits(value)
        if number is not None:
            return number
        reading = read(value)
        # What looks like seconds may be something else: `0:07:20:44` has 44 hundredths. And `:60` has another offset.
        is_kept = key is not value and after == reading.second % 60 * SECOND_NS + reading.nanos
        if reading.year is not None:
            instant = instant_of(reading, self.zone)
            if is_kept:
                self._keep(self._minutes, key, instant - after)
            elif key is value and len(value) <= _LONGEST_KEY:
                self._keep(self._known, value, instant)
            return instant
        reference = self._reference(observed, near)
        instant = complete(reading, self.zone, reference)
        if instant > self.latest(observed) and not reference.own:
            reference = Reference(self.latest(observed) - DAY_NS)
            instant = complete(reading, self.zone, reference)
        if is_kept:
            kept = self._partial if near is None else self._near
            self._keep(kept, key, completed(reading, instant, after, reference))
        self.dateless |= reading.month is None
        return self._noted(instant, value, observed, reference)

    def _reference(self, observed: int, near: str | None) -> Reference:
        if near is not None and near[:4].isdigit() and near[4:5] in _ISO_MARKS:  # all runtimes write the year
            with suppress(ValueError):
                return Reference(self.parse(near, observed), nearest=True, own=True)
        return self.reference or Reference(observed)

    def _noted(self, instant: int, value: str, observed: int, reference: Reference) -> int:
        if not reference.own and self.out is not None and 0 <= instant <= self.latest(observed):
            self.out.completed[len(self.out.timestamps) + self.further] = value
        return instant

    def _keep(self, known: dict[str, Any], key: str, value: Any) -> None:
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known[key] = value


# ---------------------------------------------------------------- numbers and objects


def _unwritten(value: Any) -> int:
    """Of what is no text. Raises OutOfRangeError or ValueError."""
    kind = type(value)
    if kind is int:
        return _scale(value)
    if kind is float:
        return parse_float(value)
    if kind is dict:
        return _parse_object(value)
    raise ValueError


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


# ---------------------------------------------------------------- texts


def _of_digits(text: str) -> int | None:
    """Of a number that is written as a text, or a TAI64N label; None where it is neither. Raises ValueError where it
    can be no instant at all.
    """
    if len(text) > _LONGEST_TEXT:  # trying all layouts would take 0.1 µs a character
        raise ValueError
    text = text.strip()
    plain = text.strip("[]")
    match = _NUMBER.fullmatch(plain)
    if match is not None:
        if len(match[1]) == _DATE_DIGITS and match[1].isdigit():
            return None
        if plain is not text and abs(int(match[1])) < _EARLIEST_IN_BRACKETS:
            raise ValueError
        return _scale_decimal(match[1], match[2] or "")
    match = _TAI64N.fullmatch(plain)
    if match is None:
        return None
    return (int(match[1], 16) - _TAI_AHEAD) * SECOND_NS + int(match[2], 16)


def read(text: str) -> Reading:
    """What a text says.

    Raises:
        ZoneError: something stands behind it where a zone does, and is none that is known.
        AmbiguousError: day and month may be the one or the other.
        ValueError: it names no instant.
    """
    text = text.strip()
    if text[:1] == "[" or (text[-1:] == "]" and "[" not in text):
        text = text.removeprefix("[").removesuffix("]")
    try:
        return layouts.read(text)
    except InstantError:
        raise
    except ValueError:
        match = _UNKNOWN_ZONE.fullmatch(text)
        if match is None:
            raise
    layouts.read(match[1])
    raise ZoneError


def local_seconds(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:  # noqa: PLR0917 - a clock
    """Seconds since 1970 of a clock reading, as if in UTC. Raises ValueError for an impossible date or time."""
    if hour > 23 or minute > 59 or second > 60:  # noqa: PLR2004
        raise ValueError
    return midnight(year, month, day) + hour * 3600 + minute * 60 + second
