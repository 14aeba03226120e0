"""Instants in nanoseconds since 1970 out of whatever a library writes, one by one and in bulk.

Texts and integers are exact to the nanosecond; a float is exact to the digits of its shortest text. A leap second
(`:60`) is the following second. A text without an offset is local time of `zone`: of a repeated hour the earlier
instant counts, in a skipped hour the clock reads as before the change.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from operator import add
from typing import Any

import orjson

SECOND_NS = 1_000_000_000
MAX_NS = 2**63 - 1  # 2262-04-11: what a 64-bit column holds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS = b"0123456789"

# Up to where a number counts as seconds, ms, µs; beyond are ns. 1e11 s is the year 5138, 1e11 ms is 1973.
_SECONDS_BELOW, _MILLIS_BELOW, _MICROS_BELOW = 10**11, 10**14, 10**17

_MONTHS = {name: n for n, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
ISO = (
    r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9}\d*)?"
    r"(?: ?(?:Z|UTC|[+-]\d\d:?\d\d(?::\d\d)?|[+-]\d\d(?!\d)))?"
)
CLF = r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"
SYSLOG = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})?"
_ISO = re.compile(
    r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?: ?(Z|z|UTC|[+-]\d\d(?::?\d\d(?::\d\d)?)?))?",
    re.ASCII,
)
_CLF = re.compile(r"(\d\d)/([A-Za-z]{3})/(\d{4}):(\d\d):(\d\d):(\d\d)(?:[.,](\d+))? ([+-]\d{4})", re.ASCII)
_SYSLOG = re.compile(r"([A-Za-z]{3}) ([ \d]?\d) (\d\d):(\d\d):(\d\d)(?:\.(\d+))?", re.ASCII)
_KLOG = re.compile(r"(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d+))?", re.ASCII)
_NUMBER = re.compile(r"(-?\d{1,19})(?:\.(\d{1,30}))?", re.ASCII)


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
        return _checked(_parse_text(value, zone, observed))
    if kind is int:
        return _checked(_scale(value))
    if kind is float:
        return _checked(_parse_float(value))
    if kind is dict:
        return _checked(_parse_object(value))
    raise ValueError


def _checked(instant: int) -> int:
    if 0 <= instant <= MAX_NS:
        return instant
    raise OutOfRangeError


def _scale(number: int) -> int:
    """An integer by its magnitude: seconds, milli-, micro- or nanoseconds."""
    size = abs(number)
    if size < _SECONDS_BELOW:
        return number * SECOND_NS
    if size < _MILLIS_BELOW:
        return number * 1_000_000
    return number * 1000 if size < _MICROS_BELOW else number


def _parse_float(number: float) -> int:
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
        local = _local(int(year), int(month), int(day), int(hour), int(minute), int(second))
        return _instant(local, fraction, offset, zone)
    match = _NUMBER.fullmatch(text)
    if match is not None:
        return _scale_decimal(match[1], match[2] or "")
    match = _CLF.fullmatch(text)
    if match is not None:
        day, name, year, hour, minute, second, fraction, offset = match.groups()
        local = _local(int(year), _month(name), int(day), int(hour), int(minute), int(second))
        return _instant(local, fraction, offset, zone)
    match = _SYSLOG.fullmatch(text)
    if match is not None:
        name, day, hour, minute, second, fraction = match.groups()
        return _nearest_year(_month(name), int(day), (int(hour), int(minute), int(second)), fraction, zone, observed)
    match = _KLOG.fullmatch(text)
    if match is not None:
        month, day, hour, minute, second, fraction = match.groups()
        return _nearest_year(int(month), int(day), (int(hour), int(minute), int(second)), fraction, zone, observed)
    raise ValueError


def _month(name: str) -> int:
    try:
        return _MONTHS[name.lower()]
    except KeyError:
        raise ValueError from None


def _local(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    """Seconds since 1970 of a clock reading, as if in UTC. Raises ValueError for an impossible date or time."""
    if hour > 23 or minute > 59 or second > 60:  # noqa: PLR2004
        raise ValueError
    return _midnight(year, month, day) + hour * 3600 + minute * 60 + second


def _instant(local: int, fraction: str | None, offset: str | None, zone: tzinfo) -> int:
    seconds = local - (_zone_offset(local, zone) if offset is None else _offset_seconds(offset))
    return seconds * SECOND_NS + (int((fraction + "00000000")[:9]) if fraction else 0)


def _offset_seconds(offset: str) -> int:
    if offset in ("Z", "z", "UTC"):
        return 0
    digits = offset[1:].replace(":", "").ljust(6, "0")
    size = int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:])
    return -size if offset[0] == "-" else size


def _zone_offset(local: int, zone: tzinfo) -> int:
    """Seconds east of UTC that the zone's clocks show at a local reading (the earlier of two)."""
    if zone is UTC:
        return 0
    try:
        offset = (datetime(1970, 1, 1) + timedelta(seconds=local)).replace(tzinfo=zone).utcoffset()  # noqa: DTZ001
    except OverflowError:
        raise OutOfRangeError from None
    return 0 if offset is None else int(offset.total_seconds())


