"""The care of the store between transactions: retention, checkpoints, and a look at the file itself.

The oldest stored events are deleted in small transactions, and the space is given back to the disk. Where age counts,
the wall clock must be believed: one that is wrongly set a year ahead makes all that is stored a year old. So after a
jump ahead nothing is deleted by its age for an hour: a wrong clock is mostly put right sooner, by NTP or by whoever has
set it.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from agent.core.conditions import PassingConditions
from agent.core.times import MINUTE_NS, since_boot_ns
from agent.store import faults, former, forwarding, outgoing
from agent.store.rollups import KEPT_DAYS
from agent.store.writer import WAL_ALARM_BYTES, WAL_CHECKPOINT_BYTES, StoreWriter

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from agent.core.errors import SidelogError

_CHECK_FILE_S = 1.0
_RETENTION_S = 10.0
_TIDY_S = 3_600.0
_IDLE_CHECKPOINT_S = 5.0  # after this much quiet the WAL is copied, so that little is replayed after a power cut


class Maintenance:
    """Does what is due, in portions short enough for a waiting batch.

    Args:
        writer: the open store.
        retention: its bounds.
        report: notes that a condition began (True) or ended (False).
        clock: Unix ns, for ages; None when it is not to be believed: then nothing goes by its age.
        elapsed: monotonic seconds since any instant, for what is due.
    """

    def __init__(
        self,
        writer: StoreWriter,
        retention: Retention,
        *,
        report: Callable[[SidelogError, bool], None],
        clock: Callable[[], int | None] = time.time_ns,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writer = writer
        self.retention = retention
        self._report = report
        self._clock = clock
        self._elapsed = elapsed
        self._due_file = self._due_retention = self._due_tidy = -math.inf
        self._last_commit: float | None = None
        self._alarmed = False
        self._gaps = PassingConditions(report, elapsed)
        self.pending = False  # more to delete or to give back at once

    def after_commit(self) -> None:
        """Keep the WAL short."""
        self._last_commit = self._elapsed()
        if self._writer.wal_bytes() > WAL_CHECKPOINT_BYTES:
            self._checkpoint()

    def step(self) -> None:
        """Do one portion of what is due.

        Raises:
            StoreError: as `StoreWriter.write`.
        """
        now = self._elapsed()
        if now >= self._due_file:
            self._due_file = now + _CHECK_FILE_S
            self._writer.check_file()
        if self.pending or now >= self._due_retention:
            self._due_retention = now + _RETENTION_S
            self._expire()
        if now >= self._due_tidy and (wall := self._clock()) is not None:
            self._due_tidy = now + _TIDY_S
            self.retention.tidy(wall)
        if self._last_commit is not None and now - self._last_commit >= _IDLE_CHECKPOINT_S:
            self._last_commit = None
            self._checkpoint()

    def run_retention(self) -> None:
        """Bring the store within its bounds now, however long it takes."""
        self._expire()
        while self.pending:
            self._expire()

    def _expire(self) -> None:
        free_before = self.retention.free_pages()
        last = self.retention.step(self._clock())
        self._tell_passed()
        self.pending = bool(last) or self.retention.free_pages() < free_before
        if self.pending:  # the file itself shrinks when the WAL is copied
            self.after_commit()

    def _tell_passed(self) -> None:
        """Say what targets of `forward` never got, for as long as that goes on."""
        passed, self.retention.passed = self.retention.passed, []
        for gap in passed:
            self._gaps.meet("SL660", gap.target, gap.events, "event", last=gap.last)
        self._gaps.settle()

    def _checkpoint(self) -> None:
        self._writer.checkpoint()
        size = self._writer.wal_bytes()
        if (size > WAL_ALARM_BYTES) != self._alarmed:
            self._alarmed = not self._alarmed
            self._report(faults.wal_error(self._writer.path, size), self._alarmed)


# ---------------------------------------------------------------- retention


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
        wanted: what the filter of a target of `forward` lets through; here: all.
    """

    def __init__(
        self,
        writer: StoreWriter,
        *,
        age_ns: int | None,
        size_bytes: int | None,
        wanted: forwarding.Wanted = lambda connection, _, after, last: outgoing.instants_after(connection, after, last),
    ) -> None:
        self._writer = writer
        self._connection = writer.connection
        self.age_ns = age_ns
        self.size_bytes = size_bytes
        self._wanted = wanted
        self.passed: list[forwarding.ForwardGap] = []  # what targets of `forward` never got, until somebody says so

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
            if last and (held := forwarding.holds(self._connection)):
                last = min(last, *(self._passed_id(one, last, now) for one in held))
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

    def _passed_id(self, hold: forwarding.Hold, last: int, now: int | None) -> int:
        """Up to where a target lets events go that are to go up to `last`: those that it has, and those for which its
        hold waits no longer. 0: none.
        """
        if hold.position >= last:
            return last
        passed = self._connection.execute(
            "SELECT coalesce(max(id), 0) FROM events WHERE id <= ?", (hold.position,)
        ).fetchone()[0]
        if hold.size_bytes is not None and (excess := self.used_bytes() - hold.size_bytes) > 0:
            passed = max(passed, self._id_after(excess))
        if hold.age_ns is not None and now is not None:
            passed = max(
                passed,
                self._connection.execute(  # an id that is there: what deletes nothing would be done for ever
                    "SELECT coalesce(max(id), 0) FROM events WHERE id <= ?1 AND id <"
                    " (SELECT coalesce(min(id), ?1 + 1) FROM events WHERE id <= ?1 AND observed_timestamp >= ?2)",
                    (last, max(0, now - hold.age_ns)),
                ).fetchone()[0],
            )
        return min(int(passed), last)

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
        self.passed += forwarding.pass_deleted(self._connection, last, time.time_ns(), self._wanted)
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
        """Drop what outlives its own, longer retention: rollups, trends, groups, rows of files that are long gone; and
        copies of the store before a migration, which must not outlive what was in it.

        Raises:
            StoreError: as `StoreWriter.write`.
        """
        former.remove_old(self._writer.path, self.age_ns, now)
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


