"""Counts from the table `rollups` (minute × source × severity × logger), which a dashboard's question costs little.

A minute whose events retention has begun to delete (`expired`) is counted from the events that are left, and so are
parts of minutes at the edges of a time span, and what is older than rollups are kept.
"""

# ruff: noqa: S608 - statements are built from this package's own words; every value is bound

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from agent.core.intervals import joined
from agent.core.times import MINUTE_NS
from agent.query.language import Selection, bounds
from agent.store.rollups import OTHER_LOGGERS, TRUSTED_DAYS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from agent.query.language import Query
    from agent.query.predicate import Matchable

_KEPT_MINUTES = TRUSTED_DAYS * 1_440
_MOST_SPANS = 50  # with more separate expired spans one scan is cheaper
_FIELDS = {"severity", "source", "logger"}

Span = tuple[int, int]


class TooManyLoggersError(Exception):
    """The question is about loggers, and some rollups do not say which."""


class RollupRow(msgspec.Struct):
    """Events of one kind in one bucket; has what a predicate on these fields reads."""

    bucket: int | None
    source: str
    severity_number: int
    logger: str | None
    count: int


class Pieces(msgspec.Struct):
    """How to count a span: [first, last) minutes from rollups, [since, until) nanoseconds by a scan."""

    counted: list[Span]
    scanned: list[Span]


def applicable(query: Query, by: Sequence[str], every_ns: int | None) -> bool:
    """Whether source, severity, logger and whole minutes are all that the question is about."""
    whole_minutes = every_ns is None or every_ns % MINUTE_NS == 0
    return whole_minutes and query.analysis.speaks_only_of(_FIELDS) and _FIELDS.issuperset(by)


def divide(connection: sqlite3.Connection, selection: Selection, now_ns: int) -> Pieces | None:
    """Divide the span of a selection; None where a scan of all is better. Call it in a read transaction."""
    low, high = connection.execute(
        "SELECT (SELECT min(timestamp) FROM events), (SELECT max(timestamp) FROM events)"
    ).fetchone()
    if low is None:
        return Pieces([], [])
    since, until = bounds(selection)
    since, until = max(since, low // MINUTE_NS * MINUTE_NS), min(until, (high // MINUTE_NS + 1) * MINUTE_NS)
    first, last = -(-since // MINUTE_NS), until // MINUTE_NS
    if first >= last:
        return Pieces([], [(since, until)])
    expired = _expired_spans(connection, first, last)
    oldest = now_ns // MINUTE_NS - _KEPT_MINUTES
    if first < oldest:
        expired = joined([(first, min(oldest, last)), *expired])
    if len(expired) > _MOST_SPANS:
        return None
    scanned = [(since, first * MINUTE_NS), (last * MINUTE_NS, until)]
    scanned += [(start * MINUTE_NS, end * MINUTE_NS) for start, end in expired]
    edges = [first, *(edge for span in expired for edge in span), last]
    counted = list(zip(edges[::2], edges[1::2], strict=True))
    return Pieces([span for span in counted if span[0] < span[1]], [span for span in scanned if span[0] < span[1]])


def _expired_spans(connection: sqlite3.Connection, first: int, last: int) -> list[Span]:
    rows = connection.execute(
        "SELECT DISTINCT minute FROM rollups WHERE minute >= ? AND minute < ? AND expired <> 0 ORDER BY minute",
        (first, last),
    )
    return joined([(minute, minute + 1) for (minute,) in rows])


def read(
    connection: sqlite3.Connection, query: Query, spans: Sequence[Span], every_ns: int | None, by: frozenset[str]
) -> Iterator[RollupRow]:
    """The counts of these minutes that the query accepts, apart by what it or `by` names; the rest is left empty.

    Raises:
        TooManyLoggersError: the query or `by` asks for loggers, and their names are beyond the bound.
    """
    used = query.analysis.fields.union(by)
    bucket = "NULL" if every_ns is None else f"minute / {every_ns // MINUTE_NS}"
    source = "source" if "source" in used else "''"
    severity = "severity_number" if "severity" in used else "0"
    logger = "logger" if "logger" in used else "''"
    for first, last in spans:
        rows: list[Any] = connection.execute(
            f"SELECT {bucket}, {source}, {severity}, {logger}, sum(count) FROM rollups"
            " WHERE minute >= ? AND minute < ? GROUP BY 1, 2, 3, 4",
            (first, last),
        ).fetchall()
        for row in rows:
            if row[3] == OTHER_LOGGERS:
                raise TooManyLoggersError
            found = RollupRow(row[0], row[1], row[2], row[3] or None, row[4])
            if query.matches(cast("Matchable", found)):
                yield found