def _nearest_year(
    month: int, day: int, clock: tuple[int, int, int], fraction: str | None, zone: tzinfo, observed: int
) -> int:
    """The instant next to `observed` with this month, day and time: in January, December is last year's."""
    this = datetime.fromtimestamp(observed // SECOND_NS, UTC).year
    found = []
    for year in (this - 1, this, this + 1, this + 2, this - 2, this + 3, this - 3, this - 4):
        try:
            found.append(_instant(_local(year, month, day, *clock), fraction, None, zone))
        except ValueError:  # 29 February
            continue
    if not found:
        raise ValueError
    return min(found, key=lambda instant: abs(instant - observed))


# --- in bulk


class _Seconds(dict[int, int]):
    """The digits of a text up to its second (`20261122053926`) to nanoseconds; `shift` is seconds east of UTC.

    What is added to them are nanoseconds with a 1 before them, so that 1 s is taken off here.
    """

    MOST = 20_000  # about 2 MB

    def __init__(self, zone: tzinfo | None, shift: int = 0) -> None:
        super().__init__()
        self._zone = zone
        self._shift = shift

    def __missing__(self, digits: int) -> int:
        rest, second = divmod(digits, 100)
        rest, minute = divmod(rest, 100)
        rest, hour = divmod(rest, 100)
        rest, day = divmod(rest, 100)
        year, month = divmod(rest, 100)
        local = _local(year, month, day, hour, minute, second)
        shift = self._shift if self._zone is None else _zone_offset(local, self._zone)
        if len(self) >= self.MOST:
            self.clear()
        instant = self[digits] = (local - shift - 1) * SECOND_NS
        return instant


_HEAD = 19
_SEPARATORS = {4: "-/", 7: "-/", 10: "T ", 13: ":", 16: ":"}
_DIGITS_TO_ZERO = str.maketrans("123456789", "000000000")
_SUFFIX = re.compile(r"(?:[.,](\d{1,9}))?( ?(?:Z|UTC|[+-]\d\d(?::?\d\d(?::\d\d)?)?))?", re.ASCII)


class BulkTimestamps:
    """Whole columns of timestamps of one file. Keeps the seconds it has met, so that most rows cost a dict lookup."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._layouts: dict[tuple[str, int], _Layout] = {}

    def convert(self, values: Sequence[Any]) -> list[int] | None:
        """Nanoseconds of all values, or None where they are not all of one kind and layout (then one by one)."""
        kinds = set(map(type, values))
        if len(kinds) != 1:
            return None
        kind = kinds.pop()
        if kind is str:
            return self._texts(values)
        if kind is int:
            return _integers(values)
        if kind is float:
            return _floats(values)
        return None

    def _texts(self, values: Sequence[str]) -> list[int] | None:
        example = values[0]
        suffix = _SUFFIX.fullmatch(example[_HEAD:]) if len(example) >= _HEAD else None
        if suffix is None:
            return None
        key = example[: _HEAD + 1].translate(_DIGITS_TO_ZERO) + (suffix[2] or ""), len(example)
        layout = self._layouts.get(key)
        if layout is None:
            if len(self._layouts) > 64:  # noqa: PLR2004 - a file has one or two
                self._layouts.clear()
            layout = self._layouts[key] = _Layout(example, suffix, self._zone)
        return layout.convert(values) if layout.usable else None


class _Layout:
    """One layout such as `2026-11-22T05:39:26.123456Z`: the same length, separators and offset in every row."""

    def __init__(self, example: str, suffix: re.Match[str], zone: tzinfo) -> None:
        fraction, offset = suffix.groups()
        self._length = len(example)
        self._seconds = _Seconds(zone) if offset is None else _Seconds(None, _offset_seconds(offset.strip()))
        self._fixed = {at: example[at] for at in _SEPARATORS}
        self._suffix = offset or ""
        self._point = example[_HEAD] if fraction else ""
        self._zeros = "0" * (9 - len(fraction or ""))
        if fraction:
            self._fixed[_HEAD] = example[_HEAD]
        begin = len(example) - len(self._suffix)
        self._fixed.update((begin + n, char) for n, char in enumerate(self._suffix))
        self._others = sum(not char.isdigit() for char in self._fixed.values())
        self.usable = all(example[at] in allowed for at, allowed in _SEPARATORS.items())

    def convert(self, values: Sequence[str]) -> list[int] | None:
        """Nanoseconds, or None where a row differs from the layout or is out of range.

        All rows are as long, so that every column of the joined text is a slice with a stride (0.05 µs a row for
        all of them; a match costs 0.5). Separators and the offset stand where they stood in the first row, and
        nothing but digits stands elsewhere. The joined text is then made one JSON array of integers, two a row:
        the digits up to the second, and 1 and the nanoseconds. Its parser takes half the time of `int()` per row.
        """
        rows = len(values)
        joined = "".join(values)
        if len(joined) != rows * self._length or not joined.isascii() or len(set(map(len, values))) != 1:
            return None
        for at, char in self._fixed.items():
            if joined[at :: self._length] != char * rows:
                return None
        if len(joined.encode().translate(None, _DIGITS)) != self._others * rows:
            return None
        numbers = orjson.loads(self._as_array(joined, values))
        seconds = self._seconds
        try:
            found = list(map(add, map(seconds.__getitem__, numbers[::2]), numbers[1::2]))
        except ValueError:
            return None
        return found if min(found) >= 0 and max(found) <= MAX_NS else None

    def _as_array(self, joined: str, values: Sequence[str]) -> bytes:
        """`[20261122053926,1123456000,…]`."""
        if self._suffix in _UNMISTAKABLE:
            text = joined.replace(self._suffix, ",")
        else:
            text = ",".join([value[: -len(self._suffix) or None] for value in values]) + ","
        between = f"{self._zeros},"
        if self._point == ",":
            rows = text[:-1].split(",")
            text = "".join([f"{whole},1{part}{between}" for whole, part in zip(rows[::2], rows[1::2], strict=True)])
        elif self._point:
            text = text.replace(",", between).replace(".", ",1")
        else:
            text = text.replace(",", f",1{between}")
        return b"[" + text[:-1].encode().translate(None, b"-/T :") + b"]"


# Offsets whose text cannot occur in the rest of a timestamp ("-05" can).
_UNMISTAKABLE = frozenset({"Z", "UTC", " UTC", "+00:00", "+0000"})


def _integers(values: Sequence[int]) -> list[int] | None:
    low, high = min(values), max(values)
    if low < 0 or high > MAX_NS:
        return None
    for below, above, unit in (
        (0, _SECONDS_BELOW, SECOND_NS),
        (_SECONDS_BELOW, _MILLIS_BELOW, 1_000_000),
        (_MILLIS_BELOW, _MICROS_BELOW, 1000),
    ):
        if low >= below and high < above:
            return [value * unit for value in values] if high * unit <= MAX_NS else None
    return list(values) if low >= _MICROS_BELOW else None


def _floats(values: Sequence[float]) -> list[int] | None:
    try:
        return [_checked(_parse_float(value)) for value in values]
    except ValueError:
        return None
