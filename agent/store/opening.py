"""Opening the store for writing: own it, make or migrate it, move a damaged one aside."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

import msgspec

from agent.core.errors import StoreError
from agent.core.text import follow_owner, is_seen, take_place
from agent.store import faults, identity, schema, tables
from agent.store.backup import free_name, make_directory, set_aside_orphans
from agent.store.former import keep
from agent.store.lock import StoreLock, lock_path, status_of_owner
from agent.store.reader import check_version
from agent.store.writer import StoreWriter, open_connection

if TYPE_CHECKING:
    from pathlib import Path

    from agent.core.errors import SidelogError

_SQLITE_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100  # https://www.sqlite.org/fileformat.html#the_database_header
_APPLICATION_ID = slice(68, 72)
_NOT_OURS = ("SL402", "SL403", "SL413")  # the file at the store's place is left as it is


class OpenStore(msgspec.Struct):
    """An open store and how it was found."""

    writer: StoreWriter
    lock: StoreLock
    created: bool  # there was none
    moved_aside: Path | None  # where a damaged one lies now
    former: Path | None  # a copy of what it was before it was migrated just now
    renewed: SidelogError | None = None  # why it has another agent id now

    def close(self) -> None:
        """Close the connection, then give up the ownership."""
        with contextlib.suppress(sqlite3.Error):
            identity.attest_end(self.writer.connection, self.lock)
        self.writer.close()
        self.lock.release()


def open_store(path: Path, *, min_free_bytes: int, damaged: bool = False, migration_copy: bool = True) -> OpenStore:
    """Own and open the store at `path`, made with mode 0600 in a directory of mode 0700 where there is none.

    Where root makes it, it belongs to the owner of its directory. One that takes a damaged one's place has its owner
    and mode.

    Args:
        path: of the store file.
        min_free_bytes: as for StoreWriter.
        damaged: it was found damaged while it was written, perhaps in a page that opening does not look at.
        migration_copy: keep a copy of a store of an older version beside it (`former.keep`).

    Raises:
        StoreError: SL404 another agent owns it; SL405 its directory cannot be written; SL403 it is newer than this
            program; SL413 it is another program's database; SL415 it lacks tables that no migration makes;
            SL402 it is no database, or none of ours and damaged; SL408 and SL412 it cannot be written now; SL420 and
            SL553 there is no room for the copy of an older one.
    """
    make_directory(path)
    ours = is_seen(lock_path(path))
    lock = StoreLock(path)
    lock.acquire()
    reserve = min_free_bytes if migration_copy else None
    try:
        created = not path.exists()
        moved_aside = move_aside(path) if damaged and not created else None
        try:
            connection, former = _open(path, moved_aside, reserve)
        except StoreError as error:
            if error.code != "SL402" or not (ours or _was_ours(path)):
                raise
            moved_aside = move_aside(path)
            connection, former = _open(path, moved_aside, reserve)
        try:
            renewed = identity.settle(connection, path, lock)
            writer = StoreWriter(connection, path, min_free_bytes=min_free_bytes)
        except BaseException:
            connection.close()
            raise
    except BaseException as error:
        # A lock file beside it would make the next start take somebody's notes for a damaged store.
        lock.release(forget=not ours and isinstance(error, StoreError) and error.code in _NOT_OURS)
        raise
    return OpenStore(writer, lock, created, moved_aside, former, renewed)


def _make_file(path: Path, former: Path | None) -> None:
    """Make the empty file of a new store: SQLite gives a file that it makes to whoever runs, and files beside it to
    the owner of that file (robustFchown in os_unix.c). Why it cannot be made SQLite says, which tries it again.
    """
    with contextlib.suppress(OSError):
        owning = status_of_owner(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if former is not None:
                take_place(descriptor, former.stat())
            else:
                follow_owner(descriptor, owning)
        finally:
            os.close(descriptor)


def _open(path: Path, damaged: Path | None, reserve: int | None) -> tuple[sqlite3.Connection, Path | None]:
    """Open, check and migrate; SL402 when the content is not to be used.

    Args:
        path: of the store.
        damaged: what was there before, whose owner and mode a new one gets.
        reserve: the bytes to stay free when an older store is copied before it is migrated; None: no copy.

    Returns:
        The connection, and the copy.
    """
    former = None
    previous_mask = os.umask(0o077)
    try:
        if not path.exists():
            with contextlib.suppress(OSError):  # what cannot be moved SQLite passes over where a file is empty
                set_aside_orphans(path)
            _make_file(path, damaged)
        connection = open_connection(path)
        try:
            if connection.execute("PRAGMA application_id").fetchone()[0] != schema.APPLICATION_ID:
                _refuse_foreign(connection, path)
                schema.prepare_file(connection)
            check_version(connection, path)
            if reserve is not None:
                former = keep(connection, path, reserve)
            schema.migrate(connection)
            _identify(connection, path)
            _probe(connection)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise faults.writing_error(error, path) from error
    finally:
        os.umask(previous_mask)
    return connection, former


def _identify(connection: sqlite3.Connection, path: Path) -> None:
    """Give a store that has no id yet, one that is new or was made by an older program, its own."""
    if tables.store_id(connection) is not None:
        return
    with faults.changing(connection, path):
        tables.renew_store_id(connection)


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    """A database without our application id but with tables belongs to another program."""
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreError.of("SL413", path)


def _probe(connection: sqlite3.Connection) -> None:
    """Touch every table and the ends of the largest one: finds a truncated file without reading all of it."""
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        connection.execute(f'SELECT * FROM "{name}" LIMIT 1').fetchone()  # noqa: S608  names from our own schema
    connection.execute("SELECT * FROM events ORDER BY id DESC LIMIT 1").fetchone()
    connection.execute("SELECT max(timestamp) FROM events").fetchone()


def _was_ours(path: Path) -> bool:
    """Whether the header of a damaged file still names this program."""
    with path.open("rb") as file:  # nothing of this process has it open: the connection is closed again
        header = file.read(_HEADER_BYTES)
    return header.startswith(_SQLITE_MAGIC) and header[_APPLICATION_ID] == schema.APPLICATION_ID.to_bytes(4)


def move_aside(path: Path) -> Path:
    """Rename a damaged store with its WAL, so that a new one can begin; the new name of the main file."""
    aside = free_name(path, "damaged")
    # The WAL first: were the agent killed in between, a new store would take up a WAL that is left.
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside
