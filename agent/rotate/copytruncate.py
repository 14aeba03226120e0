"""copytruncate: a copy takes the rotated name, then the log is emptied in place, for an application that keeps it open.

What is written between the last look at the log and its truncation is lost; that is two system calls, which no other
thread of the agent delays: the look keeps the interpreter's lock. The copy grows under a hidden name, which no pattern
and no rotation matches, and has its final one before the log is truncated, so that whoever follows the log finds there
what it has not read.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import time
from typing import TYPE_CHECKING, Self

from agent.core.errors import RotateError
from agent.core.text import OPEN_FLAGS, without_group
from agent.rotate.directory import LogDirectory
from agent.tail.files import is_file_as
from agent.tail.identity import FileKey
from agent.tail.rotated_names import newest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent.store.tables import BegunRotation

_CHUNK_BYTES = 1 << 20
_SPARE_BYTES = 1 << 24  # of room beside the copy, for what is written meanwhile
_FLUSH_BYTES = 1 << 16  # more than this is flushed before the truncation, less after it
_ROUNDS = 100  # of catching up with a fast writer; after them the truncation comes all the same
_LINE_WAIT_S = 1e-4  # so long at a time for the other half of a line, at most _ROUNDS times
_ACL = "system.posix_acl_access"
# os.lseek gives the interpreter's lock away, and may get it back milliseconds later.
_LSEEK = ctypes.PyDLL(None).lseek
_LSEEK.argtypes, _LSEEK.restype = (ctypes.c_int, ctypes.c_ssize_t, ctypes.c_int), ctypes.c_ssize_t


class StoppedError(Exception):
    """The agent ends in the middle of a copy; nothing of it is left."""


def hidden_name(log: str) -> str:
    """Under which the copy of a log is made."""
    return f".{log}.sidelog"


class CopyTruncate:
    """A log that is being copied, and the copy. Closing it removes a copy that has not got its name.

    Args:
        folder: where both are.
        log: base name.
        key: of the file that is followed under it.
        stop: whether to give up.

    Raises:
        RotateError: SL820, the log is not the file that is followed, or has several names.
        StoppedError: `stop` said so.
        OSError: it cannot be copied; ENOSPC before the disk is full.
    """

    def __init__(self, folder: LogDirectory, log: str, key: FileKey, stop: Callable[[], bool]) -> None:
        self._folder = folder
        self._log = log
        self._hidden = hidden_name(log)
        self._named = False
        self.emptied = False  # whether the log was truncated
        self._target = -1
        self._source = _open_log(folder, log, key)
        self.size = 0
        self._whole = True  # whether the copy ends with a whole line
        try:
            self._check_room()
            with contextlib.suppress(FileNotFoundError):  # left by an agent that was killed
                os.unlink(self._hidden, dir_fd=folder.fd)
            self._target = os.open(
                self._hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | OPEN_FLAGS, 0o600, dir_fd=folder.fd
            )
            _give_rights(self._source, self._target)
            self._copy_all(stop)
            os.fsync(self._target)
        except BaseException:
            self.close()
            raise

    @property
    def inode(self) -> int:
        """Of the copy."""
        return os.fstat(self._target).st_ino

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close both files."""
        os.close(self._source)
        if self._target >= 0:
            os.close(self._target)
            if not self._named:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._hidden, dir_fd=self._folder.fd)

    def finish(self) -> str:
        """Give the copy its name, catch up with what was written meanwhile, empty the log; gives the name.

        Raises:
            OSError: a step failed. Where the log was not `emptied`, the copy is gone; else it was not flushed at last.
        """
        name = self._folder.free_first(self._log)
        self._folder.rename(self._hidden, name)
        self._named = True
        try:
            self._folder.flush()
            self._catch_up()
            self._truncate()
        except BaseException:
            if not self.emptied:
                os.unlink(name, dir_fd=self._folder.fd)
            raise
        os.fsync(self._target)
        return name

    def _check_room(self) -> None:
        """Refuse a copy that would fill the disk: the application could not write there any more."""
        room = os.fstatvfs(self._folder.fd)
        needed = os.fstat(self._source).st_size + _SPARE_BYTES
        if room.f_blocks and room.f_bavail * room.f_frsize < needed:  # 0: the file system does not know
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _copy_all(self, stop: Callable[[], bool]) -> None:
        while self._copy():
            if stop():
                raise StoppedError

    def _copy(self) -> int:
        """CopyTruncate what has come; at most a chunk."""
        data = os.pread(self._source, _CHUNK_BYTES, self.size)
        done = 0
        while done < len(data):
            done += os.write(self._target, data[done:])
        self.size += done
        if data:
            self._whole = data.endswith(b"\n")
        return done

    def _catch_up(self) -> None:
        """CopyTruncate what was written meanwhile, and flush the copy where that was much."""
        for _ in range(_ROUNDS):
            behind = 0
            while count := self._copy():
                behind += count
            if behind <= _FLUSH_BYTES:
                return
            os.fsync(self._target)

    def _has_all(self) -> bool:
        return bool(_LSEEK(self._source, 0, os.SEEK_END) == self.size)

    def _truncate(self) -> None:
        """Empty the log at a moment when the copy has all of it, and between two lines, where the application writes
        whole ones: a write(2) over the end of a page is seen in two halves.
        """
        for _ in range(_ROUNDS):
            if self._whole and self._has_all():
                break
            if not self._copy():
                time.sleep(_LINE_WAIT_S)
        else:
            for _ in range(_ROUNDS):
                if self._has_all():
                    break
                self._copy()
        self.emptied = True  # before it is: an interrupt right behind the call must not take the copy as well
        try:
            os.ftruncate(self._source, 0)
        except OSError:
            self.emptied = False
            raise


