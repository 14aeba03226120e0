"""Are the archives whole, and all there: each is read and compared with the store, and each source's chain followed."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agent.archive.errors import ArchiveError
from agent.archive.files import ARCHIVE_SUFFIX, open_archive
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
    rows = sorted(archives.load(connection), key=attrgetter("sequence"))
    replaced = archives.replaced_places(connection)
    findings: list[ArchiveFinding] = []
    done, total = 0, sum(row.bytes for row in rows)
    last: dict[str, archives.Chain] = {}
    for row in rows:
        before = last.get(row.source) or _beginning(archives.chain(connection, row.source))
        progress(done, total, Path(row.path).name)
        done += row.bytes
        last[row.source] = archives.Chain(row.sequence, row.link)
        try:
            _compare(row, _followed(row.source, before, replaced))
        except ArchiveError as error:
            findings.append(ArchiveFinding(row.path, error))
    for source, chain in last.items():
        if chain[:2] != archives.chain(connection, source)[:2]:
            why = "its newest archives are missing from the store"
            findings.append(ArchiveFinding(source, _broken(Path(source), why)))
    findings += [
        ArchiveFinding(str(path), _broken(path, "the store does not know it"))
        for path in unknown_archives(connection, directory)
    ]
    return len(rows), findings


def unknown_archives(connection: sqlite3.Connection, directory: Path) -> list[Path]:
    """Archives in a directory that a store neither knows nor is about to delete, as after the restore of one that is
    older than they.
    """
    known = {row.path for row in archives.load(connection)} | {path for _, path in archives.removed_files(connection)}
    return [path for path in sorted(directory.glob(f"*/*{ARCHIVE_SUFFIX}")) if str(path) not in known]


def _beginning(chain: archives.Chain) -> archives.Chain:
    return archives.Chain(chain.removed, chain.removed_link)


def _followed(source: str, before: archives.Chain, replaced: dict[tuple[str, int, str], str]) -> archives.Chain:
    """The place in the chain behind archives that others have replaced."""
    while (link := replaced.get((source, before.sequence + 1, before.link))) is not None:
        before = archives.Chain(before.sequence + 1, link)
    return before


def _compare(row: archives.ArchiveRow, before: archives.Chain) -> None:
    with open_archive(row) as archive:
        archive.check()
    if (row.sequence, row.previous) != (before.sequence + 1, before.link):
        raise _broken(Path(row.path), "an archive of its source that came before it is missing, or was altered")


def _broken(path: Path, why: str) -> ArchiveError:
    return ArchiveError.of("SL809", path, why=why)
