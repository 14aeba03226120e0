"""What can happen to the file, its disk and its locks while it is written: said, survived, and nothing twice."""

import contextlib
import os
import sqlite3
import subprocess

import pytest

from agent.core.errors import StoreError
from agent.store import faults, writer
from agent.store.maintenance import Maintenance, Retention
from tests.needs import needs
from tests.store.stores import (
    another,
    events,
    no_join,
    program,
    rows,
    store_at,
    stored,
    tailed,
    transaction,
    write,
)

READER = """
import sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, isolation_level=None)
if sys.argv[2] == "reading":
    connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM events").fetchone()
print("reading", flush=True)
sys.stdin.readline()
"""


def refused(opened, code, tx=None):
    with pytest.raises(StoreError) as caught:
        opened.writer.write(tx or transaction(stored(tailed(), events())), no_join, no_join)
    assert caught.value.code == code, caught.value
    return caught.value


def attempt(opened, tx):
    """Write; the error, if there is one."""
    try:
        write(opened, tx)
    except StoreError as error:
        return error
    return None


def grow(opened, file, mebibytes):
    """Write so much in transactions of about a mebibyte."""
    record = '{"message": "' + "x" * 1_000 + '"}'
    for _ in range(mebibytes):
        write(opened, transaction(stored(file, events(file.offset, records=[record] * 1_000))))


# ------------------------------------------------------------ the file


def test_a_deleted_store_is_noticed_before_anything_is_lost(path):
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), events())))
        path.unlink()
        error = refused(opened, "SL411")
        assert (error.retryable, error.exit_code) == (False, 3)
        assert str(path) in error.message


def test_a_replaced_store_is_noticed_and_the_other_file_untouched(path, tmp_path):
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), events())))
        path.rename(tmp_path / "elsewhere")
        path.write_bytes(b"another file")
        refused(opened, "SL411")
        assert path.read_bytes() == b"another file"


def test_a_store_that_comes_back_can_be_written_again(path, tmp_path):
    """Somebody moved it away and back; the open file is the same."""
    with store_at(path) as opened:
        path.rename(tmp_path / "elsewhere")
        refused(opened, "SL411")
        (tmp_path / "elsewhere").rename(path)
        write(opened, transaction(stored(tailed(), events())))


def test_identity_is_none_where_nothing_is(tmp_path):
    assert faults.identity(tmp_path / "nothing") is None
    assert faults.identity(tmp_path) is not None


# ------------------------------------------------------------ its disk


def test_below_min_free_nothing_is_written_until_there_is_room(path):
    with store_at(path, min_free_bytes=2**60) as opened:
        error = refused(opened, "SL410")
        assert error.retryable
        assert "store.min_free asks for" in error.message
        opened.writer.min_free_bytes = 0
        write(opened, transaction(stored(tailed(), events())))


@needs("root")
def test_a_full_disk_loses_nothing_and_needs_no_restart(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], check=True)
    try:
        with store_at(small / "s.db") as opened:
            connection = opened.writer.connection
            file, done = tailed(), 0
            record = '{"message": "' + "x" * 900 + '"}'
            tx = transaction(stored(file, events(file.offset, records=[record] * 300)))
            while (error := attempt(opened, tx)) is None:
                done += 300
                tx = transaction(stored(file, events(file.offset, records=[record] * 300)))
            assert (error.code, error.retryable) == ("SL412", True)
            assert done
            refused(opened, "SL412", tx)
            assert rows(connection, "SELECT count(*) FROM events") == [(done,)]
            with pytest.raises(StoreError, match="full"):  # there is no room to copy the WAL into the store either
                opened.writer.checkpoint()
            subprocess.run(["mount", "-o", "remount,size=32m", small], check=True)
            write(opened, tx)
            assert rows(connection, "SELECT count(*), max(id) FROM events") == [(done + 300, done + 300)]
            assert rows(connection, "PRAGMA integrity_check") == [("ok",)]
    finally:
        subprocess.run(["umount", "-l", small], check=True)


# ------------------------------------------------------------ its locks


