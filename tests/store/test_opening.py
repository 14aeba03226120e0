"""Opening a store: making, owning, migrating, refusing what is not ours, and moving aside what is damaged."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from sqlite_utils.migrations import Migrations

from agent.core.errors import StoreError
from agent.store import migrations, opening, reader, schema, tables
from agent.store.lock import lock_path
from agent.store.opening import open_store
from agent.store.writer import StoreWriter
from tests.needs import needs
from tests.store.stores import (
    NOW,
    another,
    content,
    events,
    python,
    rows,
    store_at,
    stored,
    tailed,
    transaction,
    write,
)


def mode(path):
    return path.stat().st_mode & 0o7777


def fill(path, count=500):
    """A closed store with events."""
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), events(count=count))))


def refused(path, code, **settings):
    with pytest.raises(StoreError) as caught:
        open_store(path, min_free_bytes=0, **settings)
    assert caught.value.code == code, caught.value
    return caught.value


def fill_disk(filler):
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4_096)


def snapshot(directory):
    """Name, content and time of everything in a directory."""
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in directory.iterdir()}


# ------------------------------------------------------------ a new store


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_new_store_is_private_with_all_that_lies_beside_it(tmp_path, mask):
    before = os.umask(mask)
    try:
        path = tmp_path / "one" / "two" / "s.db"
        with store_at(path) as opened:
            assert opened.created
            assert opened.moved_aside is None
            write(opened, transaction(stored(tailed(), events())))
            assert {mode(part) for part in path.parent.iterdir()} == {0o600}
            assert len(list(path.parent.iterdir())) == 4  # store, WAL, its index, lock
        assert (mode(path.parent), mode(path.parent.parent)) == (0o700, 0o700)
        assert os.umask(mask) == mask, "the process's own mask is put back"
    finally:
        os.umask(before)


def test_a_new_store_has_the_promised_form(opened):
    one = {name: rows(opened.writer.connection, f"PRAGMA {name}")[0][0] for name in ("page_size", "journal_mode")}
    assert one == {"page_size": 4_096, "journal_mode": "wal"}
    assert rows(opened.writer.connection, "PRAGMA user_version") == [(schema.VERSION,)]
    assert rows(opened.writer.connection, "PRAGMA auto_vacuum") == [(2,)]  # incremental
    assert rows(opened.writer.connection, "PRAGMA synchronous") == [(1,)]  # NORMAL


def test_a_second_opening_finds_what_the_first_wrote(path):
    fill(path, 3)
    with store_at(path) as opened:
        assert not opened.created
        assert rows(opened.writer.connection, "SELECT count(*) FROM events") == [(3,)]
        assert [file.offset for file in tables.load_files(opened.writer.connection)] == [events(count=3).end]


def test_a_directory_that_is_there_keeps_its_mode(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    with store_at(shared / "s.db"):
        assert mode(shared) == 0o755


def test_an_empty_file_becomes_a_store(path):
    """What a kill leaves between the making of the file and its first page."""
    path.parent.mkdir()
    path.touch()
    with store_at(path) as opened:
        assert opened.moved_aside is None
        assert rows(opened.writer.connection, "PRAGMA page_size") == [(4_096,)]


def test_a_store_whose_making_was_interrupted_is_made_again(path):
    path.parent.mkdir()
    connection = another(path)
    schema.prepare_file(connection)
    connection.close()
    with store_at(path) as opened:
        assert opened.moved_aside is None
        write(opened, transaction(stored(tailed(), events())))


def test_the_wal_of_a_deleted_store_does_not_come_back(path):
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), events(count=5))))
        shutil.copy(path.with_name("sidelog.db-wal"), path.with_name("kept"))
    path.unlink()
    path.with_name("kept").rename(path.with_name("sidelog.db-wal"))
    with store_at(path) as opened:
        assert opened.created
        assert rows(opened.writer.connection, "SELECT count(*) FROM events") == [(0,)]
        assert rows(opened.writer.connection, "PRAGMA integrity_check") == [("ok",)]


def test_only_one_may_open_it(path):
    with store_at(path):
        assert f"process {os.getpid()}" in refused(path, "SL404").message
    with store_at(path):
        pass


def test_a_failed_opening_gives_the_store_free_again(path, monkeypatch):
    monkeypatch.setattr(StoreWriter, "__init__", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        open_store(path, min_free_bytes=0)
    monkeypatch.undo()
    with store_at(path):
        pass


# ------------------------------------------------------------ damage


def damage_header(path):
    with path.open("r+b") as file:
        file.write(b"\xff" * 4_096)


def damage_by_cutting(path):
    os.truncate(path, 4_096 * 2 + 100)


def damage_the_tables(path):
    """Everything but the header and the list of tables."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\x5a" * (size - 4_096))


