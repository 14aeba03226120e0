"""Counting matching events of the store: from the rollups where they say enough, else by a scan."""

# ruff: noqa: S608 - statements are built from this package's own words; every value is bound

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from agent.core.event import severity_text
from agent.query.aggregate import count_event
from agent.query.columns import UnfitError
from agent.query.fragments import encode
from agent.query.language import Selection
from agent.query.sqlite import rollup
from agent.query.sqlite.bulk import BulkCount, bucket_sql
from agent.query.sqlite.scan import EventScan, ScanKey

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from agent.query.engine import Counts, Fragment
    from agent.query.language import Grouping

_COUNTED_ROWS = 100_000  # index entries that one counting statement walks: some 50 ms
_COLUMNS = {
    "severity": "e.severity_number", "source": "e.file_id", "path": "e.file_id",
    "group": "e.group_id", "category": "e.group_id", "state": "e.group_id",
}  # fmt: skip


def stored_counts(
    connection: sqlite3.Connection,
    selection: Selection,
    grouping: Grouping,
    now_ns: int,
    path: Path | None = None,
    *,
    twin: bool = False,
) -> Counts:
    """How many of the store's events match, by fields and time buckets.

    Args:
        connection: a reader's.
        selection: what is asked for.
        grouping: the fields and the length of a bucket.
        now_ns: Unix ns; what is much older is not in the rollups any more.
        path: of the store, which several connections read at once; None: this one alone.
        twin: whether another process may count a part.
    """
    counts = _from_rollups(connection, selection, grouping, now_ns)
    return scan_counts(EventScan(connection, selection, path=path), grouping, twin=twin) if counts is None else counts


def _from_rollups(
    connection: sqlite3.Connection, selection: Selection, grouping: Grouping, now_ns: int
) -> Counts | None:
    """The counts where source, severity, logger and minute are all that matters; None where they are not."""
    if not rollup.applicable(selection.query, grouping.by, grouping.every_ns):
        return None
    connection.execute("BEGIN")  # rollups and events as of one instant
    try:
        pieces = rollup.divide(connection, selection, now_ns)
        if pieces is None:
            return None
        counts: Counts = Counter()
        for row in rollup.read(connection, selection.query, pieces.counted, grouping.every_ns, frozenset(grouping.by)):
            values = tuple(_named(name, row.severity_number, row.source, row.logger) for name in grouping.by)
            counts[row.bucket, values] += row.count
        for since, until in pieces.scanned:
            counts += scan_counts(EventScan(connection, Selection(selection.query, since, until)), grouping)
    except rollup.TooManyLoggersError:
        return None
    finally:
        connection.execute("COMMIT")
    return counts


def _named(name: str, severity_number: int, source: str, logger: str | None) -> Fragment:
    value = {"severity": severity_text(severity_number), "source": source, "logger": logger}[name]
    return None if value is None else encode(value)


def bulk_count(scan: EventScan, grouping: Grouping, *, twin: bool = False) -> BulkCount:
    """A counting in blocks.

    Raises:
        UnfitError: it cannot be done so.
    """
    return BulkCount(scan, grouping, _COLUMNS, partial(_column_value, scan), twin=twin)


def scan_counts(scan: EventScan, grouping: Grouping, *, twin: bool = False) -> Counts:
    """Count by looking at the events: inside SQLite where no record must be read, else in blocks, or one by one."""
    if scan.plan.empty:
        return Counter()
    if not scan.plan.residual and all(name in _COLUMNS for name in grouping.by):
        return _sql_counts(scan, grouping)
    with suppress(UnfitError):
        return bulk_count(scan, grouping, twin=twin).count()
    counts: Counts = Counter()
    for event in scan.by_time():
        count_event(counts, event, grouping, scan.categories)
    return counts


def _sql_counts(scan: EventScan, grouping: Grouping) -> Counts:
    columns = sorted({_COLUMNS[name] for name in grouping.by})
    every = grouping.every_ns
    bucket = "NULL" if every is None else bucket_sql(every)
    counts: Counts = Counter()
    key: ScanKey | None = None
    while True:
        end = scan.slice_end(key, _COUNTED_ROWS)
        sql, parameters = scan.span(key, end)
        rows = scan.connection.execute(
            f"SELECT count(*), {', '.join([bucket, *columns])} FROM events e INDEXED BY {scan.plan.index}"
            f" WHERE {sql}{scan.plan.sql} GROUP BY {', '.join(map(str, range(2, 3 + len(columns))))}",
            (*parameters, *scan.plan.parameters),
        ).fetchall()
        for count, number, *cells in rows:
            row = dict(zip(columns, cells, strict=True))
            counts[number, tuple(_column_value(scan, name, row[_COLUMNS[name]]) for name in grouping.by)] += count
        if end is None:
            return counts
        key = end


def _column_value(scan: EventScan, name: str, cell: int | None) -> Fragment:
    value: Any = cell
    if name == "severity":
        value = severity_text(cell or 0)
    elif name in ("source", "path"):
        value = getattr(scan.files[cell or 0], name)
    elif name in ("category", "state"):
        traits = None if cell is None else scan.categories.get(cell)
        value = None if traits is None else getattr(traits, name)
    return None if value is None else encode(value)
