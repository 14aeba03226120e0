"""Version 1: events, the files they come from, groups, gaps, rollups, and the agent's own tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.store.migrations.script import run

if TYPE_CHECKING:
    import sqlite3

FILES = """
CREATE TABLE files (
  id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  path TEXT NOT NULL,
  current_path TEXT NOT NULL,
  device INTEGER NOT NULL,
  inode INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  "offset" INTEGER NOT NULL,
  start_offset INTEGER NOT NULL,
  head_length INTEGER NOT NULL,
  head_hash BLOB NOT NULL,
  marker_length INTEGER NOT NULL,
  marker_hash BLOB NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('active', 'rotated', 'finished')),
  profile TEXT,
  tail_event_id INTEGER,
  first_seen INTEGER NOT NULL,
  last_read INTEGER NOT NULL,
  events INTEGER NOT NULL DEFAULT 0,
  event_bytes INTEGER NOT NULL DEFAULT 0,
  blank_bytes INTEGER NOT NULL DEFAULT 0,
  gap_bytes INTEGER NOT NULL DEFAULT 0,
  parse_errors INTEGER NOT NULL DEFAULT 0,
  resource TEXT NOT NULL DEFAULT '{}',
  message_path TEXT,
  logger_path TEXT,
  service_path TEXT,
  trace_path TEXT
);
"""

_EVENTS = """
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  timestamp INTEGER NOT NULL,
  observed_timestamp INTEGER NOT NULL,
  severity_number INTEGER NOT NULL,
  file_id INTEGER NOT NULL REFERENCES files(id),
  "offset" INTEGER NOT NULL,
  group_id INTEGER REFERENCES error_groups(id),
  record TEXT NOT NULL,
  raw BLOB,
  parse_error TEXT
);
CREATE INDEX events_by_time ON events(timestamp);
CREATE INDEX errors_by_time ON events(timestamp, severity_number, group_id) WHERE severity_number >= 17;
CREATE TABLE error_groups (
  id INTEGER PRIMARY KEY,
  fingerprint TEXT NOT NULL UNIQUE,
  fingerprint_version INTEGER NOT NULL,
  title TEXT NOT NULL,
  culprit TEXT,
  exception_type TEXT,
  severity_number INTEGER NOT NULL,
  category TEXT NOT NULL,
  service TEXT,
  state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'ongoing', 'regressed', 'resolved', 'ignored')),
  state_changed INTEGER NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  count INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE group_minutes (
  group_id INTEGER NOT NULL REFERENCES error_groups(id) ON DELETE CASCADE,
  minute INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (group_id, minute)
) WITHOUT ROWID;
CREATE TABLE gaps (
  id INTEGER PRIMARY KEY,
  file_id INTEGER NOT NULL REFERENCES files(id),
  "from" INTEGER NOT NULL,
  "to" INTEGER NOT NULL,
  reason TEXT NOT NULL,
  time INTEGER NOT NULL,
  sample BLOB
);
CREATE TABLE rollups (
  minute INTEGER NOT NULL,
  source TEXT NOT NULL,
  severity_number INTEGER NOT NULL,
  logger TEXT NOT NULL,
  count INTEGER NOT NULL,
  expired INTEGER NOT NULL DEFAULT 0, -- not 0: counts differ from the events that are there; scan the minute
  PRIMARY KEY (minute, source, severity_number, logger)
) WITHOUT ROWID;
"""

_OPERATION = """
CREATE TABLE archives (
  id INTEGER PRIMARY KEY,
  file_id INTEGER REFERENCES files(id),
  source TEXT NOT NULL,
  path TEXT NOT NULL UNIQUE,
  bytes INTEGER NOT NULL,
  raw_bytes INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  min_timestamp INTEGER,
  max_timestamp INTEGER,
  created INTEGER NOT NULL
);
CREATE TABLE alert_history (
  id INTEGER PRIMARY KEY,
  rule TEXT NOT NULL,
  "key" TEXT NOT NULL,
  state TEXT NOT NULL,
  time INTEGER NOT NULL,
  value REAL,
  threshold REAL
);
CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY,
  delivery_id TEXT NOT NULL UNIQUE,
  rule TEXT NOT NULL,
  hook TEXT NOT NULL,
  state TEXT NOT NULL,
  created INTEGER NOT NULL,
  document TEXT NOT NULL
);
CREATE TABLE own_errors (
  code TEXT NOT NULL,
  subject TEXT NOT NULL,
  message TEXT NOT NULL,
  hint TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  count INTEGER NOT NULL,
  active INTEGER NOT NULL,
  PRIMARY KEY (code, subject)
);
CREATE TABLE meta (
  "key" TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;
"""

LOGS_VIEW = """
CREATE VIEW logs AS
SELECT
  e.id,
  strftime('%Y-%m-%dT%H:%M:%S', e.timestamp / 1000000000 - (e.timestamp % 1000000000 < 0), 'unixepoch')
    || printf('.%09dZ', (e.timestamp % 1000000000 + 1000000000) % 1000000000) AS time, -- also before 1970
  e.timestamp,
  CASE
    WHEN e.severity_number BETWEEN 1 AND 4 THEN 'TRACE'
    WHEN e.severity_number BETWEEN 5 AND 8 THEN 'DEBUG'
    WHEN e.severity_number BETWEEN 9 AND 12 THEN 'INFO'
    WHEN e.severity_number BETWEEN 13 AND 16 THEN 'WARN'
    WHEN e.severity_number BETWEEN 17 AND 20 THEN 'ERROR'
    WHEN e.severity_number BETWEEN 21 AND 24 THEN 'FATAL'
  END AS severity,
  e.severity_number,
  coalesce(json_extract(e.record, f.message_path), json_extract(e.record, '$.message'),
           json_extract(e.record, '$.msg'), json_extract(e.record, '$.event')) AS message,
  coalesce(json_extract(e.record, f.logger_path), json_extract(e.record, '$.logger')) AS logger,
  coalesce(json_extract(e.record, f.service_path), json_extract(f.resource, '$."service.name"')) AS service,
  coalesce(json_extract(e.record, f.trace_path), json_extract(e.record, '$.trace_id')) AS trace_id,
  f.source,
  f.path,
  e."offset",
  e.group_id AS "group",
  e.record
FROM events e JOIN files f ON f.id = e.file_id
"""


def apply(connection: sqlite3.Connection) -> None:
    """Make the tables of a new store, and the view `logs`."""
    for script in (FILES, _EVENTS, _OPERATION, LOGS_VIEW):
        run(connection, script)
