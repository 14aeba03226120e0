"""Counting in blocks and columns gives what looking at each event gives, and does look at few."""

import json
import sqlite3
import threading
from collections import Counter
from contextlib import closing
from functools import partial
from itertools import count, islice
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.errors import SidelogError
from agent.core.fields import Profile
from agent.query.aggregate import count_event
from agent.query.columns import UnfitError
from agent.query.language import Grouping, Selection, parse_query
from agent.query.sqlite import blocks, bulk, counts, twin
from agent.query.sqlite import scan as scans
from agent.query.sqlite.scan import EventScan
from agent.store.schema import VERSION
from tests.query.cases import FIELDS, FILES, QUERIES, ROWS
from tests.query.stores import BASE, SECOND, EventRow, add_events, make_store

PROFILES = st.lists(
    st.sampled_from(
        [
            None,
            {"format": "json", "service": ["service"], "logger": ["logger"], "message": ["message"]},
            {"format": "json", "service": ["user"], "trace_id": ["trace_id"], "overrides": {"logger": ["http.status"]}},
        ]
    ),
    min_size=3,
    max_size=3,
)


@pytest.fixture(scope="module")
def memory():
    with closing(make_store(":memory:", files=FILES)) as store:
        yield store


def refill(store, rows, profiles=()):
    store.execute("DELETE FROM events")
    for number, profile in enumerate(profiles, 1):
        store.execute(
            "UPDATE files SET profile = ? WHERE id = ?", (None if profile is None else json.dumps(profile), number)
        )
    add_events(store, rows)


def one_by_one(scan, grouping):
    found = Counter()
    for event in scan.by_time():
        count_event(found, event, grouping, scan.categories)
    return found


def in_bulk(scan, grouping):
    return bulk.BulkCount(scan, grouping, counts._COLUMNS, partial(counts._column_value, scan))


@settings(max_examples=400, deadline=None)
@given(
    rows=ROWS,
    profiles=PROFILES,
    query=QUERIES,
    by=st.lists(
        FIELDS | st.sampled_from(["severity", "attributes.http", "http.path.x", 'a"b', "a\\b", "\x1b", "\ud800"]),
        max_size=3,
        unique=True,
    ),
    every=st.sampled_from([None, SECOND, 7 * SECOND]),
    span=st.sampled_from([(None, None), (BASE - SECOND, None), (BASE, BASE + 2 * SECOND)]),
    size=st.sampled_from([2, 3, 100]),
)
def test_blocks_say_what_each_event_says(memory, rows, profiles, query, by, every, span, size):  # noqa: PLR0917
    refill(memory, rows, profiles)
    grouping = Grouping(tuple(by), every)
    scan = EventScan(memory, Selection(query, *span))
    with pytest.MonkeyPatch.context() as patch:
        for module in (blocks, bulk):
            patch.setattr(module, "BLOCK_ROWS", size)
        patch.setattr(bulk, "_SMALL_SPAN", 1)
        try:
            found = in_bulk(scan, grouping)
        except UnfitError:
            return
        assert found.count() == one_by_one(scan, grouping)


@settings(max_examples=150, deadline=None)
@given(
    rows=ROWS,
    query=QUERIES,
    span=st.sampled_from([(None, None), (BASE - SECOND, None), (BASE, BASE + 2 * SECOND)]),
    descending=st.booleans(),
    wanted=st.sampled_from([None, 1, 3]),
)
def test_events_of_blocks_are_those_of_pages(memory, rows, query, span, descending, wanted):  # noqa: PLR0917
    """Where few match, longer slices are read in the order of storage."""
    refill(memory, rows)
    scan = EventScan(memory, Selection(query, *span))
    plain = [event.id for event in scan.by_time(descending=descending)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_ROWS", 2)
        for name, value in {"SLICE_ROWS": 1, "_LONG_SLICE_ROWS": 4, "_RARE": 9, "_SCATTERED": 9}.items():
            patch.setattr(scans, name, value)
        found = islice(scan.by_time(descending=descending, wanted=wanted), wanted)
        assert [event.id for event in found] == plain[:wanted]


# ---------------------------------------------------------------- a store on the disk, read by threads

NUMBER_OF_EVENTS = 600
STATUSES = [200, 404, 500]


@pytest.fixture
def on_disk(tmp_path, monkeypatch):
    """A scan of events in a file, which is read in blocks of ten by two threads."""
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 10)
    monkeypatch.setattr(bulk, "BLOCK_ROWS", 10)
    rows = [
        EventRow(
            {"message": f"order {n}", "http": {"status": STATUSES[n % 3]}, "service": "shop" if n % 2 else "mail"},
            BASE + n * SECOND,
        )
        for n in range(NUMBER_OF_EVENTS)
    ]
    store = make_store(tmp_path / "s.db", rows, FILES)
    profile = Profile(format="json", message=("message",), service=("service",))
    store.execute("UPDATE files SET profile = ?", (profile.to_json(),))
    with closing(store):

        def made(text, *, path=tmp_path / "s.db"):
            return EventScan(store, Selection(parse_query(text)), path=path)

        yield SimpleNamespace(store=store, scan=made, path=tmp_path / "s.db")


