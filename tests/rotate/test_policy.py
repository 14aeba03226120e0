"""When a log is due: size, age, time of day, also where clocks are set forward and back."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.rotate.policy import RotationPolicy, last_time_of_day

VIENNA = ZoneInfo("Europe/Vienna")
DAY_NS = 86_400 * 10**9


def instant(text: str) -> int:
    """Unix ns of an ISO time with an offset."""
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


NOW = instant("2026-11-22T12:00:00+00:00")


@pytest.mark.parametrize(
    ("policy", "size", "age_s", "why"),
    [
        (RotationPolicy(size=1000), 1000, 0, "it has 1000 B, the bound is 1000 B"),
        (RotationPolicy(size=1000), 999, 10**9, ""),
        (RotationPolicy(every_s=3600), 1, 3600, "it is older than 1h"),
        (RotationPolicy(every_s=3600), 1, 3599, ""),
        (RotationPolicy(size=5, every_s=3600), 6, 0, "it has 6 B, the bound is 5 B"),
        (RotationPolicy(at=(11, 0)), 1, 3601, "11:00 has passed"),
        (RotationPolicy(at=(11, 0)), 1, 3600, ""),
        (RotationPolicy(at=(13, 0)), 1, 3600, ""),
        (RotationPolicy(size=0, every_s=1, at=(0, 0)), 0, 10**9, ""),
    ],
)
def test_a_log_is_due_for_any_of_its_reasons_and_never_empty(policy, size, age_s, why):
    assert policy.due(size, NOW - age_s * 10**9, NOW, UTC) == why


@pytest.mark.parametrize(
    ("policy", "ahead_s", "why"),
    [
        (RotationPolicy(every_s=3600), 3600, "it is from a time that has not come yet"),
        (RotationPolicy(every_s=3600), 3599, ""),
        (RotationPolicy(at=(13, 0)), 86_400, "it is from a time that has not come yet"),
        (RotationPolicy(at=(13, 0)), 86_399, ""),
        (RotationPolicy(size=1000), 10**9, ""),
    ],
)
def test_a_log_from_the_future_is_not_left_until_then(policy, ahead_s, why):
    """The clock was wrong when it was begun, as at the start of a machine without a battery."""
    assert policy.due(1, NOW + ahead_s * 10**9, NOW, UTC) == why


@pytest.mark.parametrize(
    ("policy", "size", "said"),
    [
        (RotationPolicy(size=2048, every_s=86_400), 1024, "1 KiB of 2 KiB, 1h of 1d"),
        (RotationPolicy(at=(3, 5)), 1, "rotated at 03:05"),
        (RotationPolicy(at=(3, 5)), 0, "it is empty"),
    ],
)
def test_what_is_not_due_is_told_how_far_it_is(policy, size, said):
    assert policy.outlook(size, NOW - 3600 * 10**9, NOW) == said


@pytest.mark.parametrize(
    ("now", "at", "last"),
    [
        ("2026-11-22T12:00:00+01:00", (3, 0), "2026-11-22T03:00:00+01:00"),
        ("2026-11-22T02:59:59+01:00", (3, 0), "2026-11-21T03:00:00+01:00"),
        ("2026-11-22T03:00:00+01:00", (3, 0), "2026-11-22T03:00:00+01:00"),
        # the clocks go from 02:00 to 03:00: half past two comes an hour later, as half past three
        ("2026-03-29T03:29:59+02:00", (2, 30), "2026-03-28T02:30:00+01:00"),
        ("2026-03-29T03:30:00+02:00", (2, 30), "2026-03-29T03:30:00+02:00"),
        # and back from 03:00 to 02:00: the first half past two counts, the second is nothing
        ("2026-10-25T02:30:00+02:00", (2, 30), "2026-10-25T02:30:00+02:00"),
        ("2026-10-25T02:30:00+01:00", (2, 30), "2026-10-25T02:30:00+02:00"),
        ("2026-10-25T23:00:00+01:00", (2, 30), "2026-10-25T02:30:00+02:00"),
    ],
)
def test_the_last_time_of_day_where_clocks_change(now, at, last):
    assert last_time_of_day(*at, instant(now), VIENNA) == instant(last)


@given(st.integers(NOW, NOW + 1000 * DAY_NS), st.integers(0, 23), st.integers(0, 59))
def test_each_day_has_its_time_once(now, hour, minute):
    last = last_time_of_day(hour, minute, now, VIENNA)
    assert now - 25 * 3600 * 10**9 - 3600 * 10**9 < last <= now
    assert last_time_of_day(hour, minute, last, VIENNA) == last, "it is the last one at itself too"
    before = last_time_of_day(hour, minute, last - 1, VIENNA)
    assert 22 * 3600 * 10**9 <= last - before <= 26 * 3600 * 10**9


def test_without_a_zone_the_machines_own_counts(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Vienna")
    time.tzset()
    try:
        for now in ("2026-03-29T12:00:00+02:00", "2026-10-25T02:30:00+01:00", "2026-11-22T01:00:00+01:00"):
            assert last_time_of_day(2, 30, instant(now)) == last_time_of_day(2, 30, instant(now), VIENNA)
    finally:
        monkeypatch.undo()
        time.tzset()
