"""The index of the archives again, from their files alone."""

from __future__ import annotations

import os
import re
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from agent.archive.container import ArchiveReader
from agent.archive.directory import archive_files, take_over
from agent.archive.frames import FrameParser, index_frame
from agent.archive.metadata import REDACTED_VERSION
from agent.archive.protocol import ArchiveWritten, FilterFile
from agent.core.errors import ArchiveError
from agent.core.fields import Profile
from agent.parse.decode import FileParser
from agent.parse.settings import ParseSettings
from agent.store import archives, tables
from agent.store.archives import ArchivedLog, FileVersion
from agent.tail.identity import head_hash, marker

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from agent.archive.metadata import ArchiveMetadata
    from agent.core.model import FileRow
    from agent.store.archives import ArchiveRow
    from agent.store.edit import Change


def reindex(
    directory: Path,
    change: Change,
    scratch: Path,
    on_error: Callable[[Path, ArchiveError], None],
    on_progress: Callable[[int, int, str], None],
) -> int:
    """Replace what the store knows of archives by what their files say.

    An archive that is damaged keeps the row that it has. One whose file is gone loses it. Where a source has two
    chains, because a store that was older than its archives made others of the same numbers, one goes on behind the
    other.

    Args:
        directory: of the archives.
        change: runs a function in a transaction.
        scratch: a directory for a temporary file of about the size of the index.
        on_error: called with an archive that cannot be read, and why.
        on_progress: called with the bytes done of the bytes to do, and the archive's name.

    Returns:
        How many archives are indexed now.

    Raises:
        ArchiveError: SL804, `scratch` has no room for the filters.
    """
    change(partial(take_over, directory=directory), durable=False)
    paths = sorted(archive_files(directory), key=attrgetter("name"))
    total, done = sum(path.stat().st_size for path in paths), 0
    rows: list[ArchiveRow] = []
    bad: set[str] = set()
    with FilterFile.on_disk_of(scratch) as filters:
        for path in paths:
            on_progress(done, total, path.name)
            done += path.stat().st_size
            try:
                rows.append(_read(path, filters))
            except ArchiveError as error:
                if error.code == "SL804":  # of the file of filters
                    raise
                bad.add(str(path))
                on_error(path, error)
        rows.sort(key=lambda row: (row.source, row.sequence, row.created, row.id))
        rows = [row for _, found in groupby(rows, attrgetter("source")) for row in _one_chain([*found])]
        return change(partial(_replace, rows=rows, bad=bad, filters=filters), durable=True)


def _read(path: Path, filters: FilterFile) -> ArchiveRow:
    """The row of one archive, its content checked on the way; the filters of its frames are left in the file.

    Raises:
        ArchiveError: SL802, SL803 of the archive; SL804 of the file of filters.
    """
    with ArchiveReader(path) as archive:
        said = archive.metadata
        settings = _settings(path, said)
        profile = Profile.from_json(said.profile) if said.profile else None
        parser = FrameParser(settings, profile, said.modified, said.created)
        frames = []
        for number, (data, location) in enumerate(zip(archive.verified(), archive.in_log(), strict=True)):
            in_frame = archive.positions(number).in_log
            in_log = in_frame if said.version == REDACTED_VERSION else None
            place = partial(_in_log, location.raw_offset, in_frame)
            frame = index_frame(data, 0, settings, parser, in_log=in_log, place=place).row(number, location)
            filters.take(frame)
            frames.append(frame)
        made = ArchiveWritten(
            path=os.fsencode(path), size=archive.bytes, link=archive.link, metadata=said, frames=frames
        )
        return made.row()


def _in_log(start: int, in_frame: Callable[[int], int], offset: int) -> int:
    return start + in_frame(offset)


def _settings(path: Path, said: ArchiveMetadata) -> ParseSettings:
    """How the lines of an archive are parsed, if that can be done here: another version, or another machine, may have
    made it.
    """
    try:
        settings = ParseSettings.from_document(said.settings)
        FileParser(settings)
    except (TypeError, ValueError, LookupError, re.error) as error:
        raise ArchiveError.of(
            "SL803.newer", path, why=f"its lines were parsed with settings that are not known here ({error})"
        ) from None
    return settings


def _is_generation(row: ArchiveRow, file: FileRow | None) -> bool:
    """Whether the store's file of this number is the one that was archived: of the same path (its source may be another
    one by now), with the same beginning, and the same bytes before the offset.
    """
    if file is None or file.path != row.log_path or file.offset > row.raw_bytes:
        return False
    with ArchiveReader(Path(row.path)) as archive:
        if archive.metadata.version == REDACTED_VERSION:  # the bytes of the log are not there to be compared
            return file.first_seen == archive.metadata.first_seen
        head = archive.content(0, file.head_length)
        before = archive.content(file.offset - file.marker_length, file.marker_length)
    return head_hash(head) == file.head_hash and marker(before) == (file.marker_length, file.marker_hash)


def _unseen_log(row: ArchiveRow) -> ArchivedLog | None:
    """For the log of an archive that the store did not know: it may still lie somewhere, and is known by its content
    then, so that it is not archived again. One whose lines have no time may be another one with the same content.
    """
    if row.min_timestamp in (None, row.modified):
        return None
    return ArchivedLog(FileVersion(0, -row.id, row.raw_bytes, row.modified), row.id, "")


def _one_chain(rows: list[ArchiveRow]) -> list[ArchiveRow]:
    """The archives of a source in the order of their chain. A branch is put behind the others, and numbered on; where
    one is missing in it stays to be seen.
    """
    if len({row.sequence for row in rows}) == len(rows):
        return rows
    following: dict[str, list[ArchiveRow]] = {}
    for row in rows:
        following.setdefault(row.previous, []).append(row)
    links = {row.link for row in rows}
    waiting = [row for row in reversed(rows) if row.previous not in links]
    ordered: list[ArchiveRow] = []
    while waiting:
        row = waiting.pop()
        waiting += reversed(following.get(row.link, []))
        if ordered and row.sequence <= ordered[-1].sequence:
            row.sequence = ordered[-1].sequence + 1
            if row.previous in links or len(following[row.previous]) > 1:
                row.previous = ordered[-1].link
        ordered.append(row)
    return ordered


def _replace(connection: sqlite3.Connection, *, rows: list[ArchiveRow], bad: set[str], filters: FilterFile) -> int:
    pending = dict(archives.removed_files(connection))
    replaced = {entry.link for row in rows for entry in row.replaces}
    files = {row.link: row.path for row in rows if row.link in replaced}  # a crash came before they were deleted
    rows = [row for row in rows if row.link not in replaced and row.path not in pending.values()]
    generations = {file.id: file for file in tables.load_files(connection)}
    before = archives.load(connection)
    known = {row.link: row.id for row in before}
    taken = {row.id for row in before}
    for row in before:
        if row.path not in bad:
            archives.forget(connection, row.id)
    for row in rows:
        if row.link in known:
            row.id = known[row.link]
        elif row.id in taken:  # two stores have written into one directory
            row.id = max(archives.next_id(connection), *(number + 1 for number in taken))
        taken.add(row.id)
        if row.file_id is not None and not _is_generation(row, generations.get(row.file_id)):
            row.file_id = None  # the store was begun anew since: its files have other numbers
        log = None if row.link in known else _unseen_log(row)
        archives.add(connection, row, log, blocks=filters.blocks)
        for entry in row.replaces:
            path = files.get(entry.link) or pending.get(entry.id)
            archives.note_removal(connection, row.source, entry, path=path, replaced_by=row.id)
    archives.forget_unarchived_logs(connection)
    archives.accept_chains(connection)
    return len(rows)
