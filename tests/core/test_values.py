"""Numbers as somebody who asks writes them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.values import whole_number


@given(st.integers(-5, 2**64), st.integers(0, 2**64))
def test_a_whole_number_is_one_from_0_to_the_largest(number, most):
    assert whole_number(str(number), most) == (number if 0 <= number <= most else None)


@given(st.text(max_size=18))
def test_no_other_text_is_one(text):
    assert (whole_number(text) is None) == (re.fullmatch("[0-9]+", text) is None)


@pytest.mark.parametrize("text", ["", "²", "١", "1_0", "+1", " 1", "1\n", "9223372036854775808", "9" * 100_000])
def test_digits_of_other_kinds_and_numbers_beyond_64_bits_are_none(text):
    assert whole_number(text) is None
