"""Wherever events lie, in the store, in archives or in both, every question has the same answer in the same order."""

from __future__ import annotations

import json
import shutil
import tempfile
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agent.core.errors import UsageError
from agent.core.values import text_of
from agent.query.aggregate import buckets, count_events
from agent.query.language import Grouping, Query, Term
from agent.query.predicate import decoded_text
from agent.query.selection import Selection
from agent.query.sqlite.scan import Scan
from agent.query.union import Merged
from tests.query.tiers import OBSERVED, Tiers, small_frames
from tests.sources import parsing

SECOND = 10**9
SETTINGS = parsing(max_line_bytes=300, redact=("password",))
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
        line = line[:-1] + draw(st.sampled_from([b',"level":"error"}', b',"n":NaN}', b', "x": "\\ud800"}', b"", b" }"]))
    return line


TEXT_LINES = st.one_of(
    st.sampled_from(
        [
            b"",
            b"   ",
            b"plain text",
            b"invalid \xff byte \xc3",
            b"2026-11-18 10:01:00 ERROR shop.cart: order 17 failed",
            b"2026-11-18 10:02:30,500 INFO shop: gr\xc3\xb6\xc3\x9fer",
            b"Traceback (most recent call last):",
            b'  File "shop/cart.py", line 7, in add',
            b"    raise KeyError(1)",
            b"KeyError: 1",
            b"\tat com.example.Main.run(Main.java:5)",
            b"z" * 320,
            b"{",
            b"null",
            b"[1]",
        ]
    ),
    TEXTS.map(lambda text: text.replace("\n", " ").encode()),
)
ENDS = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n"])


@st.composite
def docker_log(draw) -> bytes:
    lines = []
    for line in draw(st.lists(json_line() | TEXT_LINES, max_size=8)):
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
    kinds = draw(st.sampled_from([json_line(), json_line(), TEXT_LINES, json_line() | TEXT_LINES]))
    lines = draw(st.lists(st.tuples(kinds, ENDS), max_size=14))
    data = b"".join(line + end for line, end in lines)
    return data[: len(data) - draw(st.sampled_from([0, 0, 1, 2]))]


WORDS = st.one_of(
    TEXTS.filter(bool), st.sampled_from(["error", "shop", "xff", "message", "failed", "Order", "level", "7"])
)
VALUES = st.one_of(
    WORDS, st.sampled_from(["1", "100", "true", "null", "error", "2", "unknown", "app", "shop", "stdout"])
)
TERM_FIELDS = [*FIELDS, "http.status", "http.path", "severity", "source", "path", "group", "category", "offset"]
TERMS = st.one_of(
    st.builds(lambda text, negated: Term(None, "", text, negated), WORDS, st.booleans()),
    st.builds(lambda text: Term(None, "", text), WORDS),
    st.builds(Term, st.sampled_from(TERM_FIELDS), st.sampled_from(["=", "=", "!=", ">", "<=", "~"]), VALUES),
    st.builds(lambda field, value: Term(field, "=", value, negated=True), st.sampled_from(TERM_FIELDS), VALUES),
)
BOUNDS = st.none() | st.integers(-1, 5).map(lambda minute: OBSERVED - (66 - minute) * 60 * SECOND - 40 * SECOND)
SELECTIONS = st.builds(
    lambda terms, since, until: Selection(Query(tuple(terms)), since, until),
    st.lists(TERMS, max_size=2),
    BOUNDS,
    BOUNDS,
)
ECHOES = st.tuples(
    st.integers(0, 40),
    st.sampled_from(["text", "text", "field", "lower", "body"]),
    st.integers(0, 60),
    st.integers(1, 20),
)
GROUPINGS = [
    Grouping(),
    Grouping(("severity", "source")),
    Grouping(("logger", "service"), 60 * SECOND),
    Grouping(("group", "category")),
    Grouping(("n", "path")),
    Grouping(("message",), None, 2),
]


