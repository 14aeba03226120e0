"""The entries of a journal into events, by the lines of `journalctl -o json`; any bytes and any cut give the same."""

import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.core.event import original_of
from agent.core.model import FileGeneration, Gap, LineBatch
from agent.core.stored import FileInfo, StoredEvent
from agent.parse.journald import JournalParser
from agent.parse.settings import PLAIN

NOW = 1_795_000_100 * 10**9
AT = 1_795_000_000 * 10**6  # µs
FILE = FileGeneration(1, "shop", "journal:shop", 0, 1, 0)
TRACE = 'Traceback (most recent call last):\n  File "/srv/a.py", line 1, in f\n    g()\nValueError: no such order'


def line(message="hello", /, cursor="s=1;i=1", **fields):
    """A line of journalctl; None leaves the message out."""
    entry = {"__CURSOR": cursor, "__REALTIME_TIMESTAMP": str(AT), "PRIORITY": "6", "SYSLOG_IDENTIFIER": "shop"}
    entry |= {} if message is None else {"MESSAGE": message}
    entry |= fields
    return json.dumps({name: value for name, value in entry.items() if value != ""}, separators=(",", ":")).encode()


def parse(*lines, settings=PLAIN, final=True):
    data = b"".join(one + b"\n" for one in lines)
    return JournalParser(settings).feed(LineBatch(FILE, 0, data, NOW, final=final))


def one(*lines, settings=PLAIN):
    """The only event, as readers have it, and its row."""
    out = parse(*lines, settings=settings)
    assert len(out) == 1, out.records
    row = out.row(0, 1, out.offsets[0], number=1, observed=NOW, group=None)
    return StoredEvent(row, FileInfo(1, "shop", FILE.path, {}, JournalParser(settings).profile)), out


def test_an_entry_has_its_fields_under_the_names_of_opentelemetry():
    event, out = one(
        line(
            "order placed", PRIORITY="4", _PID="4711", _HOSTNAME="web1", _SYSTEMD_UNIT="shop.service", _COMM="python3",
            CODE_LINE="12", ORDER="17", _BOOT_ID="b",
        )
    )  # fmt: skip
    assert (event.body, event.logger, event.timestamp, event.severity_number) == ("order placed", "shop", AT * 1000, 13)
    attributes = event.read.attributes(event.fields)
    assert attributes["process.pid"] == 4711
    assert attributes["code.line.number"] == 12
    wanted = {"host.name": "web1", "systemd.unit": "shop.service", "process.executable.name": "python3"}
    assert attributes.items() >= (wanted | {"ORDER": "17", "_BOOT_ID": "b"}).items()
    assert out.loggers == ["shop"]
    assert out.parse_errors == {}


@pytest.mark.parametrize(
    ("priority", "severity"),
    [("0", "FATAL"), ("2", "FATAL"), ("3", "ERROR"), ("4", "WARN"), ("5", "INFO"), ("6", "INFO"), ("7", "DEBUG")],
)
def test_the_priority_is_the_severity(priority, severity):
    from agent.core.event import severity_text

    assert severity_text(one(line(PRIORITY=priority))[0].severity_number) == severity


def test_an_entry_without_a_priority_or_a_name():
    event, _ = one(line(PRIORITY="", SYSLOG_IDENTIFIER="", _COMM="cron"))
    assert (event.severity_number, event.logger) == (0, "cron")


def test_the_instant_is_the_one_that_journalctl_shows():
    assert one(line(_SOURCE_REALTIME_TIMESTAMP=str(AT - 5)))[0].timestamp == (AT - 5) * 1000


@pytest.mark.parametrize("written", ["", "x", "99999999999999999", "9" * 30, str(AT + 2 * 86_400 * 10**6)])
def test_an_instant_that_cannot_be_is_the_reading_time(written):
    event, out = one(line(__REALTIME_TIMESTAMP=written))
    assert event.timestamp == NOW
    assert "timestamp" in out.parse_errors[0]


@pytest.mark.parametrize(
    ("value", "text", "error"),
    [
        (list("größer".encode()), "größer", None),
        ([98, 97, 100, 32, 255], "bad \\xff", "invalid UTF-8 at byte 4"),
        (None, "", None),
        ([], "", None),
        (["a", "b"], "a\nb", None),
        (["a", [255], None], "a\n\\xff\nNone", None),
        (17, "17", None),
        (1.5, "1.5", None),
    ],
)
def test_a_message_may_be_bytes_nothing_or_several(value, text, error):
    event, out = one(line(value))
    assert event.body == text
    assert out.parse_errors.get(0) == error


