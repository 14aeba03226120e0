"""The schema of the store, as `migrations` brings it about. `PRAGMA user_version` is the schema version.

Stable for other programs: `events`, the view `logs`, `error_groups`, `files`, `gaps`, `rollups`, `archives`,
`alert_history`, `deliveries`. Everything else may change with the version.

An index on a random value (a trace id) would cost 10 µs per event and a full-text index 5.4 µs, so there is none:
events are found by time, by severity (a partial index on errors), by group, and by scanning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

VERSION = 5
APPLICATION_ID = 0x51DE106  # "side log": tells our file from any other SQLite file
PAGE_SIZE_BYTES = 16_384  # 4 KiB pages cost 0.6 µs more per event: more WAL frames, more splits

EVENTS = """
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

OPERATION = """
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

# What the messages of a group have in common, for groups that no stack trace decides: scope and words, as group.miner
# reads and writes them.
TEMPLATES = """
ALTER TABLE error_groups ADD COLUMN template TEXT
"""

# Deliveries: `change` is what happened (firing, repeat, resolved), `state` what became of telling it (waiting,
# delivered, dead). `key` NULL: it speaks for several keys of its rule, and keeps its place among all of them.
ALERTING = """
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
GROUP_LIVES = """
ALTER TABLE error_groups ADD COLUMN ignored_until INTEGER;
ALTER TABLE error_groups ADD COLUMN ignored_until_count INTEGER;
CREATE TABLE group_services (
  group_id INTEGER NOT NULL REFERENCES error_groups(id) ON DELETE CASCADE,
  service TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (group_id, service)
) WITHOUT ROWID;
"""

# `log_path` is the path under which the log was followed, `path` that of the archive. An archive without a `file_id`
# was made of a log that was never followed. `expired_offset`: events of the file up to it have left the store.
ARCHIVES = """
ALTER TABLE files ADD COLUMN expired_offset INTEGER NOT NULL DEFAULT -1;
ALTER TABLE files ADD COLUMN expired_events INTEGER NOT NULL DEFAULT 0;
ALTER TABLE archives ADD COLUMN log_path TEXT NOT NULL DEFAULT '';
ALTER TABLE archives ADD COLUMN modified INTEGER NOT NULL DEFAULT 0;
ALTER TABLE archives ADD COLUMN events INTEGER NOT NULL DEFAULT 0;
ALTER TABLE archives ADD COLUMN sha256 TEXT NOT NULL DEFAULT '';
ALTER TABLE archives ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE archives ADD COLUMN previous TEXT NOT NULL DEFAULT '';
ALTER TABLE archives ADD COLUMN link TEXT NOT NULL DEFAULT '';
ALTER TABLE archives ADD COLUMN resource TEXT NOT NULL DEFAULT '{}';
ALTER TABLE archives ADD COLUMN profile TEXT;
ALTER TABLE archives ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
CREATE TABLE archive_frames (
  archive_id INTEGER NOT NULL REFERENCES archives(id),
  number INTEGER NOT NULL,
  "offset" INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  raw_offset INTEGER NOT NULL,
  raw_bytes INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  events INTEGER NOT NULL,
  min_timestamp INTEGER,
  max_timestamp INTEGER,
  max_severity INTEGER NOT NULL,
  severities TEXT NOT NULL,
  shape INTEGER NOT NULL,
  longest_token INTEGER NOT NULL,
  PRIMARY KEY (archive_id, number)
) WITHOUT ROWID;
CREATE TABLE archive_filters (
  id INTEGER PRIMARY KEY,
  blocks BLOB NOT NULL
);
CREATE TABLE archive_logs (
  device INTEGER NOT NULL,
  inode INTEGER NOT NULL,
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  archive_id INTEGER NOT NULL REFERENCES archives(id),
  path TEXT NOT NULL,
  PRIMARY KEY (device, inode, size, mtime_ns)
) WITHOUT ROWID;
CREATE TABLE archive_chains (
  source TEXT PRIMARY KEY,
  last_id INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  link TEXT NOT NULL,
  removed INTEGER NOT NULL DEFAULT 0,
  removed_link TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
"""

# Archives that are gone: by retention, or because another one has their content too (`replaced_by`): then the chain
# still goes through them. `path` is that of the file until it is deleted.
ARCHIVE_REMOVALS = """
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


def prepare_file(connection: sqlite3.Connection) -> None:
    """Set what can only be set while the file is still empty: page size, incremental vacuum, WAL."""
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the store to VERSION in one transaction; the connection must be in autocommit mode.

    Raises:
        sqlite3.Error: the file is locked, damaged or its disk is full; nothing has changed then.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            from agent.store import migrations  # noqa: PLC0415 - sqlite-utils takes 80 ms, at the first start alone

            migrations.apply(connection)
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
