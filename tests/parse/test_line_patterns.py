"""Patterns of lines: the named ones on their samples, the same rows on every road, an end on every line."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.core.expressions import TimeBudget
from agent.core.expressions.cost import safe_length
from agent.core.fields import load_record
from agent.core.line_patterns import attribute_name, problem_with
from agent.core.model import LineBatch
from agent.core.named_patterns import NAMED
from agent.parse.decode import FileParser, ParseSettings, join
from agent.parse.logredactor import LogRedactor
from agent.parse.patterns import NO_PATTERN, NOT_IN_TIME, LinePatterns
from tests.parse.effort import examples
from tests.parse.test_cases import OBSERVED, iso
from tests.parse.test_twin import check_accounting, check_valid, columns, run_split, tailed
from tests.sources import parsing

LAYOUT = r"^ *(?P<severity>[A-Z]+) \[(?P<thread>[^\]]*)\] (?P<timestamp>\S+) (?P<message>.*)"
ENDLESS = r"^(?P<message>(?:(?:x|xx)+)+)$"
POISON = "x" * 60 + "!"


def with_patterns(*texts, **changes) -> ParseSettings:
    return parsing(format="pattern", patterns=texts, **changes)


def parse(data: bytes, config: ParseSettings):
    return FileParser(config).feed(LineBatch(tailed(), 0, data, OBSERVED, final=True))


# ---------------------------------------------------------------- named ones

# What each sample says: instant (2026-11-22T05:39:26 and this), severity, and how the message begins.
SAMPLES = {
    "postgresql": (".123Z", 17, 'relation "carts"'), "mysql": (".123456Z", 13, "CA certificate"),
    "mariadb": ("T15:39:26Z", 13, "Aborted connection"), "redis": (".123Z", 13, "WARNING Memory"),
    "mongodb": (".123Z", 13, "Error receiving"), "clickhouse": (".123456Z", 17, "Code: 60."),
    "haproxy": (".123Z", 17, "GET /cart"), "haproxy-tcp": (".123Z", 0, "10.0.0.7:51234 ["),
    "nginx-error": ("Z", 17, "connect() failed"), "nginx-access": ("Z", 17, '"GET /cart HTTP/1.1" 502'),
    "apache-error": (".123456Z", 17, "AH00957"), "tomcat": (".123Z", 17, "Failed to"),
    "gunicorn": ("Z", 21, "WORKER TIMEOUT"), "uwsgi": ("Z", 17, "GET /cart"), "celery": (".123Z", 17, "card declined"),
    "airflow": (".123Z", 17, "Task failed"), "python": (".123Z", 17, "card declined"),
    "django": (".123Z", 17, "Internal Server"), "log4j": (".123Z", 17, "card declined"),
    "log4j-level-first": (".123Z", 13, "card declined"), "spring-boot": (".123Z", 17, "card declined"),
    "wildfly": (".123Z", 17, "WFLYCTL0013"), "kafka": (".123Z", 17, "[ReplicaManager"),
    "zookeeper": (".123Z", 13, "Unexpected"), "cassandra": (".123Z", 13, "Read 5000"),
    "elasticsearch": (".123Z", 13, "[gc][42]"), "hadoop": (".123Z", 17, "DatanodeRegistration"),
    "hdfs": ("Z", 13, "Got exception"), "spark": ("Z", 17, "Exception in"), "rabbitmq": (".123456Z", 17,
    "closing AMQP"),
    "consul": (".123Z", 17, "Request error"), "klog": (".123456Z", 17, "Error syncing"),
    "supervisord": (".123Z", 13, "exited: shop"), "php-fpm": ("Z", 13, "server reached"),
    "php": ("Z", 13, "Undefined variable"), "laravel": ("Z", 17, "card declined"),
    "rails": (".123456Z", 17, "ActiveRecord::"), "sidekiq": (".123Z", 13, "fail"), "squid": (".123Z", 17,
    "TCP_MISS/503"),
    "envoy": (".123Z", 17, '"GET /cart HTTP/1.1" 503'), "asterisk": ("Z", 17, "Peer 'ann'"),
    "icinga2": ("T04:39:26Z", 13, "No data"), "unbound": ("Z", 17, "can't bind"), "minecraft": ("Z", 13,
    "Can't keep up"),
}  # fmt: skip
# Layouts of instants that `timestamps.parse` may not know: where it does not, the group at least has the text.
WAITING = {
    "redis", "clickhouse", "haproxy", "haproxy-tcp", "apache-error", "tomcat", "uwsgi", "hdfs", "spark",
    "php-fpm", "php",
}  # fmt: skip


def test_every_named_pattern_has_a_sample_that_is_told():
    assert set(SAMPLES) == set(NAMED)
    assert len(NAMED) >= 25


@pytest.mark.parametrize("name", SAMPLES)
def test_a_named_pattern_reads_its_sample(name):
    rest, severity, message = SAMPLES[name]
    named = NAMED[name]
    assert problem_with(named.text) is None
    out = parse(named.sample.encode() + b"\n", with_patterns(named.text))
    record = load_record(out.records[0])
    assert out.severities == [severity]
    assert record["message"].startswith(message)
    if name not in WAITING or not out.parse_errors:
        instant = "2026-11-22" + (rest if rest[0] == "T" else f"T05:39:26{rest}")
        assert (iso(out.timestamps[0]), out.parse_errors) == (instant, {})
    assert re.search(r"\d\d:\d\d|\d{6}", record["timestamp"])


def test_most_named_patterns_are_linear():
    slow = {name for name, named in NAMED.items() if safe_length(named.text, at_start=True) < 100}
    assert len(slow) <= 8


@pytest.mark.parametrize("name", NAMED)
def test_a_named_pattern_refuses_prose(name):
    out = parse(b"Then the caravan went on through the desert, day after day.\n", with_patterns(NAMED[name].text))
    assert out.parse_errors == {0: NO_PATTERN}


# ---------------------------------------------------------------- the same rows on every road


def test_rows_behind_a_jump_follow_the_event_that_was_held_back():
    parser = FileParser(with_patterns(LAYOUT))
    line = b"ERROR [main] 2026-11-22T05:39:26Z failed\n"
    assert len(parser.feed(LineBatch(tailed(), 0, line, OBSERVED))) == 0
    out = parser.feed(LineBatch(tailed(), 1000, line * 4, OBSERVED, final=True))
    assert out.offsets == [0, *range(1000, 1000 + 4 * len(line), len(line))]


lines = st.one_of(
    st.sampled_from([
        b"ERROR [main] 2026-11-22T05:39:26Z failed", b" INFO [main] 2026-11-22T05:39:26Z fine", b"  INFO [x] y z",
        b"java.lang.IllegalStateException: x", b"\tat a.b.C.d(C.java:12)", b"  more", b"",
        b"Caused by: a.b.CException: y",
        b"Traceback (most recent call last):", b'  File "x.py", line 3, in f', b"ValueError: bad", b"panic: boom",
        b'{"level":"error"}', b"\xff\xfe", b"\0\0\0", b"WARN [\xc3\xb6] 2026-11-22T05:39:26Z \xe2\x80\xa8 x\r",
        b"[1]", b"x" * 200,
    ]),
    st.binary(max_size=20),
)  # fmt: skip
streams = st.lists(lines, max_size=20).map(lambda rows: b"".join(row.replace(b"\n", b" ") + b"\n" for row in rows))


@settings(max_examples=examples(100), deadline=None)
@given(streams, st.lists(st.integers(0, 400), max_size=4), st.sampled_from(["auto", "off"]))
def test_the_rows_are_the_same_wherever_a_batch_ends(data, cuts, multiline):
    config = with_patterns(LAYOUT, r"^(?P<message>\w+ \w+)$", multiline=multiline, max_line_bytes=150)
    whole = run_split(data, [], config)
    assert run_split(data, cuts, config) == whole
    out = parse(data, config)
    check_accounting(data, out)
    check_valid(out)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(lines.filter(lambda line: line.strip() and b"\n" not in line), min_size=2, max_size=8))
def test_the_short_way_of_a_line_alone_gives_the_rows_of_the_long_one(rows):
    """Redaction of what is not there sends each line the long way."""
    data = b"".join(row + b"\n" for row in rows)
    short, long = with_patterns(LAYOUT), with_patterns(LAYOUT, redact=["nowhere"])
    assert columns(parse(data, short)) == columns(parse(data, long))


@settings(max_examples=examples(20), deadline=None)
@given(st.lists(st.tuples(lines, st.integers(0, 60)), max_size=12), st.sampled_from(["UTC", "Europe/Vienna"]))
def test_runs_of_lines_that_fit_give_the_rows_of_the_long_way(rows, timezone):
    """Between other lines, over the size of a run, with instants of one layout and of several."""
    stamps = ("2026-11-22T05:39:26Z", "2026-11-22 05:39:26,5", "2026-10-25 02:30:00", "soon", "2031-01-01T00:00:00Z")
    fitting = [f"WARN [t{n}] {stamps[n % 50 == 0 and n % 5]} message ü {n}".encode() for n in range(620)]
    for number, (row, many) in enumerate(rows):
        fitting[number * 37 : number * 37] = [row.replace(b"\n", b" ")] * (1 + many // 20)
    data = b"\n".join(fitting) + b"\n"
    layout = r"^ *(?P<severity>[A-Z]+) \[(?P<thread__name>[^\]]*)\] (?P<timestamp>\S+(?: \d\S+)?) (?P<message>.*)"
    short = with_patterns(layout, timezone=timezone)
    long = with_patterns(layout, timezone=timezone, redact=["nowhere"])
    assert columns(parse(data, short)) == columns(parse(data, long))


SHAPES = [
    (r"^(?P<message>.*?) (?P<level>[A-Z]+)$",),
    (r"(?P<http__response__status_code>\d{3}) (?P<service>\w*) ?(?P<time>20\S+)?",),
    (r"^(?P<level>[A-Z]*) (?P<logger>\w*)(?: (?P<message>.*))?", r"^(?P<a__b>\d+)(?: (?P<time>\S+))?(?P<msg>.*)"),
    (r"(?P<x>(?:a+)+)(?P<message>.*)b$", r"(?P<message>)(?P<trace_id>[\w-]*)"),
    (r"^(?P<ü>\S+)$", r'(?P<timestamp>\S*) "(?P<message>[^"]*)" ?(?P<rest>.*)'),
]
pieces = st.sampled_from([
    "INFO", "ERROR", "error", "500", "200", "2026-11-22T05:39:26Z", "shop", "x}", '{"level":"error"}', "panic: boom",
    "java.lang.Error: x", '"', '"a"', "ü\\\x7f\u2028", "", "aaaa", "b", "\t\b\x01",
])  # fmt: skip
texts = st.lists(pieces, min_size=1, max_size=4).map(" ".join) | st.text(max_size=8)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.tuples(texts, st.integers(1, 9)), min_size=1, max_size=8), st.sampled_from(SHAPES))
def test_what_many_lines_hold_is_what_each_holds(rows, patterns):
    """Optional and empty groups, messages anywhere or nowhere, several patterns, and letters that JSON escapes."""
    data = "".join(f"{row}\n" * many for row, many in rows).encode("utf-8", "replace")
    assert columns(parse(data, with_patterns(*patterns))) == columns(
        parse(data, with_patterns(*patterns, redact=["nowhere"]))
    )


def test_lines_that_come_late_join_their_event_by_the_pattern():
    config = with_patterns(LAYOUT)
    first, late = b"ERROR [main] 2026-11-22T05:39:26Z failed\n", b"  more\n INFO [main] 2026-11-22T05:39:27Z next\n"
    parser = FileParser(config)
    parser.feed(LineBatch(tailed(), 0, first, OBSERVED))
    stored = parser.flush()
    out = parser.feed(LineBatch(tailed(), len(first), late, OBSERVED, final=True), tail_open=True)
    record, raw, _ = join(stored.records[0], stored.raws[0], out.continuation)
    together = parse(first + late, config)
    assert (record, raw) == (together.records[0], together.raws[0])
    assert out.records == together.records[1:]


# ---------------------------------------------------------------- an end on every line


def test_a_catastrophic_pattern_costs_only_its_lines():
    patterns = LinePatterns([ENDLESS, r"^plain (?P<message>.*)"])
    began = time.process_time()
    for _ in range(300):
        assert patterns.find_head(POISON).error == NOT_IN_TIME
    assert time.process_time() - began < 5
    assert patterns.undecided == 300
    assert patterns.find_head("xxxx").end == 0
    assert patterns.find_head("plain x").end == 6
    assert patterns.find_head("y").error == NO_PATTERN


def test_what_cannot_be_told_in_time_is_hidden():
    patterns = LinePatterns([ENDLESS])
    assert patterns.hidden(POISON, {"message"}) == "[redacted]"
    assert patterns.hidden("xx", {"message"}) == "[redacted]"
    assert patterns.hidden("y", {"message"}) == "y"


_NAMES = ("timestamp", "severity", "message", "logger", "service", "a", "b__c")
_atoms = st.sampled_from([
    r"\S+", r"\w*", ".*", r"\d+", " ", r"\[", r"\]", "x", "[^ ]*", "^", "$", ".*?", "(?=x)", r"\b", "(?i:x)", "é",
    "(?:x|xx)+", "(?:x+)+", r"\s*", "(?:a|)", "x{2,3}", "|",
])  # fmt: skip
patterns_of_all_kinds = st.lists(st.tuples(_atoms, st.booleans(), st.booleans()), min_size=1, max_size=7).map(
    lambda atoms: "".join(
        f"(?P<{name}>{atom}){'?' * optional}" if named or name == "timestamp" else atom
        for (atom, named, optional), name in zip(atoms, _NAMES, strict=False)
    )
)


@settings(max_examples=examples(300), deadline=None)
@given(patterns_of_all_kinds, st.lists(st.text(max_size=40) | st.text(" x[]9é", max_size=80), min_size=1, max_size=5))
def test_no_pattern_and_no_line_raise(text, texts):
    assume(problem_with(text) is None)
    data = b"".join(line.replace("\n", " ").encode("utf-8", "replace") + b"\n" for line in texts)
    out = parse(data, with_patterns(text, multiline="off"))
    check_accounting(data, out)
    check_valid(out)
    patterns = LinePatterns([text])
    for line in (one.replace("\n", " ") for one in texts):
        found = patterns.pieces(line)
        head = patterns.find_head(line)
        assert (found is None) == bool(head.error)
        if found is not None:
            assert all(0 <= piece.start <= piece.end <= len(line) for piece in found[1])


@settings(max_examples=examples(300), deadline=None)
@given(patterns_of_all_kinds | st.text(max_size=30) | st.text("(?P<ab.>)%{IP:x}'\\n", max_size=30))
def test_any_text_is_a_pattern_or_a_problem_with_a_place(text):
    problem = problem_with(text)
    if problem is None:
        assert re.compile(text).groupindex
    else:
        assert problem.key.startswith("SL130")
        assert 1 <= problem.facts.get("at", 1) <= len(text) + 1


@pytest.mark.parametrize(
    ("group", "name"),
    [("a", "a"), ("a_b", "a_b"), ("a__b", "a.b"), ("_a__b_", "_a.b_"), ("__", "__"), ("a___b", "a._b")],
)
def test_two_underscores_are_a_dot(group, name):
    assert attribute_name(group) == name


def test_a_pattern_of_one_megabyte_lines_is_linear_where_it_says_so(monkeypatch):
    monkeypatch.setattr(TimeBudget, "limit_s", lambda *_: pytest.fail("the slow road was taken"))
    text = NAMED["log4j"].text
    assert safe_length(NAMED["tomcat"].text, at_start=True) == float("inf")
    patterns = LinePatterns([NAMED["tomcat"].text])
    assert patterns.find_head("22-Nov-2026 05:39:26.123 SEVERE [main] x " + "y" * 10**6).end == 41
    assert patterns.find_head("22-Nov-2026 05:39:26.123 SEVERE [" + "y" * 10**6).error == NO_PATTERN
    assert text.startswith("^")


# ---------------------------------------------------------------- settings and archives


def test_the_settings_of_an_archive_keep_the_text_of_its_patterns():
    config = with_patterns(LAYOUT, NAMED["redis"].text)
    document = json.loads(json.dumps(config.document()))
    assert document["patterns"] == [LAYOUT, NAMED["redis"].text]
    assert ParseSettings.from_document(document) == config


def test_a_log_is_archived_with_what_its_groups_redact():
    config = with_patterns(r"^(?P<user>\S+) pays by (?P<card>\S+)", redact=["card"])
    data = b"ann pays by 4000\nbob leaves\nann pays by [redacted]\n"
    redactor = LogRedactor(config)
    done = redactor.feed(data) + redactor.finish()
    assert done == b"ann pays by [redacted]\nbob leaves\nann pays by [redacted]\n"
    stored, archived = parse(data, config), parse(done, config)
    assert stored.records == archived.records
    assert "4000" not in repr(stored)
