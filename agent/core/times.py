"""Points in time and durations as a person writes them. Results are integer nanoseconds; nothing goes through floats.

Understood: RFC 3339 (`2026-11-22T03:04:05.123456789Z`), `2026-11-22 03:04`, `2026-11-22`, `03:04`, `now`, `today`,
`yesterday`, `tomorrow`, a duration before now (`15m`, `-15m`, `15m ago`, `1h30m`), after now (`+5m`), and `@EPOCH`
seconds with a fraction. A time without an offset is local time (TZ).

Times of the day are local too: `03:00`, and mute hours: `22:00-06:00`, `sat,sun`, `mon-fri 18:00-08:00`.

And the machine's own clock, which nobody can set.
"""

from __future__ import annotations

import re
import time as clocks
from datetime import UTC, date, datetime, time, timedelta, tzinfo

import msgspec

from agent.core.errors import UsageError
from agent.core.patterns import lazy
from agent.core.units import SECOND_NS, parse_nanoseconds

MINUTE_NS = 60 * SECOND_NS
DAY_NS = 1440 * MINUTE_NS
LAST_NS = 2**63 - 1  # in the year 2262: what SQLite can hold
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BOOTTIME: int = getattr(clocks, "CLOCK_BOOTTIME", clocks.CLOCK_MONOTONIC)  # the former is Linux's

_INSTANT = lazy(
    r"(?:(\d{4})-(\d\d)-(\d\d))?(?:(?:(?<=\d)[ Tt])?(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,18}))?)?"
    r"\s?(Z|z|UTC|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_TIME_OF_DAY = lazy(r"\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?", re.ASCII)
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


def parse_length(text: str, refusal: str = "SL515.nothing") -> int:
    """As `parse_duration`, of something that takes time.

    Args:
        text: as a person writes it.
        refusal: what is raised for one that is no longer than nothing.

    Raises:
        UsageError: SL515, it is no duration; `refusal`.
    """
    length = parse_duration(text)
    if length <= 0:
        raise UsageError.of(refusal, text)
    return length


def instant_after(now_ns: int, length_ns: int) -> int:
    """When a length of time that begins now is over, in nanoseconds since the epoch; `LAST_NS` at the latest."""
    return min(now_ns + length_ns, LAST_NS)


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


def parse_past_time(text: str, now_ns: int) -> int:
    """As `parse_time`, of something that has happened: a time of day that is still to come today is yesterday's.

    Raises:
        UsageError: SL514, it is no time.
    """
    found = parse_time(text, now_ns)
    if found > now_ns and _TIME_OF_DAY.fullmatch(text.strip()):
        return parse_time(text, now_ns - DAY_NS)
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
    """The instant of a local time; `fold` (PEP 495) says which of one that comes twice. One that is left out counts
    from the time before the change, so that a midnight which is left out means the change.

    `astimezone` of Python 3.11.2 takes the time after the change there: its instant lies before the day.
    """
    return int(naive.replace(microsecond=0).timestamp()) * SECOND_NS + naive.microsecond * 1_000


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


def format_local(timestamp_ns: int, digits: int = 3, zone: tzinfo | None = None) -> str:
    """Time for people, `2026-11-22 05:39:26.123`, with so many digits of the second; local where no zone is given."""
    second, rest = divmod(timestamp_ns, SECOND_NS)
    try:
        when = (_EPOCH + timedelta(seconds=second)).astimezone(zone)
    except (OverflowError, ValueError, OSError):
        return f"@{second}.{rest:09d}"
    text = f"{when:%Y-%m-%d %H:%M:%S}".rjust(19, "0")  # %Y of the year 657 has three digits
    return f"{text}.{rest:09d}"[: 20 + digits if digits else 19]


def local_offset(timestamp_ns: int, zone: tzinfo | None = None) -> str:
    """What is to be added to UTC at an instant, `+02:00`; local where no zone is given."""
    when = (_EPOCH + timedelta(seconds=timestamp_ns // SECOND_NS)).astimezone(zone)
    return when.isoformat()[-6:]


def local_floor(timestamp_ns: int, every_ns: int) -> int:
    """The instant at which the local bucket of an instant begins: a part of a day that divides it, or whole days.

    Buckets begin with local midnight, and days are numbered from 1970-01-01 on. Where the clocks change a day has 23
    or 25 hours, an hour that comes twice is two buckets, and one that would begin at a time which the clocks leave out
    begins with the change.
    """
    try:
        when = _wall_clock(timestamp_ns)
        midnight = datetime.combine(when, time())
        if every_ns % DAY_NS == 0:
            number = (when.date() - _EPOCH.date()).days % (every_ns // DAY_NS)
            return _local(midnight - timedelta(days=number))
        into_day_ns = (when - midnight) // _MICROSECOND * 1_000
        wall = when - timedelta(microseconds=into_day_ns % every_ns // 1_000)
        starts = [start for fold in (0, 1) if (start := _local(wall.replace(fold=fold))) <= timestamp_ns]
    except (OverflowError, ValueError, OSError):  # beyond the calendar
        starts = []
    return max(starts, default=timestamp_ns // every_ns * every_ns)


def _wall_clock(timestamp_ns: int) -> datetime:
    return (_EPOCH + timedelta(seconds=timestamp_ns // SECOND_NS)).astimezone().replace(tzinfo=None, fold=0)


# ---------------------------------------------------------------- times of the day


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
        local = clocks.localtime(instant // 1_000_000_000)
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


# ---------------------------------------------------------------- the machine's own clock


def since_boot_ns() -> int:
    """Nanoseconds since the machine was started, time asleep included: a laptop that was asleep is no jump."""
    return clocks.clock_gettime_ns(_BOOTTIME)


def boot_ns() -> int:
    """The instant of the machine's start, Unix nanoseconds."""
    return clocks.time_ns() - since_boot_ns()
