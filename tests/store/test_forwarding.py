"""What the store keeps of forwarding: positions, what grew, what retention waits for, and what was never sent."""

import time

import pytest

from agent.forward.passed import wanted
from agent.store import forwarding
from agent.store.maintenance import Retention
from agent.views.forward import problem_of, target_documents
from tests.store.stores import events, store_at, stored, tailed, transaction, write

NOW = time.time_ns()
DAY_NS = 86_400 * 10**9
PENDING = forwarding.Pending("events", 0, 4, "t" * 32)


def settings(name="central", match="", age_ns=None, size=None):
    return forwarding.TargetSettings(name, "clickhouse", "http://x", match, age_ns, size)


@pytest.fixture
def opened(tmp_path):
    with store_at(tmp_path / "s.db") as opened:
        write(opened, transaction(stored(tailed(), events(count=10))))
        yield opened


@pytest.fixture
def connection(opened):
    return opened.writer.connection


def gaps(connection):
    return [(one.target, one.first, one.last, one.events, one.reason) for one in forwarding.gaps(connection)]


def expire(opened, *, now=NOW + 30 * DAY_NS, age_ns=DAY_NS, size=None):
    retention = Retention(opened.writer, age_ns=age_ns, size_bytes=size, wanted=wanted)
    while retention.step(now):
        pass
    return [row[0] for row in opened.writer.connection.execute("SELECT id FROM events ORDER BY id")]


def test_a_target_begins_before_all_events_and_moves_when_acknowledged(connection):
    forwarding.save_targets(connection, [settings()], NOW)
    target = forwarding.read_target(connection, "central")
    assert (target.position, target.pending, target.agent) == (0, None, forwarding.current_agent(connection))
    assert forwarding.lag(connection, 0)[0] == 10
    forwarding.begin(connection, "central", PENDING)
    assert forwarding.read_target(connection, "central").pending == PENDING
    forwarding.acknowledge(connection, "central", PENDING, [1, 2, 3, 4], NOW)
    target = forwarding.read_target(connection, "central")
    assert (target.position, target.pending, target.forwarded, target.last_success) == (4, None, 4, NOW)


def test_a_target_that_comes_back_goes_on_and_one_that_stays_away_is_forgotten(connection):
    forwarding.save_targets(connection, [settings(), settings("other")], NOW)
    forwarding.acknowledge(connection, "central", PENDING, [1], NOW)
    forwarding.save_targets(connection, [settings("other")], NOW)
    assert [one.name for one in forwarding.targets(connection)] == ["other"]
    forwarding.save_targets(connection, [settings(), settings("other")], NOW + DAY_NS)
    assert forwarding.read_target(connection, "central").position == 4
    forwarding.save_targets(connection, [], NOW)
    forwarding.save_targets(connection, [], NOW + 31 * DAY_NS)
    assert forwarding.targets(connection, removed=True) == []


def test_what_grows_is_noted_only_where_somebody_forwards(connection):
    connection.execute("UPDATE events SET record = '{}' WHERE id = 1")
    forwarding.save_targets(connection, [settings()], NOW)
    connection.execute("UPDATE events SET record = '{}' WHERE id = 2")
    connection.execute("UPDATE events SET parse_error = 'x' WHERE id = 3")  # which is never otherwise than at first
    connection.execute("DELETE FROM events WHERE id = 4")
    assert connection.execute("SELECT event_id FROM forward_changes").fetchall() == [(2,)]


def test_retention_waits_for_what_is_not_forwarded(opened, connection):
    forwarding.save_targets(connection, [settings(), settings("other")], NOW)
    forwarding.acknowledge(connection, "central", PENDING, [1, 2, 3, 4], NOW)
    assert expire(opened) == list(range(1, 11))  # the other one has nothing
    forwarding.acknowledge(connection, "other", PENDING, [1, 2, 3, 4], NOW)
    assert expire(opened) == [5, 6, 7, 8, 9, 10]
    assert gaps(connection) == []
    forwarding.save_targets(connection, [settings()], NOW)  # nobody waits for one that is gone
    forwarding.acknowledge(connection, "central", forwarding.Pending("events", 4, 10, "u"), [], NOW)
    assert expire(opened) == []
    assert gaps(connection) == [("other", 5, 10, 6, "hold")]


@pytest.mark.parametrize("hold", [{"age_ns": DAY_NS}, {"size": 1}], ids=["age", "size"])
def test_what_passes_hold_is_a_gap_that_names_it(opened, connection, hold):
    forwarding.save_targets(connection, [settings(**hold)], NOW)
    forwarding.acknowledge(connection, "central", PENDING, [1, 2, 3, 4], NOW)
    assert expire(opened) == []
    assert gaps(connection) == [("central", 5, 10, 6, "hold")]
    assert forwarding.read_target(connection, "central").position == 10
    [gap] = target_documents(connection)[0]["gaps"]
    assert gap["first_timestamp"] <= gap["last_timestamp"]


def test_a_gap_counts_what_the_filter_lets_through(opened, connection):
    forwarding.save_targets(connection, [settings("all", age_ns=1), settings("some", "id>=3 id<=7", age_ns=1)], NOW)
    forwarding.save_targets(
        connection, [settings("all", age_ns=1), settings("some", "id>=3 id<=7", 1), settings("none", "x=y", 1)], NOW
    )
    assert expire(opened) == []
    assert gaps(connection) == [("all", 1, 10, 10, "hold"), ("some", 3, 7, 5, "hold")]


def test_what_was_on_its_way_when_retention_passed_it_is_no_gap(opened, connection):
    forwarding.save_targets(connection, [settings(age_ns=1)], NOW)
    forwarding.begin(connection, "central", PENDING)
    assert expire(opened) == []
    assert gaps(connection) == [("central", 1, 10, 10, "hold")]
    forwarding.acknowledge(connection, "central", PENDING, [1, 2, 3, 4], NOW)
    assert gaps(connection) == [("central", 5, 10, 6, "hold")]


def test_a_target_that_has_failed_for_minutes_makes_the_agent_unhealthy(connection):
    forwarding.save_targets(connection, [settings()], NOW)
    error = {"code": "SL650", "message": "http://x cannot be reached", "hint": "look"}
    forwarding.fail(connection, "central", error, NOW, circuit="open")
    forwarding.fail(connection, "central", error, NOW + 10**9, circuit="open")
    early, late = (target_documents(connection, NOW + minutes * 60 * 10**9)[0] for minutes in (4, 6))
    assert (early["unhealthy"], problem_of(early)) == (False, None)
    assert problem_of(late).startswith("SL659: 'central' has failed since ")
    assert late["last_error"]["code"] == "SL650"
    forwarding.acknowledge(connection, "central", PENDING, [1], NOW)
    assert target_documents(connection)[0]["last_error"] is None


def test_a_refused_event_is_named_once(connection):
    forwarding.save_targets(connection, [settings()], NOW)
    for _ in range(2):
        forwarding.note_refused(connection, "central", 3, NOW, detail="no", now=NOW)
    assert gaps(connection) == [("central", 3, 3, 1, "refused")]
    assert forwarding.forget(connection, "central")
    assert gaps(connection) == []
