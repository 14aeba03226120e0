"""Accounts for every byte of every file: events, blank lines and gaps must add up to what was read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3

_BALANCE = """
SELECT f.id, f.path, f.current_path, f.source, f.state, f."offset", f.start_offset, f.events, f.event_bytes,
       f.blank_bytes, f.gap_bytes,
       (SELECT count(*) FROM gaps g WHERE g.file_id = f.id),
       (SELECT coalesce(sum(g."to" - g."from"), 0) FROM gaps g WHERE g.file_id = f.id)
FROM files f ORDER BY f.source, f.path, f.id
"""
_NAMES = (
    *("file_id", "path", "current_path", "source", "state", "offset", "start_offset", "events", "event_bytes"),
    *("blank_bytes", "gap_bytes", "gaps", "gap_rows_bytes"),
)


def balance(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """One row per file generation with its bytes; `difference` is 0 where every byte is accounted for.

    `start_offset` is where the file began to be followed (`start: end`); bytes before it were never to be read.
    """
    rows = [dict(zip(_NAMES, row, strict=True)) for row in connection.execute(_BALANCE)]
    for row in rows:
        accounted = row["event_bytes"] + row["blank_bytes"] + row["gap_bytes"]
        row["difference"] = row["offset"] - row["start_offset"] - accounted
        row["complete"] = row.pop("gap_rows_bytes") == row["gap_bytes"] and row["difference"] == 0
    return rows