@pytest.fixture(scope="module")
def empty():
    """A store that is copied for each example: making one takes longer than all that is asked of it."""
    with tempfile.TemporaryDirectory() as name:
        with Tiers(Path(name)):
            pass
        yield Path(name) / "s.db"


def said(event) -> tuple:
    """All that can be printed of an event, but for its id."""
    return (
        *(event.timestamp, event.observed_timestamp, event.severity_number, event.source, event.path, event.offset),
        *(event.group, event.record, event.original(), event.parse_error, event.body, event.logger, event.service),
        *(event.trace_id, json.dumps(event.resource)),
    )


NUMBER = count()


@given(
    st.lists(plain_log() | plain_log() | docker_log(), min_size=1, max_size=3),
    st.lists(st.tuples(SELECTIONS, st.sampled_from(GROUPINGS), st.integers(0, 3)), min_size=2, max_size=4),
    st.lists(ECHOES, min_size=4, max_size=6),
)
@settings(max_examples=20, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
def test_every_question_has_the_same_answer_wherever_the_events_lie(empty, monkeypatch, logs, questions, echoes):
    small_frames(monkeypatch, 300)
    root = empty.parent / str(next(NUMBER))
    root.mkdir()
    shutil.copy(empty, root / "s.db")
    named = {f"{number}.log": data for number, data in enumerate(logs) if data}
    questions = [(Selection(Query()), Grouping(), 0), *filter(_is_valid, questions)]
    with Tiers(root, SETTINGS) as tiers:
        for name, data in named.items():
            tiers.store(name, data)
        everything = list(Scan(tiers.reader, Selection(Query())).by_time())
        for echo in echoes if everything else ():
            questions.append((Selection(Query((echoed(everything, *echo),))), GROUPINGS[1], echo[0] % 4))
        wanted = [list(Scan(tiers.reader, one).by_time()) for one, *_ in questions]
        counts = [count_events(tiers.reader, one, by, OBSERVED) for one, by, _ in questions]
        archived = {f"/var/log/{name}": tiers.archive(name, data).id for name, data in reversed(named.items())}
        for share in (0.0, 0.5, 1.0):
            tiers.expire(share)
            stored = {row[0] for row in tiers.reader.execute("SELECT id FROM events")}

            def order(event, stored=stored):
                if event.id in stored:
                    return event.timestamp, 1, event.id, 0
                return event.timestamp, 0, archived[event.path], event.offset

            for (selection, grouping, form), events, counted in zip(questions, wanted, counts, strict=True):
                rows = list(map(said, sorted(events, key=order)))
                few = len(rows) // 2
                lines, newest_first = (None, None, few, few)[form], form % 2 == 1
                merged = Merged(tiers.reader, selection, Scan(tiers.reader, selection))
                found = list(map(said, merged.events(lines, newest_first=newest_first)))
                rows = rows if lines is None else rows[len(rows) - lines :]
                rows = rows[::-1] if newest_first else rows
                for one, other in zip(found, rows, strict=True):
                    assert one == other
                assert buckets(merged.counts(grouping), grouping) == counted
                assert merged.errors == []
            alone = Merged(tiers.reader, Selection(Query()), None).events(None, newest_first=False)
            order_alone = sorted(everything, key=lambda event: (event.timestamp, archived[event.path], event.offset))
            assert list(map(said, alone)) == list(map(said, order_alone))
    shutil.rmtree(root)


def echoed(events: list, number: int, kind: str, start: int, length: int) -> Term:
    """A term that one of the events satisfies: a piece of its text, or the value of one of its fields."""
    event = events[number % len(events)]
    if kind == "body" and event.body:
        return Term("message", "=", event.body)
    values = [(name, text_of(value)) for name, value in event.fields.items() if text_of(value)]
    if kind == "field" and values:
        name, value = values[start % len(values)]
        return Term(name, "=", value)
    text = decoded_text(event.record)
    start = min(start, max(0, len(text) - length))
    piece = text[start : start + length]
    return Term(None, "", piece.lower() if kind == "lower" else piece)


def _is_valid(question) -> bool:
    try:
        question[0].query.compiled()
    except UsageError:
        return False
    return True
