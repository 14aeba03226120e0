"""Pages: the order, the newest N, slices, and what happens while a writer goes on."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.query import engine as engine_module
from agent.query.language import Selection, parse_query
from agent.query.sqlite import scan as scan_module
from agent.query.sqlite.engine import SqliteEngine
from agent.query.sqlite.scan import EventScan
from tests.query.stores import BASE, SECOND, EventRow, FileRow, add_events, add_file, make_store


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch):
    """Pages of a few rows, so that every boundary is crossed."""
    monkeypatch.setattr(scan_module, "PAGE_ROWS", 3)
    monkeypatch.setattr(scan_module, "SLICE_ROWS", 5)
    monkeypatch.setattr(engine_module, "HELD_EVENTS", 4)


@pytest.fixture(scope="module")
def memory():
    with closing(make_store(":memory:")) as store:
        yield store


def numbers(events):
    return [event.fields["n"] for event in events]


@settings(max_examples=150, deadline=None)
@given(
    seconds=st.lists(st.integers(0, 6), max_size=30),
    wanted=st.integers(0, 12) | st.none(),
    errors=st.integers(0, 2),
    text=st.sampled_from(["", "severity>=error", "odd", "odd severity>=error", "n<9"]),
    bound=st.tuples(st.integers(0, 7), st.integers(0, 7)),
)
def test_the_newest_in_order(memory, seconds, wanted, errors, text, bound):  # noqa: PLR0917 - hypothesis names them
    """Equal to sorting everything by (timestamp, id), also with many equal timestamps, at every page boundary."""
    memory.execute("DELETE FROM events")
    rows = [
        EventRow({"n": n, "kind": "odd" if n % 2 else "even"}, BASE + second * SECOND, 17 if n % 3 < errors else 9)
        for n, second in enumerate(seconds)
    ]
    add_events(memory, rows)
    since, until = (BASE + second * SECOND for second in bound)
    query = parse_query(text)
    kept = [
        (row.timestamp, n)
        for n, row in enumerate(rows)
        if since <= row.timestamp < until
        and ("severity" not in text or row.severity >= 17)
        and ("odd" not in text or n % 2)
        and ("n<9" not in text or n < 9)
    ]
    ordered = [n for _, n in sorted(kept)]
    if wanted is not None:
        ordered = ordered[len(ordered) - min(wanted, len(ordered)) :]
    selection = Selection(query, since, until)
    engine = SqliteEngine(memory, Path("memory"))
    assert numbers(engine.events(selection, wanted)) == ordered
    assert numbers(engine.events(selection, wanted, newest_first=True)) == ordered[::-1]


def test_what_is_stored_after_the_start_is_left_out(tmp_path):
    """Also when it sorts among what is still to come; deleted events do not disturb."""
    writer = make_store(tmp_path / "s.db", [EventRow({"n": n}, BASE + n * SECOND) for n in range(20)])
    reader = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    events = SqliteEngine(reader, tmp_path).events(Selection(parse_query("")))
    first = [next(events) for _ in range(4)]
    add_events(writer, [EventRow({"n": 100 + n}, BASE + n * SECOND) for n in range(20)])
    writer.execute("DELETE FROM events WHERE id <= 2")
    assert numbers(first) + numbers(events) == list(range(20))
    reader.close()
    writer.close()


def test_a_file_that_came_later_is_known(tmp_path):
    """Files are read again when an event names one that was not there at the start."""
    writer = make_store(tmp_path / "s.db", [EventRow({"n": 0})])
    scan = EventScan(writer, Selection(parse_query("")))
    add_file(writer, FileRow("late"), 2)
    assert scan.files[2].source == "late"
    assert set(scan.files) == {1, 2}
    assert len(scan.files) == 2
    writer.close()


def test_storage_order_begins_after_an_id(tmp_path):
    """By id, whatever the timestamps; a gap left by retention costs no empty slices."""
    writer = make_store(tmp_path / "s.db", [EventRow({"n": n}, BASE - n * SECOND) for n in range(40)])
    writer.execute("DELETE FROM events WHERE id <= 25")
    selection = Selection(parse_query(""), since=BASE - 35 * SECOND)
    assert numbers(EventScan(writer, selection).by_storage(0)) == list(range(25, 36))
    assert numbers(EventScan(writer, selection).by_storage(30)) == list(range(30, 36))
    assert numbers(EventScan(writer, selection).by_storage(99)) == []
    writer.close()


def test_an_empty_store_has_no_events(tmp_path):
    """In any order."""
    store = make_store(tmp_path / "s.db")
    scan = EventScan(store, Selection(parse_query("x")))
    assert list(scan.by_time()) == list(scan.by_time(descending=True)) == list(scan.by_storage(0)) == []
    store.close()