@pytest.mark.parametrize("damage", [damage_header, damage_by_cutting, damage_the_tables])
def test_a_damaged_store_is_moved_aside_and_a_new_one_begun(path, damage):
    fill(path)
    damage(path)
    broken = path.read_bytes()
    with store_at(path) as opened:
        assert not opened.created
        assert opened.moved_aside.read_bytes() == broken
        assert opened.moved_aside.name.startswith("sidelog.db.damaged-")
        write(opened, transaction(stored(tailed(), events(count=2))))
    with store_at(path) as opened:
        assert opened.moved_aside is None
        assert rows(opened.writer.connection, "SELECT count(*) FROM events") == [(2,)]


def test_its_wal_and_index_go_with_it(path):
    path.parent.mkdir()
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).write_text(f"part{suffix}")
    aside = opening.move_aside(path)
    found = {part.name.removeprefix(aside.name): part.read_text() for part in path.parent.iterdir()}
    assert found == {"": "part", "-wal": "part-wal", "-shm": "part-shm"}


def test_a_move_that_is_cut_short_leaves_no_wal_to_a_new_store(path, monkeypatch):
    path.parent.mkdir()
    parts = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]
    for part in parts:
        part.touch()
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda part, to: 1 / 0 if part == path else rename(part, to))
    with pytest.raises(ZeroDivisionError):
        opening.move_aside(path)
    assert [part.exists() for part in parts] == [True, False, False]


def test_every_damaged_store_is_kept_under_a_name_of_its_own(path):
    names = set()
    for number in range(3):
        fill(path, 10 + number)
        damage_header(path)
        with store_at(path) as opened:
            names.add(opened.moved_aside.name)
    assert len(names) == 3
    assert len(list(path.parent.glob("*.damaged-*"))) == 3


def test_damage_that_opening_does_not_see_is_moved_aside_when_it_is_known(path):
    """A page in the middle: found by a write, and still there at the next opening."""
    fill(path, 5_000)  # the message of event 2500 lies in a page of its table, and nowhere else
    with path.open("r+b") as file:
        record = events(count=2_500).records[-1].encode()
        page = path.read_bytes().index(record) // 4_096
        file.seek(4_096 * page)
        file.write(b"\x5a" * 4_096)
    size = path.stat().st_size
    with store_at(path) as opened:
        assert opened.moved_aside is None
        with pytest.raises(sqlite3.DatabaseError):
            rows(opened.writer.connection, "SELECT sum(length(record)) FROM events")
    with store_at(path, damaged=True) as opened:
        assert opened.moved_aside.stat().st_size == size
        assert rows(opened.writer.connection, "SELECT count(*) FROM events") == [(0,)]


def test_a_damaged_store_that_is_gone_by_now_is_begun_anew(path):
    with store_at(path, damaged=True) as opened:
        assert opened.created
        assert opened.moved_aside is None


def test_a_damaged_store_without_its_lock_file_is_known_by_its_header(path):
    fill(path)
    damage_by_cutting(path)
    lock_path(path).unlink()
    with store_at(path) as opened:
        assert opened.moved_aside is not None


# ------------------------------------------------------------ what is not ours


@pytest.mark.parametrize("version", [0, 1, 7])
def test_another_programs_database_is_refused_and_left_as_it_is(path, version):
    path.parent.mkdir()
    connection = another(path)
    connection.execute("CREATE TABLE events (precious)")
    connection.execute("INSERT INTO events VALUES (1)")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    before = snapshot(path.parent)
    for _ in range(2):
        assert "another program's database" in refused(path, "SL413").message
    assert snapshot(path.parent) == before


@pytest.mark.parametrize("text", [b"my notes\n" * 1_000, b"SQLite format 3\x00" + b"no" * 5_000])
def test_a_file_that_is_no_database_is_refused_however_often(path, text):
    """The first attempt must leave nothing that makes the second one take the file for a damaged store."""
    path.parent.mkdir()
    path.write_bytes(text)
    before = snapshot(path.parent)
    for _ in range(3):
        refused(path, "SL402")
    assert snapshot(path.parent) == before


def test_another_programs_damaged_database_is_refused(path):
    path.parent.mkdir()
    connection = another(path)
    connection.execute("CREATE TABLE precious (x)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO precious VALUES (?)", [("x" * 100,)] * 1_000)
    connection.execute("COMMIT")
    connection.close()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3_000)
    before = snapshot(path.parent)
    refused(path, "SL402")
    assert snapshot(path.parent) == before


def test_a_newer_schema_is_refused_and_left_as_it_is(path):
    fill(path)
    connection = another(path)
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    before = snapshot(path.parent)
    error = refused(path, "SL403")
    assert str(schema.VERSION + 1) in error.message
    after = snapshot(path.parent)
    assert after["sidelog.db"] == before["sidelog.db"]
    assert not list(path.parent.glob("*.damaged-*"))


def test_a_directory_in_the_stores_place_is_no_store(tmp_path):
    place = tmp_path / "state"
    place.mkdir()
    refused(place, "SL412")


# ------------------------------------------------------------ permissions

AS_NOBODY = """
import os, sys
from pathlib import Path
from agent.core.errors import StoreError
from agent.store.opening import open_store
os.setgid(65534); os.setuid(65534)
try:
    open_store(Path(sys.argv[1]), min_free_bytes=0)
    print("opened")
except StoreError as error:
    print(error.code, error.retryable, error.message)
"""