def test_a_store_locked_by_another_program_is_said_and_tried_again(path):
    with store_at(path) as opened, contextlib.closing(another(path)) as other:
        opened.writer.connection.execute("PRAGMA busy_timeout = 20")
        other.execute("BEGIN IMMEDIATE")
        error = refused(opened, "SL408")
        assert error.retryable
        other.execute("ROLLBACK")
        write(opened, transaction(stored(tailed(), events())))


def test_a_lock_that_ends_in_time_is_only_waited_for(path):
    holder = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""
    with store_at(path) as opened, program(holder, path) as other:
        opened.writer.connection.execute("PRAGMA busy_timeout = 30000")
        other.stdin.write("\n")
        other.stdin.flush()
        write(opened, transaction(stored(tailed(), events())))
        assert rows(opened.writer.connection, "SELECT count(*) FROM events") == [(1,)]


def test_readers_see_whole_transactions_while_the_writer_writes(path):
    with store_at(path) as opened, contextlib.closing(another(path)) as other:
        file = tailed()
        for number in range(1, 6):
            write(opened, transaction(stored(file, events(file.offset, count=100))))
            count, end = rows(other, 'SELECT count(*), (SELECT "offset" FROM files) FROM events')[0]
            assert (count, end) == (number * 100, file.offset)


# ------------------------------------------------------------ damage while writing


def test_a_damaged_page_met_while_writing_is_final(path):
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), events(count=3_000))))
    root = sqlite3.connect(path)
    page = root.execute("SELECT rootpage FROM sqlite_master WHERE name = 'rollups'").fetchone()[0]
    root.close()
    with store_at(path) as opened:
        opened.writer.connection.execute("PRAGMA cache_size = 1")
        with path.open("r+b") as file:  # not by this process's SQLite: its locks do not matter here
            file.seek((page - 1) * 4_096)
            file.write(b"\x5a" * 4_096)
        opened.writer.connection.execute("PRAGMA shrink_memory")
        error = refused(opened, "SL402")
        assert not error.retryable


@pytest.mark.parametrize(
    ("name", "code", "retryable"),
    [
        ("SQLITE_CORRUPT_INDEX", "SL402", False),
        ("SQLITE_NOTADB", "SL402", False),
        ("SQLITE_BUSY_SNAPSHOT", "SL408", True),
        ("SQLITE_LOCKED", "SL408", True),
        ("SQLITE_FULL", "SL412", True),
        ("SQLITE_IOERR_FSYNC", "SL412", True),
        ("SQLITE_READONLY", "SL412", True),
        (None, "SL412", True),
    ],
)
def test_every_error_of_sqlite_has_its_meaning(tmp_path, name, code, retryable):
    error = sqlite3.OperationalError("it is so")
    error.sqlite_errorname = name
    found = faults.writing_error(error, tmp_path / "s.db")
    assert (found.code, found.retryable) == (code, retryable)
    assert str(tmp_path / "s.db") in found.message
    assert found.hint


# ------------------------------------------------------------ the write-ahead log


def test_a_checkpoint_is_due_by_what_is_in_the_wal_and_not_by_its_history(path, monkeypatch):
    """A WAL that was long once must not be checkpointed after every commit."""
    monkeypatch.setattr("agent.store.maintenance.WAL_CHECKPOINT_BYTES", 2 * 2**20)
    with store_at(path) as opened:
        done = []
        checkpoint = opened.writer.checkpoint
        monkeypatch.setattr(opened.writer, "checkpoint", lambda: done.append(checkpoint()))
        care = Maintenance(opened.writer, Retention(opened.writer, age_ns=None, size_bytes=None), report=done.append)
        file = tailed()
        for _ in range(40):
            grow(opened, file, 1)
            care.after_commit()
        assert 10 <= len(done) <= 25
        assert all(done), "nobody reads, so all of it could be copied"


