"""One log after the other into the archive, in the order that no crash can hurt.

    worker:   write under a temporary name, flush, read back and compare, name, flush the directory
    archiver: index and chain into the store, durably; then delete the log, if that is wanted
              and nothing has happened to it since

A log that grew after it was archived is archived whole again: the new archive takes the place of the old one in the
transaction that adds it, and then the old one's file is deleted.

After a crash the next round goes on: what was being made is removed and made again, a log that the store knows to be
archived is deleted, and so is the file of an archive that is no longer one.
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

from agent.archive import files, logfile, removal, team
from agent.archive.directory import load, take_over, unknown_archives, unknown_error
from agent.archive.lock import ArchiveLock
from agent.archive.logfile import FailedLog, current_path
from agent.archive.planner import ArchivePlanner, ArchivingSummary, SourceFacts
from agent.archive.process import WorkerProcess
from agent.archive.protocol import ArchiveFailed, ArchiveOrder, ArchiveProgress, ArchiveWritten
from agent.core.conditions import Conditions
from agent.core.errors import ArchiveError
from agent.parse.settings import parse_settings, resources
from agent.store import archives, begun, tables
from agent.store.archive_redaction import ways
from agent.store.archives import ArchivedLog
from agent.store.begun import BegunArchive
from agent.tail.claims import LogClaims
from agent.tail.discover import Discovery, tail_settings

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from agent.archive.planner import ArchivePlan
    from agent.archive.protocol import ArchiveJob
    from agent.config import Config
    from agent.core.errors import SidelogError
    from agent.core.model import FileRow
    from agent.store.archives import ArchiveRow, FileVersion
    from agent.store.edit import Change


class Archiver:
    """Archives what is due, a round at a time, in one thread.

    Args:
        config: validated, with its section `archive`.
        change: runs a function in a transaction.
        report: notes that a condition began (True) or ended (False).
        names_lock: held while a log is deleted by its name, for others that give logs other names (rotation).
        claims: of the tailer, where one reads meanwhile: a log that the store does not know may be about to be read.
        stop: whether the round is to end early.
        on_progress: called with the bytes done of the bytes to do, and the log.
    """

    def __init__(
        self,
        config: Config,
        change: Change,
        report: Callable[[SidelogError, bool], None],
        *,
        names_lock: threading.Lock | None = None,
        claims: LogClaims | None = None,
        stop: Callable[[], bool] = lambda: False,
        on_progress: Callable[[int, int, str], None] = lambda *_: None,
    ) -> None:
        assert config.archive is not None
        self.config = config.archive
        self._directory = config.archive_directory
        self._lock = ArchiveLock(self._directory, config.store.path)
        self._discovery = Discovery(tail_settings(config), [self._directory])
        attributes = resources(config)
        self._facts = {
            name: SourceFacts(settings.document(), attributes[name])
            for name, settings in parse_settings(config).items()
        }
        self._change = change
        self._conditions = Conditions(report)
        self._names_lock = names_lock or threading.Lock()
        self._claims = claims or LogClaims()
        self._stop = stop
        self._on_progress = on_progress
        self._skip: dict[FileVersion, FailedLog] = {}  # could not be archived; tried again when they change
        self._deaths: Counter[FileVersion] = Counter()  # of the worker; who may have caused one waits for the others
        self._failed: set[tuple[str, str]] = set()  # code and subject of what has failed in this round
        self._undeleted = removal.UndeletedLogs()
        self._clean = self._shared = False  # the latter: as the configuration wants
        self._unknown: set[tuple[str, str]] | None = None  # as `_failed`, of unknown archives; None: not looked for yet
        self.worker = WorkerProcess(self._directory)

    def round(self) -> ArchivingSummary:
        """Archive what is due, delete what is archived, remove what is too old.

        Raises:
            StoreError: the store cannot be written.
        """
        self._failed = set()
        summary = ArchivingSummary()
        if self._own(summary):
            self._work(summary)
        for error in self._undeleted.take():
            self._note_failure(summary, error)
        self._end_conditions()
        return summary

    def close(self) -> None:
        """Give the directory of the archives free."""
        self._lock.release()

    def _work(self, summary: ArchivingSummary) -> None:
        """A round in a directory that is ours."""
        if not self._clean:
            self._change(partial(take_over, directory=self._directory), durable=False)
            self._clean = self._remove_unfinished(summary)
        if not self._shared:
            self._shared = not (problem := team.share_all(self._change, self._directory, self.config.group))
            if problem:
                self._note_failure(summary, problem)
        self._delete_removed(summary)
        plan = self.plan()
        summary.waiting = len(plan.waiting)
        for error in plan.errors:
            self._note_failure(summary, error)
        for archive_id, file_id in plan.found.items():
            self._change(partial(archives.note_file, archive_id=archive_id, file_id=file_id), durable=True)
        if self.config.delete_source and plan.present:
            self._delete_archived(plan.present, summary)
        try:
            self._run(plan, {log.archive_id for log in plan.present}, summary)
        finally:
            self.worker.close()
        if self.config.delete_source and not (summary.waiting or self._stop()):
            self._forget(plan.gone)
        self._expire(summary)
        is_done = not self._stop() and all(code != "SL804" for code, _ in self._failed)  # or it may leave its own
        if self._unknown is None and is_done:
            self._unknown = self._name_unknown()

    def plan(self) -> ArchivePlan:
        """What there is to do now.

        Raises:
            StoreError: the store cannot be read.
        """

        def known(connection: sqlite3.Connection) -> tuple[list[FileRow], list[ArchivedLog], list[ArchiveRow]]:
            files = [row for row in tables.load_files(connection) if not row.is_stream]
            return files, archives.logs(connection), archives.load(connection)

        followed, logs, rows = self._change(known, durable=False)
        planner = ArchivePlanner(
            self._discovery,
            self._facts,
            followed,
            logs,
            self.config,
            now_ns=time.time_ns(),
            skip=frozenset(self._skip),
            unknown={row.id: row.source for row in rows if row.file_id is None},
        )
        with self._names_lock:  # a log that gets another number just now would be gone from the list
            return planner.find()

    # ------------------------------------------------------------ making

    def _run(self, plan: ArchivePlan, present: set[int], summary: ArchivingSummary) -> None:
        if plan.jobs and not self._own(summary, make=True):
            return
        total, before = sum(job.version.size for job in plan.jobs), 0
        self._claims.expect(job.version for job in plan.jobs if job.followed is None)
        for planned in sorted(plan.jobs, key=lambda job: self._deaths[job.version]):
            if self._stop():
                return
            if planned.followed is None and not self._claims.take(planned.version, plan.compared):
                summary.waiting += 1
                continue
            name = current_path(os.fsdecode(planned.path), planned.version)
            job = msgspec.structs.replace(planned, path=os.fsencode(name))
            self._on_progress(before, total, name)
            order = self._change(partial(self._order, job=job, present=present), durable=True)
            answer = self._make(order, partial(self._progress, before, total, name))
            if isinstance(answer, ArchiveFailed) and answer.code == "SL806":
                self._remove_unfinished(summary)
            before += job.version.size
            self._on_progress(before, total, name)
            if isinstance(answer, ArchiveWritten):
                self._store(job, answer, present, summary)
                continue
            self._claims.release(job.version)
            if answer.changed:
                summary.waiting += 1
            elif not self._may_go_on(job, answer, summary):
                return

    def _own(self, summary: ArchivingSummary, *, make: bool = False) -> bool:
        """Whether the directory of the archives is ours now; with `make` it is made where it is missing."""
        try:
            self._lock.acquire(make=make)
        except ArchiveError as error:
            self._note_failure(summary, error)
            return False
        return True

    def _progress(self, before: int, total: int, name: str, done: int) -> None:
        self._on_progress(before + done, total, name)

    def _order(self, connection: sqlite3.Connection, *, job: ArchiveJob, present: set[int]) -> ArchiveOrder:
        chain = archives.chain(connection, job.source)
        order = ArchiveOrder(
            job=job,
            directory=os.fsencode(self._directory),
            archive_id=archives.next_id(connection),
            sequence=chain.sequence + 1,
            previous=chain.link,
            level=self.config.level,
            created=time.time_ns(),
            earlier=archives.outgrown(connection, job.source, job.version, present),
            ways=ways(connection, job.source),
            gid=team.group_of(self.config),
        )
        path = os.fsdecode(job.path)
        begun.begin(connection, BegunArchive(order.archive_id, order.created, job.source, path, job.version))
        return order

    def _make(self, order: ArchiveOrder, progress: Callable[[int], None]) -> ArchiveWritten | ArchiveFailed:
        try:
            for answer in self.worker.run(order):
                if not isinstance(answer, ArchiveProgress):
                    return answer
                progress(min(answer.bytes, order.job.version.size))
        except ArchiveError as error:
            return ArchiveFailed.by(error)
        raise AssertionError  # pragma: no cover - `run` answers or raises

    def _may_go_on(self, job: ArchiveJob, failed: ArchiveFailed, summary: ArchivingSummary) -> bool:
        """Note why a log could not be archived; whether another one may fare better now."""
        if failed.code == "SL806" and self._stop():
            return False
        error = failed.error()
        if failed.code == "SL804":  # the disk
            error.subject = str(self._directory)
        elif failed.code == "SL805":
            self._skip[job.version] = FailedLog.at(os.fsdecode(job.path))
        else:
            self._deaths[job.version] += 1
        self._note_failure(summary, error)
        return failed.code != "SL804"

    def _store(self, job: ArchiveJob, made: ArchiveWritten, present: set[int], summary: ArchivingSummary) -> None:
        """Index the archive, durably; then the log may go.

        An archive of what is archived already is deleted before the store knows the log: a crash between the two leaves
        no archive that the store does not know.
        """
        row = made.row()
        known = self._known_content(row, made.contents, present)
        if known is not None:
            try:
                files.delete(Path(row.path))
            except OSError as error:
                self._note_failure(summary, ArchiveError.of("SL804", Path(row.path), why=error))
                return
        log = ArchivedLog(job.version, row.id if known is None else known, os.fsdecode(job.path))

        def commit(connection: sqlite3.Connection) -> None:
            if known is None:
                archives.add(connection, row, blocks=self.worker.blocks)
                archives.replace(connection, row)
            elif row.file_id is not None:
                archives.note_file(connection, known, row.file_id)
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
        if self.config.delete_source:
            self._delete(log, summary)

    def _known_content(self, row: ArchiveRow, contents: list[str], present: set[int]) -> int | None:
        """The id of the archive that has this content already.

        A log with the content of one that is archived, and that lies nowhere any more, is that log under another name:
        a copy, or compressed since. One that still lies somewhere was another. An archive that is gone has no content.
        """
        known = self._change(partial(archives.find_content, archive=row, contents=contents), durable=False)
        if known is None or known.id in present:
            return None
        try:
            files.open_archive(known).close()
        except ArchiveError:
            return None
        return known.id

    # ------------------------------------------------------------ removing

    def _remove_unfinished(self, summary: ArchivingSummary) -> bool:
        """Remove what a worker that was killed has left; whether that could be done."""
        unfinished = self._change(begun.begun, durable=False)
        try:
            files.remove_unfinished(self._directory, unfinished)
        except OSError as error:
            self._note_failure(summary, ArchiveError.of("SL804", self._directory, why=error))
            return False
        return True

    def _name_unknown(self) -> set[tuple[str, str]]:
        """Say which archives the store does not know, once a round has taken up what a crash has left."""
        unknown = self._change(partial(unknown_archives, directory=self._directory), durable=False)
        if not unknown:
            return set()
        error = unknown_error(self._directory, unknown)
        self._conditions.begin(error)
        return {(error.code, error.subject)}

    def _delete_archived(self, logs: list[ArchivedLog], summary: ArchivingSummary) -> None:
        """Delete logs that were archived before, and not by this round: those whose archives are there."""
        rows = {row.id: row for row in self._change(archives.load, durable=False)}
        for log in logs:
            row = rows.get(log.archive_id)
            if row is None:
                continue
            try:
                files.open_archive(row).close()
            except ArchiveError as error:
                self._note_failure(summary, error)
            else:
                self._delete(log, summary)

    def _delete(self, log: ArchivedLog, summary: ArchivingSummary) -> None:
        try:
            with self._names_lock:
                deleted = logfile.delete(current_path(log.path, log.version), log.version)
        except OSError as error:
            self._undeleted.add(log.path, error)
        except ArchiveError as error:
            self._note_failure(summary, error)
        else:
            if deleted:
                summary.deleted += 1
                self._forget([log])

    def _forget(self, logs: list[ArchivedLog]) -> None:
        for log in logs:
            self._claims.release(log.version)
        if logs:
            self._change(partial(archives.forget_logs, gone=logs), durable=False)

    def _expire(self, summary: ArchivingSummary) -> None:
        for row, _ in self.expired():
            # The row first: a row without a file is an error, a file that is to be deleted is not.
            self._change(partial(archives.remove, archive=row), durable=True)
            self._delete_removed(summary)
            summary.removed += 1

    def _delete_removed(self, summary: ArchivingSummary) -> None:
        for path, error in removal.delete_removed(self._change):
            if path not in summary.failed:
                self._note_failure(summary, ArchiveError.of("SL807.kept", path, why=error))

    def expired(self) -> list[tuple[ArchiveRow, str]]:
        """The archives that retention would take away now, oldest first, each with the reason.

        Raises:
            StoreError: the store cannot be read.
        """
        rows = self._change(partial(load, directory=self._directory), durable=False)
        return removal.expired(rows, self.config.retention, time.time_ns())

    # ------------------------------------------------------------ saying

    def _note_failure(self, summary: ArchivingSummary, error: SidelogError) -> None:
        summary.failed.append(error.subject)
        self._failed.add((error.code, error.subject))
        self._conditions.repeat(error)

    def _end_conditions(self) -> None:
        """What failed before and has not failed in this round is over, unless it was not tried again."""
        self._skip = {version: log for version, log in self._skip.items() if log.is_still(version)}
        skipped = {("SL805", log.path) for log in self._skip.values()}
        self._conditions.end_others(self._failed | skipped | (self._unknown or set()))
