"""`sidelog restore`: a backup in the store's place, and nothing lost by it."""

import json
import os
import sqlite3

import pytest

from agent.core.text import counted
from agent.store import backup, schema
from agent.store.lock import lock_path
from agent.store.tables import begin_run
from tests.store.stores import events, rows, store_at, stored, tailed, transaction, write


def fill(path, count):
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), events(count=count))))
    return path


def count(path):
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT count(*) FROM events").fetchone()[0]
    connection.close()
    return found


@pytest.fixture
def saved(tmp_path):
    """A backup of 500 events."""
    store = fill(tmp_path / "old" / "s.db", 500)
    backup.back_up(store, tmp_path / "saved.db")
    return tmp_path / "saved.db"


def test_a_backup_comes_back_and_stays_where_it_is(sidelog, saved, tmp_path):
    store = tmp_path / "new.db"
    before = saved.read_bytes()
    said = sidelog("restore", saved, "--store", store)
    assert (said.code, said.out) == (0, "")
    assert count(store) == 500
    assert store.stat().st_mode & 0o777 == 0o600
    assert saved.read_bytes() == before
    with store_at(store) as opened:  # the agent goes on with it
        assert not opened.created
        assert rows(opened.writer.connection, "PRAGMA journal_mode") == [("wal",)]


def test_a_whole_turn_reads_again_what_came_after_the_backup(sidelog, tmp_path):
    """Lines written after the backup are read from the log once more: none is missing, none there twice."""
    log = tmp_path / "a.log"
    run = ("run", "--once", log, "--store", tmp_path / "s.db", "--set", "store.min_free=1KiB")
    log.write_text("".join(f'{{"n":{number}}}\n' for number in range(100)))
    assert sidelog(*run).code == 0
    assert sidelog("backup", tmp_path / "saved.db", "--store", tmp_path / "s.db").code == 0
    with log.open("a") as file:
        file.write("".join(f'{{"n":{number}}}\n' for number in range(100, 200)))
    assert sidelog(*run).code == 0
    assert sidelog("restore", tmp_path / "saved.db", "--force", "--store", tmp_path / "s.db").code == 0
    assert count(tmp_path / "s.db") == 100
    assert sidelog(*run).code == 0
    connection = sqlite3.connect(tmp_path / "s.db")
    assert rows(connection, "SELECT json_extract(record, '$.n') FROM events ORDER BY id") == [(n,) for n in range(200)]
    connection.close()
    assert sidelog("audit", "--store", tmp_path / "s.db").code == 0


def test_a_store_that_is_there_is_kept(sidelog, saved, tmp_path):
    store = fill(tmp_path / "s.db", 7)
    said = sidelog("restore", saved, "--store", store)
    assert said.code == 3
    assert "error[SL555]" in said.err
    assert count(store) == 7
    document = json.loads(sidelog("restore", saved, "--force", "--json", "--store", store).out)
    assert count(store) == 500
    assert ".replaced-" in document["moved_aside"]
    assert count(document["moved_aside"]) == 7


def test_what_is_moved_aside_keeps_its_log_and_gets_a_name_of_its_own(sidelog, saved, tmp_path, monkeypatch):
    """Killed agents leave a write-ahead log: its transactions go with the former store, never into the new one."""
    monkeypatch.setattr("time.gmtime", lambda *_: (2026, 11, 22, 3, 4, 5, 6, 326, 0))
    store = tmp_path / "s.db"
    for number in range(3):
        fill(store, 7 + number) if not store.exists() else None
        assert sidelog("restore", saved, "--force", "--store", store).code == 0
    names = sorted(path.name for path in tmp_path.iterdir() if "replaced" in path.name)
    assert names == [f"s.db.replaced-20261122T030405Z{end}" for end in ("", "-1", "-2")]
    assert [count(tmp_path / name) for name in names] == [7, 500, 500]


def test_a_damaged_store_with_its_log_is_moved_whole(sidelog, saved, tmp_path):
    store = tmp_path / "s.db"
    store.write_text("no database at all")
    for end in ("-wal", "-shm"):
        (tmp_path / f"s.db{end}").write_text(end)
    assert sidelog("restore", saved, "--force", "--store", store).code == 0
    assert count(store) == 500
    moved = {path.name.split("Z")[1]: path.read_text() for path in tmp_path.iterdir() if "replaced" in path.name}
    assert moved[""] == "no database at all"
    assert not (tmp_path / "s.db-wal").exists()


