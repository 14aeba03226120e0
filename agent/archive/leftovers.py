"""What a worker that was killed has left: unfinished archives, and a finished one that the store does not know yet.

The archive that is about to be made is noted in the store before the worker begins. If the store does not know it
later, what has its number and the instant of its making is removed, unless its log is gone: then it may be all that
there is, as in a store that was restored from a backup, and `archive verify` names it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from agent.archive import place
from agent.archive.container import ArchiveReader
from agent.archive.errors import ArchiveError
from agent.archive.source import Version
from agent.core.paths import from_text, to_text
from agent.store import tables
from agent.tail import locate
from agent.tail.identity import FileKey

if TYPE_CHECKING:
    import sqlite3

    from agent.archive.job import Order

_KEY = "archiving"


def place_of(path: str, version: Version) -> str:
    """Where a log lies now: it may have been given another number since it was found. The old path where nowhere."""
    with contextlib.suppress(OSError):
        if Version.of(Path(path).lstat()) == version:
            return path
    return locate.find_inode(FileKey(version.device, version.inode), [str(Path(path).parent)]) or path


def note(connection: sqlite3.Connection, order: Order) -> None:
    """Say what is about to be made; inside a transaction, which is to be durable."""
    job = order.job
    begun = {"id": order.archive_id, "created": order.created, "source": job.source}
    tables.set_meta(connection, _KEY, begun | {"path": to_text(os.fsdecode(job.path)), "version": list(job.version)})


def begun(connection: sqlite3.Connection) -> dict[str, object]:
    """What was about to be made and is not known; empty where there is nothing."""
    noted = tables.get_meta(connection, _KEY)
    sql = "SELECT 1 FROM archives WHERE source = ? AND created = ?"  # a reindex may have given it another id
    known = noted and connection.execute(sql, (noted["source"], noted["created"])).fetchone()
    return {} if known else noted


def remove(directory: Path, noted: dict[str, object]) -> None:
    """Remove unfinished archives, and the finished one that was noted, if its log is still there.

    Args:
        directory: of all archives.
        noted: by `begun`.

    Raises:
        OSError: the directory cannot be read, or what is in it not be removed.
    """
    for path in directory.glob(f"*/.*{place.PARTIAL_SUFFIX}"):
        path.unlink(missing_ok=True)
    if not noted or not _is_there(from_text(str(noted["path"])), Version(*noted["version"])):  # type: ignore[misc]
        return
    folder = directory / place.safe_name(str(noted["source"]))
    numbered = f"*-{noted['id']}"
    for pattern in (f"{numbered}{place.ARCHIVE_SUFFIX}", f"{numbered}-*{place.ARCHIVE_SUFFIX}"):
        for path in folder.glob(pattern):
            if _is_of(path, noted):
                place.delete(path)


def _is_there(path: str, version: Version) -> bool:
    try:
        return Version.of(Path(place_of(path, version)).lstat()) == version
    except OSError:
        return False


def _is_of(path: Path, noted: dict[str, object]) -> bool:
    try:
        with ArchiveReader(path) as archive:
            said = archive.metadata
            return (said.id, said.created, said.source) == (noted["id"], noted["created"], noted["source"])
    except ArchiveError:
        return False
