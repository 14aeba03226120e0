"""`forward backfill`: what archives hold goes once, beside what was forwarded while it was in the store."""

import contextlib
import signal
import sqlite3
import subprocess

import pytest

from agent.core.intervals import holds, joined, without
from agent.store import forwarding, outgoing
from tests.fleet.history import BEGIN, Machine, messages


@pytest.fixture
def machine(modern, tmp_path):
    return Machine(tmp_path / "machine", modern)


def raw(machine):
    return machine.database.rows("SELECT count() FROM events")[0][0]


def rotate(machine, number, name="app.log"):
    log = machine.logs / name
    log.rename(log.with_name(f"{name}.{number}"))
    log.touch()


def expire(machine, target="central"):
    """Let retention take all that the target has."""
    machine.configure(retention="1s")
    machine.edit("UPDATE events SET observed_timestamp = observed_timestamp - 3600000000000")
    machine.ingest()
    machine.configure()


def test_what_was_forwarded_while_it_was_stored_is_not_sent_again(machine):
    machine.write("app.log", 0, 200)
    machine.ingest()
    machine.forward()
    rotate(machine, 1)
    machine.ingest()
    machine.sidelog("archive", "run")
    assert machine.backfill() == 0  # it is in both
    expire(machine)
    assert machine.rows("SELECT count(*) FROM events") == [(0,)]
    assert machine.rows("SELECT sum(events) FROM archives") == [(200,)]
    assert machine.backfill() == 0  # it is in the archive alone
    assert machine.central() == messages((0, 200))
    assert raw(machine) == 200


def test_logs_that_were_never_stored_are_sent_once(database, tmp_path):
    machine = Machine(tmp_path / "machine", database)
    machine.write("app.log.1", 0, 500)
    machine.write("app.log", 500, 20)
    machine.configure(followed="app.log")
    machine.ingest()
    machine.forward()
    machine.sidelog("archive", "run")
    stored = machine.rows("SELECT count(*) FROM events")[0][0]
    assert machine.backfill() == 520 - stored
    assert machine.backfill() == 0
    assert machine.central() == messages((0, 520))
    assert raw(machine) == 520
    assert machine.verify()["events"] == 520
    rows = machine.database.rows("SELECT seq, source, path, resource FROM events FINAL WHERE seq < 0 LIMIT 1")
    if rows:
        assert rows[0][1:3] == ("app", str(machine.logs / "app.log"))
        assert "host.name" in rows[0][3]


def test_what_had_left_the_store_before_the_target_was_there_is_sent(machine):
    machine.configure(forward=False)
    machine.write("app.log", 0, 100)
    machine.ingest()
    rotate(machine, 1)
    machine.ingest()
    machine.sidelog("archive", "run")
    expire_without = machine.rows("SELECT count(*) FROM events")
    assert expire_without == [(100,)]
    machine.edit("UPDATE events SET observed_timestamp = observed_timestamp - 3600000000000")
    machine.configure(forward=False, retention="1s")
    machine.ingest()
    machine.configure()
    machine.write("app.log", 100, 50)
    machine.ingest()
    machine.forward()
    assert machine.central() == messages((100, 50))
    assert machine.backfill() == 100
    assert machine.backfill() == 0
    assert machine.central() == messages((0, 150))
    assert machine.verify()["events"] == 150


def test_what_retention_took_first_is_sent_and_the_rest_is_not_doubled(machine):
    machine.write("app.log", 0, 100)
    machine.ingest()
    machine.forward()
    machine.write("app.log", 100, 100)
    machine.sidelog("run", "--once", "--set", "forward=[]")
    machine.edit("UPDATE forward_targets SET removed = NULL")
    rotate(machine, 1)
    machine.sidelog("run", "--once", "--set", "forward=[]")
    machine.sidelog("archive", "run", "--set", "forward=[]")
    machine.edit("UPDATE events SET observed_timestamp = observed_timestamp - 3600000000000")
    machine.configure(retention="1s", forward=False)
    machine.ingest()  # the hold of a target that the configuration has not is none
    machine.configure()
    assert machine.rows("SELECT count(*) FROM events") == [(0,)]
    assert machine.rows("SELECT first, last, events FROM forward_gaps") == [(101, 200, 100)]
    assert machine.backfill() == 100
    assert machine.central() == messages((0, 200))
    assert raw(machine) == 200


