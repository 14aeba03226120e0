"""Counts per minute × source × severity × logger, kept beside the events so that no dashboard scans them."""

from __future__ import annotations

from collections import Counter
from itertools import repeat
from typing import TYPE_CHECKING

from agent.core.times import MINUTE_NS

if TYPE_CHECKING:
    import sqlite3

    from agent.core.model import StoredBatch

KEPT_DAYS = 400  # more than a year, whatever the events' age; the minutes of groups too
TRUSTED_DAYS = 390  # readers count what is older from the events: it may be about to be deleted
NO_LOGGER = ""
OTHER_LOGGERS = "\x00other"  # every logger beyond the bound; a query by logger must then scan
_LOGGERS_PER_SOURCE = 1_000  # a random id used as a logger name must not make the table as long as the events
_LOGGER_CHARS = 256  # what is longer is no name

_UPSERT = """
INSERT INTO rollups (minute, source, severity_number, logger, count) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET count = count + excluded.count
"""

# A month is enough to know the usual names; the whole table would take a second after a year.
_RECENT_LOGGERS = """
SELECT DISTINCT source, logger FROM rollups WHERE minute > (SELECT max(minute) FROM rollups) - 43200
"""

Key = tuple[int, str, int, str]


class Rollups:
    """Counts the events of one transaction; `flush` adds them to the table."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._loggers: dict[str, set[str]] = {}
        for source, logger in connection.execute(_RECENT_LOGGERS):
            if logger not in (NO_LOGGER, OTHER_LOGGERS):
                self._loggers.setdefault(source, set()).add(logger)

    def flush(self, connection: sqlite3.Connection, batches: list[StoredBatch]) -> None:
        """Add the events of these batches to the table."""
        counts: Counter[tuple[int, str, int, str | None]] = Counter()
        for batch in batches:
            _count(batch, counts)
        merged: Counter[Key] = Counter()
        for (minute, source, severity, logger), count in counts.items():
            merged[minute, source, severity, self._bounded(source, _storable(logger) if logger else NO_LOGGER)] += count
        connection.executemany(_UPSERT, [(*key, count) for key, count in merged.items()])

    def add_one(self, connection: sqlite3.Connection, timestamp: int, source: str) -> None:
        """Add one event of unknown severity and without a logger."""
        connection.execute(_UPSERT, (timestamp // MINUTE_NS, source, 0, NO_LOGGER, 1))

    def distrust(self, connection: sqlite3.Connection, timestamp: int, source: str) -> None:
        """Say that an event of this minute is no longer what it was counted as: readers scan the minute."""
        connection.execute(
            "UPDATE rollups SET expired = 1 WHERE minute = ? AND source = ?", (timestamp // MINUTE_NS, source)
        )

    def _bounded(self, source: str, logger: str) -> str:
        known = self._loggers.setdefault(source, set())
        if logger == NO_LOGGER or logger in known:
            return logger
        if len(known) >= _LOGGERS_PER_SOURCE or len(logger) > _LOGGER_CHARS:
            return OTHER_LOGGERS
        known.add(logger)
        return logger


def _storable(logger: str) -> str:
    """Without lone surrogates, which UTF-8 has no form for."""
    return logger if logger.isascii() else logger.encode("utf-8", "backslashreplace").decode()


def _count(batch: StoredBatch, counts: Counter[tuple[int, str, int, str | None]]) -> None:
    """Add one batch. Nearly all lie within one minute: then two columns are counted instead of four (0.3 µs less)."""
    events, source = batch.events, batch.file.source
    if not events.timestamps:
        return
    minute = min(events.timestamps) // MINUTE_NS
    if max(events.timestamps) // MINUTE_NS == minute:
        for (severity, logger), count in Counter(zip(events.severities, events.loggers, strict=True)).items():
            counts[minute, source, severity, logger] += count
        return
    minutes = [timestamp // MINUTE_NS for timestamp in events.timestamps]
    counts.update(zip(minutes, repeat(source), events.severities, events.loggers, strict=False))
