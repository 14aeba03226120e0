"""Whatever keeps the events, every question has the same answer in the same order: that of looking at each event.

The engines, and how to add one, are in `conformance`.
"""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from itertools import count, islice, takewhile

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agent.core.errors import UsageError
from agent.core.groups import GroupFilter
from agent.core.stored import StoredEvent
from agent.core.values import text_of
from agent.query.aggregate import buckets
from agent.query.groups import describe_group
from agent.query.language import Grouping, Query, Selection, Term, parse_query
from agent.query.searched import decoded_text
from tests.needs import needs
from tests.query.cases import queries_of
from tests.query.conformance import ENGINES, FLEETS, ListEngine, made_by
from tests.query.dialects import dialect_line, json_in_text, several_lines
from tests.query.tiers import OBSERVED, small_frames

EVERYTHING = Selection(Query())
SECOND = 10**9
TRACE_IDS = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7aaaaaaaaaaaaaaaa"]
INSTANTS = [f"2026-11-18T10:0{minute}:{second:02d}.5Z" for minute in range(4) for second in (0, 30)]
TEXTS = st.one_of(
    st.text('aAbkKöÖé7 "\\/{:\u212a\u2028\n\t\U0001f600', max_size=10),
    st.sampled_from(["order 17 failed", "Order 18 failed", "disk full", "größer", "x" * 40, *TRACE_IDS]),
    st.sampled_from(["password=hunter2 and more", "see password: a, b"]),
)
NUMBERS = st.sampled_from([0, 1, 1.0, -1.5, 1e2, 1e30, 100, 2**53 + 1, 2**70, True, False, None, [1, 2.0, "a, b"]])
FIELDS = ["message", "level", "logger", "service", "trace_id", "x", "n", "password", "http", "@mt"]


