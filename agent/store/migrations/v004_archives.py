"""Version 4: the index of the archives, their chain, and the logs that they were made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.store.migrations.script import run

if TYPE_CHECKING:
    import sqlite3

# `expired_offset`: events of the file up to it have left the store.
EXPIRED = """
ALTER TABLE files ADD COLUMN expired_offset INTEGER NOT NULL DEFAULT -1;
ALTER TABLE files ADD COLUMN expired_events INTEGER NOT NULL DEFAULT 0;
"""

# `log_path` is the path under which the log was followed, `path` that of the archive. An archive without a `file_id`
# was made of a log that was never followed.
_ARCHIVES = """
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
"""

FRAMES = """
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
"""

FILTERS = """
CREATE TABLE archive_filters (
  id INTEGER PRIMARY KEY,
  blocks BLOB NOT NULL
);
"""

_CHAINS = """
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


def apply(connection: sqlite3.Connection) -> None:
    """Add the tables and columns of archives; all events are read once where some have left the store."""
    for script in (EXPIRED, _ARCHIVES, FRAMES, FILTERS, _CHAINS):
        run(connection, script)
    note_expired(connection)


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
