"""What SQLite's errors mean for the agent: wait, stop, or begin a new store."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import StoreError

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


def schema_error(path: str, sentence: str) -> StoreError:
    """SL415 for the store at `path`, which stays as it is."""
    return StoreError(
        "SL415",
        "open store",
        path,
        sentence,
        hint="bring back a backup with `sidelog restore --force`, or move the file away: the agent begins a new store",
    )


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
        return StoreError(
            "SL402",
            "write store",
            str(path),
            f"the store {path} is damaged: {error}",
            hint="the agent moves it aside, begins a new one and reads again what the log files still hold",
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreError(
            "SL408",
            "write store",
            str(path),
            f"another program keeps the store {path} locked",
            hint="end that program's transaction; reading pauses until then and nothing is lost",
            retryable=True,
        )
    if name == "SQLITE_ERROR" and is_of_schema(error):
        return schema_error(str(path), f"the store {path} is not of the schema that its version says: {error}")
    return StoreError(
        "SL412",
        "write store",
        str(path),
        f"the store {path} cannot be written: {error}",
        hint="check the disk (space, mount options, permissions); the agent tries again every second",
        retryable=True,
    )
