"""Makes the books of a salvaged store true again: what is not there any more is a gap, or is read again."""

from __future__ import annotations

from bisect import bisect_right
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from agent.core.event import original_of
from agent.core.text import from_text
from agent.store.faults import identity

if TYPE_CHECKING:
    import sqlite3

REASON = "damaged"  # of a gap: the events were stored, and lost with a part of the store

_UNSOUND = """
SELECT e.id FROM events e LEFT JOIN files f ON f.id = e.file_id
WHERE f.id IS NULL OR NOT json_valid(e.record) OR e."offset" < f.start_offset OR e."offset" >= f."offset"
   OR typeof(e.timestamp) != 'integer' OR typeof(e.observed_timestamp) != 'integer'
   OR typeof(e.severity_number) != 'integer' OR typeof(e."offset") != 'integer' OR typeof(e.record) != 'text'
ORDER BY e.id
"""
_DANGLING = (
    "UPDATE events SET group_id = NULL WHERE group_id NOT IN (SELECT id FROM error_groups)",
    "UPDATE files SET tail_event_id = NULL WHERE tail_event_id NOT IN (SELECT id FROM events)",
    "DELETE FROM gaps WHERE file_id NOT IN (SELECT id FROM files)",
    "DELETE FROM group_minutes WHERE group_id NOT IN (SELECT id FROM error_groups)",
    "DELETE FROM group_services WHERE group_id NOT IN (SELECT id FROM error_groups)",
)
# Readers count a minute from its events where its rollups are marked; a minute without any needs one to be marked.
_DISTRUST = (
    "UPDATE rollups SET expired = 1",
    "DELETE FROM field_counts",
    """
    INSERT OR IGNORE INTO rollups (minute, source, severity_number, logger, count, expired)
    SELECT e.timestamp / 60000000000 - (e.timestamp % 60000000000 < 0), f.source, e.severity_number, '', count(*), 1
    FROM events e JOIN files f ON f.id = e.file_id GROUP BY 1, 2, 3
    """,
)
# Events whose file's row is lost are kept, as of a file that is finished and whose name nobody knows.
_ADOPT = """
INSERT INTO files (id, source, path, current_path, device, inode, generation, "offset", start_offset, head_length,
                   head_hash, marker_length, marker_hash, state, first_seen, last_read)
SELECT file_id, 'lost', '(lost)/' || file_id, '(lost)/' || file_id, 0, 0, 0, max("offset") + 1, min("offset"), 0,
       x'', 0, x'', 'finished', min(observed_timestamp), max(observed_timestamp)
FROM events WHERE file_id NOT IN (SELECT id FROM files) AND typeof(file_id) = 'integer' AND "offset" >= 0
GROUP BY file_id
"""


class Result(Protocol):
    """Where the losses are noted."""

    lost_ranges: list[tuple[int, int]]
    lost_bytes: int
    reread_bytes: int
    lost_files: int


class _File(msgspec.Struct):
    """One file generation while its events are walked through."""

    position: int  # everything before it is an event's, or noted as missing
    previous: int = 0  # the id of the last event
    found: int = 0
    event_bytes: int = 0
    holes: list[tuple[int, int]] = []  # bytes between events where some were lost


def mend(connection: sqlite3.Connection, lost: list[tuple[int, int]], result: Result) -> None:
    """Drop events that make no sense, and account for the bytes of the lost ones.

    Args:
        connection: the new store, in autocommit mode.
        lost: ranges of ids of events that could not be read.
        result: is given the ranges that were lost in all, and the bytes.
    """
    connection.execute("BEGIN")
    result.lost_files = connection.execute(_ADOPT).rowcount
    unsound = [row[0] for row in connection.execute(_UNSOUND)]
    connection.executemany("DELETE FROM events WHERE id = ?", [(number,) for number in unsound])
    for statement in (*_DANGLING, *_DISTRUST):
        connection.execute(statement)
    result.lost_ranges = sorted([*lost, *((number, number) for number in unsound)])
    if result.lost_ranges or result.lost_files:
        for file_id, file in _walk(connection, result.lost_ranges).items():
            _account(connection, file_id, file, result)
    connection.execute("COMMIT")


