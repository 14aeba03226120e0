"""Events in every form: lossless for machines, harmless for terminals."""

import csv
import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core import event
from agent.core.fields import Profile, decode_record, load_record, read_fields
from agent.core.groups import GroupTraits
from agent.core.stored import FileInfo, StoredEvent
from agent.core.text import escape, escape_json
from agent.query.fragments import as_text, attributes, encode, field, flattened
from agent.query.render import FORMS, Output, logfmt_pair
from tests.query.stores import BASE, EventRow, FileRow

UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
NASTY = "BEFORE\x1b]0;owned\x07\x1b[2J\x9b31m\x08\r\u202eAFTER\x7f\u2066\u2028"


def stored(record, file=None, **changes):
    row = EventRow(record, **changes)
    text = row.record if isinstance(row.record, str) else json.dumps(row.record)
    file = file or FileRow("shop", "/var/log/shop.log", {"service.name": "shop-svc", "team": "a"})
    info = FileInfo(1, file.source, file.path, file.resource, file.profile, (1, 1, 0), 0)
    columns = (7, row.timestamp, BASE, row.severity, 1, row.offset, row.group, text, row.raw, row.parse_error)
    return StoredEvent(event.EventRow(*columns), info)


def shown(event, form, **settings):
    return Output(form, **settings).renderer()(event)


LINE = (
    '{"timestamp":"2026-11-22T05:00:00Z","level":"error","message":"pay \\"x\\"","logger":"shop.pay","trace_id":"0af7",'
    '"span_id":"b7","big":9007199254740993,"over":1e999,"fine":0.1000000000000000055511151231257827,'
    '"http":{"status":502, "path":"/p"},"tags":["a",1.50],"none":null,"service":"own"}'
)


def test_json_has_opentelemetrys_names_and_loses_nothing():
    """Numbers come out as they were written, at any depth."""
    text = shown(stored(LINE, severity=17, group=3, offset=9), "json").decode()
    document = json.loads(text)
    assert list(document) == [
        "id", "timestamp", "observed_timestamp", "severity_number", "severity_text", "body", "attributes", "resource",
        "trace_id", "span_id", "source", "path", "offset", "group",
    ]  # fmt: skip
    assert '"big":9007199254740993' in text
    assert '"over":1e999' in text
    assert '"fine":0.1000000000000000055511151231257827' in text
    assert document["attributes"]["http"] == {"status": 502, "path": "/p"}
    assert set(document["attributes"]) == {"logger", "big", "over", "fine", "http", "tags", "none", "service"}
    assert document["resource"] == {"service.name": "own", "team": "a"}
    assert (document["body"], document["trace_id"], document["span_id"]) == ('pay "x"', "0af7", "b7")
    assert document["timestamp"].endswith(".000000000Z")


def test_parse_error_stands_only_where_there_is_one():
    """It is the one key that is not always there."""
    assert "parse_error" not in json.loads(shown(stored({"message": "x"}), "json"))
    assert json.loads(shown(stored({"message": "x"}, parse_error="no JSON"), "json"))["parse_error"] == "no JSON"


def test_nested_fields_that_are_columns_are_taken_out():
    """An object that becomes empty goes, one that was empty stays; what is beside them is kept as written."""
    profile = Profile(severity=("log", "level"), message=("m", "text"), trace_id=("trace", "id"))
    line = '{"log":{"level":"info","n":1e999},"m":{"text":"hi"},"trace":{"id":"0a"},"empty":{},"log.level":"x"}'
    event = stored(line, FileRow(profile=profile))
    assert event.body == "hi"
    text = encode(attributes(event)).decode()
    assert '"n":1e999' in text
    assert json.loads(text.replace("1e999", "1")) == {"log": {"n": 1}, "empty": {}, "log.level": "x"}


def test_lone_surrogates_come_out_as_escapes():
    """Valid JSON in, valid JSON out, big numbers beside them still exact."""
    event = stored('{"message":"a\\ud800","k\\udc00":{"x":1e999,"n":12345678901234567890123},"l":[1.10,true,null]}')
    text = shown(event, "json").decode()
    assert '"n":12345678901234567890123' in text
    assert '"x":1e999' in text
    assert "1.10" in text
    assert json.loads(text)["body"] == "a\ud800"
    for form in FORMS:
        assert shown(event, form)


