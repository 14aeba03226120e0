"""The plan in SQL: it never drops what the predicate accepts, and it walks the index it is meant to walk."""

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.query.language import Query, Selection, parse_query
from agent.query.sqlite.plan import make_plan
from agent.query.sqlite.scan import EventScan
from agent.query.terms import Term
from agent.store.events import Categories, Files, load_events
from tests.query.cases import FILES, QUERIES, ROWS
from tests.query.stores import BASE, EventRow, add_events, make_store


@pytest.fixture(scope="module")
def store():
    with closing(make_store(":memory:", files=FILES)) as store:
        yield store


@settings(max_examples=400, deadline=None)
@given(rows=ROWS, query=QUERIES, grouped=st.integers(0, 4))
def test_the_plan_never_drops_a_match(store, rows, query, grouped):
    """In either direction of time and in storage order the answer is what the predicate alone says."""
    store.execute("DELETE FROM events")
    for row in rows:
        row.group = grouped or None if row.severity >= 17 else None
    add_events(store, rows)
    wanted = expected(store, query)
    selection = Selection(query)
    by_time = [key for key, _ in sorted(wanted, key=lambda pair: (pair[1], pair[0]))]
    assert [event.id for event in EventScan(store, selection).by_time()] == by_time
    assert [event.id for event in EventScan(store, selection).by_time(descending=True)] == by_time[::-1]
    assert [event.id for event in EventScan(store, selection).by_storage(0)] == sorted(by_time)


def expected(store, query):
    """(id, timestamp) of all matches, without any plan."""
    files, categories = Files(store), Categories(store)
    events = load_events(store, [row[0] for row in store.execute("SELECT id FROM events")], files)
    return [(event.id, event.timestamp) for event in events if query.matches(event, categories)]


def plan_of(store, text):
    return make_plan(Selection(parse_query(text)), Files(store))


@pytest.mark.parametrize(
    ("text", "residual", "index"),
    [
        ("", False, "events_by_time"),
        ("severity>=error", False, "errors_by_time"),
        ("severity>=warn", False, "events_by_time"),
        ("severity=fatal", False, "errors_by_time"),
        ("severity=warn severity=error", False, "events_by_time"),
        ("source=app", False, "events_by_time"),
        ("path~/a.log !source=web", False, "events_by_time"),
        ("group=3", False, "errors_by_time"),
        ("group=3 group=4", False, "errors_by_time"),
        ("category=timeout severity>=info", False, "errors_by_time"),
        ("state=ignored state=new", False, "errors_by_time"),
        ("state!=ignored", False, "events_by_time"),
        ("state!=new", True, "events_by_time"),
        ("group>3", True, "errors_by_time"),
        ("category!=x", True, "events_by_time"),
        ("word", True, "events_by_time"),
        ("!word severity>=error", True, "errors_by_time"),
        ("group=3 user=ann", True, "errors_by_time"),
        ("group=*", False, "errors_by_time"),
        ("source=a*", False, "events_by_time"),
        ("(source=app severity=warn) OR (path=/var/log/web/* severity>=error)", False, "events_by_time"),
        ("(group=3 OR severity=fatal) source=app", False, "errors_by_time"),
        ("source=app OR user=ann", True, "events_by_time"),
        ("!(source=app severity<error)", False, "events_by_time"),
    ],
)
def test_what_sql_can_say_needs_no_predicate(store, text, residual, index):
    """And errors are found by their own index."""
    plan = plan_of(store, text)
    assert (plan.residual, plan.index) == (residual, index)


@pytest.mark.parametrize(
    "text",
    [
        "severity>=error severity<warn",
        "source=none",
        "path=/x source=app",
        "source=no*",
        "source=none OR path=/x",
        "(source=none word) OR (path=/x user=ann)",
        "!(source=* OR word)",
    ],
)
def test_what_cannot_match_is_not_looked_for(store, text):
    """No statement is run for it."""
    assert plan_of(store, text).empty
    assert list(EventScan(store, Selection(parse_query(text))).by_time()) == []


def test_a_group_that_is_no_number_matches_nothing(store):
    """Also one that SQLite's integers cannot hold."""
    for text in ("group=x", "group=1.5", f"group={2**80}", "group=-1", "group=1e999999"):
        assert list(EventScan(store, Selection(parse_query(text))).by_time()) == []


def test_long_and_unstorable_values_have_no_prefilter(store):
    """SQLite would refuse the pattern, or cannot hold the text."""
    for value in ("x" * 20_000, "\ud800", "a\0b", "ä" * 9_000):
        assert make_plan(Selection(Query((Term("user", "=", value),))), Files(store)).sql == ""
        assert make_plan(Selection(Query((Term(None, "", value),))), Files(store)).sql == ""


def test_values_whose_text_may_differ_have_no_prefilter(store):
    """A message may be an object printed in another way; a number may be written in another way."""
    for text in ("message=[1]", "message=404", "logger=7", "message="):
        assert plan_of(store, text).sql == ""
    assert plan_of(store, "tags.0=5").sql == ""


def test_very_many_files_are_left_to_the_predicate(monkeypatch, store):
    """A list of ids longer than the bound would cost more than it saves."""
    monkeypatch.setattr("agent.query.sqlite.plan._MOST_LISTED_FILES", 1)
    assert plan_of(store, "source=app").residual
    assert plan_of(store, "env=prod").sql == ""


@pytest.mark.parametrize(
    ("text", "index", "descending"),
    [("", "events_by_time", True), ("severity>=error", "errors_by_time", True), ("user=ann", "events_by_time", False)],
)
def test_sqlite_seeks_the_intended_index(tmp_path, text, index, descending):
    """With the span as a seek and without a sort of everything."""
    connection = make_store(tmp_path / "s.db", [EventRow({"user": "ann"}, severity=17)])
    statements = []
    connection.set_trace_callback(statements.append)
    list(EventScan(connection, Selection(parse_query(text), BASE - 9, BASE + 9)).by_time(descending=descending))
    connection.set_trace_callback(None)
    selects = [statement for statement in statements if "record" in statement]
    assert selects
    for statement in selects:
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert any(f"SEARCH e USING INDEX {index} (" in step and ">" in step and "<" in step for step in steps), steps
        assert "USE TEMP B-TREE FOR ORDER BY" not in steps
    connection.close()


def test_a_page_does_not_read_the_pages_before_it(tmp_path):
    """The work of a scan to its end grows with the rows, not with their square."""

    def steps(count):
        rows = [EventRow({"n": n}, timestamp=BASE + n // 7) for n in range(count)]
        connection = make_store(tmp_path / f"{count}.db", rows)
        ticks = 0

        def tick():
            nonlocal ticks
            ticks += 1

        connection.set_progress_handler(tick, 100)
        assert list(EventScan(connection, Selection(parse_query("absent"))).by_time()) == []
        connection.set_progress_handler(None, 0)
        connection.close()
        return ticks

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agent.query.sqlite.scan.SLICE_ROWS", 50)
        assert steps(4_000) < 6 * steps(1_000)


def test_a_connection_in_a_transaction_is_not_left_behind(tmp_path):
    """Between pages a scan holds no read transaction, so the log of the store can be shortened."""
    connection = make_store(tmp_path / "s.db", [EventRow({"n": n}) for n in range(5_000)])
    reader = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    scan = EventScan(reader, Selection(Query()))
    events = scan.by_time()
    next(events)
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0
    assert len(list(events)) == 4_999
    reader.close()
    connection.close()
