"""Durations, sizes, shares, factors and rates: what is read, what is refused, and that writing and reading agree."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("5m", 300),
        ("1h30m", 5400),
        ("7d", 604_800),
        ("2w", 1_209_600),
        ("1.5h", 5400),
        (" 10us ", 1e-5),
    ],
)
def test_a_duration_is_seconds(text, seconds):
    assert units.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "banana", "5 m", "m5", "-5m", "5m3", "1e3s", "1" * 50 + "s", "٣s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        units.parse_duration(text)


@given(st.integers(min_value=1, max_value=10**15))
def test_a_written_duration_is_read_back_exactly(microseconds):
    assert round(units.parse_duration(units.format_duration(microseconds / 1e6)) * 1e6) == microseconds


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
    ],
)
def test_shares_factors_and_rates_out_of_range_are_refused(parse, text):
    with pytest.raises(ValueError, match=r"^is not "):
        parse(text)


@given(st.text(max_size=50))
def test_no_text_makes_a_parser_fail_otherwise(text):
    parsers = (units.parse_duration, units.parse_size, units.parse_share, units.parse_factor, units.parse_rate)
    for parse in parsers:
        with contextlib.suppress(ValueError):
            assert parse(text) >= 0
