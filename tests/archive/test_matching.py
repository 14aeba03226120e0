"""A log is known by the bytes before the offset up to which it is stored, at whatever piece they come."""

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.archive.matchers import GenerationMatcher
from agent.archive.protocol import StoredGeneration
from agent.tail.identity import marker


def file_id(matcher):
    generation = matcher.generation()
    return None if generation is None else generation.file_id


def place(file_id: int, data: bytes, offset: int, profile: str | None = None) -> StoredGeneration:
    return StoredGeneration(file_id, offset, *marker(data[:offset]), profile)


@given(st.binary(min_size=1, max_size=900), st.data())
@settings(deadline=None)
def test_the_right_one_is_found_wherever_the_pieces_end(data, draw):
    offset = draw.draw(st.integers(1, len(data)))
    size = draw.draw(st.integers(1, 300))
    other = bytes(byte ^ 1 for byte in data)
    matcher = GenerationMatcher(
        None, (place(1, other, offset), place(2, data, offset), place(3, data + b"more", len(data) + 4))
    )
    for at in range(0, len(data), size):
        matcher.see(data[at : at + size])
    assert file_id(matcher) == 2


def test_of_several_the_one_that_is_stored_farthest_counts():
    data = b"abcdefghij" * 100
    matcher = GenerationMatcher(None, (place(1, data, 50), place(2, data, 900)))
    matcher.see(data)
    assert file_id(matcher) == 2


def test_a_followed_log_needs_no_look_and_a_strange_one_is_none():
    data = b"abcdefghij"
    assert file_id(GenerationMatcher(place(7, data, 5), ())) == 7
    stranger = GenerationMatcher(None, (place(1, b"zzzzzzzzzz", 10),))
    stranger.see(data)
    assert file_id(stranger) is None


def test_a_profile_is_known_where_there_is_one_only():
    data = b"abc"
    assert GenerationMatcher(place(1, data, 3, "{}"), ()).profile == "{}"
    assert GenerationMatcher(None, (place(1, data, 3, "{}"), place(2, data, 3))).profile is None


def unfinished(data: bytes, offset: int) -> StoredGeneration:
    return StoredGeneration(5, offset, *marker(data[:offset]), None, finished=False)


def test_a_file_that_is_still_read_decides_only_when_all_of_it_is_stored():
    data = b"abcdefghij" * 50
    whole, partly, longer = (
        GenerationMatcher(None, (unfinished(data + b"more", offset),)) for offset in (500, 300, 504)
    )
    other = GenerationMatcher(None, (unfinished(b"x" * 500, 400),))
    for matcher in (whole, partly, longer, other):
        matcher.see(data)
    assert (file_id(whole), whole.undecided) == (5, False)
    assert partly.undecided
    assert longer.undecided
    assert (file_id(other), other.undecided) == (None, False)