def test_fields_print_only_these_as_named():
    """In json null where the event has none, in csv an empty cell, elsewhere nothing."""
    event = stored(LINE, severity=17, group=3)
    names = ("message", "http.status", "over", "severity", "team", "missing", "group", "timestamp", "id", "parse_error")
    text = shown(event, "json", fields=names).decode()
    assert '"over":1e999' in text
    document = json.loads(text.replace("1e999", "0"))
    assert list(document) == list(names)
    assert (document["http.status"], document["severity"], document["team"]) == (502, "ERROR", "a")
    assert document["missing"] is None
    assert document["parse_error"] is None
    assert document["id"] == 7
    row = next(csv.reader(io.StringIO(shown(event, "csv", fields=names).decode())))
    assert row[:6] == ['pay "x"', "502", "1e999", "ERROR", "a", ""]
    assert shown(event, "logfmt", fields=("message", "missing", "tags.1")) == b'message="pay \\"x\\"" tags.1=1.50\n'
    assert shown(event, "short", fields=("http.status", "missing")) == b"http.status=502\n"
    assert shown(event, "short", fields=("severity", "message", "source")) == b'ERROR pay "x" source=shop\n'
    assert shown(event, "short", fields=("missing",)) == b"-\n"
    assert re.fullmatch(
        rb"2026-09-21 \d\d:\d\d:20.000 ERROR\n", shown(event, "short", fields=("timestamp", "severity"))
    )
    verbose = shown(event, "verbose", fields=("http.status",)).decode()
    assert "http.status: 502" in verbose
    assert "big" not in verbose
    assert Output("csv", names).header().decode().strip() == ",".join(names)
    assert Output("json").header() == b""


def test_paths_reach_into_lists():
    """An index names an element; without one every element that has the field."""
    event = stored('{"items":[{"id":1.0},{"id":"x"},5],"tags":["a"]}')
    assert field(event, "items.id", {}) == b'[1.0,"x"]'
    assert field(event, "items.1.id", {}) == b'"x"'
    assert field(event, "items.9.id", {}) is None
    assert field(event, "items.none", {}) is None
    assert field(event, "tags.0", {}) == b'"a"'
    assert field(event, "tags.0.x", {}) is None


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (None, b'{"message":"\xc3\xb6"}\n'),
        (1, b'{"message":"\xc3\xb6"}\r\n'),
        (2, b"\xc3\xb6\n"),
        (b"\xff\x00\nat x", b"\xff\x00\nat x\n"),
    ],
)
def test_raw_is_the_line(raw, wanted):
    """Byte for byte, however it is kept."""
    assert shown(stored('{"message":"ö"}', raw=raw), "raw") == wanted


def test_csv_prefixes_formulas_only_when_asked():
    """And then texts, never numbers."""
    event = stored({"message": "=1+1", "n": -5, "t": "\tx"})
    names = ("message", "n", "t")
    assert shown(event, "csv", fields=names) == b"=1+1,-5,\tx\n"
    assert shown(event, "csv", fields=names, csv_safe=True) == b"'=1+1,-5,'\tx\n"


def test_logfmt_quotes_what_needs_it():
    """Blanks, quotes, equals signs, controls, nothing at all; names lose what would end them."""
    assert logfmt_pair("a", "b") == "a=b"
    assert logfmt_pair("a", "") == 'a=""'
    assert logfmt_pair("a", 'x "y" \\ ö=1\n\x1b') == 'a="x \\"y\\" \\\\ ö=1\\n\\x1b"'
    assert logfmt_pair('a b"=\x1b', "1") == "a_b__\\x1b=1"
    assert logfmt_pair("", "1") == "_=1"
    text = shown(stored(LINE, severity=17), "logfmt").decode()
    assert "http.status=502" in text
    assert "none=null" in text
    assert 'tags="[\\"a\\",1.50]"' in text


