"""A group that may read the archives (`archive.group`): their directory, that of each source, the archives, the lock.

As with the store, what was given is noted, so that it can be taken back when the key is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.archive.directory import ARCHIVE_SUFFIX
from agent.core import sharing
from agent.core.errors import ArchiveError
from agent.store import team

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.config.schema import ArchiveConfig
    from agent.store.edit import Change


def share_all(change: Change, directory: Path, group: str | None) -> ArchiveError | None:
    """Let a group read all archives, or take that back from the one that could.

    Args:
        change: runs a function in a transaction of the store.
        directory: of all archives.
        group: the name of a group that exists; None: an archive may be read by whoever could read its log.

    Returns:
        Why it could not be done; it is tried again when this is called again.
    """
    former = change(team.noted_archives, durable=False)
    try:
        gid = None if group is None else sharing.group_id(group)
        if former is not None and former != gid:
            for path in (*_files(directory), *_folders(directory)):
                sharing.narrow(path, former)
        if gid is not None and directory.is_dir():
            for folder in _folders(directory):
                sharing.share_directory(folder, gid)
            for path in _files(directory):
                sharing.share_file(path, gid)
    except (OSError, KeyError) as error:
        return ArchiveError.of("SL814", directory, group=group or former, why=error)
    if former != gid:
        change(lambda connection: team.note_archives(connection, gid), durable=False)
    return None


def group_of(config: ArchiveConfig | None) -> int | None:
    """The number of the group that may read archives; None where there is none, or it is gone since."""
    if config is None or config.group is None:
        return None
    try:
        return sharing.group_id(config.group)
    except KeyError:
        return None


def _folders(directory: Path) -> Iterator[Path]:
    """The directory of all archives, and those of the sources in it."""
    if directory.is_dir():
        yield directory
        yield from (path for path in sorted(directory.iterdir()) if path.is_dir() and not path.is_symlink())


def _files(directory: Path) -> Iterator[Path]:
    for folder in list(_folders(directory))[1:]:
        yield from sorted(folder.glob(f"*{ARCHIVE_SUFFIX}"))
