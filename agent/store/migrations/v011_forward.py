"""Version 11: how far events are forwarded, what has grown since, what was never sent, and who this agent is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.store.migrations.script import run

if TYPE_CHECKING:
    import sqlite3

# `agents`: the newest row is the agent's id now; an event is forwarded under that id whose `since_seq` it has reached.
# `forward_targets`: `position` is the highest event id of which all up to it is settled, `changed` the same of
# `forward_changes`, `pending` what is being sent, as JSON. `removed`: since when the configuration has it no more.
# `forward_gaps`: events that a target never got; `first` and `last` are ids, and so many events between them.
_FORWARD = """
CREATE TABLE agents (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  since_seq INTEGER NOT NULL,
  reason TEXT NOT NULL,
  time INTEGER NOT NULL,
  place TEXT NOT NULL DEFAULT ''
);
CREATE TABLE forward_targets (
  name TEXT PRIMARY KEY,
  agent TEXT NOT NULL DEFAULT '',
  kind TEXT NOT NULL,
  url TEXT NOT NULL,
  "match" TEXT NOT NULL DEFAULT '',
  hold_age INTEGER,
  hold_size INTEGER,
  position INTEGER NOT NULL DEFAULT 0,
  changed INTEGER NOT NULL DEFAULT 0,
  pending TEXT,
  forwarded INTEGER NOT NULL DEFAULT 0,
  rejected INTEGER NOT NULL DEFAULT 0,
  last_success INTEGER,
  failing_since INTEGER,
  last_error TEXT,
  circuit TEXT NOT NULL DEFAULT 'closed',
  backfill TEXT,
  added INTEGER NOT NULL,
  removed INTEGER
) WITHOUT ROWID;
CREATE TABLE forward_changes (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id INTEGER NOT NULL
);
CREATE TABLE forward_gaps (
  id INTEGER PRIMARY KEY,
  target TEXT NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  events INTEGER NOT NULL,
  first_timestamp INTEGER,
  last_timestamp INTEGER,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL DEFAULT '',
  time INTEGER NOT NULL
);
"""
# A statement of its own: a trigger's body has semicolons. Where nothing is updated it costs nothing; where nobody
# forwards, a look into an empty table for each event that grows.
_CHANGED = """
CREATE TRIGGER forward_changed AFTER UPDATE OF record, raw, group_id, severity_number, timestamp ON events
WHEN EXISTS (SELECT 1 FROM forward_targets WHERE removed IS NULL)
BEGIN INSERT INTO forward_changes (event_id) VALUES (new.id); END
"""


def apply(connection: sqlite3.Connection) -> None:
    """Add the tables and the trigger."""
    run(connection, _FORWARD)
    connection.execute(_CHANGED)
