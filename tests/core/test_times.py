"""Times and durations: every spelling, exactly, in the local zone."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.errors import UsageError
from agent.core.times import (
    LAST_NS,
    format_local,
    format_utc,
    instant_after,
    local_floor,
    parse_duration,
    parse_length,
    parse_past_time,
    parse_time,
    recent_midnights,
    since_boot_ns,
)
from agent.core.units import SECOND_NS

NOW = 1_790_000_000 * SECOND_NS + 123


@pytest.fixture
def berlin(monkeypatch):
    """The process in a zone with summer time."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("900s", 900), ("15m", 900), ("1h30m", 5400), ("1 hour 30 minutes", 5400), ("7d", 604_800), ("2w", 1_209_600),
        ("1.5h", 5400), ("500ms", 0.5), ("1us", 1e-6), ("3ns", 3e-9), ("2 days", 172_800),
    ],
)  # fmt: skip
def test_durations(text, seconds):
    """A number and a unit, or several of these."""
    assert parse_duration(text) == round(seconds * SECOND_NS)


@pytest.mark.parametrize("text", ["", "15", "m", "1x", "-5m", "1h 3", "9" * 18 + "w", "1..5h", "١m x"])
def test_no_durations(text):
    """What is no length of time is refused with a hint."""
    with pytest.raises(UsageError) as caught:
        parse_duration(text)
    assert caught.value.code == "SL515"


@pytest.mark.parametrize("text", ["0s", "0d 0h", "0.4ns"])
def test_what_is_for_something_takes_longer_than_nothing(text):
    assert parse_duration(text) == 0
    for arguments, code in (((text,), "SL515"), ((text, "SL518.every"), "SL518")):
        with pytest.raises(UsageError) as caught:
            parse_length(*arguments)
        assert (caught.value.code, text in str(caught.value)) == (code, True)
    assert parse_length("1ns") == 1


def test_nothing_ends_later_than_a_store_can_hold():
    assert instant_after(NOW, 5) == NOW + 5
    assert instant_after(NOW, parse_duration("900000d")) == LAST_NS


@pytest.mark.parametrize(
    ("text", "ago"),
    [("now", 0), ("15m", 900), ("-15m", 900), ("15m ago", 900), ("1h ago", 3600), ("-1h ago", 3600), ("+5m", -300),
     ("1 hour ago", 3600), (" 15M ", 900)],
)  # fmt: skip
def test_relative_times(text, ago):
    """A duration is before now, with a plus after it."""
    assert parse_time(text, NOW) == NOW - ago * SECOND_NS


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("@1790000000", 1_790_000_000 * SECOND_NS),
        ("@1790000000.123456789", 1_790_000_000_123_456_789),
        ("@0.5", SECOND_NS // 2),
        ("@-1.5", -3 * SECOND_NS // 2),
        ("2026-11-22T03:04:05Z", int(datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC).timestamp()) * SECOND_NS),
        (
            "2026-11-22t03:04:05.000000001z",
            int(datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC).timestamp()) * SECOND_NS + 1,
        ),
        (
            "2026-11-22 03:04:05,5 UTC",
            int(datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC).timestamp()) * SECOND_NS + 5 * 10**8,
        ),
        ("2026-11-22T03:04+02:00", int(datetime(2026, 11, 22, 1, 4, tzinfo=UTC).timestamp()) * SECOND_NS),
        ("2026-11-22T03:04-0230", int(datetime(2026, 11, 22, 5, 34, tzinfo=UTC).timestamp()) * SECOND_NS),
        ("2016-12-31T23:59:60Z", int(datetime(2017, 1, 1, tzinfo=UTC).timestamp()) * SECOND_NS),
    ],
)
def test_absolute_times(text, wanted):
    """RFC 3339 and seconds since the epoch, to the nanosecond."""
    assert parse_time(text, NOW) == wanted


@pytest.mark.usefixtures("berlin")
def test_zoneless_times_are_local():
    """Also over the change to summer time; `today` begins at local midnight."""
    winter, summer = timezone(timedelta(hours=1)), timezone(timedelta(hours=2))

    def at(*parts, zone):
        return int(datetime(*parts, tzinfo=zone).timestamp()) * SECOND_NS

    assert parse_time("2026-01-15 03:04", NOW) == at(2026, 1, 15, 3, 4, zone=winter)
    assert parse_time("2026-07-15", NOW) == at(2026, 7, 15, zone=summer)
    now = at(2026, 3, 29, 12, 0, zone=summer)  # the clock went forward this night
    assert parse_time("today", now) == at(2026, 3, 29, zone=winter)
    assert parse_time("tomorrow", now) == at(2026, 3, 30, zone=summer)
    assert parse_time("yesterday", now) == at(2026, 3, 28, zone=winter)
    assert parse_time("03:04", now) == at(2026, 3, 29, 3, 4, zone=summer)
    assert format_local(at(2026, 7, 15, zone=summer) + 123_456_789) == "2026-07-15 00:00:00.123"
    assert format_local(at(657, 12, 17, 23, 51, 27, zone=UTC), zone=UTC) == "0657-12-17 23:51:27.000"


@pytest.mark.parametrize(
    "text", ["", "whenever", "2026-13-01", "2026-11-22T", "2026-11-22T25:00", "@", "@1e5", "ago", "03", "0000-01-01",
             "2026-11-22T03:04+99:00x", "9999-99-99"],
)  # fmt: skip
def test_no_times(text):
    """What is no time is refused with the spellings that are."""
    with pytest.raises(UsageError) as caught:
        parse_time(text, NOW)
    assert caught.value.code == "SL514"


