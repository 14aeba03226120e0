"""FileParser between batches: holding back, releasing, restarts, learning; and what the cases do not reach."""

from __future__ import annotations

import json
from datetime import UTC
from zoneinfo import ZoneInfo

import msgspec
import pytest

from agent.config import MultilineConfig, SourceConfig
from agent.core.event import original_of
from agent.core.fields import Profile, exact_int, load_record, read_fields, render_template, sql_path
from agent.core.model import Continuation, FileGeneration, Gap, LineBatch
from agent.parse import careful
from agent.parse.decode import FileParser, ParseSettings, join
from agent.parse.instants import timestamps
from agent.parse.instants.bulk import BulkTimestamps
from agent.parse.redact import Redactor
from tests.sources import parsing

OBSERVED = 1_795_327_455_000_000_000
ERROR_LINE = b"2026-11-22 05:39:26 ERROR a.b: failed\n"


def batch(data: bytes, offset: int = 0, **more) -> LineBatch:
    return LineBatch(FileGeneration(1, "s", "/p", 0, 0, 0), offset, data, OBSERVED, **more)


def test_an_error_line_is_held_until_its_deadline():
    parser = FileParser(parsing(), clock=lambda: 100.0)
    out = parser.feed(batch(b"ready\n" + ERROR_LINE))
    assert (len(out), out.end, out.tail_open) == (1, 6, False)
    assert parser.deadline_s == 102.0
    out = parser.flush()
    assert (out.offsets, out.severities, out.end, out.tail_open) == ([6], [17], 6 + len(ERROR_LINE), True)
    assert parser.deadline_s is None
    assert len(parser.flush()) == 0


def test_an_info_line_is_released_at_once():
    parser = FileParser(parsing())
    assert len(parser.feed(batch(b"2026-11-22 05:39:26 INFO a.b: fine\n"))) == 1
    assert parser.deadline_s is None


def test_a_gap_after_the_lines_releases_what_is_held():
    parser = FileParser(parsing())
    end = len(ERROR_LINE)
    out = parser.feed(batch(ERROR_LINE, gaps=[Gap(end, end + 10, "hole")]))
    assert (len(out), out.end, out.tail_open, len(out.gaps)) == (1, end + 10, False, 1)


def test_holes_cut_lines_off():
    """In JSON, in text, in a container's lines; within a trace, which they end; and whatever the length of a line."""
    json_line, text_line = b'{"level":"info","message":"a"}\n', b"2026-11-22 05:39:26 INFO a.b: fine\n"
    wrapped = b"2026-11-22T05:39:26.1Z stdout F whole\n"
    hole = bytes(100)
    data = json_line * 40 + json_line[:9] + hole + json_line + text_line[:22] + hole + text_line + wrapped[:35] + hole
    data += wrapped + ERROR_LINE + b"Traceback (most recent call last):\n  Fil" + bytes(3000)
    data += b'  File "x.py"\n' + hole
    out = FileParser(parsing(max_line_bytes=2000)).feed(batch(data, final=True))
    assert [data[gap.start : gap.end] for gap in out.gaps] == [hole, hole, hole, bytes(3000), hole]
    assert [row for row, why in out.parse_errors.items() if "unterminated" in why] == [40, 42, 44, 46]
    originals = [original_of(record, out.raws.get(row)) for row, record in enumerate(out.records)]
    assert originals[40:42] == [json_line[:9], json_line[:-1]]
    assert originals[42:44] == [text_line[:22], text_line[:-1]]
    assert [data.startswith(line, place) for line, place in zip(originals, out.offsets, strict=True)] == [True] * 48
    assert out.end == len(data)


def test_an_unterminated_line_that_is_too_long_says_nothing_of_the_event_before_it():
    out = FileParser(parsing(max_line_bytes=50)).feed(batch(b'{"level":"info"}\n' + b"x" * 60, final=True))
    assert (out.parse_errors, [gap.reason for gap in out.gaps]) == ({0: "no timestamp"}, ["over_long"])


def test_held_lines_that_are_read_again_are_not_doubled():
    parser = FileParser(parsing())
    parser.feed(batch(ERROR_LINE))
    assert len(parser.feed(batch(ERROR_LINE, final=True))) == 1


def test_held_lines_are_released_when_the_next_batch_lies_elsewhere():
    parser = FileParser(parsing())
    parser.feed(batch(ERROR_LINE))
    out = parser.feed(batch(b"x\n", offset=1000))
    assert out.offsets == [0, 1000]


