"""Instants as libraries and servers write them: each layout back to the nanosecond, and nothing wrong for any text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.parse.instants import layouts, timestamps, zones
from agent.parse.instants.completion import Reference
from tests.parse.effort import examples

NS = 10**9
DAY = 86_400 * NS
OBSERVED = 1_798_000_000 * NS  # 2026-12-23T04:26:40Z
FIRST, LAST = 86_400 * 3, OBSERVED // NS
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

seconds = st.integers(FIRST, LAST)
offsets = st.integers(-14 * 60, 14 * 60)


def local(second: int, offset: int = 0) -> datetime:
    """A clock's reading, `offset` minutes east of UTC."""
    return datetime(1970, 1, 1, tzinfo=timezone(timedelta(minutes=offset))) + timedelta(seconds=second + offset * 60)


def fraction(nanos: int, digits: int) -> tuple[str, int]:
    """So many digits of a second, and how many nanoseconds they are."""
    text = f"{nanos:09d}"[:digits]
    return text, int(text.ljust(9, "0"))


def sign(offset: int, colon: str) -> str:
    hours, minutes = divmod(abs(offset), 60)
    return f"{'-' if offset < 0 else '+'}{hours:02d}{colon}{minutes:02d}"


# Of each layout with an offset or in UTC: what is written at a second, with a fraction and an offset.
FULL = {
    "rfc3339": lambda at, part, off: f"{at:%Y-%m-%dT%H:%M:%S}.{part}{sign(off, ':')}",
    "lower-case": lambda at, part, off: f"{at:%Y-%m-%dt%H:%M:%S}.{part}{sign(off, ':')}",
    "comma": lambda at, part, off: f"{at:%Y-%m-%d %H:%M:%S},{part} {sign(off, '')}",
    "slashes": lambda at, part, off: f"{at:%Y/%m/%d %H:%M:%S}.{part}{sign(off, '')}",
    "java": lambda at, part, off: f"{at:%Y-%m-%dT%H:%M:%S}.{part}{sign(off, ':')}[Asia/Kolkata]",
    "go": lambda at, part, off: f"{at:%Y-%m-%d %H:%M:%S}.{part} {sign(off, '')} CET m=+0.012345678",
    "go-unnamed": lambda at, part, off: f"{at:%Y-%m-%d %H:%M:%S}.{part} {sign(off, '')} {sign(off, '')}",
    "clf": lambda at, part, off: f"{at.day:02d}/{MONTHS[at.month - 1]}/{at:%Y:%H:%M:%S} {sign(off, '')}",
    "mail": lambda at, part, off: (
        f"{DAYS[at.weekday()]}, {at.day:02d} {MONTHS[at.month - 1]} {at:%Y %H:%M:%S} {sign(off, '')}"
    ),
    "javascript": lambda at, part, off: (
        f"{DAYS[at.weekday()]} {MONTHS[at.month - 1]} {at.day:02d} {at:%Y %H:%M:%S} GMT{sign(off, '')} (Some Time)"
    ),
    "basic": lambda at, part, off: f"{at:%Y%m%dT%H%M%S}.{part}{sign(off, '')}",
    "tomcat": lambda at, part, off: f"{at.day:02d}-{MONTHS[at.month - 1]}-{at:%Y %H:%M:%S}.{part} {sign(off, '')}",
    "dots": lambda at, part, off: f"{at:%d.%m.%Y %H:%M:%S}.{part} {sign(off, ':')}",
    "cisco": lambda at, part, off: f"{MONTHS[at.month - 1]} {at.day:2d} {at:%Y %H:%M:%S}.{part} {sign(off, ':')}",
}
NO_FRACTION = {"clf", "mail", "javascript"}