@given(st.integers(min_value=-62_135_596_800 * SECOND_NS, max_value=253_402_300_799 * SECOND_NS))
def test_a_formatted_instant_reads_back_to_the_nanosecond(instant):
    """Over all years that the format has."""
    text = format_utc(instant)
    assert len(text) == 30
    assert parse_time(text, NOW) == instant


def test_instants_beyond_the_calendar_are_seconds():
    """Neither form fails on what no calendar holds."""
    far = 2**63 - 1
    assert format_utc(-(10**12) * SECOND_NS).startswith("@-")
    assert parse_time(format_utc(10**12 * SECOND_NS - 1), NOW) == 10**12 * SECOND_NS - 1
    assert format_local(far)
    assert format_local(-(10**12) * SECOND_NS).startswith("@")


def test_the_cache_of_seconds_is_bounded():
    """Many different seconds are formatted right, too."""
    texts = {format_utc(second * SECOND_NS) for second in range(12_000)}
    assert len(texts) == 12_000


@pytest.mark.usefixtures("berlin")
def test_recent_midnights_are_local_and_whole_days_over_a_change_of_the_clock():
    """So each day of a trend is a day of the reader's calendar, of 25 hours too."""
    now = parse_time("2026-10-26T12:00:00+01:00", 0)
    found = [format_utc(midnight)[:16] for midnight in recent_midnights(now, 3)]
    assert found == ["2026-10-23T22:00", "2026-10-24T22:00", "2026-10-25T23:00", "2026-10-26T23:00"]


def test_the_clock_that_nobody_can_set_counts_on():
    first = since_boot_ns()
    assert 0 < first <= since_boot_ns()


@pytest.mark.parametrize(
    ("zone", "at", "every", "begins", "lasts"),
    [
        ("Europe/Berlin", "2026-11-22T23:30:00Z", "1d", "2026-11-22T23:00:00Z", 24),
        ("Europe/Berlin", "2026-10-25T12:00:00Z", "1d", "2026-10-24T22:00:00Z", 25),
        ("Europe/Berlin", "2026-03-29T12:00:00Z", "1d", "2026-03-28T23:00:00Z", 23),
        ("Europe/Berlin", "2026-10-25T00:30:00Z", "1h", "2026-10-25T00:00:00Z", 1),  # 02:00 for the first time
        ("Europe/Berlin", "2026-10-25T01:30:00Z", "1h", "2026-10-25T01:00:00Z", 1),  # and once more
        ("Europe/Berlin", "2026-10-25T03:00:00Z", "6h", "2026-10-24T22:00:00Z", 7),
        ("Asia/Kathmandu", "2026-11-22T10:00:00Z", "1h", "2026-11-22T09:15:00Z", 1),
        ("America/Sao_Paulo", "2018-11-04T12:00:00Z", "1d", "2018-11-04T03:00:00Z", 23),  # midnight is left out
        ("America/Havana", "2026-11-01T12:00:00Z", "1d", "2026-11-01T04:00:00Z", 25),  # midnight comes twice
        ("UTC", "1969-12-31T23:00:00Z", "1d", "1969-12-31T00:00:00Z", 24),
    ],
)
def test_days_and_hours_begin_by_the_local_clock(  # noqa: PLR0917 - a row of the table
    monkeypatch, zone, at, every, begins, lasts
):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        every_ns, start = parse_duration(every), parse_time(begins, NOW)
        assert local_floor(parse_time(at, NOW), every_ns) == start
        end = start + lasts * 3_600 * SECOND_NS
        assert (local_floor(start, every_ns), local_floor(end - 1, every_ns)) == (start, start)
        assert local_floor(end, every_ns) == end
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("zone", "local", "instant"),
    [
        (
            "America/Havana",
            "2026-03-08",
            "2026-03-08T05:00:00Z",
        ),  # midnight is left out: the day begins with the change
        ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z"),
        ("Asia/Beirut", "2026-03-29", "2026-03-28T22:00:00Z"),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"),
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"),  # a whole day is left out
        ("America/Havana", "2026-03-08T00:30", "2026-03-08T05:30:00Z"),
        ("Europe/Berlin", "2026-03-29T02:30", "2026-03-29T01:30:00Z"),
        ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:45:00Z"),  # half an hour is left out
        ("America/Havana", "2026-11-01", "2026-11-01T04:00:00Z"),  # midnight comes twice: the first
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30:00Z"),
        ("Africa/Cairo", "2026-10-29T23:30", "2026-10-29T20:30:00Z"),
    ],
)
def test_a_local_time_where_the_clocks_change(monkeypatch, zone, local, instant):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        start, day_ns = parse_time(instant, NOW), 86_400 * SECOND_NS
        assert parse_time(local, NOW) == start
        if "T" not in local:
            assert parse_time("today", start + SECOND_NS) == start == recent_midnights(start + SECOND_NS, 1)[0]
            assert local_floor(start, day_ns) == start
    finally:
        monkeypatch.undo()
        time.tzset()


def test_beyond_the_calendar_a_day_is_a_day():
    assert local_floor(2**63 - 1, 86_400 * SECOND_NS) % (86_400 * SECOND_NS) == 0


def test_a_time_of_day_that_is_still_to_come_has_happened_yesterday():
    noon = parse_time("2026-11-22 12:00", 0)
    assert parse_past_time("11:59", noon) == parse_time("2026-11-22 11:59", 0)
    assert parse_past_time("12:00", noon) == noon
    assert parse_past_time(" 12:00:01.5", noon) == parse_time("2026-11-21 12:00:01.5", 0)
    assert parse_past_time("2026-11-23", noon) == parse_time("2026-11-23", 0)
