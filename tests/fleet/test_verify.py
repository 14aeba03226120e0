"""`forward verify`: local and central agree, or what differs is named and made good."""

import shutil
import signal

import pytest

from tests.fleet.history import BEGIN, Machine, messages


@pytest.fixture
def machine(modern, tmp_path):
    return forwarded(modern, tmp_path)


@pytest.fixture
def anywhere(database, tmp_path):
    """On both lines of servers."""
    return forwarded(database, tmp_path)


def forwarded(database, tmp_path):
    machine = Machine(tmp_path / "machine", database)
    machine.write("app.log", 0, 300, step=60)  # five hours
    machine.ingest()
    machine.forward()
    return machine


def kinds(report):
    return {kind: count for one in report["differences"] for kind, count in one["counts"].items()}


def insert(machine, seq, **values):
    row = {"agent": machine.agent, "seq": seq, "timestamp": BEGIN * 10**9, "ver": 9, **values}
    machine.database.ask(
        f"INSERT INTO events ({', '.join(row)}) VALUES ({', '.join(repr(value) for value in row.values())})"
    )


def test_what_was_forwarded_is_there(machine):
    report = machine.verify()
    assert (report["events"], report["hours"], report["pending"]) == (300, 5, 0)
    assert machine.central() == messages((0, 300))


def test_what_waits_is_said(machine):
    machine.write("app.log", 300, 7)
    machine.sidelog("run", "--once", "--set", "forward=[]")
    report = machine.verify()
    assert (report["events"], report["pending"]) == (300, 7)


def test_missing_different_and_extra_events_are_named_and_made_good(anywhere):
    insert(anywhere, 3, gone=1)
    insert(anywhere, 5, message="forged", record="{}")
    insert(anywhere, 299, gone=1, timestamp=(BEGIN + 298 * 60) * 10**9)
    anywhere.edit("DELETE FROM events WHERE id = 100")  # somebody's own doing
    report = anywhere.verify()
    assert kinds(report) == {"missing": 1, "different": 1, "extra": 1}
    assert [one["hour"] for one in report["differences"]] == ["2025-11-24T16Z", "2025-11-24T17Z", "2025-11-24T20Z"]
    assert report["differences"][0]["missing"] == [3]
    assert report["differences"][0]["different"] == [5]
    assert report["differences"][1]["extra"] == [100]
    said = anywhere.sidelog("forward", "verify", check=False)
    assert said.returncode == 1
    assert "SL663" in said.stderr
    assert "2025-11-24T16Z" in said.stdout
    report = anywhere.verify("--repair")
    assert report["repaired"] == {"sent": 3, "removed": 1}
    assert anywhere.central() == messages((0, 99), (100, 200))
    assert anywhere.verify()["events"] == 299


def test_a_change_that_comes_after_a_repair_counts_more(machine):
    insert(machine, 3, gone=1, ver=1000)
    machine.verify("--repair")
    machine.edit("UPDATE events SET severity_number = 17 WHERE id = 3")
    assert machine.verify()["differences"] == []  # it is not forwarded yet
    machine.forward()
    assert machine.verify()["events"] == 300
    assert machine.database.rows("SELECT severity_number FROM events FINAL WHERE seq = 3") == [(17,)]


def test_since_leaves_earlier_hours_alone(machine):
    insert(machine, 3, gone=1)
    assert kinds(machine.verify("--since", f"@{BEGIN + 3600}")) == {}
    assert kinds(machine.verify()) == {"missing": 1}


def test_the_filter_of_a_target_is_that_of_the_comparison(modern, tmp_path):
    machine = Machine(tmp_path / "machine", modern, match="severity>=ERROR")
    machine.write("app.log", 0, 50)
    machine.write("app.log", 50, 10, severity="ERROR")
    machine.ingest()
    machine.forward()
    assert machine.central() == messages((50, 10))
    assert machine.verify()["events"] == 10


def test_what_retention_took_here_cannot_be_compared(machine):
    machine.edit("DELETE FROM events WHERE id <= 120")
    report = machine.verify()
    assert (report["events"], report["expired"], report["differences"]) == (180, 120, [])


def test_what_a_restored_store_sends_once_more_is_named_and_taken_out(anywhere, tmp_path):
    anywhere.sidelog("backup", str(tmp_path / "backup.db"))
    anywhere.write("app.log", 300, 200, step=60)
    anywhere.ingest()
    anywhere.forward()
    first = anywhere.agent
    anywhere.sidelog("restore", str(tmp_path / "backup.db"), "--force")
    anywhere.write("app.log", 500, 100, step=60)
    anywhere.ingest()  # reads again what came after the backup
    assert anywhere.agent != first
    anywhere.forward()
    assert len(anywhere.central()) == 800  # nothing was overwritten, 200 are there twice
    report = anywhere.verify()
    assert kinds(report)["twice"] > 0
    assert sum(one["counts"].get("twice", 0) for one in report["differences"]) == 200
    assert {one["agent"] for one in report["differences"]} == {anywhere.agent}
    report = anywhere.verify("--repair")
    assert report["repaired"] == {"sent": 0, "removed": 200}
    assert anywhere.central() == messages((0, 600))
    assert anywhere.verify()["differences"] == []
    assert anywhere.verify("--repair")["repaired"] == {}


def test_a_store_begun_anew_sends_all_once_more_and_verify_takes_it_out(machine):
    first = machine.agent
    machine.store.write_bytes(b"\xff" * 16_384)
    for end in ("-wal", "-shm"):
        machine.store.with_name(machine.store.name + end).unlink(missing_ok=True)
    machine.write("app.log", 300, 10, step=60)
    machine.ingest()
    assert machine.agent != first
    machine.forward()
    assert len(machine.central()) == 610
    assert machine.verify("--repair")["repaired"] == {"sent": 0, "removed": 300}
    assert machine.central() == messages((0, 310))
    assert machine.verify()["events"] == 310


def test_two_clones_at_the_same_time_lose_and_overwrite_nothing(anywhere):
    clone = anywhere.clone("clone")
    anywhere.write("app.log", 300, 40, step=60)
    agents = [anywhere.start("run", "--once"), clone.start("run", "--once")]
    assert [one.wait(60) for one in agents] == [0, 0]
    assert anywhere.agent != clone.agent
    anywhere.forward()
    clone.forward()
    assert sorted(set(anywhere.central())) == sorted(messages((0, 340)))
    assert len(anywhere.central()) == 380  # each has read the new lines itself
    assert anywhere.verify()["differences"] == []


def test_a_store_that_was_rolled_back_under_its_agent_overwrites_nothing(machine, tmp_path):
    shutil.copytree(machine.store.parent, tmp_path / "snapshot")  # with all that lies beside it
    machine.write("app.log", 300, 40, step=60)
    machine.ingest()
    machine.forward()
    first = machine.agent
    for one in (tmp_path / "snapshot").iterdir():
        shutil.copyfile(one, machine.store.parent / one.name)  # into the same files: inodes stay
    machine.write("app.log", 340, 5, step=60)
    machine.ingest()
    machine.forward()
    assert machine.agent != first
    assert sorted(set(machine.central())) == sorted(messages((0, 345)))
    assert machine.verify("--repair")["repaired"]["removed"] == 40
    assert machine.central() == messages((0, 345))


def test_a_verify_that_is_killed_leaves_all_as_it_was(machine):
    task = machine.start("forward", "verify", "--repair")
    task.send_signal(signal.SIGKILL)
    task.wait()
    assert machine.verify()["events"] == 300
