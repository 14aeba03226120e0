"""`--agg`: numbers out of events, exactly, against the same worked out by hand."""

import json
import math
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.errors import UsageError
from agent.query.measures import Measure, Numbers, number_of, number_text, read_measures

INTEGERS = st.integers(-(10**20), 10**20)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12)


def held(numbers):
    found = Numbers(kept=True)
    for number, count in Counter(numbers).items():
        found.add(number, count)
    return found


def measure(text):
    (found,) = read_measures(text)
    return found


@pytest.mark.parametrize(
    ("text", "function", "field"),
    [("sum:size", "sum", "size"), ("avg:http.duration", "avg", "http.duration"), ("p99.9:ms", "p", "ms"),
     ("p0:ms", "p", "ms"), ("p100:ms", "p", "ms"), ("min:a:b", "min", "a:b")],
)  # fmt: skip
def test_an_aggregate_names_its_function_and_its_field(text, function, field):
    found = measure(text)
    assert (found.text, found.function, found.field) == (text, function, field)


def test_count_is_always_there_and_several_stand_between_commas():
    assert [one.text for one in read_measures("count,sum:a, p50:b")] == ["sum:a", "p50:b"]


@pytest.mark.parametrize("text", ["", "size", "sum:", "sum", "p101:ms", "p:ms", "median:ms", "sum:a,,max:b", "p-1:ms"])
def test_what_is_no_aggregate_is_named(text):
    with pytest.raises(UsageError) as info:
        read_measures(text)
    assert info.value.code == "SL518"


@pytest.mark.parametrize(
    ("value", "number"),
    [(b"12", 12), (b"1.5", Decimal("1.5")), (b'"12"', 12), (b"-0.0", Decimal("-0.0")), (b"1e3", Decimal(1000)),
     (b'"1e3"', Decimal(1000)), (b'"12 ms"', None), (b"true", None), (b"null", None), (b"[1]", None), (None, None),
     (b'"\\u0031"', 1), (b'"NaN"', None), (b'"Infinity"', None), (b'"\xc2\xb2"', None)],
)  # fmt: skip
def test_numbers_and_texts_that_are_some_count(value, number):
    assert number_of(value) == number


@given(st.lists(INTEGERS | DECIMALS, min_size=1, max_size=30))
def test_sum_and_extremes_are_exact(numbers):
    fractions = [Fraction(number) for number in numbers]
    assert Fraction(Measure("", "sum", "f").of(held(numbers))) == sum(fractions)
    assert Fraction(Measure("", "min", "f").of(held(numbers))) == min(fractions)
    assert Fraction(Measure("", "max", "f").of(held(numbers))) == max(fractions)
    assert float(Measure("", "avg", "f").of(held(numbers))) == pytest.approx(float(sum(fractions) / len(fractions)))


@given(st.lists(INTEGERS, min_size=1, max_size=50), st.integers(0, 100))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(numbers, percent):
    found = measure(f"p{percent}:f").of(held(numbers))
    assert found in numbers
    below = [number for number in numbers if number <= found]
    assert len(below) * 100 >= percent * len(numbers)
    smaller = [number for number in numbers if number < found]
    assert not smaller or len(smaller) * 100 < percent * len(numbers)


def test_nothing_of_nothing():
    assert [measure(text).of(held([])) for text in ("sum:f", "avg:f", "p50:f", "min:f", "max:f")] == [None] * 5


@given(INTEGERS | DECIMALS | st.decimals(allow_nan=False, allow_infinity=False))
def test_a_number_is_written_as_json_reads_it_back(number):
    text = number_text(number)
    assert math.isclose(json.loads(text), float(number), rel_tol=1e-12) or number.is_subnormal() or abs(number) > 1e308
    assert Decimal(text) == number
