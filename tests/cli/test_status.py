"""`sidelog status`: the health of the agent for people and for scripts."""

import json
import sqlite3
import time

import msgspec
import pytest
from msgspec.structs import replace

from agent.cli import status as module
from agent.core.model import Gap, OwnError
from agent.store.lock import StoreLock, lock_path
from tests.cli.stores import HOSTILE, error_batch, make, tailed


@pytest.fixture
def store(tmp_path):
    return tmp_path / "s.db"


def document(sidelog, *arguments, code=0):
    said = sidelog("status", "--json", *arguments)
    assert said.code == code, said.err
    return json.loads(said.out)


def test_the_document_has_the_promised_parts(sidelog, store):
    batch, groups = error_batch([{"message": "a"}] * 3)
    make(store, batches=[batch], groups=groups)
    found = document(sidelog, "--store", store)
    promised = ["healthy", "agent", "files", "events", "gaps", "store", "archive", "alerts", "hooks", "errors"]
    assert set(promised) <= set(found)
    assert {"running", "pid", "started_at", "version"} <= set(found["agent"])
    assert {"path", "source", "offset", "size", "lag_bytes", "lag_seconds"} <= set(found["files"][0])
    assert found["events"]["total"] == 3
    assert (found["store"]["path"], found["healthy"]) == (str(store), True)
    assert {"path", "bytes"} <= set(found["store"])
    assert {"files", "bytes"} <= set(found["archive"])


def test_a_stopped_agent_is_called_so_and_a_dead_one_unhealthy(sidelog, store):
    make(store)
    said = sidelog("status", "--store", store)
    assert said.code == 0
    assert said.out.startswith("stopped: agent ended at 20")
    assert document(sidelog, "--store", store)["healthy"]
    connection = sqlite3.connect(store)
    connection.execute("UPDATE meta SET value = json_set(value, '$.stopped_at', NULL)")
    connection.commit()
    connection.close()
    said = sidelog("status", "--store", store)
    assert said.code == 1
    assert said.out.startswith("unhealthy: agent died (was process 4242, started 20")
    assert "! the agent (process 4242) has ended without stopping" in said.out
    assert not document(sidelog, "--store", store, code=1)["healthy"]


def test_a_store_on_which_no_agent_ran(sidelog, store):
    make(store, run=False)
    assert sidelog("status", "--store", store).out.startswith("stopped: agent has never run on this store\n")


def test_a_running_agent_is_named(sidelog, store):
    make(store)
    lock = StoreLock(store)
    lock.acquire()
    said = sidelog("status", "--store", store)
    lock.release()
    assert said.out.startswith("healthy: agent runs as process ")
    assert "version 1.2.3" in said.out


def test_everything_is_shown_and_nothing_can_drive_the_terminal(sidelog, store):
    file = tailed(1, f"/var/log/{HOSTILE}.log", current_path="/var/log/moved.1")
    batch, groups = error_batch([{"message": "a"}] * 2, file=file)
    batch.events.gaps = [Gap(batch.events.end, batch.events.end + 5, "over_long")]
    batch.events.end += 5
    make(store, batches=[batch], groups=groups, own_errors=[OwnError("SL201", "x", f"cannot {HOSTILE}", "", 5)])
    connection = sqlite3.connect(store)
    connection.execute(
        "INSERT INTO archives (source, path, bytes, raw_bytes, lines, created) VALUES ('app', '/a.zst', 2048, 9, 1, 0)"
    )
    connection.commit()
    connection.close()
    said = sidelog("status", "--store", store)
    assert said.code == 0
    for expected in (
        "events  2 stored",
        "archive 1 file, 2.0 KiB",
        "files   1 followed, 0 with unread bytes",
        "(now /var/log/moved.1)  2 events, up to date",
        ": over_long (20",
        "error   SL201 active, 1 ×: cannot \\x1b]0;gone\\x07",
        str(store),
    ):
        assert expected in said.out
    for control in "\x1b\x07\u202e\x9b\x7f\r":
        assert control not in said.out
    json.loads(sidelog("status", "--json", "--store", store).out)


def test_many_findings_of_one_code_are_one_line(sidelog, tmp_path):
    store = tmp_path / "s.db"
    errors = [OwnError("SL201", f"/{n}", f"cannot read /{n}", "", n * 10**9) for n in range(62)]
    make(store, own_errors=[*errors, OwnError("SL702", "page", "no program", "", 5)])
    said = sidelog("status", "--utc", "--store", store).out.splitlines()
    lines = [line for line in said if line.startswith("error")]
    assert lines == [
        "error   SL201 active, 62 findings, 62 ×, the newest of 1970-01-01 00:01:01: cannot read /61",
        "error   SL702 active, 1 ×: no program",
    ]


