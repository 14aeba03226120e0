"""Deleting the oldest stored events, in small transactions, and giving the space back to the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.core.times import MINUTE_NS
from agent.store import faults
from agent.store.rollups import KEPT_DAYS

if TYPE_CHECKING:
    from agent.store.writer import StoreWriter

_ROWS_PER_STEP = 2_000  # about 20 ms, so that a waiting batch is not held up
_PAGES_PER_STEP = 512  # 8 MiB of freed pages given back at a time
_ROLLUP_KEEP_NS = KEPT_DAYS * 86_400 * 10**9
_DELIVERIES_KEEP_NS = 30 * 86_400 * 10**9  # after their end
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

    def step(self, now: int | None) -> int:
        """Delete at most one portion of expired events.

        Args:
            now: Unix ns; None where the time is not known: then only the size counts.

        Returns:
            The highest id deleted; 0 when nothing was to be done.

        Raises:
            StoreError: as `StoreWriter.write`.
        """
        with faults.translated(self._writer.path):
            last = self._expired_id(now)
            if last:
                with faults.changing(self._connection, self._writer.path):
                    self._delete_through(last)
            elif self.free_pages():
                self._connection.execute(f"PRAGMA incremental_vacuum({_PAGES_PER_STEP})").fetchall()
        return last

    def _expired_id(self, now: int | None) -> int:
        """The last id of the next portion to delete, or 0.

        Events go in the order of their storing. One that was stored by a clock that was behind waits for those stored
        before it; one by a clock that was ahead goes with those stored after it.
        """
        excess = 0 if self.size_bytes is None else self.used_bytes() - self.size_bytes
        if excess > 0:
            return self._id_after(excess)
        if self.age_ns is None or now is None:
            return 0
        found: int = self._connection.execute(
            "WITH oldest AS MATERIALIZED (SELECT id, observed_timestamp AS stored FROM events ORDER BY id LIMIT ?1)"
            " SELECT coalesce(max(id), 0) FROM oldest WHERE stored < ?2"
            " AND id < (SELECT coalesce(min(id), 1 << 62) FROM oldest WHERE stored BETWEEN ?2 AND ?3)",
            (_ROWS_PER_STEP, max(0, now - self.age_ns), now),  # SQLite holds no instant 292 years before 1970
        ).fetchone()[0]
        return found

    def _id_after(self, excess_bytes: int) -> int:
        """The id up to which the oldest events hold so many bytes, or make one portion."""
        last = 0
        for last, held in self._connection.execute(  # noqa: B007  the last one is what is asked for
            "SELECT id, length(CAST(record AS BLOB)) + coalesce(length(raw), 0) FROM events ORDER BY id LIMIT ?",
            (_ROWS_PER_STEP,),
        ):
            excess_bytes -= held
            if excess_bytes <= 0:
                break
        return last

    def used_bytes(self) -> int:
        """Bytes of the store in use, freed pages not counted."""
        pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
        size = self._connection.execute("PRAGMA page_size").fetchone()[0]
        return int((pages - self.free_pages()) * size)

    def free_pages(self) -> int:
        """Pages of the file that hold nothing and are not given back yet."""
        return int(self._connection.execute("PRAGMA freelist_count").fetchone()[0])

    def _delete_through(self, last: int) -> None:
        self._connection.execute(
            "UPDATE rollups SET expired = 1 WHERE expired = 0 AND minute IN"  # integer division cuts towards zero
            " (SELECT DISTINCT timestamp / 60000000000 - (timestamp % 60000000000 < 0) FROM events WHERE id <= ?)",
            (last,),
        )
        self._connection.execute("UPDATE files SET tail_event_id = NULL WHERE tail_event_id <= ?", (last,))
        expired = self._connection.execute(
            'SELECT max("offset"), count(*), file_id FROM events WHERE id <= ? GROUP BY file_id', (last,)
        ).fetchall()
        self._connection.executemany(
            "UPDATE files SET expired_offset = ?, expired_events = expired_events + ? WHERE id = ?", expired
        )
        self._connection.execute("DELETE FROM events WHERE id <= ?", (last,))

    def tidy(self, now: int) -> None:
        """Drop what outlives its own, longer retention: rollups, trends, groups, rows of files that are long gone.

        Raises:
            StoreError: as `StoreWriter.write`.
        """
        kept_since = now - _ROLLUP_KEEP_NS
        with faults.changing(self._connection, self._writer.path):
            oldest = self._connection.execute(
                "SELECT coalesce((SELECT observed_timestamp FROM events ORDER BY id LIMIT 1), ?),"
                " coalesce((SELECT min(timestamp) FROM events), ?)",
                (now, now),
            ).fetchone()
            self._connection.execute("DELETE FROM rollups WHERE minute < ?", (kept_since // MINUTE_NS,))
            self._connection.execute("DELETE FROM group_minutes WHERE minute < ?", (kept_since // MINUTE_NS,))
            self._connection.execute("DELETE FROM error_groups WHERE last_seen < ?", (min(kept_since, oldest[1]),))
            self._connection.execute("DELETE FROM group_services WHERE group_id NOT IN (SELECT id FROM error_groups)")
            self._tidy_files(now, oldest[0])
            self._connection.execute("DELETE FROM alert_history WHERE time < ?", (kept_since,))
            self._connection.execute("DELETE FROM deliveries WHERE finished < ?", (now - _DELIVERIES_KEEP_NS,))
            self._connection.execute("DELETE FROM silences WHERE until < ?", (now - _DELIVERIES_KEEP_NS,))
            self._connection.execute(
                "DELETE FROM own_errors WHERE active = 0 AND last_seen < ?", (now - _EXPIRED_FILES_KEEP_NS,)
            )

    def _tidy_files(self, now: int, oldest_event: int) -> None:
        """Drop files that ended long ago and have no events left; their gaps with them, so that the books balance."""
        gone = self._connection.execute(
            "SELECT id FROM files WHERE state = 'finished' AND last_read < ? AND (path, first_seen) NOT IN"
            " (SELECT path, first_seen FROM files WHERE id IN (SELECT file_id FROM archives)) AND last_read <"
            " iif(EXISTS (SELECT 1 FROM gaps WHERE file_id = files.id), ?, ?)",
            (oldest_event, now - _ROLLUP_KEEP_NS, now - _EXPIRED_FILES_KEEP_NS),
        ).fetchall()
        self._connection.executemany("DELETE FROM gaps WHERE file_id = ?", gone)
        self._connection.executemany("DELETE FROM files WHERE id = ?", gone)
