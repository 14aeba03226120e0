"""Forwarding against real servers: what arrives, and what is said where it cannot."""

import contextlib
import json
import sqlite3

import pytest

from tests.fleet.forwarding import ForwardingAgent, eventually, has, make_tables

TRACE = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    x()\nValueError: late\n'


@pytest.fixture
def agent(tmp_path, database):
    make_tables(database)
    with ForwardingAgent(tmp_path / "agent", [database.url], database.name) as agent:
        yield agent


def test_what_is_stored_arrives_and_is_said(agent, database):
    agent.write(2_500)
    agent.write(3, "error")
    agent.start()
    eventually(has(database, 2_503))
    eventually(lambda: agent.target()["lag_events"] == 0)
    target = agent.target()
    assert {"name", "url", "lag_events", "lag_seconds", "forwarded", "last_success", "last_error", "circuit"} <= set(
        target
    )
    assert (target["name"], target["url"], target["forwarded"]) == ("central", database.url, 2_503)
    assert (target["last_error"], target["circuit"], target["gaps"]) == (None, "closed", [])
    status = json.loads(agent.command("status", "--json").stdout)
    assert status["forward"][0]["forwarded"] == 2_503
    eventually(lambda: database.rows("SELECT sum(count) FROM groups FINAL") == [(3,)])
    eventually(lambda: database.rows("SELECT forwarded, pending FROM agents FINAL") == [(2_503, 0)])
    local = [
        row["id"] for row in map(json.loads, agent.command("query", "-o", "json", "-n", "all").stdout.splitlines())
    ]
    assert sorted(local) == [row[0] for row in database.rows("SELECT seq FROM events FINAL ORDER BY seq")]


def test_a_run_that_ends_forwards_first(agent, database):
    agent.write(1_234)
    done = agent.command("run", "--once")
    assert done.returncode == 0, done.stderr
    assert has(database, 1_234)()


@pytest.mark.parametrize("database", ["modern"], indirect=True)  # half a minute each
def test_a_run_that_ends_says_what_is_left(agent, database):
    agent.forward[0]["clickhouse"] = ["http://127.0.0.1:9"]
    agent.forward.append({**agent.forward[0], "name": "there", "clickhouse": [database.url]})
    agent.configure()
    agent.write(10)
    done = agent.command("run", "--once")
    assert "10 events left to be forwarded" in done.stderr
    assert has(database, 10)()  # the other target


def test_an_event_that_grows_arrives_in_its_final_form(agent, database):
    agent.append("2026-11-30 08:00:00,000 ERROR it broke\n")
    agent.start()
    eventually(has(database, 1))
    agent.append(TRACE)
    eventually(has(database, 1, "position(record, 'ValueError: late') > 0"))
    assert database.rows("SELECT max(ver) > 0 FROM events FINAL") == [(1,)]
    eventually(
        lambda: (
            database.rows("SELECT group FROM groups FINAL WHERE count > 0")
            == database.rows("SELECT group FROM events FINAL")
        )
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"user": "sidelog", "password": "wrong"}, "SL651"),
        ({"database": "nowhere"}, "SL652"),
        ({"user": "reader", "password": "readonly"}, "SL651"),
        ({"clickhouse": ["http://127.0.0.1:9"]}, "SL650"),
    ],
    ids=["password", "table", "read-only", "gone"],
)
def test_a_target_that_refuses_is_said_and_delays_no_other(agent, database, change, code):
    agent.forward.append({**agent.forward[0], **change, "name": "other"})
    agent.configure()
    agent.write(100)
    agent.start()
    eventually(has(database, 100))
    eventually(lambda: [one["last_error"] for one in agent.targets() if one["name"] == "other"] not in ([], [None]))
    other = next(one for one in agent.targets() if one["name"] == "other")
    assert other["last_error"]["code"] == code, other
    assert other["last_error"]["message"]
    assert other["lag_events"] == 100
    assert other["failing_since"]
    checked = agent.command("check", "--json")
    assert code in checked.stdout


def test_a_server_that_comes_back_gets_all(agent, database):
    agent.start()
    agent.write(500)
    eventually(has(database, 500))
    database.server.kill()
    agent.write(5_000)
    eventually(lambda: agent.target()["failing_since"], 15)
    database.server.start()
    eventually(has(database, 5_500), 60)
    assert database.rows("SELECT count(), uniqExact(seq), uniqExact(message) FROM events FINAL") == [(5_500,) * 3]


