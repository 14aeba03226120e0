"""The schema of the store, as `migrations` brings it about. `PRAGMA user_version` is the schema version.

Stable for other programs: `events`, the view `logs`, `error_groups`, `files`, `gaps`, `rollups`, `archives`,
`alert_history`, `deliveries`. Everything else may change with the version.

An index on a random value (a trace id) would cost 10 µs per event and a full-text index 5.4 µs, so there is none:
events are found by time, by severity (a partial index on errors), by group, and by scanning.
"""

from __future__ import annotations

import sqlite3

from agent.core.errors import StoreError
from agent.store import faults

VERSION = 8
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
            _take_steps(connection, version)
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _take_steps(connection: sqlite3.Connection, version: int) -> None:
    from agent.store import migrations  # noqa: PLC0415 - sqlite-utils takes 80 ms, at the first start alone

    try:
        migrations.apply(connection)
    except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
        if not faults.is_of_schema(error):
            raise
        raise _cannot_migrate(connection, version, str(error)) from error
    if version and (part := migrations.missing(connection)) is not None:  # 10 ms, which a new store need not wait for
        raise _cannot_migrate(connection, version, f"it lacks {part}")


def _cannot_migrate(connection: sqlite3.Connection, version: int, why: str) -> StoreError:
    path = connection.execute("PRAGMA database_list").fetchone()[2]
    return StoreError.of("SL415.older", path, path=path, version=version, why=why)
