"""The directory of the archives as a store finds it: where an archive lies now, and which ones the store does not know.

A store has the path of each archive as it was when that was made. State and archives may have been moved together
since: then an archive lies under the same two names, its source's and its own, in the directory that the configuration
names now. One that was left behind when another directory was configured lies where it was.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from agent.core.errors import ArchiveError
from agent.core.patterns import lazy
from agent.core.text import counted
from agent.store import archives
from agent.store.begun import begun as begun_archive

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from agent.store.archives import ArchiveRow
    from agent.store.begun import BegunArchive

ARCHIVE_SUFFIX = ".log.zst"
_SAFE = lazy(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_UNSAFE_BYTE = lazy(rb"[^A-Za-z0-9._-]")
_MOST_NAME_BYTES = 120  # of the 255 that a name may have; an escaped byte takes three


def safe_name(text: str) -> str:
    """A file name that says `text`: other bytes than letters, digits, `.`, `_`, `-` as %XX; not hidden, not long."""
    if len(text) <= _MOST_NAME_BYTES and _SAFE.fullmatch(text):
        return text
    name = _UNSAFE_BYTE.sub(lambda found: b"%%%02X" % found[0][0], os.fsencode(text)).decode()
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    return name[:_MOST_NAME_BYTES].rstrip("%") or "_"


def archive_path(directory: Path, source: str, original: str, first: int | None, archive_id: int) -> Path:
    """`DIRECTORY/SOURCE/NAME-<first time>-<id>.log.zst`.

    Args:
        directory: of all archives.
        source: its name.
        original: path under which the log was followed.
        first: instant of its first event, Unix ns; None where it has none.
        archive_id: of the store.
    """
    stem = Path(original).name.removesuffix(".log") or "log"
    seconds = (first or 0) // 10**9
    try:
        when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        when = str(seconds)
    return directory / safe_name(source) / f"{safe_name(stem)}-{when}-{archive_id}{ARCHIVE_SUFFIX}"


def archive_files(directory: Path) -> list[Path]:
    """The archives that lie in a directory, in order."""
    return sorted(map(Path, _archive_paths(directory)))


def holds_archives(directory: Path) -> bool:
    """Whether any archive lies in a directory."""
    return next(_archive_paths(directory), None) is not None


def _archive_paths(directory: Path) -> Iterator[str]:
    """As texts: 1 µs for each archive, which every search has to look at, where `Path.glob` takes 7."""
    for source in _entries(os.fspath(directory)):
        if source.is_dir():
            yield from (one.path for one in _entries(source.path) if one.name.endswith(ARCHIVE_SUFFIX))


def _entries(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        return []


def load(connection: sqlite3.Connection, directory: Path) -> list[ArchiveRow]:
    """All archives, oldest first, without their frames; each with the path where it lies now.

    Args:
        connection: any.
        directory: of all archives.
    """
    rows = archives.load(connection)
    for row in rows:
        row.path = _place(row.path, directory, row.bytes)
    return rows


def _place(path: str, directory: Path, size: int | None = None) -> str:
    """Where a file lies now. In the directory first: a copy of state and archives must not work on the original's."""
    folder, name = os.path.split(path)
    here = os.path.join(directory, os.path.basename(folder), name)  # noqa: PTH118, PTH119 - 1 µs for each archive
    if here == path:
        return path
    try:
        status = os.lstat(here)
    except OSError:
        return path
    return here if stat.S_ISREG(status.st_mode) and size in (None, status.st_size) else path


def take_over(connection: sqlite3.Connection, directory: Path) -> None:
    """Let the store know where archives lie now, also those that are still to be deleted; inside a transaction."""
    for row in archives.load(connection):
        if (place := _place(row.path, directory, row.bytes)) != row.path:
            archives.note_path(connection, "archives", row.id, place)
    for archive_id, path in archives.removed_files(connection):
        if (place := _place(path, directory)) != path:
            archives.note_path(connection, "archive_removals", archive_id, place)


def unknown_archives(connection: sqlite3.Connection, directory: Path) -> list[Path]:
    """Archives in a directory that a store does not know, as one that is older than they, or was begun anew: not the
    one that is being made, nor one that is about to be deleted.

    Args:
        connection: any.
        directory: of all archives.
    """
    unknown = _not_known(connection, directory, list(_archive_paths(directory)))
    if not unknown:
        return []
    # Looked at in this order: an archive that is made meanwhile was begun, and then its log was there; or it is known.
    begun = begun_archive(connection)
    names = names_of(begun) if begun is not None and still_lies(begun) else []
    unknown = [path for path in unknown if not any(map(Path(path).match, names))]
    return sorted(Path(path) for path in _not_known(connection, directory, unknown) if os.path.lexists(path))


def _not_known(connection: sqlite3.Connection, directory: Path, paths: list[str]) -> list[str]:
    """Those that are neither archives of the store nor about to be deleted."""
    if not paths:
        return []
    known = {_place(path, directory, size) for path, size in archives.places(connection)}
    known.update(_place(path, directory) for _, path in archives.removed_files(connection))
    return [path for path in paths if path not in known]


def still_lies(begun: BegunArchive) -> bool:
    """Whether the log of an archive that was begun is there as it was then."""
    from agent.archive.logfile import current_path, version_at  # noqa: PLC0415 - 20 ms that a search need not pay

    return version_at(current_path(begun.path, begun.version)) == begun.version


def names_of(begun: BegunArchive) -> list[str]:
    """Patterns of the names, in the directory of all archives, that an archive which was begun may have got."""
    ends = (ARCHIVE_SUFFIX, f"-*{ARCHIVE_SUFFIX}")
    return [f"{safe_name(begun.source)}/*-{begun.id}{end}" for end in ends]


def unknown_error(directory: Path, unknown: Sequence[Path]) -> ArchiveError:
    """SL809: a directory of archives has some that the store does not know."""
    return ArchiveError.of("SL809.unknown", directory, archives=counted(len(unknown), "archive"), path=unknown[0])