@needs("root")
def test_an_unwritable_directory_is_one_sentence(tmp_path):
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.owner() == "root" and "pytest" in str(parent):
            parent.chmod(0o755)
    said = python(AS_NOBODY, tmp_path / "s.db")
    assert said.startswith("SL405 True")
    assert str(tmp_path) in said
    said = python(AS_NOBODY, tmp_path / "new" / "s.db")
    assert said.startswith("SL405 False")
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_directory_should_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file" / "s.db", "SL405")


# ------------------------------------------------------------ schema and migrations


def test_the_readers_version_is_the_schemas():
    assert reader.SCHEMA_VERSION == schema.VERSION


def test_migrating_twice_changes_nothing(opened):
    connection = opened.writer.connection
    before = rows(connection, "SELECT type, name, sql FROM sqlite_master ORDER BY name")
    schema.migrate(connection)
    assert rows(connection, "SELECT type, name, sql FROM sqlite_master ORDER BY name") == before


def next_version(monkeypatch, last_step):
    """A program whose schema is one version ahead, with a migration that ends in `last_step`."""
    newer = Migrations("sidelog")
    newer._migrations = [*migrations.migrations._migrations]

    @newer()
    def colours(db):
        db.conn.execute("ALTER TABLE files ADD COLUMN colour TEXT")
        db.conn.execute("UPDATE files SET colour = 'red'")
        last_step(db)

    monkeypatch.setattr(migrations, "migrations", newer)
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    monkeypatch.setattr(reader, "SCHEMA_VERSION", reader.SCHEMA_VERSION + 1)


def test_an_older_store_is_migrated_and_keeps_its_events(path, monkeypatch):
    fill(path, 3)
    next_version(monkeypatch, lambda db: None)
    with store_at(path) as opened:
        connection = opened.writer.connection
        assert rows(connection, "SELECT count(*), (SELECT colour FROM files) FROM events") == [(3, "red")]
        assert rows(connection, "PRAGMA user_version") == [(schema.VERSION,)]


def test_a_migration_that_fails_in_its_middle_leaves_the_old_state(path, monkeypatch):
    fill(path, 3)
    connection = another(path)
    before = (rows(connection, "SELECT * FROM sqlite_master"), content(connection))
    next_version(monkeypatch, lambda db: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        open_store(path, min_free_bytes=0)
    assert (rows(connection, "SELECT * FROM sqlite_master"), content(connection)) == before
    assert rows(connection, "PRAGMA user_version") == [(schema.VERSION - 1,)]
    connection.close()
    monkeypatch.undo()
    with store_at(path) as opened:
        assert rows(opened.writer.connection, "SELECT count(*) FROM events") == [(3,)]


def test_an_older_store_is_not_for_readers_until_it_is_migrated(path, monkeypatch):
    fill(path)
    next_version(monkeypatch, lambda db: None)
    with pytest.raises(StoreError, match="older schema") as caught:
        reader.open_reader(path)
    assert caught.value.code == "SL407"


# ------------------------------------------------------------ a full disk


@needs("root")
def test_a_full_disk_at_the_start_is_said_and_may_be_tried_again(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=True)
    try:
        error = refused(small / "s.db", "SL412")
        assert error.retryable
        subprocess.run(["mount", "-o", "remount,size=8m", small], check=True)
        with store_at(small / "s.db") as opened:
            assert opened.moved_aside is None
            filler = small / "filler"
            fill_disk(filler)
            with pytest.raises(StoreError) as caught:
                tables.begin_run(opened.writer.connection, {"pid": 1, "junk": "x" * 200_000})
            assert (caught.value.code, caught.value.retryable) == ("SL412", True)
            filler.unlink()
            tables.begin_run(opened.writer.connection, {"pid": 1})
    finally:
        subprocess.run(["umount", "-l", small], check=True)


# ------------------------------------------------------------ notes about the run


def test_a_run_is_noted_and_ends_the_conditions_of_the_one_before(opened):
    connection = opened.writer.connection
    from agent.core.model import OwnError

    tables.save_own_errors(connection, [OwnError("SL201", "a", "gone", "look", NOW)])
    tables.begin_run(connection, {"pid": 12, "started_at": NOW})
    assert tables.get_meta(connection, "run") == {"pid": 12, "started_at": NOW, "stopped_at": None}
    assert rows(connection, "SELECT active FROM own_errors") == [(0,)]
    tables.end_run(connection, NOW + 5)
    assert tables.get_meta(connection, "run")["stopped_at"] == NOW + 5
    assert tables.get_meta(connection, "other") == {}


def test_the_name_of_a_file_moved_aside_is_never_taken(tmp_path):
    place = tmp_path / "s.db"
    seen = set()
    for _ in range(4):
        place.write_bytes(b"x")
        seen.add(opening.move_aside(place))
    assert len(seen) == 4
    assert all(found.exists() for found in seen)
