"""Which archive is meant by a name, and its log written into a new file again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from agent.archive.container import ArchiveReader
from agent.archive.files import flush_directory
from agent.core.errors import ArchiveError, UsageError
from agent.store import archives

if TYPE_CHECKING:
    import sqlite3


def find_archive(connection: sqlite3.Connection, name: str) -> Path:
    """The one archive that is meant.

    Args:
        connection: read-only.
        name: its path, the end of its path, or the beginning of its file name.

    Raises:
        UsageError: SL808, there is none, or several.
    """
    rows = archives.load(connection)
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
