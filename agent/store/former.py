"""Copies of a store as it was before a migration: `STORE.v7`, which a program of that schema version goes on with.

No migration can be taken back in place: a column that was added, a table that was made anew and what is stored from
then on is nothing that an older program knows. So the whole store is copied first, flushed, and the copy stays for as
long as events do (`store.retention.age`): older ones would outlive their time in it.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from agent.core.errors import StoreError
from agent.core.units import format_size
from agent.store import faults, schema
from agent.store.backup import flush_directory, partial_file
from agent.store.reader import is_file, reading

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"\.v(\d{1,4})")
_PAGES_PER_STEP = 1_024


class FormerStore(NamedTuple):
    """A copy of a store as it was before a migration.

    Args:
        path: of the copy.
        version: its schema version.
        bytes: its size.
        made: when, Unix ns.
    """

    path: Path
    version: int
    bytes: int
    made: int


def former_path(store: Path, version: int) -> Path:
    """Where the copy of a store of a schema version lies."""
    return store.with_name(f"{store.name}.v{version}")


def former_stores(store: Path) -> list[FormerStore]:
    """The copies beside a store, of the newest version first."""
    found = []
    with contextlib.suppress(OSError):
        for path in store.parent.iterdir():
            match = _NAME.fullmatch(path.name.removeprefix(store.name))
            if match is not None and path.name.startswith(store.name) and path.is_file() and not path.is_symlink():
                status = path.stat()
                found.append(FormerStore(path, int(match[1]), status.st_size, status.st_mtime_ns))
    return sorted(found, key=lambda one: -one.version)


class Space(NamedTuple):
    """What a copy takes of a disk, and what there is, in bytes."""

    needed: int
    free: int

    @property
    def suffices(self) -> bool:
        """Whether there is enough of it."""
        return self.needed <= self.free


def space(connection: sqlite3.Connection, store: Path, min_free_bytes: int) -> Space:
    """What a copy beside a store would take, with what its disk is to keep free (`store.min_free`).

    Raises:
        OSError: there is no such directory.
    """
    disk = os.statvfs(store.parent)
    return Space(size(connection) + min_free_bytes, disk.f_bavail * disk.f_frsize)


def size(connection: sqlite3.Connection) -> int:
    """The bytes of a store with what its write-ahead log holds, which are those of its copy."""
    pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
    page: int = connection.execute("PRAGMA page_size").fetchone()[0]
    return pages * page


def keep(connection: sqlite3.Connection, store: Path, min_free_bytes: int) -> Path | None:
    """Copy a store that is about to be migrated; the copy's place, or None where there is nothing to migrate.

    Args:
        connection: to the store, in autocommit mode, its owner's.
        store: its path.
        min_free_bytes: what is to stay free on the disk.

    Raises:
        StoreError: SL415, it cannot be migrated, and a copy would be in vain; SL420, there is no room for the copy;
            SL553, it cannot be written. Nothing has changed then.
        sqlite3.Error: the store cannot be read.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version in (0, schema.VERSION):
        return None
    schema.rehearse(connection)
    refuse_without_room(store, version, space(connection, store, min_free_bytes))
    target = former_path(store, version)
    with partial_file(target) as partial:
        _copy(connection, partial)
        partial.replace(target)
        flush_directory(target.parent)
    return target


def refuse_without_room(store: Path, version: int, room: Space | None) -> None:
    """Raise SL420 where there is no room for the copy; None: none is to be made."""
    if room is not None and not room.suffices:
        needed, free = format_size(room.needed), format_size(room.free)
        raise StoreError.of("SL420", store, version=version, VERSION=schema.VERSION, needed=needed, free=free)


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    """Copy a store as it is, damage and all: what is wrong with it `sidelog restore` finds before it brings it back."""
    try:
        with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy:
            copy.execute("PRAGMA synchronous = FULL")
            connection.backup(copy, pages=_PAGES_PER_STEP)
    except sqlite3.Error as error:
        if faults.error_name(error).startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_CANTOPEN")):
            raise StoreError.of("SL553", target, why=error) from None
        raise
    with target.open("rb") as file:  # nobody's store yet, and closed for SQLite
        os.fsync(file.fileno())


def remove_old(store: Path, age_ns: int | None, now: int) -> list[Path]:
    """Delete copies that are as old as events become; what was deleted.

    Args:
        store: beside which they lie.
        age_ns: of the store's retention; None: they stay until somebody deletes them.
        now: Unix ns.
    """
    gone = []
    for copy in former_stores(store) if age_ns is not None else ():
        if age_ns is not None and now - copy.made > age_ns:
            with contextlib.suppress(OSError):
                copy.path.unlink()
                gone.append(copy.path)
    return gone


def version_of(store: Path) -> int | None:
    """The schema version of a store, which may be older or newer than this program's; None where there is none.

    Raises:
        StoreError: as `open_reader`.
    """
    if not is_file(store):
        return None
    name = f"file:{quote(str(store.absolute()))}?mode=ro"
    with reading(store), contextlib.closing(sqlite3.connect(name, uri=True)) as connection:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return found