def test_late_files_come_first_and_the_others_are_counted(sidelog, store, tmp_path):
    late = tmp_path / "late.log"
    late.write_bytes(b"x" * 3_000)
    file = tailed(40, str(late), last_read=time.time_ns())
    status = late.stat()
    file = replace(file, device=status.st_dev, inode=status.st_ino)
    make(store, files=[*(tailed(number) for number in range(1, 26)), file])
    lines = sidelog("status", "--store", store).out.splitlines()
    start = lines.index("files   26 followed, 1 with unread bytes")
    assert "2.9 KiB behind" in lines[start + 1]
    assert lines[start + 21] == "  … and 6 more: sidelog status --all"
    every = sidelog("status", "--all", "--store", store).out
    assert every.count("up to date") == 25
    assert "more: sidelog" not in every


def test_a_missing_store_is_exit_code_three_and_not_made(sidelog, store):
    said = sidelog("status", "--store", store)
    assert (said.code, "SL401" in said.err) == (3, True)
    assert not store.exists()


def test_a_spoiled_configuration_is_a_problem_and_not_the_end(sidelog, store, tmp_path):
    """That is when one wants to see the status of the agent that still runs."""
    make(store)
    config = tmp_path / "sidelog.yaml"
    config.write_text(f"store: {{path: {store}}}\nsauces: []\n")
    found = document(sidelog, code=1)
    assert not found["healthy"]
    assert "sauces" in found["problems"][0]
    said = sidelog("status", "-c", config)
    assert said.code == 1
    assert "! SL1" in said.out
    config.write_text("store: [")
    assert document(sidelog, "--store", store, code=1)["problems"]
    for text in ("store: [", "store: 5\n", "sauces: []\n", "store: {path: 5}\nsauces: []\n", "[]\n"):
        config.write_text(text)
        assert sidelog("status").code == 78, text


def test_a_relative_store_in_a_spoiled_configuration_lies_beside_it(sidelog, tmp_path):
    (tmp_path / "etc").mkdir()
    make(tmp_path / "etc" / "s.db")
    (tmp_path / "etc" / "my.yaml").write_text("store: {path: s.db}\nsauces: []\n")
    found = document(sidelog, "-c", tmp_path / "etc" / "my.yaml", code=1)
    assert found["store"]["path"] == str(tmp_path / "etc" / "s.db")


@pytest.fixture
def waiting(store, tmp_path):
    """A running agent's store, and an idle file into which a line was written just now."""
    log = tmp_path / "app.log"
    log.write_bytes(b"line\n")
    file = tailed(1, str(log), last_read=time.time_ns() - 3_600 * 10**9)
    there = log.stat()
    make(store, files=[msgspec.structs.replace(file, device=there.st_dev, inode=there.st_ino)])
    lock = StoreLock(store)
    lock.acquire()
    lock_path(store).write_text(json.dumps({"pid": 4242, "started_at": 1}))
    yield log
    lock.release()


def test_a_line_just_written_is_waited_for(sidelog, store, waiting, monkeypatch):
    looks = []

    def look_again(snapshot, _):
        looks.append(snapshot.suspects)
        snapshot.clear_moved({1: 0 if len(looks) < 3 else 5})

    monkeypatch.setattr(module.status.Snapshot, "look_again", look_again)
    monkeypatch.setattr(module, "_LOOK_INTERVAL_S", 0.001)
    monkeypatch.setattr(module.status, "SECOND_LOOK_S", 60)
    assert document(sidelog, "--store", store)["healthy"]
    assert len(looks) == 3


def test_a_line_that_nobody_reads_is_told_after_the_second_look(sidelog, store, waiting, monkeypatch):
    monkeypatch.setattr(module.status, "SECOND_LOOK_S", 0.01)
    [problem] = document(sidelog, "--store", store, code=1)["problems"]
    assert problem == f"{waiting}: 5 bytes wait and nothing was read for 120 s or longer"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1_023, "1023 B"), (1_024, "1.0 KiB"), (3 * 2**20, "3.0 MiB"), (5 * 2**30 // 2, "2.5 GiB")],
)
def test_sizes_for_people(count, text):
    assert module._size(count) == text
