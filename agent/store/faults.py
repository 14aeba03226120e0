"""What SQLite's errors mean for the agent: wait, stop, or begin a new store."""

from __future__ import annotations

import contextlib
import os
import pwd
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from agent.core.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_LACKING = ("no such table", "no such column", "no such index", "has no column named", "duplicate column name")


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode, or None where nothing is there. By stat alone: opening and closing the store's file by
    other means than SQLite would drop its POSIX locks.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def error_name(error: sqlite3.Error) -> str:
    """SQLite's extended name, such as SQLITE_IOERR_FSYNC; empty for errors of the Python layer."""
    return getattr(error, "sqlite_errorname", None) or ""


def is_of_schema(error: sqlite3.Error) -> bool:
    """Whether a statement failed because the store has other tables than the program takes it to have."""
    name = error_name(error)
    return name.startswith("SQLITE_CONSTRAINT") or (name == "SQLITE_ERROR" and any(w in str(error) for w in _LACKING))


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise StoreError, as `writing_error` says, in place of any sqlite3.Error of the block."""
    try:
        yield
    except sqlite3.Error as error:
        raise writing_error(error, path) from error


@contextlib.contextmanager
def changing(connection: sqlite3.Connection, path: Path | None = None) -> Iterator[None]:
    """One transaction: committed at the end of the block, rolled back whatever ends the block early.

    Args:
        connection: in autocommit mode.
        path: of the store, as messages are to name it.

    Raises:
        StoreError: in place of any sqlite3.Error, as `writing_error` says.
    """
    with translated(path or Path(connection.execute("PRAGMA database_list").fetchone()[2])):
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:  # after SQLITE_FULL, SQLite has ended it itself
                connection.execute("ROLLBACK")


def writing_error(error: sqlite3.Error, path: Path) -> StoreError:
    """The StoreError for a failed write: damage and missing tables are final, all else is worth another attempt."""
    name = error_name(error)
    if name.startswith(_DAMAGED):
        return StoreError.of("SL402", path, why=error)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreError.of("SL408", path)
    if name == "SQLITE_ERROR" and is_of_schema(error):
        return StoreError.of("SL415", path, path=path, why=error)
    for part in ("", "-wal", "-shm"):
        if (owned_by := other_owner(path.with_name(path.name + part))) is not None:
            owner, user = owned_by
            return StoreError.of("SL412.owner", path, part=path.name + part, owner=owner, user=user, why=error)
    return StoreError.of("SL412", path, why=error)


def other_owner(path: Path) -> tuple[str, str] | None:
    """Who owns a file that this process may not write, and who this is; None where that is not what is wrong."""
    try:
        status = path.stat()
    except OSError:
        return None
    if status.st_uid == os.geteuid() or os.access(path, os.W_OK):
        return None
    return _user_name(status.st_uid), _user_name(os.geteuid())


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


# ---------------------------------------------------------------- who holds the WAL


# Bytes of the -shm file, WAL_READ_LOCK(0) to (4), https://www.sqlite.org/walformat.html#locks. On byte 128 every
# process holds a lock that has the store open, reading or not.
_READ_MARKS = range(123, 128)
_LOCK_FIELDS = 8  # of a line of /proc/locks, see proc_locks(5)


def snapshot_holders(store: Path, locks: Path = Path("/proc/locks")) -> list[int]:
    """The pids, this process's own excepted, that hold a read lock on the store's WAL index."""
    status = identity(store.with_name(store.name + "-shm"))
    try:
        lines = locks.read_text().splitlines()
    except OSError:
        return []
    if status is None:
        return []
    found = set()
    for line in lines:
        fields = line.split()
        if fields[1:2] == ["->"] or len(fields) != _LOCK_FIELDS:
            continue
        inode, first, last = fields[5].rsplit(":", 1)[-1], fields[6], fields[7]
        if inode == str(status[1]) and last.isdigit() and _READ_MARKS[0] <= int(last) and int(first) <= _READ_MARKS[-1]:
            found.add(int(fields[4]))
    return sorted(found - {os.getpid(), -1})


def wal_error(store: Path, wal_bytes: int) -> StoreError:
    """SL414: the WAL cannot be emptied because somebody reads an old state."""
    pids = snapshot_holders(store)
    who = f"process {', '.join(map(str, pids))}" if pids else "a reader"
    return StoreError.of("SL414", store, wal_mib=wal_bytes >> 20, who=who)