def test_a_running_agent_refuses(sidelog, saved, tmp_path):
    """The owner of the store is named, and nothing changes."""
    with store_at(tmp_path / "s.db") as opened:
        write(opened, transaction(stored(tailed(), events(count=7))))
        said = sidelog("restore", saved, "--force", "--store", tmp_path / "s.db")
        assert said.code == 3
        assert "error[SL404]" in said.err
        assert str(os.getpid()) in said.err
    assert count(tmp_path / "s.db") == 7


@pytest.mark.parametrize(
    ("content", "code"), [(None, "SL401"), ("text", "SL402"), ("foreign", "SL413"), ("newer", "SL403")]
)
def test_what_is_no_backup_is_refused_and_nothing_is_made(sidelog, saved, tmp_path, content, code):
    source = tmp_path / "source.db"
    if content == "text":
        source.write_text("not a database " * 100)
    elif content == "foreign":
        connection = sqlite3.connect(source)
        connection.execute("CREATE TABLE a (b)")
        connection.close()
    elif content == "newer":
        source.write_bytes(saved.read_bytes())
        connection = sqlite3.connect(source)
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
        connection.close()
    said = sidelog("restore", source, "--store", tmp_path / "new.db")
    assert said.code == 3
    assert f"error[{code}]" in said.err
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("new")] == []


