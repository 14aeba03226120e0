"""What is found out about a frame all at once is what looking at each of its lines and characters gives."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from agent.archive.scan import LineFacts, _tokens, lines
from agent.archive.tokens import MIN_TOKEN

CHARACTERS = st.text(list('{}\\u0041f6 "a1\u00e9\u2028\n\r'), max_size=40).map(str.encode)
BROKEN = st.binary(max_size=6)
FRAMES = st.lists(CHARACTERS | BROKEN, max_size=8).map(b"".join)


def one_by_one(data: bytes) -> LineFacts:
    found = data.split(b"\n")
    objects = data.endswith(b"\n") and all(line[:1] == b"{" and line[-1:] == b"}" for line in found[:-1])
    if not found[-1]:
        found.pop()
    try:
        data.decode()
        valid = True
    except UnicodeDecodeError:
        valid = False
    escaped = re.search(rb"\\u00[2-7]", data[:-1]) is not None
    return LineFacts(len(found), max(map(len, found), default=0), objects, escaped, valid)


@given(FRAMES)
@example(b"")
@example(b"{")
@example(b"{}")
@example(b"}\n{}\n")
@example(b'{"a":"\\u0041"}\n{"b":"\\u00f6"}\n')
@example("é".encode() * 20 + b"\n")
@example(b"12345678" * 3 + "é".encode()[:1] + b"12345678" + "é".encode()[1:])
def test_lines(data):
    assert lines(data) == one_by_one(data)


@given(st.lists(st.text("aZ09_", max_size=40) | st.text("a0", min_size=11, max_size=13), max_size=12).map(" ".join))
@example("a" * 12)
@example("_" + "a" * 12 + "_" + "0" * 100)
def test_tokens(text):
    data = text.encode()
    begins, ends = _tokens(data)
    expected = [found.span() for found in re.finditer(rb"[0-9A-Za-z]{%d,}" % MIN_TOKEN, data)]
    assert list(zip(begins.tolist(), ends.tolist(), strict=True)) == expected
