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
        "PHP Fatal error:  Uncaught A: " + " in " * (SIZE // 4) + "\nStack trace:\n#0 " + "(1): " * 100_000,
        "Uncaught A" + ": x in " * (SIZE // 7) + ":1",
        "Uncaught A:" + "1:" * (SIZE // 2) + "1",
        HEAD + "x\n" + "main." * (SIZE // 5) + "(",
        HEAD + "x\n" + "a/" * (SIZE // 2) + "b",
        HEAD + 'x "[object] (A(code: 0): ' + " at " * (SIZE // 4) + "\n[stacktrace]",
        "A" + "::A" * (SIZE // 3) + " (" + "(" * 1_000 + "):",
        "x\n\t" + "x called at " * (SIZE // 12),
        "x\n\t" + "x called at x line " * (SIZE // 19),
        "thread '" + "'" * SIZE + " panicked at x:",
        "thread 'a' panicked at '" + "', a:1" * (SIZE // 6),
        "lua: " + "a:1:" * (SIZE // 4) + "\nstack traceback:\n\t" + "a:1: in " * 100_000,
        "** (" + "A." * (SIZE // 2) + ") x\n    (a 1.0) " + "a.ex:1: " * 100_000,
        "=ERROR REPORT==== x\n" + "{{" * (SIZE // 2) + " with exit value:",
        "  + Exception Group Traceback (most recent call last):\n" + "  | " * (SIZE // 4),
        "Unhandled exception:\n" + "AError (" * (SIZE // 8) + "\n#0      a (dart:b",
        "a.swift:1: Fatal error: " + ": file a, line 1" * (SIZE // 16),
        "0 a + 1 in b\n" + "Fatal error: " * (SIZE // 13),
        "terminate called after throwing an instance of '" + "what():" * (SIZE // 7),
    ],
    ids=range(27),
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