def test_short_is_one_line_for_people():
    """The first line of a message, how many follow, and no wall of attributes."""
    fields = {f"k{n}": "v" * 300 for n in range(40)}
    event = stored({"message": "first\nsecond\nthird", "stack": "a\nb", "logger": "l", **fields}, severity=21)
    text = shown(event, "short").decode()
    assert text.count("\n") == 1
    assert "FATAL shop: first (+2 lines) logger=l" in text
    assert "stack" not in text
    assert len(text) < 2_000
    assert "…" in text
    unknown = shown(stored({"service": "own", "a": 1}, severity=0), "short").decode()
    assert " -     shop: " in unknown
    assert "service=own" in unknown


def test_short_names_the_service_of_a_line_that_differs():
    """Found under another name, it is shown once; the logger likewise."""
    event = stored({"message": "x", "serviceName": "other", "logger_name": "lg"})
    text = shown(event, "short").decode()
    assert "logger=lg service=other" in text
    assert text.count("other") == 1
    assert text.count("lg") == 1


LOGURU = {
    "text": "2026-11-22 05:00:00.000 | ERROR | shop.pay:pay:7 - cannot pay\n",
    "record": {
        "elapsed": {"repr": "0:00:01.5", "seconds": 1.5}, "exception": None, "extra": {"order": 7, "tags": []},
        "file": {"name": "pay.py", "path": "/srv/pay.py"}, "function": "pay",
        "level": {"icon": "X", "name": "ERROR", "no": 40}, "line": 7, "message": "cannot pay", "module": "pay",
        "name": "shop.pay", "process": {"id": 1, "name": "Main"}, "thread": {"id": 2, "name": "Main"},
        "time": {"repr": "2026-11-22 05:00:00", "timestamp": 1795323600.0},
    },
}  # fmt: skip


