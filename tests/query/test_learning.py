"""Fields that are counted beforehand: the same answers as of looking at each event, or they are not used."""

import json
from collections import Counter
from contextlib import closing
from itertools import count
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.fields import Profile
from agent.query.aggregate import count_event
from agent.query.language import Grouping, Query, Selection, parse_query
from agent.query.sqlite import blocks, bulk, learning
from agent.query.sqlite import scan as scans
from agent.query.sqlite.counts import scan_counts
from agent.query.sqlite.learned import promising_spans
from agent.query.sqlite.learning import Learner, choose_fields
from agent.query.sqlite.scan import EventScan
from agent.query.terms import Term
from agent.store import field_counts, opening, tables
from agent.store.field_counts import BLOCK_EVENTS
from agent.store.maintenance import Retention
from tests.integration.harness import Box, append, wait_until
from tests.query.cases import FILES, ROWS, WORDS
from tests.query.stores import BASE, SECOND, EventRow, add_events, add_file, make_store
from tests.query.test_bulk import PROFILES

LEARNED = ["user", "http.status", "status", "env", "logger", "service"]
APART = 5_000  # ids between two events: blocks are of ids, and few events fill them
EVENTS = 9  # of two blocks, and the beginning of a third


@pytest.fixture(scope="module")
def memory():
    with closing(make_store(":memory:", files=FILES)) as store:
        yield store


@pytest.fixture
def store(tmp_path):
    with closing(make_store(tmp_path / "s.db", files=FILES)) as store:
        yield store


def refill(store, rows, profiles=()):
    store.execute("DELETE FROM events")
    store.execute("DELETE FROM field_counts")
    store.execute("DELETE FROM counted_fields")
    tables.keep_ids(store, 0)
    for number, profile in enumerate(profiles, 1):
        store.execute(
            "UPDATE files SET profile = ? WHERE id = ?", (None if profile is None else json.dumps(profile), number)
        )
    add_events(store, rows)
    store.execute("UPDATE events SET id = -id")
    store.execute(f"UPDATE events SET id = 1 + (-id - 1) * {APART}")
    tables.keep_ids(store, 1 + (len(rows) - 1) * APART)


def learner_of(store, fields, monkeypatch):
    monkeypatch.setattr(learning, "choose_fields", lambda _connection: fields)
    writer = SimpleNamespace(connection=store, change=lambda change: change(store))
    return Learner(writer, elapsed=count(0, 10_000).__next__)


def learn(store, fields, monkeypatch, share=9.0):
    monkeypatch.setattr(learning, "_SHARE_OF_RECORDS", share)
    learner = learner_of(store, fields, monkeypatch)
    while learner.step():
        pass
    return learner


def one_by_one(scan, grouping):
    found = Counter()
    for event in scan.by_time():
        count_event(found, event, grouping, scan.categories)
    return found


def scan_of(store, query, since=None, until=None):
    return EventScan(store, Selection(query if isinstance(query, Query) else parse_query(query), since, until))


def learned_blocks(store, field):
    return [block.number for block in field_counts.load(store, field, 0, 1_000)]


@settings(max_examples=300, deadline=None)
@given(data=st.data(), rows=ROWS, profiles=PROFILES)
def test_an_answer_is_that_of_looking_at_each_event(memory, data, rows, profiles):
    field = data.draw(st.sampled_from(LEARNED))
    refill(memory, [*rows, *data.draw(ROWS), *rows], profiles)
    with pytest.MonkeyPatch.context() as patch:
        learn(memory, [field], patch)
    operators = st.sampled_from(["=", "!=", ">", ">=", "<", "~"])
    words = st.sampled_from([word for word in WORDS if word not in ("*", "?", "[x]")])
    terms = st.builds(Term, st.just(field), operators, words, st.booleans())
    of_files = st.sampled_from([Term("source", "=", "app"), Term("source", "!=", "app"), Term("path", "~", "b.log")])
    query = Query(tuple(data.draw(st.lists(terms | of_files, max_size=3))))
    by = tuple(data.draw(st.lists(st.sampled_from([field, "source", "path"]), max_size=2, unique=True)))
    grouping = Grouping(by, data.draw(st.sampled_from([None, SECOND, 60 * SECOND])))
    since = data.draw(st.sampled_from([None, BASE, BASE + SECOND]))
    until = data.draw(st.sampled_from([None, BASE + SECOND, BASE + 9 * SECOND]))
    found = scan_counts(scan_of(memory, query, since, until), grouping)
    assert +found == one_by_one(scan_of(memory, query, since, until), grouping)


