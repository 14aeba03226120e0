"""Which frames of which archives a search has to open: by source, instant, severity, and the filters of tokens."""

# ruff: noqa: S608 - statements are built from our own words; every value is bound

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from agent.archive.directory import load
from agent.archive.frames import JSON_LINES, WRAPPED
from agent.archive.salvage import FramePlace
from agent.archive.tokens import block_sql
from agent.core.fields import Profile
from agent.core.line_patterns import names_in
from agent.core.stored import FileInfo
from agent.parse.settings import ParseSettings
from agent.query.analysis import ALL_SEVERITIES
from agent.query.archives.groups import ArchivedGroups
from agent.query.archives.needles import token_probes
from agent.query.language import bounds
from agent.store import archives
from agent.store.archive_redaction import read_settings, redacted_by
from agent.store.reader import one_moment

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from agent.query.archives.needles import RequiredTokens
    from agent.query.language import Grouping, Selection
    from agent.store.archives import ArchiveRow

    Probes = list[list[RequiredTokens]]  # conditions, the alternatives of each

_EVERYTHING = (-1, 0)  # no offset lies in it
_INDEXED = frozenset(("severity", "source", "path"))  # fields of an event that the index of its archive has
_COLUMNS = 12  # of a frame's row, before its longest token and the blocks of its filter


class FrameRef(NamedTuple):
    """One frame to be searched. Instants are Unix ns."""

    archive_id: int
    number: int
    place: FramePlace
    raw_offset: int
    min_timestamp: int
    max_timestamp: int
    events: int
    severities: str  # JSON: severity number -> events
    shape: int
    lone: bool  # of text, each line an event
    whole: bool  # all its events are asked for, as far as time and the store's share are concerned


class SearchedArchive(msgspec.Struct):
    """An archive as a search needs it.

    Events at offsets in (hot[0], hot[1]) are in the store, and left to it. Where the source or the labels of the log
    have changed while it was read, what was stored before has them as they were: `earlier` says up to which offset.
    """

    path: Path
    link: str
    file: FileInfo
    settings: ParseSettings
    profile: Profile | None
    read_by: int  # Unix ns: when the archive was made
    observed: int  # Unix ns: when the log was last written, and its archive therefore was made to say so
    bytes: int
    redacted: bool  # its places are not those of the log
    hot: tuple[int, int]
    earlier: list[tuple[int, FileInfo]] = []  # ascending

    def at(self, offset: int) -> FileInfo:
        """The file that the event at this offset is of."""
        return next((info for end, info in self.earlier if offset < end), self.file)

    def all_of(self, start: int, end: int) -> FileInfo | None:
        """The file that all events at offsets in [start, end) are of; None where they are not of one."""
        first = self.at(start)
        return first if self.at(end - 1) is first else None

    def is_untouched(self) -> bool:
        """Whether the archive's file is there, and nobody seems to have written it: then it has what the index says."""
        try:
            status = self.path.lstat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.bytes, self.observed)

    @property
    def infos(self) -> list[FileInfo]:
        """All files that its events are of."""
        return [*(info for _, info in self.earlier), self.file]

    def is_cold(self, offset: int) -> bool:
        """Whether the event at this offset is not in the store."""
        return not self.hot[0] < offset < self.hot[1]


class FramePlan(msgspec.Struct):
    """The archives that may hold matches, by id, their frames in the order of archives, and the groups of errors."""

    files: dict[int, SearchedArchive]
    frames: list[FrameRef]
    groups: ArchivedGroups = msgspec.field(default_factory=ArchivedGroups)

    @property
    def infos(self) -> list[FileInfo]:
        """All files that events of the archives are of."""
        return [info for file in self.files.values() for info in file.infos]

    @property
    def made(self) -> str:
        """The names, in small letters, that sources' own patterns give to parts of lines."""
        patterns = dict.fromkeys(text for file in self.files.values() for text in file.settings.patterns)
        return " ".join(name for text in patterns for name in names_in(text)).casefold()