@st.composite
def json_line(draw) -> bytes:
    record: dict = {}
    if draw(st.integers(0, 9)):
        record["timestamp"] = draw(st.sampled_from([*INSTANTS, *INSTANTS, "yesterday", 5]))
    record["level"] = draw(st.sampled_from(["info", "warn", "error", "error", "FATAL", "debug", 30, "odd"]))
    record["message"] = draw(TEXTS)
    for name in draw(st.lists(st.sampled_from(FIELDS[2:]), max_size=4, unique=True)):
        record[name] = draw(st.sampled_from(TRACE_IDS) if name == "trace_id" else st.one_of(TEXTS, NUMBERS))
        if name == "@mt":
            record[name] = "order {n} and {x}"
            del record["message"]
        if name == "http":
            record[name] = {"status": draw(NUMBERS), "path": draw(TEXTS)}
    if not draw(st.integers(0, 12)):
        record["message"] = "y" * 310  # longer than a line may be
    line = json.dumps(record, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if not draw(st.integers(0, 8)):
        # No key that comes twice: whether that is noticed depends on how many lines are read at once (docs/formats.md).
        line = line[:-1] + draw(st.sampled_from([b',"n":NaN}', b', "x": "\\ud800"}', b"", b" }"]))
    return line


TEXT_LINES = st.one_of(
    st.sampled_from(
        [
            b"",
            b"   ",
            b"plain text",
            b"invalid \xff byte \xc3",
            b"2026-11-18 10:01:00 ERROR shop.cart: order 17 failed",
            b"Nov 18 10:01:30 web1 cron[7]: no year",
            b"Dec 18 10:01:30 web1 cron[7]: no year either",
            b"2026-11-18 10:02:30,500 INFO shop: gr\xc3\xb6\xc3\x9fer",
            b"Traceback (most recent call last):",
            b'  File "shop/cart.py", line 7, in add',
            b"    raise KeyError(1)",
            b"KeyError: 1",
            b"\tat com.example.Main.run(Main.java:5)",
            b"z" * 320,
            b"{",
            b"{no object}",
            b"null",
            b"I1118 10:01:30.123456   17 server.go:42] up",
            b"\x1b[2m2026-11-18T10:01:30Z\x1b[0m \x1b[31mERROR\x1b[0m \x1b[36mnotificationservice\x1b[0m: lost",
            b"[1]",
        ]
    ),
    TEXTS.map(lambda text: text.replace("\n", " ").encode()),
)


@st.composite
def format_line(draw) -> bytes:
    """A line of which a format understands parts, which are in the record by themselves, or in other words."""
    text = draw(TEXTS).replace("\n", " ")
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    clf = "18/Nov/2026:10:02:30 +0000"
    number, level = draw(st.integers(0, 700)), draw(st.sampled_from(["info", "error", "warn"]))
    return draw(
        st.sampled_from(
            [
                f"Nov 18 10:02:00 web1 sshd[{number}]: {text}",
                f"<{number}>Nov 18 10:02:00 Web1 app: {level}: {text}",
                f"2026-11-18T10:01:30.5+00:00 web1 app[{number}]: {text}",
                f'<{number % 192}>1 2026-11-18T10:01:30Z web1 app {number} ID47 [a@1 k="{quoted}" K="7"][b@1] {text}',
                f'10.0.0.1 - a b [{clf}] "GET /a/{number}?x=7 HTTP/1.1" {number:03} 7 "-" "{quoted}"',
                f'shop:443 ::1 - - [{clf}] "{quoted}" 500 - "{quoted}" "-" "-" 0.0{number} {number}ms',
                f'ts=2026-11-18T10:03:00.5Z level={level} msg="{quoted}" n={number} x= Bare user="a b"',
            ]
        )
    ).encode()


OTHER_JSON = dialect_line(TEXTS) | several_lines(TEXTS) | json_in_text(TEXTS)
ENDS = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n"])


@st.composite
def docker_log(draw) -> bytes:
    lines = []
    for line in draw(st.lists(json_line() | TEXT_LINES | format_line() | OTHER_JSON, max_size=8)):
        text = line.decode(errors="replace") + draw(st.sampled_from(["\n", "\n", ""]))
        row = {
            "log": text,
            "stream": draw(st.sampled_from(["stdout", "stderr"])),
            "time": draw(st.sampled_from(INSTANTS)),
        }
        lines.append(json.dumps(row).encode() + b"\n")
    return b"".join(lines)


@st.composite
def plain_log(draw) -> bytes:
    kinds = draw(
        st.sampled_from(
            [
                json_line(),
                json_line(),
                TEXT_LINES,
                format_line(),
                json_line() | TEXT_LINES,
                TEXT_LINES | format_line(),
                dialect_line(TEXTS),
                json_line() | OTHER_JSON,
            ]
        )
    )
    lines = draw(st.lists(st.tuples(kinds, ENDS), max_size=14))
    data = b"".join(line + end for line, end in lines)
    return data[: len(data) - draw(st.sampled_from([0, 0, 1, 2]))]


WORDS = st.one_of(
    TEXTS.filter(bool),
    st.sampled_from(["error", "shop", "xff", "message", "failed", "Order", "level", "7"]),
    st.sampled_from(
        [
            "web1 sshd[",
            "sshd[7",
            "Web1",
            "GET /a",
            "auth",
            '[a@1 k="',
            "0.0",
            "HTTP/1.1",
            "host.name",
            "true",
            "code.file.path",
            "notificationservice",
        ]
    ),
    st.sampled_from(["log.prefix", "embedded", "logRecords", "GET /", "n=", "second", "app", "password"]),
)
VALUES = st.one_of(
    WORDS,
    st.sampled_from(["1", "100", "true", "null", "error", "2", "unknown", "app", "shop", "stdout", "new", "ongoing"]),
)
TERM_FIELDS = [
    *FIELDS,
    "log.prefix",
    "embedded.level",
    "method",
    "body",
    "http.status",
    "http.path",
    "severity",
    "source",
    "path",
    "group",
    "category",
    "state",
    "offset",
    "attributes.x",
    "attributes.http.path",
    "attributes.service",
]
TERMS = st.one_of(
    st.builds(lambda text, negated: Term(None, "", text, negated), WORDS, st.booleans()),
    st.builds(lambda text: Term(None, "", text), WORDS),
    st.builds(Term, st.sampled_from(TERM_FIELDS), st.sampled_from(["=", "=", "!=", ">", "<=", "~"]), VALUES),
    st.builds(lambda field, value: Term(field, "=", value, negated=True), st.sampled_from(TERM_FIELDS), VALUES),
    st.builds(lambda field, value: Term(field, "=", value[:2], prefix=True), st.sampled_from(TERM_FIELDS), VALUES),
)
BOUNDS = st.none() | st.integers(-1, 5).map(lambda minute: OBSERVED - (66 - minute) * 60 * SECOND - 40 * SECOND)
SELECTIONS = st.builds(
    Selection,
    queries_of(TERMS, 2),
    BOUNDS,
    BOUNDS,
)
ECHOES = st.tuples(
    st.integers(0, 40),
    st.sampled_from(["text", "text", "line", "line", "field", "lower", "body", "prefix", "own"]),
    st.integers(0, 60),
    st.integers(1, 20),
)
GROUPINGS = [
    Grouping(),
    Grouping(("severity", "source")),
    Grouping(("logger", "service"), 60 * SECOND),
    Grouping(("group", "category", "state")),
    Grouping(("n", "path")),
    Grouping(("message",), None, 2),
]
NUMBER = count()
KINDS = [*ENGINES, *(pytest.param(kind, marks=needs(*parts)) for kind, parts in FLEETS.items())]
TRACE = 'Traceback (most recent call last):\n  File "shop/cart.py", line 7, in add\n    x\nValueError: no item'


@pytest.fixture(params=KINDS)
def make(request, tmp_path_factory, monkeypatch):
    """Gives an engine with these logs in it; closed at the end of the test."""
    small_frames(monkeypatch, 300)
    root = tmp_path_factory.getbasetemp() / "conformance"
    root.mkdir(exist_ok=True)
    with ExitStack() as stack:
        yield lambda logs: stack.enter_context(made_by(request.param, request)(root / str(next(NUMBER)), logs))


def said(event) -> tuple:
    """All that can be printed of an event, but for its id."""
    return (
        *(event.timestamp, event.observed_timestamp, event.severity_number, event.source, event.path, event.offset),
        *(event.group, event.record, event.original(), event.parse_error, event.body, event.logger, event.service),
        *(event.trace_id, json.dumps(event.resource)),
    )


def same(found, wanted) -> None:
    for one, other in zip(map(said, found), map(said, wanted), strict=True):
        assert one == other


# ---------------------------------------------------------------- drawn


@given(
    st.lists(plain_log() | plain_log() | docker_log(), min_size=1, max_size=3),
    st.lists(st.tuples(SELECTIONS, st.sampled_from(GROUPINGS), st.integers(0, 3)), min_size=2, max_size=4),
    st.lists(ECHOES, min_size=4, max_size=6),
)
@settings(max_examples=20, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "list"])
def test_every_question_has_the_answer_of_looking_at_each_event(  # noqa: PLR0917 - hypothesis names them
    kind, request, tmp_path_factory, monkeypatch, logs, questions, echoes
):
    small_frames(monkeypatch, 300)
    monkeypatch.setattr("agent.query.engine.HELD_EVENTS", 3)
    root = tmp_path_factory.getbasetemp() / "conformance"
    root.mkdir(exist_ok=True)
    named = {f"{number}.log": data for number, data in enumerate(logs) if data}
    twin = ListEngine(named)
    questions = [(EVERYTHING, Grouping(), 0), *filter(_is_valid, questions)]
    for echo in echoes if twin.stored else ():
        questions.append((Selection(Query((echoed(twin.stored, *echo),))), GROUPINGS[1], echo[0] % 4))
    with made_by(kind, request)(root / str(next(NUMBER)), named) as made:
        for selection, grouping, form in questions:
            few = len(list(twin.events(selection))) // 2
            lines, newest_first = (None, None, few, few)[form], form % 2 == 1
            same(
                made.engine.events(selection, lines, newest_first=newest_first),
                twin.events(selection, lines, newest_first=newest_first),
            )
            assert [(key.timestamp, key.group) for key in made.engine.keys(selection)] == [
                (key.timestamp, key.group) for key in twin.keys(selection)
            ]
            assert buckets(made.engine.counts(selection, grouping), grouping) == buckets(
                twin.counts(selection, grouping), grouping
            )
            assert made.engine.fields(selection) == twin.fields(selection)
            if made.engine.can_follow:
                later = [event for event in twin.follow(selection, made.gone) if not isinstance(event, int)]
                same(_stored(made.engine.follow(selection, 0, wait=False)), later)
        assert list(made.engine.errors) == []


