"""Is the store sound: SQLite's own check, and what this program relies on besides.

In portions, each in a read transaction of its own, so that a running agent's write-ahead log is never held.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
from typing import TYPE_CHECKING, NamedTuple

from agent.core.times import MINUTE_NS
from agent.store.backup import integrity
from agent.store.reader import reading_error
from agent.store.statistics import id_bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_IDS_PER_STEP = 50_000
_MOST_FINDINGS = 100
_SAMPLE_MINUTES = 200
_LAST_NS = 2**63 - 1

_BAD_RECORDS = "SELECT id FROM events WHERE id BETWEEN ? AND ? AND NOT json_valid(record) LIMIT 10"
_STRAY_EVENTS = """
SELECT e.id, e.file_id FROM events e LEFT JOIN files f ON f.id = e.file_id
WHERE e.id BETWEEN ? AND ? AND (f.id IS NULL OR e."offset" < f.start_offset OR e."offset" >= f."offset") LIMIT 10
"""
_STORED = """
SELECT f.source, e.severity_number, count(*) FROM events e JOIN files f ON f.id = e.file_id
WHERE e.timestamp >= ? AND e.timestamp < ? GROUP BY 1, 2
"""
_COUNTED = """
SELECT source, severity_number, sum(count), max(expired) FROM rollups WHERE minute = ? GROUP BY 1, 2
"""


class StoreFinding(NamedTuple):
    """Something that is wrong."""

    check: str  # integrity | record | event | rollup | read
    what: str


def verify(
    connection: sqlite3.Connection, path: Path, progress: Callable[[int, int, str], None] = lambda *_: None
) -> list[StoreFinding]:
    """Check an open store.

    Args:
        connection: read-only, in autocommit mode.
        path: of the store, for messages.
        progress: called with what is done, what is to do, and a word.

    Returns:
        What is wrong, at most about a hundred findings; empty where the store is sound.

    Raises:
        StoreError: SL408, it is locked.
    """
    progress(0, 1, "integrity")
    findings = [StoreFinding("integrity", found) for found in integrity(connection)]
    try:
        findings += _events(connection, progress)
        findings += _rollups(connection)
    except sqlite3.Error as error:
        if (found := reading_error(error, path)).code != "SL402":
            raise found from None
        findings.append(StoreFinding("read", str(error)))
    return findings[:_MOST_FINDINGS]


def _events(connection: sqlite3.Connection, progress: Callable[[int, int, str], None]) -> Iterator[StoreFinding]:
    """Every record is JSON, every event lies within what was read of a file that the store knows."""
    first, last = id_bounds(connection)
    if first is None or last is None:
        return
    for start in range(first, last + 1, _IDS_PER_STEP):
        span = (start, min(last, start + _IDS_PER_STEP - 1))
        for (event_id,) in connection.execute(_BAD_RECORDS, span).fetchall():
            yield StoreFinding("record", f"the record of event {event_id} is not valid JSON")
        for event_id, file_id in connection.execute(_STRAY_EVENTS, span).fetchall():
            yield StoreFinding("event", f"event {event_id} lies outside of what was read of its file ({file_id})")
        progress(span[1] - first + 1, last - first + 1, "events")


def _rollups(connection: sqlite3.Connection) -> Iterator[StoreFinding]:
    """The counts of some minutes are those of the events. Minutes with deleted events say so, and are left out."""
    minutes = [
        row[0] for row in connection.execute("SELECT minute FROM rollups GROUP BY minute HAVING NOT max(expired)")
    ]
    for minute in sorted(random.sample(minutes, min(len(minutes), _SAMPLE_MINUTES))):
        with _snapshot(connection):
            counted = connection.execute(_COUNTED, (minute,)).fetchall()
            stored = connection.execute(
                _STORED, (minute * MINUTE_NS, min((minute + 1) * MINUTE_NS, _LAST_NS))
            ).fetchall()
        if any(row[3] for row in counted):
            continue
        found = {(source, severity): count for source, severity, count in stored}
        said = {(source, severity): count for source, severity, count, _ in counted if count}
        for key in sorted(found.keys() | said.keys()):
            if found.get(key, 0) != said.get(key, 0):
                yield StoreFinding(
                    "rollup",
                    f"minute {minute} has {found.get(key, 0)} events of source {key[0]}, severity {key[1]};"
                    f" the rollups say {said.get(key, 0)}",
                )


@contextlib.contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """One state for several statements."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
