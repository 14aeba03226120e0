"""Several agents in one ClickHouse: whose events are which, in what order, and what each has said of its groups."""

from __future__ import annotations

import contextlib
import json

import pytest

from agent.clickhouse import schema
from agent.clickhouse.address import ClickHouseAddress
from agent.clickhouse.client import ClickHouseClient
from agent.clickhouse.faults import ClickHouseError
from agent.core.groups import GroupFilter
from agent.core.stored import StoredEvent
from agent.query.clickhouse.engine import ClickHouseEngine
from agent.query.clickhouse.positions import FleetPosition
from agent.query.context import Surroundings, in_context
from agent.query.language import Grouping, Query, Selection, parse_query
from agent.query.terms import Term
from tests.query.fleets import insert

NOW = 1_795_000_000 * 10**9
SECOND = 10**9
A, B = "a" * 32, "b" * 32
EVERYTHING = Selection(Query())


@pytest.fixture
def engine(address):
    with contextlib.closing(ClickHouseEngine(address, sleep=lambda _: None)) as opened:
        yield opened


def event(agent, seq, second, message="x", *, group=0, version=0, gone=0, severity=9, path="/a.log", **fields):
    record = json.dumps({"message": message, **fields}, ensure_ascii=False)
    at = NOW + round(second * SECOND)
    return (
        *(agent, seq, version, gone, at, at, severity, "app", path, seq * 100, "", "", message, "", ""),
        *(group, record, "", "", '{"host.name":"h"}', ""),
    )


def group(agent, number, state, version=1, *, first=0.0, last=0.0, count=1, title="t", severity=17):
    return (
        *(agent, number, 5, "f", 1, title, "", "", severity, "other", "", state, NOW),
        *(NOW + round(first * SECOND), NOW + round(last * SECOND), count, 0, 0, version),
    )


def agent_row(agent, forwarded, version=1):
    return (agent, "host-" + agent[0], "1", 1, NOW, forwarded, 0, version)


def places(found):
    return [(one.agent[0], one.id) for one in found if isinstance(one, StoredEvent)]


def test_events_of_one_instant_come_by_agent_and_number(address, engine):
    rows = [event(B, 1, 0), event(A, 2, 0), event(A, 1, 0), event(B, 2, -1), event(A, 3, 1)]
    insert(address, "events", rows)
    order = [("b", 2), ("a", 1), ("a", 2), ("b", 1), ("a", 3)]
    assert places(engine.events(EVERYTHING)) == order
    assert places(engine.events(EVERYTHING, newest_first=True)) == order[::-1]
    assert places(engine.events(EVERYTHING, 3)) == order[2:]


def test_a_later_form_of_an_event_takes_the_place_of_the_first_and_a_tombstone_takes_it_out(address, engine):
    insert(address, "events", [event(A, 1, 0, "first"), event(A, 2, 1, "stays"), event(A, 3, 2, "goes")])
    insert(address, "events", [event(A, 1, 0, "first and more", version=7), event(A, 3, 2, "goes", version=8, gone=1)])
    assert [one.body for one in engine.events(EVERYTHING)] == ["first and more", "stays"]
    grouping = Grouping(("message",))
    (counts,) = engine.counts(EVERYTHING, grouping)
    assert sorted(values for _, values in counts) == [(b'"first and more"',), (b'"stays"',)]
    assert list(engine.events(Selection(parse_query("goes")))) == []


def test_the_lines_around_an_event_are_of_its_agent(address, engine):
    insert(address, "events", [event(agent, seq, seq, f"{agent[0]}{seq}") for agent in (A, B) for seq in range(1, 6)])
    (match,) = engine.events(Selection(parse_query("b3")))
    (stretch,) = in_context(engine, [match], Surroundings(1, 1), engine.position())
    assert places(stretch) == [("b", 2), ("b", 3), ("b", 4)]


def test_groups_of_several_agents_are_one(address, engine):
    insert(
        address,
        "groups",
        [
            group(A, 70, "resolved", first=-50, last=5, count=3, title="older"),
            group(B, 70, "regressed", first=-9, last=9, count=4, title="newer", severity=21),
            group(A, 71, "ignored"),
            group(B, 71, "resolved"),
            group(A, 72, "new", version=1, count=1),
            group(A, 72, "ongoing", version=2, count=5),
        ],
    )
    found = {one.id: one for one in engine.groups(GroupFilter(), NOW + 60 * SECOND)}
    assert {number: one.state for number, one in found.items()} == {70: "regressed", 71: "ignored", 72: "ongoing"}
    one = found[70]
    assert (one.count, one.title, one.severity) == (7, "newer", "FATAL")
    assert (one.first_seen, one.last_seen) == (NOW - 50 * SECOND, NOW + 9 * SECOND)
    assert found[72].count == 5
    insert(address, "events", [event(A, 1, 0, group=71, severity=17), event(B, 1, 1, group=70, severity=17)])
    assert places(engine.events(Selection(parse_query("state=ignored")))) == [("a", 1)]
    assert places(engine.events(Selection(parse_query("state!=ignored")))) == [("b", 1)]


def test_who_follows_with_a_cursor_sees_each_event_once_whichever_agent_sends_it(address, engine):
    insert(address, "events", [event(A, 1, 5), event(A, 2, 6), event(B, 1, 1)])
    insert(address, "agents", [agent_row(A, 2), agent_row(B, 1)])
    *events, position = engine.follow(EVERYTHING, 0, wait=False)
    assert places(events) == [("b", 1), ("a", 1), ("a", 2)]
    insert(address, "events", [event(A, 3, 0), event(B, 2, -9), event("c" * 32, 1, -99)])
    insert(address, "agents", [agent_row(A, 3, 2), agent_row(B, 2, 2), agent_row("c" * 32, 1)])
    *events, position = engine.follow(EVERYTHING, position, wait=False)
    assert sorted(places(events)) == [("a", 3), ("b", 2), ("c", 1)], "whatever their instants"
    assert list(engine.follow(EVERYTHING, position, wait=False)) == [position]
    assert position == engine.position()


