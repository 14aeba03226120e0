"""Two streams in one file: each is read as if it were alone, rows are in the order of their offsets, and what is held
back and read again gives the same.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.core.event import original_of
from agent.core.model import EventBatch, Gap, LineBatch
from agent.parse import streams
from agent.parse.decode import FileParser, ParseSettings
from tests.parse.effort import examples
from tests.parse.test_twin import OBSERVED, check_valid, columns, tailed
from tests.sources import parsing

TIME = "2026-11-22T05:39:26.123456789Z"
TRACE = ["Traceback (most recent call last):", '  File "x.py", line 3, in f', "    g()", "ValueError: bad"]
JAVA = ["2026-11-22 05:39:26 ERROR a.b: failed", "java.lang.IllegalStateException: x", "\tat a.b.C.d(C.java:12)"]
OBJECT = ["{", '  "level": "error",', "", '  "message": "spread"', "}"]
OTHERS = [
    "plain", "", "  indented", '{"level":"info","message":"in"}', '{"level":"error"', "2026-11-22 05:39:26 INFO a: x",
    "2026-11-22 05:39:26 ERROR a: y", "Caused by: a.b.CException: y", "öäü", "\r",
]  # fmt: skip
FORMATS = {
    "docker": lambda text, stream, tag: json.dumps(
        {"log": text + ("\n" if tag == "F" else ""), "stream": stream, "time": TIME}, separators=(",", ":")
    ),
    "cri": lambda text, stream, tag: f"{TIME} {stream} {tag} {text}",
}
lines = st.one_of(
    st.sampled_from(OTHERS).map(lambda text: [(text, "F")]),
    st.sampled_from([TRACE, JAVA, OBJECT, OBJECT[:3]]).map(lambda texts: [(text, "F") for text in texts]),
    st.sampled_from([('{"level":"warn","mes', 'sage":"lo', 'ng"}'), ("one ", "two"), ("  in two", " parts")]).map(
        lambda parts: [*((part, "P") for part in parts[:-1]), (parts[-1], "F")]
    ),
)
stream = st.lists(lines, max_size=6).map(lambda found: [line for one in found for line in one])


def woven(out: list, err: list, order: list[bool]) -> list[tuple[str, str, str]]:
    """The lines of both streams, in the order that is given as long as both have some."""
    queues = {"stdout": [*out], "stderr": [*err]}
    found = []
    for choice in [*order, *[True] * (len(out) + len(err))]:
        name = "stderr" if choice else "stdout"
        name = name if queues[name] else "stdout" if choice else "stderr"
        if queues[name]:
            found.append((name, *queues[name].pop(0)))
    return found


def file_of(rows: list[tuple[str, str, str]], form: str) -> tuple[bytes, list[int]]:
    """The bytes of the file, and where each line begins."""
    data, offsets = b"", []
    for name, text, tag in rows:
        offsets.append(len(data))
        data += FORMATS[form](text, name, tag).encode() + b"\n"
    return data, offsets


def parse(data: bytes, config: ParseSettings | None = None) -> EventBatch:
    return FileParser(config or parsing()).feed(LineBatch(tailed(), 0, data, OBSERVED, final=True))


def rows_of(out: EventBatch) -> list[tuple]:
    errors = {error.index: (error.message, error.exception_type, error.stacktrace) for error in out.errors}
    return [
        (
            out.offsets[row], out.timestamps[row], out.severities[row], out.loggers[row], out.records[row],
            original_of(out.records[row], out.raws.get(row)), out.parse_errors.get(row), errors.get(row),
        )
        for row in range(len(out))
    ]  # fmt: skip


def check_lines(data: bytes, out: EventBatch) -> None:
    """The events have each line of the file once, with the first one at the event's offset."""
    held: list[bytes] = []
    for offset, record, row in zip(out.offsets, out.records, range(len(out)), strict=True):
        own = original_of(record, out.raws.get(row))
        assert data[offset:].startswith(own.split(b"\n")[0])
        held += own.split(b"\n")
    assert sorted(held) == sorted(data.split(b"\n")[:-1])
    assert out.offsets == sorted(set(out.offsets))
    assert (out.gaps, out.blank_bytes, out.end) == ([], 0, len(data))


