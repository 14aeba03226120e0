"""How long an id may be that is part of something longer: as looking at each run gives it, and never too short."""

import random
import re
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.archive.parts import id_parts
from agent.archive.scan import build
from agent.archive.tokens import MIN_TOKEN, MOST_PART, NO_BOUND, IdParts, probes
from tests.archive.test_tokens import may_be_in

DIGITS = st.text("0189abfAF", min_size=9, max_size=36)
PIECES = st.lists(DIGITS | st.sampled_from(["g", "X", "-", "--", " ", "_", "ö", '","', "\\n", "0", "f", "x" * 40]))
TEXTS = PIECES.map("".join)
ALPHABET = string.ascii_letters + string.digits
ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def one_by_one(data: bytes) -> IdParts:
    lengths, behind_dash = [0], [0]
    for run in re.finditer(rb"[0-9A-Za-z]+", data):
        for part in re.finditer(rb"[0-9A-Fa-f]+", run[0]):
            length = min(len(part[0]) - (part[0] == run[0]), MOST_PART)
            if length >= MIN_TOKEN:
                lengths.append(length)
                if part.start() == 0 and data[run.start() - 1 : run.start()] == b"-":
                    behind_dash.append(length)
    return IdParts(max(lengths), max(behind_dash))


@given(TEXTS)
@example("")
@example("0" * 12)
@example("-" + "0" * 13)
@example("0" * 13)
@example("x" + "0" * 12)
@example("0" * 12 + "x" + "0" * 13 + "x")
@example("-" + "0" * 12 + "x-" + "0" * 13)
@example("0" * 255)
@example("0" * 256 + "-" + "0" * 300)
@example("x" + "0" * 254 + " " + "0" * 255)
@settings(deadline=None)
def test_parts_are_those_of_each_run(text):
    data = text.encode()
    longest = max(map(len, re.findall(rb"[0-9A-Za-z]+", data)), default=0)
    assert id_parts(data, longest) == one_by_one(data)


@given(TEXTS, st.data())
@settings(deadline=None)
def test_an_id_is_found_wherever_it_lies(text, data):
    """Any stretch of the text, as it is, and every stretch of digits of it."""
    found = build(text.encode(), 1000)
    start = data.draw(st.integers(0, len(text)))
    wanted = {text[start : data.draw(st.integers(start, len(text)))]}
    for digits in re.findall("-?[0-9A-Fa-f]{12,}", text):
        cut = data.draw(st.integers(0, len(digits)))
        wanted |= {digits[cut:], digits[:cut], digits[cut : cut + 12]}
    for one in wanted:
        for cased in (one, one.upper(), one.lower()):
            assert all(may_be_in(probe, found) for probe in probes(cased, whole=False))


def is_opened(text: str, frame: str) -> bool:
    return all(may_be_in(probe, build(frame.encode(), 1000)) for probe in probes(text, whole=False))


@pytest.mark.parametrize(
    ("text", "frame", "opened"),
    [
        (ID, "x" * 500, False),
        (ID, f"x{ID}", True),
        (ID, f"{ID}0", True),
        (ID, f"{ID[1:]}x", False),
        (ID, "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", False),
        (ID, "0" * 31 + "g", False),
        (ID, "0" * 33, True),
        ("a" * 300, "b" * 300, True),
        ("a" * 254, "b" * 256, True),
        ("a" * 300, "x" + "b" * 254, False),
        ("a" * 300, "x" + "b" * 300, True),
        # part of a UUID: behind a dash at the beginning of a run, or it is not it
        ("-4bf92f3577b3", f"{ID} {ID}", False),
        ("-4bf92f3577b3", f"0-{ID}", True),
        ("-4bf92f3577b3", f"a-4bf92f3577b4 {ID}", False),
        ("-4bf92f3577b3", f"a-x{ID}", False),
        (" 4bf92f3577b3", f"{ID} {ID}", True),
        # what is not of digits alone may be part of anything longer
        ("authentication", "x" * 500, True),
        ("authentication", "x" * 14, False),
    ],
)
def test_what_is_opened(text, frame, opened):
    assert is_opened(text, frame) == opened


def test_an_index_of_a_former_version_has_the_longest_run_alone():
    [probe] = probes(ID, whole=False)
    assert probe.passes(bytes(32), 33, 0)
    assert not probe.passes(bytes(32), 32, 0)
    assert not probe.passes(bytes(32), 500, IdParts(31, 31).packed())
    assert probe.passes(bytes(32), 500, IdParts(32, 0).packed())


def crowded(lines: int) -> list[str]:
    """Lines with an id each, and so many pieces of base64 that all of them would fill the filter."""
    choice = random.Random(3)
    pieces = [" ".join("".join(choice.choices(ALPHABET, k=21)) for _ in range(12)) for _ in range(lines)]
    return [f"{choice.getrandbits(128):032x} {piece}" for piece in pieces]


def test_pieces_of_base64_do_not_crowd_ids_out():
    lines = crowded(500)
    found = build("\n".join(lines).encode(), 500)
    assert found.longest == NO_BOUND
    ids = [line[:32] for line in lines]
    for one in ids:
        for whole in (False, True):
            assert all(may_be_in(probe, found) for probe in probes(one, whole=whole))
    others = [f"{number:032x}" for number in range(1000)]
    assert sum(may_be_in(*probes(one, whole=True), found) for one in others) < 5
    assert sum(may_be_in(*probes(one, whole=False), found) for one in others) < 5
    assert may_be_in(*probes("a word that is nowhere".replace(" ", "y"), whole=True), found), "it is not in the filter"


def test_few_words_stay_in_the_filter():
    lines = [f"{line[:32]} authentication{number}" for number, line in enumerate(crowded(500))]
    found = build("\n".join(lines).encode(), 500)
    assert found.longest == 32
    assert may_be_in(*probes("authentication7", whole=True), found)
    assert not may_be_in(*probes("authorisation7", whole=True), found)