@pytest.mark.parametrize("restart", [False, True])
def test_a_trace_that_comes_late_joins_the_stored_event(restart):
    parser = FileParser(parsing())
    parser.feed(batch(ERROR_LINE))
    stored = parser.flush()
    if restart:
        parser = FileParser(parsing(), parser.profile)
    trace = b'Traceback (most recent call last):\n  File "a", line 1, in f\n'
    out = parser.feed(batch(trace, len(ERROR_LINE)), tail_open=True)
    assert (len(out), out.tail_open, out.end) == (0, True, len(ERROR_LINE) + len(trace))
    assert out.continuation is not None
    record, raw, error = join(stored.records[0], stored.raws[0], out.continuation)
    again = parser.feed(batch(b"KeyError: 'x'\n2026-11-22 05:39:27 INFO next\n", out.end), tail_open=True)
    assert again.continuation == Continuation(b"KeyError: 'x'")
    assert again.offsets == [out.end + 14]
    record, raw, error = join(record, raw, again.continuation)
    assert original_of(record, raw) == ERROR_LINE + trace + b"KeyError: 'x'"
    assert (error.exception_type, error.exception_message, error.message) == ("KeyError", "'x'", "failed")
    assert error.stacktrace.startswith("Traceback")


def test_lines_elsewhere_in_the_file_do_not_continue_the_stored_event():
    parser = FileParser(parsing())
    parser.feed(batch(ERROR_LINE))
    parser.flush()
    assert parser.feed(batch(b"\tat a.b.C(C.java:1)\n", 5000), tail_open=True).continuation is None


def test_join_of_plain_lines_without_an_error():
    record, raw, error = join('{"message":"a"}', 2, Continuation(b"  b\n\n  c", traces=False))
    assert (load_record(record)["message"], error) == ("a\n  b\n\n  c", None)
    assert original_of(record, raw) == b"a\n  b\n\n  c"


def test_events_are_bounded_in_lines():
    data = ERROR_LINE + b"\tat a.b.C(C.java:1)\n" * 2500
    out = FileParser(parsing()).feed(batch(data, final=True))
    assert [len(original_of(r, out.raws[n]).split(b"\n")) for n, r in enumerate(out.records)] == [1000, 1000, 501]


def test_a_changed_shape_is_detected_anew_and_the_profile_says_so():
    first = b'{"ts":1795325966,"lvl":"info","msg":"a"}\n' * 50
    second = b'{"time":"2026-11-22T05:39:26Z","severity":"warn","message":"b","logger":"x"}\n' * 50
    parser = FileParser(parsing())
    parser.feed(batch(first))
    assert parser.profile_changed
    assert (parser.profile.timestamp, parser.profile.severity) == (("ts",), ("lvl",))
    parser.profile_changed = False
    out = parser.feed(batch(second, len(first)))
    assert set(out.severities) == {13}
    assert parser.profile_changed
    assert (parser.profile.timestamp, parser.profile.logger) == (("time",), ("logger",))
    again = parser.feed(batch(second, len(first) + len(second)))
    assert (again.severities, again.loggers) == (out.severities, out.loggers)


def test_a_profile_survives_its_json():
    parser = FileParser(parsing(fields={"message": "a.b"}))
    parser.feed(batch(b'{"ts":1795325966,"lvl":"info","a":{"b":"m"}}\n'))
    assert Profile.from_json(parser.profile.to_json()) == parser.profile
    assert parser.profile.sql_paths()["message"] == '$."a"."b"'
    assert Profile.from_json("damaged") == Profile()
    assert sql_path(('q"', "ö")) == '$."q\\""."ö"'


def test_records_are_read_with_and_without_a_profile():
    record = {"a.b": "m", "msg": "other", "log": {"level": "info", "x": 1}, "trace": {"id": 7}}
    assert read_fields(record).body == "other"
    fields = read_fields(record, Profile(overrides={"message": ("a.b",)}))
    assert (fields.body, fields.trace_id) == ("m", "7")
    assert fields.attributes(record) == {"msg": "other", "log": {"x": 1}}
    assert read_fields({"message": 5}).body == "5"
    assert render_template("{{{A}}} {B,5:x}", {"A": 1, "B": "b"}) == "{1} b"
    assert load_record("[1]") == {"message": "[1]"}
    assert exact_int("9" * 5000) == "9" * 5000


