"""Letting a group read the agent's own files, and taking that back: files 0640, directories 0750.

A path is reached without following a link and without opening the file: in a directory of the agent's user root must
not be led elsewhere, and to close a descriptor of a store drops SQLite's locks on it (that of O_PATH does not).
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PATH_ONLY = getattr(os, "O_PATH", os.O_RDONLY)
_EVERYBODY = 0o005  # may pass and list a directory
_READS, _LISTS = 0o040, 0o050  # a group that may read a file, and look into a directory


def group_id(name: str) -> int:
    """The number of a group, by its name or its number.

    Raises:
        KeyError: there is none.
    """
    with contextlib.suppress(ValueError, OverflowError):
        return grp.getgrgid(int(name)).gr_gid if name.isdecimal() else grp.getgrnam(name).gr_gid
    raise KeyError(name)


def share_file(path: Path, gid: int) -> None:
    """Let a group read a file; nothing is done where there is none.

    Raises:
        OSError: that is not allowed, or it is no regular file. Then no other group can read it either.
    """
    with contextlib.suppress(FileNotFoundError), _reached(path, stat.S_ISREG) as (name, status):
        mode = stat.S_IMODE(status.st_mode)
        if status.st_gid != gid:
            os.chown(name, -1, gid)
        if mode & 0o070 != _READS:
            os.chmod(name, mode & 0o707 | _READS)  # noqa: PTH101 - a name of the descriptor


def share_directory(path: Path, gid: int) -> bool:
    """Let a group look into a directory, and let files that are made in it be the group's; whether it was changed.

    One that everybody may look into is left alone.

    Raises:
        OSError: that is not allowed.
    """
    with _reached(path, stat.S_ISDIR) as (name, status):
        mode = stat.S_IMODE(status.st_mode)
        if mode & _EVERYBODY == _EVERYBODY or (status.st_gid == gid and mode & _LISTS == _LISTS):
            return False
        if status.st_gid != gid:
            os.chown(name, -1, gid)
        wanted = mode & 0o707 | _LISTS
        try:
            os.chmod(name, wanted | stat.S_ISGID)  # noqa: PTH101
        except PermissionError:  # a service with RestrictSUIDSGID=
            os.chmod(name, wanted)  # noqa: PTH101
        return True


def narrow(path: Path, gid: int) -> None:
    """Take from a group what `share_file` or `share_directory` has given it, as far as it still has it.

    Raises:
        OSError: that is not allowed.
    """
    with contextlib.suppress(FileNotFoundError), _reached(path, lambda _: True) as (name, status):
        if status.st_gid == gid and not stat.S_ISLNK(status.st_mode):
            mode = stat.S_IMODE(status.st_mode)
            os.chmod(name, mode & (0o707 | (mode & 0o007) << 3))  # noqa: PTH101 - what everybody may, it may


@contextlib.contextmanager
def _reached(path: Path, fits: Callable[[int], bool]) -> Iterator[tuple[str, os.stat_result]]:
    """A name that leads to this very file while the block runs, and its status."""
    descriptor = os.open(path, _PATH_ONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not fits(status.st_mode):
            raise OSError(errno.EINVAL, "is of another kind", str(path))
        yield f"/proc/self/fd/{descriptor}", status
    finally:
        os.close(descriptor)
