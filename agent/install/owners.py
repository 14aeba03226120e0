"""Whose the service's files are: its user's while it is installed, root's when that user is gone."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from agent.install.layout import USER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from agent.install.layout import Layout


class FileOwner(NamedTuple):
    """A user with its group, by their numbers."""

    uid: int
    gid: int


ROOT = FileOwner(0, 0)


def service_owner(place: Layout) -> FileOwner | None:
    """The service's user on a machine, or None where there is none."""
    for name, _, uid, gid in _entries(place, "/etc/passwd"):
        if name == USER and uid.isdecimal() and gid.isdecimal():
            return FileOwner(int(uid), int(gid))
    return None


def group_numbers(place: Layout, names: Collection[str]) -> set[int]:
    """The numbers of these groups, as far as a machine has them."""
    groups = _entries(place, "/etc/group")
    return {int(number) for name, _, number, _ in groups if name in names and number.isdecimal()}


def _entries(place: Layout, file: str) -> Iterator[list[str]]:
    """The first four fields of each line of a machine's user database (passwd(5), group(5))."""
    with contextlib.suppress(OSError):
        for line in place.at(file).read_text(errors="replace").splitlines():
            yield [*line.split(":"), "", "", ""][:4]


def hand_over(directory: Path, former: FileOwner, to: FileOwner) -> int:
    """Give what belongs to one user, a directory with all in it, to another; how many files and directories.

    The former one may write there while this runs, so that no link is followed and no file with a second name changed:
    it might be one that this user has linked here to get hold of it.
    """
    count = 0

    def give(name: str, status: os.stat_result, folder: int | None) -> int:
        if status.st_uid != former.uid or not (stat.S_ISDIR(status.st_mode) or status.st_nlink == 1):
            return 0
        os.chown(name, to.uid, to.gid, dir_fd=folder, follow_symlinks=False)
        return 1

    for _, folders, names, folder in os.fwalk(directory):
        for name in (*folders, *names):
            with contextlib.suppress(FileNotFoundError):
                count += give(name, os.stat(name, dir_fd=folder, follow_symlinks=False), folder)
    with contextlib.suppress(FileNotFoundError):
        count += give(os.fspath(directory), directory.stat(follow_symlinks=False), None)
    return count
