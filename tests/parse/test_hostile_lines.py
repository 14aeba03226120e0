"""Lines that are made to be hard for the expressions that read traces: a megabyte of them must not take its square."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.parse.multiline import _GO_LINE
from agent.parse.textevent import _NAMED
from tests.parse.test_twin import parse_once

HEAD = "2026-11-29 10:00:00 ERROR "
SIZE = 1_000_000  # its square is an hour of `re`


@pytest.mark.parametrize(
    "text",
    [
        "panic: x\n\ngoroutine 1 [running]:\n" + "(" * SIZE,
        HEAD + "x" * SIZE + "\n\tat a.b(C.java:1)",
        HEAD + "$." * (SIZE // 2) + "\n\tat a.b(C.java:1)",
        "a." * (SIZE // 2) + "Exceptio\n\tat a.b(C.java:1)",
        'Exception in thread "main" x.E: b\n\tat ' + "a." * (SIZE // 2) + "(C.java:1)",
        "app.rb:1:in `" + "a#" * (SIZE // 2) + "': boom (E)\n\tfrom /a.rb:1:in `x'",
        HEAD + " " * SIZE + "x",
        "<" + "1" * SIZE,
    ],
    ids=range(8),
)
def test_a_megabyte_of_what_is_hard_is_read(text):
    out = parse_once((text + "\n").encode())
    assert sum(len(record) for record in out.records) > 0.99 * SIZE


PIECES = st.lists(st.sampled_from([*"aé1.$ :_-()·\n", ": ", "Error", "Exception", "x.Fault"]), max_size=8).map("".join)


@given(PIECES)
def test_the_name_of_an_exception_is_found_as_by_the_plain_expression(text):
    plain = re.search(r"([A-Za-z_$][\w$.]*(?:Exception|Error|Throwable|Failure|Fault))(?:: (.*))?$", text)
    found = _NAMED.search(text)
    assert (found and found.groups()) == (plain and plain.groups())


@given(PIECES)
def test_a_line_of_go_is_found_as_by_the_plain_expression(text):
    plain = re.match(r"[\w./*()\[\]{}~%·,-]+\(.*\)$", text)
    assert (_GO_LINE.match(text) is not None) == (plain is not None)
