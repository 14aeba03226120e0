"""One log after the other into the archive, in the order that no crash can hurt.

    worker: write under a temporary name, flush, read back and compare, name, flush the directory
    keeper: index and chain into the store, durably; then delete the log, if that is wanted
            and nothing has happened to it since

A log that grew after it was archived is archived whole again: the new archive takes the place of the old one in the
transaction that adds it, and then the old one's file is deleted.

After a crash the next round goes on: what was being made is removed (`leftovers`) and made again, a log that the store
knows to be archived is deleted, and so is the file of an archive that is no longer one.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agent.archive import leftovers, place, source
from agent.archive.errors import ArchiveError, undeletable, unremovable, unwritable
from agent.archive.job import Done, Failed, Job, Order, Progress, earlier_of
from agent.archive.planner import Known, Plan, Planner
from agent.archive.process import Worker
from agent.archive.rows import archive_row, open_archive
from agent.archive.source import Version
from agent.core.conditions import Conditions
from agent.core.units import format_duration, format_size
from agent.store import archives, tables
from agent.store.archives import LogRow

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from agent.archive.planner import SourceFacts
    from agent.core.errors import SidelogError
    from agent.store.archives import ArchiveRow
    from agent.store.edit import Change
    from agent.tail.discover import Discovery


class Options(msgspec.Struct, frozen=True):
    """What the configuration says about archiving; times in seconds, sizes in bytes."""

    directory: Path
    quiet_s: float = 60.0
    inactive_s: float | None = None
    level: int = 3
    delete_source: bool = True
    keep_s: float | None = None
    keep_bytes: int | None = None


class Summary(msgspec.Struct):
    """What a round did."""

    archived: int = 0
    raw_bytes: int = 0
    bytes: int = 0
    known: int = 0  # logs whose content is archived already
    deleted: int = 0
    removed: int = 0  # archives that retention took away
    waiting: int = 0
    failed: list[str] = []


class Keeper:
    """Archives what is due, a round at a time, in one thread.

    Args:
        options: of the configuration.
        discovery: the sources' patterns.
        facts: what archives keep of their sources, by name.
        change: runs a function in a transaction.
        report: notes that a condition began (True) or ended (False).
        stop: whether the round is to end early.
        on_progress: called with the bytes done of the bytes to do, and the log.
        names_lock: held while a log is deleted by its name, for others that give logs other names (rotation).
    """

    def __init__(
        self,
        options: Options,
        discovery: Discovery,
        facts: Mapping[str, SourceFacts],
        change: Change,
        *,
        names_lock: threading.Lock | None = None,
        report: Callable[[SidelogError, bool], None],
        stop: Callable[[], bool] = lambda: False,
        on_progress: Callable[[int, int, str], None] = lambda *_: None,
    ) -> None:
        self.options = options
        self.discovery = discovery
        self.facts = facts
        self._change = change
        self._stop = stop
        self._on_progress = on_progress
        self._names_lock = names_lock or threading.Lock()
        self._skip: dict[Version, str] = {}  # could not be archived; tried again when they change
        self._deaths: Counter[Version] = Counter()  # of the worker; a log that it may have died of waits for the others
        self._conditions = Conditions(report)
        self._failed: set[tuple[str, str]] = set()  # of this round
        self._clean = False
        self.worker = Worker(options.directory)

    def round(self) -> Summary:
        """Archive what is due, delete what is archived, remove what is too old.

        Raises:
            StoreError: the store cannot be written.
        """
        self._failed = set()
        summary = Summary()
        if not self._clean:
            self._clean = self._clear(summary)
        self._delete_removed(summary)
        plan = self.plan()
        summary.waiting = len(plan.waiting)
        for error in plan.errors:
            self._note_failure(summary, error)
        if self.options.delete_source and plan.present:
            self._delete_archived(plan.present, summary)
        try:
            self._run(plan.jobs, {log.archive_id for log in plan.present}, summary)
        finally:
            self.worker.close()
        if self.options.delete_source and not (summary.waiting or self._stop()):
            self._forget(plan.gone)
        self._expire(summary)
        self._end_conditions()
        return summary

    def plan(self) -> Plan:
        """What there is to do now.

        Raises:
            StoreError: the store cannot be read.
        """

        def known(connection: sqlite3.Connection) -> Known:
            return Known(tables.load_files(connection), archives.logs(connection))

        planner = Planner(
            self.discovery,
            self.facts,
            self._change(known, durable=False),
            quiet_s=self.options.quiet_s,
            inactive_s=self.options.inactive_s,
            now_ns=time.time_ns(),
            skip=frozenset(self._skip),
        )
        with self._names_lock:  # a log that gets another number just now would be gone from the list
            return planner.find()

    # ------------------------------------------------------------ making

    def _run(self, jobs: list[Job], present: set[int], summary: Summary) -> None:
        total, before = sum(job.version.size for job in jobs), 0
        for planned in sorted(jobs, key=lambda job: self._deaths[job.version]):
            if self._stop():
                return
            name = leftovers.place_of(os.fsdecode(planned.path), planned.version)
            job = msgspec.structs.replace(planned, path=os.fsencode(name))
            self._on_progress(before, total, name)
            order = self._change(partial(self._order, job=job, present=present), durable=True)
            answer = self._make(order, partial(self._progress, before, total, name))
            if isinstance(answer, Failed) and answer.code == "SL806":
                self._clear(summary)
            before += job.version.size
            self._on_progress(before, total, name)
            if isinstance(answer, Done):
                self._store(job, answer, present, summary)
            elif answer.changed:
                summary.waiting += 1
            elif not self._may_go_on(job, answer, summary):
                return

    def _progress(self, before: int, total: int, name: str, done: int) -> None:
        self._on_progress(before + done, total, name)

    def _order(self, connection: sqlite3.Connection, *, job: Job, present: set[int]) -> Order:
        chain = archives.chain(connection, job.source)
        order = Order(
            job=job,
            directory=os.fsencode(self.options.directory),
            archive_id=archives.next_id(connection),
            sequence=chain.sequence + 1,
            previous=chain.link,
            level=self.options.level,
            created=time.time_ns(),
            earlier=tuple(earlier_of(job, archives.outgrown(connection, job.source, present))),
        )
        leftovers.note(connection, order)
        return order

    def _make(self, order: Order, progress: Callable[[int], None]) -> Done | Failed:
        try:
            for answer in self.worker.run(order):
                if not isinstance(answer, Progress):
                    return answer
                progress(min(answer.bytes, order.job.version.size))
        except ArchiveError as error:
            return Failed(code=error.code, subject=error.subject, message=error.message, hint=error.hint)
        raise AssertionError  # pragma: no cover - `run` answers or raises

    def _may_go_on(self, job: Job, failed: Failed, summary: Summary) -> bool:
        """Note why a log could not be archived; whether another one may fare better now."""
        if failed.code == "SL806" and self._stop():
            return False
        error = ArchiveError(failed.code, "archive a log", failed.subject, failed.message, hint=failed.hint)
        if failed.code == "SL804":  # the disk
            error.subject = str(self.options.directory)
        elif failed.code == "SL805":
            self._skip[job.version] = os.fsdecode(job.path)
        else:
            self._deaths[job.version] += 1
        self._note_failure(summary, error)
        return failed.code != "SL804"

    def _store(self, job: Job, done: Done, present: set[int], summary: Summary) -> None:
        """Index the archive, durably; then the log may go.

        An archive of what is archived already is deleted before the store knows the log: a crash between the two leaves
        no archive that the store does not know.
        """
        row = archive_row(done)
        known = self._known_content(row, present)
        if known is not None:
            try:
                place.delete(Path(row.path))
            except OSError as error:
                self._note_failure(summary, unwritable(Path(row.path), error))
                return
        log = LogRow(*job.version, row.id if known is None else known, os.fsdecode(job.path))

        def commit(connection: sqlite3.Connection) -> None:
            if known is None:
                archives.add(connection, row, blocks=self.worker.blocks)
                archives.replace(connection, row)
            archives.remember_log(connection, log)

        self._change(commit, durable=True)
        present.add(log.archive_id)
        if known is None:
            summary.archived += 1
            summary.raw_bytes += row.raw_bytes
            summary.bytes += row.bytes
            if row.replaces:
                self._delete_removed(summary)
        else:
            summary.known += 1
        if self.options.delete_source:
            self._delete(log, summary)

    def _known_content(self, row: ArchiveRow, present: set[int]) -> int | None:
        """The id of the archive that has this content already.

        A log with the content of one that is archived, and that lies nowhere any more, is that log under another name:
        a copy, or compressed since. One that still lies somewhere was another. An archive that is gone has no content.
        """

        def find(connection: sqlite3.Connection) -> ArchiveRow | None:
            found = archives.find_content(connection, row)
            return next((one for one in archives.load(connection) if one.id == found), None)

        known = self._change(find, durable=False)
        if known is None or known.id in present:
            return None
        try:
            open_archive(known).close()
        except ArchiveError:
            return None
        return known.id

    # ------------------------------------------------------------ removing

    def _clear(self, summary: Summary) -> bool:
        """Remove what a worker that was killed has left; whether that could be done."""
        noted = self._change(leftovers.begun, durable=False)
        try:
            leftovers.remove(self.options.directory, noted)
        except OSError as error:
            self._note_failure(summary, unwritable(self.options.directory, error))
            return False
        return True

    def _delete_archived(self, logs: list[LogRow], summary: Summary) -> None:
        """Delete logs that were archived before, and not by this round: those whose archives are there."""
        rows = {row.id: row for row in self._change(archives.load, durable=False)}
        for log in logs:
            row = rows.get(log.archive_id)
            if row is None:
                continue
            try:
                open_archive(row).close()
            except ArchiveError as error:
                self._note_failure(summary, error)
            else:
                self._delete(log, summary)

    def _delete(self, log: LogRow, summary: Summary) -> None:
        try:
            with self._names_lock:
                version = Version(*log[:4])
                deleted = source.delete(leftovers.place_of(log.path, version), version)
        except OSError as error:
            self._note_failure(summary, undeletable(log.path, error))
        except ArchiveError as error:
            self._note_failure(summary, error)
        else:
            if deleted:
                summary.deleted += 1
                self._forget([log])

    def _forget(self, logs: list[LogRow]) -> None:
        if logs:
            self._change(partial(archives.forget_logs, gone=logs), durable=False)

    def _expire(self, summary: Summary) -> None:
        for row, _ in self.expired():
            # The row first: a row without a file is an error, a file that is to be deleted is not.
            self._change(partial(archives.remove, archive=row), durable=True)
            self._delete_removed(summary)
            summary.removed += 1

    def _delete_removed(self, summary: Summary) -> None:
        """Delete the files of archives that are no longer any; what cannot be deleted is tried again in each round."""
        gone = []
        for archive_id, path in self._change(archives.removed_files, durable=False):
            try:
                place.delete(Path(path))
            except OSError as error:
                if path not in summary.failed:
                    self._note_failure(summary, unremovable(path, error))
            else:
                gone.append(archive_id)
        if gone:
            self._change(partial(archives.note_deleted, ids=gone), durable=False)

    def expired(self) -> list[tuple[ArchiveRow, str]]:
        """The archives that are too old, counted from their making, or too many, oldest first, each with the reason.

        Raises:
            StoreError: the store cannot be read.
        """
        rows = self._change(archives.load, durable=False)
        size, now = sum(row.bytes for row in rows), time.time_ns()
        found = []
        for row in rows:
            if self.options.keep_s is not None and row.created < now - int(self.options.keep_s * 1e9):
                found.append((row, f"it is older than {format_duration(self.options.keep_s)}"))
            elif self.options.keep_bytes is not None and size > self.options.keep_bytes:
                found.append(
                    (row, f"all archives have {format_size(size)}, more than {format_size(self.options.keep_bytes)}")
                )
            else:
                break
            size -= row.bytes
        return found

    # ------------------------------------------------------------ saying

    def _note_failure(self, summary: Summary, error: SidelogError) -> None:
        summary.failed.append(error.subject)
        self._failed.add((error.code, error.subject))
        self._conditions.begin(error, again=True)

    def _end_conditions(self) -> None:
        """What failed before and has not failed in this round is over, unless it was not tried again."""
        for version, path in list(self._skip.items()):
            try:
                unchanged = Version.of(Path(path).lstat()) == version
            except OSError:
                unchanged = False
            if unchanged:
                self._failed.add(("SL805", path))
            else:
                del self._skip[version]
        self._conditions.retain(self._failed)