def test_a_cursor_waits_for_what_may_be_missing_before_what_is_there(address, engine):
    insert(address, "events", [event(A, 1, 1), event(A, 3, 3)])  # two parts of a table may show themselves in any order
    insert(address, "agents", [agent_row(A, 1)])
    *events, position = engine.follow(EVERYTHING, 0, wait=False)
    assert places(events) == [("a", 1)]
    insert(address, "events", [event(A, 2, 2)])
    insert(address, "agents", [agent_row(A, 3, 2)])
    *events, _ = engine.follow(EVERYTHING, position, wait=False)
    assert places(events) == [("a", 2), ("a", 3)]


def test_who_watches_sees_at_once_and_misses_nothing(address, engine):
    insert(address, "events", [event(A, 1, 1), event(A, 3, 3)])
    insert(address, "agents", [agent_row(A, 1)])
    following = engine.follow(EVERYTHING, 0)

    def until_pause():
        found = []
        for item in following:
            if not isinstance(item, StoredEvent):
                return places(found)
            found.append(item)
        return None

    assert until_pause() == [("a", 1), ("a", 3)]
    assert until_pause() == []
    insert(address, "events", [event(A, 2, 2), event(B, 1, 0)])
    assert sorted(until_pause()) == [("a", 2), ("b", 1)]
    insert(address, "agents", [agent_row(A, 3, 2), agent_row(B, 1)])
    assert until_pause() == []
    insert(address, "events", [event(A, 1, 1, "grown", version=3), event(A, 4, 4)])
    assert until_pause() == [("a", 4)], "what was shown is not shown again when it changes"


def test_a_place_is_read_back_and_what_is_none_is_before_everything():
    place = FleetPosition({A: 7, B: 9})
    assert FleetPosition.read(str(place)) == place
    assert FleetPosition.read(17) == FleetPosition.read("x") == FleetPosition.read("fleet:a=x,=,b") == FleetPosition({})
    assert FleetPosition.read(f"fleet:{A}=5").after(A, 3).agents == {A: 5}


@pytest.mark.parametrize("text", ["x' OR 1=1 --", "\\", "\\'", "'; DROP TABLE events; --", "a\0b", "%", "_", "\n", "`"])
def test_no_value_can_end_its_literal(address, engine, text):
    path = text.replace("\0", "0")
    insert(address, "events", [event(A, 1, 1, text, path=path, f=text), event(A, 2, 2, "other")])
    for field in ("message", "f", None, "path", "source", "logger", "trace_id", "agent", "service"):
        selection = Selection(Query((Term(field, "=" if field else "", text),)))
        found = places(engine.events(selection))
        assert found in ([("a", 1)], []), field
        if field in {"message", "f", None}:
            assert found == [("a", 1)], field
        assert sum(sum(part.values()) for part in engine.counts(selection, Grouping())) == len(found)
    assert len(places(engine.events(EVERYTHING))) == 2


def test_a_question_that_takes_too_long_is_ended_there_and_said(address, engine, monkeypatch):
    insert(address, "events", [event(A, seq, seq) for seq in range(1, 2000)])
    monkeypatch.setattr("agent.query.clickhouse.table.SETTINGS", {"max_rows_to_read": 10})
    with pytest.raises(ClickHouseError) as raised:
        list(engine.events(EVERYTHING))
    assert raised.value.code == "SL656"


def test_tables_that_are_missing_or_newer_are_said(database):
    address = ClickHouseAddress((database.url,), database.name)
    with pytest.raises(ClickHouseError) as raised:
        ClickHouseEngine(address)
    assert raised.value.code == "SL652"
    schema.make(address, None, replicated=False, ttl_days=None)
    insert(address, "schema", [("sidelog", 99, 9)])
    with pytest.raises(ClickHouseError) as raised:
        ClickHouseEngine(address)
    assert raised.value.code == "SL655"


def test_who_may_only_read_can_ask_everything(address, database):
    insert(address, "events", [event(A, 1, 1, "one"), event(A, 2, 2, "two", f=1)])
    reader = ClickHouseAddress((database.url,), database.name, "reader", "readonly")
    with contextlib.closing(ClickHouseEngine(reader)) as engine:
        assert places(engine.events(Selection(parse_query("two")))) == [("a", 2)]
        assert sum(sum(part.values()) for part in engine.counts(Selection(parse_query("f=1")), Grouping())) == 1
        assert engine.position()
    with contextlib.closing(ClickHouseClient(reader)) as client, pytest.raises(ClickHouseError):
        client.execute(f"DROP TABLE {address.table('events')}")


def test_events_of_a_cluster_are_one(shards):
    address = ClickHouseAddress((shards.url,), shards.name)
    schema.make(address, "fleet", replicated=True, ttl_days=None)
    agents = [f"{number:032x}" for number in range(8)]
    insert(address, "events", [event(agent, seq, seq, f"e{seq}", f=seq) for agent in agents for seq in range(1, 40)])
    with contextlib.closing(ClickHouseEngine(address)) as engine:
        assert len(places(engine.events(EVERYTHING))) == 8 * 39
        assert len(places(engine.events(Selection(parse_query("e17"))))) == 8
        assert sum(sum(part.values()) for part in engine.counts(Selection(parse_query("f<5")), Grouping(("f",)))) == 32
        assert len(FleetPosition.read(engine.position()).agents) == 8
