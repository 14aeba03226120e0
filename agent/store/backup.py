"""Copies of the store: out of a running one, and back. By SQLite's backup API alone.

This process never opens the store's file by other means: closing such a descriptor would drop SQLite's POSIX locks
(https://www.sqlite.org/howtocorrupt.html, 2.2), and a second writer could enter. Copies are made under a temporary
name, checked, flushed to the disk, and only then given their name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from agent.core.errors import StoreError
from agent.core.text import follow_owner, is_seen, make_private_directory, take_place
from agent.store import faults, identity, schema, tables, team
from agent.store.lock import StoreLock, lock_path, status_of_owner
from agent.store.reader import check_version, is_file, open_reader, reading_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Progress = Callable[[int, int], None]
    Amend = Callable[[sqlite3.Connection], None]

_PAGES_PER_STEP = 1_024  # 16 MiB: often enough for a progress bar
_MOST_FINDINGS = 100
_SIDE_FILES = ("-wal", "-shm", "-journal")


class BackupCopy(msgspec.Struct, frozen=True):
    """What `back_up` has made."""

    bytes: int
    orphans: list[Path]  # files of a former store of that name, moved aside


class RestoredStore(msgspec.Struct, frozen=True):
    """What `restore` has moved aside."""

    former: Path | None  # the store that was there
    orphans: list[Path]  # what one had left that was gone


def back_up(
    store: Path, destination: Path, progress: Progress = lambda *_: None, *, group: str | None = None
) -> BackupCopy:
    """Make a consistent copy of a store, also while an agent writes it. No agent has run on the copy.

    Args:
        store: to be copied; as it is at the beginning.
        destination: of the copy; never overwritten.
        progress: called with the pages done and the pages to do.
        group: may read the copy.

    Returns:
        The size of the copy, and what was moved aside for it.

    Raises:
        StoreError: SL416 it cannot be given to the group; SL552 the destination exists; SL553 it cannot be written;
            SL554 the copy is damaged, as is the store then; as `open_reader`.
    """
    connection = open_reader(store)
    try:
        if os.path.lexists(destination):
            raise StoreError.of("SL552", destination)
        with partial_file(destination) as partial:
            _copy(connection, store, partial, progress, tables.forget_run)
            if group is not None:
                team.share_copy(partial, group)
            size = partial.stat().st_size
            orphans = set_aside_orphans(destination)
            _name(partial, destination)
    finally:
        connection.close()
    return BackupCopy(size, orphans)


def restore(
    source: Path, store: Path, *, force: bool, progress: Progress = lambda *_: None, group: str | None = None
) -> RestoredStore:
    """Put a copy of a backup in the store's place: a store of its own, on which no agent has run. Owner and mode are
    those of the store that was there; without one it belongs to the owner of its directory where root makes it.

    Args:
        source: the backup; only read.
        store: where it is to lie; no agent may own it.
        force: move a store that is there aside.
        progress: as for `back_up`.
        group: may read the store, as `store.group`.

    Returns:
        What was moved aside.

    Raises:
        StoreError: SL404 an agent runs; SL405 the store's directory cannot be written; SL555 there is a store and
            `force` is not given; SL401, SL402, SL403, SL406, SL413 the source is no backup that this program reads;
            SL553, SL554 as `back_up`.
    """
    with contextlib.ExitStack() as held:
        connection = held.enter_context(open_backup(source))
        make_directory(store)
        held.enter_context(owned(store))
        if os.path.lexists(store) and not force:
            raise StoreError.of("SL555", store)
        if store.exists() and store.samefile(source):
            raise StoreError.of("SL555", store)
        with partial_file(store, replacing=store.exists()) as partial:
            _copy(connection, source, partial, progress, _renew)
            former = set_aside(store, "replaced") if os.path.lexists(store) else None
            orphans = set_aside_orphans(store)
            partial.rename(store)
            flush_directory(store.parent)
        team.reopen(store, group)
    return RestoredStore(former, orphans)


def _renew(connection: sqlite3.Connection) -> None:
    """Make a copy a store of its own, which goes on otherwise than the one that it was copied from."""
    tables.forget_run(connection)
    tables.renew_store_id(connection)
    identity.renew_copy(connection, identity.RESTORED)


def make_directory(path: Path) -> None:
    """Make the directory of a store with mode 0700, and those above it, where they are missing.

    Raises:
        StoreError: SL405, one cannot be made.
    """
    try:
        missing = [folder for folder in (path.parent, *path.parent.parents) if not is_seen(folder)]
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):
                make_private_directory(folder)
        path.parent.mkdir(exist_ok=True)  # says that it is a file
    except OSError as error:
        raise StoreError.of("SL405.directory", path, parent=path.parent, why=error) from None


@contextlib.contextmanager
def owned(store: Path) -> Iterator[None]:
    """Be the store's owner for the block, so that no agent starts meanwhile.

    Raises:
        StoreError: SL404, SL405.
    """
    known = is_seen(lock_path(store))
    lock = StoreLock(store)
    lock.acquire()
    try:
        yield
    except BaseException:
        lock.release(forget=not known)  # nothing begins here
        raise
    lock.release()


def set_aside(store: Path, why: str) -> Path:
    """Rename a store that nobody has open, `STORE.WHY-<time>`; its new name.

    Its write-ahead log is copied into it first where that can be done: a log left behind under the old name would
    otherwise be taken for the next store's if this ended between two renames.
    """
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(store, timeout=1.0)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    aside = free_name(store, why)
    store.rename(aside)
    _move_side_files(store, aside)
    return aside


def set_aside_orphans(path: Path) -> list[Path]:
    """Rename what a store that is gone has left beside its name, `STORE.orphaned-<time>-wal` for example; their new
    names. SQLite would take a write-ahead log or a journal for that of whatever gets the name next, and spoil it.

    Args:
        path: where no store is, and one is about to be.
    """
    return _move_side_files(path, free_name(path, "orphaned"))


def _move_side_files(store: Path, aside: Path) -> list[Path]:
    moved = []
    for suffix in _SIDE_FILES:
        part, target = store.with_name(store.name + suffix), aside.with_name(aside.name + suffix)
        with contextlib.suppress(FileNotFoundError):
            part.rename(target)
            moved.append(target)
    return moved


def free_name(store: Path, why: str) -> Path:
    """`STORE.WHY-<time>`, with a number where that or a file that would belong to it is there already."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    number, name = 1, store.with_name(f"{store.name}.{why}-{stamp}")
    while any(os.path.lexists(f"{name}{suffix}") for suffix in ("", *_SIDE_FILES)):
        name = store.with_name(f"{store.name}.{why}-{stamp}-{number}")
        number += 1
    return name