def test_a_batch_that_arrived_though_retention_took_it_on_its_way_is_not_sent_again(machine):
    machine.write("app.log", 0, 200)
    machine.sidelog("run", "--once", "--set", "forward=[]")
    rotate(machine, 1)
    machine.sidelog("run", "--once", "--set", "forward=[]")
    machine.sidelog("archive", "run")
    machine.sidelog("forward", "backfill")  # the target is known from here on
    machine.forward()
    assert machine.central() == messages((0, 200))
    with contextlib.closing(sqlite3.connect(machine.store)) as connection, connection:
        agent = forwarding.current_agent(connection)
        connection.execute("UPDATE forward_targets SET position = 0")  # the first 50 are there, and no answer came
        forwarding.begin(connection, "central", forwarding.Pending("events", 0, 50, "token", agent=agent))
        everything = lambda connection, _, after, last: outgoing.instants_after(connection, after, last)  # noqa: E731
        forwarding.pass_deleted(connection, 200, BEGIN * 10**9, everything)
        connection.execute(
            'UPDATE files SET expired_offset = (SELECT max("offset") FROM events WHERE file_id = files.id)'
            " WHERE id IN (SELECT file_id FROM events)"
        )
        connection.execute("DELETE FROM events")
    machine.database.ask(f"ALTER TABLE events DELETE WHERE agent = '{agent}' AND seq > 50", mutations_sync=1)
    assert machine.central() == messages((0, 50))
    assert machine.backfill() == 150
    assert machine.central() == messages((0, 200))
    assert machine.backfill() == 0


def test_a_span_of_time_and_then_the_rest(machine):
    machine.configure(followed="app.log")
    machine.write("app.log.1", 0, 300, step=60)
    machine.write("app.log", 300, 1)
    machine.ingest()
    machine.sidelog("archive", "run")
    assert machine.rows("SELECT count(*) FROM events") == [(1,)]  # the sibling was archived without being stored
    since, until = (f"@{BEGIN + number * 60}" for number in (100, 150))
    assert machine.backfill("--since", since, "--until", until) == 50
    assert machine.central() == messages((100, 50), (300, 1))
    assert machine.backfill("--since", since) == 150
    assert machine.backfill() == 100
    assert machine.backfill() == 0
    assert machine.central() == messages((0, 301))
    assert raw(machine) == 301


def test_the_filter_holds_for_archives_too(modern, tmp_path):
    machine = Machine(tmp_path / "machine", modern, match="severity>=ERROR")
    machine.configure(followed="app.log", match="severity>=ERROR")
    machine.write("app.log.1", 0, 50)
    machine.write("app.log.1", 50, 10, severity="ERROR")
    machine.write("app.log", 60, 1)
    machine.ingest()
    machine.sidelog("archive", "run")
    machine.backfill()
    machine.forward()
    assert machine.central() == messages((50, 10))


def test_kills_in_the_middle_lose_and_double_nothing(database, tmp_path):
    machine = Machine(tmp_path / "machine", database)
    machine.configure(followed="app.log")
    machine.write("app.log.1", 0, 90_000)
    machine.write("app.log", 90_000, 1)
    machine.ingest()
    machine.forward()
    machine.sidelog("archive", "run")
    whole = machine.rows("SELECT count(*) FROM events")[0][0]
    kills = 0
    for number in range(12):
        task = machine.start("forward", "backfill")
        try:
            task.wait(0.6 + 0.17 * number)
        except subprocess.TimeoutExpired:
            task.send_signal(signal.SIGKILL)
            task.wait()
            kills += 1
        else:
            break
    assert kills
    machine.backfill()
    assert machine.backfill() == 0
    assert whole < 90_001
    assert machine.database.rows("SELECT count(), uniqExact(message) FROM events FINAL") == [(90_001, 90_001)]
    if database.is_old:  # a block that comes again is known there by its content
        assert raw(machine) == 90_001
    assert machine.verify()["events"] == 90_001


def test_a_damaged_archive_is_named_and_the_rest_sent(machine):
    machine.configure(followed="*.log")
    for name in ("a.log", "b.log"):
        machine.write(f"{name}.1", 0, 50)
        machine.write(name, 50, 1)
    machine.ingest()
    machine.sidelog("archive", "run")
    first = min((machine.root / "archive").rglob("*.zst"))
    data = bytearray(first.read_bytes())
    data[30:60] = bytes(30)
    first.write_bytes(data)
    done = machine.sidelog("forward", "backfill", check=False)
    assert done.returncode == 1
    assert first.name in done.stderr


@pytest.mark.parametrize(
    ("spans", "taken", "left"),
    [
        ([(0, 10)], [], [(0, 10)]),
        ([(0, 10)], [(0, 10)], []),
        ([(0, 10)], [(3, 5), (5, 7)], [(0, 3), (7, 10)]),
        ([(0, 10), (20, 30)], [(5, 25)], [(0, 5), (25, 30)]),
        ([(5, 6)], [(0, 100)], []),
    ],
)
def test_spans(spans, taken, left):
    assert without(spans, taken) == left
    inside = {at for first, last in left for at in range(first, last)}
    assert {at for at in range(40) if holds(joined(left), at)} == inside
