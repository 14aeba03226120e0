"""Durations, sizes, shares and rates as people write them in a configuration.

Durations become float seconds, sizes integer bytes, a share (`5%`) a fraction, a factor (`4x`) a float, a rate
(`10/m`) events per second. Every parser raises ValueError with a sentence that fits after the value.
"""

from __future__ import annotations

import re

from agent.core.patterns import lazy

SECONDS_PER_UNIT = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
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
DURATION_HINT = "write a number with its unit, such as 250ms, 30s, 5m, 1h30m, 7d or 2w"
SIZE_HINT = "write a number with its unit, such as 512B, 64KiB, 10MB or 2GiB"
SHARE_HINT = "write a percentage such as 5%"
FACTOR_HINT = "write a factor such as 4x"
RATE_HINT = "write events per second, minute, hour or day, such as 1/s, 10/m or 100/h"

_PART = lazy(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d|w)", re.ASCII)
_SIZE = lazy(r"(\d+(?:\.\d+)?) ?([KMGT]i?B|B)", re.ASCII | re.IGNORECASE)
_NUMBER = r"(\d+(?:\.\d+)?)"
_MAX_DIGITS = 40  # int() and float() of longer texts are slow or infinite, and no such value means anything


def parse_duration(text: str) -> float:
    """Seconds of `250ms`, `1h30m`, `7d`; units may be combined and each may have a decimal fraction."""
    rest = text.strip()
    seconds, at = 0.0, 0
    while rest and len(rest) <= _MAX_DIGITS and (part := _PART.match(rest, at)):
        seconds += float(part[1]) * SECONDS_PER_UNIT[part[2]]
        at = part.end()
        if at == len(rest):
            return seconds
    if re.fullmatch(_NUMBER, rest):
        raise ValueError("is a number without a unit, not a duration")
    raise ValueError("is not a duration")


def parse_size(text: str) -> int:
    """Bytes of `64KiB` (1024) or `10MB` (1000); the case of the letters does not matter."""
    rest = text.strip()
    match = _SIZE.fullmatch(rest) if len(rest) <= _MAX_DIGITS else None
    if match:
        unit = next(unit for unit in BYTES_PER_UNIT if unit.lower() == match[2].lower())
        return (
            round(float(match[1]) * BYTES_PER_UNIT[unit]) if "." in match[1] else int(match[1]) * BYTES_PER_UNIT[unit]
        )
    if re.fullmatch(_NUMBER, rest):
        raise ValueError("is a number without a unit, not a size")
    raise ValueError("is not a size")


def parse_share(text: str) -> float:
    """The fraction of `5%`: 0.05; above 0 and at most 100 %."""
    match = re.fullmatch(_NUMBER + r" ?%", text.strip())
    if not match or not 0 < float(match[1]) <= 100:  # noqa: PLR2004
        raise ValueError("is not a percentage above 0% and up to 100%")
    return float(match[1]) / 100


def parse_factor(text: str) -> float:
    """The number of `4x`; above 1."""
    match = re.fullmatch(_NUMBER + r" ?x", text.strip())
    if not match or not 1 < float(match[1]) < 1e9:  # noqa: PLR2004
        raise ValueError("is not a factor above 1x")
    return float(match[1])


def parse_rate(text: str) -> float:
    """Events per second of `1/s`, `10/m`, `100/h`, `5/d`; above 0."""
    match = re.fullmatch(_NUMBER + r" ?/ ?([smhd])", text.strip())
    if not match or not 0 < float(match[1]) < 1e12:  # noqa: PLR2004
        raise ValueError("is not a rate above 0")
    return float(match[1]) / SECONDS_PER_UNIT[match[2]]


def format_duration(seconds: float) -> str:
    """The shortest spelling that `parse_duration` reads back exactly, to the microsecond: `1h30m`, `250ms`."""
    left = round(seconds * 1_000_000)
    if left <= 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s", "ms", "us"):
        size = round(SECONDS_PER_UNIT[unit] * 1_000_000)
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def format_size(size: int) -> str:
    """`2.0 GiB`, `64 KiB`, `17 B`: for people, rounded to one decimal."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:  # noqa: PLR2004
            return f"{value:.0f} {unit}" if value == int(value) else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