# ---------------------------------------------------------------- the time


DOUBT_S = 3_600.0
_JUMP_S = 3_600.0  # ahead of the clock that only counts; NTP slews or steps less, and summer time is not in it


class WallClock:
    """Gives the time, or None while it is doubted.

    Args:
        known_ns: the latest Unix ns that the store has seen; 0 where there is none.
        gap_s: a first time that is later than this after `known_ns` is doubted.
        warn: called with the seconds of a jump ahead when doubt begins.
        wall_ns: Unix ns.
        elapsed_s: seconds that nobody can set.
    """

    def __init__(
        self,
        known_ns: int,
        gap_s: float,
        warn: Callable[[float], None],
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        elapsed_s: Callable[[], float] = lambda: since_boot_ns() / 1e9,
    ) -> None:
        self._warn = warn
        self._wall_ns = wall_ns
        self._elapsed_s = elapsed_s
        self._doubted_until_s = 0.0
        self._difference_s = wall_ns() / 1e9 - elapsed_s()
        ahead_s = (wall_ns() - known_ns) / 1e9
        if known_ns and ahead_s > gap_s:
            self._doubt(ahead_s)

    def __call__(self) -> int | None:
        """Unix ns; None where it is not to be believed."""
        now_ns = self._wall_ns()
        difference_s = now_ns / 1e9 - self._elapsed_s()
        ahead_s = difference_s - self._difference_s
        self._difference_s = difference_s
        if ahead_s > _JUMP_S:
            self._doubt(ahead_s)
        elif ahead_s < -_JUMP_S:
            self._doubted_until_s = 0.0  # put right
        return now_ns if self._elapsed_s() >= self._doubted_until_s else None

    def _doubt(self, ahead_s: float) -> None:
        self._doubted_until_s = self._elapsed_s() + DOUBT_S
        self._warn(ahead_s)


def known_ns(connection: sqlite3.Connection) -> int:
    """The latest Unix ns at which the store took something; 0 for an empty one."""
    row = connection.execute(
        "SELECT max(coalesce((SELECT observed_timestamp FROM events ORDER BY id DESC LIMIT 1), 0),"
        " coalesce((SELECT max(last_read) FROM files), 0))"
    ).fetchone()
    return int(row[0])