def test_a_damaged_backup_is_refused_and_the_store_stays(sidelog, saved, tmp_path):
    store = fill(tmp_path / "s.db", 7)
    with saved.open("r+b") as file:
        file.seek(file.seek(0, 2) // 2)
        file.write(b"\xff" * 16_384)
    said = sidelog("restore", saved, "--force", "--store", store)
    assert said.code == 3
    assert "error[SL554]" in said.err
    assert count(store) == 7


def test_a_refused_restore_leaves_no_lock_where_there_was_no_store(sidelog, saved, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(backup, "flush_directory", fail)
    (tmp_path / "new").mkdir()
    said = sidelog("restore", saved, "--store", tmp_path / "new" / "s.db")
    assert said.code == 3
    assert "error[SL553]" in said.err
    assert not lock_path(tmp_path / "new" / "s.db").exists()


def test_the_store_itself_is_no_backup_of_itself(sidelog, tmp_path):
    store = fill(tmp_path / "s.db", 7)
    assert sidelog("restore", store, "--force", "--store", store).code == 3
    assert count(store) == 7


def test_quietly_it_says_nothing(sidelog, saved, tmp_path):
    said = sidelog("-q", "restore", saved, "--store", tmp_path / "new.db")
    assert (said.code, said.out, said.err) == (0, "", "")


@pytest.mark.parametrize("errno", [22, 5])
def test_a_directory_that_cannot_be_flushed(sidelog, saved, tmp_path, monkeypatch, errno):
    """Some network file systems refuse it (EINVAL), which is no failure; an input/output error is one."""
    flush = os.fsync

    def fsync(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            raise OSError(errno, os.strerror(errno))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert sidelog("restore", saved, "--store", tmp_path / "new.db").code == (0 if errno == 22 else 3)


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_what_a_store_that_is_gone_left_is_moved_aside(sidelog, saved, tmp_path, suffix):
    """SQLite would take its write-ahead log or journal for that of the restored store, and spoil it."""
    other = tmp_path / "other" / "s.db"
    with store_at(other) as opened:
        write(opened, transaction(stored(tailed(), events(count=70))))
        left = other.with_name("s.db-wal").read_bytes()
    store = tmp_path / "s.db"
    store.with_name(f"s.db{suffix}").write_bytes(left)
    document = json.loads(sidelog("restore", saved, "--json", "--store", store).out)
    (orphan,) = document["orphans"]
    assert (tmp_path / orphan).read_bytes() == left
    assert count(store) == 500
    assert sidelog("verify", "--store", store).code == 0


def test_a_new_store_keeps_what_a_former_one_left(sidelog, tmp_path):
    (tmp_path / "s.db-wal").write_text("left")
    (tmp_path / "a.log").write_text('{"n":1}\n')
    arguments = ("run", "--once", tmp_path / "a.log", "--store", tmp_path / "s.db", "--set", "store.min_free=1KiB")
    assert sidelog(*arguments).code == 0
    assert count(tmp_path / "s.db") == 1
    (orphan,) = tmp_path.glob("s.db.orphaned-*-wal")
    assert orphan.read_text() == "left"


def test_the_agent_of_the_backups_time_has_not_died(sidelog, tmp_path):
    """A backup of an older version, a plain copy of a store, names it; what is restored has had no agent yet."""
    store = fill(tmp_path / "old" / "s.db", 7)
    with store_at(store) as opened:
        begin_run(opened.writer.connection, {"pid": 2**22, "started_at": 1, "version": "0"})
    assert sidelog("status", "--store", store).code == 1
    assert sidelog("restore", store, "--store", tmp_path / "s.db").code == 0
    said = sidelog("status", "--json", "--store", tmp_path / "s.db")
    assert (said.code, json.loads(said.out)["agent"]["died"]) == (0, False)


def test_a_cursor_begins_anew_over_a_restored_store_and_over_a_new_one(sidelog, tmp_path):
    """Ids that the restored store gives again mean other events. A cursor of an older version names no store."""
    log, store, cursor = tmp_path / "a.log", tmp_path / "s.db", tmp_path / "cursor"

    def run(*numbers):
        with log.open("a") as file:
            file.write("".join(f'{{"n":{number}}}\n' for number in numbers))
        assert sidelog("run", "--once", log, "--store", store, "--set", "store.min_free=1KiB").code == 0

    def read():
        said = sidelog("query", "-o", "raw", "--cursor-file", cursor, "--store", store)
        assert said.code == 0
        return [json.loads(line)["n"] for line in said.out.splitlines()], "another store" in said.err

    run(1, 2)
    assert sidelog("backup", tmp_path / "saved.db", "--store", store).code == 0
    run(3, 4)
    assert read() == ([1, 2, 3, 4], False)
    run(5)
    cursor.write_text('{"after_id": 4}\n')
    assert read() == ([5], False)
    assert sidelog("restore", tmp_path / "saved.db", "--force", "--store", store).code == 0
    log.write_text("")
    run(10, 20, 30, 40, 50)
    assert read() == ([1, 2, 10, 20, 30, 40, 50], True)
    assert read() == ([], False)
    for path in tmp_path.glob("s.db*"):
        path.unlink()
    run(*range(100, 110))
    numbers, said = read()
    assert (numbers[-10:], said) == ([*range(100, 110)], True)
    assert read() == ([], False)


def test_a_salvaged_store_is_the_same_store(sidelog, tmp_path):
    """Its events keep their ids."""
    store = fill(tmp_path / "s.db", 500)
    assert sidelog("query", "-o", "raw", "--cursor-file", tmp_path / "cursor", "--store", store).code == 0
    with store.open("r+b") as file:
        file.seek(file.seek(0, 2) // 2)
        file.write(b"\xff" * 16_384)
    assert sidelog("verify", "--repair", "--store", store).code == 0
    said = sidelog("query", "-o", "raw", "--cursor-file", tmp_path / "cursor", "--store", store)
    assert (said.code, said.out, said.err) == (0, "", "")


@pytest.mark.parametrize("healed", ["at once", "later"])
def test_a_backup_that_is_older_than_the_archives_says_so_and_one_command_heals(sidelog, tmp_path, healed):
    """Later: when the store has given the numbers of those archives, and their place in the chain, to others."""
    log, store = tmp_path / "a.log", tmp_path / "s.db"
    config = {
        "store": {"path": str(store), "min_free": "1KiB"},
        "archive": {"quiet": "0s"},
        "sources": [{"name": "a", "include": [f"{tmp_path}/*.log"]}],
    }
    (tmp_path / "c.json").write_text(json.dumps(config))
    archive = ("-c", tmp_path / "c.json")

    def run(*numbers):
        with log.open("a") as file:
            file.write("".join(f'{{"n":{number}}}\n' for number in numbers))
        assert sidelog("run", "--once", *archive).code == 0

    def rotate():
        log.rename(tmp_path / "a.log.1")
        assert sidelog("archive", "run", *archive).code == 0
        assert not (tmp_path / "a.log.1").exists()

    def reindex():
        assert sidelog("archive", "run", "--reindex", *archive).code == 0
        said = sidelog("archive", "verify", *archive)
        count = len([*tmp_path.glob("archive/*/*")])
        assert (said.code, said.err) == (0, f"{counted(count, 'archive is', 'archives are')} whole\n")

    run(1, 2)
    assert sidelog("backup", tmp_path / "saved.db", "--store", store).code == 0
    run(3)
    rotate()
    run(4)
    rotate()
    said = sidelog("-q", "restore", tmp_path / "saved.db", "--force", *archive)
    assert said.code == 0
    assert "2 archives are younger than this store" in said.err
    assert "archive run --reindex" in said.err
    if healed == "at once":
        reindex()
    for number in (5, 6, 7):
        run(number)
        rotate()
        if number == 6:
            reindex()
    reindex()
    said = sidelog("query", "-n", "all", "-o", "raw", *archive)
    assert [json.loads(line)["n"] for line in said.out.splitlines()] == [1, 2, 3, 4, 5, 6, 7]