def test_a_target_comes_and_goes_with_a_reload(agent, database):
    central = agent.forward[:]
    agent.forward.clear()
    agent.configure()
    agent.start()
    agent.write(100)
    eventually(lambda: agent.command("query", "--count").stdout.strip() == "100")
    assert agent.targets() == []
    agent.forward += central
    agent.configure()
    agent.reload()
    eventually(has(database, 100))
    agent.forward.clear()
    agent.configure()
    agent.reload()
    eventually(lambda: agent.targets() == [])
    agent.write(50)
    eventually(lambda: agent.command("query", "--count").stdout.strip() == "150")
    agent.forward += central  # it goes on where it was
    agent.configure()
    agent.reload()
    eventually(has(database, 150))
    assert agent.target()["forwarded"] == 150


def test_a_filter_lets_its_events_through_and_may_change(agent, database):
    agent.forward[0]["match"] = "severity>=error"
    agent.configure()
    agent.write(1_000)
    agent.write(7, "error")
    agent.start()
    eventually(has(database, 7))
    eventually(lambda: agent.target()["lag_events"] == 0)
    agent.forward[0]["match"] = "severity<error"
    agent.configure()
    agent.reload()
    eventually(lambda: "configuration reloaded" in agent.said)
    agent.write(20)
    agent.write(9, "error")
    eventually(has(database, 27))
    eventually(lambda: agent.target()["lag_events"] == 0)
    assert database.rows("SELECT count() FROM events FINAL WHERE severity_number >= 17") == [(7,)]


def test_an_event_that_is_never_taken_is_named_and_passed_over(modern, tmp_path):
    make_tables(modern)
    modern.ask("ALTER TABLE events ADD CONSTRAINT c CHECK position(message, 'poison') = 0")
    with ForwardingAgent(tmp_path / "agent", [modern.url], modern.name) as agent:
        agent.write(300)
        agent.append('{"level":"info","message":"poison"}\n')
        agent.write(300)
        agent.start()
        eventually(has(modern, 600))
        eventually(lambda: agent.target()["lag_events"] == 0)
        [gap] = agent.target()["gaps"]
        assert (gap["first"], gap["last"], gap["events"], gap["reason"]) == (301, 301, 1, "refused")
        assert "c" in gap["detail"]


@pytest.mark.parametrize("database", ["modern"], indirect=True)  # half a minute each
def test_retention_waits_as_far_as_hold_says_and_then_names_what_was_never_sent(agent, database):
    url = agent.forward[0]["clickhouse"]
    agent.forward[0]["clickhouse"] = ["http://127.0.0.1:9"]
    agent.store["retention"] = {"age": "1s", "size": None}
    agent.configure()
    agent.write(500)
    agent.start()
    eventually(lambda: agent.target().get("lag_events") == 500)
    agent.stop()
    agent.command("run", "--once")  # retention is run at its end
    assert agent.command("query", "--count", "--hot").stdout.strip() == "500"  # held
    agent.forward[0]["hold"] = {"age": "1s"}
    agent.configure()
    agent.start()
    eventually(lambda: agent.target()["gaps"], 30)
    eventually(lambda: agent.command("query", "--count", "--hot").stdout.strip() == "0", 30)
    [gap] = agent.target()["gaps"]
    assert (gap["first"], gap["last"], gap["events"], gap["reason"]) == (1, 500, 500, "hold")
    assert gap["first_timestamp"] <= gap["last_timestamp"]
    agent.stop()
    agent.store["retention"] = {"age": "7d", "size": None}
    agent.forward[0]["clickhouse"] = url
    agent.configure()
    agent.write(20)
    agent.start()
    eventually(has(database, 20))  # what comes after it


def test_it_goes_on_at_another_server_of_the_list(agent, database):
    agent.forward[0]["clickhouse"] = ["http://127.0.0.1:9", database.url]
    agent.configure()
    agent.write(10)
    agent.start()
    eventually(has(database, 10))


def test_nothing_of_it_is_kept_where_nobody_forwards(tmp_path):
    with ForwardingAgent(tmp_path / "agent", ["http://127.0.0.1:9"], "x") as agent:
        agent.forward.clear()
        agent.configure()
        agent.append("2026-11-30 08:00:00,000 ERROR it broke\n")
        assert agent.command("run", "--once").returncode == 0
        agent.append(TRACE)
        assert agent.command("run", "--once").returncode == 0
        with contextlib.closing(sqlite3.connect(agent.path)) as connection:
            assert connection.execute("SELECT count(*) FROM forward_changes").fetchone() == (0,)
            assert connection.execute("SELECT count(*) FROM events").fetchone() == (1,)
