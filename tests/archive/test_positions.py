"""The positions of a redacted archive: back as they were written, and nothing else is taken for some."""

from array import array

from hypothesis import example, given
from hypothesis import strategies as st

from agent.archive import positions, seekable
from agent.archive.positions import PositionsError
from agent.parse.logredactor import Positions

NUMBERS = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(-(2**40), 2**40)), max_size=50)


@given(NUMBERS)
def test_they_come_back(pairs):
    found = Positions(array("I", [end for end, _ in pairs]), array("q", [shift for _, shift in pairs]))
    assert positions.decode(positions.encode(found)) == found


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_refused_or_are_positions(data, framed):
    try:
        found = positions.decode(seekable.skippable(data, positions.MAGIC) if framed else data)
    except PositionsError:
        return
    assert len(found.ends) == len(found.shifts)


@given(NUMBERS.filter(len), st.integers(0), st.integers(1, 255))
@example([(0, 1)], 12, 2)  # the size of the content is 0 then
def test_a_changed_byte_is_noticed_or_says_nothing(pairs, place, change):
    found = Positions(array("I", [end for end, _ in pairs]), array("q", [shift for _, shift in pairs]))
    data = bytearray(positions.encode(found))
    data[place % len(data)] ^= change
    try:
        assert positions.decode(bytes(data)) == found  # zstd's header has a bit without a meaning
    except PositionsError:
        return


def test_a_place_is_that_of_the_log_behind_each_replaced_value():
    found = Positions(array("I", [10, 20]), array("q", [5, -2]))
    assert [found.in_log(place) for place in (0, 9, 10, 19, 20, 99)] == [0, 9, 15, 24, 18, 97]
    assert (found.shift, positions.NONE.in_log(7), positions.NONE.shift) == (-2, 7, 0)
