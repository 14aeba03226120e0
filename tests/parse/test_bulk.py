"""Columns of timestamps are converted together as they are one by one, or not at all."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.parse.instants import timestamps
from agent.parse.instants.bulk import BulkTimestamps

ZONE = ZoneInfo("Europe/Berlin")
OBSERVED = 1_798_000_000 * 10**9  # 2026-12-23
LATEST = timestamps.Instants(ZONE).latest(OBSERVED)
SUFFIXES = st.sampled_from(["", "Z", " UTC", "+00:00", "+05:30", "-05", ",5", ".123Z", ".123456789+0000", ",5 +02:00"])
SIXTY = st.integers(0, 61).map("{:02d}".format)
TEXTS = st.builds(
    "2026-{}-{}T{}:{}:{}{}".format,
    st.sampled_from(["11", "02", "13"]), st.sampled_from(["22", "23", "30"]),
    st.sampled_from(["03", "23", "24"]), SIXTY, SIXTY, st.shared(SUFFIXES, key="suffix"),
)  # fmt: skip
DAMAGE = st.tuples(st.integers(0, 40), st.sampled_from(["", "\n", "9", "x", "٣", "-", "Z\n"]))


def one_by_one(values: list[str]) -> list[int] | None:
    try:
        return [timestamps.parse(value, ZONE, OBSERVED) for value in values]
    except ValueError:
        return None


def check(values: list[str]) -> None:
    found, expected = BulkTimestamps(ZONE).convert(values, LATEST), one_by_one(values)
    assert found in (None, expected)
    extremes = BulkTimestamps(ZONE).extremes(values, LATEST)
    if found is None:
        assert extremes is None
    else:
        assert extremes == (min(found), max(found))


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=8))
@example(["2026-11-22T03:59:59Z", "2026-11-22T03:60:00Z", "2026-11-22T04:00:00Z"])
@example(["2026-11-22T03:04:05Z", "2026-11-22T03:04:60Z", "2026-11-22T04:00:00Z"])
@example(["2026-02-28T03:04:05Z", "2026-02-29T03:04:05Z", "2026-03-01T00:00:00Z"])
@example(["2026-11-22T03:04:05+05:30", "2026-11-22T03:04:05+00:00"])
@example(["2026-11-22T03:04:05+00:00", "2026-11-22T03:04:05+05:30"])
@example(["2026-10-25T02:30:00", "2026-10-25T03:00:00", "2026-10-25T02:30:00"])
def test_a_column_is_converted_as_its_values_are(values):
    check(values)


# In Monrovia 00:44:30 followed on 00:00:00, which makes a minute with a skipped half.
@settings(deadline=None)
@given(
    st.sampled_from(
        ["2026-11-22T05:39", "2026-10-25 02:30", "1972-01-07T00:44", "1969-12-31T23:59", "2026-13-01T00:00"]
    ),
    st.lists(st.tuples(SIXTY, st.integers(0, 999)), min_size=1, max_size=8),
    st.sampled_from(["", "Z", "+01:00", "-05"]),
    st.sampled_from([ZONE, ZoneInfo("Africa/Monrovia")]),
)
def test_rows_of_one_minute_are_converted_as_each_of_them(minute, rows, suffix, zone):
    values = [f"{minute}:{second}.{fraction:03d}{suffix}" for second, fraction in rows]
    found = BulkTimestamps(zone).convert(values, LATEST)
    assert found is None or found == [timestamps.parse(value, zone, OBSERVED) for value in values]
    if suffix and minute.startswith("2026-1") and all(int(second) < 60 for second, _ in rows) and "-13-" not in minute:
        assert found is not None


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(0, 3), DAMAGE)
def test_a_value_of_another_layout_is_noticed(values, which, damage):
    """A character of one value is another, is missing, or is what stands between the rows when they are joined."""
    at, what = damage
    value = values[which % len(values)]
    values[which % len(values)] = value[:at] + what + value[at + 1 :]
    check(values)


@pytest.mark.parametrize(
    "values",
    [
        ["2026-11-22T03:04:05Z\n2026-11-22T03:04:05Z", "2026-11-22T03:04:05Z"],
        ["2026-11-22T03:04:05Z", "2026-11-22T03:04:05Z2", "026-11-22T03:04:05Z"],
        ["2026-11-22T03:04:05Z", 5],
        ["2026-11-22T03:04:05Z", None],
        [None, "2026-11-22T03:04:05Z"],
        ["abcd-ef-ghTij:kl:mnZ", "abcd-ef-ghTij:kl:mnZ"],
        ["\ud800\ud800\ud800\ud800-11-22T03:04:05Z"],
    ],
)
def test_what_is_no_column_of_one_layout_is_left(values):
    assert BulkTimestamps(ZONE).convert(values) is None
    assert BulkTimestamps(ZONE).extremes(values) is None
