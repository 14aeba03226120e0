"""Durations, sizes, shares and rates as people write them, in a configuration and on a command line alike.

Durations become integer nanoseconds, sizes integer bytes, a share (`5%`) a fraction, a factor (`4x`) a float, a rate
(`10/min`) events per second. Every parser raises ValueError with a sentence that fits after the value. The units of
time are systemd's (systemd.time(7)) without its months and years, whose length varies, and case does not matter.
"""

from __future__ import annotations

import re

from agent.core.patterns import lazy

SECOND_NS = 1_000_000_000
NANOSECONDS_PER_UNIT = {
    **dict.fromkeys(("ns", "nsec", "nanosecond", "nanoseconds"), 1),
    **dict.fromkeys(("us", "µs", "μs", "usec", "microsecond", "microseconds"), 1_000),  # the micro sign; a Greek mu
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1_000_000),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), SECOND_NS),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60 * SECOND_NS),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600 * SECOND_NS),
    **dict.fromkeys(("d", "day", "days"), 86_400 * SECOND_NS),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86_400 * SECOND_NS),
}
BYTES_PER_UNIT = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}

_PART = lazy(r"(\d{1,18})(?:\.(\d{1,18}))?\s*([a-zµμ]+)\s*", re.ASCII)
_SIZE = lazy(r"(\d+(?:\.\d+)?) ?([KMGT]i?B|B)", re.ASCII | re.IGNORECASE)
_NUMBER = lazy(r"\d+(?:\.\d+)?", re.ASCII)
_SHARE = lazy(r"(\d+(?:\.\d+)?) ?%", re.ASCII)
_FACTOR = lazy(r"(\d+(?:\.\d+)?) ?x", re.ASCII)
_RATE = lazy(r"(\d+(?:\.\d+)?) ?/ ?([a-zµμ]+)", re.ASCII)
_MAX_DIGITS = 40  # int() and float() of longer texts are slow or infinite, and no such value means anything
_MOST_NS = 1_000_000 * 86_400 * SECOND_NS  # 2,700 years: beyond any log


def parse_nanoseconds(text: str) -> int:
    """Nanoseconds of a duration: `250ms`, `1h30m`, `2 days`, `1.5 hours`; exact, nothing goes through floats."""
    rest = text.strip().lower()
    total, at = 0, 0
    while at < len(rest):
        part = _PART.match(rest, at)
        unit = NANOSECONDS_PER_UNIT.get(part[3]) if part else None
        if part is None or unit is None:
            break
        total += int(part[1]) * unit
        if part[2]:
            total += int(part[2]) * unit // 10 ** len(part[2])
        at = part.end()
    if at < len(rest) or not rest:
        number = _NUMBER.fullmatch(rest)
        raise ValueError("is a number without a unit, not a duration" if number else "is not a duration")
    if total > _MOST_NS:
        raise ValueError("is longer than a thousand years")
    return total


def parse_seconds(text: str) -> float:
    """Seconds of a duration, as `parse_nanoseconds` reads it."""
    return parse_nanoseconds(text) / SECOND_NS


def parse_size(text: str) -> int:
    """Bytes of `64KiB` (1024) or `10MB` (1000); the case of the letters does not matter."""
    rest = text.strip()
    match = _SIZE.fullmatch(rest) if len(rest) <= _MAX_DIGITS else None
    if match:
        unit = next(unit for unit in BYTES_PER_UNIT if unit.lower() == match[2].lower())
        return (
            round(float(match[1]) * BYTES_PER_UNIT[unit]) if "." in match[1] else int(match[1]) * BYTES_PER_UNIT[unit]
        )
    if _NUMBER.fullmatch(rest):
        raise ValueError("is a number without a unit, not a size")
    raise ValueError("is not a size")


def parse_share(text: str) -> float:
    """The fraction of `5%`: 0.05; above 0 and at most 100 %."""
    match = _SHARE.fullmatch(text.strip())
    if not match or not 0 < float(match[1]) <= 100:  # noqa: PLR2004
        raise ValueError("is not a percentage above 0% and up to 100%")
    return float(match[1]) / 100


def parse_factor(text: str) -> float:
    """The number of `4x`; above 1."""
    match = _FACTOR.fullmatch(text.strip())
    if not match or not 1 < float(match[1]) < 1e9:  # noqa: PLR2004
        raise ValueError("is not a factor above 1x")
    return float(match[1])


def parse_rate(text: str) -> float:
    """Events per second of `1/s`, `10/min`, `100/hour`, `5/d`; above 0."""
    match = _RATE.fullmatch(text.strip().lower())
    unit = NANOSECONDS_PER_UNIT.get(match[2]) if match else None
    if not match or unit is None or not 0 < float(match[1]) < 1e12:  # noqa: PLR2004
        raise ValueError("is not a rate above 0")
    return float(match[1]) / (unit / SECOND_NS)


def format_duration(seconds: float) -> str:
    """The shortest spelling that `parse_seconds` reads back exactly, to the microsecond: `1h30m`, `250ms`."""
    left = round(seconds * 1_000_000)
    if left <= 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s", "ms", "us"):
        count, left = divmod(left, NANOSECONDS_PER_UNIT[unit] // 1_000)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def format_size(size: int) -> str:
    """`2.5 GiB`, `64 KiB`, `17 B`: for people, rounded to one decimal."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:  # noqa: PLR2004
            return f"{value:.0f} {unit}" if value == int(value) else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
