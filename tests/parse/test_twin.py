"""The fast path and the careful path give the same rows, and every byte of the input is accounted for."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.core.event import original_of
from agent.core.fields import load_record
from agent.core.model import EventBatch, FileGeneration, LineBatch
from agent.parse import fast
from agent.parse.decode import FileParser, ParseSettings, join
from tests.parse.effort import examples
from tests.sources import parsing

OBSERVED = 1_795_327_455_876_000_000
WRITTEN = "2026-11-22T05:39:26.123456Z"


def tailed() -> FileGeneration:
    return FileGeneration(1, "s", "/var/log/app.log", 0, 0, 0)


def columns(out: EventBatch):
    return (
        out.timestamps, out.severities, out.loggers, out.offsets, out.records, out.raws, out.parse_errors, out.errors,
        out.gaps, out.blank_bytes, out.end,
    )  # fmt: skip


def parse_once(data: bytes, parser: FileParser | None = None, offset: int = 0) -> EventBatch:
    parser = parser or FileParser(parsing())
    return parser.feed(LineBatch(tailed(), offset, data, OBSERVED, final=True))


def careful(data: bytes, profile, config=None) -> EventBatch:
    parser = FileParser(config or parsing(), profile)
    parser._bulk = parser._bulk_paths()._replace(runs=None)
    return parser.feed(LineBatch(tailed(), 0, data, OBSERVED, final=True))


def survey_of(out: EventBatch) -> tuple:
    return len(out), min(out.timestamps), max(out.timestamps), Counter(out.severities)


def check_survey(data: bytes, out: EventBatch, profile, config=None) -> None:
    lines = data.split(b"\n")[:-1]
    if all(line[:1] == b"{" and line[-1:] == b"}" for line in lines):
        survey = FileParser(config or parsing(), profile).survey(data, max(map(len, lines)), OBSERVED)
        assert survey is None or survey == survey_of(out)


def check_accounting(data: bytes, out: EventBatch, start: int = 0) -> list[bytes]:
    """Events with their newlines, blank lines and gaps are all bytes, and the events are the bytes at their offsets."""
    originals = [original_of(record, out.raws.get(row)) for row, record in enumerate(out.records)]
    held = 0
    for offset, original in zip(out.offsets, originals, strict=True):
        begin = offset - start
        assert data[begin : begin + len(original)] == original
        held += len(original) + (data[begin + len(original) : begin + len(original) + 1] == b"\n")
    gaps = sum(gap.end - gap.start for gap in out.gaps)
    assert held + out.blank_bytes + gaps == out.end - start
    assert out.offsets == sorted(set(out.offsets))
    return originals


def check_valid(out: EventBatch) -> None:
    with sqlite3.connect(":memory:") as db:
        for record in out.records:
            assert db.execute("SELECT json_valid(?), json_type(?)", (record, record)).fetchone() == (1, "object")
            assert isinstance(load_record(record), dict)
    db.close()


keys = st.sampled_from(
    ["timestamp", "@timestamp", "time", "ts", "@t", "level", "severity", "lvl", "levelno", "logger", "name", "log",
     "log.level", "message", "msg", "event", "record", "instant", "stream", "exc_info", "error", "trace_id", "x", "a.b",
     "level_name", "LogLevel", "reqId", "lineno", "EventId", "t", "s", "c", "target", "fields", "startTime", "category",
     "data", "datetime", "context", "$date", "method", "path", "status", "v", "err", "caller", "MESSAGE", "PRIORITY",
     "resourceLogs", "@level", "levelStr"]
)  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([WRITTEN, "2026-11-22 05:39:26,5", "2026-11-22T05:39:60Z", "1795327456", "", "error", "INFO", "x.y",
                     "ö", "\u2028", "\x00", "40", "Verbose",
                     "E", "D1", "GET", "\x1b[31merror\x1b[0m", "200", 3, 30, 200, 404, 500,
                     1795327456.25, 1795327456789, 10**18]),
    st.text(max_size=8),
)  # fmt: skip
objects = st.dictionaries(
    keys, st.one_of(scalars, st.dictionaries(keys, scalars, max_size=3), st.lists(scalars, max_size=3)), max_size=6
)
usual = st.builds(
    lambda micros, level, logger, rest: {
        **rest, "timestamp": f"2026-11-22T05:39:26.{micros:06d}Z", "level": level, "logger": logger,
    },
    st.integers(0, 999_999),
    st.sampled_from(["info", "error", "WARNING", "debug", 30, 200, "3", "nonsense", "\x1b[31merror\x1b[39m", None]),
    st.sampled_from(["a", "shop.pay", "", None]),
    objects,
)  # fmt: skip


def encode(record: dict, ascii_only=0, gap="") -> bytes:
    return json.dumps(record, ensure_ascii=bool(ascii_only), separators=("," + gap, ":" + gap)).encode(
        "utf-8", "replace"
    )


json_lines = st.builds(encode, st.one_of(usual, usual, objects), st.booleans(), st.sampled_from(["", " "]))


DIALECTS = [
    {"t": {"$date": WRITTEN}, "s": "E", "c": "NETWORK", "msg": "m"},
    {"startTime": WRITTEN, "categoryName": "c", "data": ["a"], "level": {"level": 20000, "levelStr": "INFO"}},
    {"startTime": WRITTEN, "category": "c", "data": "a", "level": "WARN"},
    {"timestamp": WRITTEN, "level": "ERROR", "fields": {"message": "m"}, "target": "a::b"},
    {"timestamp": WRITTEN, "level": "ERROR", "message": "m", "target": "a::b", "line_number": 7},
    {"datetime": WRITTEN, "level": 400, "level_name": "ERROR", "channel": "app", "message": "m"},
    {"time": WRITTEN, "level": 3, "reqId": "x", "remoteAddr": "", "app": "core", "message": "m"},
    {"time": WRITTEN, "level": 40, "msg": "m"},
    {"time": WRITTEN, "level": 40, "msg": "m", "lineno": 7},
    {"time": WRITTEN, "severity": 400, "message": "m"},
    {"start_time": WRITTEN, "method": "GET", "path": "/", "response_code": 503},
    {"ts": 1795327456.25, "caller": "a.go:7", "msg": "m", "err": "x"},
    {"__REALTIME_TIMESTAMP": "1795327456123456", "PRIORITY": "3", "MESSAGE": [109], "_COMM": "x"},
    {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "1795327456123456789"}]}]}]},
]  # fmt: skip
of_dialects = st.builds(
    lambda record, more, less: encode({**{k: v for k, v in record.items() if k != less}, **more}),
    st.sampled_from(DIALECTS),
    st.one_of(st.just({}), st.just({}), objects),
    st.one_of(st.just(""), keys),
)  # fmt: skip


@settings(max_examples=examples(60), deadline=None)
@given(st.sampled_from(DIALECTS), st.lists(st.one_of(json_lines, of_dialects), max_size=6), st.integers(0, 99))
def test_the_records_of_a_library_with_some_of_others_agree(record, others, number):
    lines = [encode(record)] * 40
    for n, other in enumerate(others):
        lines[(number + 7 * n) % 40] = other
    data = b"\n".join(lines) + b"\n"
    parser = FileParser(parsing())
    parser._look_ahead(data)
    out = parse_once(data, FileParser(parsing(), parser.profile))
    assert columns(out) == columns(careful(data, parser.profile))
    check_survey(data, out, parser.profile)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(json_lines, min_size=40, max_size=60), st.sampled_from([b"\n", b"\r\n"]))
def test_fast_and_careful_path_agree(lines, newline):
    data = newline.join(lines) + newline
    parser = FileParser(parsing())
    parser._look_ahead(data)
    profile = parser.profile
    out = parse_once(data, FileParser(parsing(), profile))
    assert columns(out) == columns(careful(data, profile))
    check_survey(data, out, profile)
    check_accounting(data, out)
    check_valid(out)


TIMESTAMPS = [
    "2026-11-22T05:39:26Z", "2026-11-22 05:39:26", "2026-11-22 05:39:26,123", "2026-11-22T05:39:26.123456789+02:00",
    "2026-11-22T05:39:26.1-0500", "2026/11/22 05:39:26.123", "2026-05-22T05:39:26-05", "2026-11-22T05:39:60.5Z",
    "2026-11-22T05:39:26.123456 UTC", 1795327456, 1795327456789, 1795327456789123, 1795327456789123456,
    1795327456.5681832, "1795327456", "1795327456.25", "22/Nov/2026:05:39:26 +0000", "Nov 22 05:39:26",
    {"epochSecond": 1795327456, "nanoOfSecond": 123456789}, None, "", -1, 10**30, "2026-13-22T05:39:26Z",
    "2026-11-22T+5:39:26Z", "2026-11-22T05:39:2_Z", "2026-11-22T05:39:26.12345\u0663Z", "2026-11-22T05:39:26,5Z",
]  # fmt: skip


@pytest.mark.parametrize("key", ["timestamp", "instant"])
@given(st.data())
@settings(max_examples=examples(60), deadline=None)
def test_instants_in_bulk_are_those_one_by_one(key, data):
    """Columns of one layout, of a layout with one stranger, and of any mixture."""
    usual_value = data.draw(st.sampled_from(TIMESTAMPS))
    strangers = data.draw(st.lists(st.tuples(st.integers(0, 39), st.sampled_from(TIMESTAMPS)), max_size=3))
    values = [usual_value] * 40
    if isinstance(usual_value, str) and usual_value.startswith("20"):
        digits = data.draw(st.lists(st.integers(0, 59), min_size=40, max_size=40))
        values = [usual_value[:17] + f"{n:02d}" + usual_value[19:] for n in digits]
    for row, value in strangers:
        values[row] = value
    text = b"".join(encode({key: value, "message": "m"}) + b"\n" for value in values)
    parser = FileParser(parsing(timezone="Europe/Berlin"))
    parser._look_ahead(text)
    if parser.profile.format == "":
        return
    profile = parser.profile
    out = parse_once(text, FileParser(parsing(timezone="Europe/Berlin"), profile))
    assert columns(out) == columns(careful(text, profile, parsing(timezone="Europe/Berlin")))
    check_survey(text, out, profile, parsing(timezone="Europe/Berlin"))


def test_a_usual_chunk_goes_the_fast_path(monkeypatch):
    """Otherwise the twin would prove nothing."""
    data = b"".join(encode({"timestamp": WRITTEN, "level": "info", "n": n}) + b"\n" for n in range(100))
    parser = FileParser(parsing())
    monkeypatch.setattr("agent.parse.careful.read_object", lambda _: pytest.fail("careful path taken"))
    out = parse_once(data, parser)
    assert len(out) == 100
    assert parser.survey(data, 100, OBSERVED) == survey_of(out)


@pytest.mark.parametrize("level", [{}, {"level": 30}, {"level": "info"}])
@pytest.mark.parametrize("lines", range(8))
def test_any_number_of_lines_can_be_surveyed(lines, level):
    """Fewer than a chunk needs are not."""
    data = b"".join(encode({"timestamp": WRITTEN, **level, "n": n}) + b"\n" for n in range(lines))
    usual = b"".join(encode({"timestamp": WRITTEN, **level, "n": n}) + b"\n" for n in range(40))
    parser = FileParser(parsing())
    parser._look_ahead(usual)
    survey = FileParser(parsing(), parser.profile).survey(data, 100, OBSERVED)
    assert (survey is None) == (lines < fast.MIN_LINES)
    assert survey is None or survey == survey_of(careful(data, parser.profile))


def test_one_odd_line_does_not_send_the_chunk_the_careful_path(monkeypatch):
    rows = [encode({"timestamp": WRITTEN, "level": "info", "n": n}) for n in range(1000)]
    rows[500] = b"not JSON"
    calls = []
    real = fast.FastPath.add

    def add(self, data, offset, work):
        done = real(self, data, offset, work)
        calls.append(data.count(b"\n") if done else 0)
        return done

    monkeypatch.setattr(fast.FastPath, "add", add)
    out = parse_once(b"\n".join(rows) + b"\n")
    assert len(out) == 1000
    assert sum(calls) > 900


# --- any bytes, split anywhere

pieces = st.one_of(
    json_lines, st.binary(max_size=30), st.text(max_size=20).map(str.encode),
    st.sampled_from([
        b"", b"", b"\r", b"\0\0\0", b"\0" * 5 + b'{"a":1}', b"\xef\xbb\xbf{}", b"\xff\xfe{\0", b"[1]", b"{}{}",
        b"42", b"{",
        b"2026-11-22 05:39:26,123 ERROR shop.pay: failed", b"2026-11-22 05:39:26 INFO x", b"ERROR:root:no",
        b"Traceback (most recent call last):", b'  File "x.py", line 3, in f', b"    g()", b"ValueError: bad",
        b"During handling of the above exception, another exception occurred:", b"java.lang.IllegalStateException: x",
        b"\tat a.b.C.d(C.java:12)", b"Caused by: a.b.CException: y", b"\t... 3 more", b"panic: boom",
        b"goroutine 1 [running]:",
        b"main.main()", b"\t/app/main.go:7 +0x1d", b"exit status 2", b"/app/x.js:3", b"    at f (/app/x.js:3:4)", b"}",
        b"a.rb:3:in `f': bad (RuntimeError)", b"\tfrom a.rb:7:in `g'", b"x" * 200,
        b"PHP Fatal error:  Uncaught E: no in /a.php:3", b"Stack trace:", b"#0 {main}", b"  thrown in /a.php on line 3",
        b"thread 'main' panicked at a.rs:1:2:", b"stack backtrace:", b"   0: a::b", b"** (E) no", b"Server: a:1 (http)",
        b"    (a 1.0) lib/a.ex:3: A.b/1", b"=ERROR REPORT==== now ===", b"Unhandled exception:",
        b"#0      A.b (dart:c)",
        b"a.swift:1: Fatal error: no", "\u2550\u2550\u2561 EXCEPTION CAUGHT BY X".encode(), ("\u2550" * 40).encode(),
        b"lua: a.lua:1: no", b"stack traceback:", b"\ta.b(1) called at a.pl line 3", b"main.(*A).b", b"\t/a/b.go:3",
        b"A::B (no):", b"  + Exception Group Traceback (most recent call last):", b"  | E: no",
        b"Uncaught E: no in a:3",
        b'{"log":"part ","stream":"stdout","time":"2026-11-22T05:39:26Z"}',
        b'{"log":"end\\n","stream":"stdout","time":"2026-11-22T05:39:26Z"}',
        b"2026-11-22T05:39:26.1Z stderr P first ", b"2026-11-22T05:39:26.2Z stderr F last",
    ]),
    st.sampled_from([
        b"[", b"]", b",", b"],", b'{"a":[', b'{"level":"error",', b'"b": "x",', b'"b": 2', b'  "msg": "m"', b"  {",
        b"  }", b"  },", b"},", b"}", b'"msg":"m"}', b'{"a":1},', b'[{"a":1}', b',{"a":1}', b'{"a":1}]', b'[{"a":1}]',
        b'\x1e{"a":1}', b"\x1e{", b'"b":{', b"\xef\xbb\xbf[", b"{\r", b'"c":1}\r', b"[\r",
        b'{"log":"{\\n","stream":"stdout","time":"2026-11-22T05:39:26Z"}',
        b'{"log":"\\"level\\":3}\\n","stream":"stdout","time":"2026-11-22T05:39:27Z"}',
        b'2026-11-22 05:39:26 INFO {"level":"error","msg":"x"}', b'app: {"time":"2026-11-22T05:39:26Z","a":1}',
        b'x {"a":"\xff"}',
        b'ERROR {x} {"stack":"E: m\\\\n  at f"}', b'2026-11-22T05:39:26.1Z stderr F a {"level":"warn"}',
        b"2026-11-22T05:39:26.1Z stderr F [", b"2026-11-22T05:39:26.1Z stderr F {",
        b'2026-11-22T05:39:26.1Z stderr F "a":1},',
    ]),
)  # fmt: skip
streams = st.lists(pieces, max_size=25).map(lambda lines: b"".join(line.replace(b"\n", b" ") + b"\n" for line in lines))


def run_split(data: bytes, cuts: list[int], config: ParseSettings):
    """Feed whole lines cut into batches, as the tailer would, and store the result as the pipeline would."""
    ends = sorted({data.rfind(b"\n", 0, cut) + 1 for cut in cuts} | {len(data)})
    parser = FileParser(config)
    stored: list[list] = []
    gaps, blanks, tail_open, begin = [], 0, False, 0
    accounted = 0
    for end in ends:
        final = end == len(data)
        if begin == end and not final:
            continue
        batch = LineBatch(tailed(), begin, data[begin:end], OBSERVED, final=final)
        out = parser.feed(batch, tail_open=tail_open)
        continued = 0
        if out.continuation is not None:
            row = stored[-1]
            record, raw, _ = join(row[1], row[2], out.continuation)
            stored[-1] = [row[0], record, raw]
            continued = len(out.continuation.raw) + 1
        before = len(stored)
        stored += [[o, r, out.raws.get(n)] for n, (o, r) in enumerate(zip(out.offsets, out.records, strict=True))]
        gaps += out.gaps
        blanks += out.blank_bytes
        events = sum(len(original_of(r, w)) + 1 for _, r, w in stored[before:])
        assert events + continued + out.blank_bytes + sum(g.end - g.start for g in out.gaps) == out.end - accounted
        accounted = out.end
        tail_open = out.tail_open
        begin = end
    return stored, gaps, blanks


configs = st.sampled_from(
    [
        parsing(),
        parsing(max_line_bytes=100),
        parsing(multiline="off"),
        parsing(multiline="start", multiline_start=r"^\S"),
    ]
)


@settings(max_examples=examples(150), deadline=None)
@given(streams, st.lists(st.integers(0, 2000), max_size=6), configs)
def test_events_do_not_depend_on_where_batches_end(data, cuts, config):
    whole = run_split(data, [], config)
    assert run_split(data, cuts, config) == whole


@settings(max_examples=examples(150), deadline=None)
@given(st.one_of(streams, st.binary(max_size=400), streams.map(lambda d: d[:-1])))
@example(b"{}\n" * 7 + b"Traceback (most recent call last):\n\r")
def test_any_bytes_are_kept(data):
    out = parse_once(data)
    check_accounting(data, out)
    check_valid(out)
    assert out.end == len(data)
