"""One directory of logs, open, so that no path is walked a second time; no link is followed, nothing overwritten."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from typing import TYPE_CHECKING, Self

from agent.core.errors import RotateError
from agent.tail import rotated_names

if TYPE_CHECKING:
    from agent.tail.identity import FileKey

_RENAME_NOREPLACE = 1  # linux/fs.h
_LACKING = (errno.ENOSYS, errno.EINVAL)  # the kernel, or the file system, has no such rename


class LogDirectory:
    """An open directory.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def path_of(self, name: str) -> str:
        """The path of a file in it."""
        return os.path.join(self.path, name)  # noqa: PTH118 - paths are str here, as in tail

    def status(self, name: str) -> os.stat_result | None:
        """Of what has this name, not of what a link leads to; None where nothing has."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def check(self, name: str, key: FileKey) -> os.stat_result:
        """The status of the log that is to be rotated.

        Raises:
            RotateError: SL820, it is not the regular file that is followed.
        """
        status = self.status(name)
        if status is None or not stat.S_ISREG(status.st_mode):
            raise RotateError.of("SL820.link", self.path_of(name))
        if (status.st_dev, status.st_ino) != key:
            raise RotateError.of("SL820", self.path_of(name), why="another file has just taken its place")
        return status

    def rename(self, old: str, new: str) -> None:
        """Rename; never over a file that is there.

        Raises:
            FileExistsError: the new name is taken.
            OSError: it is not allowed.
        """
        function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        if function is not None:
            if function(self.fd, os.fsencode(old), self.fd, os.fsencode(new), _RENAME_NOREPLACE) == 0:
                return
            number = ctypes.get_errno()
            if number not in _LACKING:
                raise OSError(number, os.strerror(number), new)
        if self.status(new) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
        os.rename(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def free_first(self, log: str) -> str:
        """Free the name of the newest rotated log, and give it.

        Raises:
            OSError: a rename failed; those before it stand, and leave the order as it was.
        """
        for old, new in rotated_names.shift(log, os.listdir(self.fd)):  # noqa: PTH208 - of a descriptor
            self.rename(old, new)
        return rotated_names.newest(log)

    def rotate(self, log: str, key: FileKey) -> str:
        """Rename a log to its first rotated name; gives that.

        Raises:
            RotateError: SL820, as `check`.
            OSError: a rename failed. What was done after it does not count: the log has its new name, and its
                application is to be told.
        """
        self.check(log, key)
        first = self.free_first(log)
        self.rename(log, first)
        with contextlib.suppress(OSError):
            self.flush()
        return first

    def flush(self) -> None:
        """Make the names durable, where the file system can.

        Raises:
            OSError: they are not.
        """
        try:
            os.fsync(self.fd)
        except OSError as error:
            if error.errno != errno.EINVAL:  # fsync(2): no directory can be flushed there
                raise