# Lines as libraries write them by themselves, with one field of the application.
PINO = {
    "level": 30, "time": 1795323600000, "pid": 7, "hostname": "web1", "v": 0, "user": "ann", "msg": "done",
}  # fmt: skip
LOG_RECORD = {
    "message": "cannot pay", "msg": "cannot pay", "args": [], "levelname": "ERROR", "levelno": 40, "name": "shop",
    "pathname": "/srv/pay.py", "filename": "pay.py", "module": "pay", "lineno": 7, "funcName": "pay",
    "created": 1795323600.1, "msecs": 100.0, "relativeCreated": 52.3, "thread": 1, "threadName": "MainThread",
    "processName": "MainProcess", "process": 12, "taskName": None, "user": "ann",
}  # fmt: skip
ECS = {
    "@timestamp": "2026-11-22T05:00:00Z", "ecs": {"version": "1.6.0"}, "message": "cannot pay", "user": "ann",
    "log": {"level": "error", "logger": "shop", "original": "cannot pay",
            "origin": {"file": {"name": "pay.py", "line": 7}, "function": "pay"}},
    "process": {"name": "MainProcess", "pid": 1, "thread": {"id": 1, "name": "MainThread"}},
}  # fmt: skip
SERILOG = {
    "@t": "2026-11-22T05:00:00Z", "@mt": "took {Took:0.0} ms", "@m": "took 1.5 ms", "@r": ["1.5"], "@i": "a1b2c3d4",
    "@l": "Error", "SourceContext": "Shop.Pay", "Took": 1.5,
}  # fmt: skip
LOG4J = {
    "instant": {"epochSecond": 1795323600, "nanoOfSecond": 0}, "level": "ERROR", "loggerName": "shop.Pay",
    "message": "cannot pay", "thread": "main", "threadId": 1, "threadPriority": 5, "endOfBatch": False,
    "loggerFqcn": "org.apache.logging.log4j.spi.AbstractLogger",
    "thrown": {"commonElementCount": 0, "name": "java.io.IOException", "message": "gone", "localizedMessage": "gone",
               "extendedStackTrace": [{"class": "shop.Pay", "method": "pay", "file": "Pay.java", "line": 7}]},
}  # fmt: skip
TRACING = {
    "timestamp": "2026-11-22T05:00:00Z", "level": "ERROR", "fields": {"message": "cannot pay", "error": "refused"},
    "target": "shop::pay", "filename": "src/pay.rs", "line_number": 7, "threadId": "ThreadId(1)",
    "span": {"name": "request", "id": 7}, "spans": [{"name": "request", "id": 7}],
}  # fmt: skip
STRUCTLOG = {
    "event": "cannot pay", "level": "error", "user": "ann",
    "exception": [{"exc_type": "OSError", "exc_value": "gone", "is_cause": False, "frames": [{"lineno": 7}]}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("record", "end"),
    [
        (LOGURU, "shop: cannot pay logger=shop.pay record.extra.order=7\n"),
        (PINO, "shop: done user=ann\n"),
        (LOG_RECORD, "shop: cannot pay logger=shop user=ann\n"),
        (ECS, "shop: cannot pay logger=shop user=ann\n"),
        (SERILOG, "shop: took 1.5 ms logger=Shop.Pay Took=1.5\n"),
        (LOG4J, "shop: cannot pay: java.io.IOException: gone logger=shop.Pay thread=main\n"),
        (TRACING, "shop: cannot pay fields.error=refused logger=shop::pay span.name=request\n"),
        (STRUCTLOG, "shop: cannot pay: OSError: gone user=ann\n"),
        ({"message": "m", "pid": 7, "v": 1, "filename": "a"}, "shop: m pid=7 v=1 filename=a\n"),
        ({"msg": "m", **{f"k{n}": n for n in range(12)}, "err": "refused"},
         f"shop: m err=refused {' '.join(f'k{n}={n}' for n in range(11))}\n"),
        ({"message": "m", "a": None, "b": "", "c": [], "d": {}, "e": 0}, "shop: m e=0\n"),
        ({"message": "m", "took": {"repr": "1 s", "s": 1}, "odd.repr": "x"}, "shop: m took.s=1 odd.repr=x\n"),
        ({"message": "m", "@version": "1", "level_value": 40000, "n": 1}, "shop: m n=1\n"),
        ({"message": "m", "record": {"id": 5, "exception": None}}, "shop: m record.id=5\n"),
    ],
)  # fmt: skip
def test_short_leaves_out_what_says_nothing(record, end):
    """Nulls, what is empty, another form of what stands beside, and what libraries wrap around each line."""
    assert shown(stored(record, severity=17), "short").decode().endswith(end)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"exception.type": "KeyError", "exception.message": "'x'"}, "unhandled exception: KeyError: 'x'"),
        ({"exception": {"type": "shop.PayError", "message": "no\nmore"}}, "unhandled exception: shop.PayError: no"),
        ({"stack_trace": 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nOSError: gone'},
         "unhandled exception: OSError: gone"),
        ({"message": "KeyError: 'x'", "exception.type": "KeyError", "exception.message": "'x'"}, "KeyError: 'x'"),
        ({"message": "cannot: 'x'", "exception.type": "KeyError", "exception.message": "'x'"}, "cannot: 'x': KeyError"),
        ({"exception.type": "E\x1b[2J", "exception.message": "y" * 900},
         "unhandled exception: E\\x1b[2J: " + "y" * 292 + "…"),
        ({"error": "refused"}, "unhandled exception error=refused"),
    ],
)  # fmt: skip
def test_short_says_what_broke(record, said):
    """Type and message of the exception, where the message does not, and not once more as fields."""
    record = {"message": "unhandled exception", **record}
    assert shown(stored(record, severity=17), "short").decode().partition("shop: ")[2] == f"{said}\n"
    assert "PayError: no" not in shown(stored(record, severity=9), "short").decode(), "of errors alone"


def test_verbose_shows_everything_with_its_lines():
    """A stack trace keeps its lines, each behind a bar."""
    event = stored(
        {"message": "boom", "exception": {"stacktrace": "Traceback\n\tat x\nEnd\n"}, "trace_id": "0af7"},
        severity=17, group=3, offset=12, parse_error="why",
    )  # fmt: skip
    output = Output("verbose")
    output.categories = {3: GroupTraits("timeout")}
    text = output.renderer()(event).decode()
    for part in ("message: boom", "      | Traceback\n      | \tat x\n      | End\n", "category: timeout", "group: 3",
                 "trace_id: 0af7", "service: shop-svc", "team: a", "place: /var/log/shop.log, byte 12",
                 "parse_error: why", "id: 7"):  # fmt: skip
        assert part in text
    assert text.endswith("\n\n")