@pytest.mark.parametrize("depth", [899, 901, 1100, 200_000])
def test_nesting_is_stored_whatever_its_depth(depth):
    line = b'{"timestamp":1795325966,"level":"info","a":' + b"[" * depth + b"]" * depth + b"}"
    for repeat in (1, 40):
        data = (line + b"\n") * repeat if depth < 2000 else line + b"\n"
        out = FileParser(parsing()).feed(batch(data, final=True))
        assert original_of(out.records[0], out.raws.get(0)) == line
        assert out.parse_errors.get(0, "") == ("" if depth == 899 else "nested too deep; no timestamp")


def test_brackets_in_texts_are_no_depth():
    assert not careful.too_deep(b'{"a":"' + b"[" * 2000 + b'\\"[[["}')


def test_a_rebuilt_record_keeps_big_integers_and_names_what_is_odd():
    line = careful.read_object(b'{"a":123456789012345678901234567890,"b":NaN,"c":[1e999,"x"],"b":1,"d":{"e":2}}')
    assert line.error == "NaN is not JSON, duplicate key 'b'"
    assert line.text == '{"a":123456789012345678901234567890,"b":1,"c":["inf","x"],"d":{"e":2}}'
    for text, reason in ((b"[NaN]", "a JSON array"), (b'{"\xff":"\\"', "not JSON")):
        with pytest.raises(careful.NotAnObjectError, match=reason):
            careful.read_object(text)


@pytest.mark.parametrize("key", ["level", "timestamp", "trace_id", "msg"])
@pytest.mark.parametrize("digits", [30, 4000, 5000])
def test_integers_of_any_length_stop_nothing(key, digits):
    line = f'{{"time":1795325966,"level":"error","{key}":{"9" * digits}}}'.encode() + b"\n"
    for data in (line, b'{"time":1795325966,"level":"error","timestamp":7,"msg":"m"}\n' * 40 + line):
        out = FileParser(parsing()).feed(batch(data, final=True))
        assert original_of(out.records[-1], out.raws.get(len(out) - 1)) == line[:-1]


@pytest.mark.parametrize("depth", [300, 480, 850, 980])
def test_deep_values_stop_nothing(depth):
    deep = b"[" * depth + b"]" * depth
    for line in (
        b'{"@t":"2026-11-22T05:39:26Z","@l":"Error","@mt":"{A}","A":' + deep + b"}",
        b'{"level":"error","password":"x","a":' + deep + b"}",
        b'{"level":"error","a":NaN,"b":"\\ud800","c":' + deep + b"}",
        b'{"log":"{\\"log.iostream\\":1,\\"a\\":' + deep + b'}\\n","stream":"stdout","time":"2026-11-22T05:39:26Z"}',
    ):
        out = FileParser(parsing(redact=["password"])).feed(batch(line + b"\n", final=True))
        assert len(out) == 1
        assert b'"x"' not in original_of(out.records[0], out.raws.get(0))


def test_an_escaped_quote_is_no_duplicate_key():
    assert careful.read_object(b'{"a":"\\u0022"}').verbatim


@pytest.mark.parametrize(
    ("value", "usable"),
    [
        ("2026-11-22T05:39:26.5Z", True), ("2026-11-22 05:39:26,123", True), ("2026-11-22T05:39:26-05", True),
        ("2026-11-22 05:39:26", True), ("2026-11-22T05:39:26.123456789+02:00", True), (1795325966, True),
        (1795325966123, True), (1795325966123456, True), (1795325966123456789, True), (1795325966.25, True),
        ("2026-11-22x05:39:26Z", False), ("2026-02-30T05:39:26Z", False), ("2300-01-01T00:00:00Z", False),
        ("short", False), (-5, False), (10**11 - 1, False), (float("inf"), False), (True, False),
        ("2026-11-22T05:39:26Q", False),
    ],
)  # fmt: skip
def test_a_column_of_one_layout(value, usable):
    zone = ZoneInfo("America/New_York")
    found = BulkTimestamps(zone).convert([value] * 5)
    assert found == ([timestamps.parse(value, zone, OBSERVED)] * 5 if usable else None)


def test_columns_that_are_left_to_one_by_one():
    bulk = BulkTimestamps(UTC)
    assert bulk.convert(["2026-11-22T05:39:26Z", "2026-11-22T05:39:2٣Z"]) is None
    assert bulk.convert(["2026-11-22T05:39:26Z", "2026-11-22T05:39+26Z"]) is None
    assert bulk.convert(["2026-11-22T05:39:26.5Z", "2026-11-22T05:39:26._Z"]) is None
    assert bulk.convert([1795325966, 1795325966123]) is None
    assert bulk.convert([1795325966, "1795325966"]) is None


