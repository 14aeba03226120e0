"""The schema of the store, as `migrations` brings it about. `PRAGMA user_version` is the schema version.

Stable for other programs: `events`, the view `logs`, `error_groups`, `files`, `gaps`, `rollups`, `archives`,
`alert_history`, `deliveries`. Everything else may change with the version.

An index on a random value (a trace id) would cost 10 µs per event and a full-text index 5.4 µs, so there is none:
events are found by time, by severity (a partial index on errors), by group, and by scanning.
"""

from __future__ import annotations

import contextlib
import sqlite3

from agent.core.errors import StoreError
from agent.store import faults

VERSION = 11
APPLICATION_ID = 0x51DE106  # "side log": tells our file from any other SQLite file
PAGE_SIZE_BYTES = 4_096  # a commit writes whole pages, of a lone line four; 16 KiB: 0.2 to 0.4 µs less per event


def prepare_file(connection: sqlite3.Connection) -> None:
    """Set what can only be set while the file is still empty: page size, incremental vacuum, WAL."""
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the store to VERSION in one transaction; the connection must be in autocommit mode.

    Raises:
        StoreError: SL415, the store lacks what no migration makes.
        sqlite3.Error: the file is locked, damaged or its disk is full.
        Nothing has changed then.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            _take_steps(connection, version, connection.execute("PRAGMA database_list").fetchone()[2])
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def empty_store() -> sqlite3.Connection:
    """A store in memory without anything in it: what an agent that has never run knows."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    return connection


def rehearse(connection: sqlite3.Connection) -> None:
    """Take the steps on the store's tables without their rows, in memory: whether a migration is possible at all.

    Raises:
        StoreError: SL415, as `migrate`.
        sqlite3.Error: the store cannot be read.
    """
    from agent.store.migrations.script import run  # noqa: PLC0415 - as below

    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    objects = connection.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        " ORDER BY type <> 'table', type <> 'view'"
    ).fetchall()
    taken = connection.execute("SELECT * FROM _sqlite_migrations").fetchall() if _notes_steps(connection) else []
    path = connection.execute("PRAGMA database_list").fetchone()[2]
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
            run(empty, "CREATE TABLE first (id INTEGER PRIMARY KEY AUTOINCREMENT);\nDROP TABLE first")  # and this stays
        for (sql,) in objects:
            empty.execute(sql)
        for row in taken:
            empty.execute(f"INSERT INTO _sqlite_migrations VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608 - marks
        empty.execute("BEGIN")
        _take_steps(empty, version, path)


def _notes_steps(connection: sqlite3.Connection) -> bool:
    names = connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'")
    return names.fetchone() is not None


def _take_steps(connection: sqlite3.Connection, version: int, path: str) -> None:
    from agent.store import migrations  # noqa: PLC0415 - sqlite-utils takes 80 ms, at the first start alone

    try:
        migrations.apply(connection)
    except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
        if not faults.is_of_schema(error):
            raise
        raise _cannot_migrate(path, version, str(error)) from error
    if version and (part := migrations.missing(connection)) is not None:  # 10 ms, which a new store need not wait for
        raise _cannot_migrate(path, version, f"it lacks {part}")


def _cannot_migrate(path: str, version: int, why: str) -> StoreError:
    return StoreError.of("SL415.older", path, path=path, version=version, why=why)