# Of each layout of local time: its text, and whether it has a fraction.
LOCAL = {
    "iso": (lambda at, part: f"{at:%Y-%m-%d %H:%M:%S}.{part}", True),
    "dots-first": (lambda at, part: f"{at:%Y.%m.%d %H:%M:%S}.{part}", True),
    "colon": (lambda at, part: f"{at:%Y%m%d-%H:%M:%S}:{part}", True),
    "healthapp": (lambda at, part: f"{at:%Y%m%d}-{at.hour}:{at.minute}:{at.second}:{part}", True),
    "glog": (lambda at, part: f"{at:%Y%m%d %H:%M:%S}.{part}", True),
    "digits": (lambda at, part: f"{at:%Y%m%d%H%M%S}", False),
    "ctime": (lambda at, part: f"{DAYS[at.weekday()]} {MONTHS[at.month - 1]} {at.day:2d} {at:%H:%M:%S %Y}", False),
    "apache": (
        lambda at, part: f"{DAYS[at.weekday()]} {MONTHS[at.month - 1]} {at.day:02d} {at:%H:%M:%S}.{part} {at:%Y}",
        True,
    ),
    "jul": (
        lambda at, part: (
            f"{MONTHS[at.month - 1]} {at.day:02d}, {at.year} {at.hour % 12 or 12}:{at:%M:%S} "
            f"{'PM' if at.hour >= 12 else 'AM'}"
        ),
        False,
    ),
    "redis": (lambda at, part: f"{at.day:02d} {MONTHS[at.month - 1]} {at:%Y %H:%M:%S}.{part}", True),
    "hdfs": (lambda at, part: f"{at:%y%m%d %H%M%S}", False),
    "mysql": (lambda at, part: f"{at:%y%m%d} {at.hour:2d}:{at:%M:%S}", False),
    "spark": (lambda at, part: f"{at:%y/%m/%d %H:%M:%S}", False),
    "blue-gene": (lambda at, part: f"{at:%Y-%m-%d-%H.%M.%S}.{part}", True),
}

# Without a year; the last column says whether the date is missing, too.
PARTIAL = {
    "syslog": lambda at, part: f"{MONTHS[at.month - 1]} {at.day:2d} {at:%H:%M:%S}.{part}",
    "klog": lambda at, part: f"{at:%m%d %H:%M:%S}.{part}",
    "android": lambda at, part: f"{at:%m-%d %H:%M:%S}.{part}",
    "redis-2": lambda at, part: f"{at.day:02d} {MONTHS[at.month - 1]} {at:%H:%M:%S}.{part}",
    "mongo-2": lambda at, part: f"{DAYS[at.weekday()]} {MONTHS[at.month - 1]} {at.day:2d} {at:%H:%M:%S}.{part}",
}


def both(text: str, zone: str = "UTC", observed: int = OBSERVED) -> int:
    """What the text says, which is the same when it is looked up the second time, and for all seconds of its minute."""
    instants = timestamps.Instants(ZoneInfo(zone))
    found = timestamps.parse(text, ZoneInfo(zone), observed)
    assert [instants.parse(text, observed) for _ in range(3)] == [found] * 3
    return found


@pytest.mark.parametrize("name", FULL)
@given(seconds, st.integers(0, NS - 1), st.integers(1, 9), offsets, st.sampled_from(ZONES))
@settings(max_examples=examples(40), deadline=None)
def test_a_text_with_an_offset_is_read_to_the_nanosecond(  # noqa: PLR0917 - drawn
    name, second, nanos, digits, offset, zone
):
    part, after = fraction(nanos, digits)
    after = 0 if name in NO_FRACTION else after
    assert both(FULL[name](local(second, offset), part, offset), zone) == second * NS + after


@pytest.mark.parametrize("name", LOCAL)
@given(seconds, st.integers(0, NS - 1), st.integers(3, 9), st.sampled_from(ZONES))
@settings(max_examples=examples(40), deadline=None)
def test_a_text_without_an_offset_is_local_time(name, second, nanos, digits, zone):
    at = datetime.fromtimestamp(second, ZoneInfo(zone))
    write, has_fraction = LOCAL[name]
    part, after = fraction(nanos, digits)
    earlier = int(at.replace(fold=0).timestamp())  # of a repeated hour the earlier one
    assert both(write(at, part), zone) == earlier * NS + (after if has_fraction else 0)


