"""Opening what may be followed, refusing what may not, and what the system allows: open files, kinds of file system."""

# ruff: noqa: PTH110, PTH114, PTH116 - paths are str here: a pathlib object costs 20 times as much, 1,000 files a scan

from __future__ import annotations

import ctypes
import errno
import os
import resource
import stat
import sys
from typing import TYPE_CHECKING

import msgspec

from agent.core.errors import TailError
from agent.core.model import HEAD_BYTES
from agent.tail.holes import data_end
from agent.tail.identity import FileKey, generation

if TYPE_CHECKING:
    from pathlib import Path

# f_type of statfs(2), for file systems that tell nothing of what other machines (or a daemon) write
_NETWORK = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x65735546: "FUSE",
    0x01021997: "9P",
    0x00C36400: "Ceph",
    0x5346414F: "AFS",
    0x47504653: "GPFS",
    0x0BD00BD0: "Lustre",
    0x786F4256: "VirtualBox shared folder",
}
_OVERLAY = 0x794C7630  # events are lost for a file that was copied up after its watch was set
_LINE_SEARCH_BYTES = 1 << 16  # how far back `start: end` looks for the beginning of an unfinished line
_SPARE_DESCRIPTORS = 48  # for the store, inotify, hooks and HTTP


class Opened(msgspec.Struct):
    """What is known of a file at the moment of its opening."""

    key: FileKey
    generation: int
    size: int
    mtime_ns: int
    head: bytes
    path: str  # under which it was opened
    real: str  # the same without symbolic links


def file_key(status: os.stat_result) -> FileKey:
    """Device and inode."""
    return FileKey(status.st_dev, status.st_ino)


def is_file_as(status: os.stat_result, key: FileKey) -> bool:
    """Whether this is the status of the regular file `key`; the inode of a deleted one may be given to anything."""
    return stat.S_ISREG(status.st_mode) and file_key(status) == key


def exists(path: str) -> bool:
    """Whether there is anything under this name, or where it leads."""
    return os.path.exists(path)


def kind_of(mode: int) -> str:
    """A word for what is not a regular file."""
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "no regular file"


def check(path: str) -> os.stat_result | TailError:
    """The status of the regular file that `path` names, through a symbolic link of the target's owner, or why not.

    Raises:
        OSError: there is no such file, a dangling link, or no permission.
    """
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        owner = status.st_uid
        status = os.stat(path)
        if status.st_uid != owner:
            return TailError.of("SL203", path)
    if stat.S_ISREG(status.st_mode):
        return status
    if stat.S_ISDIR(status.st_mode):
        return TailError.of("SL202.directory", path)
    return TailError.of("SL202", path, kind=kind_of(status.st_mode))


def open_checked(path: str) -> int:
    """A descriptor for reading the regular file `path`; never blocks on a pipe, never opens a device.

    Raises:
        OSError: as of open(2); ESTALE where the path changed its meaning between check and opening.
        TailError: SL202, SL203.
    """
    status = check(path)
    if isinstance(status, TailError):
        raise status
    link = 0 if os.path.islink(path) else os.O_NOFOLLOW
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | link)
    if file_key(os.fstat(fd)) != file_key(status):
        os.close(fd)
        raise OSError(errno.ESTALE, "replaced while it was being opened", path)
    return fd


def describe(fd: int, path: str) -> Opened:
    """What identifies the open file `fd`.

    Raises:
        OSError: it cannot be read.
    """
    status = os.fstat(fd)
    head = os.pread(fd, HEAD_BYTES, 0)
    return Opened(
        file_key(status), generation(fd), status.st_size, status.st_mtime_ns, head, path, os.path.realpath(path)
    )


def last_line(fd: int, size: int) -> int:
    """The offset after the last newline; that of the end where the last line is longer than is worth looking. NULs at
    the end are no data yet.
    """
    size = data_end(fd, size)
    start = max(0, size - _LINE_SEARCH_BYTES)
    newline = os.pread(fd, size - start, start).rfind(b"\n")
    return start + newline + 1 if newline >= 0 else (0 if start == 0 else size)


def open_error(path: str, error: OSError) -> TailError:
    """What to tell of a file that cannot be opened or read."""
    if error.errno in {errno.EACCES, errno.EPERM}:
        return TailError.of("SL201", path)
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return TailError.of("SL207", "open files", limit=limit)
    return TailError.of("SL208", path, why=error)


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one; how many files the tailer may hold open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):  # macOS refuses an infinite soft limit
            pass
    if soft == resource.RLIM_INFINITY:
        return 1 << 20
    return max(8, soft * 4 // 5 - _SPARE_DESCRIPTORS)


def network_name(path: str | Path) -> str | None:
    """The name of the network (or FUSE) file system that holds `path`; `overlay` for overlayfs; None for a local one.

    Python has no f_type, so libc's statfs is called; it is the first member of the structure and a long.
    """
    if sys.platform != "linux":
        return None
    buffer = ctypes.create_string_buffer(256)  # struct statfs has 120 bytes at the most
    if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(path), buffer) != 0:
        return None
    kind = ctypes.c_ulong.from_buffer(buffer).value & 0xFFFFFFFF
    return "overlay" if kind == _OVERLAY else _NETWORK.get(kind)
