"""The layouts in which libraries and servers write an instant as text: what is written, before it is completed.

`LAYOUTS` is the table: a name, an example, and the pattern whose groups are named as the fields of `Reading`. A layout
is added by its row, and by cases in `tests/cases/instants.toml`. Patterns are anchored, and no two repetitions in a row
can take the same characters: linear in the length of the text.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

from agent.core.patterns import lazy
from agent.parse.instants.zones import NAMES, OFFSET, REGION, AmbiguousError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Reading(NamedTuple):
    """An instant as written; None is what the text leaves out. Without a month it is a time of day."""

    year: int | None
    month: int | None
    day: int
    second: int  # of the day
    nanos: int
    zone: str | None
    mail: bool = False  # a date of RFC 5322, by which the zones of North America have names


_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)} | {
    name: number
    for number, name in enumerate(
        (
            "january", "february", "march", "april", "may", "june",
            "july", "august", "september", "october", "november", "december",
        ),
        1,
    )
} | {"sept": 9}  # fmt: skip

_NAME = (
    r"(?P<name>[Jj]an(?:uary)?|[Ff]eb(?:ruary)?|[Mm]ar(?:ch)?|[Aa]pr(?:il)?|[Mm]ay|[Jj]une?|[Jj]uly?|[Aa]ug(?:ust)?"
    r"|[Ss]ept?(?:ember)?|[Oo]ct(?:ober)?|[Nn]ov(?:ember)?|[Dd]ec(?:ember)?|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT"
    r"|NOV|DEC)"
)
_DAY_NAME = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_DAY_NAMES = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_YEAR = r"(?P<year>\d{4})"
_ANY_YEAR = r"(?P<year>\d{4}|\d\d)"
_FRACTION = r"(?:[.,:](?P<fraction>\d{1,30}))?"
_HALF = "(?:[ \u202f\u00a0]?(?P<half>[AaPp][Mm]|[ap]\\.m\\.))?"  # Java puts a narrow no-break space before it since 20
_APART = r"(?:[Tt_]|,? {1,2}|[,;\t]|\] ?\[| \| |\"[ \t,;]\")"  # date and time, where they may be two columns
_MINUTE = r"(?P<hour>\d\d?):(?P<minute>\d\d)"
_CLOCK = rf"{_MINUTE}:(?P<second>\d\d){_FRACTION}{_HALF}"
# Without a second no offset has one, so that there is one place in a text where three numbers are the clock's.
_ANY_CLOCK = rf"{_MINUTE}(?::(?P<second>\d\d){_FRACTION}|(?!\D{{0,8}}\d\d:\d\d:\d\d)){_HALF}"
# Behind an offset Go writes the name as well, Java the region in brackets.
_NAMED_OFFSET = rf"{OFFSET}(?: (?:{NAMES}|{OFFSET})\b)?"
_ZONE = (
    rf"(?: ?(?P<zone>(?:[Zz]|{_NAMED_OFFSET}|(?:UTC|GMT)[+-]\d\d?(?::?\d\d)?|{NAMES}|{REGION})"
    r"(?:\[[A-Za-z0-9_+:/-]{1,40}\])?(?![\w/])|\[" + REGION + r"\]))?"
)


class _Layout(NamedTuple):
    """A row of the table. `begins` is what may begin a line; one that is anything else as well may not."""

    name: str
    example: str
    pattern: str
    begins: bool = True


LAYOUTS = (
    # RFC 3339 and ISO 8601 as most libraries bend it: https://www.rfc-editor.org/rfc/rfc3339
    _Layout(
        "iso",
        "2026-11-22T05:39:26.123456789+01:00[Europe/Berlin]",
        rf"{_YEAR}(?P<mark>[-/.])(?P<month>\d\d?)(?P=mark)(?P<day>\d\d?){_APART}{_ANY_CLOCK}{_ZONE}",
    ),
    # Apache's common log format: https://httpd.apache.org/docs/2.4/mod/mod_log_config.html
    _Layout("clf", "22/Nov/2026:05:39:26 +0100", rf"(?P<day>\d\d)/{_NAME}/{_YEAR}[: ]{_CLOCK}{_ZONE}"),
    # RFC 3164, also with the year of Cisco's devices and java.util.logging, and with the seconds' fraction of rsyslog
    _Layout(
        "syslog",
        "Nov 22 05:39:26.123",
        rf"(?:(?:{_DAY_NAME}|{_DAY_NAMES}),? )?{_NAME} {{1,2}}(?P<day>\d\d?)(?:,? {_YEAR})?"
        rf"(?:,? (?:@ |at )?){_CLOCK}{_ZONE}",
    ),
    # asctime(3), as Apache's error log writes it with a fraction, and date(1) with a zone
    _Layout(
        "ctime",
        "Sun Nov 22 05:39:26.123456 2026",
        rf"(?:{_DAY_NAME} )?{_NAME} {{1,2}}(?P<day>\d\d?) {_CLOCK}{_ZONE} {_YEAR}",
    ),
    # RFC 5322 and RFC 1123: https://www.rfc-editor.org/rfc/rfc5322#section-3.3
    _Layout(
        "mail",
        "Sun, 22 Nov 2026 05:39:26 +0100",
        rf"(?P<mail>{_DAY_NAME}),? (?P<day>\d\d?) {_NAME} {_ANY_YEAR} {_ANY_CLOCK}{_ZONE}(?: \([A-Za-z ]{{1,40}}\))?",
    ),
    # RFC 850, https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
    _Layout(
        "http",
        "Sunday, 22-Nov-26 05:39:26 GMT",
        rf"(?P<mail>{_DAY_NAMES}|{_DAY_NAME}), (?P<day>\d\d)-{_NAME}-(?P<year>\d{{4}}|\d\d) {_CLOCK}{_ZONE}",
    ),
    # Date.prototype.toString of JavaScript
    _Layout(
        "javascript",
        "Sun Nov 22 2026 05:39:26 GMT+0100 (Central European Standard Time)",
        rf"{_DAY_NAME} {_NAME} (?P<day>\d\d) {_YEAR} {_CLOCK}{_ZONE} \([^()\n]{{1,60}}\)",
    ),
    # Redis (no year before 3.2); Tomcat, PHP and BIND with dashes
    _Layout("redis", "22 Nov 2026 05:39:26.123", rf"(?P<day>\d\d?)[ .]{_NAME}(?:,? {_ANY_YEAR})?,? {_CLOCK}{_ZONE}"),
    _Layout("boost", "2026-Nov-22 05:39:26.123", rf"{_YEAR}[-/. ]{_NAME}[-/. ](?P<day>\d\d?) {_CLOCK}{_ZONE}"),
    _Layout("minecraft", "22Nov2026 05:39:26.123", rf"(?P<day>\d\d?){_NAME}{_ANY_YEAR} {_CLOCK}{_ZONE}"),
    _Layout("american", "Nov-22-2026 05:39:26", rf"{_NAME}-(?P<day>\d\d?)-{_YEAR} {_CLOCK}{_ZONE}"),
    _Layout("tomcat", "22-Nov-2026 05:39:26.123", rf"(?P<day>\d\d?)-{_NAME}-{_YEAR} {_CLOCK}{_ZONE}"),
    # glog and others without punctuation; ISO 8601's basic format
    _Layout(
        "basic",
        "20261122-05:39:26:123",
        rf"(?P<year>\d{{4}})(?P<month>\d\d)(?P<day>\d\d)(?:[Tt-]| {{1,2}})"
        rf"(?P<hour>\d\d?):(?P<minute>\d\d?):(?P<second>\d\d?){_FRACTION}{_ZONE}",
    ),
    _Layout(
        "digits",
        "20261122T053926Z",
        r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)[Tt_. -]?(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)"
        rf"{_FRACTION}{_ZONE}",
        begins=False,
    ),
    _Layout("ordinal", "2026-326T05:39:26", rf"{_YEAR}-(?P<ordinal>\d{{3}})[Tt]{_CLOCK}{_ZONE}"),
    # log4j's `yyMMdd HHmmss` of HDFS, and MySQL up to 5.6, whose hour may have one digit
    _Layout(
        "hdfs", "081109 203615", r"(?P<year>\d\d)(?P<month>\d\d)(?P<day>\d\d) "
        r"(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)",
    ),
    _Layout("mysql", "081109 20:36:15", rf"(?P<year>\d\d)(?P<month>\d\d)(?P<day>\d\d) {{1,2}}{_CLOCK}{_ZONE}"),
    # klog and glog behind the letter of the level: https://pkg.go.dev/k8s.io/klog/v2
    _Layout("klog", "1122 05:39:26.123456", rf"(?P<month>\d\d)(?P<day>\d\d) {{1,2}}{_CLOCK}{_ZONE}"),
    # log4j's `yy/MM/dd` of Spark and Hadoop; with AM or PM, or a second number beyond 12, it is `MM/dd/yy`
    _Layout("short", "17/06/09 20:10:40", rf"(?P<short>\d\d/\d\d/\d\d),? {_CLOCK}{_ZONE}"),
    # Windows, and all that write dates as people do: told where one of the numbers can be no month
    _Layout(
        "slashes",
        "11/22/2026 05:39:26 AM",
        rf"(?P<first>\d\d?)(?P<mark>[-/])(?P<then>\d\d?)(?P=mark){_YEAR}{_APART}{_ANY_CLOCK}{_ZONE}",
    ),
    _Layout(
        "dots",
        "22.11.2026 05:39:26",
        rf"(?P<day>\d\d?)\.(?P<month>\d\d?)\.{_ANY_YEAR}{_APART}{_ANY_CLOCK}{_ZONE}",
    ),
    # logcat of Android: https://developer.android.com/tools/logcat
    _Layout("android", "11-22 05:39:26.123", rf"(?P<month>\d\d)-(?P<day>\d\d) {_CLOCK}{_ZONE}"),
    _Layout("yearless", "11/22 05:39:26", rf"(?P<first>\d\d)[/.](?P<then>\d\d)[ -]{_CLOCK}{_ZONE}"),
    # Db2's diagnostic log, whose offset is in minutes, and Blue Gene's
    _Layout(
        "db2",
        "2026-11-22-05.39.26.123456+060",
        r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)-(?P<hour>\d\d)\.(?P<minute>\d\d)\.(?P<second>\d\d)"
        r"(?:\.(?P<fraction>\d{1,30}))?(?P<minutes>[+-]\d{3})?",
    ),
    _Layout("time", "05:39:26.123", rf"{_CLOCK}{_ZONE}"),
    # Go's time.Kitchen, which zerolog's console writes: the minute is all that it says
    _Layout("kitchen", "5:39AM", r"(?P<hour>\d\d?):(?P<minute>\d\d) ?(?P<half>[AaPp][Mm])"),
)  # fmt: skip

# What may begin a line, by the layout's name: texts of regular expressions without groups that are kept.
HEADS = {
    layout.name: re.sub(r"\(\?P=mark\)", "[-/.]", re.sub(r"\(\?P<\w+>", "(?:", layout.pattern))
    for layout in LAYOUTS
    if layout.begins
}

_MONOTONIC = lazy(r" m=[+-]\d{1,20}\.\d{1,20}$", re.ASCII)  # Go's reading of the clock that is never set


def _by_beginning(layouts: Iterable[_Layout]) -> tuple[list[re.Pattern[str]], list[re.Pattern[str]]]:
    """Those that begin with a digit and those that begin with a letter."""
    digits: list[re.Pattern[str]] = []
    letters: list[re.Pattern[str]] = []
    for layout in layouts:
        pattern = lazy(layout.pattern, re.ASCII)
        (digits if layout.example[0].isdigit() else letters).append(pattern)
    return digits, letters


_DIGITS, _LETTERS = _by_beginning(LAYOUTS)


def read(text: str) -> Reading:
    """What a text says, of which no part is left over.

    Raises:
        AmbiguousError: day and month may be the one or the other.
        ValueError: no layout fits, or a number is no month, hour and so on.
    """
    if " m=" in text:
        text = _MONOTONIC.sub("", text)
    for pattern in _DIGITS if text[:1].isdigit() else _LETTERS:
        match = pattern.fullmatch(text)
        if match is not None:
            return _reading(match.groupdict())
    raise ValueError


def _reading(found: dict[str, str | None]) -> Reading:
    year, month, day = _date(found)
    fraction = found.get("fraction")
    return Reading(
        year,
        month,
        day,
        _second_of_day(found),
        int((fraction + "00000000")[:9]) if fraction else 0,
        found.get("zone") or _of_minutes(found.get("minutes")),
        found.get("mail") is not None,
    )


def _date(found: dict[str, str | None]) -> tuple[int | None, int | None, int]:
    year = _year(found.get("year"))
    if (short := found.get("short")) is not None:
        return _short_date(short, american=found.get("half") is not None)
    if (first := found.get("first")) is not None and (then := found.get("then")) is not None:
        return year, *_month_and_day(int(first), int(then))
    name = found.get("name")
    if (ordinal := found.get("ordinal")) is not None and year is not None:
        found_day = date(year, 1, 1) + timedelta(days=int(ordinal) - 1)
        if found_day.year != year:
            raise ValueError
        return year, found_day.month, found_day.day
    number = found.get("month")
    month = _MONTHS[name.lower()] if name is not None else None if number is None else int(number)
    return year, month, int(found.get("day") or 0)


def _year(written: str | None) -> int | None:
    """Of two digits as POSIX reads them: 69 to 99 are of the last century."""
    if written is None or len(written) > 2:  # noqa: PLR2004
        return int(written) if written else None
    return int(written) + (2000 if int(written) < 69 else 1900)  # noqa: PLR2004


def _short_date(written: str, *, american: bool) -> tuple[int | None, int, int]:
    first, second, third = written.split("/")
    if american or int(second) > 12:  # noqa: PLR2004
        return _year(third), int(first), int(second)
    return _year(first), int(second), int(third)


def _month_and_day(first: int, then: int) -> tuple[int, int]:
    if first > 12 or first == then:  # noqa: PLR2004
        return then, first
    if then > 12:  # noqa: PLR2004
        return first, then
    raise AmbiguousError


def _second_of_day(found: dict[str, str | None]) -> int:
    hour, minute, second = (int(found.get(part) or 0) for part in ("hour", "minute", "second"))
    half = found.get("half")
    if half is not None:
        if not 1 <= hour <= 12:  # noqa: PLR2004
            raise ValueError
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    if hour > 23 or minute > 59 or second > 60:  # noqa: PLR2004
        raise ValueError
    return hour * 3600 + minute * 60 + second


def _of_minutes(written: str | None) -> str | None:
    """Db2's `+060` as others write it."""
    if written is None:
        return None
    hours, minutes = divmod(int(written[1:]), 60)
    return f"{written[0]}{hours:02d}:{minutes:02d}"
