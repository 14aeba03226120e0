"""What the store says of the agent, of the files that it follows and of itself, for faces. Nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agent.core.times import MINUTE_NS
from agent.store.reader import highest_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

_FIRST_ERROR_SEVERITY = 17  # OpenTelemetry's ERROR


class FollowedFile(msgspec.Struct, frozen=True):
    """A file generation that is not finished. `path` and `current_path` are as they are stored (`core.text`)."""

    id: int
    path: str
    current_path: str
    source: str
    state: str
    offset: int
    device: int
    inode: int
    last_read: int  # Unix ns
    events: int


class EventTotals(msgspec.Struct, frozen=True):
    """What is in the store, and what the books of all files say."""

    events: int
    parse_errors: int
    gap_bytes: int
    blank_bytes: int


class FileGap(msgspec.Struct, frozen=True):
    """Bytes of a file that were read and are in no event."""

    path: str
    start: int
    end: int
    reason: str
    time: int  # Unix ns


class ArchiveTotals(msgspec.Struct, frozen=True):
    """Sizes in bytes, the instant of the oldest event in Unix ns; of the events that have left the store how many there
    are, and how many archives still hold.
    """

    files: int
    bytes: int
    raw_bytes: int
    oldest_event: int | None
    expired_events: int
    searchable_events: int


class OwnErrorRow(msgspec.Struct, frozen=True):
    """A condition of the agent itself; instants are Unix ns."""

    code: str
    subject: str
    message: str
    hint: str
    first_seen: int
    last_seen: int
    count: int
    active: int


def followed_files(connection: sqlite3.Connection) -> list[FollowedFile]:
    """The files that are followed, by source and path."""
    rows = connection.execute(
        'SELECT id, path, current_path, source, state, "offset", device, inode, last_read, events FROM files'
        " WHERE state != 'finished' ORDER BY source, path, id"
    )
    return [FollowedFile(*row) for row in rows]


def file_offsets(connection: sqlite3.Connection, ids: Iterable[int]) -> dict[int, int]:
    """How far some files have been read by now; one that is no longer known is left out."""
    rows = (connection.execute('SELECT id, "offset" FROM files WHERE id = ?', (one,)).fetchone() for one in ids)
    return dict(row for row in rows if row is not None)


def event_totals(connection: sqlite3.Connection) -> EventTotals:
    """How many events are stored, and the sums of the files' books."""
    # Ids are given out without holes and deleted from the low end only: no count over millions of rows.
    first, last = id_bounds(connection)
    books = connection.execute(
        "SELECT coalesce(sum(parse_errors), 0), coalesce(sum(gap_bytes), 0), coalesce(sum(blank_bytes), 0) FROM files"
    ).fetchone()
    total = 0 if first is None or last is None else last - first + 1
    return EventTotals(total, *books)


def id_bounds(connection: sqlite3.Connection) -> tuple[int | None, int | None]:
    """The first and the last id of the events that are there; None where there are none.

    Asked apart from each other: SQLite finds one of them at an end of the table, and both only by reading all of it.
    """
    first, last = connection.execute("SELECT (SELECT min(id) FROM events), (SELECT max(id) FROM events)").fetchone()
    return first, last


def recent_counts(connection: sqlite3.Connection, now: int, minutes: int) -> tuple[int, int]:
    """Events, and errors among them, of the minute that now (Unix ns) lies in and those before it: `minutes` in all."""
    minute = now // MINUTE_NS
    events, errors = connection.execute(
        "SELECT coalesce(sum(count), 0), coalesce(sum(iif(severity_number >= ?, count, 0)), 0) FROM rollups"
        " WHERE minute > ? AND minute <= ?",
        (_FIRST_ERROR_SEVERITY, minute - minutes, minute),
    ).fetchone()
    return events, errors


def newest_gaps(connection: sqlite3.Connection, limit: int) -> list[FileGap]:
    """The gaps that were noted last, newest first."""
    rows = connection.execute(
        'SELECT f.path, g."from", g."to", g.reason, g.time FROM gaps g JOIN files f ON f.id = g.file_id'
        " ORDER BY g.id DESC LIMIT ?",
        (limit,),
    )
    return [FileGap(*row) for row in rows]


def archive_totals(connection: sqlite3.Connection) -> ArchiveTotals:
    """The size of all archives, and how much of what has left the store they still hold."""
    files, size, raw, oldest = connection.execute(
        "SELECT count(*), coalesce(sum(bytes), 0), coalesce(sum(raw_bytes), 0), min(min_timestamp) FROM archives"
    ).fetchone()
    # Ids are given out without holes and deleted from the low end only.
    row = connection.execute("SELECT min(id) - 1 FROM events").fetchone()
    expired = row[0]
    if expired is None:
        expired = highest_id(connection)
    kept = connection.execute(
        "SELECT coalesce(sum(expired_events), 0) FROM files WHERE (path, first_seen) IN"  # all generations of the logs
        " (SELECT path, first_seen FROM files WHERE id IN (SELECT file_id FROM archives))"
    ).fetchone()[0]
    return ArchiveTotals(files, size, raw, oldest, expired, kept)


def stored_records(connection: sqlite3.Connection) -> Iterator[str]:
    """The record of every event, in the order of storage."""
    return (record for (record,) in connection.execute("SELECT record FROM events ORDER BY id"))


def own_errors(connection: sqlite3.Connection, limit: int) -> list[OwnErrorRow]:
    """The agent's own errors: those that last before those that are over, the latest first."""
    rows = connection.execute(
        "SELECT code, subject, message, hint, first_seen, last_seen, count, active FROM own_errors"
        " ORDER BY active DESC, last_seen DESC LIMIT ?",
        (limit,),
    )
    return [OwnErrorRow(*row) for row in rows]


class FindingRow(msgspec.Struct, frozen=True):
    """The agent's own errors of one code that last, or that are over; the sentence is the newest one's."""

    code: str
    active: int
    subjects: int
    count: int
    last_seen: int  # Unix ns
    message: str
    hint: str


def own_findings(connection: sqlite3.Connection, limit: int) -> list[FindingRow]:
    """The agent's own errors by code: those that last before those that are over, the latest first."""
    # Of a group with max() SQLite takes the bare columns out of the row that has it.
    rows = connection.execute(
        "SELECT code, active, count(*), sum(count), max(last_seen), message, hint FROM own_errors"
        " GROUP BY code, active ORDER BY active DESC, 5 DESC LIMIT ?",
        (limit,),
    )
    return [FindingRow(*row) for row in rows]


def first_event_since(connection: sqlite3.Connection, instant: int) -> int | None:
    """When the first event from an instant (Unix ns) on happened; None where there is none."""
    row = connection.execute("SELECT min(timestamp) FROM events WHERE timestamp >= ?", (instant,)).fetchone()
    return None if row[0] is None else int(row[0])


def schema_version(connection: sqlite3.Connection) -> int:
    """The version of the store's tables."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