def test_colour_is_only_there_when_asked_for():
    """And the text is the same without it."""
    event = stored(LINE, severity=17)
    for form in ("short", "verbose"):
        plain, coloured = shown(event, form), shown(event, form, color=True)
        assert b"\x1b" not in plain
        assert re.sub(rb"\x1b\[[0-9;]*m", b"", coloured) == plain
        assert coloured != plain


HOSTILE = st.text(
    st.characters(codec="utf-8") | st.sampled_from("\x00\x1b\x07\x7f\x9b\x85\u2028\u202e\u2066\n\r\t"), max_size=30
)


@settings(max_examples=200, deadline=None)
@given(message=HOSTILE, key=HOSTILE, value=HOSTILE, source=HOSTILE)
def test_no_form_lets_control_characters_onto_a_terminal(message, key, value, source):
    """Whatever a line, a name or a label holds; the forms for people are as safe in a pipe."""
    record = {"message": message + NASTY, key: value, f"x{key}": {key + NASTY: value}}
    event = stored(record, FileRow(source, "/p" + NASTY, {key: value}), parse_error=NASTY)
    for form in FORMS:
        for fields in ((), (f"x{key}", "message", "path")):
            text = shown(event, form, fields=fields, terminal=True).decode()
            assert not UNSAFE.search(text), form
            if form in ("short", "logfmt"):
                assert len(text.splitlines()) == 1
            if form == "json":
                json.loads(text)
    for form in ("short", "verbose", "logfmt"):
        assert not UNSAFE.search(shown(event, form).decode())
    assert json.loads(shown(event, "json"))["body"] == event.body


def test_machines_get_what_was_written_through_a_pipe():
    """Escapes in json, csv and raw would change the data."""
    event = stored({"message": NASTY})
    assert json.loads(shown(event, "json"))["body"] == NASTY
    assert NASTY.encode() in shown(event, "csv", fields=("message",))
    assert escape("a\tb\n", "\t") == "a\tb\\n"
    assert json.loads(escape_json('"\x7f\u2028"')) == "\x7f\u2028"


@given(st.dictionaries(st.text(max_size=5), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8,
)))  # fmt: skip
def test_attributes_are_the_record_without_its_columns(record):
    """What the fragments give, decoded, is what the profile takes away from the decoded record."""
    event = stored(json.dumps(record))
    assert json.loads(encode(attributes(event))) == read_fields(record).attributes(record)
    assert decode_record(event.record) == record
    assert all(isinstance(text, str) for _, text in flattened(event))


def test_odd_records_decode():
    """Numbers that a double cannot hold, integers of any length, duplicate keys, no object at all."""
    assert decode_record('{"a":1e999}')["a"] == float("inf")
    assert decode_record('{"a":' + "9" * 5_000 + "}")["a"] == "9" * 5_000
    assert decode_record('{"a":1,"a":2}') == {"a": 2} == load_record('{"a":1,"a":2}')
    assert decode_record("[1]") == {"message": "[1]"}
    assert as_text(None) == as_text(b"null") == ""


def test_the_logger_is_where_the_profile_says():
    """A configured path comes first, then the detected one, then the known names."""
    line = {"message": "x", "logger": "known", "where": {"mod": "found"}, "own": "configured"}
    detected = Profile(logger=("where", "mod"))
    assert stored(line).logger == "known"
    assert stored(line, FileRow(profile=detected)).logger == "found"
    assert stored({"logger": "known", "where": {"mod": 5}}, FileRow(profile=detected)).logger == "known"
    configured = Profile(logger=("where", "mod"), overrides={"logger": ("own",)})
    assert stored(line, FileRow(profile=configured)).logger == "configured"
