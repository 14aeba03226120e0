"""Rotating what is due, a round at a time.

    note it in the store, durably -> rename, or copy and truncate -> tell the application -> forget the note

A log is rotated only once the store knows its file generation, so that whoever follows it finds the file by its inode,
or its copy by its content, also after a crash at any of these steps. An application that may not have been told is
told again.
"""

# ruff: noqa: PTH116 - paths are str here, as in tail

from __future__ import annotations

import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from agent.core.conditions import Conditions
from agent.core.errors import RotateError, TailError
from agent.core.model import newest_of_logs
from agent.rotate.copytruncate import CopyTruncate, StoppedError
from agent.rotate.directory import LogDirectory
from agent.rotate.policy import rules
from agent.rotate.postrotate import ReopenCheck
from agent.rotate.retention import RotatedLogRetention
from agent.rotate.unfinished import RetryBackoff, UnfinishedRotations
from agent.store import tables
from agent.store.tables import BegunRotation
from agent.tail import locate, rotated_names
from agent.tail.discover import Discovery, tail_settings
from agent.tail.files import is_file_as
from agent.tail.identity import FileKey, Match

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from agent.config import Config
    from agent.core.errors import SidelogError
    from agent.core.model import FileRow
    from agent.rotate.policy import RotationRule
    from agent.rotate.postrotate import Postrotate
    from agent.rotate.retention import ExcessLog
    from agent.store.edit import Change


class RotationTiming(msgspec.Struct, frozen=True):
    """Durations in seconds."""

    count_s: float = 10.0  # so often rotated logs are counted
    reopened_s: float = 30.0  # an application that still writes in the renamed log after so long does not know of it
    retry_s: float = 5.0  # after a failure; doubles


class RotationCandidate(msgspec.Struct):
    """A log, and why it is due: empty where it is not, and then `outlook` says why."""

    file: FileRow
    size: int
    why: str
    outlook: str

    @property
    def path(self) -> str:
        """Under which it is followed."""
        return self.file.path

    @property
    def key(self) -> FileKey:
        """Device and inode."""
        return FileKey(self.file.device, self.file.inode)


class RotatedLog(msgspec.Struct):
    """A log that was rotated; `path` and `to` are paths."""

    path: str
    to: str
    bytes: int
    why: str


