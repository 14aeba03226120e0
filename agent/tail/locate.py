"""Where did the rest of a file go: renamed, or copied and truncated. All functions block and belong in an executor.

A rotation may go on while one looks: what was listed under one name lies under another when it is opened. So nothing is
said to be nowhere before two listings, one before and one after the look, had the same names for the same files.
"""

# ruff: noqa: PTH116, PTH119, PTH120 - paths are str here: a pathlib object costs 20 times as much, 1,000 files a scan

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from agent.core.errors import TailError
from agent.core.model import MARKER_BYTES
from agent.core.times import boot_ns
from agent.tail import files
from agent.tail.identity import FileKey, Match, compare, generation, same_generation
from agent.tail.links import existing
from agent.tail.rotated_names import is_rotation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from agent.core.model import FileGeneration, FileRow


_T = TypeVar("_T")

_MOST_LOOKS = 20  # of some ms each; a directory in which names change for longer than that is no rotation


def until_steady(directories: Collection[str], look: Callable[[], _T | None]) -> _T | None:
    """What `look` finds in the directories; it is called again while it finds nothing and names change meanwhile."""
    names = _names(directories)
    for _ in range(_MOST_LOOKS):
        found = look()
        if found is not None:
            return found
        before, names = names, _names(directories)
        if before == names:
            break
    return None


def _names(directories: Collection[str]) -> set[tuple[str, int]]:
    """Paths with their inodes."""
    return {(entry.path, entry.inode()) for directory in directories for entry in _entries(directory)}


def _entries(directory: str) -> list[os.DirEntry[str]]:
    """Nothing where the directory cannot be listed."""
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        return []


def find_inode(key: FileKey, directories: Collection[str]) -> str | None:
    """The path of a regular file's inode in one of the directories; None where it is not there (or they cannot be
    listed). A pipe, a directory or a link that was given the inode of a deleted log is not that log.
    """

    def look() -> str | None:
        for directory in directories:
            for entry in _entries(directory):
                if entry.inode() == key.inode:
                    with contextlib.suppress(OSError):
                        if files.is_file_as(os.lstat(entry.path), key):
                            return entry.path
        return None

    return until_steady(directories, look)


def is_gone(file: FileGeneration) -> bool:
    """Whether a file that was not found is really gone, and not just out of sight.

    Its directory may be missing, unreadable, or the empty mount point of a disk that is not there yet. If it is missing
    and so is the link that led there (a container with all its logs), what is above it tells.
    """
    directory = os.path.dirname(file.current_path or file.path)
    link_directory = os.path.dirname(file.path)
    if link_directory != directory and not os.path.lexists(directory) and not os.path.lexists(file.path):
        directory = existing(directory)[0]
    try:
        with os.scandir(link_directory), os.scandir(directory):
            return os.stat(directory).st_dev == file.device
    except OSError:
        return False


def compare_path(path: str, file: FileRow) -> Match:
    """`compare` for a file that is not open.

    A file that ends before the offset counts as shortened only when the machine has been started since the last
    reading, for then a power cut may have taken its end, or when it was rotated, for it may be a copy that was made
    before its last lines were written. Else it was truncated. What a power cut left of its blocks may be NULs as well.

    Raises:
        OSError: it cannot be read.
        TailError: it may not be read.
    """
    fd = files.open_checked(path)
    try:
        return compare_open(fd, file)
    finally:
        os.close(fd)


def compare_open(fd: int, file: FileRow) -> Match:
    """As `compare_path`, of an open file.

    Raises:
        OSError: it cannot be read.
    """
    match = compare(fd, file)
    if match is Match.BLANKED:
        return Match.SAME if file.last_read < boot_ns() else Match.DIFFERENT
    if match is Match.SHORTENED and file.state != "rotated" and file.last_read >= boot_ns():
        return Match.DIFFERENT
    return match


def find_content(
    file: FileRow, claimed: Mapping[FileKey, int], elsewhere: Collection[str] = ()
) -> tuple[str, FileKey] | None:
    """A file beside the last known paths of `file`, or in a directory `elsewhere`, that holds the same content up
    to its offset, under the same name or one made by rotation, and that is not `claimed` by another.

    Equal heads alone never decide, for many files begin with the same banner: the marker before the offset must be
    the same too, and under an unchanged name it must be of full length.
    """
    names = names_of(file)

    def look() -> tuple[str, FileKey] | None:
        for path, status in beside(file, elsewhere):
            key = files.file_key(status)
            other = os.path.basename(path)
            named = any(is_rotation(other, name) for name in names)
            named = named or (other in names and file.marker_length == MARKER_BYTES)
            if not named or status.st_size < file.offset or not file.head_length:
                continue
            with contextlib.suppress(OSError, TailError):
                if not _is_claimed(path, key, claimed) and _same_content(path, file):
                    return path, key
        return None

    return until_steady(directories_of(file).union(elsewhere), look)