def integrity(connection: sqlite3.Connection) -> list[str]:
    """What SQLite's own check finds wrong; empty where all is well."""
    try:
        rows = connection.execute(f"PRAGMA integrity_check({_MOST_FINDINGS})").fetchall()
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [row[0] for row in rows if row[0] != "ok"]


# ------------------------------------------------------------ steps


def _copy(source: sqlite3.Connection, path: Path, target: Path, progress: Progress, amend: Amend) -> None:
    """Copy one state of an open store into the empty file `target`, amend and check the copy, flush it."""
    try:
        source.execute("BEGIN")
        source.execute("SELECT 1 FROM sqlite_master").fetchone()  # from here on the state is fixed
    except sqlite3.Error as error:
        raise reading_error(error, path) from None
    try:
        with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy:
            copy.execute("PRAGMA synchronous = FULL")
            source.backup(copy, pages=_PAGES_PER_STEP, progress=lambda _, left, total: progress(total - left, total))
            findings = integrity(copy)
            if not findings:
                copy.execute("BEGIN")
                amend(copy)
                copy.execute("COMMIT")
    except sqlite3.Error as error:
        if _is_disk_error(error):
            raise StoreError.of("SL553", target, why=error) from None
        raise StoreError.of("SL554", path, finding=error) from None
    finally:
        if source.in_transaction:
            source.execute("ROLLBACK")
    if findings:
        raise StoreError.of("SL554", path, finding=findings[0])
    with target.open("rb") as file:  # it is closed for SQLite, and nobody's store yet
        os.fsync(file.fileno())


def _is_disk_error(error: sqlite3.Error) -> bool:
    return faults.error_name(error).startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY"))


@contextlib.contextmanager
def partial_file(destination: Path, *, replacing: bool = False) -> Iterator[Path]:
    """A new empty file beside the destination; gone at the end of the block, unless renamed.

    Args:
        destination: whose name it will get.
        replacing: it takes the place of a file, with its owner and mode; otherwise its mode is 0600, and what root
            makes belongs to the owner of a store there.
    """
    partial = destination.with_name(f".{destination.name}.partial-{os.getpid()}")
    try:
        descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if replacing:
                take_place(descriptor, destination.stat())
            else:
                follow_owner(descriptor, status_of_owner(destination))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError.of("SL553", destination, why=error) from None
    try:
        yield partial
    except OSError as error:
        raise StoreError.of("SL553", destination, why=error) from None
    finally:
        for path in (partial, *(partial.with_name(partial.name + suffix) for suffix in _SIDE_FILES)):
            path.unlink(missing_ok=True)


def _name(partial: Path, destination: Path) -> None:
    """Give a finished copy its name, if nothing has it."""
    try:
        os.link(partial, destination)
    except FileExistsError:
        raise StoreError.of("SL552", destination) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
            raise
        partial.rename(destination)  # a file system without hard links, such as vfat
    flush_directory(destination.parent)


def flush_directory(directory: Path) -> None:
    """Make renames in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def open_backup(source: Path) -> Iterator[sqlite3.Connection]:
    """A backup, open for reading only, even where its directory cannot be written; checked.

    Raises:
        StoreError: SL401, SL402, SL403, SL406, SL413 it is no backup that this program reads; SL554 it is damaged.
    """
    if not is_file(source):
        raise StoreError.of("SL401.backup", source)
    # A copy without a write-ahead log beside it is written by nobody: then SQLite need not make one to read it.
    alone = not source.with_name(source.name + "-wal").exists()
    name = f"file:{quote(str(source.absolute()))}?mode=ro{'&immutable=1' if alone else ''}"
    try:
        connection = sqlite3.connect(name, uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise reading_error(error, source) from None
    try:
        if connection.execute("PRAGMA application_id").fetchone()[0] != schema.APPLICATION_ID:
            raise StoreError.of("SL413.backup", source)
        check_version(connection, source)
        findings = integrity(connection)
        if findings:
            raise StoreError.of("SL554", source, finding=findings[0])
        yield connection
    except sqlite3.Error as error:
        raise reading_error(error, source) from None
    finally:
        connection.close()
