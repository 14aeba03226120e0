"""Rotating what is due, a round at a time.

    note it in the store, durably -> rename, or copy and truncate -> tell the application -> forget the note

A log is rotated only once the store knows its file generation, so that whoever follows it finds the file by its inode,
or its copy by its content, also after a crash at any of these steps. An application that may not have been told is
told again.
"""

# ruff: noqa: PTH116 - paths are str here, as in tail

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgspec

from agent.core.conditions import Conditions
from agent.core.errors import TailError
from agent.rotate import errors, names
from agent.rotate.aftercare import Aftercare
from agent.rotate.copying import Copy, StoppedError
from agent.rotate.folder import Folder
from agent.rotate.pending import Pending, Retries
from agent.store import tables
from agent.store.rotations import Begun
from agent.tail import locate
from agent.tail.identity import FileKey, Match

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from agent.config import RotateConfig
    from agent.core.errors import SidelogError
    from agent.core.model import TailedFile
    from agent.rotate.due import Policy
    from agent.rotate.surplus import Surplus
    from agent.rotate.telling import Ready
    from agent.store.edit import Change


class RotationTiming(msgspec.Struct, frozen=True):
    """Durations in seconds."""

    aftercare_s: float = 10.0  # so often rotated logs are counted
    reopened_s: float = 30.0  # an application that still writes in the renamed log after so long does not know of it
    retry_s: float = 5.0  # after a failure; doubles


class Rule(msgspec.Struct, frozen=True):
    """How the logs of one source are rotated."""

    policy: Policy
    config: RotateConfig


class Look(msgspec.Struct):
    """A log, and why it is due: empty where it is not, and then `outlook` says why."""

    file: TailedFile
    size: int
    why: str
    outlook: str

    @property
    def key(self) -> FileKey:
        """Device and inode."""
        return FileKey(self.file.device, self.file.inode)


class Rotated(msgspec.Struct):
    """A log that was rotated; `path` and `to` are paths."""

    path: str
    to: str
    bytes: int
    why: str


