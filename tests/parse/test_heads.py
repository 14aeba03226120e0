"""Telling layouts apart by a character finds what trying all of them in their order finds."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.parse.formats.text import find_head
from tests.parse.effort import examples
from tests.parse.heads_in_order import read_head_in_order

INSTANTS = [
    "2026-11-22 05:39:26,123", "2026-11-22T05:39:26Z", "2026/11/22 05:39:26", "[2026-11-22T05:39:26.5+01:00]",
    "22/Nov/2026:05:39:26 +0000", "Nov 22 05:39:26", "Nov  2 05:39:26", "<11>Nov 22 05:39:26",
    "<14>2026-11-22 05:39:26", "2026-11-22 05:39:2", "20", "1122 05:39:26.1", "",
]  # fmt: skip
LEVELS = ["INFO", "Info", "info", "WARNING", "inf", "VRB", "ERROR", "INFORMATION", "Infos", "E", "I", "DPANIC", "fatal"]
NAMES = ["shop", "shop.pay", "a/b.C$1", "x-y", "c.x.Y:12", "main", "_n", "ö.x", "[main]", "[http-1 a]", "12345", "---",
         "host", "sshd[12]", "file.go:10]", "#7]", "127.0.0.1", "Errors", "at"]  # fmt: skip
MARKS = ["-", " - ", ": ", ":", " : ", "|", " | ", " ", "  ", "\t", "[", "]", "] ", ".", ", ", ",", " -- ", "(", "'",
         ";", "\xa0", " --- ", "<", ">", "=", "/", "_", "1"]  # fmt: skip
tokens = st.one_of(st.sampled_from(LEVELS), st.sampled_from(NAMES), st.sampled_from(MARKS), st.sampled_from(MARKS))
SHAPES = [
    "{t} {l} {n}: {m}", "{t} - {n} - {l} - {m}", "{t} - {l} - {n} - {m}", "{t} [{n}] {l} {n} - {m}",
    "{t} {l} [{n}] {n}: {m}",
    "{t}  {l} 123 --- [{n}] [{n}] {n}  : {m}", "{t} | {l}  | {n} - {m}", "{t} {n}.{l}: {m}",
    "{t} [{l}] {m}", "{t} {l} {m}",
    "{t} {l}: {m}", "{t} {l} {n} - {m}", "{l}:{n}:{m}", "{l}: {m}", "[{l}] {m}", "{l} [{n}] {m}", "{l} - {m}",
    "{t} {m}",
    "{l}1122 05:39:26.1       1 {n}:1] {m}", "{l}, [2026-11-22T05:39:26.1 #1] {l} -- {n}: {m}", "{t} {n} {n}[1]: {m}",
    '{n} {n} {n} [22/Nov/2026:05:39:26 +0000] "{m}', "{t}[{l}]{m}", "{t}|{l}|{n} - {m}", "{t} {l} {n}:12 - {m}",
]  # fmt: skip
free = st.builds(
    lambda instant, rest: instant + "".join(rest), st.sampled_from(INSTANTS), st.lists(tokens, max_size=12)
)
shaped = st.builds(
    lambda shape, instant, level, name, rest: shape.format(t=instant, l=level, n=name, m="".join(rest)),
    st.sampled_from(SHAPES), st.sampled_from(INSTANTS), st.sampled_from(LEVELS), st.sampled_from(NAMES),
    st.lists(tokens, max_size=4),
)  # fmt: skip


@settings(max_examples=examples(200), deadline=None)
@given(st.one_of(shaped, free, st.text(max_size=60)))
def test_a_head_is_that_of_the_first_layout_that_fits(line):
    assert find_head(line) == read_head_in_order(line)