def make_frame_plan(
    connection: sqlite3.Connection, directory: Path, selection: Selection, *, with_hot: bool
) -> FramePlan:
    """Plan a search.

    Args:
        connection: a reader's.
        directory: of all archives.
        selection: what is asked for.
        with_hot: the store answers too: what it holds is left out here.
    """
    # An archive that takes another's place between two statements would hide both, and events that leave the store
    # would be counted on by neither side.
    with one_moment(connection):
        return _planned(connection, directory, selection, with_hot=with_hot)


def _planned(connection: sqlite3.Connection, directory: Path, selection: Selection, *, with_hot: bool) -> FramePlan:
    since, until = bounds(selection)
    logs = stored_logs(connection)
    rows = [
        row
        for row in _newest(load(connection, directory))
        if row.min_timestamp is not None and row.max_timestamp is not None
        if row.min_timestamp < until and row.max_timestamp >= since
    ]
    files = {row.id: _searched_archive(row, logs, with_hot=with_hot) for row in rows}
    analysis = selection.query.analysis
    files = {key: file for key, file in files.items() if any(map(analysis.accepts_file, file.infos))}
    plan = FramePlan(files, [], ArchivedGroups(connection))
    probes = token_probes(selection.query, plan.infos, plan.made)
    for key, file in files.items():
        plan.frames += _frames(file, _rows(connection, key, (since, until), probes), selection, probes)
    return plan


def _frames(file: SearchedArchive, rows: list[Any], selection: Selection, probes: Probes) -> Iterator[FrameRef]:
    since, until = bounds(selection)
    severities = selection.query.analysis.severities
    every = severities == ALL_SEVERITIES
    stored_from, stored_to = file.hot
    for row in rows:
        if probes and not _passes(row, probes):
            continue
        archive_id, number, offset, packed, start, size, first, last, lines, events, counts, shape = row[:_COLUMNS]
        end = start + size
        if stored_from < start and end <= stored_to:
            continue
        info = file.all_of(start, end)
        if info is not None and file.earlier and not selection.query.analysis.accepts_file(info):
            continue
        if not every and severities.isdisjoint(severity_counts(counts)):
            continue
        apart = end <= stored_from + 1 or start >= stored_to
        whole = apart and info is not None and since <= first and last < until
        lone = lines == events and not shape & (JSON_LINES | WRAPPED)
        place = FramePlace(offset, packed, size)
        yield FrameRef(archive_id, number, place, start, first, last, events, counts, shape, lone, whole)


def severity_counts(text: str) -> dict[int, int]:
    """How many events of each severity number a frame has."""
    return {int(number): count for number, count in json.loads(text).items()}


class StoredPart(NamedTuple):
    """What the store knows of a log, or of the part of it that was stored with one source and one set of labels."""

    start: int
    end: int
    expired: int  # the offset of the last event that has left the store; -1: none
    source: str
    resource: str
    id: int  # of its generation


def stored_logs(connection: sqlite3.Connection) -> dict[int, list[StoredPart]]:
    """By the id of its first generation (as `newest_of_logs`): the parts of each log, ascending."""
    columns = 'id, path, first_seen, start_offset, "offset", expired_offset, source, resource, id'
    sql = f"SELECT {columns} FROM files ORDER BY id"
    logs: dict[int, list[StoredPart]] = {}
    known: dict[tuple[str, int], list[StoredPart]] = {}
    for file_id, path, first_seen, *facts in connection.execute(sql):
        part = StoredPart(*facts)
        parts = known.get((path, first_seen))
        if parts is not None and part.start >= parts[-1].end > 0:
            parts.append(part)
        else:
            logs[file_id] = known[path, first_seen] = [part]
    return logs


def _hot_span(parts: list[StoredPart]) -> tuple[int, int]:
    """The offset of the last event of a log that has left the store (or of the last byte that was never to be in it),
    and the offset up to which it is stored. What was stored first leaves first.
    """
    left = parts[0].start - 1
    for part in parts:
        if part.expired >= part.start:
            left = part.expired
    return left, parts[-1].end


