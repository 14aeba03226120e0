"""What `sidelog parse` knows of a log: the same as an agent that reads it, in numbers and pictures."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.event import original_of
from agent.core.named_patterns import NAMED
from agent.core.text import escape
from agent.parse.decode import FileParser
from agent.views import parsing
from agent.views.parsing import LogReader
from tests.parse.effort import examples
from tests.parse.test_line_patterns import streams
from tests.parse.test_twin import parse_once
from tests.sources import parsing as settings_of

TEXT = (
    b"2026-11-22 05:39:26,123 ERROR shop.pay: card declined\nTraceback (most recent call last):\n"
    b'  File "x.py", line 3, in f\nValueError: bad\n\n2026-11-22 05:39:27,000 INFO shop: fine\nno head here\n'
)
JSON = b'{"ts":"2026-11-22T05:39:26Z","lvl":"warn","log":"shop","msg":"slow \\u00f6","ms":12,"user":{"name":"ann"}}\n'


def reader(**changes) -> LogReader:
    return LogReader(settings_of(**changes), "s", "/p", {})


def cut(data: bytes, size: int):
    return (data[at : at + size] for at in range(0, len(data), size))


def pieces_of(picture) -> dict[str, str]:
    return {piece.name: picture.text[piece.start : piece.end] for piece in picture.pieces}


def test_text_in_numbers_and_pictures():
    reading = reader().survey(cut(TEXT, 7), 2)
    document = json.loads(json.dumps(reading.document()))
    assert (document["lines"], document["events"], document["formats"]) == (7, 3, {"text": 3})
    assert document["instant"] == {"events": 2, "share": 2 / 3}
    assert document["severities"] == {"ERROR": 1, "INFO": 1, "none": 1}
    assert document["message"]["share"] == 1.0
    assert (document["first"], document["last"]) == ("2026-11-22T05:39:26.123000000Z", "2026-11-22T05:39:27.000000000Z")
    assert document["parse_errors"] == {"no timestamp": 1}
    first, second = reading.pictures
    assert (first.line, second.line) == (1, 6)
    assert pieces_of(first) == {
        "timestamp": "2026-11-22 05:39:26,123", "severity": "ERROR", "logger": "shop.pay", "message": "card declined",
    }  # fmt: skip
    assert [(one.line, one.text) for one in reading.unread] == [(7, "no head here")]


def test_json_says_where_its_fields_are():
    reading = reader().survey([JSON * 3], 1)
    assert reading.document()["formats"] == {"json": 3}
    assert reading.fields["timestamp"] == "ts"
    assert pieces_of(reading.pictures[0])["timestamp"] == "2026-11-22T05:39:26Z"
    assert pieces_of(reading.pictures[0])["ms"] == "12"


def test_patterns_say_which_of_them_fits():
    data = NAMED["redis"].sample.encode() + b"\n" + NAMED["tomcat"].sample.encode() + b"\nnothing\n"
    reading = reader(format="pattern", patterns=(NAMED["redis"].text, NAMED["tomcat"].text)).survey([data], 3)
    assert reading.document()["formats"] == {"pattern 1": 1, "pattern 2": 1, "no pattern fits": 1}
    assert pieces_of(reading.pictures[0])["severity"] == "#"
    assert reading.pictures[2].pieces == []


@settings(max_examples=examples(100), deadline=None)
@given(streams, st.integers(1, 100), st.sampled_from([1, 50, 1 << 18]))
def test_the_events_are_those_of_an_agent_wherever_the_pieces_end(data, size, batch):
    saved, parsing._BATCH_BYTES = parsing._BATCH_BYTES, batch
    try:
        own = reader()
        found = list(own.events(cut(data, size)))
    finally:
        parsing._BATCH_BYTES = saved
    out = parse_once(data, FileParser(settings_of()))
    assert [event.record for event in found] == out.records
    assert [event.offset for event in found] == out.offsets
    assert [original_of(event.record, event.raw) for event in found] == [
        original_of(record, out.raws.get(row)) for row, record in enumerate(out.records)
    ]
    assert own.reading.lines == data.count(b"\n")
    assert sum(own.reading.gaps.values()) == len(out.gaps)


@settings(max_examples=examples(100), deadline=None)
@given(streams | st.binary(max_size=300), st.integers(1, 200), st.booleans())
def test_any_bytes_are_drawn_harmlessly(data, width, color):
    reading = reader().survey([data], 5)
    json.dumps(reading.document())
    for picture in (*reading.pictures, *reading.unread):
        rows = picture.drawn(width + 20, color=False)
        assert all(escape(row) == row for row in rows)
        assert all(0 <= piece.start <= piece.end for piece in picture.pieces)
        assert picture.drawn(width + 20, color=color)


def test_marks_stand_below_what_they_mark():
    line = "«2026-11-22T05:39:26Z» \x1b[31mERROR\x1b[0m 日本 card\n".encode()
    pattern = r"«(?P<timestamp>[^»]+)» \S+?(?P<severity>[A-Z]+)\S+ (?P<place>\w+) (?P<message>.*)"
    (picture,) = reader(format="pattern", patterns=(pattern,)).survey([line], 1).pictures
    shown, marks, meaning, *_ = picture.drawn(100, color=False)
    assert shown == r"    1 | «2026-11-22T05:39:26Z» \x1b[31mERROR\x1b[0m 日本 card"
    assert marks.index("s") == shown.index("ERROR")
    assert marks.index("aaaa") == shown.index("日本")
    assert marks.index("mmmm") == shown.index("card") + 2  # two wide characters before it
    assert meaning == "      = 2026-11-22T05:39:26Z  ERROR  place=日本"
    assert picture.drawn(100, color=True)[0].count("\x1b[0m") > 20


def test_a_log_without_an_end_of_its_last_line_has_that_line():
    reading = reader().survey([b"2026-11-22 05:39:26 INFO one\n2026-11-22 05:39:27 INFO two"], 5)
    assert (reading.lines, reading.events, dict(reading.reasons)) == (2, 2, {})


def test_a_line_without_end_is_a_gap_and_no_memory():
    def content():
        yield b"2026-11-22 05:39:26 INFO one\n"
        for _ in range(80):
            yield b"x" * (1 << 20)
        yield b"\n2026-11-22 05:39:27 INFO two\n"

    own = reader()
    tracemalloc.start()
    found = [original_of(event.record, event.raw) for event in own.events(content())]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [b"2026-11-22 05:39:26 INFO one", b"2026-11-22 05:39:27 INFO two"]
    assert dict(own.reading.gaps) == {"over_long": 1}
    assert own.reading.lines == 3
    assert peak < 64 << 20


@pytest.mark.parametrize("data", [b"", b"\n\n\r\n", b"\0\0\0\0"])
def test_nothing_is_nothing(data):
    reading = reader().survey([data], 5)
    assert (reading.events, reading.pictures, reading.document()["instant"]) == (0, [], {"events": 0, "share": 0.0})
