"""The log that is to be archived: its bytes, whether it is still the same file, and whether somebody writes it."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from agent.core.decompress import DamagedError, compression, pieces
from agent.core.errors import ArchiveError
from agent.core.text import OPEN_FLAGS
from agent.store.archives import FileVersion
from agent.tail import locate
from agent.tail.identity import FileKey

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK_BYTES = 1 << 18
_F_SETSIG = 10  # of Linux; the module fcntl has no name for it


def changed_ns(status: os.stat_result, now_ns: int) -> int:
    """When a file was written last, Unix ns. Of one whose time lies ahead, as a program or a wrong clock has set it,
    when that was set: else it would not have been left alone for long before that time has come.
    """
    return status.st_mtime_ns if status.st_mtime_ns <= now_ns else status.st_ctime_ns


def version_at(path: str) -> FileVersion | None:
    """What lies at a path now; None where nothing does, or it cannot be looked at."""
    try:
        return FileVersion.of(os.lstat(path))
    except OSError:
        return None


class FailedLog(NamedTuple):
    """A log that could not be archived, and whether it could be read: a right that is given changes no version."""

    path: str
    readable: bool

    @staticmethod
    def at(path: str) -> FailedLog:
        """As it is now."""
        return FailedLog(path, os.access(path, os.R_OK))

    def is_still(self, version: FileVersion) -> bool:
        """Whether it would fail again."""
        return version_at(self.path) == version and FailedLog.at(self.path) == self


def current_path(path: str, version: FileVersion) -> str:
    """Where a log lies now: it may have been given another number since it was found. The old path where nowhere."""
    if version_at(path) == version:
        return path
    return locate.find_inode(FileKey(version.device, version.inode), [os.path.dirname(path)]) or path  # noqa: PTH120


class LogFile:
    """An open log file, plain or compressed.

    Raises:
        ArchiveError: SL805, it is no regular file or cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self.fd = os.open(path, os.O_RDONLY | OPEN_FLAGS)
        except OSError as error:
            raise ArchiveError.of("SL805", path, why=error) from None
        self.status = os.fstat(self.fd)
        if not stat.S_ISREG(self.status.st_mode):
            self.close()
            raise ArchiveError.of("SL805", path, why="it is no regular file")
        self.version = FileVersion.of(self.status)
        self.compression = compression(os.pread(self.fd, 4, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def contents(self) -> Iterator[bytes]:
        """Its bytes from the beginning, decompressed, in pieces of at most a few hundred KiB.

        Raises:
            ArchiveError: SL805, it is damaged, of an unknown compression, or cannot be read.
        """
        try:
            with os.fdopen(os.dup(self.fd), "rb", buffering=0) as raw:
                raw.seek(0)
                if self.compression is None:
                    while piece := raw.read(_CHUNK_BYTES):
                        yield piece
                    return
                with os.fdopen(os.dup(self.fd), "rb") as file:
                    yield from pieces(file, self.compression)
        except DamagedError as error:
            raise ArchiveError.of("SL805", self.path, why=f"it cannot be decompressed ({error})") from None
        except OSError as error:
            raise ArchiveError.of("SL805", self.path, why=error) from None

    def unchanged(self) -> bool:
        """Whether the open file is still as it was when it was opened. It may have got another name."""
        status = os.fstat(self.fd)
        return status.st_nlink > 0 and FileVersion.of(status) == self.version

    def in_place(self) -> bool:
        """Whether it is unchanged, and lies under its name."""
        return version_at(self.path) == self.version and self.unchanged()


def has_writer(fd: int) -> bool:
    """Whether a process has the file open for writing, as far as the kernel tells: a read lease is granted only where
    none has (fcntl(2)). False where it cannot be asked: not Linux, not the file's owner, a network file system.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        # Who opens it for writing just now waits until the lease is given back, and we are told by a signal: by one
        # that does nothing, for SIGIO would end the process.
        fcntl.fcntl(fd, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def delete(path: str, version: FileVersion) -> bool:
    """Delete a log that is archived, if it is still the same to the last byte and nobody has it open for writing.

    Returns:
        Whether it is gone; True also where it was before.

    Raises:
        ArchiveError: SL805, it cannot be opened.
        OSError: it cannot be deleted.
    """
    if not os.path.lexists(path):
        return True
    with LogFile(path) as log:
        if log.version != version or has_writer(log.fd) or not log.in_place():
            return False
        Path(path).unlink()
    return True
