"""What the store knows of archives: their rows, the index of their frames, the chain of each source, their logs."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import orjson

from agent.core.text import from_text, to_text
from agent.store.archive_redaction import redacted_by

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Callable, Iterable

Blob = bytes  # a class below has a field of that name
_BY_RETENTION = 0  # as `replaced_by`: nothing has its content, but older archives are there, so that the chain goes on
FRAME_BITS = 24  # an archive's id and a frame's number make the id of a filter
_ARCHIVE = (
    *("id", "file_id", "source", "path", "log_path", "bytes", "raw_bytes", "lines", "events", "min_timestamp"),
    *("max_timestamp", "created", "modified", "sha256", "sequence", "previous", "link", "resource", "profile"),
    "settings",
)
_FRAME = (
    *("archive_id", "number", "offset", "bytes", "raw_offset", "raw_bytes", "lines", "events", "min_timestamp"),
    *("max_timestamp", "max_severity", "severities", "shape", "longest_token"),
)


def _insert(table: str, columns: Iterable[str]) -> str:
    names = [f'"{name}"' for name in columns]
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - names of the schema; values are bound


_INSERT_ARCHIVE = _insert("archives", _ARCHIVE)
_INSERT_FRAME = _insert("archive_frames", _FRAME)
_SELECT = f"SELECT {', '.join(_ARCHIVE)} FROM archives"  # noqa: S608 - names of the schema; values are bound


class FrameRow(msgspec.Struct):
    """The index of one frame. Instants are Unix ns, None where it has no event; sizes are bytes."""

    number: int
    offset: int
    bytes: int
    raw_offset: int
    raw_bytes: int
    lines: int
    events: int
    min_timestamp: int | None
    max_timestamp: int | None
    severities: dict[int, int]  # severity number -> events
    shape: int  # what kind of lines it holds (archive.frames), and how long parts of ids (archive.tokens)
    longest_token: int
    blocks: Blob = b""  # the filter of tokens
    spooled: tuple[int, int] = (0, 0)  # offset and bytes of the filter in a file, where it waits there


class FileVersion(NamedTuple):
    """A file as it is at one moment: another one under the same name, or a byte more, and it differs."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @staticmethod
    def of(status: os.stat_result) -> FileVersion:
        """Of a file's status."""
        return FileVersion(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class ChainEntry(msgspec.Struct, frozen=True):
    """Where an archive stands, or stood, in the chain of its source: what it says of itself, and its own link."""

    id: int
    sequence: int
    previous: str
    link: str


class EarlierArchive(msgspec.Struct, frozen=True, kw_only=True):
    """An archive of what may be a log before it grew; `entries` has its own and those that it has replaced."""

    file_id: int | None
    raw_bytes: int
    sha256: str
    entries: tuple[ChainEntry, ...]
    redacted: tuple[str, ...] = ()  # the keys whose values are replaced in it


class ArchiveRow(msgspec.Struct):
    """One archive; `path` is its own, `log_path` the one under which its log was followed."""

    id: int
    file_id: int | None
    source: str
    path: str
    log_path: str
    bytes: int
    raw_bytes: int
    lines: int
    events: int
    min_timestamp: int | None
    max_timestamp: int | None
    created: int
    modified: int
    sha256: str
    sequence: int
    previous: str
    link: str
    resource: str
    profile: str | None
    settings: str
    frames: list[FrameRow] = []
    replaces: tuple[ChainEntry, ...] = ()  # archives of its log before that grew

    @property
    def entry(self) -> ChainEntry:
        """Its place in the chain."""
        return ChainEntry(self.id, self.sequence, self.previous, self.link)


class ArchivedLog(NamedTuple):
    """A log that was archived and may still be there: what it was when it was read, and where."""

    version: FileVersion
    archive_id: int
    path: str


class Chain(NamedTuple):
    """Where the archives of a source stand: the last one's place and link, and those of the last that was removed."""

    sequence: int = 0
    link: str = ""
    removed: int = 0
    removed_link: str = ""


def next_id(connection: sqlite3.Connection) -> int:
    """The id of the next archive; no id is given twice."""
    sql = "SELECT max(id) FROM archives UNION ALL SELECT max(last_id) FROM archive_chains"
    return max(row[0] or 0 for row in connection.execute(sql)) + 1


def chain(connection: sqlite3.Connection, source: str) -> Chain:
    """Where the archives of a source stand."""
    sql = "SELECT sequence, link, removed, removed_link FROM archive_chains WHERE source = ?"
    return Chain(*connection.execute(sql, (source,)).fetchone() or ())


def load(connection: sqlite3.Connection) -> list[ArchiveRow]:
    """All archives, oldest first, without their frames."""
    return _rows(connection, "ORDER BY id")


def places(connection: sqlite3.Connection) -> list[tuple[str, int]]:
    """Path and size in bytes of every archive."""
    return [(from_text(path), size) for path, size in connection.execute("SELECT path, bytes FROM archives")]


def _rows(connection: sqlite3.Connection, which: str, values: tuple[object, ...] = ()) -> list[ArchiveRow]:
    rows = [ArchiveRow(*row) for row in connection.execute(f"{_SELECT} {which}", values)]
    for row in rows:
        row.path, row.log_path = from_text(row.path), from_text(row.log_path)
    return rows


def add(
    connection: sqlite3.Connection,
    archive: ArchiveRow,
    log: ArchivedLog | None = None,
    blocks: Callable[[FrameRow], Blob] = attrgetter("blocks"),
) -> None:
    """Store a new archive with its index; inside a transaction.

    Args:
        connection: the writer's.
        archive: with its frames.
        log: what it was made of, if that is to be remembered.
        blocks: gives the filter of a frame.
    """
    values: dict[str, Any] = {name: getattr(archive, name) for name in _ARCHIVE}
    values["path"], values["log_path"] = to_text(archive.path), to_text(archive.log_path)
    connection.execute(_INSERT_ARCHIVE, tuple(values.values()))
    connection.executemany(_INSERT_FRAME, [_frame_values(archive.id, frame) for frame in archive.frames])
    connection.executemany(
        "INSERT INTO archive_filters (id, blocks) VALUES (?, ?)",
        (
            ((archive.id << FRAME_BITS) + frame.number, found)
            for frame in archive.frames  # one at a time: all of them are 1.3 % of a log, which may be of any size
            if (found := blocks(frame))
        ),
    )
    connection.execute(
        "INSERT INTO archive_chains (source, last_id, sequence, link) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " last_id = max(last_id, excluded.last_id), sequence = excluded.sequence, link = excluded.link",
        (archive.source, archive.id, archive.sequence, archive.link),
    )
    if log is not None:
        remember_log(connection, log)


def _frame_values(archive_id: int, frame: FrameRow) -> tuple[object, ...]:
    return (
        *(archive_id, frame.number, frame.offset, frame.bytes, frame.raw_offset, frame.raw_bytes, frame.lines),
        *(frame.events, frame.min_timestamp, frame.max_timestamp, max(frame.severities, default=0)),
        *(orjson.dumps(frame.severities, option=orjson.OPT_NON_STR_KEYS).decode(), frame.shape),
        frame.longest_token,
    )


def remove(connection: sqlite3.Connection, archive: ArchiveRow, replaced_by: int | None = None) -> None:
    """Forget an archive whose file is to be deleted; inside a transaction.

    Args:
        connection: the writer's.
        archive: the one.
        replaced_by: the archive that has its content too; None: retention takes it away, and its log is remembered, so
            that it is not archived again.
    """
    forget(connection, archive.id)
    place = (archive.source, archive.sequence)
    if replaced_by is not None:
        connection.execute("DELETE FROM archive_logs WHERE archive_id = ?", (archive.id,))
    elif connection.execute("SELECT 1 FROM archives WHERE source = ? AND sequence < ?", place).fetchone():
        replaced_by = _BY_RETENTION
    else:
        sql = "UPDATE archive_chains SET removed = ?, removed_link = ? WHERE source = ? AND removed < ?"
        connection.execute(sql, (archive.sequence, archive.link, *place))
    note_removal(connection, archive.source, archive.entry, path=archive.path, replaced_by=replaced_by)


def note_removal(
    connection: sqlite3.Connection, source: str, entry: ChainEntry, *, path: str | None, replaced_by: int | None
) -> None:
    """Remember the place of an archive that is gone, and its file until that is deleted; inside a transaction."""
    connection.execute(
        "INSERT OR REPLACE INTO archive_removals (id, source, sequence, previous, link, path, replaced_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (entry.id, source, entry.sequence, entry.previous, entry.link, path and to_text(path), replaced_by),
    )


def replace(connection: sqlite3.Connection, archive: ArchiveRow) -> None:
    """Let an archive that was just added take the place of those that it replaces; inside a transaction."""
    for entry in archive.replaces:
        for row in _rows(connection, "WHERE id = ? AND link = ?", (entry.id, entry.link)):
            remove(connection, row, replaced_by=archive.id)
        connection.execute("UPDATE archive_removals SET replaced_by = ? WHERE id = ?", (archive.id, entry.id))


def note_file(connection: sqlite3.Connection, archive_id: int, file_id: int) -> None:
    """Note of which file generation an archive is, if that is not known yet; inside a transaction."""
    connection.execute("UPDATE archives SET file_id = ? WHERE id = ? AND file_id IS NULL", (file_id, archive_id))


def note_path(connection: sqlite3.Connection, table: str, archive_id: int, path: str) -> None:
    """Note where an archive lies now; inside a transaction.

    Args:
        connection: the writer's.
        table: `archives`, or `archive_removals` for one that is still to be deleted.
        archive_id: its id.
        path: as `os` gives it.
    """
    connection.execute(f"UPDATE {table} SET path = ? WHERE id = ?", (to_text(path), archive_id))  # noqa: S608 - names of the schema; values are bound


def removed_files(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    """Ids and paths of removed archives whose files are still to be deleted."""
    sql = "SELECT id, path FROM archive_removals WHERE path IS NOT NULL ORDER BY id"
    return [(number, from_text(path)) for number, path in connection.execute(sql)]


def note_deleted(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    """The files of removed archives are gone; what the chain no longer needs is forgotten. Inside a transaction."""
    connection.executemany("UPDATE archive_removals SET path = NULL WHERE id = ?", [(one,) for one in ids])
    connection.execute(
        "DELETE FROM archive_removals WHERE path IS NULL AND (replaced_by IS NULL OR sequence <="
        " (SELECT removed FROM archive_chains c WHERE c.source = archive_removals.source))"
    )


def skipped_places(connection: sqlite3.Connection) -> dict[tuple[str, int, str], str]:
    """Source, sequence and previous link of archives that are gone and not the oldest; each with its own link."""
    sql = "SELECT source, sequence, previous, link FROM archive_removals WHERE replaced_by IS NOT NULL"
    return {row[:3]: row[3] for row in connection.execute(sql)}


def outgrown(
    connection: sqlite3.Connection, source: str, version: FileVersion, present: Iterable[int]
) -> tuple[EarlierArchive, ...]:
    """The archives of a source that may be of a log before it grew: a log is remembered of each that no longer lies
    anywhere as it was; and it was the same inode, or (it may have been copied or compressed since) some events say
    themselves when they happened: without such, another log may begin the same by chance.

    Args:
        connection: any.
        source: its name.
        version: of the log.
        present: ids of archives whose log lies somewhere as it was.
    """
    rows = connection.execute(
        "SELECT a.id, a.sequence, a.previous, a.link, a.file_id, a.raw_bytes, a.sha256, a.settings FROM archives a"
        " JOIN archive_logs l ON l.archive_id = a.id WHERE a.source = ? AND a.raw_bytes > 0"
        " AND (coalesce(a.min_timestamp <> a.modified, 0) OR (l.device = ? AND l.inode = ?))",
        (source, version.device, version.inode),
    ).fetchall()
    kept = set(present)
    found = []
    for *own, file_id, size, sha256, settings in rows:
        if own[0] not in kept:
            known, keys = entries(connection, ChainEntry(*own)), redacted_by(settings) or ()
            found.append(EarlierArchive(file_id=file_id, raw_bytes=size, sha256=sha256, entries=known, redacted=keys))
    return tuple(found)


def entries(connection: sqlite3.Connection, own: ChainEntry) -> tuple[ChainEntry, ...]:
    """The place of an archive in the chain, and the places of those that it has replaced."""
    sql = "SELECT id, sequence, previous, link FROM archive_removals WHERE replaced_by = ?"
    return own, *(ChainEntry(*one) for one in connection.execute(sql, (own.id,)))


def fate(connection: sqlite3.Connection, archive_id: int) -> str:
    """What has become of an archive that was there: `there`, `removed` by retention, or `replaced` by a longer one."""
    if connection.execute("SELECT 1 FROM archives WHERE id = ?", (archive_id,)).fetchone():
        return "there"
    sql = "SELECT 1 FROM archive_removals WHERE id = ? AND replaced_by > 0"
    return "replaced" if connection.execute(sql, (archive_id,)).fetchone() else "removed"


def forget(connection: sqlite3.Connection, archive_id: int) -> None:
    """Drop an archive's row and index, but not its place in the chain; inside a transaction."""
    connection.execute("DELETE FROM archives WHERE id = ?", (archive_id,))
    connection.execute("DELETE FROM archive_frames WHERE archive_id = ?", (archive_id,))
    span = (archive_id << FRAME_BITS, (archive_id + 1) << FRAME_BITS)
    connection.execute("DELETE FROM archive_filters WHERE id >= ? AND id < ?", span)


def accept_chains(connection: sqlite3.Connection) -> None:
    """Let the chain of each source begin at the oldest archive that there is, and end at the newest."""
    connection.execute("DELETE FROM archive_chains WHERE source NOT IN (SELECT source FROM archives)")
    connection.execute(
        "UPDATE archive_chains SET (sequence, link) = (SELECT sequence, link FROM archives a"
        " WHERE a.source = archive_chains.source ORDER BY sequence DESC LIMIT 1),"
        " (removed, removed_link) = (SELECT sequence - 1, previous FROM archives a"
        " WHERE a.source = archive_chains.source ORDER BY sequence LIMIT 1)"
    )


def logs(connection: sqlite3.Connection) -> list[ArchivedLog]:
    """The logs that were archived and were not seen to be gone; also those whose archive retention has removed."""
    rows = connection.execute("SELECT device, inode, size, mtime_ns, archive_id, path FROM archive_logs").fetchall()
    return [ArchivedLog(FileVersion(*row[:4]), row[4], from_text(row[5])) for row in rows]


def forget_unarchived_logs(connection: sqlite3.Connection) -> None:
    """Let logs be archived again whose archives are gone; inside a transaction."""
    connection.execute("DELETE FROM archive_logs WHERE archive_id NOT IN (SELECT id FROM archives)")


def remember_log(connection: sqlite3.Connection, log: ArchivedLog) -> None:
    """Note that a log is archived, so that it is not archived again; inside a transaction."""
    connection.execute(
        "INSERT OR REPLACE INTO archive_logs (device, inode, size, mtime_ns, archive_id, path)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (*log.version, log.archive_id, to_text(log.path)),
    )


def forget_logs(connection: sqlite3.Connection, gone: Iterable[ArchivedLog]) -> None:
    """Archived logs are gone; inside a transaction."""
    connection.executemany(
        "DELETE FROM archive_logs WHERE device = ? AND inode = ? AND size = ? AND mtime_ns = ?",
        [log.version for log in gone],
    )


def find_content(connection: sqlite3.Connection, archive: ArchiveRow, contents: list[str]) -> ArchiveRow | None:
    """The source's archive with the content of this one, if it may be of the same log: one of which a log is
    remembered, and that is not known to be another file generation.

    Args:
        connection: any.
        archive: this one.
        contents: hashes of what its log would be in other archives of the source.
    """
    hashes = orjson.dumps([archive.sha256, *contents])
    which = (
        "WHERE source = ? AND sha256 IN (SELECT value FROM json_each(?))"
        " AND id IN (SELECT archive_id FROM archive_logs)"
        " AND (file_id IS NULL OR coalesce(?, file_id) = file_id) ORDER BY id DESC LIMIT 1"
    )
    return next(iter(_rows(connection, which, (archive.source, hashes, archive.file_id))), None)