def test_a_message_that_is_an_object_says_level_instant_and_logger():
    inner = {"ts": "2026-11-18T10:00:00Z", "level": "error", "logger": "pay", "msg": "declined", "user": "ann"}
    event, out = one(line(json.dumps(inner), _PID="3", _SYSTEMD_UNIT="shop.service"))
    assert (event.body, event.logger, event.severity_number) == ("declined", "pay", 17)
    assert event.timestamp == 1_794_996_000 * 10**9
    assert event.fields["user"] == "ann"
    assert event.fields["systemd.unit"] == "shop.service"
    assert event.fields["syslog.identifier"] == "shop"
    assert out.errors[0].message == "declined"
    assert out.loggers == ["pay"]


def test_a_field_of_both_keeps_both_values():
    event, _ = one(line('{"msg":"a","host.name":"inner","process.pid":1}', _HOSTNAME="outer", _PID="2"))
    assert (event.fields["host.name"], event.fields["_HOSTNAME"]) == ("inner", "outer")
    assert (event.fields["process.pid"], event.fields["_PID"]) == (1, "2")


def test_an_object_without_level_and_message_has_those_of_the_entry():
    event, out = one(line('{"user":"ann"}', PRIORITY="3"))
    assert (event.severity_number, event.body) == (17, '{"user":"ann"}')
    assert out.errors[0].message == '{"user":"ann"}'


def test_a_text_head_counts_before_the_entry():
    event, _ = one(line("2026-11-18 10:00:00,123 ERROR shop.db: gone"))
    assert (event.severity_number, event.body, event.logger) == (17, "gone", "shop.db")
    assert event.timestamp == 1_794_996_000_123 * 10**6


def test_a_trace_in_a_message_is_an_exception():
    for message, priority in ((TRACE, "6"), (f"unhandled\n{TRACE}", "3"), (f"ERROR:root:oops\n{TRACE}", "6")):
        event, out = one(line(message, PRIORITY=priority))
        assert event.severity_number == 17
        assert event.fields["exception.type"] == "ValueError"
        assert out.errors[0].exception_message == "no such order"
        assert out.errors[0].stacktrace.startswith("Traceback")
        assert event.original() == line(message, PRIORITY=priority)


def test_a_warning_with_a_trace_stays_one():
    event, out = one(line(f"retrying\n{TRACE}", PRIORITY="4"))
    assert event.severity_number == 13
    assert event.fields["exception.type"] == "ValueError"
    assert out.errors == []


stdout = partial(line, _TRANSPORT="stdout", _STREAM_ID="f00", _PID="7")


def test_a_trace_that_a_service_has_printed_is_one_event():
    lines = [stdout(text) for text in ["starting", *TRACE.split("\n"), "went on"]]
    out = parse(*lines)
    assert [json.loads(record)["message"] for record in out.records] == [
        "starting",
        "ValueError: no such order",
        "went on",
    ]
    assert out.severities == [9, 17, 9]
    raws = [original_of(record, out.raws.get(row)) for row, record in enumerate(out.records)]
    assert b"\n".join(raws) == b"\n".join(lines)


def test_entries_of_others_are_not_joined():
    first, second = TRACE.split("\n")[:2]
    for other in (line(second, _TRANSPORT="stdout", _STREAM_ID="f01"), line(second), stdout(second, _PID="8")):
        assert len(parse(stdout(first), other)) == 2


def test_a_trace_is_held_back_until_it_ends_or_its_time_is_over():
    lines = [stdout(text, cursor=f"s=1;i={number}") for number, text in enumerate(["a", *TRACE.split("\n")])]
    data = b"".join(one + b"\n" for one in lines)
    parser = JournalParser(PLAIN, clock=lambda: 5.0)
    out = parser.feed(LineBatch(FILE, 0, data, NOW, cursor=b"s=1;i=4"))
    assert (len(out), out.end, out.cursor) == (1, len(lines[0]) + 1, b"s=1;i=0")
    assert parser.deadline_s == 7.0
    out = parser.flush()
    assert (len(out), out.end, out.cursor) == (1, len(data), b"s=1;i=4")
    assert parser.deadline_s is None


def test_multiline_start_joins_entries_of_a_stream():
    settings = replace(PLAIN, multiline="start", multiline_start="^BEGIN")
    lines = [stdout(text) for text in ("BEGIN 1", "more", "BEGIN 2")]
    out = parse(*lines, settings=settings)
    assert [json.loads(record)["message"] for record in out.records] == ["BEGIN 1\nmore", "BEGIN 2"]


