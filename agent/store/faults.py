"""What SQLite's errors mean for the agent: wait, stop, or begin a new store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import StoreError

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


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


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken."""
    return error_name(error).startswith(_DAMAGED)


def writing_error(error: sqlite3.Error, path: Path) -> StoreError:
    """The StoreError for a failed write: damage is final, everything else is worth another attempt."""
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
    return StoreError(
        "SL412",
        "write store",
        str(path),
        f"the store {path} cannot be written: {error}",
        hint="check the disk (space, mount options, permissions); the agent tries again every second",
        retryable=True,
    )