def plain(number, **fields):
    return EventRow({"message": f"event {number}", "user": f"u{number % 3}", **fields}, BASE + number * SECOND)


@pytest.mark.parametrize(
    ("text", "grouping", "read"),
    [
        ("", Grouping(("user",), None), 1),
        ("user=u1", Grouping((), None), 1),
        ("user=u1 source=app", Grouping(("user", "path"), None), 1),
        ("source!=web", Grouping(("user",), None), 1),
        ("", Grouping(("user",), 3_600 * SECOND), 1),
        ("", Grouping(("user",), SECOND), 3),  # each block spans several seconds
        ("event", Grouping(("user",), None), 3),
        ("severity=info", Grouping(("user",), None), 3),
        ("", Grouping(("user", "message"), None), 3),
    ],
)
def test_blocks_that_are_counted_are_not_read(store, monkeypatch, text, grouping, read):
    refill(store, [plain(number) for number in range(EVENTS)])
    learn(store, ["user"], monkeypatch)
    assert learned_blocks(store, "user") == [0, 1]
    spans = []
    read_blocks = bulk.read_blocks

    def noted(connection, path, statement, wanted, *, threads):
        wanted = list(wanted)
        spans.extend(wanted)
        return read_blocks(connection, path, statement, wanted, threads=threads)

    monkeypatch.setattr(bulk, "read_blocks", noted)
    assert +scan_counts(scan_of(store, text), grouping) == one_by_one(scan_of(store, text), grouping)
    assert len({low // BLOCK_EVENTS for low, _ in spans}) == read


def test_blocks_without_what_is_asked_for_are_passed_over(store, monkeypatch):
    refill(store, [plain(number, kind="rare" if number == EVENTS - 1 else "usual") for number in range(EVENTS)])
    learn(store, ["kind", "user"], monkeypatch)
    scan = scan_of(store, "kind=rare event")
    assert {low // BLOCK_EVENTS for low, _ in promising_spans(scan, 1, scan.last_id)} == {2}
    assert scan_counts(scan, Grouping())[None, ()] == 1
    monkeypatch.setattr(scans, "SLICE_ROWS", 2)
    monkeypatch.setattr(scans, "_SCATTERED", 10**6)
    monkeypatch.setattr(scans, "_RARE", 2.0)
    assert [event.fields["kind"] for event in scan_of(store, "kind=rare event").by_time()] == ["rare"]


def test_an_event_that_grows_takes_the_counts_of_its_block_away(store, monkeypatch):
    refill(store, [plain(number) for number in range(EVENTS)])
    learner = learn(store, ["user"], monkeypatch)
    store.execute("UPDATE events SET record = ? WHERE id = ?", ('{"user":"grown"}', 1 + APART))
    assert learned_blocks(store, "user") == [1]
    assert scan_counts(scan_of(store, "user=grown"), Grouping())[None, ()] == 1
    while learner.step():
        pass
    assert learned_blocks(store, "user") == [0, 1]
    assert scan_counts(scan_of(store, "user=grown"), Grouping())[None, ()] == 1


def test_a_block_whose_events_have_begun_to_go_is_not_used(tmp_path, monkeypatch):
    opened = opening.open_store(tmp_path / "s.db", min_free_bytes=0)
    store = opened.writer.connection
    with closing(opened.writer):
        store.execute("DELETE FROM files")
        for number, file in enumerate(FILES, 1):
            add_file(store, file, number)
        refill(store, [plain(number) for number in range(EVENTS)])
        learn(store, ["user"], monkeypatch)
        store.execute("UPDATE events SET observed_timestamp = 1 WHERE id <= ?", (1 + APART,))
        learn(store, ["user"], monkeypatch)
        assert learned_blocks(store, "user") == [0, 1]
        retention = Retention(opened.writer, age_ns=1, size_bytes=None)
        assert retention.step(3) == 1 + APART
        assert learned_blocks(store, "user") == [1]
        assert scan_counts(scan_of(store, ""), Grouping(("source",)))[None, (b'"app"',)] == EVENTS - 2
        learn(store, ["user"], monkeypatch)  # what is of no use any more goes
        assert store.execute("SELECT block FROM field_counts").fetchall() == [(1,)]


def test_what_is_known_of_a_file_later_makes_its_counts_void(store, monkeypatch):
    refill(store, [plain(number, kind="a") for number in range(EVENTS)])
    learn(store, ["service"], monkeypatch)
    profile = Profile(format="json", message=("message",), service=("kind",))
    store.execute("UPDATE files SET profile = ?", (profile.to_json(),))
    assert scan_counts(scan_of(store, ""), Grouping(("service",))) == {(None, (b'"a"',)): EVENTS}
    learn(store, ["service"], monkeypatch)
    assert learned_blocks(store, "service") == [0, 1]
    assert scan_counts(scan_of(store, ""), Grouping(("service",))) == {(None, (b'"a"',)): EVENTS}


def test_a_field_with_too_many_values_is_not_counted(store, monkeypatch):
    monkeypatch.setattr(learning, "_MOST_VALUES", 2)
    refill(store, [plain(number, kind=number, one="x") for number in range(EVENTS)])
    learn(store, ["kind", "one"], monkeypatch)
    assert learned_blocks(store, "one") == [0, 1]
    assert learned_blocks(store, "kind") == []
    assert field_counts.uncounted_blocks(store, 2) == []  # it is not tried again and again
    assert len(scan_counts(scan_of(store, ""), Grouping(("kind",)))) == EVENTS


def test_counts_take_a_small_part_of_what_their_records_do(store, monkeypatch):
    refill(store, [plain(number, kind="k" * 100) for number in range(EVENTS)])
    learn(store, ["user", "kind"], monkeypatch, share=0.5)
    blocks = store.execute(
        "SELECT sum(length(counts)) FROM field_counts GROUP BY block HAVING sum(length(counts))"
    ).fetchall()
    assert blocks
    assert all(size < 0.5 * 4 * 160 for (size,) in blocks)


def test_records_that_are_too_long_together_are_left_to_the_question(store, monkeypatch):
    refill(store, [plain(number, text="x" * 200) for number in range(EVENTS)])
    monkeypatch.setattr(blocks, "_BLOCK_BYTES", 100)
    learn(store, ["user"], monkeypatch)
    assert learned_blocks(store, "user") == []
    assert field_counts.uncounted_blocks(store, 1) == []


def test_fields_that_tell_few_kinds_apart_are_chosen(store):
    add_events(
        store,
        [
            plain(number, http={"status": 200 + number % 2, "target": f"/{number}"}, one="x", trace_id="a" * 32)
            for number in range(300)
        ],
    )
    assert choose_fields(store) == ["service", "http.status", "user"]


def test_what_is_chosen_stays_where_there_is_room(store, monkeypatch):
    refill(store, [plain(number) for number in range(EVENTS)])
    learn(store, ["user"], monkeypatch)
    learn(store, ["logger"], monkeypatch)
    assert field_counts.counted_fields(store) == ["logger", "user"]
    learn(store, list("abcdef"), monkeypatch)
    assert field_counts.counted_fields(store) == list("abcdef")
    assert learned_blocks(store, "user") == []


@pytest.fixture
def box(tmp_path):
    box = Box(tmp_path)
    yield box
    box.kill()


def test_an_agent_counts_in_idle_moments(box):
    box.configure()
    line = b'{"level":"info","message":"request done","route":"/r%d","status":%d}\n'
    append(box.log, b"".join(line % (number % 5, 200 + number % 2) for number in range(2 * BLOCK_EVENTS)))
    box.start()
    box.wait_count(2 * BLOCK_EVENTS)
    wait_until(lambda: box.sql("SELECT count(*) FROM field_counts WHERE field = 'route'")[0][0] == 1)
    rows = json.loads(b"[" + box.run("query", "--by", "route", "-o", "json").stdout.replace(b"\n", b",")[:-1] + b"]")
    by = {row["route"]: row["count"] for row in rows}
    assert by == {f"/r{number}": len(range(number, 2 * BLOCK_EVENTS, 5)) for number in range(5)}
    assert box.stop() == 0