def _stored(items) -> list:
    return [item for item in items if isinstance(item, StoredEvent)]


def echoed(events: list, number: int, kind: str, start: int, length: int) -> Term:
    """A term that one of the events satisfies: a piece of its text, or the value of one of its fields."""
    event = events[number % len(events)]
    if kind == "body" and event.body:
        return Term("message", "=", event.body)
    values = [(name, text_of(value)) for name, value in event.fields.items() if text_of(value)]
    if kind in ("field", "prefix", "own") and values:
        name, value = values[start % len(values)]
        if kind == "prefix":
            return Term(name, "=", value[:length], prefix=True)
        return Term(f"attributes.{name}" if kind == "own" else name, "=", value)
    raw = event.raw if kind == "line" and isinstance(event.raw, bytes) else None
    text = decoded_text(event.record) if raw is None else raw.decode("utf-8", "replace")
    start = min(start, max(0, len(text) - length))
    piece = text[start : start + length]
    return Term(None, "", piece.lower() if kind == "lower" else piece)


def _is_valid(question) -> bool:
    try:
        question[0].query.compiled()
    except UsageError:
        return False
    return True


# ---------------------------------------------------------------- chosen


def line(second: float, message: str, level: str = "info", **fields) -> bytes:
    """One event, so many seconds before the last."""
    at = OBSERVED - 60 * SECOND - round(second * SECOND)
    return json.dumps({"timestamp": at, "level": level, "message": message, **fields}).encode() + b"\n"


