"""The steps by which a store gets its schema, by sqlite-utils. Loaded where a store is new or of an older version."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from agent.store import schema

# sqlite-utils imports numpy where it is installed, to know its types: 17 MB and 0.1 s, which an agent would keep for
# life. A None here is Python's way to say that there is no such module.
_modules: dict[str, Any] = sys.modules
_is_hidden = _modules.setdefault("numpy", None) is None
try:
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations
finally:
    if _is_hidden:
        del _modules["numpy"]

if TYPE_CHECKING:
    import sqlite3

migrations = Migrations("sidelog")


def apply(connection: sqlite3.Connection) -> None:
    """Take the steps that the store has not taken yet; inside a transaction."""
    migrations.apply(Database(connection, execute_plugins=False, recursive_triggers=False))


def _run(db: Database, script: str) -> None:
    """Execute statements one by one: `executescript` would commit the surrounding transaction."""
    for statement in script.split(";\n"):
        if statement.strip():
            db.conn.execute(statement)


@migrations()
def events_and_files(db: Database) -> None:
    """Version 1: events, the files they come from, groups, gaps, rollups, and the agent's own tables."""
    _run(db, schema.EVENTS)
    _run(db, schema.OPERATION)
    db.conn.execute(schema.LOGS_VIEW)


@migrations()
def templates(db: Database) -> None:
    """Version 2: error groups keep the template of their messages."""
    _run(db, schema.TEMPLATES)


@migrations()
def alerting(db: Database) -> None:
    """Version 3: states of alert rules, silences, and deliveries as an outbox."""
    _run(db, schema.ALERTING)


@migrations()
def group_lives(db: Database) -> None:
    """Version 3: error groups come back after a time or a number of events, and count their services."""
    _run(db, schema.GROUP_LIVES)


@migrations()
def archives(db: Database) -> None:
    """Version 4: the index of the archives, their chain, and the logs that they were made of."""
    _run(db, schema.ARCHIVES)
    note_expired(db.conn)


@migrations()
def archive_removals(db: Database) -> None:
    """Version 5: archives that are gone, so that their files go too and the chain holds."""
    _run(db, schema.ARCHIVE_REMOVALS)


def note_expired(connection: sqlite3.Connection) -> None:
    """Find out up to where the events of each file have left a store that did not note it: all events are read once."""
    first = connection.execute("SELECT min(id) FROM events").fetchone()[0]
    if first == 1:
        return
    connection.execute('UPDATE files SET expired_offset = "offset"')
    connection.execute(
        "UPDATE files SET expired_offset = hot.first - 1 FROM"
        ' (SELECT file_id, min("offset") AS first FROM events GROUP BY file_id) AS hot WHERE hot.file_id = files.id'
    )