def count_in_bulk(on_disk, text, by=(), every=None):
    grouping, scan = Grouping(tuple(by), every), on_disk.scan(text)
    counted = bulk.BulkCount(scan, grouping, counts._COLUMNS, partial(counts._column_value, scan))
    looked = []
    counted._look_at_event = looked.append
    found = counted.count()
    assert threading.active_count() == 1, "threads end with the answer"
    return found, len(looked)


@pytest.mark.parametrize(
    ("text", "by", "every"),
    [
        ("", ("http.status",), None),
        ("", ("service", "http.status"), 60 * SECOND),
        ("http.status>=404", (), None),
        ("http.status>=404 service=shop", ("severity",), None),
        ("http.status=404 OR service=mail", ("source",), None),
        ("http.status=404", ("service",), None),
        ("http.status<404 http.status>99", (), None),
        ("service!=shop http.status<500.5", ("attributes.service",), None),
        ("order", ("http.status",), None),
        ("!order", (), None),
        ("'17'", (), None),
        ("message~^order.[0-9]7$", ("service",), None),
        ("http.status~^4 !message~9", (), None),
        ("service=*", ("logger",), None),
    ],
)
def test_usual_questions_look_at_no_event(on_disk, text, by, every):
    found, looked = count_in_bulk(on_disk, text, by, every)
    assert found == one_by_one(on_disk.scan(text, path=None), Grouping(by, every))
    assert looked == 0


def test_a_record_that_is_odd_costs_itself_alone(on_disk):
    """A list on the way, a number that no double holds, half a surrogate pair, a service that is none."""
    for record in (
        '{"http":[{"status":404}],"service":"shop"}',
        '{"http":{"status":1e999},"service":"shop"}',
        '{"http":{"status":"\\ud800"},"service":"shop"}',
        '{"http":{"status":404},"service":7}',
    ):
        add_events(on_disk.store, [EventRow(record)])
        for text, by in (("http.status=404", ("service",)), ("", ("http.status", "service"))):
            scan, grouping = on_disk.scan(text), Grouping(by)
            counted = in_bulk(scan, grouping)
            look, looked = counted._look_at_event, []
            counted._look_at_event = lambda event, look=look, looked=looked: (looked.append(event), look(event))
            assert counted.count() == one_by_one(on_disk.scan(text), grouping)
            assert len(looked) <= bulk._SMALL_SPAN


def test_a_store_full_of_what_is_odd_is_counted_all_the_same(on_disk):
    on_disk.store.execute("""UPDATE events SET record = replace(record, '"status":', '"status":1e999,"x":')""")
    for text, by in (("http.x=404", ("service",)), ("", ("http.status",)), ("http.status>500", ("http.x",))):
        found = in_bulk(on_disk.scan(text), Grouping(by)).count()
        assert found == one_by_one(on_disk.scan(text), Grouping(by))


def test_a_block_that_would_be_too_large_is_read_in_parts(on_disk, monkeypatch):
    add_events(on_disk.store, [EventRow({"message": "x" * 5_000, "service": "shop"}, BASE + n) for n in range(30)])
    wanted = one_by_one(on_disk.scan("", path=None), Grouping(("service",)))
    rare = [event.id for event in on_disk.scan("order 17").by_time()]
    monkeypatch.setattr(blocks, "_BLOCK_BYTES", 4_000)
    assert in_bulk(on_disk.scan(""), Grouping(("service",))).count() == wanted
    monkeypatch.setattr(scans, "SLICE_ROWS", 50)
    assert [event.id for event in on_disk.scan("order 17").by_time()] == rare


def test_who_stops_taking_ends_the_threads(on_disk):
    spans = list(blocks.spans_of(1, NUMBER_OF_EVENTS))
    sql = "SELECT count(*) FROM events e WHERE e.id >= ? AND e.id <= ?"
    with closing(blocks.read_blocks(on_disk.store, on_disk.path, blocks.Statement(sql, ()), spans)) as found:
        assert next(found).row == (10,)
    assert threading.active_count() == 1
    assert (
        sum(block.row[0] for block in blocks.read_blocks(on_disk.store, on_disk.path, blocks.Statement(sql, ()), spans))
        == 600
    )


def test_what_a_thread_meets_is_raised(on_disk):
    spans = list(blocks.spans_of(1, NUMBER_OF_EVENTS))
    statement = blocks.Statement("SELECT 1 FROM missing WHERE ? = ?", ())
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        list(blocks.read_blocks(on_disk.store, on_disk.path, statement, spans))
    assert threading.active_count() == 1


