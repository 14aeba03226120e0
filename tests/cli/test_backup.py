"""`sidelog backup`: a whole, checked copy of a store that is being written."""

import json
import os
import sqlite3
import subprocess
import threading

import pytest

from agent.cli.main import run_command_line
from agent.store import backup
from agent.store.backup import back_up
from agent.store.tables import begin_run
from tests.needs import needs
from tests.store.stores import events, store_at, stored, tailed, transaction, write


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "state" / "s.db"
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), events(count=3000))))
    return path


def count(path):
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT count(*) FROM events").fetchone()[0]
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    return found


def test_a_copy_is_whole_and_its_owners_alone(sidelog, store, tmp_path):
    destination = tmp_path / "copy.db"
    previous = os.umask(0)
    try:
        said = sidelog("backup", destination, "--store", store)
    finally:
        os.umask(previous)
    assert (said.code, said.out) == (0, "")
    assert "bytes, checked" in said.err
    assert destination.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if "copy" in path.name) == ["copy.db"]
    assert count(destination) == 3000
    assert sidelog("query", "--count", "-n", "all", "--store", destination).out.strip() == "3000"


def test_json_says_what_was_made(sidelog, store, tmp_path):
    document = json.loads(sidelog("backup", tmp_path / "copy.db", "--json", "--store", store).out)
    assert document["bytes"] == (tmp_path / "copy.db").stat().st_size
    assert sidelog("-q", "backup", tmp_path / "copy2.db", "--store", store).err == ""


def test_a_store_that_is_written_meanwhile_is_copied_as_it_was_at_the_beginning(store, tmp_path):
    """The writer is never held up, its later transactions are not in the copy, and the copy is sound."""
    with store_at(store) as opened:
        file = tailed(2)
        write(opened, transaction(stored(file, events(count=5000))))
        at = file.offset

        def go_on(done, total):
            nonlocal at
            assert 0 < done <= total
            write(opened, transaction(stored(file, events(at, count=100))))
            at = file.offset

        back_up(store, tmp_path / "copy.db", go_on)
        write(opened, transaction(stored(file, events(at, count=1))))
        written = opened.writer.connection.execute("SELECT count(*) FROM events").fetchone()[0]
    assert count(tmp_path / "copy.db") == 8000
    assert count(store) == written > 8000


def test_copies_while_another_thread_writes_are_all_sound(store, tmp_path):
    stop = threading.Event()
    with store_at(store) as opened:
        file = tailed(2)

        def work():
            while not stop.is_set():
                write(opened, transaction(stored(file, events(file.offset, count=20))))

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for number in range(5):
                back_up(store, tmp_path / f"{number}.db")
        finally:
            stop.set()
            thread.join()
    counts = [count(tmp_path / f"{number}.db") for number in range(5)]
    assert counts == sorted(counts)
    assert counts[0] >= 3000


@pytest.mark.parametrize("kind", ["file", "link"])
def test_nothing_is_ever_overwritten(sidelog, store, tmp_path, kind):
    destination = tmp_path / "copy.db"
    if kind == "file":
        destination.write_text("precious")
    else:
        destination.symlink_to(tmp_path / "elsewhere")
    said = sidelog("backup", destination, "--store", store)
    assert said.code == 3
    assert "error[SL552]" in said.err
    assert kind != "file" or destination.read_text() == "precious"
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_appears_meanwhile_is_not_overwritten(store, tmp_path):
    destination = tmp_path / "copy.db"
    with pytest.raises(backup.StoreError) as caught:
        back_up(store, destination, lambda *_: destination.write_text("precious"))
    assert caught.value.code == "SL552"
    assert destination.read_text() == "precious"
    assert [path for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_without_hard_links_it_is_renamed(store, tmp_path, monkeypatch):
    """As on vfat, where link(2) fails with EPERM."""

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    back_up(store, tmp_path / "copy.db")
    assert count(tmp_path / "copy.db") == 3000


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), OSError(28, "No space left on device")])
def test_a_name_that_cannot_be_given_leaves_nothing(store, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(backup.StoreError) as caught:
        back_up(store, tmp_path / "copy.db")
    assert caught.value.code == "SL553"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_place_that_cannot_be_written_is_one_sentence(sidelog, store, tmp_path):
    said = sidelog("backup", tmp_path / "none" / "copy.db", "--store", store)
    assert said.code == 3
    assert "error[SL553]" in said.err


@needs("root")
def test_a_full_disk_leaves_no_half_copy(store, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", small], check=True)
    try:
        with pytest.raises(backup.StoreError) as caught:
            back_up(store, small / "copy.db")
        assert caught.value.code == "SL553"
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_damaged_store_is_not_copied(sidelog, store, tmp_path):
    with store.open("r+b") as file:
        file.seek(file.seek(0, 2) * 3 // 4)  # of events: the schema's own pages are read at opening
        file.write(b"\xff" * 16_384)
    said = sidelog("backup", tmp_path / "copy.db", "--store", store)
    assert said.code == 3
    assert "error[SL554]" in said.err
    assert [path.name for path in tmp_path.iterdir() if "copy" in path.name] == []


def test_without_a_store_there_is_nothing_to_copy(sidelog, tmp_path):
    assert sidelog("backup", tmp_path / "copy.db", "--store", tmp_path / "none.db").code == 3
    assert list(tmp_path.iterdir()) == []
    assert run_command_line(["backup"]) == 2


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_what_a_store_that_is_gone_left_beside_the_copys_name_is_moved_aside(sidelog, store, tmp_path, suffix):
    """A write-ahead log that SQLite would read as the copy's is kept, under another name."""
    other = tmp_path / "other" / "s.db"
    with store_at(other) as opened:
        write(opened, transaction(stored(tailed(), events(count=7))))
        left = other.with_name("s.db-wal").read_bytes()
    (tmp_path / f"copy.db{suffix}").write_bytes(left)
    said = sidelog("backup", tmp_path / "copy.db", "--store", store)
    assert said.code == 0
    assert count(tmp_path / "copy.db") == 3000
    (orphan,) = tmp_path.glob(f"copy.db.orphaned-*{suffix}")
    assert orphan.read_bytes() == left
    assert str(orphan) in said.err
    assert not (tmp_path / f"copy.db{suffix}").exists()


def test_nobody_has_died_on_a_copy(sidelog, store, tmp_path):
    """Of the agent that ran when it was made the copy knows nothing."""
    with store_at(store) as opened:
        begin_run(opened.writer.connection, {"pid": 2**22, "started_at": 1, "version": "0"})
    assert sidelog("status", "--store", store).code == 1
    sidelog("backup", tmp_path / "copy.db", "--store", store)
    said = sidelog("status", "--json", "--store", tmp_path / "copy.db")
    assert (said.code, json.loads(said.out)["agent"]["died"]) == (0, False)
    assert sidelog("status", "--store", store).code == 1