def find_copy(  # noqa: PLR0917 - where reading stands are four of them
    file: FileGeneration,
    head: bytes,
    position: int,
    recent: bytes,
    claimed: Mapping[FileKey, int],
    elsewhere: Collection[str] = (),
) -> tuple[str, FileKey] | None:
    """The copy that was made of `file` before it was truncated (copytruncate) or deleted, to read the rest from.

    First one that goes on at `position` after the bytes `recent`; else one with a rotation's name and the same head
    that ends before it, because lines were written and read between the copying and the truncating.
    """
    if not head:
        return None
    names = names_of(file)
    shorter: list[tuple[str, FileKey]] = []

    def look() -> tuple[str, FileKey] | None:
        shorter.clear()
        for path, status in beside(file, elsewhere):
            key = files.file_key(status)
            rotated = any(is_rotation(os.path.basename(path), name) for name in names)
            if not (rotated or len(recent) == MARKER_BYTES):
                continue
            with contextlib.suppress(OSError, TailError):
                if _is_claimed(path, key, claimed):
                    continue
                begins = bytes_at(path, 0, len(head))
                if status.st_size >= position:
                    if begins == head and bytes_at(path, position - len(recent), len(recent)) == recent:
                        return path, key
                elif rotated and begins and head.startswith(begins):
                    shorter.append((path, key))
        return None

    return until_steady(directories_of(file).union(elsewhere), look) or next(iter(shorter), None)


def goes_on(path: str, head: bytes, position: int, recent: bytes) -> bool:
    """Whether the file at `path` has the head of another one, and goes on at `position` after the bytes `recent`."""
    try:
        fd = files.open_checked(path)
    except (OSError, TailError):
        return False
    try:
        return os.pread(fd, len(head), 0) == head and os.pread(fd, len(recent), position - len(recent)) == recent
    except OSError:
        return False
    finally:
        os.close(fd)


def _is_claimed(path: str, key: FileKey, claimed: Mapping[FileKey, int]) -> bool:
    """Whether the file at `path` is one of those that are followed, which are given with their generations: a closed
    one may be deleted, and its inode be that of the copy.
    """
    if key not in claimed:
        return False
    fd = files.open_checked(path)
    try:
        return same_generation(claimed[key], generation(fd))
    finally:
        os.close(fd)


def beside(file: FileGeneration, elsewhere: Collection[str] = ()) -> list[tuple[str, os.stat_result]]:
    """Regular files with their status in the directories of the file's paths and others, the last modified first."""
    directories = directories_of(file).union(elsewhere)
    found = [pair for directory in directories for pair in regular_files(directory)]
    return sorted(found, key=lambda pair: -pair[1].st_mtime_ns)


def directories_of(file: FileGeneration) -> set[str]:
    """Where a file may lie: that of the path under which it is followed, that to which this leads by links, and the one
    where it was seen last.
    """
    return {os.path.dirname(path) for path in _paths_of(file)}


def names_of(file: FileGeneration) -> set[str]:
    """The base names from which a rotation may make others of the same log: its own, and those of a link's target."""
    return {os.path.basename(path) for path in _paths_of(file)}


def _paths_of(file: FileGeneration) -> tuple[str, str, str]:
    return file.path, os.path.realpath(file.path), file.current_path or file.path


def regular_files(directory: str) -> list[tuple[str, os.stat_result]]:
    """Regular files with their status, but those that have just got another name; nothing where the directory cannot be
    listed.
    """
    found = []
    for entry in _entries(directory):
        with contextlib.suppress(OSError):
            if entry.is_file(follow_symlinks=False):
                found.append((entry.path, entry.stat(follow_symlinks=False)))
    return found


def bytes_at(path: str, offset: int, length: int) -> bytes:
    """Bytes of a file that is not open.

    Raises:
        OSError: it cannot be read.
        TailError: it may not be read.
    """
    fd = files.open_checked(path)
    try:
        return os.pread(fd, length, offset)
    finally:
        os.close(fd)


def _same_content(path: str, file: FileRow) -> bool:
    fd = files.open_checked(path)
    try:
        return compare(fd, replace(file, generation=0)) is Match.SAME  # another inode: its generation says nothing
    finally:
        os.close(fd)