class Rotation:
    """Rotates the logs of some sources, in one thread.

    Args:
        rules: by source.
        followed: gives the file generations that are followed.
        change: runs a function in a transaction.
        archiving: whether rotated logs are archived: then `keep` deletes only what is.
        names_lock: held while names change hands, for others that delete logs by their names.
        report: notes that a condition began (True) or ended (False).
        changed: called when logs were rotated, so that the tailer looks at once.
        stop: whether the round is to end early.
        timing: how long it waits.
    """

    def __init__(
        self,
        rules: Mapping[str, Rule],
        followed: Callable[[], list[TailedFile]],
        change: Change,
        *,
        archiving: bool,
        names_lock: threading.Lock,
        report: Callable[[SidelogError, bool], None],
        changed: Callable[[], None] = lambda: None,
        stop: Callable[[], bool] = lambda: False,
        timing: RotationTiming | None = None,
    ) -> None:
        self.rules = rules
        self.archiving = archiving
        self._followed = followed
        self._change = change
        self._names_lock = names_lock
        self._conditions = Conditions(report)
        self._changed = changed
        self._stop = stop
        self._timing = timing or RotationTiming()
        self._logs_retries, self._source_retries = Retries(self._timing.retry_s), Retries(self._timing.retry_s)
        self._pending = Pending(change, self._conditions, self._source_retries, stop)
        self._aftercare = Aftercare(change, self._conditions, names_lock, reopened_s=self._timing.reopened_s)
        self._empty_ns: dict[str, int] = {}  # when a log was last seen empty: its age counts from there
        self._truncated: dict[str, int] = {}  # file id that was truncated last: its successor is not followed yet
        # By source and directory: the names that are followed there, and the rotated ones among them.
        self._names: dict[tuple[str, str], tuple[set[str], set[str]]] = {}
        self._next_aftercare = 0.0

    def set_rules(self, rules: Mapping[str, Rule], *, archiving: bool) -> None:
        """Go on by other rules; what failed by the old ones is tried again at once."""
        self.rules, self.archiving = rules, archiving
        self._logs_retries.keep(set())
        self._source_retries.keep(set())

    def round(self) -> list[Rotated]:
        """Rotate what is due, delete what is beyond `keep`; gives what was rotated.

        Raises:
            StoreError: the store cannot be written.
        """
        self._pending.load(self.rules.keys())
        looks = self.look()
        self._forget(looks)
        done: list[Rotated] = []
        for source, rule in self.rules.items():
            if self._stop():
                return done
            if self._pending.tell_again(source, rule.config):
                done += self._rotate_due(source, rule, [look for look in looks[source] if look.why])
        if time.monotonic() >= self._next_aftercare:
            self._next_aftercare = time.monotonic() + self._timing.aftercare_s
            self._aftercare.delete_surplus(self._keeps(), archiving=self.archiving)
            self._aftercare.look_at_renamed()
        return done

    def _forget(self, looks: Mapping[str, list[Look]]) -> None:
        """What is not due any more, or not there."""
        paths = {look.file.path for several in looks.values() for look in several}
        due = {look.file.path for several in looks.values() for look in several if look.why}
        self._empty_ns = {path: at for path, at in self._empty_ns.items() if path in paths}
        self._truncated = {path: number for path, number in self._truncated.items() if path in paths}
        self._conditions.keep(due, "SL820")
        self._logs_retries.keep(due)
        self._conditions.keep(set(self.rules), "SL821", "SL822")
        self._source_retries.keep(set(self.rules))

    # ------------------------------------------------------------ what is due

    def look(self) -> dict[str, list[Look]]:
        """The logs of each source, each with what is to become of it."""
        now_ns = time.time_ns()
        looks: dict[str, list[Look]] = {source: [] for source in self.rules}
        for file in self._logs():
            look = self._look_at(file, now_ns)
            if look is not None:
                looks[file.source].append(look)
        return looks

    def _look_at(self, file: TailedFile, now_ns: int) -> Look | None:
        try:
            status = os.stat(file.path)
        except OSError:
            return None  # the tailer says what is wrong with it
        if (status.st_dev, status.st_ino) != (file.device, file.inode):
            return None  # it has just been replaced, and the tailer is going to see that
        policy, size = self.rules[file.source].policy, status.st_size
        if not size:
            self._empty_ns[file.path] = now_ns
        since_ns = max(file.first_seen, self._empty_ns.get(file.path, 0))
        why = policy.due(size, since_ns, now_ns)
        return Look(file, size, why, "" if why else policy.outlook(size, since_ns, now_ns))

    def _logs(self) -> list[TailedFile]:
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
        return known if known is not None and known[0] == found else (found, names.rotated(found))

    def _is_rotated(self, file: TailedFile) -> bool:
        directory, name = os.path.split(file.path)
        return name in self._names[file.source, directory][1]

    def obstacle(self, look: Look) -> str:
        """Why a log that is due stays as it is all the same, in words; empty where nothing stands in its way."""
        directory, log = os.path.split(look.file.path)
        try:
            with Folder(directory) as folder:
                status = folder.check(log, look.key)
        except errors.RotateError as error:
            return error.message
        except OSError as error:
            return errors.failed(look.file.path, error).message
        if self.rules[look.file.source].config.method == "copytruncate":
            if not look.file.offset:
                return "nothing of it was read yet"
            if status.st_nlink > 1:
                return "it has several names"
        return ""

    def find_surplus(self) -> dict[str, list[Surplus]]:
        """The rotated logs beyond `keep`, oldest first, by the path of their log."""
        return self._aftercare.find_surplus(self._keeps(), archiving=self.archiving)

    def _keeps(self) -> dict[str, int]:
        files = [file for file in self._followed() if file.source in self.rules]
        return {file.path: self.rules[file.source].config.keep for file in files}

    # ------------------------------------------------------------ rotating

    def _rotate_due(self, source: str, rule: Rule, due: list[Look]) -> list[Rotated]:
        if not due:
            self._pending.succeeded(source)
            return []
        copying = rule.config.method == "copytruncate"
        due = [look for look in due if self._logs_retries.is_due(look.file.path) and self._is_read(look.file, copying)]
        ready = self._pending.prepare(source, rule.config) if due else None
        if ready is None:
            return []
        try:
            return self._rotate(source, due, ready, copying=copying)
        finally:
            ready.close()

    def _is_read(self, file: TailedFile, copying: bool) -> bool:  # noqa: FBT001 - a predicate's second half
        """Whether copytruncate can leave the log to the tailer: of one of which nothing was read, no copy could be
        recognised; and an earlier truncation must have been noticed.
        """
        return not copying or (file.offset > 0 and self._truncated.get(file.path) != file.id)

    def _rotate(self, source: str, due: list[Look], ready: Ready, *, copying: bool) -> list[Rotated]:
        rows = {row.id: row for row in self._change(tables.load_files, durable=False)}
        due = [look for look in due if _is_known(look, rows.get(look.file.id))]
        if not due:
            return []
        self._pending.begin([Begun(look.file.path, source, *look.key) for look in due])
        work = self._copy_and_truncate if copying else self._rename
        done = [rotated for look in due if (rotated := self._attempt(look, work)) is not None]
        untold = [] if copying else [one.path for one in done]
        self._pending.over([look.file.path for look in due if look.file.path not in untold], untold, source)
        if done:
            self._changed()
        if untold:
            self._pending.tell(source, [(one.path, one.to) for one in done], ready)
        return done

    def _attempt(self, look: Look, work: Callable[[Folder, str, Look], str]) -> Rotated | None:
        """Rotate one log; None, and a condition, where that fails."""
        path = look.file.path
        directory, log = os.path.split(path)
        try:
            with Folder(directory) as folder:
                to = folder.path_of(work(folder, log, look))
        except StoppedError:
            return None
        except (errors.RotateError, OSError) as error:
            self._conditions.begin(error if isinstance(error, errors.RotateError) else errors.failed(path, error))
            self._logs_retries.failed(path)
            return None
        self._conditions.end(path, "SL820")
        self._logs_retries.succeeded(path)
        return Rotated(path, to, look.size, look.why)

    def _rename(self, folder: Folder, log: str, look: Look) -> str:
        with self._names_lock:
            name = folder.rotate(log, look.key)
        self._aftercare.watch(look.file.path, look.key, folder.path_of(name))
        return name

    def _copy_and_truncate(self, folder: Folder, log: str, look: Look) -> str:
        with Copy(folder, log, look.key, self._stop) as copy:
            self._pending.begin([Begun(look.file.path, look.file.source, *look.key, copy.inode)])
            try:
                with self._names_lock:
                    return copy.finish()
            finally:
                if copy.emptied:
                    self._truncated[look.file.path] = look.file.id


def _is_active(file: TailedFile) -> bool:
    return file.state == "active" and file.current_path in ("", file.path)


def _is_known(look: Look, row: TailedFile | None) -> bool:
    """Whether the store has the row of the file that lies there: by it the file is found again."""
    if row is None or (row.device, row.inode) != look.key:
        return False
    try:
        return locate.compare_path(look.file.path, row) is Match.SAME
    except (OSError, TailError):
        return False
