"""What a crash in the middle of copytruncate has left: before anything is read again, so that nothing is read twice."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from agent.paths import OPEN_FLAGS
from agent.rotate.copying import hidden_name
from agent.rotate.folder import Folder
from agent.tail.identity import FileKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.store.rotations import Begun

_CHUNK_BYTES = 1 << 20


def clear(rows: Iterable[Begun]) -> list[str]:
    """Remove the copies of logs that were not truncated any more: everything in them still lies in the log.

    Returns:
        The paths of the logs that could be looked at. Others may be on a disk that is not there yet.
    """
    done = []
    for row in rows:
        directory, log = os.path.split(row.path)
        with contextlib.suppress(OSError), Folder(directory) as folder:
            _clear(folder, log, row)
            done.append(row.path)
    return done


def _clear(folder: Folder, log: str, row: Begun) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(hidden_name(log), dir_fd=folder.fd)
    first = f"{log}.1"
    copy, original = folder.status(first), folder.status(log)
    if not row.copy or copy is None or original is None:
        return
    if (copy.st_ino, (original.st_dev, original.st_ino)) != (row.copy, FileKey(row.device, row.inode)):
        return
    if stat.S_ISREG(original.st_mode) and _begins_like(folder, log, first):
        os.unlink(first, dir_fd=folder.fd)


def _begins_like(folder: Folder, log: str, copy: str) -> bool:
    """Whether the log holds the whole copy, byte for byte."""
    flags = os.O_RDONLY | OPEN_FLAGS
    with (
        open(os.open(log, flags, dir_fd=folder.fd), "rb") as original,  # noqa: PTH123 - of descriptors
        open(os.open(copy, flags, dir_fd=folder.fd), "rb") as copied,  # noqa: PTH123
    ):
        while data := copied.read(_CHUNK_BYTES):
            if original.read(len(data)) != data:
                return False
    return True
