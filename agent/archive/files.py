"""Where archives lie, and how one gets there: whole, under its final name, or not at all. What a killed worker has left
is removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from agent.archive.container import ArchiveReader
from agent.archive.directory import names_of, still_lies
from agent.archive.logfile import version_at
from agent.core import sharing
from agent.core.errors import ArchiveError
from agent.core.text import make_private_directory, without_group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.store.archives import ArchiveRow, FileVersion
    from agent.store.begun import BegunArchive

PARTIAL_SUFFIX = ".partial"


def make_directory(path: Path) -> None:
    """Make a directory and its parents, open to the agent's user alone: for root the owner of what is there.

    Raises:
        OSError: it cannot be made.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            make_private_directory(folder)
        flush_directory(folder.parent)


@contextlib.contextmanager
def partial_file(path: Path) -> Iterator[BinaryIO]:
    """A new file `path` to write, readable by its owner alone until it is finished; gone if the block fails.

    What another process left under the name is removed first: only one writes archives into a directory.

    Raises:
        OSError: it cannot be made or written.
    """
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        with os.fdopen(fd, "wb", buffering=1 << 20) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def give_name(partial: Path, final: Path) -> None:
    """Give a finished file its name, for good.

    Raises:
        FileExistsError: the name is taken. Only one process writes archives into a directory, so that it is enough to
            look before.
        OSError: it cannot be given.
    """
    if os.path.lexists(final):
        raise FileExistsError(errno.EEXIST, "the name is taken", str(final))
    partial.rename(final)
    flush_directory(final.parent)


def restrict(path: Path, status: os.stat_result, modified: int) -> None:
    """Give an archive the permissions and owner of its log, as far as that is allowed, and never wider ones.

    Without the log's owner and group, what they may do is not for the owner and group that it has now. Where root
    archives for the user of the directory, and that user could not read it then, it gets what it would have if that
    user had made it.

    Args:
        path: of the archive.
        status: of the log, or of the archive that it was made of.
        modified: when the log was last written, Unix ns.

    Raises:
        OSError: its mode cannot be set.
    """
    mode = status.st_mode & 0o666
    try:
        keeper = path.parent.stat().st_uid
        if os.geteuid() == 0 and not _may_read(keeper, status):
            os.chown(path, keeper, status.st_gid, follow_symlinks=False)
            mode |= 0o400
        else:
            os.chown(path, status.st_uid, status.st_gid, follow_symlinks=False)
    except OSError:
        mine = path.stat()
        if mine.st_gid != status.st_gid:
            mode = without_group(mode)
        mode |= 0o400  # whoever archived it could read it, and has to
    path.chmod(mode)
    os.utime(path, ns=(status.st_atime_ns, modified))


def _may_read(user: int, status: os.stat_result) -> bool:
    """Whether a user can read a file of this status by its permissions."""
    if user in (0, status.st_uid):
        return user == 0 or bool(status.st_mode & 0o400)
    try:
        known = pwd.getpwuid(user)
        groups = os.getgrouplist(known.pw_name, known.pw_gid)
    except (KeyError, OSError):  # a number without a name, as in containers
        groups = []
    return bool(status.st_mode & (0o040 if status.st_gid in groups else 0o004))


def share_made(path: Path, gid: int | None) -> None:
    """Let a group read an archive that is being made, or look into the directory of its source and the one above.

    Where that cannot be done the archive is as private as its log; `team.share_all` says so.
    """
    if gid is None:
        return
    with contextlib.suppress(OSError):
        if path.is_dir():
            sharing.share_directory(path.parent, gid)
            sharing.share_directory(path, gid)
        else:
            sharing.share_file(path, gid)


def delete(path: Path) -> None:
    """Delete an archive for good: what the store forgets must not come back after a power cut.

    Raises:
        OSError: it cannot be deleted.
    """
    path.unlink(missing_ok=True)
    if path.parent.exists():
        flush_directory(path.parent)


def flush_directory(path: Path) -> None:
    """Make the names in a directory durable.

    Raises:
        OSError: it cannot be opened or flushed.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_archive(row: ArchiveRow) -> ArchiveReader:
    """The archive of a row, to be closed.

    Raises:
        ArchiveError: SL802 it is missing or cannot be read; SL803 it is damaged, or is not the one that was indexed.
    """
    path = Path(row.path)
    archive = ArchiveReader(path)
    if (archive.link, archive.bytes) != (row.link, row.bytes):
        archive.close()
        raise ArchiveError.of("SL803.other", path)
    return archive


def version_of(row: ArchiveRow) -> FileVersion:
    """The archive of a row as a file.

    Raises:
        ArchiveError: as `open_archive`.
    """
    open_archive(row).close()
    version = version_at(row.path)
    if version is None:
        raise ArchiveError.of("SL802.missing", Path(row.path))
    return version


# ---------------------------------------------------------------- what a killed worker has left


def remove_unfinished(directory: Path, begun: BegunArchive | None) -> None:
    """Remove archives that were not finished, and the finished one that the store does not know yet.

    What is about to be made was noted in the store before (`store.archives.begin`). What has its number and the instant
    of its making is removed, unless its log is gone: then it may be all that there is, as in a store that was restored
    from a backup, and `archive verify` names it.

    Args:
        directory: of all archives.
        begun: what was noted, if the store does not know it.

    Raises:
        OSError: the directory cannot be read, or what is in it not be removed.
    """
    for path in directory.glob(f"*/.*{PARTIAL_SUFFIX}"):
        path.unlink(missing_ok=True)
    if begun is None or not still_lies(begun):
        return
    for name in names_of(begun):
        for path in directory.glob(name):
            if _is_of(path, begun):
                delete(path)


def _is_of(path: Path, begun: BegunArchive) -> bool:
    try:
        with ArchiveReader(path) as archive:
            said = archive.metadata
            return (said.id, said.created, said.source) == (begun.id, begun.created, begun.source)
    except ArchiveError:
        return False
