"""What is found out about a frame all at once is what looking at each of its lines and characters gives."""

import os
import re
import subprocess
import sys

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.archive import scan_numpy, scan_plain
from agent.archive.scan import SHORT_LINE, FrameTokens, LineFacts, lines
from agent.archive.tokens import MIN_TOKEN, token_hash

CHARACTERS = st.text(list('{}\\u0041f6 "a1\u00e9\u2028\n\r'), max_size=40).map(str.encode)
BROKEN = st.binary(max_size=6)
FRAMES = st.lists(CHARACTERS | BROKEN, max_size=8).map(b"".join)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


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
    return LineFacts(len(found), max([SHORT_LINE, *map(len, found)]), objects, escaped, valid)


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a machine may be busy


@unhurried
@given(FRAMES)
@example(b"")
@example(b"{")
@example(b"{}")
@example(b"}\n{}\n")
@example(b'{"a":"\\u0041"}\n{"b":"\\u00f6"}\n')
@example("é".encode() * 20 + b"\n")
@example(b"x" * SHORT_LINE + b"\n" + b"y" * (SHORT_LINE + 1))
@example((b"x" * 700 + b"\n") * 3 + b"y" * 1500 + b"\n" + b"z" * 1400)
@example(b"12345678" * 3 + "é".encode()[:1] + b"12345678" + "é".encode()[1:])
def test_lines(data):
    assert lines(data) == one_by_one(data)


@unhurried
@given(st.lists(st.binary(max_size=9) | st.sampled_from(["é", "大", "😀", "x", "\ud800"]).map(encoded)).map(b"".join))
@example(b"\xc3 \xa9")
@example(b"\xed\xa0\x80")
def test_what_is_text(data):
    assert scan_numpy.is_utf8(data) == scan_plain.is_utf8(data)


TOKENS = st.lists(st.text("aZ09_", max_size=40) | st.text("aG0", min_size=11, max_size=90), max_size=12).map(" ".join)


@unhurried
@given(TOKENS)
@example("a" * 12)
@example("_" + "a" * 12 + "_" + "0" * 100)
def test_tokens(text):
    data = text.encode()
    begins, ends = scan_numpy._tokens(data)
    expected = [found.span() for found in re.finditer(rb"[0-9A-Za-z]{%d,}" % MIN_TOKEN, data)]
    assert list(zip(begins.tolist(), ends.tolist(), strict=True)) == expected
    assert scan_plain._tokens(data) == [data[begin:end].lower() for begin, end in expected]


@unhurried
@given(TOKENS, st.integers(0, 5))
@example(" ".join(f"{number:032x} {number * 77:016X}" for number in range(500)), 63)
@example(" ".join("0" * number for number in range(12, 200)), 7)
def test_both_ways_give_the_same_bytes(text, size):
    data = text.encode()
    one, other = scan_numpy.NumpyTokens(data), scan_plain.PlainTokens(data)
    assert (one.longest, one.number, one.blocks(size)) == (other.longest, other.number, other.blocks(size))
    one, other = (found(data, ids_alone=True) for found in (scan_numpy.NumpyTokens, scan_plain.PlainTokens))
    assert (one.number, one.blocks(size)) == (other.number, other.blocks(size))


def test_numpy_is_used_where_it_is_installed():
    code = "import sys; sys.modules['numpy'] = None; from agent.archive import scan; print(scan.FrameTokens.__name__)"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True)
    assert done.stdout == "PlainTokens\n"
    assert FrameTokens is scan_numpy.NumpyTokens


@unhurried
@given(st.sets(st.text("ab019", min_size=MIN_TOKEN, max_size=100), min_size=1))
def test_many_hashes_at_once_are_those_of_each(tokens):
    for length in {len(token) for token in tokens}:
        some = [token.encode() for token in tokens if len(token) == length]
        found = scan_plain._hashes(some, length)
        assert [int.from_bytes(found[at : at + 8], "little") for at in range(0, len(found), 8)] == list(
            map(token_hash, some)
        )
