"""What `keep` leaves: rotated logs beyond it are deleted, but only what is stored (or archived, where that is on)."""

# ruff: noqa: PTH118 - paths are str here, as in tail

from __future__ import annotations

import os
import stat
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from agent.archive import logfile
from agent.archive.logfile import changed_ns
from agent.core.errors import ArchiveError, RotateError, TailError
from agent.core.model import newest_of_logs
from agent.store import archives, tables
from agent.store.archives import FileVersion
from agent.tail import locate, rotated_names
from agent.tail.files import file_key
from agent.tail.identity import Match

if TYPE_CHECKING:
    import sqlite3
    import threading
    from collections.abc import Iterable, Mapping

    from agent.core.conditions import Conditions
    from agent.core.model import FileRow
    from agent.store.edit import Change

SETTLED_S = 60.0  # a renamed log without new bytes for so long has come to its end, as for the tailer
_UNKNOWN = FileVersion(0, 0, 0, 0)


class ExcessLog(msgspec.Struct):
    """A rotated log beyond `keep`. `why` it stays, empty where it may go; `waits`: that is as it should be for now."""

    path: str
    version: FileVersion
    why: str = ""
    waits: bool = False


class RotatedLogRetention:
    """Deletes rotated logs beyond `keep`.

    Args:
        change: runs a function in a transaction.
        conditions: SL823 is its own.
        names_lock: held while a file is deleted by its name.
    """

    def __init__(self, change: Change, conditions: Conditions, names_lock: threading.Lock) -> None:
        self._change = change
        self._conditions = conditions
        self._names_lock = names_lock

    def find(self, keeps: Mapping[str, int], *, archiving: bool) -> dict[str, list[ExcessLog]]:
        """The rotated logs beyond what is kept of each log, oldest first.

        Args:
            keeps: how many rotated ones stay of the log at a path.
            archiving: whether rotated logs are archived: nothing that is not may be deleted then.
        """
        listings: dict[str, dict[str, list[str]]] = {}
        found: dict[str, list[ExcessLog]] = {}
        stored: _Stored | None = None
        for path, keep in keeps.items():
            directory, log = os.path.split(path)
            if directory not in listings:
                # Each name is looked at once: of 1,000 logs with three each every one for every log takes 0.8 s.
                listings[directory] = rotated_names.by_log(_names_in(directory))
            names = rotated_names.beyond(keep, log, listings[directory].get(log, []))
            if names:
                stored = stored or self._change(partial(_load, archiving=archiving), durable=False)
                found[path] = _judge_all(path, names, stored, time.time_ns())
        return found

    def delete(self, keeps: Mapping[str, int], *, archiving: bool) -> None:
        """Delete what is beyond `keep` and may go.

        Raises:
            StoreError: the store cannot be written.
        """
        found = self.find(keeps, archiving=archiving)
        if any(not one.why for several in found.values() for one in several):
            # What is said to be stored is on the disk by then.
            self._change(partial(tables.note_flush, now_ns=time.time_ns()), durable=True)
        failing = set()
        for path, several in found.items():
            kept = [(one.path, why) for one in several if (why := one.why or self._delete(one)) and not one.waits]
            if kept:
                name, why = kept[0]
                others = f" and {len(kept) - 1} more" if len(kept) > 1 else ""
                self._conditions.begin(RotateError.of("SL823", path, name=name, others=others, why=why))
                failing.add(path)
        self._conditions.keep(failing, "SL823")

    def _delete(self, one: ExcessLog) -> str:
        """Delete a log, unless it has changed or somebody writes it; gives why it cannot be deleted."""
        try:
            with self._names_lock:
                if logfile.delete(one.path, one.version):
                    return ""
            with logfile.LogFile(one.path) as log:
                written = log.version == one.version and logfile.has_writer(log.fd)
                return "a process has it open for writing" if written else ""
        except OSError as error:
            return f"it cannot be deleted: {os.strerror(error.errno or 0)}"
        except ArchiveError as error:
            return error.message


class _Stored(NamedTuple):
    """What the store has: file generations, and, where archiving is on, the versions of archived logs (else None)."""

    files: list[FileRow]
    archived: set[FileVersion] | None


def _load(connection: sqlite3.Connection, *, archiving: bool) -> _Stored:
    archived = {log.version for log in archives.logs(connection)} if archiving else None
    return _Stored(newest_of_logs(tables.load_files(connection))[0], archived)


def _names_in(directory: str) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208
    except OSError:
        return []


def _judge_all(log: str, names: Iterable[str], stored: _Stored, now_ns: int) -> list[ExcessLog]:
    """What is to become of the rotated ones of a log, given by base name."""
    directory, base = os.path.split(log)
    # Whoever has not opened its log again may still write in the newest; of those before it, it let go.
    held = "" if os.path.lexists(log) else rotated_names.newest(base)
    found = []
    for name in names:
        path, version = os.path.join(directory, name), _UNKNOWN
        try:
            status = os.lstat(path)
            version = FileVersion.of(status)
            if stat.S_ISREG(status.st_mode):
                found.append(_judge(path, status, stored, now_ns, held=name == held))
        except FileNotFoundError:
            continue
        except (OSError, TailError) as error:
            why = str(error.strerror if isinstance(error, OSError) else error)
            found.append(ExcessLog(path, version, why))
    return found


def _judge(path: str, status: os.stat_result, stored: _Stored, now_ns: int, *, held: bool) -> ExcessLog:
    excess = ExcessLog(path, FileVersion.of(status))
    if held and stored.archived is None:
        excess.why, excess.waits = "there is no new log yet", True
    elif not status.st_size:
        return excess
    elif stored.archived is not None:
        if excess.version not in stored.archived:
            excess.why, excess.waits = "it is not archived yet", True
    elif now_ns - changed_ns(status, now_ns) < SETTLED_S * 1e9:
        excess.why, excess.waits = "it was written a moment ago", True
    else:
        excess.why = _why_not_stored(path, status, stored.files)
    return excess


def _why_not_stored(path: str, status: os.stat_result, files: list[FileRow]) -> str:
    key = file_key(status)
    for file in files:
        if (file.device, file.inode) == key and locate.compare_path(path, file) is Match.SAME:
            return "" if file.offset >= status.st_size else "not all of it is stored yet"
    return "it was never followed, so that it is not stored"
