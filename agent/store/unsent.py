"""Which parts of logs a target never got while they were in the store, and which it got from archives since.

A target gets every event of a log that was in the store after it had been added, except for what retention took first.
Both exceptions are noted here, by the log's file and offsets: an archive knows no ids of the store. All is in `meta`,
which is taken along when a store is salvaged or restored. A span is [from, to) in bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.intervals import Span, Spans, joined
from agent.store.reader import get_meta
from agent.store.tables import set_meta

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

# ------------------------------------------------------------ what it never got from the store


_IN_DOUBT = "doubt"  # beside the ids of files


def _unsent_key(target: str) -> str:
    return f"unsent/{target}"


def unsent(connection: sqlite3.Connection, target: str) -> dict[int, Spans]:
    """Of each file what has left the store without being sent."""
    found: dict[str, Any] = get_meta(connection, _unsent_key(target))
    return {int(file): joined(spans) for file, spans in found.items() if file != _IN_DOUBT}


def in_doubt(connection: sqlite3.Connection, target: str) -> Spans:
    """Ids [from, to) of events of which a part may have been sent all the same."""
    found: dict[str, Any] = get_meta(connection, _unsent_key(target))
    return joined(found.get(_IN_DOUBT, []))


def note_in_doubt(connection: sqlite3.Connection, target: str, first: int, last: int) -> None:
    """Retention takes what is on its way: nobody knows yet whether it arrives. Inside its transaction."""
    known: dict[str, Any] = get_meta(connection, _unsent_key(target))
    known[_IN_DOUBT] = joined(known.get(_IN_DOUBT, []), [(first, last + 1)])
    set_meta(connection, _unsent_key(target), known)


def note_left_before(connection: sqlite3.Connection, target: str) -> None:
    """A target begins: what has left the store by now it never gets from there. Inside a transaction."""
    rows = connection.execute(
        "SELECT id, start_offset, expired_offset + 1 FROM files WHERE expired_offset >= start_offset"
    )
    _add(connection, target, [tuple(row) for row in rows])


def note_passed(connection: sqlite3.Connection, target: str, after: int, last: int) -> None:
    """Retention is about to take events that a target has not got: those after one id up to another. Inside its
    transaction.
    """
    rows = connection.execute(
        'SELECT file_id, min("offset"), max("offset") + 1 FROM events WHERE id > ? AND id <= ? GROUP BY file_id',
        (after, last),
    )
    _add(connection, target, [tuple(row) for row in rows])


def _add(connection: sqlite3.Connection, target: str, rows: list[tuple[int, int, int]]) -> None:
    if not rows:
        return
    known: dict[str, Any] = get_meta(connection, _unsent_key(target))
    for file, start, end in rows:
        known[str(file)] = joined(known.get(str(file), []), [(start, end)])
    set_meta(connection, _unsent_key(target), known)


# ------------------------------------------------------------ what it got from archives


class BackfilledLog(msgspec.Struct):
    """How far an archived log is sent. Its events are numbered as of the archive that it was begun with, for another
    with more of the same log may take its place.
    """

    base: int
    match: str = ""
    sent: dict[str, Spans] = msgspec.field(default_factory=dict)  # by agent id

    @property
    def all_sent(self) -> Spans:
        """What was sent under any id."""
        return joined(*self.sent.values())

    def add(self, agent: str, spans: Iterable[Span]) -> None:
        """Note what was sent."""
        self.sent[agent] = joined(self.sent.get(agent, []), spans)


def _backfill_prefix(target: str) -> str:
    return f"backfill/{target}/"


def log_key(archive: int, file: int | None) -> str:
    """What names a log: the file that was followed, or, where none was, its archive."""
    return f"a{archive}" if file is None else f"f{file}"


def backfilled(connection: sqlite3.Connection, target: str) -> dict[str, BackfilledLog]:
    """The logs of which something was sent from archives, by `log_key`."""
    prefix = _backfill_prefix(target)
    rows = connection.execute(
        'SELECT substr("key", ?), value FROM meta WHERE substr("key", 1, ?) = ?', (len(prefix) + 1, len(prefix), prefix)
    )
    return {key: msgspec.json.decode(value, type=BackfilledLog) for key, value in rows}


def save_backfilled(connection: sqlite3.Connection, target: str, key: str, log: BackfilledLog) -> None:
    """Note how far a log is; inside a transaction."""
    set_meta(connection, _backfill_prefix(target) + key, msgspec.to_builtins(log))


def forget(connection: sqlite3.Connection, target: str) -> None:
    """Forget all of a target; inside a transaction."""
    prefix = _backfill_prefix(target)
    connection.execute(
        'DELETE FROM meta WHERE "key" = ? OR substr("key", 1, ?) = ?', (_unsent_key(target), len(prefix), prefix)
    )
