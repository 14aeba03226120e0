"""Are the archives whole, and all there; and the log of one of them written into a new file again.

Each archive is read and compared with the store, and each source's chain is followed.
"""

from __future__ import annotations

import os
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agent.archive import directory as places
from agent.archive.container import ArchiveReader
from agent.archive.files import flush_directory, open_archive
from agent.core.errors import ArchiveError, UsageError
from agent.store import archives

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable


class ArchiveFinding(msgspec.Struct):
    """What is wrong, and with which archive."""

    path: str
    error: ArchiveError

    def document(self) -> dict[str, str]:
        """For JSON."""
        return {"path": self.path, "code": self.error.code, "message": self.error.message}


def verify_archives(
    connection: sqlite3.Connection, directory: Path, progress: Callable[[int, int, str], None] = lambda *_: None
) -> tuple[int, list[ArchiveFinding]]:
    """Read every archive, compare it with the store's row, and follow the chain of each source.

    Args:
        connection: read-only.
        directory: of the archives: files in it that the store does not know are findings too.
        progress: called with the bytes read, the bytes to read, and the name of the archive that is next.

    Returns:
        How many archives there are, and what is wrong.
    """
    rows = sorted(places.load(connection, directory), key=attrgetter("sequence"))
    skipped = archives.skipped_places(connection)
    findings: list[ArchiveFinding] = []
    done, total = 0, sum(row.bytes for row in rows)
    last: dict[str, archives.Chain] = {}
    for row in rows:
        before = last.get(row.source) or _beginning(archives.chain(connection, row.source))
        progress(done, total, Path(row.path).name)
        done += row.bytes
        last[row.source] = archives.Chain(row.sequence, row.link)
        try:
            _compare(row, _followed(row.source, before, skipped))
        except ArchiveError as error:
            findings.append(ArchiveFinding(row.path, error))
    for source, chain in last.items():
        if _followed(source, chain, skipped)[:2] != archives.chain(connection, source)[:2]:
            why = "its newest archives are missing from the store"
            findings.append(ArchiveFinding(source, ArchiveError.of("SL809", Path(source), why=why)))
    findings += [
        ArchiveFinding(str(path), ArchiveError.of("SL809", path, why="the store does not know it"))
        for path in places.unknown_archives(connection, directory)
    ]
    return len(rows), findings


def _beginning(chain: archives.Chain) -> archives.Chain:
    return archives.Chain(chain.removed, chain.removed_link)


def _followed(source: str, before: archives.Chain, skipped: dict[tuple[str, int, str], str]) -> archives.Chain:
    """The place in the chain behind archives that are gone and are not missed."""
    while (link := skipped.get((source, before.sequence + 1, before.link))) is not None:
        before = archives.Chain(before.sequence + 1, link)
    return before


def _compare(row: archives.ArchiveRow, before: archives.Chain) -> None:
    with open_archive(row) as archive:
        archive.check()
    if (row.sequence, row.previous) != (before.sequence + 1, before.link):
        raise ArchiveError.of(
            "SL809", Path(row.path), why="an archive of its source that came before it is missing, or was altered"
        )


# ---------------------------------------------------------------- restoring


def find_archive(connection: sqlite3.Connection, directory: Path, name: str) -> Path:
    """The one archive that is meant.

    Args:
        connection: read-only.
        directory: of all archives.
        name: its path, the end of its path, or the beginning of its file name.

    Raises:
        UsageError: SL808, there is none, or several.
    """
    rows = places.load(connection, directory)
    found = [row for row in rows if row.path == name] or [
        row for row in rows if row.path.endswith(f"/{name}") or Path(row.path).name.startswith(name)
    ]
    if len(found) == 1:
        return Path(found[0].path)
    if not found:
        raise UsageError.of("SL808", name)
    raise UsageError.of("SL808.several", name, count=len(found))


def restore_archive(source: Path, destination: Path) -> tuple[Path, int]:
    """Write the log of an archive into a new file, with the archive's permissions at the most.

    Returns:
        The new file, and its bytes.

    Raises:
        ArchiveError: SL802, SL803 the archive cannot be read: nothing is left of the new file; SL810 it cannot be
            written, or is there already.
    """
    with ArchiveReader(source) as archive:
        if destination.is_dir():
            destination /= Path(archive.metadata.path).name
        try:
            _write_new(archive, source, destination)
        except OSError as error:
            raise ArchiveError.of("SL810", destination, why=error) from None
        return destination, archive.metadata.raw_bytes


def _write_new(archive: ArchiveReader, source: Path, destination: Path) -> None:
    status = source.stat()
    fd = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            for data in archive.contents():
                file.write(data)
            file.flush()
            # Owner and group are those of who restores: only what the owner could do is carried over.
            os.fchmod(file.fileno(), status.st_mode & 0o600)
            os.utime(file.fileno(), ns=(status.st_atime_ns, archive.metadata.modified))
            os.fsync(file.fileno())
        flush_directory(destination.parent)
    except BaseException:
        destination.unlink(missing_ok=True)
        raise