HOSTILE = [
    b'{"timestamp":"2026-11-18T10:00:00Z","level":"error","message":"\\u001b[2J \\u202e","n":9007199254740993}\n',
    b'{"timestamp":"2026-11-18T10:00:00Z","message":"\\ud800","a":1e999,"a":2,"b":{"c":[1,{"d":"x,y"}]}}\n',
    b'{"timestamp":"2026-11-18T10:00:00Z","message":"say \\"hi\\"","path":"a\\\\b","t":"%_*?[x]","k":"\xe2\x84\xaa"}\n',
    b'{"timestamp":"2026-11-18T10:00:00Z","message":null,"source":"mine","group":7,"d.e":1,"d":{"e":2}}\n',
    b"\xff\xfe no text \x00\n",
]
TERMS_OF_EVERY_KIND = [
    "", "hi", "HI", "k", "2J", "severity>=error", "severity=0", "!severity=error", "n=9007199254740993",
    "n>9007199254740992", "n~^9", "a=2", "a>1", "b.c.0=1", "b.c.d=x,y", "b.c.d=x", "d.e=1", "d.e=2", "source=app",
    "source=mine", "path~hostile", "path=a\\b", "group>0", "group=1", "category!=none", "category~.", "t=%_*?[x]",
    "message~say", "!message~say", "message=null", "parse_error~.", "service=shop", "service!=shop", "logger=x",
    "trace_id!=x", "offset=0", "offset>0", "timestamp>=2026", "%", "_", "hi severity=0", "n>0 n<9", "x=1 x=2",
    "n=9*", "n=*", "a=*", "a!=*", "b=*", "t=%_*", 't="%_*?"*', 'path="a*"', "source=a*", "severity=err*", "severity=*",
    "group=*", "message=sa*", "attributes.path=a\\b", "attributes.path=*", "attributes.source=mine",
    "attributes.group=7", "attributes.d.e=1", "attributes.message=*", '"attributes.path"~b', "path=* OR n=*",
    "hi OR group=1", "2J OR hi", "(hi OR severity=error) !n<5", "!(hi OR 2J)", "!(hi say)",
    "(source=mine OR path~hostile) (group=* OR a=2)",
    "source=none OR severity=error", "(severity=error source=app) OR (severity=0 path=/var/log/*)",
]  # fmt: skip


