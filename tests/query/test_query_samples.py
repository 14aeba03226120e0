"""The events that show what a group is are found wherever they lie in time."""

import pytest

from agent.query.groups import SAMPLES, TRACE_EVENTS, group_samples, trace_events
from agent.query.sqlite.engine import SqliteEngine
from agent.query.sqlite.groups import IN_MINUTE
from agent.store.events import Files, load_events
from tests.query.stores import BASE, SECOND, EventRow, make_store

MINUTE = 60 * SECOND
DAY = 1_440 * MINUTE


@pytest.fixture
def samples(tmp_path):
    """The samples (ids) of group 1 in a store with such events: pairs of timestamp and group."""
    stores = []

    def find(*events, minutes=True):
        rows = [EventRow({"message": "m"}, at, 9 if group is None else 17, group=group) for at, group in events]
        connection = make_store(tmp_path / f"{len(stores)}.db", rows)
        stores.append(connection)
        if minutes:
            connection.executemany(
                "INSERT OR IGNORE INTO group_minutes VALUES (?, ?, 1)",
                [(group, at // MINUTE) for at, group in events if group],
            )
        return [event.id for event in group_samples(SqliteEngine(connection, tmp_path), 1)]

    yield find
    for connection in stores:
        connection.close()


def test_all_of_a_few_newest_first(samples):
    assert samples() == []
    assert samples((BASE, 2), (BASE, None)) == []
    assert samples((BASE, 1)) == [1]
    assert samples((BASE + 2, 1), (BASE, 1), (BASE, 2), (BASE + 1, 1)) == [1, 4, 2]
    assert samples((BASE, 1), (BASE, 1), (BASE, 1)) == [3, 2, 1]


def test_of_many_the_first_the_latest_and_some_evenly_between(samples):
    events = [(BASE + number * DAY, 1 + number % 2) for number in range(41)]
    assert samples(*events) == [41, 31, 21, 11, 1]


def test_where_all_but_one_came_at_once_the_newest_fill_the_places(samples):
    events = [(BASE, 1), *((BASE + DAY + number, 1) for number in range(20))]
    assert samples(*events) == [21, 20, 19, 2, 1]


def test_minutes_whose_events_were_deleted_are_passed_over(tmp_path):
    connection = make_store(tmp_path / "s.db", [EventRow({"message": "m"}, BASE + 9 * DAY, 17, group=1)])
    connection.executemany(
        "INSERT INTO group_minutes VALUES (1, ?, 5)", [((BASE + number * DAY) // MINUTE,) for number in range(20)]
    )
    assert [event.timestamp for event in group_samples(SqliteEngine(connection, tmp_path), 1)] == [BASE + 9 * DAY]
    connection.close()


def test_before_1970_and_without_minutes_too(samples):
    assert samples((-DAY - 1, 1), (-1, 1), (BASE, 1)) == [3, 2, 1]
    events = [(BASE + number, 1 + number % 2) for number in range(40)]
    assert samples(*events, minutes=False) == [39, 37, 35, 33, 31]


@pytest.mark.parametrize("order", ["ASC", "DESC"])
def test_every_look_at_a_minute_is_a_seek_in_the_index_of_errors(tmp_path, order):
    connection = make_store(tmp_path / "s.db")
    statement = IN_MINUTE.format(order=order)
    plan = " ".join(str(row) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", (1, 0, 1, 5)))
    assert "COVERING INDEX errors_by_time (timestamp>? AND timestamp<?)" in plan
    assert "B-TREE FOR ORDER BY" not in plan, "equal instants alone are sorted"
    connection.close()


def traced(tmp_path, rows, at):
    connection = make_store(tmp_path / "s.db", rows)
    [event] = load_events(connection, [at], Files(connection))
    found = [event.id for event in trace_events(SqliteEngine(connection, tmp_path), event)]
    connection.close()
    return found


def line(trace, at=0):
    return EventRow({"message": "m", "trace_id": trace}, BASE + at)


def test_the_last_events_of_a_trace_are_those_around_its_error(tmp_path):
    """A day before or after, the same id is another request's."""
    rows = [line("a", -DAY), line("a", -1), line("b"), line("a"), line("a", 10 * SECOND), line("a", DAY)]
    assert traced(tmp_path, rows, 4) == [2, 4, 5]


def test_only_the_last_ones_of_a_long_trace(tmp_path):
    assert traced(tmp_path, [line("a", number) for number in range(40)], 20) == list(range(41 - TRACE_EVENTS, 41))


def test_without_a_trace_id_there_is_nothing_to_find(tmp_path):
    assert traced(tmp_path, [EventRow({"message": "m"})], 1) == []


def test_in_a_flood_only_the_neighbours_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.query.sqlite.engine._NEAR_ROWS", 3)
    rows = [
        line("a", 0),
        line("b", 1),
        line("b", 2),
        line("a", 3),
        line("a", 4),
        line("b", 5),
        line("b", 6),
        line("a", 7),
    ]
    assert traced(tmp_path, rows, 4) == [1, 4, 5]
    assert SAMPLES == 5