def test_29_february_without_a_year_is_the_last_one():
    assert timestamps.parse("Feb 29 00:00:00", UTC, OBSERVED) == 1_709_164_800 * 10**9
    with pytest.raises(ValueError):  # noqa: PT011 - the reason is the caller's to give
        timestamps.parse("Feb 30 00:00:00", UTC, OBSERVED)
    with pytest.raises(timestamps.OutOfRangeError):
        timestamps.parse("0001-01-01 00:00:00", ZoneInfo("Asia/Tokyo"), OBSERVED)


def test_settings_of_a_source():
    source = SourceConfig(
        name="app",
        include=["/x"],
        fields={"message": "m"},
        multiline=MultilineConfig(start="^x", timeout=0.5),
        max_line=99,
        redact=["a"],
    )
    settings = ParseSettings.from_source(source)
    assert (settings.multiline, settings.multiline_start, settings.multiline_timeout_s) == ("start", "^x", 0.5)
    assert (settings.max_line_bytes, settings.fields, settings.redact) == (99, {"message": "m"}, ("a",))
    settings = ParseSettings.from_source(msgspec.structs.replace(source, multiline="off"))
    assert (settings.multiline, settings.multiline_start) == ("off", None)


def test_settings_and_their_document_are_the_same():
    settings = parsing(max_line_bytes=99, redact=("a",), fields={"message": "m"})
    document = json.loads(json.dumps(settings.document()))
    assert document == {"max_line_bytes": 99, "redact": ["a"], "fields": {"message": "m"}}
    assert ParseSettings.from_document(document) == settings
    with pytest.raises(TypeError):
        ParseSettings.from_document({"colour": "red"})


def test_what_a_document_leaves_out_never_changes():
    """Archives that were written by it mean it."""
    assert msgspec.to_builtins(ParseSettings.from_document({})) == {
        "format": "auto", "fields": {}, "timezone": "UTC", "multiline": "auto", "multiline_start": None,
        "multiline_timeout_s": 2.0, "max_line_bytes": 1_048_576, "redact": (), "patterns": (),
    }  # fmt: skip


def test_redaction_leaves_what_it_does_not_concern():
    redactor = Redactor(["password"])
    record = {"a": [1, {"b": "c"}], "d": None}
    assert redactor.value(record) == (record, False)
    assert redactor.text('x passwords=1 password="a b", y') == "x passwords=1 password=[redacted], y"
    assert redactor.may_apply(b"PassWord")
    assert not redactor.may_apply(b"pass word")


def test_redacted_files_go_the_fast_path_where_no_key_occurs(monkeypatch):
    line = b'{"timestamp":1795325966,"level":"info","msg":"m"}\n'
    monkeypatch.setattr(careful, "read_object", lambda _: pytest.fail("careful path taken"))
    assert len(FileParser(parsing(redact=["password"])).feed(batch(line * 100))) == 100


def test_the_sample_of_a_long_line_is_redacted_too():
    settings = parsing(max_line_bytes=20, redact=["password"])
    out = FileParser(settings).feed(batch(b"password=s3cret " + b"x" * 50 + b"\n"))
    assert b"s3cret" not in out.gaps[0].sample


@pytest.mark.parametrize("lines", [1, 40])
def test_an_error_in_a_files_first_lines_has_the_message_of_the_configured_field(lines):
    parser = FileParser(parsing(fields={"message": "what", "service": "app"}))
    line = b'{"time":1795325966,"level":"error","what":"own","app":"a","message":"x","service":"y","odd":"\\ud800"}\n'
    out = parser.feed(LineBatch(FileGeneration(1, "s", "/p", 0, 0, 0), 0, line * lines, 1))
    assert {(error.message, error.service) for error in out.errors} == {("own", "a")}


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb"])
def test_a_field_may_have_a_name_that_no_compiled_decoder_takes(name):
    parser = FileParser(parsing(fields={"timestamp": name, "severity": name + "level"}))
    line = json.dumps({name: 1795325966, name + "level": "warn"}).encode() + b"\n"
    out = parser.feed(LineBatch(FileGeneration(1, "s", "/p", 0, 0, 0), 0, line * 40, OBSERVED))
    assert (set(out.timestamps), set(out.severities)) == ({1795325966 * 10**9}, {13})