def test_what_is_to_be_hidden_is_nowhere():
    settings = replace(PLAIN, redact=("password", "_CMDLINE", "process.executable.path"))
    lines = [
        line('{"msg":"a","password":"secret"}'),
        line("login password=secret ok"),
        line(list(b"login password=secret \xff")),
        line("a", _CMDLINE="secret", _EXE="secret", PASSWORD="secret", OTHER="password: secret"),
        stdout(TRACE.replace("no such order", "password=secret")),
    ]
    out = parse(*lines, settings=settings)
    kept = "".join(out.records) + repr(out.raws) + repr(out.errors)
    assert "secret" not in kept
    assert str([115, 101, 99])[1:-1] not in kept
    assert json.loads(out.records[0])["password"] == "[redacted]"
    gap = Gap(0, 5_000, "over_long", b'{"MESSAGE":[1,2')
    assert JournalParser(settings).feed(LineBatch(FILE, 0, b"", NOW, gaps=[gap])).gaps[0].sample == b""


def test_a_plain_entry_is_kept_once():
    """The line comes out of the record; one that a record does not say exactly is kept beside it."""
    lines = [
        line("größer", _PID="17"),
        line("a", _PID="0017"),
        line("a", _PID="٣"),
        line("a", X=[255]),
        line("a", pid="1"),
    ]
    out = parse(*lines)
    assert [original_of(record, out.raws.get(row)) for row, record in enumerate(out.records)] == lines
    # json.dumps escapes what is no ASCII, and journalctl does not.
    assert [isinstance(out.raws[row], int) for row in range(5)] == [False, True, False, False, True]
    assert isinstance(
        parse(json.dumps(json.loads(line("größer")), ensure_ascii=False, separators=(",", ":")).encode()).raws[0], int
    )
    assert isinstance(parse(line("a", message="b")).raws[0], bytes)


@pytest.mark.parametrize(
    "data", [b"Failed to do it", b"[]", b"17", b'{"MESSAGE":', b"\xff\x00", b"", b"{}", b'{"MESSAGE":"\\ud800"}']
)
def test_a_line_that_is_no_entry_is_an_event(data):
    out = parse(data)
    assert len(out) == 1
    assert out.end == len(data) + 1
    assert original_of(out.records[0], out.raws.get(0)) == data


messages = st.one_of(
    st.none(), st.text(max_size=30), st.sampled_from([*TRACE.split("\n"), TRACE, '{"msg":"a"}', "ERROR x"]),
    st.lists(st.integers(0, 255), max_size=9), st.lists(st.one_of(st.none(), st.text(max_size=4)), max_size=3),
)  # fmt: skip
values = st.one_of(
    st.text(max_size=6), st.none(), st.lists(st.integers(-1, 300), max_size=4), st.integers(), st.floats()
)
entries = st.builds(
    lambda message, fields, transport: json.dumps(
        {"MESSAGE": message, "__CURSOR": "c", "_TRANSPORT": transport} | fields
    ).encode(),
    messages,
    st.dictionaries(
        st.sampled_from(["PRIORITY", "_PID", "_COMM", "__REALTIME_TIMESTAMP", "X", "SYSLOG_IDENTIFIER"]), values
    ),
    st.sampled_from(["stdout", "journal"]),
)


def rows(out):
    return list(zip(out.offsets, out.records, out.severities, out.timestamps, strict=True))


@given(
    st.lists(st.one_of(entries, st.binary(max_size=20).filter(lambda data: b"\n" not in data)), max_size=8), st.data()
)
def test_any_lines_cut_anywhere_are_accounted_for(lines, data):
    """The same events as from one batch, and the lines themselves given back."""
    whole = parse(*lines)
    blob = b"".join(one + b"\n" for one in lines)
    assert (
        b"".join(original_of(record, whole.raws.get(row)) + b"\n" for row, record in enumerate(whole.records)) == blob
    )
    assert whole.end == len(blob)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(lines)))))
    parser, place, found = JournalParser(PLAIN), 0, []
    for begin, end in zip([0, *cuts], [*cuts, len(lines)], strict=True):
        part = b"".join(one + b"\n" for one in lines[begin:end])
        out = parser.feed(LineBatch(FILE, place, part, NOW, final=end == len(lines) and begin == (cuts or [0])[-1]))
        place += len(part)
        found += rows(out)
    found += rows(parser.flush())
    assert found == rows(whole)