class Rotator:
    """Rotates the logs of the sources that want it, in one thread.

    Args:
        config: validated. Where it has a section `archive`, `keep` deletes only what is archived.
        followed: gives the file generations that are followed.
        change: runs a function in a transaction.
        report: notes that a condition began (True) or ended (False).
        names_lock: held while names change hands, for others that delete logs by their names.
        changed: called when logs were rotated, so that the tailer looks at once.
        stop: whether the round is to end early.
        timing: how long it waits.
    """

    def __init__(
        self,
        config: Config,
        followed: Callable[[], list[FileRow]],
        change: Change,
        report: Callable[[SidelogError, bool], None],
        *,
        names_lock: threading.Lock | None = None,
        changed: Callable[[], None] = lambda: None,
        stop: Callable[[], bool] = lambda: False,
        timing: RotationTiming | None = None,
    ) -> None:
        self.rules = rules(config)
        self._archiving = config.archive is not None
        self._followed = followed
        self._change = change
        self._names_lock = names_lock or threading.Lock()
        self._conditions = Conditions(report)
        self._changed = changed
        self._stop = stop
        self._timing = timing or RotationTiming()
        self._log_backoff, self._source_backoff = RetryBackoff(self._timing.retry_s), RetryBackoff(self._timing.retry_s)
        self._unfinished = UnfinishedRotations(change, self._conditions, self._source_backoff, stop)
        self._retention = RotatedLogRetention(change, self._conditions, self._names_lock)
        self._reopen = ReopenCheck(self._conditions, self._timing.reopened_s)
        self._empty_ns: dict[str, int] = {}  # when a log was last seen empty: its age counts from there
        self._truncated: dict[str, int] = {}  # file id that was truncated last: its successor is not followed yet
        # By source and directory: the names that are followed there, and the rotated ones among them.
        self._names: dict[tuple[str, str], tuple[set[str], set[str]]] = {}
        self._next_count = 0.0

    def take(self, config: Config) -> None:
        """Go on by another configuration; what failed by the old one is tried again at once."""
        self.rules, self._archiving = rules(config), config.archive is not None
        self._log_backoff.keep(set())
        self._source_backoff.keep(set())

    def round(self) -> list[RotatedLog]:
        """Rotate what is due, delete what is beyond `keep`; gives what was rotated.

        Raises:
            StoreError: the store cannot be written.
        """
        self._unfinished.load(self.rules.keys())
        candidates = self.candidates()
        self._forget(candidates)
        done: list[RotatedLog] = []
        for source, rule in self.rules.items():
            if self._stop():
                return done
            if self._unfinished.tell_again(source, rule.config):
                done += self._rotate_due(source, rule, [one for one in candidates[source] if one.why])
        if time.monotonic() >= self._next_count:
            self._next_count = time.monotonic() + self._timing.count_s
            self._retention.delete(self._keeps(), archiving=self._archiving)
            self._reopen.look()
        return done

    def _forget(self, candidates: Mapping[str, list[RotationCandidate]]) -> None:
        """What is not due any more, or not there."""
        paths = {one.path for several in candidates.values() for one in several}
        due = {one.path for several in candidates.values() for one in several if one.why}
        self._empty_ns = {path: at for path, at in self._empty_ns.items() if path in paths}
        self._truncated = {path: number for path, number in self._truncated.items() if path in paths}
        self._conditions.keep(due, "SL820")
        self._log_backoff.keep(due)
        self._conditions.keep(set(self.rules), "SL821", "SL822")
        self._source_backoff.keep(set(self.rules))

    # ------------------------------------------------------------ what is due

    def candidates(self) -> dict[str, list[RotationCandidate]]:
        """The logs of each source, each with what is to become of it."""
        now_ns = time.time_ns()
        candidates: dict[str, list[RotationCandidate]] = {source: [] for source in self.rules}
        for file in self._logs():
            candidate = self._candidate(file, now_ns)
            if candidate is not None:
                candidates[file.source].append(candidate)
        return candidates

    def _candidate(self, file: FileRow, now_ns: int) -> RotationCandidate | None:
        try:
            status = os.stat(file.path)
        except OSError:
            return None  # the tailer says what is wrong with it
        if not is_file_as(status, FileKey(file.device, file.inode)):
            return None  # it has just been replaced, and the tailer is going to see that
        policy, size = self.rules[file.source].policy, status.st_size
        if not size:
            self._empty_ns[file.path] = now_ns
        since_ns = max(file.first_seen, self._empty_ns.get(file.path, 0))
        why = policy.due(size, since_ns, now_ns)
        return RotationCandidate(file, size, why, "" if why else policy.outlook(size, since_ns, now_ns))

    def _logs(self) -> list[FileRow]:
        """The logs that are followed under their own names, and are no rotated ones themselves."""
        files = [file for file in self._followed() if file.source in self.rules]
        beside: dict[tuple[str, str], set[str]] = {}
        for file in files:
            directory, name = os.path.split(file.path)
            beside.setdefault((file.source, directory), set()).add(name)
        self._names = {place: self._rotated_among(place, found) for place, found in beside.items()}
        return [file for file in files if _is_active(file) and not self._is_rotated(file)]

    def _rotated_among(self, place: tuple[str, str], found: set[str]) -> tuple[set[str], set[str]]:
        """Names, and the rotated ones among them, which are worked out only where the names have changed."""
        known = self._names.get(place)
        return known if known is not None and known[0] == found else (found, rotated_names.rotated(found))

    def _is_rotated(self, file: FileRow) -> bool:
        directory, name = os.path.split(file.path)
        return name in self._names[file.source, directory][1]

    def obstacle(self, candidate: RotationCandidate) -> str:
        """Why a log that is due stays as it is all the same, in words; empty where nothing stands in its way."""
        directory, log = os.path.split(candidate.path)
        try:
            with LogDirectory(directory) as folder:
                status = folder.check(log, candidate.key)
        except RotateError as error:
            return error.message
        except OSError as error:
            return RotateError.of("SL820", candidate.path, why=error).message
        if self.rules[candidate.file.source].config.method == "copytruncate":
            if not candidate.file.offset:
                return "nothing of it was read yet"
            if status.st_nlink > 1:
                return "it has several names"
        return ""

    def find_excess(self) -> dict[str, list[ExcessLog]]:
        """The rotated logs beyond `keep`, oldest first, by the path of their log."""
        return self._retention.find(self._keeps(), archiving=self._archiving)

    def _keeps(self) -> dict[str, int]:
        files = [file for file in self._followed() if file.source in self.rules]
        return {file.path: self.rules[file.source].config.keep for file in files}

    # ------------------------------------------------------------ rotating

    def _rotate_due(self, source: str, rule: RotationRule, due: list[RotationCandidate]) -> list[RotatedLog]:
        if not due:
            self._unfinished.succeeded(source)
            return []
        copying = rule.config.method == "copytruncate"
        due = [one for one in due if self._log_backoff.is_due(one.path) and self._is_read(one.file, copying)]
        postrotate = self._unfinished.prepare(source, rule.config) if due else None
        if postrotate is None:
            return []
        try:
            return self._rotate(source, due, postrotate, copying=copying)
        finally:
            postrotate.close()

    def _is_read(self, file: FileRow, copying: bool) -> bool:  # noqa: FBT001 - a predicate's second half
        """Whether copytruncate can leave the log to the tailer: of one of which nothing was read, no copy could be
        recognised; and an earlier truncation must have been noticed.
        """
        return not copying or (file.offset > 0 and self._truncated.get(file.path) != file.id)

    def _rotate(
        self, source: str, due: list[RotationCandidate], postrotate: Postrotate, *, copying: bool
    ) -> list[RotatedLog]:
        rows = {row.id: row for row in self._change(tables.load_files, durable=False)}
        due = [one for one in due if _is_known(one, rows.get(one.file.id))]
        if not due:
            return []
        self._unfinished.begin([BegunRotation(one.path, source, *one.key) for one in due])
        work = self._copy_and_truncate if copying else self._rename
        done = [rotated for one in due if (rotated := self._attempt(one, work)) is not None]
        untold = [] if copying else [one.path for one in done]
        self._unfinished.over([one.path for one in due if one.path not in untold], untold, source)
        if done:
            self._changed()
        if untold:
            self._unfinished.tell(source, [(one.path, one.to) for one in done], postrotate)
        return done

    def _attempt(
        self, candidate: RotationCandidate, work: Callable[[LogDirectory, str, RotationCandidate], str]
    ) -> RotatedLog | None:
        """Rotate one log; None, and a condition, where that fails."""
        path = candidate.path
        directory, log = os.path.split(path)
        try:
            with LogDirectory(directory) as folder:
                to = folder.path_of(work(folder, log, candidate))
        except StoppedError:
            return None
        except (RotateError, OSError) as error:
            self._conditions.begin(
                error if isinstance(error, RotateError) else RotateError.of("SL820", path, why=error)
            )
            self._log_backoff.failed(path)
            return None
        self._conditions.end(path, "SL820")
        self._log_backoff.succeeded(path)
        return RotatedLog(path, to, candidate.size, candidate.why)

    def _rename(self, folder: LogDirectory, log: str, candidate: RotationCandidate) -> str:
        with self._names_lock:
            name = folder.rotate(log, candidate.key)
        self._reopen.watch(candidate.path, candidate.key, folder.path_of(name))
        return name

    def _copy_and_truncate(self, folder: LogDirectory, log: str, candidate: RotationCandidate) -> str:
        with CopyTruncate(folder, log, candidate.key, self._stop) as copy:
            self._unfinished.begin([BegunRotation(candidate.path, candidate.file.source, *candidate.key, copy.inode)])
            try:
                with self._names_lock:
                    return copy.finish()
            finally:
                if copy.emptied:
                    self._truncated[candidate.path] = candidate.file.id