def _newest(rows: list[ArchiveRow]) -> list[ArchiveRow]:
    """Without those whose file was archived again after it had grown."""
    longest: dict[int, int] = {}
    for row in rows:
        if row.file_id is not None:
            longest[row.file_id] = max(row.raw_bytes, longest.get(row.file_id, 0))
    taken: set[int] = set()
    kept = []
    for row in rows:
        if row.file_id is not None:
            if row.raw_bytes < longest[row.file_id] or row.file_id in taken:
                continue
            taken.add(row.file_id)
        kept.append(row)
    return kept


def _searched_archive(row: ArchiveRow, logs: dict[int, list[StoredPart]], *, with_hot: bool) -> SearchedArchive:
    profile = Profile.from_json(row.profile) if row.profile else None

    def info(source: str, resource: str) -> FileInfo:
        return FileInfo(-row.id, source, row.log_path, json.loads(resource), profile, (0, 0, 0), row.raw_bytes)

    parts = logs.get(row.file_id, []) if row.file_id is not None else []
    several = [part for part in parts if part.start < row.raw_bytes] if len(parts) > 1 else []
    infos = [info(part.source, part.resource or row.resource) for part in several] or [info(row.source, row.resource)]
    return SearchedArchive(
        path=Path(row.path),
        link=row.link,
        file=infos[-1],
        settings=ParseSettings.from_document(read_settings(row.settings)),
        profile=profile,
        read_by=row.created,
        observed=row.modified,
        bytes=row.bytes,
        redacted=redacted_by(row.settings) is not None,
        hot=_hot_span(parts) if parts and with_hot else _EVERYTHING,
        earlier=[(part.end, one) for part, one in zip(several[:-1], infos, strict=False)],
    )


class IndexedEvents(msgspec.Struct, frozen=True):
    """The events of one severity in a frame, as its index has them; has what a predicate on these fields reads."""

    severity_number: int
    source: str
    path: str


def is_counted_by_index(selection: Selection, grouping: Grouping) -> bool:
    """Whether the index of an archive has all that a count asks for: the events of each severity, and the archive's
    source and path.
    """
    indexed = _INDEXED.issuperset(grouping.by) and selection.query.analysis.speaks_only_of(_INDEXED)
    return grouping.every_ns is None and indexed


def _rows(connection: sqlite3.Connection, archive: int, span: tuple[int, int], probes: Probes) -> list[Any]:
    flat = [probe for condition in probes for alternative in condition for probe in alternative.probes]
    columns = "".join(f", {block_sql('w.blocks')}" for _ in flat)
    join = f" LEFT JOIN archive_filters w ON w.id = (f.archive_id << {archives.FRAME_BITS}) + f.number" if flat else ""
    sql = (
        'SELECT f.archive_id, f.number, f."offset", f.bytes, f.raw_offset, f.raw_bytes, f.min_timestamp,'
        f" f.max_timestamp, f.lines, f.events, f.severities, f.shape, f.longest_token{columns}"
        f" FROM archive_frames f{join}"
        " WHERE f.archive_id = ? AND f.max_timestamp >= ? AND f.min_timestamp < ?"
    )
    return connection.execute(sql, (*(probe.place for probe in flat), archive, *span)).fetchall()


def _passes(row: Any, probes: Probes) -> bool:
    """Whether the filters let a frame through: of each condition one alternative, of that all tokens. 2 µs."""
    shape, longest, place = row[_COLUMNS - 1], row[_COLUMNS], _COLUMNS
    for condition in probes:
        found = False
        for alternative in condition:
            holds = True
            for probe in alternative.probes:
                place += 1
                block = row[place]  # nothing: there is no filter
                holds = holds and (not block or probe.passes(block, longest, shape))
            found = found or holds or bool(shape & alternative.hidden_in)
        if not found:
            return False
    return True