orders = st.lists(st.booleans(), max_size=40)
woven_lines = st.builds(woven, stream, stream, orders)
forms = st.sampled_from(sorted(FORMATS))
configs = st.sampled_from([parsing(), parsing(multiline="off"), parsing(multiline="start", multiline_start=r"^\S")])


@settings(max_examples=examples(150), deadline=None)
@given(woven_lines, forms, configs)
@example(woven([(text, "F") for text in TRACE], [("x", "F")], [False, True]), "docker", parsing())
@example(woven([("a", "P"), ("b", "F")], [("c", "P"), ("d", "F")], [False, True] * 2), "cri", parsing())
def test_each_stream_is_read_as_if_it_were_alone(rows, form, config):
    data, offsets = file_of(rows, form)
    found = parse(data, config)
    wanted = []
    for name in ("stdout", "stderr"):
        alone, begins = file_of([row for row in rows if row[0] == name], form)
        place = dict(zip(begins, [at for at, row in zip(offsets, rows, strict=True) if row[0] == name], strict=True))
        wanted += [(place[row[0]], *row[1:]) for row in rows_of(parse(alone, config))]
    assert rows_of(found) == sorted(wanted, key=lambda row: row[0])
    assert [error.index for error in found.errors] == sorted(error.index for error in found.errors)
    check_lines(data, found)
    check_valid(found)


# Lines after which an event is not waited for may be continued by an indented one, but not across batches.
waited_for = st.lists(
    lines.filter(lambda one: not one[0][0].startswith((" ", "2026-11-22 05:39:26 INFO")) and one[0][0] != ""),
    max_size=6,
).map(lambda found: [line for one in found for line in one])


@settings(max_examples=examples(150), deadline=None)
@given(st.builds(woven, waited_for, waited_for, orders), forms, configs, st.sets(st.integers(0, 60), max_size=8))
def test_events_of_streams_do_not_depend_on_where_batches_end(rows, form, config, cuts):
    """Nor on where a crash lets the reading begin again: at the end of what is accounted for."""
    data, offsets = file_of(rows, form)
    wanted = rows_of(parse(data, config))
    ends = [*sorted({offsets[cut] for cut in cuts if cut < len(offsets)}), len(data)]
    for crashing in (False, True):
        parser, found, begin = FileParser(config), [], 0
        for end in ends:
            batch = LineBatch(tailed(), begin, data[begin:end], OBSERVED, final=end == len(data))
            events = parser.feed(batch)
            assert all(offset < events.end for offset in events.offsets)
            found += rows_of(events)
            begin = end
            if crashing and end < len(data):
                parser, begin = FileParser(config, parser.profile), events.end
        assert found == wanted


def test_what_is_held_back_is_released_in_order():
    clock = [100.0]
    parser = FileParser(parsing(), clock=lambda: clock[0])
    data, offsets = file_of([("stderr", "ERROR: no", "F"), ("stdout", '{"level":"info"}', "F")], "cri")
    out = parser.feed(LineBatch(tailed(), 0, data, OBSERVED))
    assert (len(out), out.end, parser.deadline_s) == (0, 0, 102.0)
    clock[0] = 101.0
    more, _ = file_of([("stdout", '{"level":"warn"}', "F")], "cri")
    out = parser.feed(LineBatch(tailed(), len(data), more, OBSERVED))
    assert (len(out), out.end, parser.deadline_s) == (0, 0, 102.0)  # lines of another stream prolong nothing
    out = parser.flush()
    assert (out.offsets, out.severities, out.end) == ([*offsets, len(data)], [17, 9, 13], len(data + more))
    assert not out.tail_open


def test_a_stream_waits_for_so_many_lines_of_the_other():
    other = [("stdout", f'{{"n":{n}}}', "F") for n in range(streams.MOST_APART + 1)]
    last = ("stderr", "ValueError: x", "F")
    begin = [("stderr", text, "F") for text in TRACE[:3]]
    for count, events in ((streams.MOST_APART, 1), (streams.MOST_APART + 1, 2)):
        data, _ = file_of([*begin, *other[:count], last], "docker")
        out = parse(data)
        assert len(out) == count + events
        check_lines(data, out)


