"""After a rotation: what `keep` leaves, and whether the application has opened its log again."""

# ruff: noqa: PTH120 - paths are str here, as in tail

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from agent.archive import source
from agent.archive.errors import ArchiveError
from agent.archive.source import Version
from agent.rotate import errors, names, surplus
from agent.store import archives, rotations, tables
from agent.tail import locate

if TYPE_CHECKING:
    import sqlite3
    import threading
    from collections.abc import Mapping

    from agent.core.conditions import Conditions
    from agent.rotate.surplus import Stored, Surplus
    from agent.store.edit import Change
    from agent.tail.identity import FileKey


class _Renamed(msgspec.Struct):
    """A renamed log: where it was seen last, and when it was renamed, Unix ns."""

    key: FileKey
    place: str
    at_ns: int

    def find(self, directory: str) -> bool:
        """Whether it is still in its directory; looks there only where it has got another name."""
        status = _status(self.place)
        if status is not None and (status.st_dev, status.st_ino) == self.key:
            return True
        place = locate.find_inode(self.key, [directory])
        self.place = place or self.place
        return place is not None

    def modified_ns(self) -> int:
        """When it was written last, Unix ns; 0 where it is gone again."""
        status = _status(self.place)
        return 0 if status is None else status.st_mtime_ns


class Aftercare:
    """Deletes rotated logs beyond `keep`, and notices applications that write on in a renamed log.

    Args:
        change: runs a function in a transaction.
        conditions: SL823 and SL824 are its own.
        names_lock: held while a file is deleted by its name.
        reopened_s: an application that still writes in the renamed log after so long does not know of it.
    """

    def __init__(
        self, change: Change, conditions: Conditions, names_lock: threading.Lock, *, reopened_s: float = 30.0
    ) -> None:
        self._change = change
        self._conditions = conditions
        self._names_lock = names_lock
        self._reopened_s = reopened_s
        self._renamed: dict[str, _Renamed] = {}  # by path; until there is a log

    def find_surplus(self, keeps: Mapping[str, int], *, archiving: bool) -> dict[str, list[Surplus]]:
        """The rotated logs beyond what is kept of each log, oldest first.

        Args:
            keeps: how many rotated ones stay of the log at a path.
            archiving: whether rotated logs are archived: nothing that is not may be deleted then.
        """
        listings: dict[str, dict[str, list[str]]] = {}
        found: dict[str, list[Surplus]] = {}
        stored: Stored | None = None
        for path, keep in keeps.items():
            directory, log = os.path.split(path)
            if directory not in listings:
                # Each name is looked at once: of 1,000 logs with three each every one for every log takes 0.8 s.
                listings[directory] = names.by_log(_names_in(directory))
            listing = listings[directory].get(log, [])
            if names.surplus(log, listing, keep):
                stored = stored or self._change(partial(_stored, archiving=archiving), durable=False)
                found[path] = surplus.find(path, listing, keep, stored, time.time_ns())
        return found

    def delete_surplus(self, keeps: Mapping[str, int], *, archiving: bool) -> None:
        """Delete what is beyond `keep` and may go.

        Raises:
            StoreError: the store cannot be written.
        """
        found = self.find_surplus(keeps, archiving=archiving)
        if any(not one.why for several in found.values() for one in several):
            # What is said to be stored is on the disk by then.
            self._change(partial(rotations.flush, now_ns=time.time_ns()), durable=True)
        failing = set()
        for path, several in found.items():
            kept = [(one.path, why) for one in several if (why := one.why or self._delete(one)) and not one.waits]
            if kept:
                self._conditions.begin(errors.surplus_kept(path, kept[0][0], len(kept), kept[0][1]))
                failing.add(path)
        self._conditions.keep(failing, "SL823")

    def _delete(self, one: Surplus) -> str:
        """Delete a log, unless it has changed or somebody writes it; gives why it cannot be deleted."""
        try:
            with self._names_lock:
                if source.delete(one.path, one.version):
                    return ""
            with source.Log(one.path) as log:
                written = log.version == one.version and source.has_writer(log.fd)
                return "a process has it open for writing" if written else ""
        except OSError as error:
            return f"it cannot be deleted: {os.strerror(error.errno or 0)}"
        except ArchiveError as error:
            return error.message

    def watch(self, path: str, key: FileKey, place: str) -> None:
        """The log at `path` was renamed to `place` a moment ago; `key` is its file."""
        self._renamed[path] = _Renamed(key, place, time.time_ns())

    def look_at_renamed(self) -> None:
        """Say which applications write on in a renamed log."""
        failing = set()
        for path, renamed in list(self._renamed.items()):
            if os.path.lexists(path) or not renamed.find(os.path.dirname(path)):
                del self._renamed[path]
            elif renamed.modified_ns() - renamed.at_ns > self._reopened_s * 1e9:
                self._conditions.begin(errors.not_reopened(path, renamed.place))
                failing.add(path)
        self._conditions.keep(failing, "SL824")


def _stored(connection: sqlite3.Connection, *, archiving: bool) -> Stored:
    archived = {Version(*log[:4]) for log in archives.logs(connection)} if archiving else None
    return surplus.Stored(tables.load_files(connection), archived)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _names_in(directory: str) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208
    except OSError:
        return []
