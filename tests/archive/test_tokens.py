"""The filter never denies a frame that holds the text, and mostly denies one that does not."""

import json
import random
import uuid

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.archive import tokens
from agent.archive.scan import build
from agent.archive.tokens import MIN_TOKEN, IdParts, TokenFilter, probes

texts = st.text("abcXYZ019 -\"'ö{}:\\", max_size=60) | st.text("aZ9", min_size=60, max_size=200)


def may_be_in(probe, filter_) -> bool:
    """As the query asks it of the one block that `block_sql` leads to."""
    size = len(filter_.blocks) // tokens.BLOCK_BYTES
    start = (probe.place * size >> 32) * tokens.BLOCK_BYTES
    return not size or probe.passes(filter_.blocks[start : start + tokens.BLOCK_BYTES], filter_.longest, filter_.parts)


@given(st.lists(texts, min_size=1, max_size=10), st.data())
@example(["x" + "0" * 12 + "y"], None)
@settings(deadline=None)
def test_a_frame_with_the_text_is_always_opened(lines, data):
    """Whatever part of a line is looked for."""
    content = "\n".join(lines)
    if data is None:
        start, end = 1, 13
    else:
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, len(content)))
    found = build(content.encode(), 1000)
    for text in (content[start:end], content[start:end].upper(), content[start:end].lower()):
        assert all(may_be_in(probe, found) for probe in probes(text, whole=False))


@given(st.lists(st.text("abc019", min_size=1, max_size=40), min_size=1, max_size=20))
@settings(deadline=None)
def test_a_whole_value_is_always_found(values):
    content = b",".join(b'{"id":"%s"}' % value.encode() for value in values)
    found = build(content, 1000)
    for value in values:
        assert all(may_be_in(probe, found) for probe in probes(value, whole=True))


def frame(seed: int, events: int = 3000) -> tuple[bytes, list[str]]:
    choice = random.Random(seed)
    ids = [f"{choice.getrandbits(128):032x}" for _ in range(events)]
    lines = [f'{{"trace_id":"{one}","request_id":"{choice.getrandbits(64):016x}"}}\n' for one in ids]
    return "".join(lines).encode(), ids


def test_it_is_small_and_nearly_always_right():
    data, ids = frame(1)
    found = build(data, 3000)
    assert len(found.blocks) <= 4 * 3000
    assert (found.longest, found.parts) == (32, IdParts(31, 0).packed())
    assert all(may_be_in(probe, found) for one in ids for probe in probes(one, whole=False))
    strangers = frame(2)[1]
    wrong = sum(all(may_be_in(probe, found) for probe in probes(one, whole=False)) for one in strangers)
    assert wrong < 15  # 0.5 % of 3,000; 0.1 % are expected


def test_part_of_a_longer_run_says_nothing_but_a_whole_value_does():
    data, ids = frame(1)
    found = build(data, 3000)
    assert all(may_be_in(probe, found) for probe in probes(ids[0][4:24], whole=False))
    assert not all(may_be_in(probe, found) for probe in probes("00000000000000000000", whole=True))


def test_a_uuid_is_known_by_its_last_part():
    some = [str(uuid.UUID(int=number * 2**80 + number)) for number in range(5)]
    found = build("\n".join(some).encode(), 1000)
    assert all(may_be_in(probe, found) for probe in probes(f"id {some[3]} ", whole=False))
    [probe] = probes(str(uuid.UUID(int=77)), whole=True)
    assert not may_be_in(probe, found)


def test_a_filter_that_was_not_shown_everything_makes_everything_possible():
    found = build(b"0123456789abcdef " * 300_000, 300_000)
    assert found == TokenFilter(b"", tokens.NO_BOUND, 0)
    assert all(may_be_in(probe, found) for probe in probes("00000000000000", whole=True))
    filled = build(b"0123456789abcdef", 1000)
    [probe] = probes("00000000000000", whole=True)
    assert not may_be_in(probe, filled)
    assert may_be_in(probe, filled._replace(longest=tokens.NO_BOUND, parts=0))


@pytest.mark.parametrize("events", [0, 1])
def test_a_frame_too_small_for_a_filter_has_none(events):
    found = build(b"0123456789abcdef", events)
    assert found == TokenFilter(b"", 16, IdParts(15, 0).packed())
    assert all(may_be_in(probe, found) for probe in probes("ffffffffffffffff", whole=True))


def test_short_words_are_no_tokens():
    assert build(b"short words only", 100) == TokenFilter(b"\0" * 32, MIN_TOKEN - 1, IdParts(0, 0).packed())
    assert probes("eleven12345", whole=True) == []


@pytest.mark.parametrize("value", ["ö0123456789abcdef", "a\n0123456789abcdef", "\U0001f6000123456789abcdef"])
def test_letters_of_an_escape_before_a_token_do_not_hide_it(value):
    r"""In the bytes it may be `\u00f60123…` or `\n0123…`, one run of letters and digits."""
    for line in (json.dumps({"x": value, "y": " "}), json.dumps({"x": value, "y": " "}, ensure_ascii=False)):
        found = build(line.encode(), 100)
        assert all(may_be_in(probe, found) for probe in probes(value, whole=True))
        assert all(may_be_in(probe, found) for probe in probes(f'{value}", ', whole=False))
