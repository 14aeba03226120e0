"""Counts: rollups say what a scan says, buckets are aligned, tables come in every form."""

import json
import time
from collections import Counter
from contextlib import closing
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.times import local_floor
from agent.query.aggregate import Bucket, buckets, render_buckets
from agent.query.language import Grouping, Selection, parse_query
from agent.query.render import Output
from agent.query.sqlite import counts, rollup
from agent.query.sqlite.counts import scan_counts, stored_counts
from agent.query.sqlite.scan import EventScan
from tests.query.stores import BASE, SECOND, EventRow, FileRow, add_events, make_store

FILES = [FileRow("app", "/a.log"), FileRow("web", "/w.log")]
MINUTE = 60 * SECOND
START = BASE // MINUTE * MINUTE
NOW = START + 3_600 * SECOND


@pytest.fixture(scope="module")
def memory():
    with closing(make_store(":memory:", files=FILES)) as store:
        yield store


def count_events(store, selection, grouping, now):
    return buckets([stored_counts(store, selection, grouping, now)], grouping)


def refill(store, rows):
    store.execute("DELETE FROM events")
    store.execute("DELETE FROM rollups")
    add_events(store, rows)


ROWS = st.lists(
    st.builds(
        lambda logger, ns, severity, file: EventRow(
            {"logger": logger} if logger else {"user": "ann"},
            START + ns,
            severity,
            file,
            group=1 if severity >= 17 else None,
        ),
        st.sampled_from(["", "a", "b", "c"]),
        st.integers(-3 * MINUTE, 5 * MINUTE),
        st.sampled_from([0, 5, 9, 13, 17, 21]),
        st.sampled_from([1, 2]),
    ),
    max_size=25,
)
EDGES = st.none() | st.integers(-4 * MINUTE, 6 * MINUTE).map(lambda ns: START + ns)
QUERIES = [
    "",
    "severity>=warn",
    "severity<=info source=app",
    "logger=a logger=b",
    "!logger=a",
    "source!=web",
    "logger~[ab]",
]