@pytest.mark.parametrize("name", PARTIAL)
@given(st.integers(0, 363 * 86_400), st.integers(0, NS - 1), st.sampled_from(ZONES), seconds)
@settings(max_examples=examples(40), deadline=None)
def test_a_text_without_a_year_is_of_the_year_before_its_reading(name, before, nanos, zone, observed):
    second = max(observed + 86_000 - before, 0)
    at = datetime.fromtimestamp(second, ZoneInfo(zone))
    part, after = fraction(nanos, 9)
    if at.replace(fold=0).utcoffset() == at.replace(fold=1).utcoffset():
        assert both(PARTIAL[name](at, part), zone, observed * NS) == second * NS + after


@given(seconds, st.integers(-11 * 3600, 11 * 3600), st.sampled_from(ZONES))
@settings(max_examples=examples(200), deadline=None)
def test_a_time_of_day_is_next_to_its_reading(observed, before, zone):
    at = datetime.fromtimestamp(observed + before, ZoneInfo(zone))
    if at.replace(fold=0).utcoffset() == at.replace(fold=1).utcoffset():
        assert both(f"{at:%H:%M:%S}", zone, observed * NS) == (observed + before) * NS


@given(st.lists(st.tuples(seconds, st.sampled_from(sorted(PARTIAL))), min_size=1, max_size=20), st.sampled_from(ZONES))
@settings(max_examples=examples(100), deadline=None)
def test_what_was_looked_up_does_not_outlive_its_reference(lines, zone):
    instants = timestamps.Instants(ZoneInfo(zone))
    for reference, name in lines:
        for text in (PARTIAL[name](local(FIRST + 12_345_678), "5"), "23:59:59.5", "00:00:00"):
            instants.reference = Reference(reference * NS)
            found = outcome(instants.parse, text, OBSERVED)
            assert found == outcome(timestamps.parse, text, ZoneInfo(zone), reference * NS)


def outcome(call, *arguments):
    try:
        return call(*arguments)
    except ValueError as error:
        return type(error)


EXAMPLES = [layout.example for layout in layouts.LAYOUTS]
WORDS = st.sampled_from(
    ["CET", "IST", "Z", "+01:00", "-05:30:15", "AM", "[Europe/Berlin]", " ", ":00", ".5", "T", "Sun, "]
)
PATCHED = st.builds(
    lambda text, at, end, patch: text[:at] + patch + text[end:],
    st.sampled_from(EXAMPLES), st.integers(0, 40), st.integers(0, 40), WORDS | st.text(max_size=3),
)  # fmt: skip
ANY = st.one_of(st.text(max_size=60), st.text("0123456789-/T :.,+Z[]APMnov", max_size=40), PATCHED)


@given(st.lists(ANY, min_size=1, max_size=4), st.sampled_from(ZONES))
@settings(max_examples=examples(500), deadline=None)
@example(["2026-11-22 05:39-05:30:00", "2026-11-22 05:39-05:30:15"], "UTC")
@example(["20261122-0:07:00:00", "20261122-0:07:00:44"], "UTC")
@example(["2026-11-22 05:39:00", "2026-11-22 05:39:", "2026-11-22 05:39"], "UTC")
@example(["2026-12-31 23:59:60", "2026-12-31 23:59:61", "2026-12-31 23:59:59"], "Europe/Berlin")
def test_any_text_is_an_instant_or_a_reason(texts, zone):
    """No other exception, nothing beyond the range or a day ahead, and what is looked up is what is parsed."""
    instants = timestamps.Instants(ZoneInfo(zone))
    for text in texts:
        found = outcome(timestamps.parse, text, ZoneInfo(zone), OBSERVED)
        assert not isinstance(found, int) or 0 <= found <= OBSERVED + DAY
        assert outcome(instants.parse, text, OBSERVED) == found
        assert outcome(instants.parse, text, OBSERVED) == found


@given(st.lists(PATCHED, min_size=1, max_size=6), st.integers(0, 59))
@settings(max_examples=examples(300), deadline=None)
def test_seconds_of_a_minute_that_is_known_are_those_parsed(texts, second):
    instants = timestamps.Instants(UTC)
    for text in texts:
        outcome(instants.parse, text, OBSERVED)
        other = text.replace(":26", f":{second:02d}").replace(":15", f":{second:02d}")
        assert outcome(instants.parse, other, OBSERVED) == outcome(timestamps.parse, other, UTC, OBSERVED)


