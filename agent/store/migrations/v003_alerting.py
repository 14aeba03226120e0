"""Version 3: states of alert rules, silences, deliveries as an outbox; error groups that come back.

Two steps: stores of this version were made with the first alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.store.migrations.script import run

if TYPE_CHECKING:
    import sqlite3

# Deliveries: `change` is what happened (firing, repeat, resolved), `state` what became of telling it (waiting,
# delivered, dead). `key` NULL: it speaks for several keys of its rule, and keeps its place among all of them.
_ALERTING = """
ALTER TABLE deliveries ADD COLUMN "key" TEXT;
ALTER TABLE deliveries ADD COLUMN change TEXT NOT NULL DEFAULT '';
ALTER TABLE deliveries ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN next_attempt INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN finished INTEGER;
ALTER TABLE deliveries ADD COLUMN result TEXT;
ALTER TABLE deliveries ADD COLUMN output TEXT;
CREATE INDEX deliveries_waiting ON deliveries(id) WHERE state = 'waiting';
ALTER TABLE alert_history ADD COLUMN quiet TEXT NOT NULL DEFAULT '';
CREATE TABLE alert_rules (
  name TEXT PRIMARY KEY,
  shape TEXT NOT NULL,
  facts TEXT NOT NULL,
  evicted INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE alert_states (
  rule TEXT NOT NULL,
  "key" TEXT NOT NULL,
  phase TEXT NOT NULL CHECK (phase IN ('ok', 'pending', 'firing')),
  since INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  value REAL NOT NULL,
  notified INTEGER NOT NULL,
  repeat_at INTEGER NOT NULL,
  repeats INTEGER NOT NULL,
  quiet TEXT NOT NULL,
  PRIMARY KEY (rule, "key")
) WITHOUT ROWID;
CREATE TABLE alert_windows (
  rule TEXT NOT NULL,
  "key" TEXT NOT NULL,
  bucket INTEGER NOT NULL,
  count INTEGER NOT NULL,
  total INTEGER NOT NULL,
  event_id INTEGER NOT NULL,
  PRIMARY KEY (rule, "key", bucket)
) WITHOUT ROWID;
CREATE TABLE silences (
  rule TEXT PRIMARY KEY,
  created INTEGER NOT NULL,
  until INTEGER NOT NULL,
  author TEXT NOT NULL,
  comment TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE hook_states (
  hook TEXT PRIMARY KEY,
  facts TEXT NOT NULL
) WITHOUT ROWID;
"""

# Groups: when one that is ignored comes back (after `ignored_until`, Unix ns, or with so many events in all), and how
# many of its events each service had; '' are those of no service and of the services beyond the bound.
_GROUP_LIVES = """
ALTER TABLE error_groups ADD COLUMN ignored_until INTEGER;
ALTER TABLE error_groups ADD COLUMN ignored_until_count INTEGER;
CREATE TABLE group_services (
  group_id INTEGER NOT NULL REFERENCES error_groups(id) ON DELETE CASCADE,
  service TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (group_id, service)
) WITHOUT ROWID;
"""


def add_alerting(connection: sqlite3.Connection) -> None:
    """Add the tables and columns of alert rules and their deliveries."""
    run(connection, _ALERTING)


def add_group_lives(connection: sqlite3.Connection) -> None:
    """Let error groups come back after a time or a number of events, and count their services."""
    run(connection, _GROUP_LIVES)
