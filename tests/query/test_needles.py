"""Skipping bytes never skips a match: compared with parsing everything and asking each event."""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.archive.frames import JSON_LINES, FrameParser, shape_of
from agent.archive.scan import lines as lines_of
from agent.query.archives.needles import matching_lines, may_match, needles, usable
from agent.query.events import FileInfo, StoredEvent
from agent.query.language import Query, Term
from tests.sources import parsing

FILE = FileInfo(-1, "app", "/var/log/app.log", {"service.name": "shop"}, None, (0, 0, 0), 0)
SETTINGS = parsing()
WORDS = st.text('aAbkKöÖé7 "\\/{:é\u212a\n', max_size=8)
VALUES = st.one_of(WORDS, st.integers(-5, 5), st.booleans(), st.none())
RECORDS = st.dictionaries(st.sampled_from(["message", "level", "logger", "x", "y"]), VALUES, max_size=4)


@st.composite
def lines(draw) -> bytes:
    if draw(st.booleans()):
        return json.dumps(draw(RECORDS), ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    text = draw(st.sampled_from(["2026-11-22 03:04:05 ERROR shop: ", "", "Traceback (most recent call last):"]))
    return (text + draw(WORDS).replace("\n", " ")).encode() + draw(st.sampled_from([b"", b"\xff", b"\xc3"]))


TEXTS = st.one_of(WORDS.filter(bool), st.sampled_from(["error", "stacktrace", "xff", "Trace", "shop", "level"]))
FIELDS = st.sampled_from(["message", "logger", "x", "service"])
TERMS = st.one_of(
    st.builds(lambda text: Term(None, "", text), TEXTS),
    st.builds(lambda field, value: Term(field, "=", value), FIELDS, WORDS),
)


@given(st.lists(lines(), min_size=1, max_size=8), st.lists(TERMS, min_size=1, max_size=2))
@settings(max_examples=200, deadline=None)
@example([b'{"message":"\\u0041b"}'], [Term(None, "", "Ab")])
@example([b'{"x":"\xc3\xb6"}'], [Term("x", "=", "ö")])
@example([b"plain \xff"], [Term(None, "", "xff")])
@example([b'{"x":"\\/a"}'], [Term("x", "=", "/a")])
def test_a_frame_and_a_line_with_a_match_are_never_skipped(parts, terms):
    data = b"\n".join(parts) + b"\n"
    query = Query(tuple(terms))
    batch = FrameParser(SETTINGS, None, 5).parse(data, 0)
    rows = zip(batch.timestamps, batch.severities, batch.offsets, batch.records, strict=True)
    matching = []
    for index, (time, severity, offset, record) in enumerate(rows):
        row = (-1, time, 5, severity, -1, offset, None, record, batch.raws.get(index), None)
        if query.matches(StoredEvent(row, FILE)):
            matching.append(offset)
    wanted = needles(query, [FILE])
    shape = shape_of(data, lines_of(data), SETTINGS)
    if matching:
        assert may_match(data, wanted, shape)
    if shape & JSON_LINES:
        for needle in wanted:
            if usable(data, needle, shape):
                spans = matching_lines(data, needle)
                assert all(any(start <= offset < end for start, end in spans) for offset in matching)


def test_lines_are_given_whole_and_once():
    first, last = b'{"x":"needle needle"}\n', b'{"z":"needle"}'
    data = first + b'{"y":1}\n' + last
    [needle] = needles(Query((Term(None, "", "needle"),)), [])
    assert [data[start:end] for start, end in matching_lines(data, needle)] == [first, last]


def test_only_a_frame_of_objects_is_lines_of_json():
    assert lines_of(b'{"a":1}\n{"b":2}\n').objects
    for data in (b"", b'{"a":1}', b'{"a":1}\ntext\n', b'text\n{"a":1}\n', b'{"a":1}\n\n{"b":2}\n'):
        assert not lines_of(data).objects


def test_what_can_come_from_elsewhere_is_not_looked_for():
    conditions = [
        *(("service", "=", "shop"), ("x", "!=", "abcdef"), ("x", "=", "123456"), ("severity", "=", "error")),
        *((None, "", "abcdef", True), ("x", "~", "abcdef"), ("id", "=", "abcdef")),
    ]
    for condition in conditions:
        assert needles(Query((Term(*condition),)), [FILE]) == []
