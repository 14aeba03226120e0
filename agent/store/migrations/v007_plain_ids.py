"""Version 7: ids without AUTOINCREMENT, which writes a page of `sqlite_sequence` in every commit.

No id is given twice all the same: where the event with the highest id leaves the store, `sqlite_sequence` keeps it, and
the writer goes on behind it.

An SQLite that is made to be defensive refuses such a change. Then all works as before, and a page more is written.
"""

from __future__ import annotations

import contextlib
import sqlite3

from agent.store.migrations.script import run

# The rows stay as they are. This is how https://sqlite.org/lang_altertable.html changes a definition without making the
# table again; the schema's cookie tells other connections.
_FORGET = """
UPDATE sqlite_master SET sql = replace(sql, 'PRIMARY KEY AUTOINCREMENT', 'PRIMARY KEY')
WHERE type = 'table' AND name = 'events';
"""
_KEEP = """
CREATE TRIGGER events_keep_ids AFTER DELETE ON events WHEN old.id > (SELECT coalesce(max(id), 0) FROM events)
BEGIN
  DELETE FROM sqlite_sequence WHERE name = 'events' AND seq < old.id;
  INSERT INTO sqlite_sequence (name, seq) SELECT 'events', old.id
  WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'events');
END
"""


def apply(connection: sqlite3.Connection) -> None:
    """Change the definition of `events`."""
    connection.execute("PRAGMA writable_schema = ON")
    with contextlib.suppress(sqlite3.OperationalError):
        run(connection, _FORGET)
    connection.execute("PRAGMA writable_schema = RESET")
    cookie = connection.execute("PRAGMA schema_version").fetchone()[0]
    connection.execute(f"PRAGMA schema_version = {cookie + 1}")
    connection.execute(_KEEP)