@pytest.mark.parametrize("layout", layouts.LAYOUTS, ids=lambda layout: layout.name)
def test_an_example_is_read_and_may_begin_a_line(layout):
    assert isinstance(outcome(timestamps.parse, layout.example, UTC, OBSERVED), int)
    if layout.begins:
        pattern = re.compile(layouts.HEADS[layout.name], re.ASCII)
        assert pattern.groups == 0
        assert pattern.match(f"{layout.example} ERROR it broke")[0] == layout.example


@pytest.mark.parametrize("name", ["CET", "EST", "EDT", "PST", "JST", "NST", "ACST", "AEDT", "BST", "UTC", "GMT"])
def test_a_name_means_what_the_zones_of_that_name_mean(name):
    """In all zones whose clocks show the name at some time of 2026, by the tz database of this machine."""
    found = set()
    for zone in available_timezones():
        for month in range(1, 13):
            at = datetime(2026, month, 15, 12, tzinfo=ZoneInfo(zone))
            if at.tzname() == name and zone != "Asia/Manila":
                found.add(at.utcoffset())
    assert found == {timedelta(seconds=zones.seconds_east(name, 1_798_000_000, UTC))}


@pytest.mark.parametrize(
    ("zone", "text", "wanted"),
    [
        ("Asia/Kolkata", "2026-11-22 05:39:26 IST", "2026-11-22T05:39:26+05:30"),
        ("Asia/Jerusalem", "2026-11-22 05:39:26 IST", "2026-11-22T05:39:26+02:00"),
        ("Europe/Dublin", "2026-07-22 05:39:26 IST", "2026-07-22T05:39:26+01:00"),
        ("America/Chicago", "2026-11-22 05:39:26 CST", "2026-11-22T05:39:26-06:00"),
        ("Asia/Shanghai", "2026-11-22 05:39:26 CST", "2026-11-22T05:39:26+08:00"),
        ("Asia/Manila", "2026-11-22 05:39:26 PST", "2026-11-22T05:39:26+08:00"),
        ("Europe/Berlin", "2026-10-25 02:30:00 CEST", "2026-10-25T02:30:00+02:00"),
        ("Europe/Berlin", "2026-10-25 02:30:00 CET", "2026-10-25T02:30:00+01:00"),
    ],
)
def test_a_name_that_the_sources_own_zone_has_is_its_own(zone, text, wanted):
    assert both(text, zone) == timestamps.parse(wanted, UTC, OBSERVED)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("2026-11-22 05:39:26 IST", zones.ZoneError),
        ("2026-11-22 05:39:26 CST", zones.ZoneError),
        ("2026-11-22 05:39:26 XYZ", zones.ZoneError),
        ("2026-11-22T05:39:26XYZ", zones.ZoneError),
        ("Nov 22 05:39:26 AST", zones.ZoneError),
        ("2026-11-22 05:39:26 Europe/Atlantis", zones.ZoneError),
        ("2026-11-22 05:39:26+19:00", zones.ZoneError),
        ("05/11/2026 05:39:26", zones.AmbiguousError),
        ("05/11/2026 05:39:26 AM", zones.AmbiguousError),
        ("11/10 05:39:26", zones.AmbiguousError),
        ("2026-12-24T04:26:40.000000001Z", zones.AheadError),
        ("2262-04-12T00:00:00Z", zones.OutOfRangeError),
    ],
)
def test_what_is_not_certain_is_no_instant(text, error):
    assert outcome(timestamps.parse, text, UTC, OBSERVED) is error


@pytest.mark.parametrize("text", ["2026-11-22", "[    12.345678]", "[12345.678901]", "12:30", "22 Nov", "2026-11", ""])
def test_a_date_or_the_time_since_boot_is_no_instant(text):
    assert outcome(timestamps.parse, text, UTC, OBSERVED) is ValueError


@pytest.mark.parametrize("piece", ["1", "[", "05:39:26 ", " m=+1", "Nov ", "2026-11-22 "])
def test_a_text_that_is_longer_than_any_instant_is_none(piece):
    assert outcome(timestamps.parse, piece * 161, UTC, OBSERVED) is ValueError
    assert outcome(timestamps.Instants(UTC).parse, piece * 161, OBSERVED) is ValueError