@pytest.mark.parametrize("form", ["docker", "cri"])
def test_streams_that_are_never_both_closed_are_bounded(form, monkeypatch):
    monkeypatch.setattr(streams, "MOST_WOVEN_BYTES", 2000)
    config = parsing(max_line_bytes=500)
    rows = [("stdout", "ERROR: a", "F")]
    for n in range(100):
        name = ("stderr", "stdout")[n % 2]
        rows += [(name, f"ERROR: {n}", "F"), (("stdout", "stderr")[n % 2], "Traceback (most recent call last):", "F")]
    data, offsets = file_of(rows, form)
    parser = FileParser(config)
    found, begin = [], 0
    for end in [*offsets[1:], len(data)]:
        out = parser.feed(LineBatch(tailed(), begin, data[begin:end], OBSERVED, final=end == len(data)))
        assert end - out.end <= 2000
        found += rows_of(out)
        begin = end
    assert found == rows_of(parse(data, config))
    check_lines(data, parse(data, config))


def test_parts_without_a_byte_are_bounded(monkeypatch):
    monkeypatch.setattr(streams, "MOST_PARTS", 10)
    data, _ = file_of([("stdout", "", "P")] * 25, "cri")
    assert len(parse(data)) == 3


@pytest.mark.parametrize("between", [b"plain\n", b"\n", b"\0" * 70 + b"\n", b"x" * 300 + b"\n", b'{"level":"info"}\n'])
def test_what_is_no_line_of_a_container_ends_both_streams(between):
    config = parsing(max_line_bytes=200)
    head, _ = file_of([("stdout", "a", "P"), ("stderr", TRACE[0], "F"), ("stdout", "b", "P")], "cri")
    tail, _ = file_of([("stdout", "c", "F"), ("stderr", TRACE[3], "F")], "cri")
    data = head + between + tail
    out = parse(data, config)
    whole = [row for row in range(len(out)) if out.offsets[row] < len(head)]
    assert [json.loads(out.records[row])["message"] for row in whole] == ["ab", TRACE[0]]
    assert [json.loads(record)["message"] for record in out.records[-2:]] == ["c", TRACE[3]]
    gaps = sum(gap.end - gap.start for gap in out.gaps)
    events = sum(len(row[5]) + 1 for row in rows_of(out))
    assert events + gaps + out.blank_bytes == len(data)


def test_a_gap_behind_the_lines_releases_both_streams():
    data, offsets = file_of([("stdout", "a", "P"), ("stderr", TRACE[0], "F"), ("stdout", "b", "P")], "docker")
    batch = LineBatch(tailed(), 0, data, OBSERVED, gaps=[Gap(len(data), len(data) + 10, "hole")])
    out = FileParser(parsing()).feed(batch)
    assert (out.offsets, out.end) == (offsets[:2], len(data) + 10)


def test_the_event_of_a_torn_last_line_says_so_wherever_it_begins():
    data, _ = file_of([("stdout", "a", "P"), ("stderr", "x", "F"), ("stdout", "b", "P")], "cri")
    out = parse(data[:-1])
    assert out.parse_errors == {0: "unterminated"}


def test_the_order_of_rows_is_that_of_everything_beside_them():
    rows = [("stderr", TRACE[0], "F"), ("stdout", '{"level":"error","m":1}', "F"), ("stdout", '{"a":NaN}', "F")]
    data, offsets = file_of([*rows, ("stderr", TRACE[3], "F")], "docker")
    out = parse(data)
    assert (out.offsets, out.severities) == (offsets[:3], [17, 17, 0])
    assert [error.index for error in out.errors] == [0, 1]
    assert out.parse_errors == {2: "NaN is not JSON"}
    assert columns(out)[5].keys() == {0, 1, 2}


def test_an_object_over_several_lines_is_whole_whatever_the_other_stream_writes_between():
    rows = woven([(text, "F") for text in OBJECT], [("plain", "F")] * 4, [False, True] * 4)
    data, offsets = file_of(rows, "cri")
    out = parse(data)
    assert [out.severities[row] for row in range(len(out))] == [17, 0, 0, 0, 0]
    assert out.offsets[0] == offsets[0]
    assert original_of(out.records[0], out.raws.get(0)).count(b"\n") == len(OBJECT) - 1
    assert '"message":"spread"' in out.records[0].replace(": ", ":")
