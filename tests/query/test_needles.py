"""Skipping bytes never skips a match: compared with parsing everything and asking each event."""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.archive.frames import JSON_LINES, FrameParser, index_frame
from agent.archive.scan import lines as lines_of
from agent.core.stored import FileInfo, StoredEvent
from agent.query.archives.needles import matching_lines, may_match, needles, token_probes, usable
from agent.query.language import Query, parse_query
from agent.query.terms import Term
from tests.archive.test_tokens import may_be_in
from tests.query.cases import queries_of
from tests.sources import parsing

FILE = FileInfo(-1, "app", "/var/log/app.log", {"service.name": "shop"}, None, (0, 0, 0), 0)
SETTINGS = parsing()
# With what is long enough to be a token of the frames' filters, behind what JSON may escape.
LONG = st.builds("{}{}{}".format, st.sampled_from(["", "ö", "Ö ", "\n", "-", '"', "a", "-0"]),
                 st.sampled_from(["id4bf92f3577b34d", "4bf92f3577b3", "4bf92f3577b34d", "123456789012"]),
                 st.sampled_from(["", " x", "é", "-", "0", "x"]))  # fmt: skip
WORDS = st.text('aAbkKöÖé7 "\\/{:é\u212a\n', max_size=8) | LONG | st.sampled_from(["shop", "billing", "true"])
VALUES = st.one_of(WORDS, st.integers(-5, 5), st.sampled_from([1.5e12, 1.5e22]), st.booleans(), st.none())
KEYS = st.sampled_from(["message", "level", "logger", "service", "x", "y", "@mt"])
RECORDS = st.dictionaries(KEYS, VALUES, max_size=4)


@st.composite
def lines(draw) -> bytes:
    if draw(st.booleans()):
        line = json.dumps(draw(RECORDS), separators=(",", ":"), ensure_ascii=draw(st.booleans()))
        line = line[:-1] + draw(st.sampled_from(["}", "}", "}", ',"x":"again"}' if len(line) > 2 else "}"]))
        return line.encode("utf-8", "surrogatepass").replace(
            b'":"', draw(st.sampled_from([b'":"', b'":"', b'":"\xff']))
        )
    text = draw(
        st.sampled_from(
            [
                *("2026-11-22 03:04:05 ERROR shop: ", "", "Traceback (most recent call last):"),
                *(
                    "<13>Nov 22 03:04:05 web1 shop[7]: ",
                    "2026-11-22T03:04:05Z web1 shop: level=error x=",
                    "level=info msg=",
                ),
                '1.2.3.4 - a k [22/Nov/2026:03:04:05 +0000] "GET /abk?k HTTP/1.1" 500 7 "-" "-" 7ms ',
                '<13>1 2026-11-22T03:04:05Z web1 shop 7 - [a@1 k="b"] ',
            ]
        )
    )
    words = [draw(WORDS).replace("\n", " ").encode() for _ in range(2)]
    return text.encode() + draw(st.sampled_from([b"", b"\xff", b"\xc3"])).join(words)


TEXTS = st.one_of(
    WORDS.filter(bool),
    st.sampled_from(
        [
            "error",
            "stacktrace",
            "xff",
            "fabk",
            "ffid4bf92f3577b34d",
            *("4bf92f3577b3", "-4bf92f3577b3", "0 4bf92f3577b3", "123456789012", "a123456789012"),
            "Trace",
            "shop",
            *("web1 shop[", "GET /abk 500", "T /", "0.007", "user", "syslog.f", "true", "500 7", 'HTTP/1.1" 500'),
            "level",
            "1500000000000",
            'n":1500000000000.0',
        ]
    ),
)
FIELDS = st.sampled_from(["message", "logger", "x", "y", "service", "service.name", "env", "attributes.x"])
FILES = st.sampled_from([{"service.name": "shop"}, {}, {"env": "shop"}]).map(
    lambda labels: FileInfo(-1, "app", "/var/log/app.log", labels, None, (0, 0, 0), 0)
)
TERMS = st.one_of(
    st.builds(lambda text: Term(None, "", text), TEXTS),
    st.builds(lambda field, value: Term(field, "=", value), FIELDS, WORDS),
    st.builds(lambda field, value: Term(field, "=", value[:4] or "x", prefix=True), FIELDS, WORDS),
)


@given(st.lists(lines(), min_size=1, max_size=8), queries_of(TERMS, 2), FILES)
@settings(max_examples=200, deadline=None)
@example([b'{"message":"\\u0041b"}'], Query((Term(None, "", "Ab"),)), FILE)
@example([b'{"x":"\xc3\xb6"}'], Query((Term("x", "=", "ö"),)), FILE)
@example([b"plain \xff"], Query((Term(None, "", "xff"),)), FILE)
@example([b'{"x":"\xffabc and"}'], Query((Term(None, "", "ffabc"),)), FILE)
@example([b"plain \xffabcdefghijkl"], Query((Term(None, "", "xffabcdefghijkl"),)), FILE)
@example([b'{"n":1.5e12,"n":1.5e12}'], Query((Term(None, "", "1500000000000"),)), FILE)
@example([b'{"x":"\\/a"}'], Query((Term("x", "=", "/a"),)), FILE)
@example([b'{"x":"\\u00f6id4bf92f3577b34d"}'], Query((Term("x", "=", "öid4bf92f3577b34d"),)), FILE)
@example([b'{"x":"a\\nid4bf92f3577b34d "}'], Query((Term(None, "", "a\nid4bf92f3577b34d "),)), FILE)
def test_a_frame_and_a_line_with_a_match_are_never_skipped(parts, query, file):
    """Neither by the bytes that a match must hold, nor by the filter of tokens."""
    data = (b"\n".join(parts) + b"\n") * 8  # a filter has 4 bytes for an event, and begins at 32
    parser = FrameParser(SETTINGS, None, 5)
    batch = parser.parse(data, 0)
    matching = []
    for index, offset in enumerate(batch.offsets):
        row = batch.row(index, -1, offset, number=-1, observed=5, group=None)
        if query.matches(StoredEvent(row, file)):
            matching.append(offset)
    wanted = needles(query, [FILE, file])
    frame = index_frame(data, 0, SETTINGS, parser)
    shape = frame.shape
    if matching:
        assert may_match(data, wanted, shape)
        for alternatives in token_probes(query, [file]):
            assert any(
                shape & one.hidden_in or all(may_be_in(probe, frame.tokens) for probe in one.probes)
                for one in alternatives
            )
    if shape & JSON_LINES:
        for needle in wanted:
            if usable(data, needle, shape):
                spans = matching_lines(data, needle)
                assert all(any(start <= offset < end for start, end in spans) for offset in matching)


def test_of_branches_one_token_each_is_looked_for():
    one, other = "4bf92f3577b34da6", "00f067aa0ba902b7"
    for text in (f"x={one} OR y={other}", f"({one} word) OR y={other}", f"{one} OR {other}"):
        [alternatives] = token_probes(parse_query(text), [FILE])
        assert len(alternatives) == 2
    assert token_probes(parse_query(f"x={one} OR word"), [FILE]) == []


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
