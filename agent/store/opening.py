"""Opening the store for writing: own it, make or migrate it, move a damaged one aside."""

from __future__ import annotations

import os
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.errors import StoreError
from agent.store import faults, schema
from agent.store.lock import StoreLock, lock_path
from agent.store.reader import check_version
from agent.store.writer import StoreWriter, open_connection

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SQLITE_MAGIC = b"SQLite format 3\x00"


@dataclass(slots=True)
class OpenStore:
    """An open store and how it was found."""

    writer: StoreWriter
    lock: StoreLock
    created: bool  # there was none
    moved_aside: Path | None  # where a damaged one lies now

    def close(self) -> None:
        """Close the connection, then give up the ownership."""
        self.writer.close()
        self.lock.release()


def open_store(path: Path, *, min_free_bytes: int, resources: Mapping[str, str]) -> OpenStore:
    """Own and open the store at `path`, made with mode 0600 in a directory of mode 0700 where there is none.

    Raises:
        StoreError: SL404 another agent owns it; SL405 its directory cannot be written; SL403 it is newer than this
            program; SL402 the file is no store of ours.
    """
    _make_directory(path)
    ours = lock_path(path).exists()
    lock = StoreLock(path)
    lock.acquire()
    try:
        created = not path.exists()
        moved_aside = None
        try:
            connection = _open(path)
        except StoreError as error:
            if error.code != "SL402" or not (ours or _looks_like_sqlite(path)):
                raise
            moved_aside = move_aside(path)
            connection = _open(path)
        writer = StoreWriter(connection, path, min_free_bytes=min_free_bytes, resources=resources)
    except BaseException:
        lock.release()
        raise
    return OpenStore(writer, lock, created, moved_aside)


def _make_directory(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            "SL405",
            "open store",
            str(path),
            f"cannot make the store's directory {path.parent}: {error.strerror}",
            hint="make it and give it to the agent's user, or choose another place with store.path",
        ) from None


def _open(path: Path) -> sqlite3.Connection:
    """Open, check and migrate; SL402 when the content is not to be used."""
    previous_mask = os.umask(0o077)
    try:
        connection = open_connection(path)
        try:
            version = check_version(connection, path)
            if version == 0:
                _refuse_foreign(connection, path)
                schema.prepare_file(connection)
            schema.migrate(connection)
            _probe(connection)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise faults.writing_error(error, path) from error
    finally:
        os.umask(previous_mask)
    return connection


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    """A database without our schema version but with tables belongs to another program."""
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreError(
            "SL413",
            "open store",
            str(path),
            f"{path} is another program's database",
            hint="name another file with store.path or --store; this one was left as it is",
        )


def _probe(connection: sqlite3.Connection) -> None:
    """Touch every table and the ends of the largest one: finds a truncated file without reading all of it."""
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        connection.execute(f'SELECT * FROM "{name}" LIMIT 1').fetchone()  # noqa: S608  names from our own schema
    connection.execute("SELECT * FROM events ORDER BY id DESC LIMIT 1").fetchone()
    connection.execute("SELECT max(timestamp) FROM events").fetchone()


def _looks_like_sqlite(path: Path) -> bool:
    with path.open("rb") as file:  # nothing of this process has it open: the connection is closed again
        return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC


def move_aside(path: Path) -> Path:
    """Rename a damaged store with its WAL, so that a new one can begin; the new name of the main file."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while aside.exists():
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside
