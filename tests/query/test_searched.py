"""Whatever stands in a line is found, also what became a field of its event; and what was found before is found."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.alert.event import LiveEvent, LiveFile
from agent.core.event import RAW_CARRIAGE_RETURN, RAW_MESSAGE
from agent.query.language import Query, parse_query
from agent.query.searched import decoded_text, folded_text, holds
from agent.query.terms import Term
from tests.parse.test_twin import parse_once
from tests.query.test_conformance import TEXT_LINES, format_line

FILE = LiveFile(1, "app", "/var/log/app.log", {}, None, (0, 0, 0), 0)
SSHD = b"Nov 22 05:39:26 web1 sshd[663]: Accepted publickey for ann"
ACCESS = b'192.0.2.7 - Ann [22/Nov/2026:05:39:26 +0000] "GET /cart?x=7 HTTP/1.1" 500 12 "-" "my \\"odd\\" agent"'


def events_of(line: bytes) -> list[LiveEvent]:
    out = parse_once(line + b"\n")
    return [LiveEvent(out.row(row, 1, 0, number=1, observed=5, group=None), FILE) for row in range(len(out))]


def in_docker(line: bytes) -> bytes:
    text = line.decode("utf-8", "replace") + "\n"
    return json.dumps({"log": text, "stream": "stdout", "time": "2026-11-22T05:39:27.5Z"}).encode()


def in_cri(line: bytes) -> bytes:
    return b"2026-11-22T05:39:27.5Z stdout F " + line


@settings(max_examples=300, deadline=None)
@given(
    format_line() | TEXT_LINES,
    st.sampled_from([lambda line: line, in_docker, in_cri]),
    st.integers(0, 200),
    st.integers(1, 30),
    st.booleans(),
)
def test_each_piece_of_a_line_is_found(line, wrap, start, length, fold):
    text = line.decode("utf-8", "backslashreplace" if wrap is not in_docker else "replace").strip("\r\n")
    start = min(start, max(0, len(text) - length))
    piece = text[start : start + length]
    piece = piece.lower() if fold and piece.isascii() else piece
    for event in events_of(wrap(line)):
        if piece and not line.startswith(b"{"):
            assert Query((Term(None, "", piece),)).matches(event), piece


@pytest.mark.parametrize(
    ("line", "text"),
    [
        *((SSHD, text) for text in ("web1", "sshd[663]", "Nov 22 05:39:26 web1", "663", "Accepted", "host.name")),
        *((in_docker(SSHD), text) for text in ("web1", "sshd[663]: Acc", "stdout")),
        *((in_cri(SSHD), text) for text in ("web1", "sshd[663]: Acc", "F Nov 22")),
        *(
            (ACCESS, text)
            for text in ('"GET /cart?x=7 HTTP/1.1" 500', "GET /cart 500", "- Ann [22/Nov", '\\"odd\\"', '"odd"')
        ),
        (in_docker(ACCESS), '"GET /cart?x=7 HTTP/1.1" 500'),
        ("2026-11-22 05:39:26 [main] ERROR größer.X - Öl".encode(), "[main] ERROR größer"),
    ],
)
def test_it_is_found(line, text):
    [event] = events_of(line)
    query = Query((Term(None, "", text),))
    assert query.matches(event)
    assert not Query((Term(None, "", text, negated=True),)).matches(event)
    assert (text.lower().encode() in event.folded) == text.isascii() or not text.isascii()


def test_nothing_reaches_over_the_end_of_a_record():
    [event] = events_of(SSHD)
    record, line = decoded_text(event.record), SSHD.decode()
    assert not parse_query(f'"{record[-1] if record[-1] != chr(34) else "}"}{line[:3]}"').matches(event)


@settings(max_examples=200, deadline=None)
@given(
    st.text('aAkK\u212aöÖ"\\/{ \x00n', max_size=6).filter(bool),
    st.text('aAkK\u212aöÖ"\\/ \x00n', max_size=10),
    st.sampled_from([None, RAW_CARRIAGE_RETURN, RAW_MESSAGE]) | st.binary(max_size=10) | st.text('aAkö"\\', max_size=8),
    st.booleans(),
)
def test_a_text_is_found_as_by_looking_for_it_in_both(text, message, raw, ascii_only):
    record = json.dumps({"message": message}, ensure_ascii=ascii_only)
    if isinstance(raw, str):
        raw = json.dumps({"log": raw}, ensure_ascii=ascii_only).encode()
    places = [decoded_text(record).encode()]
    if isinstance(raw, bytes):
        is_json = raw.startswith(b"{") and b"\\" in raw
        places.append(decoded_text(raw.decode("utf-8", "replace")).encode() if is_json else raw)
    if any(character.isupper() for character in text):
        wanted = any(text.encode() in place for place in places)
    elif text.isascii():
        wanted = any(text.encode() in place.lower() for place in places)
        assert (text.encode() in folded_text(record, raw)) == wanted
    else:
        wanted = any(text.casefold() in place.decode("utf-8", "replace").casefold() for place in places)
    assert holds(text)(record, raw) == wanted
