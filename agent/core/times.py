"""Points in time and durations as a person writes them. Results are integer nanoseconds; nothing goes through floats.

Understood: RFC 3339 (`2026-11-22T03:04:05.123456789Z`), `2026-11-22 03:04`, `2026-11-22`, `03:04`, `now`, `today`,
`yesterday`, `tomorrow`, a duration before now (`15m`, `-15m`, `15m ago`, `1h30m`), after now (`+5m`), and `@EPOCH`
seconds with a fraction. A time without an offset is local time (TZ).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from agent.core.errors import UsageError
from agent.core.patterns import lazy
from agent.core.units import SECOND_NS, parse_nanoseconds

MINUTE_NS = 60 * SECOND_NS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_INSTANT = lazy(
    r"(?:(\d{4})-(\d\d)-(\d\d))?(?:(?:(?<=\d)[ Tt])?(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,18}))?)?"
    r"\s?(Z|z|UTC|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_EPOCH_SECONDS = lazy(r"@(-?)(\d{1,12})(?:\.(\d{1,18}))?", re.ASCII)


def parse_duration(text: str) -> int:
    """Nanoseconds of what an option says, as `agent.core.units` reads durations: `900s`, `1h30m`, `2 days`, `1.5h`.

    Raises:
        UsageError: SL515, it is no duration.
    """
    try:
        return parse_nanoseconds(text)
    except ValueError as error:
        raise UsageError.of("SL515", text, problem=error) from None


def parse_time(text: str, now_ns: int) -> int:
    """The instant that `text` means at `now_ns`, in nanoseconds since the epoch.

    Raises:
        UsageError: SL514, it is no time.
    """
    word = text.strip()
    found = _relative(word.lower(), now_ns)
    if found is None:
        found = _epoch(word)
    if found is None:
        found = _absolute(word, now_ns)
    if found is None:
        raise UsageError.of("SL514", text)
    return found


def _relative(word: str, now_ns: int) -> int | None:
    if word == "now":
        return now_ns
    if word in ("today", "yesterday", "tomorrow"):
        days = {"today": 0, "yesterday": -1, "tomorrow": 1}[word]
        return _local(datetime.combine(_today(now_ns) + timedelta(days=days), time()))
    sign = -1
    if word.startswith("+"):
        sign, word = 1, word[1:]
    elif word.endswith("ago"):
        word = word.removesuffix("ago").rstrip().removeprefix("-")
    else:
        word = word.removeprefix("-")
    try:
        return now_ns + sign * parse_nanoseconds(word)
    except ValueError:
        return None


def _epoch(word: str) -> int | None:
    found = _EPOCH_SECONDS.fullmatch(word)
    if found is None:
        return None
    value = int(found[2]) * SECOND_NS + _fraction(found[3])
    return -value if found[1] else value


def _absolute(word: str, now_ns: int) -> int | None:
    found = _INSTANT.fullmatch(word)
    if not word or found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    leap = second == "60"  # a leap second is the instant after :59
    try:
        when = date(int(year), int(month), int(day)) if year else _today(now_ns)
        clock = time(int(hour or 0), int(minute or 0), 59 if leap else int(second or 0))
        naive = datetime.combine(when, clock)
        whole = _local(naive) if zone is None else _zoned(naive, zone)
    except (ValueError, OverflowError, OSError):
        return None
    return whole + leap * SECOND_NS + _fraction(fraction)


def _fraction(digits: str | None) -> int:
    return int((digits or "")[:9].ljust(9, "0"))


def _today(now_ns: int) -> date:
    return (_EPOCH + timedelta(seconds=now_ns // SECOND_NS)).astimezone().date()


def _local(naive: datetime) -> int:
    return (naive.astimezone() - _EPOCH) // _MICROSECOND * 1_000


def _zoned(naive: datetime, zone: str) -> int:
    offset = timedelta()
    if zone not in ("Z", "z", "UTC"):
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:])) * (-1 if zone[0] == "-" else 1)
    return (naive.replace(tzinfo=UTC) - offset - _EPOCH) // _MICROSECOND * 1_000


def recent_midnights(now_ns: int, days: int) -> list[int]:
    """The local midnights with which the last `days` days begin, today's last, and the one that ends today."""
    today = _today(now_ns)
    return [_local(datetime.combine(today + timedelta(days=day), time())) for day in range(1 - days, 2)]


_formatted: dict[int, str] = {}


def format_utc(timestamp_ns: int) -> str:
    """RFC 3339 with nine digits and `Z`; what lies outside years 1 to 9999 as `@SECONDS.NANOSECONDS`."""
    second, rest = divmod(timestamp_ns, SECOND_NS)
    text = _formatted.get(second)  # neighbours share their second: 0.1 µs instead of 0.7
    if text is None:
        try:
            text = (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
        except OverflowError:
            return f"@{second}.{rest:09d}"
        if len(_formatted) > 10_000:  # noqa: PLR2004 - about 1 MB
            _formatted.clear()
        _formatted[second] = text
    return f"{text}.{rest:09d}Z"


def format_local(timestamp_ns: int, digits: int = 3) -> str:
    """Local time for people, `2026-11-22 05:39:26.123`, with so many digits of the second."""
    second, rest = divmod(timestamp_ns, SECOND_NS)
    try:
        when = (_EPOCH + timedelta(seconds=second)).astimezone()
    except (OverflowError, ValueError, OSError):
        return f"@{second}.{rest:09d}"
    return f"{when:%Y-%m-%d %H:%M:%S}.{rest:09d}"[: 20 + digits]