def _walk(connection: sqlite3.Connection, lost: list[tuple[int, int]]) -> dict[int, _File]:
    """Read all events once, in the order of their ids, and note where a file's bytes may belong to lost ones."""
    starts = [first for first, _ in lost]
    files = {
        row[0]: _File(row[1]) for row in connection.execute("SELECT id, start_offset FROM files ORDER BY id").fetchall()
    }
    statement = 'SELECT id, file_id, "offset", CAST(record AS BLOB), raw FROM events ORDER BY id'
    for number, file_id, offset, record, raw in connection.execute(statement):
        file = files[file_id]
        if offset > file.position and _some_lost(starts, lost, file.previous, number):
            file.holes.append((file.position, offset))
        length = len(original_of(record, raw)) + 1
        if offset < file.position - 1:  # between the lines of the event before it, which has some behind it
            file.event_bytes += length
            file.position += length
        else:
            file.event_bytes += length - max(0, file.position - offset)  # one stored without its newline counts it not
            file.position = max(file.position, offset + length)
        file.previous = number
        file.found += 1
    return files


def _some_lost(starts: list[int], lost: list[tuple[int, int]], after: int, before: int) -> bool:
    """Whether an event with an id between the two was lost."""
    place = bisect_right(starts, before) - 1
    return place >= 0 and lost[place][1] > after


def _account(connection: sqlite3.Connection, file_id: int, file: _File, result: Result) -> None:
    """Write a file's books anew if some of its events are gone."""
    row = connection.execute(
        'SELECT "offset", start_offset, events, device, inode, current_path, state FROM files WHERE id = ?', (file_id,)
    ).fetchone()
    offset, start, events, device, inode, path, state = row
    if not device and not inode:  # it was made up here: it ends where its last event ends
        offset = file.position
        connection.execute('UPDATE files SET "offset" = ? WHERE id = ?', (offset, file_id))
    elif file.found >= events:
        return
    lost_later = bool(result.lost_ranges) and result.lost_ranges[-1][1] > file.previous
    if file.position < offset and lost_later:
        if state != "finished" and _is_there(path, device, inode):
            _rewind(connection, file_id, file.position)
            result.reread_bytes += offset - file.position
            offset = file.position
        else:
            file.holes.append((file.position, offset))
    for first, last in file.holes:
        result.lost_bytes += _fill(connection, file_id, first, last)
    gap_bytes = connection.execute(
        'SELECT coalesce(sum("to" - "from"), 0) FROM gaps WHERE file_id = ?', (file_id,)
    ).fetchone()[0]
    event_bytes = file.event_bytes - max(0, file.position - offset)  # a last line without its newline
    connection.execute(
        "UPDATE files SET events = ?, event_bytes = ?, gap_bytes = ?, blank_bytes = ? WHERE id = ?",
        (file.found, event_bytes, gap_bytes, offset - start - event_bytes - gap_bytes, file_id),
    )


def _is_there(path: str, device: int, inode: int) -> bool:
    return identity(Path(from_text(path))) == (device, inode)


def _rewind(connection: sqlite3.Connection, file_id: int, offset: int) -> None:
    """Let the agent go on at an earlier place, known by the file's head alone."""
    connection.execute('DELETE FROM gaps WHERE file_id = ? AND "from" >= ?', (file_id, offset))
    connection.execute(
        'UPDATE files SET "offset" = ?, marker_length = 0, marker_hash = ?, tail_event_id = NULL WHERE id = ?',
        (offset, blake2b(digest_size=8).digest(), file_id),
    )


def _fill(connection: sqlite3.Connection, file_id: int, first: int, last: int) -> int:
    """Make gaps of the bytes [first, last) that are in no gap yet; how many those are."""
    filled = 0
    known = connection.execute(
        'SELECT "from", "to" FROM gaps WHERE file_id = ? AND "to" > ? AND "from" < ? ORDER BY "from"',
        (file_id, first, last),
    ).fetchall()
    for start, end in [*known, (last, last)]:
        if start > first:
            connection.execute(
                'INSERT INTO gaps (file_id, "from", "to", reason, time, sample)'
                " VALUES (?, ?, ?, ?, CAST(unixepoch() AS INTEGER) * 1000000000, x'')",
                (file_id, first, start, REASON),
            )
            filled += start - first
        first = max(first, end)
    return filled