@pytest.mark.parametrize("operator", ["=", ">", ">=", "<", "<=", "!="])
@pytest.mark.parametrize("number", [1, 9, 10, 99, 100, 200, 404, 500, 999, 1000, 10**9, 2**70])
def test_digits_tell_which_numbers_fail(on_disk, operator, number):
    """However a number is written, wherever the same key stands besides, and whatever a label says."""
    values = [
        0,
        1,
        9,
        10,
        99,
        100,
        199,
        200,
        404,
        499,
        500,
        501,
        999,
        1000,
        4040,
        10**9,
        2**70,
        -404,
        404.5,
        "404",
        None,
    ]
    records = [f'{{"http":{{"status":{json.dumps(value)}}}}}' for value in values]
    records += [
        '{"x":{"status":200},"http":{"status":500}}', '{"x":{"status":200}}', '{"http":{"status": 404}}',
        '{"http":{"status":5e2,"x":1}}', '{"http":{"status":404e1}}', '{"http":[{"status":200},{"status":500}]}',
        '{"http":{"st\\u0061tus":500},"status":200}', '{"http.status":500,"http":{"status":200}}',
        '{"http":{"status":[200,500]}}', '{"http_status":200}', '{"http":{"status":404}, "http":{"status":100}}',
        '{"message":"\\"status\\":100,","http":{"status":500}}',
    ]  # fmt: skip
    add_events(on_disk.store, [EventRow(record, file=1 + n % 3) for n, record in enumerate(records)])
    if number > 200:
        on_disk.store.execute("""UPDATE files SET resource = '{"http.status":"404"}' WHERE id = 3""")
    text = f"http.status{operator}{number}"
    assert in_bulk(on_disk.scan(text, path=None), Grouping()).count() == one_by_one(
        on_disk.scan(text, path=None), Grouping()
    )


def test_a_list_with_half_of_a_pair_is_looked_into(memory):
    refill(memory, [EventRow('{"http": [{"status": "\\ud800"}, 1.0]}'), EventRow('{"http": ["\\ud800"]}')])
    found = one_by_one(EventScan(memory, Selection(parse_query(""))), Grouping(("http.status",)))
    assert found == {(None, (b'["\\ud800"]',)): 1, (None, (None,)): 1}


@pytest.mark.parametrize("text", ["user=ann", "severity>=error user=ann", ""])
def test_nothing_is_counted_in_a_store_without_files(text):
    with closing(make_store(":memory:")) as store:
        store.execute("DELETE FROM files")
        scan = EventScan(store, Selection(parse_query(text)))
        assert counts.scan_counts(scan, Grouping(("user",))) == {}


# ---------------------------------------------------------------- a twin


@pytest.fixture
def twins(monkeypatch):
    """The processes that were started: any question is worth one."""
    monkeypatch.setattr(bulk, "_WORTH_TWIN", 2)
    monkeypatch.setattr(twin, "_AT_ONCE", 3)
    started = []
    start = twin.Twin.__init__

    def noted(self, *arguments):
        start(self, *arguments)
        started.append(self)

    monkeypatch.setattr(twin.Twin, "__init__", noted)
    return started


def count_by_two(on_disk, text, by, every=None):
    return counts.scan_counts(on_disk.scan(text), Grouping(by, every), twin=True)


@pytest.mark.parametrize(
    ("text", "by", "every"),
    [
        ("", ("http.status", "service", "severity"), 60 * SECOND),
        ("latency=3 OR http.status!=404", (), None),
        ('http.status=200 OR service="größer"', ("message", "logger"), None),
    ],
)
def test_two_processes_count_what_one_does(on_disk, twins, text, by, every):
    odd = ['{"message":"größer\\n","service":"\\ud800"}', '{"http":[{"status":404}],"logger":"\\"/\\""}']
    add_events(on_disk.store, [EventRow(record, BASE) for record in odd])
    assert count_by_two(on_disk, text, by, every) == one_by_one(on_disk.scan(text, path=None), Grouping(by, every))
    assert len(twins) == 1
    assert threading.active_count() == 1


def test_what_a_twin_that_is_killed_had_to_count_is_counted(on_disk, twins, monkeypatch):
    """At any moment: before it asks, while it counts, before it says what it found."""
    wanted = one_by_one(on_disk.scan("", path=None), Grouping(("service",)))
    take = twin.Twin._take
    for moment in range(4):
        calls = count()

        def killing(self, moment=moment, calls=calls):
            found = take(self)
            if next(calls) == moment:
                self._process.kill()
            return found

        monkeypatch.setattr(twin.Twin, "_take", killing)
        assert count_by_two(on_disk, "", ("service",)) == wanted
    assert len(twins) == 4


def test_a_twin_that_cannot_read_the_store_is_done_without(on_disk, twins):
    """To the twin it looks as if a newer program had written it."""
    wanted = one_by_one(on_disk.scan("", path=None), Grouping(("service",)))
    on_disk.store.execute("PRAGMA user_version = 99")
    with pytest.raises(SidelogError):  # as whoever opens it
        count_by_two(on_disk, "", ("service",))
    on_disk.store.execute(f"PRAGMA user_version = {VERSION}")
    assert count_by_two(on_disk, "", ("service",)) == wanted
    assert len(twins) == 2
    assert threading.active_count() == 1
