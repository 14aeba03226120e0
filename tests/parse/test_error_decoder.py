"""Errors that are looked at together give grouping what each of them alone gives."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.fields import load_record
from agent.core.model import LineBatch
from agent.parse import errorlines, exceptions
from agent.parse.decode import FileParser, ParseSettings
from agent.parse.errorlines import ErrorDecoder
from tests.parse.effort import examples
from tests.parse.test_twin import OBSERVED, careful, columns, parse_once, tailed
from tests.sources import parsing

TRACE = 'Traceback (most recent call last):\n  File "/srv/a.py", line {0}, in f\n    g()\nValueError: user {0}'
USUAL = {"timestamp": 1795325966, "level": "error", "logger": "shop"}

texts = st.sampled_from(
    [
        "failed", "", "a\nb", TRACE.format(1), TRACE.format(2) + "\n  more: x", "a.X: y\n\tat a.b.C.d(C.java:1)",
        TRACE.partition("\n")[0], 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nKeyError', "\ud800",
        'Traceback (most recent call last):\n  File "a.py", line 1, in f\nKeyError: ', "ö\n", "x\r\ny",
    ]
)  # fmt: skip
values = st.one_of(
    texts, texts, texts, st.none(), st.integers(-(2**70), 2**70), st.just(1e999), st.booleans(),
    st.dictionaries(st.sampled_from(["type", "message", "stack", "name", "stringValue"]), texts, max_size=3),
    st.lists(texts, max_size=3),
)  # fmt: skip
keys = st.sampled_from(
    ["message", "msg", "event", "body", "@m", "@mt", "service", "service.name", "exception", "stack_trace", "exc_info",
     "error", "err", "record", "text", "fingerprint", "error.type", "attributes", "x", "trace", "(trace)", "message"]
)  # fmt: skip
shapes = st.lists(keys, max_size=4, unique=True)


def line(record: dict) -> bytes:
    return json.dumps({**USUAL, **record}).replace("Infinity", "1e999").encode() + b"\n"


def parsed(data: bytes, settings: ParseSettings | None = None, batches: int = 1):
    """The last of some batches of the same lines, and the parser."""
    parser = FileParser(settings or parsing())
    for number in range(batches):
        out = parser.feed(LineBatch(tailed(), number * len(data), data, OBSERVED))
    return out, parser


def alike(names: list[str]):
    """A few records that have these keys, and some that have others."""
    same = st.fixed_dictionaries({name: st.one_of(texts, values) for name in names})
    return st.tuples(st.lists(same, min_size=3, max_size=5), st.lists(objects, max_size=2)).map(
        lambda two: [*two[0], *two[1]]
    )


objects = st.dictionaries(keys, values, max_size=3)
records = shapes.flatmap(alike)


@settings(max_examples=examples(60), deadline=None)
@given(records, st.sampled_from([{}, {"message": "x"}, {"service": "a.b"}]))
def test_together_and_one_by_one_agree(found, names):
    data = b"".join(map(line, found * 10))
    config = parsing(fields=names)
    profile = parsed(data, config)[1].profile
    out = parse_once(data, FileParser(config, profile))
    assert len(out.errors) == len(found) * 10
    assert columns(out) == columns(careful(data, profile, config))


def decoded(monkeypatch) -> list[str]:
    """Takes down the records that are decoded whole."""
    whole: list[str] = []
    monkeypatch.setattr(errorlines, "load_record", lambda text: whole.append(text) or load_record(text))
    return whole


@pytest.mark.parametrize("key", ["exception", "stack_trace", "exc_info"])
def test_a_storm_of_equal_errors_is_not_decoded_whole(monkeypatch, key):
    whole = decoded(monkeypatch)
    data = b"".join(line({"event": "failed", key: TRACE.format(n), "service": "cart", "n": n}) for n in range(300))
    out, _ = parsed(data)
    assert len(whole) <= 8
    last = out.errors[-1]
    assert (last.index, last.message, last.service, last.logger) == (299, "failed", "cart", "shop")
    assert (last.exception_type, last.exception_message) == ("ValueError", "user 299")
    assert last.stacktrace == TRACE.format(299)


def test_an_error_that_differs_is_decoded_whole_and_alone(monkeypatch):
    rows = [{"event": "failed", "exception": TRACE.format(n)} for n in range(300)]
    rows[100] = {"event": "failed", "error": {"type": "E", "message": "why"}}
    rows[200] = {"event": "failed", "exception": "E: in one line"}
    rows[250] = {"event": None, "exception": TRACE.format(7), "error": None}
    whole = decoded(monkeypatch)
    out, _ = parsed(b"".join(map(line, rows)))
    assert len(whole) <= 8 + 2
    assert (out.errors[100].exception_type, out.errors[100].exception_message) == ("E", "why")
    assert (out.errors[200].exception_type, out.errors[200].exception_message) == ("E", "in one line")
    assert (out.errors[250].message, out.errors[250].stacktrace) == ("user 7", TRACE.format(7))


def test_errors_that_change_their_looks_are_followed_but_not_for_ever(monkeypatch):
    kinds = [{"exception": TRACE.format(1)}, {"stack_trace": TRACE.format(1)}]
    whole = decoded(monkeypatch)
    parser = FileParser(parsing())
    offset, counts = 0, []
    for number in range(60):
        data = line({"message": "m", **kinds[number // 2 % 2]}) * 40
        before = len(whole)
        out = parser.feed(LineBatch(tailed(), offset, data, OBSERVED))
        assert {error.stacktrace for error in out.errors} == {TRACE.format(1)}
        counts.append(len(whole) - before)
        offset += len(data)
    assert counts[1] == 0  # as the batch before it
    assert counts[2] == 40  # another one; the plan is given up
    assert 0 < counts[3] <= 8  # and made anew
    assert counts[-2:] == [40, 40] or counts[-2:] == [0, 0]
    assert parser._bulk.fast._errors._plans <= 16


@pytest.mark.parametrize(
    "record",
    [
        {"message": "a", "msg": "b"},
        {"service": "a", "service.name": "b"},
        {"exception": TRACE, "error": "x"},
        {"error": {"type": "E"}},
        {"@mt": "{x}", "x": 1},
        {"message": "a", "fingerprint": "own"},
        {"attributes": {"exception.type": "E"}},
    ],
)
def test_errors_that_say_a_thing_twice_or_deep_inside_are_decoded_whole(monkeypatch, record):
    whole = decoded(monkeypatch)
    data = line(record) * 40
    out, parser = parsed(data)
    assert len(whole) >= 40
    assert columns(out) == columns(careful(data, parser.profile))


def test_field_names_that_no_struct_can_have_are_no_trouble():
    config = parsing(fields={"message": 'a"b', "service": "c\\d"})
    out, _ = parsed(line({'a"b': "failed", "c\\d": "cart"}) * 40, config)
    assert {(error.message, error.service) for error in out.errors} == {("failed", "cart")}


def test_names_of_exceptions_are_remembered_within_bounds(monkeypatch):
    monkeypatch.setattr(exceptions, "_names_met", set())
    monkeypatch.setattr(exceptions, "_MOST_NAMES", 3)
    trace = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n{}: x'
    for name in ["A" * 101, *"ABCDE"]:
        for _ in range(2):
            assert exceptions.parts_of_text(trace.format(name)) == (name, "x", trace.format(name))
    assert exceptions._names_met == {"A", "B", "C"}


def test_a_file_without_a_plan_is_asked_again_a_few_times():
    looks = ErrorDecoder(FileParser(parsing())._compiled.shapes(FileParser(parsing()).profile))
    record = json.dumps({**USUAL, "message": "a", "msg": "b"})
    for _ in range(40):
        looks.events([0], [record], 0, [1], [17], [None])
    assert looks._plans == 16
