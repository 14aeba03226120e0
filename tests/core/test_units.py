"""Durations, sizes, shares, factors and rates: what is read, what is refused, and that writing and reading agree."""

from __future__ import annotations

import contextlib
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import InvalidConfigError, load
from agent.core import units
from agent.core.errors import UsageError
from agent.core.times import parse_duration, parse_time
from agent.core.units import SECOND_NS

NOW = 1_790_000_000 * SECOND_NS


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("250ms", 250_000_000),
        ("250msec", 250_000_000),
        ("5m", 300 * SECOND_NS),
        ("5 min", 300 * SECOND_NS),
        ("1h30m", 5_400 * SECOND_NS),
        ("1 hour 30 minutes", 5_400 * SECOND_NS),
        ("7d", 604_800 * SECOND_NS),
        ("2w", 1_209_600 * SECOND_NS),
        ("2 Weeks", 1_209_600 * SECOND_NS),
        ("1.5h", 5_400 * SECOND_NS),
        (" 10us ", 10_000),
        ("10\N{MICRO SIGN}s", 10_000),
        ("10\N{GREEK SMALL LETTER MU}s", 10_000),
        ("0.000000001s", 1),
        ("3ns", 3),
        ("1000000d", 1_000_000 * 86_400 * SECOND_NS),
    ],
)
def test_a_duration_is_nanoseconds_exactly(text, nanoseconds):
    assert units.parse_nanoseconds(text) == nanoseconds
    assert units.parse_seconds(text) == nanoseconds / SECOND_NS


@pytest.mark.parametrize(
    "text", ["", "5", "banana", "m5", "-5m", "5m3", "1e3s", "1" * 50 + "s", "٣s", "1 month", "1y", "5m,3s", ".5h"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        units.parse_nanoseconds(text)


def test_a_duration_beyond_a_thousand_years_is_refused():
    with pytest.raises(ValueError, match="is longer than a thousand years"):
        units.parse_nanoseconds("1000000d1ns")


parts = st.builds(
    lambda number, blank, unit, end: f"{number}{blank}{unit}{end}",
    st.one_of(st.integers(0, 10**5).map(str), st.decimals(0, 10**4, places=3).map(str)),
    st.sampled_from(["", " ", "  "]),
    st.sampled_from([*units.NANOSECONDS_PER_UNIT, "MIN", "Hours", "MSec"]),
    st.sampled_from(["", " "]),
)
scribbles = st.text("0123456789. smhdwnuµecik", min_size=1, max_size=12)


def configured(text):
    """What the configuration makes of a duration, in seconds; None where it refuses it."""
    try:
        config = load(None, overrides=[f"archive.quiet={text}"], environ={"HOME": "/home/ann"})
    except InvalidConfigError as error:
        assert [finding.code for finding in error.findings] == ["SL104"]  # noqa: PT017 - either outcome is right
        return None
    assert config.archive is not None
    return config.archive.quiet


def asked(text):
    """What an option of `query` makes of it, in nanoseconds; None where it refuses it."""
    try:
        return parse_duration(text)
    except UsageError as error:
        assert error.code == "SL515"  # noqa: PT017 - either outcome is right
        return None


@given(st.one_of(st.lists(parts, min_size=1, max_size=4).map("".join), scribbles))
def test_the_configuration_and_the_command_line_read_the_same_durations(text):
    """What one of them takes the other takes too, as the same time; `-S` reads it as a time before now."""
    nanoseconds = asked(text)
    assert configured(text) == (None if nanoseconds is None else nanoseconds / SECOND_NS)
    if nanoseconds is not None:
        assert parse_time(text, NOW) == parse_time(f"{text} ago", NOW) == NOW - nanoseconds


@given(parts)
def test_every_duration_of_one_part_is_read(text):
    number, unit = re.fullmatch(r"([\d.]+)\s*(\S+)\s*", text).groups()
    assert units.parse_nanoseconds(text) == int(Fraction(number) * units.NANOSECONDS_PER_UNIT[unit.lower()])


@given(st.integers(min_value=1, max_value=10**15))
def test_a_written_duration_is_read_back_exactly(microseconds):
    assert units.parse_nanoseconds(units.format_duration(microseconds / 1e6)) == microseconds * 1_000


def test_no_time_is_written_with_a_unit():
    assert units.format_duration(0) == "0s"


@pytest.mark.parametrize(
    ("text", "size"),
    [("512B", 512), ("64KiB", 65_536), ("10MB", 10_000_000), ("2GiB", 2**31), ("1.5 KiB", 1536), ("1tib", 2**40)],
)
def test_a_size_is_bytes(text, size):
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "5", "5K", "KiB", "-1B", "1 XB", "9" * 60 + "B"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="size"):
        units.parse_size(text)


def test_sizes_are_shown_for_people():
    shown = [units.format_size(size) for size in (0, 17, 1024, 1536, 2**31, 3 * 2**40)]
    assert shown == ["0 B", "17 B", "1 KiB", "1.5 KiB", "2 GiB", "3.0 TiB"]


def test_shares_factors_and_rates():
    assert units.parse_share("5%") == pytest.approx(0.05)
    assert units.parse_factor("4x") == 4
    assert units.parse_rate("10/m") == pytest.approx(1 / 6)
    assert units.parse_rate("1 / s") == 1
    assert units.parse_rate("10/min") == units.parse_rate("10 / Minute") == units.parse_rate("10/m")


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (units.parse_share, "0%"),
        (units.parse_share, "101%"),
        (units.parse_share, "5"),
        (units.parse_factor, "1x"),
        (units.parse_factor, "4"),
        (units.parse_rate, "0/s"),
        (units.parse_rate, "5"),
        (units.parse_rate, "5/y"),
        (units.parse_rate, "٣/s"),
    ],
)
def test_shares_factors_and_rates_out_of_range_are_refused(parse, text):
    with pytest.raises(ValueError, match=r"^is not "):
        parse(text)


@given(st.text(max_size=50))
def test_no_text_makes_a_parser_fail_otherwise(text):
    parsers = (units.parse_seconds, units.parse_size, units.parse_share, units.parse_factor, units.parse_rate)
    for parse in parsers:
        with contextlib.suppress(ValueError):
            assert parse(text) >= 0
