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
    return ArchiveError.of(
        "SL802",
        path,
        hint="bring it back from a backup; what the other archives hold is not affected"
        if missing
        else "look at its permissions, and at the disk",
        what=what,
    )


def damaged(path: Path, why: str) -> ArchiveError:
    """SL803."""
    return ArchiveError.of("SL803", path, why=why)


def not_understood(path: Path, why: str) -> ArchiveError:
    """SL803, for an archive that is whole."""
    return ArchiveError.of("SL803.newer", path, why=why)


def unwritable(path: Path, error: OSError) -> ArchiveError:
    """SL804, for the archive's directory or its disk: tried again later, the source stays."""
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return ArchiveError.of(
        "SL804",
        path,
        hint="free space on its disk; the log is kept and archived later"
        if full
        else "look at the directory's permissions and its disk; the log is kept and archived later",
        why=error,
    )


def not_as_written(path: Path) -> ArchiveError:
    """SL804, for an archive that was just written and is not read back as it was: it is removed, the source stays."""
    return ArchiveError.of("SL804.differs", path)


def undeletable(path: str, error: OSError) -> ArchiveError:
    """SL807, for a log that is archived and stays because it cannot be deleted."""
    return ArchiveError.of("SL807", path, why=error)


def unremovable(path: str, error: OSError) -> ArchiveError:
    """SL807, for an archive that retention, or a longer one of the same log, has taken from the index."""
    return ArchiveError.of("SL807.kept", path, why=error)


def worker_ended(path: str, code: int | str) -> ArchiveError:
    """SL806, for a worker process that was killed, or failed, in the middle of its work."""
    return ArchiveError.of("SL806", path, code=code)


def source_unreadable(path: str, why: str) -> ArchiveError:
    """SL805, for a rotated log that cannot be read, or be decompressed: it stays as it is."""
    return ArchiveError.of("SL805", path, why=why)
