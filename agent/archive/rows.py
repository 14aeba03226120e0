"""From what the worker says of an archive to its row in the store, and from the row to the archive."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agent.archive.container import ArchiveReader
from agent.archive.errors import damaged
from agent.core.paths import from_text
from agent.store.archives import ArchiveRow, Place

if TYPE_CHECKING:
    from agent.archive.job import Done


def archive_row(done: Done) -> ArchiveRow:
    """What the store is to know of a new archive."""
    said, frames = done.metadata, done.frames
    first = [frame.min_timestamp for frame in frames if frame.min_timestamp is not None]
    last = [frame.max_timestamp for frame in frames if frame.max_timestamp is not None]
    return ArchiveRow(
        id=said.id,
        file_id=said.file_id,
        source=said.source,
        path=os.fsdecode(done.path),
        log_path=from_text(said.path),
        bytes=done.size,
        raw_bytes=said.raw_bytes,
        lines=said.lines,
        events=sum(frame.events for frame in frames),
        min_timestamp=min(first, default=None),
        max_timestamp=max(last, default=None),
        created=said.created,
        modified=said.modified,
        sha256=said.sha256,
        sequence=said.sequence,
        previous=said.previous,
        link=done.link,
        resource=said.resource,
        profile=said.profile,
        settings=msgspec.json.encode(said.settings).decode(),
        frames=frames,
        replaces=[Place(*msgspec.structs.astuple(one)) for one in said.replaces],
    )


def open_archive(row: ArchiveRow) -> ArchiveReader:
    """The archive of a row, to be closed.

    Raises:
        ArchiveError: SL802 it is missing or cannot be read; SL803 it is damaged, or is not the one that was indexed.
    """
    path = Path(row.path)
    archive = ArchiveReader(path)
    if (archive.link, archive.bytes, archive.metadata.id) != (row.link, row.bytes, row.id):
        archive.close()
        raise damaged(path, "it is not the file that the store knows")
    return archive
