"""Version 10: how often each value of the commonest fields is in a block of events, counted beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.store.migrations.script import run

if TYPE_CHECKING:
    import sqlite3

# A block has the ids with the same quotient by 16,384. The trigger costs nothing until an event grows; events that go
# are the oldest ones, so that `first_id` says whether a block is still whole.
_FIELD_COUNTS = """
CREATE TABLE counted_fields (
  name TEXT PRIMARY KEY
) WITHOUT ROWID;
CREATE TABLE field_counts (
  field TEXT NOT NULL REFERENCES counted_fields(name),
  block INTEGER NOT NULL,
  first_id INTEGER NOT NULL,
  min_timestamp INTEGER NOT NULL,
  max_timestamp INTEGER NOT NULL,
  counts BLOB, -- JSON; NULL: the block cannot be counted by this field
  PRIMARY KEY (field, block)
) WITHOUT ROWID;
"""
_CHANGED = """
CREATE TRIGGER field_counts_changed AFTER UPDATE ON events BEGIN
  DELETE FROM field_counts WHERE field IN (SELECT name FROM counted_fields) AND block = old.id >> 14;
END
"""


def apply(connection: sqlite3.Connection) -> None:
    """Add the two tables and the trigger."""
    run(connection, _FIELD_COUNTS)
    connection.execute(_CHANGED)