def _is_active(file: FileRow) -> bool:
    return file.state == "active" and file.current_path in ("", file.path, os.path.realpath(file.path))


def _is_known(candidate: RotationCandidate, row: FileRow | None) -> bool:
    """Whether the store has the row of the file that lies there: by it the file is found again."""
    if row is None or (row.device, row.inode) != candidate.key:
        return False
    try:
        return locate.compare_path(candidate.path, row) is Match.SAME
    except (OSError, TailError):
        return False


# ---------------------------------------------------------------- without an agent


def known_files(config: Config, connection: sqlite3.Connection) -> list[FileRow]:
    """The file generations that the store knows, each for the source that matches it now; without those that none does,
    and those that another one continues.
    """
    discovery = Discovery(tail_settings(config))
    newest, _ = newest_of_logs(tables.load_files(connection))
    found = ((file, discovery.source_of(file.path)) for file in newest)
    return [msgspec.structs.replace(file, source=source.name) for file, source in found if source is not None]


def rotate_once(config: Config, change: Change, report: Callable[[SidelogError, bool], None]) -> list[RotatedLog]:
    """One round now, without an agent: of what the store knows."""

    def followed() -> list[FileRow]:
        return change(partial(known_files, config), durable=False)

    return Rotator(config, followed, change, report).round()
