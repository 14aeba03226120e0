"""What can be wrong with an archive, or with the file that is to become one."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from agent.core.errors import SidelogError

if TYPE_CHECKING:
    from pathlib import Path


class ArchiveError(SidelogError):
    """An archive cannot be written or read."""


def unreadable(path: Path, error: OSError) -> ArchiveError:
    """SL802."""
    missing = error.errno in {errno.ENOENT, errno.ENOTDIR}
    what = "is missing" if missing else f"cannot be read: {os.strerror(error.errno or 0)}"
    return ArchiveError(
        "SL802",
        "read an archive",
        str(path),
        f"the archive {path} {what}",
        hint="bring it back from a backup; what the other archives hold is not affected"
        if missing
        else "look at its permissions, and at the disk",
    )


def damaged(path: Path, why: str) -> ArchiveError:
    """SL803."""
    return ArchiveError(
        "SL803",
        "read an archive",
        str(path),
        f"the archive {path} is damaged: {why}",
        hint="bring it back from a backup; `sidelog archive cat` prints what can still be read of it",
    )


def not_understood(path: Path, why: str) -> ArchiveError:
    """SL803, for an archive that is whole."""
    return ArchiveError(
        "SL803",
        "read an archive",
        str(path),
        f"the archive {path} cannot be read by this version: {why}",
        hint="use the version of sidelog that made it, or a newer one; `zstd -d` reads its log all the same",
    )


def unwritable(path: Path, error: OSError) -> ArchiveError:
    """SL804, for the archive's directory or its disk: tried again later, the source stays."""
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return ArchiveError(
        "SL804",
        "write an archive",
        str(path),
        f"the archive {path} cannot be written: {os.strerror(error.errno or 0)}",
        hint="free space on its disk; the log is kept and archived later"
        if full
        else "look at the directory's permissions and its disk; the log is kept and archived later",
        retryable=True,
    )


def not_as_written(path: Path) -> ArchiveError:
    """SL804, for an archive that was just written and is not read back as it was: it is removed, the source stays."""
    return ArchiveError(
        "SL804",
        "write an archive",
        str(path),
        f"the archive {path} cannot be written: what is read back is not what was written",
        hint="look at its disk (`dmesg`, `smartctl -a`) and the machine's memory; the log is kept and archived later",
        retryable=True,
    )


def undeletable(path: str, error: OSError) -> ArchiveError:
    """SL807, for a log that is archived and stays because it cannot be deleted."""
    return ArchiveError(
        "SL807",
        "delete an archived log",
        path,
        f"{path} is archived but cannot be deleted: {os.strerror(error.errno or 0)}",
        hint="let the agent's user write in its directory, or set archive.delete_source to false",
        retryable=True,
    )


def unremovable(path: str, error: OSError) -> ArchiveError:
    """SL807, for an archive that retention, or a longer one of the same log, has taken from the index."""
    return ArchiveError(
        "SL807",
        "remove an archive",
        path,
        f"the archive {path} is no longer kept but cannot be deleted: {os.strerror(error.errno or 0)}",
        hint="let the agent's user write in its directory; it is tried again by itself",
        retryable=True,
    )


def worker_ended(path: str, code: int | str) -> ArchiveError:
    """SL806, for a worker process that was killed, or failed, in the middle of its work."""
    return ArchiveError(
        "SL806",
        "archive a log",
        path,
        f"the process that was archiving {path} ended with {code}",
        hint="the log is kept and archived later; if it happens again, look for a lack of memory (`dmesg`)",
        retryable=True,
    )


def source_unreadable(path: str, why: str) -> ArchiveError:
    """SL805, for a rotated log that cannot be read, or be decompressed: it stays as it is."""
    return ArchiveError(
        "SL805",
        "archive a log",
        path,
        f"{path} cannot be archived: {why}",
        hint="mend or remove it; it stays where it is and is not tried again until it changes",
    )
