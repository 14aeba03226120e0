"""Deleting the oldest stored events, in small transactions, and giving the space back to the disk."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from agent.store import faults

if TYPE_CHECKING:
    from agent.store.writer import StoreWriter

_ROWS_PER_STEP = 2_000  # about 20 ms, so that a waiting batch is not held up
_PAGES_PER_STEP = 512  # 8 MiB of freed pages given back at a time
_ROLLUP_KEEP_NS = 400 * 86_400 * 10**9  # rollups, groups' minutes: more than a year, whatever the events' age
_EXPIRED_FILES_KEEP_NS = 30 * 86_400 * 10**9


class Retention:
    """Keeps the store within an age and a size.

    Args:
        writer: the open store.
        age_ns: events stored longer ago than this go; counted from the storing, so that a backfill of old logs stays.
        size_bytes: above this the oldest stored events go. None: no bound.
    """

    def __init__(self, writer: StoreWriter, *, age_ns: int | None, size_bytes: int | None) -> None:
        self._writer = writer
        self._connection = writer.connection
        self.age_ns = age_ns
        self.size_bytes = size_bytes

    def step(self, now: int) -> int:
        """Delete at most one portion of expired events.

        Args:
            now: Unix ns.

        Returns:
            The highest id deleted; 0 when nothing was to be done.

        Raises:
            StoreError: as `StoreWriter.write`.
        """
        try:
            last = self._expired_id(now)
            if last:
                self._delete_through(last)
            elif self.free_pages():
                self._connection.execute(f"PRAGMA incremental_vacuum({_PAGES_PER_STEP})").fetchall()
        except sqlite3.Error as error:
            self._writer.rollback()
            raise faults.writing_error(error, self._writer.path) from error
        return last

    def _expired_id(self, now: int) -> int:
        """The last id of the next portion to delete, or 0."""
        oldest = self._connection.execute(
            "SELECT id, observed_timestamp FROM events ORDER BY id LIMIT ?", (_ROWS_PER_STEP,)
        ).fetchall()
        if not oldest:
            return 0
        if self.size_bytes is not None and self.used_bytes() > self.size_bytes:
            return int(oldest[-1][0])
        if self.age_ns is None:
            return 0
        limit = now - self.age_ns
        return max((int(row[0]) for row in oldest if row[1] < limit), default=0)

    def used_bytes(self) -> int:
        """Bytes of the store in use, freed pages not counted."""
        pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
        size = self._connection.execute("PRAGMA page_size").fetchone()[0]
        return int((pages - self.free_pages()) * size)

    def free_pages(self) -> int:
        """Pages of the file that hold nothing and are not given back yet."""
        return int(self._connection.execute("PRAGMA freelist_count").fetchone()[0])

    def _delete_through(self, last: int) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(
            "UPDATE rollups SET expired = 1 WHERE expired = 0 AND minute IN"
            " (SELECT DISTINCT timestamp / 60000000000 FROM events WHERE id <= ?)",
            (last,),
        )
        self._connection.execute("UPDATE files SET tail_event_id = NULL WHERE tail_event_id <= ?", (last,))
        self._connection.execute("DELETE FROM events WHERE id <= ?", (last,))
        self._connection.execute("COMMIT")

    def tidy(self, now: int) -> None:
        """Drop what outlives its own, longer retention: rollups, trends, rows of files that are long gone."""
        minute = (now - _ROLLUP_KEEP_NS) // 60_000_000_000
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("DELETE FROM rollups WHERE minute < ?", (minute,))
            self._connection.execute("DELETE FROM group_minutes WHERE minute < ?", (minute,))
            self._connection.execute("DELETE FROM gaps WHERE time < ?", (now - _ROLLUP_KEEP_NS,))
            self._connection.execute(
                "DELETE FROM files WHERE state = 'finished' AND last_read < ? AND last_read <"
                " coalesce((SELECT observed_timestamp FROM events ORDER BY id LIMIT 1), ?)"
                " AND NOT EXISTS (SELECT 1 FROM gaps WHERE file_id = files.id)",
                (now - _EXPIRED_FILES_KEEP_NS, now),
            )
            self._connection.execute(
                "DELETE FROM own_errors WHERE active = 0 AND last_seen < ?", (now - _EXPIRED_FILES_KEEP_NS,)
            )
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._writer.rollback()
            raise faults.writing_error(error, self._writer.path) from error
