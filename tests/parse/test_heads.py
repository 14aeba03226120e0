"""A shape finds in a line what the grammar finds, whatever came before, one line at a time or many at once."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.parse.formats._rules import STATES
from agent.parse.formats._shapes import walk
from agent.parse.formats.text import find_head
from tests.parse.effort import examples

FOLDER = Path(__file__).parent.parent / "cases"
LINES = [
    line.removesuffix("\r")
    for path in (*sorted(FOLDER.glob("heads_*.toml")), FOLDER / "text.toml")
    for case in tomllib.loads(path.read_text())["case"]
    for line in case["input"].split("\n")
    if line
]
PLAIN_LINES = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in LINES]
SHAPES = list({shape.steps: shape for shape in (walk(line)[0] for line in PLAIN_LINES)}.values())
TOKENS = sorted({token for line in PLAIN_LINES for token in re.findall(r"[\w.$]+|[ \t]+|.", line[:90])})

starts = st.builds(lambda line, end: line[:end], st.sampled_from(PLAIN_LINES), st.integers(0, 70))
ends = st.builds(lambda line, begin: line[begin:], st.sampled_from(PLAIN_LINES), st.integers(0, 70))
tokens = st.lists(st.sampled_from(TOKENS), max_size=4).map("".join)
shaped = st.builds(lambda *parts: "".join(parts), starts, tokens, ends)
free = st.lists(st.sampled_from(TOKENS), max_size=14).map("".join)
lines = st.one_of(shaped, st.sampled_from(PLAIN_LINES), free,
                  st.text(max_size=60).map(lambda text: text.replace("\n", " ")))  # fmt: skip


def test_the_cases_have_many_shapes():
    assert len(SHAPES) > 100


@settings(max_examples=examples(300), deadline=None)
@given(lines, st.lists(st.sampled_from(SHAPES), min_size=8, max_size=8))
def test_a_shape_finds_what_the_grammar_finds(line, shapes):
    """The shape of the line itself fits it, and another one only where it finds the same."""
    shape, head = walk(line)
    own = shape in SHAPES  # compiling one takes a while, so only those of the cases are
    for one in [shape, *shapes] if own else shapes:
        match = one.match(line)
        assert match is not None or one is not shape
        if match is not None:
            assert one.head(match.groups(), match.end()) == head


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(lines, min_size=1, max_size=12), st.lists(st.sampled_from(SHAPES), min_size=4, max_size=4))
def test_a_pattern_fits_many_lines_at_once(some, shapes):
    joined = "\n".join(some)
    for shape in shapes:
        found = {(match.start(), match.end()): match.groups() for match in shape.pattern.finditer(joined)}
        expected, at = {}, 0
        for line in some:
            match = shape.match(line)
            if match is not None:
                expected[at, at + match.end()] = match.groups()
            at += len(line) + 1
        assert found == expected


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(lines, min_size=1, max_size=30))
def test_a_head_does_not_depend_on_the_lines_before(some):
    for line in some:
        assert find_head(line) == (walk(line)[1] if "\x1b" not in line else find_head(line))


RULES = [
    (rule, re.compile(rule.pattern, re.ASCII), re.compile(rule.guard, re.ASCII))
    for rule in {rule for state in STATES.values() for rule in state.rules}
]


@settings(max_examples=examples(60), deadline=None)
@given(lines)
def test_a_rule_begins_as_it_says(line):
    """What a rule says of its first two characters, and its guard, are true: others rely on it to leave it out."""
    for at in range(60):
        for rule, pattern, guard in RULES:
            if pattern.match(line, at):
                assert not rule.starts or (line[at : at + 1] and line[at] in rule.starts), rule
                assert not rule.second or (line[at + 1 : at + 2] and line[at + 1] in rule.second), rule
                assert guard.match(line, at), rule


coloured = st.builds(
    lambda line, places: "".join(f"\x1b[{place % 48}m" * (index in places) + character
                                 for index, character in enumerate(line) for place in [index]),
    st.sampled_from(PLAIN_LINES), st.sets(st.integers(0, 80), max_size=6),
)  # fmt: skip


@settings(max_examples=examples(200), deadline=None)
@given(coloured)
def test_colours_are_seen_through(line):
    """The same is found, and the message is what it is without them."""
    plain = re.sub(r"\x1b\[\d+m", "", line)
    head, found = find_head(plain), find_head(line)
    assert (found.timestamp, found.level, found.severity, found.logger, found.attributes) == (
        head.timestamp, head.level, head.severity, head.logger, head.attributes,
    )  # fmt: skip
    assert re.sub(r"\x1b\[\d+m", "", line[found.end :]) == plain[head.end :]


SIZE = 1_000_000


@pytest.mark.parametrize("piece", [
    "[", "[a", "[a]", "(", "<", "{a", " ", "- ", ": ", "|", "a.", "a::", "a/", "a", "A", "1", "1 ", "ERROR ", "ERROR:",
    "[ERROR]", "a=b ", "\t", ",", "\x1b[0m", "\x1b[", "x\x1b[1m", "a b ", "a: ", "é", "a@", "a(1):",
])  # fmt: skip
@pytest.mark.parametrize(
    "start", ["", "2026-11-22 05:39:26 ", "2026-11-22 05:39:26 ERROR ", "Nov 22 05:39:26 ", "[main] ERROR "]
)
def test_a_megabyte_of_what_is_hard_is_read(start, piece):
    assert find_head(start + piece * (SIZE // len(piece))).end <= SIZE + 100
