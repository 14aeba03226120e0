"""What `keep` leaves: rotated logs beyond it are deleted, but only what is stored (or archived, where that is on)."""

# ruff: noqa: PTH118 - paths are str here, as in tail

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import msgspec

from agent.archive.source import Version, changed_ns
from agent.core.errors import TailError
from agent.rotate import names
from agent.tail import locate
from agent.tail.identity import FileKey, Match

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.core.model import FileRow

SETTLED_S = 60.0  # a renamed log without new bytes for so long has come to its end, as for the tailer
_UNKNOWN = Version(0, 0, 0, 0)


class Stored(msgspec.Struct):
    """What the store has: file generations, and, where archiving is on, the versions of archived logs (else None)."""

    files: list[FileRow]
    archived: set[Version] | None


class Surplus(msgspec.Struct):
    """A rotated log beyond `keep`. `why` it stays, empty where it may go; `waits`: that is as it should be for now."""

    path: str
    version: Version
    why: str = ""
    waits: bool = False


def find(log: str, listing: Iterable[str], keep: int, stored: Stored, now_ns: int) -> list[Surplus]:
    """The rotated logs beyond `keep`, oldest first.

    Args:
        log: path of the log that they were rotated from.
        listing: base names in its directory, those of its rotated ones among them.
        keep: how many stay.
        stored: what the store has.
        now_ns: Unix ns.
    """
    directory, base = os.path.split(log)
    # Whoever has not opened its log again may still write in the newest; of those before it, it let go.
    held = "" if os.path.lexists(log) else f"{base}.1"
    found = []
    for name in names.surplus(base, listing, keep):
        path, version = os.path.join(directory, name), _UNKNOWN
        try:
            status = os.lstat(path)
            version = Version.of(status)
            if stat.S_ISREG(status.st_mode):
                found.append(_judge(path, status, stored, now_ns, held=name == held))
        except FileNotFoundError:
            continue
        except (OSError, TailError) as error:
            why = str(error.strerror if isinstance(error, OSError) else error)
            found.append(Surplus(path, version, why))
    return found


def _judge(path: str, status: os.stat_result, stored: Stored, now_ns: int, *, held: bool) -> Surplus:
    surplus = Surplus(path, Version.of(status))
    if held and stored.archived is None:
        surplus.why, surplus.waits = "there is no new log yet", True
    elif not status.st_size:
        return surplus
    elif stored.archived is not None:
        if surplus.version not in stored.archived:
            surplus.why, surplus.waits = "it is not archived yet", True
    elif now_ns - changed_ns(status, now_ns) < SETTLED_S * 1e9:
        surplus.why, surplus.waits = "it was written a moment ago", True
    else:
        surplus.why = _why_not_stored(path, status, stored.files)
    return surplus


def _why_not_stored(path: str, status: os.stat_result, files: list[FileRow]) -> str:
    key = FileKey(status.st_dev, status.st_ino)
    for file in files:
        if (file.device, file.inode) == key and locate.compare_path(path, file) is Match.SAME:
            return "" if file.offset >= status.st_size else "not all of it is stored yet"
    return "it was never followed, so that it is not stored"
