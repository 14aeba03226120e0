"""Read-only access to a store: nothing that a reader does can block, change or create one."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from typing import TYPE_CHECKING
from urllib.parse import quote

from agent.core.errors import StoreError
from agent.store.schema import VERSION as SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def open_reader(path: Path, *, busy_timeout_s: float = 5.0) -> sqlite3.Connection:
    """A read-only connection to the store at `path`.

    Raises:
        StoreError: SL401 there is no store; SL402 the file is damaged or no store of ours; SL403 a newer version
            of the program has written it; SL406 it cannot be read (permissions); SL407 it is of an older version.
    """
    return _open_file(path, busy_timeout_s, older=False)


def open_older_reader(path: Path, busy_timeout_s: float = 5.0) -> sqlite3.Connection:
    """As `open_reader`, also to a store of an older schema version, whose tables are not all there."""
    return _open_file(path, busy_timeout_s, older=True)


def _open_file(path: Path, busy_timeout_s: float, *, older: bool) -> sqlite3.Connection:
    if not is_file(path):
        raise StoreError.of("SL401", path)
    try:
        return _open(path, "mode=ro", busy_timeout_s, older=older)
    except StoreError as error:
        if error.code != "SL406" or not _cannot_change(path):
            raise
        return _open(path, "mode=ro&immutable=1", busy_timeout_s, older=older)


def _open(path: Path, mode: str, busy_timeout_s: float, *, older: bool) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?{mode}", uri=True, isolation_level=None, timeout=busy_timeout_s
        )
    except sqlite3.Error as error:
        raise reading_error(error, path) from None
    try:
        connection.execute("PRAGMA query_only = 1")
        version = check_version(connection, path)
        connection.execute("SELECT 1 FROM events LIMIT 1").fetchone()
        if not older:
            _refuse_older(version, path)
    except sqlite3.Error as error:
        connection.close()
        raise reading_error(error, path) from None
    except BaseException:
        connection.close()
        raise
    return connection


def _cannot_change(path: Path) -> bool:
    """Whether a store lies on a read-only file system and nothing of it in a WAL: SQLite can make no file for its locks
    there, and needs none (https://www.sqlite.org/wal.html#read_only_databases).
    """
    try:
        is_read_only = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False
    return is_read_only and not path.with_name(f"{path.name}-wal").exists()


def is_file(path: Path) -> bool:
    """Whether there is a file.

    Raises:
        StoreError: SL406, it cannot be told: a directory on the way is closed.
    """
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except PermissionError as error:
        raise _unreadable(path, error.strerror or "permission denied") from None
    except OSError:
        return False


def is_absent(path: Path) -> bool:
    """Whether nothing is at the place of a store.

    Raises:
        StoreError: SL406, it cannot be told: a directory on the way is closed.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None
    return False


def _refuse_older(version: int, path: Path) -> None:
    if version < SCHEMA_VERSION:
        raise StoreError.of("SL407", path, version=version, SCHEMA_VERSION=SCHEMA_VERSION)


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version of an open store.

    Raises:
        StoreError: SL403, it is newer than this program.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StoreError.of("SL403", path, version=version, SCHEMA_VERSION=SCHEMA_VERSION)
    return version


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """What SQLite says while the block reads the store at `path`, as a StoreError (`reading_error`)."""
    try:
        yield
    except sqlite3.Error as error:
        raise reading_error(error, path) from None


@contextlib.contextmanager
def one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """Read everything as of one instant, that of the transaction around it where there is one."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


def has_archives(connection: sqlite3.Connection) -> bool:
    """Whether anything is archived; asked before what searches archives is imported."""
    return connection.execute("SELECT 1 FROM archives LIMIT 1").fetchone() is not None


def highest_id(connection: sqlite3.Connection) -> int:
    """The highest id that an event ever had, also where retention has deleted it; 0 in a store that is new."""
    kept, newest = connection.execute(
        "SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'events'), (SELECT max(id) FROM events)"
    ).fetchone()
    return max(kept or 0, newest or 0)


def get_meta(connection: sqlite3.Connection, key: str) -> dict[str, object]:
    """A JSON object kept in `meta`, empty where there is none."""
    import orjson  # noqa: PLC0415 - 3 ms, which most readers need not pay

    row = connection.execute('SELECT value FROM meta WHERE "key" = ?', (key,)).fetchone()
    return dict(orjson.loads(row[0])) if row else {}


def reading_error(error: sqlite3.Error, path: Path) -> StoreError:
    """What a SQLite error means to the person who asked for data from `path`."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreError.of("SL408.read", path)
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_READONLY", "SQLITE_IOERR")):
        return _unreadable(path, str(error))
    return StoreError.of("SL402.read", path, why=error)


def _unreadable(path: Path, why: str) -> StoreError:
    return StoreError.of("SL406", path, why=why)