@settings(max_examples=300, deadline=None)
@given(
    rows=ROWS,
    edges=st.tuples(EDGES, EDGES),
    text=st.sampled_from(QUERIES),
    by=st.lists(st.sampled_from(["severity", "source", "logger"]), unique=True),
    every=st.sampled_from([None, MINUTE, 2 * MINUTE, 60 * MINUTE, SECOND]),
    expired=st.integers(-3, 5) | st.none(),
    age=st.sampled_from([0, 389, 391]),
)
def test_rollups_say_what_a_scan_says(  # noqa: PLR0917 - hypothesis names them
    memory, rows, edges, text, by, every, expired, age
):
    """For every span, filter and grouping, also while retention is deleting, and beyond the rollups' own age."""
    refill(memory, rows)
    if expired is not None:  # retention marks the minutes of what it deletes, the oldest stored first
        last = memory.execute("SELECT coalesce(min(id), 0) + ? FROM events", (max(expired, 0),)).fetchone()[0]
        memory.execute(
            "UPDATE rollups SET expired = 1 WHERE minute IN (SELECT timestamp / 60000000000 FROM events WHERE id <= ?)",
            (last,),
        )
        memory.execute("DELETE FROM events WHERE id <= ?", (last,))
    selection = Selection(parse_query(text), *edges)
    grouping = Grouping(tuple(by), every)
    now = NOW + age * 86_400 * SECOND
    if age == 391:
        memory.execute("DELETE FROM rollups WHERE minute < ?", (START // MINUTE,))  # older ones have been dropped
        now = START + 390 * 86_400 * SECOND
    answer = count_events(memory, selection, grouping, now)
    plain = Counter(scan_counts(EventScan(memory, selection), grouping))
    if not by and every is None:
        assert answer == [Bucket(None, (), plain.total())]
    else:
        unit = every or 1
        found = {(None if row.time is None else row.time // unit, row.values): row.count for row in answer}
        assert found == dict(plain)
        assert [row.time or 0 for row in answer] == sorted(row.time or 0 for row in answer)


@settings(max_examples=100, deadline=None)
@given(
    rows=ROWS,
    by=st.lists(st.sampled_from(["severity", "source", "path", "group", "category", "state", "user"]), unique=True),
    every=st.sampled_from([None, MINUTE, 7 * SECOND]),
    text=st.sampled_from(["", "severity>=error", "path=/a.log", "user=ann"]),
)
def test_counting_in_sqlite_is_counting_one_by_one(memory, rows, by, every, text):
    """Where no record must be read SQLite counts; the answer is that of looking at each event."""
    refill(memory, rows)
    grouping = Grouping(tuple(by), every)
    selection = Selection(parse_query(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts, "_COUNTED_ROWS", 4)
        fast = scan_counts(EventScan(memory, selection), grouping)
        patch.setattr(counts, "_COLUMNS", {})
        scan = EventScan(memory, selection)
        scan.plan = type(scan.plan)(scan.plan.index, scan.plan.sql, scan.plan.parameters, residual=True, selective=True)
        assert scan_counts(scan, grouping) == fast


def test_an_instant_before_1970_is_in_its_own_bucket(memory):
    """Buckets are floors, in SQLite as in Python."""
    refill(memory, [EventRow({"user": "ann"}, -1), EventRow({"user": "ann"}, 0), EventRow({"user": "ann"}, -MINUTE)])
    for by in ((), ("user",)):
        rows = count_events(memory, Selection(parse_query("")), Grouping(by, 7 * MINUTE), NOW)
        assert [(row.time, row.count) for row in rows] == [(-7 * MINUTE, 2), (0, 1)]


@pytest.mark.parametrize(("every", "text"), [(86_400, ""), (86_400, "user=ann"), (3_600, "severity>=warn"), (420, "")])
def test_local_days_hold_what_the_local_clock_says(memory, monkeypatch, every, text):
    """Whoever counts them, rollups or a scan: each event is in the bucket that its own instant begins."""
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        rows = [EventRow({"user": "ann"}, START + number * 1_700 * SECOND, 17) for number in range(90)]
        refill(memory, rows)
        grouping = Grouping((), every * SECOND, is_local=True)
        selection = Selection(parse_query(text))
        found = buckets([stored_counts(memory, selection, grouping.counted, NOW)], grouping)
        wanted = Counter(
            local_floor(row.timestamp, every * SECOND)
            if every != 420
            else row.timestamp // (every * SECOND) * every * SECOND
            for row in rows
        )
        assert {row.time: row.count for row in found} == wanted
        if every == 86_400:
            assert (found[0].time + 20_700 * SECOND) % (86_400 * SECOND) == 0, "midnight of 05:45"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_too_many_logger_names_are_counted_by_a_scan(memory):
    """When the rollups no longer say which logger it was; a question without loggers still uses them."""
    refill(memory, [EventRow({"logger": f"l{n}"}, START + n) for n in range(3)])
    memory.execute("UPDATE rollups SET logger = ? WHERE logger = 'l2'", ("\x00other",))
    rows = count_events(memory, Selection(parse_query("")), Grouping(("logger",)), NOW)
    assert {(row.values, row.count) for row in rows} == {((b'"l0"',), 1), ((b'"l1"',), 1), ((b'"l2"',), 1)}
    assert count_events(memory, Selection(parse_query("logger=l2")), Grouping(), NOW)[0].count == 1
    memory.execute("UPDATE rollups SET count = 7 WHERE logger = 'l0'")  # proves where the next answer comes from
    assert count_events(memory, Selection(parse_query("")), Grouping(), NOW)[0].count == 9


def test_many_expired_spans_are_counted_by_a_scan(memory, monkeypatch):
    """Instead of by as many statements."""
    refill(memory, [EventRow({}, START + n * MINUTE) for n in range(9)])
    memory.execute("UPDATE rollups SET expired = 1, count = 1000 WHERE minute % 2 = 0")
    monkeypatch.setattr(rollup, "_MOST_SPANS", 2)
    assert count_events(memory, Selection(parse_query("")), Grouping(), NOW)[0].count == 9
    assert not memory.in_transaction


def test_largest_first_and_the_top(memory):
    """Ties by value; the top are the largest over all buckets."""
    users = ["b", "b", "a", "c", "c", "c", None]
    refill(memory, [EventRow({"user": user} if user else {}, START + n * MINUTE) for n, user in enumerate(users)])
    everything = Selection(parse_query(""))
    rows = count_events(memory, everything, Grouping(("user",)), NOW)
    assert [(row.values, row.count) for row in rows] == [((b'"c"',), 3), ((b'"b"',), 2), ((None,), 1), ((b'"a"',), 1)]
    rows = count_events(memory, everything, Grouping(("user",), 2 * MINUTE, top=1), NOW)
    assert {row.values for row in rows} == {(b'"c"',)}
    assert sum(row.count for row in rows) == 3


def test_one_value_written_in_two_ways_is_one(memory):
    """An escape in one line, the character in the other; numbers and texts stay apart, as written."""
    lines = ['{"v":"\\u00f6"}', '{"v":"ö"}', '{"v":1}', '{"v":"1"}', '{"v":1e999}', '{"v":[1, 2]}', '{"v":null}']
    refill(memory, [EventRow(line) for line in lines])
    rows = count_events(memory, Selection(parse_query("")), Grouping(("v",)), NOW)
    assert {(row.values[0], row.count) for row in rows} == {
        ('"ö"'.encode(), 2), (b"1", 1), (b'"1"', 1), (b"1e999", 1), (b"[1, 2]", 1), (b"null", 1),
    }  # fmt: skip


ROWS_SHOWN = [Bucket(START, (b'"a\\u001b[2J"', None), 12), Bucket(START, (b"1e999", b'"x"'), 3)]


def test_the_forms_of_a_table():
    """json keeps values as written, csv and the aligned table show them; nothing drives a terminal."""
    grouping = Grouping(("v", "w"), MINUTE)
    lines = render_buckets(ROWS_SHOWN, grouping, Output("json")).decode().splitlines()
    assert json.loads(lines[0])["v"] == "a\x1b[2J"
    assert '"v":1e999' in lines[1]
    assert json.loads(lines[0])["w"] is None
    assert set(json.loads(lines[0])) == {"time", "v", "w", "count"}
    csv = render_buckets(ROWS_SHOWN, grouping, Output("csv")).decode().splitlines()
    assert csv[0] == "time,v,w,count"
    assert csv[2].endswith(",1e999,x,3")
    table = render_buckets(ROWS_SHOWN, grouping, Output("short")).decode()
    assert "\x1b" not in table
    assert "\\x1b[2J" in table
    assert table.splitlines()[1].endswith("12")
    assert render_buckets([Bucket(None, (), 5)], Grouping(), Output("short")) == b"5\n"
    assert render_buckets([Bucket(None, (), 5)], Grouping(), Output("json")) == b'{"count":5}\n'
    assert render_buckets([Bucket(None, (), 5)], Grouping(), Output("csv")) == b"count\n5\n"


def test_an_average_is_short_for_people_and_whole_for_machines():
    """Dividing makes seventeen digits; what was logged stays as it is."""
    rows = [Bucket(None, (b'"a"',), 3), Bucket(None, (b'"b"',), 2), Bucket(None, (b'"c"',), 1)]
    numbers = ["50.90452814782982", "0.0012345678901234567", "400"]
    more = {"avg:ms": numbers, "max:ms": ["12.3456789", None, "7"]}
    table = render_buckets(rows, Grouping(("k",)), Output("short"), more).decode().splitlines()
    assert [line.split() for line in table[1:]] == [
        ["a", "3", "50.905", "12.3456789"], ["b", "2", "0.00123", "-"], ["c", "1", "400", "7"],
    ]  # fmt: skip
    csv = render_buckets(rows, Grouping(("k",)), Output("csv"), more).decode()
    assert [line.split(",")[2] for line in csv.splitlines()[1:]] == numbers
    assert f'"avg:ms":{numbers[0]}' in render_buckets(rows, Grouping(("k",)), Output("json"), more).decode()


def test_an_hour_that_comes_twice_says_which_it_is():
    """In Vienna at the end of October: two rows of the same local time are told apart, and no others."""
    rows = [Bucket((1_792_882_800 + hour * 3600) * SECOND, (), 1) for hour in range(4)]
    output, grouping = Output("short", zone=ZoneInfo("Europe/Vienna")), Grouping((), 3600 * SECOND)
    assert render_buckets(rows, grouping, output).decode().splitlines()[1:] == [
        "2026-10-25 01:00:00             1",
        "2026-10-25 02:00:00 +02:00      1",
        "2026-10-25 02:00:00 +01:00      1",
        "2026-10-25 03:00:00             1",
    ]


@pytest.mark.parametrize(("width", "longest"), [(200, 40), (80, 37), (44, 1), (43, 0), (20, 0)])
def test_bars_end_where_the_terminal_ends(width, longest):
    """The largest count's is as long as there is room for; without room there are none."""
    rows = [Bucket(START, (b'"shop"',), 12), Bucket(START, (b'"a longer name"',), 3)]
    grouping = Grouping(("service",), MINUTE)
    lines = render_buckets(rows, grouping, Output(terminal=True, width=width)).decode().splitlines()
    assert [line.count("█") for line in lines] == [0, longest, longest // 4]
    assert all(len(line) <= max(width, 41) for line in lines)