def test_terms_of_every_kind_on_hostile_values(make):
    logs = {"hostile.log": b"".join(HOSTILE)}
    engine, twin = make(logs).engine, ListEngine(logs)
    for text in TERMS_OF_EVERY_KIND:
        selection = Selection(parse_query(text))
        assert list(map(said, engine.events(selection))) == list(map(said, twin.events(selection))), text
        assert engine.fields(selection) == twin.fields(selection), text
        for grouping in (
            *(
                Grouping(("a", "b", "d.e", "attributes.path")),
                Grouping(("message",), 1),
                Grouping(("severity", "group")),
            ),
            *(Grouping(), Grouping(("severity", "source"))),
        ):
            found, wanted = (buckets(one.counts(selection, grouping), grouping) for one in (engine, twin))
            assert found == wanted, text


def test_the_state_of_an_event_is_that_of_its_error_group_now(make):
    words = "alpha", "beta", "gamma", "delta", "epsilon"
    logs = {"a.log": line(9, "no error") + b"".join(line(2, f"{word} broke", "error") * 2 for word in words)}
    made, twin = make(logs), ListEngine(logs)
    for group, state in enumerate(("ignored", "resolved", "regressed", "ongoing"), 1):
        made.decide(group, state)
        twin.decide(group, state)
    for text in (
        *("state=ignored", "state=ignored state=regressed", "state!=ignored", "!state=ignored", "state!=resolved"),
        *("state~ed$", "state=ongoing", "state=new", "state>n", "state=none", "state~. group>1"),
    ):
        selection = Selection(parse_query(text))
        same(made.engine.events(selection), twin.events(selection))
        assert len(list(made.engine.keys(selection))) == len(list(twin.keys(selection))), text
        for grouping in (Grouping(), Grouping(("state",)), Grouping(("message", "state"))):
            found, wanted = (buckets(one.counts(selection, grouping), grouping) for one in (made.engine, twin))
            assert found == wanted, text
    assert len(list(twin.events(Selection(parse_query("state=ignored"))))) == 2


def test_the_logs_that_events_are_of(make):
    logs = {"a.log": line(2, "one"), "b.log": line(1, "two")}
    assert make(logs).engine.logs() == ListEngine(logs).logs() == {("app", "/var/log/a.log"), ("app", "/var/log/b.log")}


