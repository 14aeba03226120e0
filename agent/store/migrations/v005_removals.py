"""Version 5: archives that are gone, so that their files go too and the chain holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.store.migrations.script import run

if TYPE_CHECKING:
    import sqlite3

# Archives that are gone: by retention, or because another one has their content too (`replaced_by`): then the chain
# still goes through them. `path` is that of the file until it is deleted.
_REMOVALS = """
CREATE TABLE archive_removals (
  id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  previous TEXT NOT NULL,
  link TEXT NOT NULL,
  path TEXT,
  replaced_by INTEGER
);
"""


def apply(connection: sqlite3.Connection) -> None:
    """Add the table."""
    run(connection, _REMOVALS)