def _open_log(folder: LogDirectory, log: str, key: FileKey) -> int:
    fd = os.open(log, os.O_RDWR | OPEN_FLAGS, dir_fd=folder.fd)
    status = os.fstat(fd)
    if is_file_as(status, key) and status.st_nlink == 1:
        return fd
    os.close(fd)
    folder.check(log, key)
    raise RotateError.of("SL820", folder.path_of(log), why="it has several names, and may be another's file")


def _give_rights(source: int, target: int) -> None:
    """Owner, mode and access list of the log for its copy, as far as that is allowed, and never wider ones."""
    status = os.fstat(source)
    mode = stat.S_IMODE(status.st_mode) & 0o777
    access = _access_list(source)
    grouped = _give_owner(target, status)
    with contextlib.suppress(OSError, AttributeError):  # the list by the directory's default
        os.removexattr(target, _ACL)
    if access is not None:
        # With a list, the bits of the group say what the list may give at most, and the group itself may have less.
        os.fchmod(target, mode & ~0o070)
        if grouped:  # else what it gives the log's group would go to another one
            with contextlib.suppress(OSError):
                os.setxattr(target, _ACL, access)
    else:
        os.fchmod(target, mode if grouped else without_group(mode))


def _give_owner(target: int, status: os.stat_result) -> bool:
    """Give owner and group, or else the group alone; whether it has that."""
    mine = os.fstat(target)
    if (mine.st_uid, mine.st_gid) == (status.st_uid, status.st_gid):
        return True
    for owner in (status.st_uid, -1):
        with contextlib.suppress(OSError):
            os.fchown(target, owner, status.st_gid)
            return True
    return mine.st_gid == status.st_gid


def _access_list(fd: int) -> bytes | None:
    try:
        return os.getxattr(fd, _ACL)
    except OSError as error:
        if error.errno in {errno.ENODATA, errno.ENOTSUP}:
            return None
        raise
    except AttributeError:  # not Linux
        return None


# ---------------------------------------------------------------- copies that were interrupted


def clear(rows: Iterable[BegunRotation]) -> list[str]:
    """Remove the copies of logs that were not truncated any more: everything in them still lies in the log.

    Returns:
        The paths of the logs that could be looked at. Others may be on a disk that is not there yet.
    """
    done = []
    for row in rows:
        directory, log = os.path.split(row.path)
        with contextlib.suppress(OSError), LogDirectory(directory) as folder:
            _clear(folder, log, row)
            done.append(row.path)
    return done


def _clear(folder: LogDirectory, log: str, row: BegunRotation) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(hidden_name(log), dir_fd=folder.fd)
    first = newest(log)
    copy, original = folder.status(first), folder.status(log)
    if not row.copy or copy is None or original is None:
        return
    if copy.st_ino != row.copy or not is_file_as(original, FileKey(row.device, row.inode)):
        return
    if _begins_like(folder, log, first):
        os.unlink(first, dir_fd=folder.fd)


def _begins_like(folder: LogDirectory, log: str, copy: str) -> bool:
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
