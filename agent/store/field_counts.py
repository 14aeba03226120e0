"""How often each value of a field is in a block of events, as counted beforehand: the tables of it.

A block has the events whose ids have the same quotient by BLOCK_EVENTS. Its counts are exact or not there: when one of
its events changes a trigger deletes them, and when retention has begun to delete its events their first is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

BLOCK_EVENTS = 1 << 14  # the trigger of version 10 has this number too

MISSING = ""  # in place of a value: the record has no such member

_LOAD = """
SELECT block, min_timestamp, max_timestamp, first_id, counts FROM field_counts
WHERE field = ? AND block >= ? AND block <= ? AND counts IS NOT NULL AND first_id >= (SELECT min(id) FROM events)
ORDER BY block
"""
_FORGET = "DELETE FROM field_counts WHERE field IN (SELECT name FROM counted_fields) AND block = ?"
_SAVE = """
INSERT OR REPLACE INTO field_counts (field, block, first_id, min_timestamp, max_timestamp, counts)
VALUES (?, ?, ?, ?, ?, ?)
"""


class FileCounts(msgspec.Struct, array_like=True):
    """What the records of one file have in a field.

    Attributes:
        file: its id.
        basis: of what is known of the file where the field was looked for (`query.columns.basis_of`).
        values: the JSON of each value as it is written, MISSING where there is none, with its number.
    """

    file: int
    basis: str
    values: list[tuple[str, int]]


class CountedBlock(NamedTuple):
    """The counts of a block by a field. Instants are Unix ns."""

    number: int
    since: int  # its first instant …
    last: int  # … and its last one
    first_id: int  # of the events that were counted
    counts: bytes | None  # as `encode` gives them; None: the block cannot be counted by this field

    def files(self) -> list[FileCounts]:
        """The counts, read."""
        return [] if self.counts is None else _decode(self.counts)


_decode = msgspec.json.Decoder(list[FileCounts]).decode


def counted_fields(connection: sqlite3.Connection) -> list[str]:
    """The fields whose values are counted beforehand."""
    return [name for (name,) in connection.execute("SELECT name FROM counted_fields ORDER BY name")]


def set_counted_fields(connection: sqlite3.Connection, names: Iterable[str]) -> None:
    """Choose the fields; what was counted of others goes. Inside a transaction."""
    wanted = set(names)
    known = set(counted_fields(connection))
    gone = [(name,) for name in known - wanted]
    connection.executemany("DELETE FROM field_counts WHERE field = ?", gone)
    connection.executemany("DELETE FROM counted_fields WHERE name = ?", gone)
    connection.executemany("INSERT INTO counted_fields (name) VALUES (?)", [(name,) for name in wanted - known])


def load(connection: sqlite3.Connection, field: str, first: int, last: int) -> list[CountedBlock]:
    """The blocks from `first` to `last` whose counts by a field are there and true, in the order of storage."""
    return [CountedBlock(*row) for row in connection.execute(_LOAD, (field, first, last))]


def save(connection: sqlite3.Connection, field: str, block: CountedBlock) -> None:
    """Keep what a block has of a field. Inside a transaction."""
    row = (field, block.number, block.first_id, block.since, block.last, block.counts)
    connection.execute(_SAVE, row)


def encode(files: list[FileCounts]) -> bytes:
    """The column `counts`."""
    return msgspec.json.encode(files)


def highest_block(connection: sqlite3.Connection) -> int:
    """The number of the newest block that no event will come into; -1 where there is none."""
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0] + 1) // BLOCK_EVENTS - 1


def first_id_from(connection: sqlite3.Connection, number: int) -> int:
    """The first id from this one on that an event has."""
    return int(connection.execute("SELECT coalesce(min(id), ?1) FROM events WHERE id >= ?1", (number,)).fetchone()[0])


def uncounted_blocks(connection: sqlite3.Connection, fields: int) -> list[int]:
    """The numbers of complete blocks that are not counted by all of so many fields, the oldest first; without one
    whose events have begun to go.
    """
    first = -(-(first_id_from(connection, 1) - 1) // BLOCK_EVENTS)  # the first id of all is 1
    known = connection.execute(
        "SELECT block FROM field_counts WHERE block >= ? GROUP BY block HAVING count(*) >= ?", (first, fields)
    )
    return sorted(set(range(first, highest_block(connection) + 1)) - {number for (number,) in known})


def forget(connection: sqlite3.Connection, number: int) -> None:
    """Delete the counts of the block of an event that goes before older ones. Inside a transaction."""
    connection.execute(_FORGET, (number // BLOCK_EVENTS,))


def forget_expired(connection: sqlite3.Connection) -> None:
    """Delete the counts of blocks whose events have begun to go. Inside a transaction."""
    connection.execute("DELETE FROM field_counts WHERE first_id < (SELECT coalesce(min(id), 1 << 62) FROM events)")


def forget_others(connection: sqlite3.Connection, bases: Mapping[str, Mapping[int, str]]) -> None:
    """Delete the counts that rest on something else than what is known of their files now. Inside a transaction.

    Args:
        connection: the writer's.
        bases: of each field, what it rests on in each file.
    """
    for field, known in bases.items():
        for number, counts in connection.execute(
            "SELECT block, counts FROM field_counts WHERE field = ? AND counts IS NOT NULL", (field,)
        ).fetchall():
            if any(one.basis != known.get(one.file) for one in _decode(counts)):
                connection.execute("DELETE FROM field_counts WHERE field = ? AND block = ?", (field, number))