def test_a_reader_that_keeps_an_old_state_is_named_and_reading_pauses_until_it_ends(path, monkeypatch):
    monkeypatch.setattr("agent.store.maintenance.WAL_CHECKPOINT_BYTES", 2**20)
    monkeypatch.setattr("agent.store.maintenance.WAL_ALARM_BYTES", 4 * 2**20)
    monkeypatch.setattr(writer, "WAL_LIMIT_BYTES", 8 * 2**20)
    said = []
    with store_at(path) as opened:
        care = Maintenance(
            opened.writer,
            Retention(opened.writer, age_ns=None, size_bytes=None),
            report=lambda error, active: said.append((error.code, active, error.message)),
        )
        file = tailed()
        grow(opened, file, 1)
        with program(READER, path, "reading") as reader, program(READER, path, "idle"):
            while opened.writer.wal_bytes() <= 4 * 2**20:
                assert said == []
                grow(opened, file, 1)
                care.after_commit()
            [(code, active, message)] = said
            assert (code, active) == ("SL414", True)
            assert f"process {reader.pid} keeps" in message, "and not the idle one"
            while opened.writer.wal_bytes() <= 8 * 2**20:
                grow(opened, file, 1)
            blocked = transaction(stored(file, events(file.offset)))
            error = refused(opened, "SL414", blocked)
            assert error.retryable
            assert str(reader.pid) in error.message
            count = rows(opened.writer.connection, "SELECT count(*) FROM events")[0][0]
            reader.stdin.write("\n")
            reader.stdin.flush()
            reader.wait()
            write(opened, blocked)
        assert rows(opened.writer.connection, "SELECT count(*) FROM events")[0][0] == count + 1
        assert opened.writer.wal_bytes() < 2**20
        care.after_commit()
        care._checkpoint()
        assert said[-1][:2] == ("SL414", False)
        assert len(said) == 2


def test_wal_error_speaks_of_a_reader_where_it_cannot_be_named(path):
    with store_at(path):
        assert "a reader keeps an old state" in faults.wal_error(path, 2**30).message
    assert faults.snapshot_holders(path.with_name("nothing")) == []
    assert faults.snapshot_holders(path, path.with_name("no-locks")) == []


def test_holders_are_found_among_all_locks_of_the_machine(path, tmp_path):
    locks = tmp_path / "locks"
    with store_at(path):
        inode = path.with_name("sidelog.db-shm").stat().st_ino
        locks.write_text(
            f"1: POSIX  ADVISORY  READ 11 08:01:{inode} 124 124\n"
            f"2: POSIX  ADVISORY  READ 12 08:01:{inode} 128 128\n"  # has it open, reads nothing
            f"3: POSIX  ADVISORY  READ 13 08:01:{inode + 1} 124 124\n"
            f"4: POSIX  ADVISORY  WRITE 14 08:01:{inode} 120 120\n"  # the writer
            f"5: POSIX  ADVISORY  READ 15 08:01:{inode} 127 128\n"
            f"6: -> POSIX  ADVISORY  READ 16 08:01:{inode} 124 124\n"  # waits
            f"7: FLOCK  ADVISORY  WRITE 17 08:01:{inode} 0 EOF\n"
            f"8: POSIX  ADVISORY  READ {os.getpid()} 08:01:{inode} 124 124\n"
            f"9: OFDLCK ADVISORY  READ -1 08:01:{inode} 123 123\n"
            "odd\n"
        )
        assert faults.snapshot_holders(path, locks) == [11, 15]


def test_the_wal_is_gone_after_a_clean_close(path):
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), events())))
        assert opened.writer.wal_bytes() > 0
    assert not path.with_name("sidelog.db-wal").exists()
    assert opened.writer.wal_bytes() == 0


def test_what_is_on_the_disk_after_a_kill_is_of_one_moment(path, tmp_path):
    """Store and WAL as they lie there between two commits, opened elsewhere."""
    with store_at(path) as opened:
        file = tailed()
        for number in range(1, 4):
            write(opened, transaction(stored(file, events(file.offset, count=10))))
            place = tmp_path / f"copy{number}"
            place.mkdir()
            subprocess.run(["cp", path, path.with_name("sidelog.db-wal"), place], check=True)
            with store_at(place / "sidelog.db") as copied:
                connection = copied.writer.connection
                assert rows(connection, "SELECT count(*) FROM events") == [(number * 10,)]
                assert rows(connection, 'SELECT "offset" FROM files') == [(file.offset,)]
                assert rows(connection, "PRAGMA integrity_check") == [("ok",)]
