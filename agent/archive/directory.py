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

from agent.core.patterns import lazy
from agent.store import archives
from agent.store.begun import begun as begun_archive

if TYPE_CHECKING:
    import sqlite3

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
    return sorted(directory.glob(f"*/*{ARCHIVE_SUFFIX}"))


def holds_archives(directory: Path) -> bool:
    """Whether any archive lies in a directory."""
    return next(directory.glob(f"*/*{ARCHIVE_SUFFIX}"), None) is not None


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
    there = archive_files(directory)  # looked at first: what is made from now on need not be known
    if not there:
        return []
    known = {row.path for row in load(connection, directory)}
    known.update(_place(path, directory) for _, path in archives.removed_files(connection))
    begun = begun_archive(connection)
    unknown = [path for path in there if str(path) not in known]
    return [path for path in unknown if os.path.lexists(path) and not (begun is not None and _is_begun(path, begun))]


def _is_begun(path: Path, begun: BegunArchive) -> bool:
    """Whether a file has the name of the archive that is being made, or was when somebody was killed: its log is there
    then, and the next round removes it.
    """
    return any(map(path.match, names_of(begun))) and still_lies(begun)


def still_lies(begun: BegunArchive) -> bool:
    """Whether the log of an archive that was begun is there as it was then."""
    from agent.archive.logfile import current_path, version_at  # noqa: PLC0415 - 20 ms that a search need not pay

    return version_at(current_path(begun.path, begun.version)) == begun.version


def names_of(begun: BegunArchive) -> list[str]:
    """Patterns of the names, in the directory of all archives, that an archive which was begun may have got."""
    ends = (ARCHIVE_SUFFIX, f"-*{ARCHIVE_SUFFIX}")
    return [f"{safe_name(begun.source)}/*-{begun.id}{end}" for end in ends]
