"""Whatever stands in a line is found, also what became a field of its event; and what was found before is found."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.alert.event import LiveEvent, LiveFile
from agent.core.event import RAW_CARRIAGE_RETURN, RAW_MESSAGE
from agent.query.language import Query, Selection, parse_query
from agent.query.searched import decoded_text, folded_text, holds
from agent.query.terms import Term
from tests.parse.test_twin import parse_once
from tests.query.test_conformance import TEXT_LINES, format_line
from tests.query.tiers import Tiers

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
        *((in_cri(SSHD), text) for text in ("web1", "sshd[663]: Acc", "Nov 22 05:39:26 web1")),
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


PARTS = (
    b"2026-11-22T05:39:28Z stderr P 2026-11-22 05:39:26 [main] ERR\n"
    b"2026-11-22T05:39:28Z stderr F OR shop.Cart - Gr\xc3\xb6\xc3\x9fe [Odd]\n"
)
TRACE = "".join(
    json.dumps({"log": f"{text}\n", "stream": "stdout", "time": "2026-11-22T05:39:29Z"}, separators=(",", ":")) + "\n"
    for text in (
        "Nov 22 05:39:26 web1 shop[7]: Traceback (most recent call last):",
        '  File "cart.py", line 7, in add',
        "ValueError: none",
    )
).encode()
CONTAINED = [
    *((in_docker(SSHD) + b"\n", text) for text in ("web1 sshd[663]: Acc", "Nov 22 05:39:26 web1", "26 web1 ")),
    *((in_cri(ACCESS) + b"\n", text) for text in ('"GET /cart?x=7 HTTP/1.1" 500', "- Ann [22/Nov", '\\"odd\\"')),
    *((in_docker(ACCESS) + b"\n", text) for text in ('/1.1" 500 12', "- ann [22")),
    *((PARTS, text) for text in ("[main] ERROR shop", "[main] error", "Größe [O", "größe [")),
    *((TRACE, text) for text in ("web1 shop[7]: Trace", "web1 shop[7]", 'File "cart.py"')),
]
OTHER = in_cri(b"Nov 22 05:39:26 db1 cron[9]: nothing") + b"\n"


@pytest.mark.parametrize(("log", "text"), CONTAINED)
def test_the_text_in_a_container_is_found_in_the_store_while_following_and_in_archives(tmp_path, log, text):
    found, lacking = (Selection(Query((Term(None, "", text, negated=negated),))) for negated in (False, True))
    with Tiers(tmp_path) as tiers:
        tiers.store("app.log", log + OTHER)
        kept = [raw for (raw,) in tiers.reader.execute("SELECT raw FROM events")]
        assert [type(raw) for raw in kept] == [str, str]
        hot = tiers.engine(archived=False)
        [event], [other] = hot.events(found), hot.events(lacking)
        assert "cron" in other.record
        assert [one.record for one in hot.follow(found, 0, wait=False) if not isinstance(one, int)] == [event.record]
        tiers.archive("app.log", log + OTHER)
        tiers.expire()
        archived = tiers.engine()
        assert list(hot.events(found)) == []
        assert [one.record for one in archived.events(found)] == [event.record]
        assert [one.record for one in archived.events(lacking)] == [other.record]
        assert archived.errors == []


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