def test_so_many_of_the_newest_in_either_order(make, monkeypatch):
    """Many of one instant among them, and more than are held to be turned round."""
    monkeypatch.setattr("agent.query.engine.HELD_EVENTS", 4)
    logs = {name: b"".join(line(n // 5, f"{name} {n}", n=n) for n in reversed(range(12))) for name in ("a", "b")}
    engine, twin = make(logs).engine, ListEngine(logs)
    for lines in (0, 1, 4, 5, 7, 12, 23, 24, 99, None):
        for newest_first in (False, True):
            same(
                engine.events(EVERYTHING, lines, newest_first=newest_first),
                twin.events(EVERYTHING, lines, newest_first=newest_first),
            )


def test_a_span_of_time_begins_with_its_first_instant_and_ends_before_its_last(make):
    logs = {"a.log": b"".join(line(second, "x") for second in range(5, 0, -1))}
    engine, twin = make(logs).engine, ListEngine(logs)
    instants = [event.timestamp for event in twin.events(EVERYTHING)]
    for since in (None, -(2**70), instants[1], instants[1] + 1, instants[-1], 2**70):
        for until in (None, instants[3], instants[3] + 1, instants[0], 2**70):
            selection = Selection(Query(), since, until)
            same(engine.events(selection), twin.events(selection))
            grouping = Grouping((), SECOND)
            assert buckets(engine.counts(selection, grouping), grouping) == buckets(
                twin.counts(selection, grouping), grouping
            )


def test_what_was_read_at_another_time_can_be_left_out(make):
    engine = make({"a.log": line(2, "x") + line(1, "x")}).engine
    assert len(list(engine.events(EVERYTHING, observed=(OBSERVED, OBSERVED + 1)))) == 2
    assert list(engine.events(EVERYTHING, observed=(0, OBSERVED))) == []
    assert list(engine.events(EVERYTHING, 1, observed=(OBSERVED + 1, OBSERVED + 2))) == []


def test_the_sample_of_fields_is_of_the_newest_and_their_values_are_bounded(make):
    lines = [line(60 - n, "x", **({"n": n % 40, "old": n} if n < 50 else {"n": 7})) for n in range(60)]
    logs = {"a.log": b"".join(lines)}
    engine, twin = make(logs).engine, ListEngine(logs)
    found = {one.name: one for one in engine.fields(EVERYTHING, sample=10, values=3)}
    assert found["n"].values == [(b"7", 10)]
    assert "old" not in found
    assert engine.fields(EVERYTHING, sample=55, values=2) == twin.fields(EVERYTHING, sample=55, values=2)
    assert max(len(one.values) for one in engine.fields(EVERYTHING, values=2)) == 2


def test_later_events_are_left_out_of_what_was_asked_before_and_can_be_followed(make):
    made = make({"a.log": line(9, "one") + line(8, "two")})
    if made.add is None or not made.engine.can_follow:
        assert list(made.engine.follow(EVERYTHING, 0, wait=False)) == []
        assert made.engine.position() == 0
        return
    position = made.engine.position()
    made.add("b.log", line(30, "three") + line(1, "four"))
    assert [event.body for event in made.engine.events(EVERYTHING, upto=position)] == ["one", "two"]
    assert [event.body for event in made.engine.events(EVERYTHING)] == ["three", "one", "two", "four"]
    *events, reached = made.engine.follow(EVERYTHING, position, wait=False)
    assert [event.body for event in events] == ["three", "four"], "in the order of storage"
    assert reached == made.engine.position() != position
    *rest, reached = made.engine.follow(EVERYTHING, made.engine.passed(position, events[0]), wait=False)
    assert ([event.body for event in rest], reached) == (["four"], made.engine.position())
    assert list(made.engine.follow(EVERYTHING, reached, wait=False)) == [reached]
    assert list(made.engine.follow(Selection(parse_query("absent")), 0, wait=False)) == [reached]
    following = made.engine.follow(Selection(parse_query("four")), position)
    assert next(following).body == "four"
    assert next(following) == reached


def test_events_that_come_have_the_states_of_their_time(make):
    """Also after the state of a group has been asked for."""
    made = make({"a.log": line(9, "lost", "error")})
    if made.add is None or isinstance(made.engine, ListEngine):  # which does not wait
        return
    following = made.engine.follow(EVERYTHING, 0)
    list(takewhile(lambda item: isinstance(item, StoredEvent), following))
    assert made.engine.categories[1].state == "ongoing"
    made.decide(1, "ignored")
    made.add("b.log", line(1, "lost", "error"))
    event = next(item for item in following if isinstance(item, StoredEvent))
    assert (event.group, made.engine.categories[1].state) == (1, "ignored")


def errors_of_two_groups(number: int) -> bytes:
    """One error a minute of either group, and what else happened in its trace."""
    parts = []
    for n in reversed(range(number)):
        parts.append(line(60 * n + 30, "request", trace_id=f"{n:032x}"))
        parts.append(line(60 * n, f"order {n} failed", "error", trace_id=f"{n:032x}", stack_trace=TRACE, n=n))
        parts.append(line(60 * n - 1, "lost", "fatal", exc_type="OSError", service=f"svc{n % 3}"))
    return b"".join(parts)


@pytest.mark.parametrize("number", [1, 4, 5, 23])
def test_the_events_of_a_group_and_what_shows_what_it_is(make, number):
    logs = {"a.log": errors_of_two_groups(number), "b.log": line(3, "order 99 failed", "error", stack_trace=TRACE)}
    made, twin = make(logs), ListEngine(logs)
    assert len(twin.known) == 2
    for group in twin.known:
        for start in (None, OBSERVED - 60 * SECOND * (number // 2)):
            same(
                islice(made.engine.group_events(group, start, newest_first=True), 4),
                islice(twin.group_events(group, start, newest_first=True), 4),
            )
            same(islice(made.engine.group_events(group, start), 4), islice(twin.group_events(group, start), 4))
        if made.keeps_groups:
            found, wanted = (describe_group(engine, group, OBSERVED) for engine in (made.engine, twin))
            same(found.samples, wanted.samples)
            same(found.trace, wanted.trace)
            if made.sees_labels:
                wanted.history.services = [(name or "shop", count) for name, count in wanted.history.services]
            assert found.history == wanted.history
    assert list(made.engine.group_events(99)) == []
    assert describe_group(made.engine, 99, OBSERVED) is None
    assert set(twin.categories.items()) <= {(group, made.engine.categories[group]) for group in twin.categories}


def test_groups_are_filtered_and_sorted(make):
    made, twin = make(logs := {"a.log": errors_of_two_groups(7)}), ListEngine(logs)
    wanted = [
        GroupFilter(),
        GroupFilter(group=2),
        GroupFilter(states=("new",)),
        GroupFilter(states=("resolved",)),
        GroupFilter(categories=(twin.categories[1].category,)),
        GroupFilter(services=("svc1",)),
        GroupFilter(title=re.compile("order")),
        GroupFilter(since=OBSERVED),
        GroupFilter(since=OBSERVED - 120 * SECOND),
        GroupFilter(until=OBSERVED - 240 * SECOND),
    ]
    for one in wanted:
        for sort in ("last-seen", "first-seen", "count", "trend"):
            for options in ({}, {"reverse": True}, {"limit": 1}):
                found = made.engine.groups(one, OBSERVED, sort=sort, **options)
                assert found == [] or made.keeps_groups
                if made.keeps_groups:
                    for group in found:
                        group.state_changed = 0
                    assert found == twin.groups(one, OBSERVED, sort=sort, **options)


def test_an_engine_without_events_has_an_answer_to_everything(make):
    engine = make({}).engine
    assert list(engine.events(EVERYTHING)) == list(engine.keys(EVERYTHING)) == engine.fields(EVERYTHING) == []
    assert [row.count for row in buckets(engine.counts(EVERYTHING, Grouping()), Grouping())] == [0]
    assert buckets(engine.counts(EVERYTHING, Grouping(("n",))), Grouping(("n",))) == []
    assert engine.groups(GroupFilter(), OBSERVED) == list(engine.group_events(1)) == []
    assert engine.logs() == set()
    assert engine.group_history(1, [0, 60 * SECOND]).counts == [0]
    assert _stored(engine.follow(EVERYTHING, 0, wait=False)) == []
