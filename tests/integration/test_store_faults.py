"""The store is full, low, locked, damaged, deleted, or somebody else's: nothing is lost, nothing is twice."""

import json
import shutil
import signal
import sqlite3
import subprocess

import pytest

from tests.integration.harness import append, event, events, wait_until
from tests.needs import needs

pytestmark = pytest.mark.measured


def test_a_second_agent_refuses_and_names_the_first(box):
    append(box.log, event(0))
    box.start()
    box.wait_count(1)
    second = box.run("run")
    assert second.returncode == 3
    assert str(box.process.pid).encode() in second.stderr
    append(box.log, event(1))
    box.wait_count(2)


def test_status_tells_a_stopped_agent_from_a_dead_one(box):
    append(box.log, event(0))
    box.start()
    box.wait_count(1)
    status = box.status()
    assert (status["healthy"], status["agent"]["running"], status["agent"]["pid"]) == (True, True, box.process.pid)
    box.kill()
    assert box.run("status").returncode == 1
    assert box.status()["agent"]["running"] is False
    box.start()
    assert box.stop() == 0
    assert box.run("status").returncode == 0


def test_a_damaged_store_is_moved_aside_and_everything_read_again(box):
    append(box.log, events(0, 500))
    box.once()
    with box.store.open("r+b") as file:
        file.write(b"\xff" * 32_768)
    box.start()
    box.wait_count(500)
    assert box.numbers() == list(range(500))
    assert list(box.store.parent.glob("sidelog.db.damaged-*"))
    assert any(error["code"] == "SL409" and "damaged-" in error["message"] for error in box.status()["errors"])
    box.kill()
    box.start()
    append(box.log, event(500))
    box.wait_count(501)
    assert box.numbers() == list(range(501))


def test_a_store_deleted_under_the_agent_ends_it_and_the_next_start_reads_again(box):
    append(box.log, events(0, 20))
    box.start()
    box.wait_count(20)
    for part in box.store.parent.glob("sidelog.db*"):
        part.unlink()
    append(box.log, events(20, 5))
    assert box.process.wait(20) == 3
    assert "SL411" in box.said()
    box.start()
    box.wait_count(25)
    assert box.numbers() == list(range(25))


def test_too_little_space_pauses_reading_until_the_bound_is_lowered(box):
    append(box.log, event(0))
    box.start()
    box.wait_count(1)
    box.configure(store={"min_free": "900000GiB"})
    box.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "configuration reloaded" in box.said())
    append(box.log, events(1, 10))
    wait_until(lambda: "SL410" in box.said())
    assert box.count() == 1
    status = box.status()
    assert not status["healthy"]
    assert status["errors"][0]["code"] == "SL410"
    box.configure()
    box.process.send_signal(signal.SIGHUP)
    box.wait_count(11)
    assert box.numbers() == list(range(11))
    wait_until(lambda: box.status()["healthy"])


@needs("root", "mount")
def test_a_full_disk_is_survived_without_loss_and_without_a_restart(box):
    small = box.store.parent
    small.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", small], check=True)
    try:
        box.configure(store={"min_free": "0B"})
        append(box.log, events(0, 30_000))
        box.start()
        wait_until(lambda: "SL412" in box.said())
        assert box.process.poll() is None
        assert any(error["code"] == "SL412" and error["active"] for error in box.status()["errors"])
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        box.wait_count(30_000)
        assert box.numbers() == list(range(30_000))
        assert box.books_balance()
        assert box.stop() == 0
    finally:
        box.kill()
        subprocess.run(["umount", "-l", small], check=True)


def test_a_store_locked_by_another_program_is_waited_for(box):
    append(box.log, event(0))
    box.start()
    box.wait_count(1)
    intruder = sqlite3.connect(box.store, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    append(box.log, events(1, 10))
    wait_until(lambda: box.run("status", "--json").returncode in (0, 1))
    intruder.execute("ROLLBACK")
    intruder.close()
    box.wait_count(11)
    assert box.numbers() == list(range(11))


def test_a_stop_while_the_store_is_locked_takes_no_longer(box):
    append(box.log, event(0))
    box.start()
    box.wait_count(1)
    intruder = sqlite3.connect(box.store, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    append(box.log, events(1, 10))
    assert box.stop() == 0
    intruder.execute("ROLLBACK")
    intruder.close()
    box.start()
    box.wait_count(11)
    assert box.numbers() == list(range(11))


def test_an_unwritable_store_directory_is_one_sentence(box):
    box.configure(store={"path": "/proc/nowhere/sidelog.db"})
    done = box.run("run", "--once")
    assert done.returncode == 3
    assert b"SL405" in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_older_copy_of_the_store_reads_again_only_what_it_lacks(box):
    """A restored copy holds rows and offsets of one moment."""
    append(box.log, events(0, 100))
    box.once()
    copy = box.root / "copy.db"
    shutil.copy(box.store, copy)
    append(box.log, events(100, 100))
    box.once()
    shutil.copy(copy, box.store)
    box.once()
    assert box.numbers() == list(range(200))


def test_retention_by_size_gives_space_back(box):
    append(box.log, events(0, 30_000, pad="x" * 200))
    box.once()
    full = box.store.stat().st_size
    box.configure(store={"retention": {"age": "7d", "size": "4MiB"}})
    box.once()
    assert box.store.stat().st_size < full / 2
    kept = box.numbers()
    assert kept == list(range(kept[0], 30_000))
    counted = box.run("query", "--count").stdout
    assert json.loads(counted) == len(kept)
    box.once()
    assert box.numbers() == kept


def test_retention_keeps_its_size_where_lines_come_without_a_pause(box):
    box.configure(store={"retention": {"size": "1MiB"}})
    append(box.log, event(0))
    box.start()
    written = 1

    def first_stored():
        nonlocal written
        append(box.log, event(written, pad="x" * 20_000))
        written += 1
        return box.numbers()[:1]

    wait_until(lambda: (first_stored() or [0])[0] > 0, what="the end of the oldest event")
