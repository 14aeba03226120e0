"""Version 6: one shape for all stores. Versions 1 and 4 had several, for their statements were changed in place.

- Version 1 began without `files.start_offset` and `files.parse_errors`, and with a view `logs` that was wrong for
  instants before 1970.
- Version 4 began without `files.expired_events` and `archive_frames.shape`; then its filters were of another kind
  (`archive_filters.words`), and what had left a store of version 3 was not noted in `files.expired_offset`.

A table that lacks a column is made again, so that its columns have the order that they have in a new store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.store.migrations.script import run
from agent.store.migrations.v001_events import FILES, LOGS_VIEW
from agent.store.migrations.v004_archives import EXPIRED, FILTERS, FRAMES

if TYPE_CHECKING:
    import sqlite3

# What the store still has of each file; read once, where some table lacks something.
_STORED = """
CREATE TEMP TABLE stored AS
SELECT file_id, count(*) AS events, count(parse_error) AS unparsed, min("offset") AS first
FROM main.events GROUP BY file_id
"""
# Every byte from the start of a file to its offset is of an event, blank or in a gap: where no start was kept, it
# follows from the others. What has left the store cannot be counted as unparsable any more.
_FILES_LACK = {
    "start_offset": 'max(0, "offset" - event_bytes - blank_bytes - gap_bytes)',
    "parse_errors": "coalesce((SELECT unparsed FROM temp.stored WHERE file_id = lacking.id), 0)",
    "expired_offset": "-1",
    "expired_events": "max(0, events - coalesce((SELECT s.events FROM temp.stored s WHERE file_id = lacking.id), 0))",
}
# 8 are lines in a wrapper: bytes of such a frame rule nothing out, so that a search parses all of it.
_FRAMES_LACK = {"shape": "8"}
_NOTE_EXPIRED = """
UPDATE files SET expired_offset = coalesce((SELECT first - 1 FROM temp.stored WHERE file_id = files.id), "offset")
WHERE expired_offset = -1 AND (SELECT coalesce(min(id), 0) FROM events) <> 1
"""


def apply(connection: sqlite3.Connection) -> None:
    """Give a store of any commit the shape of a new one; the tables of one that has it stay as they are."""
    run(connection, "DROP VIEW IF EXISTS logs")
    is_early = "words" in _columns(connection, "archive_filters")
    if is_early or not _FILES_LACK.keys() <= set(_columns(connection, "files")):
        run(connection, _STORED)
        _make_again(connection, "files", FILES + EXPIRED, _FILES_LACK)
        if is_early:
            run(connection, _NOTE_EXPIRED)
        run(connection, "DROP TABLE temp.stored")
    _make_again(connection, "archive_frames", FRAMES, _FRAMES_LACK)
    if is_early:
        # A frame without a filter is opened; filters of the other kind would pass over frames that match.
        run(connection, "DROP TABLE archive_filters")
        run(connection, FILTERS)
    run(connection, LOGS_VIEW)


def _make_again(connection: sqlite3.Connection, table: str, script: str, lacking: dict[str, str]) -> None:
    """Make a table that lacks columns again, each of them with the value of its expression over the old rows."""
    known = set(_columns(connection, table))
    if lacking.keys() <= known:
        return
    run(connection, f"CREATE TEMP TABLE lacking AS SELECT * FROM main.{table}")  # noqa: S608 - names of this module
    run(connection, f"DROP TABLE main.{table}")
    run(connection, script)
    columns = _columns(connection, table)
    values = [f'"{name}"' if name in known else lacking[name] for name in columns]
    names = ", ".join(f'"{name}"' for name in columns)
    run(connection, f"INSERT INTO main.{table} ({names}) SELECT {', '.join(values)} FROM temp.lacking")  # noqa: S608
    run(connection, "DROP TABLE temp.lacking")


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")]
