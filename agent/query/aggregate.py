"""Counting matching events per value and per time bucket: from the rollups where they say enough, else by a scan."""

# ruff: noqa: S608 - statements are built from this package's own words; every value is bound

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from agent.core.event import severity_text
from agent.core.text import escape
from agent.core.times import format_utc
from agent.query.fragments import as_text, encode, field
from agent.query.render import Output, csv_row
from agent.query.selection import Selection
from agent.query.sqlite import rollup
from agent.query.sqlite.scan import Key, Scan

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from agent.query.events import FileInfo, StoredEvent
    from agent.query.language import Grouping
    from agent.query.predicate import Categories

_COUNTED_ROWS = 100_000  # index entries that one counting statement walks: some 50 ms
_COLUMNS = {
    "severity": "e.severity_number", "source": "e.file_id", "path": "e.file_id",
    "group": "e.group_id", "category": "e.group_id",
}  # fmt: skip

Fragment = bytes | None  # JSON of a value; None: the event has no such field
Counts = Counter[tuple[int | None, tuple[Fragment, ...]]]  # (bucket's number, values) -> events


class Bucket(msgspec.Struct, frozen=True):
    """One row of the answer; `time` is the bucket's start in nanoseconds."""

    time: int | None
    values: tuple[Fragment, ...]
    count: int


def nothing(grouping: Grouping) -> list[Bucket]:
    """The answer where there is nothing to count."""
    return [] if grouping.by or grouping.every_ns is not None else [Bucket(None, (), 0)]


def count_events(connection: sqlite3.Connection, selection: Selection, grouping: Grouping, now_ns: int) -> list[Bucket]:
    """Count a selection of the store's events; without fields and buckets one row."""
    return buckets(stored_counts(connection, selection, grouping, now_ns), grouping)


def stored_counts(connection: sqlite3.Connection, selection: Selection, grouping: Grouping, now_ns: int) -> Counts:
    """The counts themselves, to which others may be added."""
    counts = _from_rollups(connection, selection, grouping, now_ns)
    return scan_counts(Scan(connection, selection), grouping) if counts is None else counts


def buckets(counts: Counts, grouping: Grouping) -> list[Bucket]:
    """Counts as rows, in their order; without fields and buckets one row."""
    if not grouping.by and grouping.every_ns is None:
        return [Bucket(None, (), counts.total())]
    if grouping.top is not None:
        totals: Counter[tuple[Fragment, ...]] = Counter()
        for (_, values), count in counts.items():
            totals[values] += count
        kept = set(sorted(totals, key=lambda values: (-totals[values], _order(values)))[: grouping.top])
        counts = Counter({key: count for key, count in counts.items() if key[1] in kept})
    every = grouping.every_ns or 1
    rows = [
        Bucket(None if bucket is None else bucket * every, values, count)
        for (bucket, values), count in counts.items()
        if count
    ]
    return sorted(rows, key=lambda row: (row.time or 0, -row.count, _order(row.values)))


def _order(values: tuple[Fragment, ...]) -> tuple[bytes, ...]:
    return tuple(value or b"" for value in values)


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
            counts += scan_counts(Scan(connection, Selection(selection.query, since, until)), grouping)
    except rollup.TooManyLoggersError:
        return None
    finally:
        connection.execute("COMMIT")
    return counts


def _named(name: str, severity_number: int, source: str, logger: str | None) -> Fragment:
    value = {"severity": severity_text(severity_number), "source": source, "logger": logger}[name]
    return None if value is None else encode(value)


# ---------------------------------------------------------------- by scanning


def scan_counts(scan: Scan, grouping: Grouping) -> Counts:
    """Count by looking at the events: inside SQLite where no record must be read, else one by one."""
    if scan.plan.empty:
        return Counter()
    if not scan.plan.residual and all(name in _COLUMNS for name in grouping.by):
        return _sql_counts(scan, grouping)
    counts: Counts = Counter()
    for event in scan.by_time():
        count_event(counts, event, grouping, scan.categories)
    return counts


def count_event(counts: Counts, event: StoredEvent, grouping: Grouping, categories: Categories) -> None:
    """Add one event."""
    bucket = None if grouping.every_ns is None else event.timestamp // grouping.every_ns
    counts[bucket, tuple(_value(event, name, categories) for name in grouping.by)] += 1


def _value(event: StoredEvent, name: str, categories: Categories) -> Fragment:
    found = field(event, name, categories)
    if found is not None and b"\\" in found and found.startswith(b'"'):
        return encode(json.loads(found))  # an escape in one line and the character in another are one value
    return found


def _sql_counts(scan: Scan, grouping: Grouping) -> Counts:
    columns = sorted({_COLUMNS[name] for name in grouping.by})
    every = grouping.every_ns
    # SQLite divides towards zero; floor puts instants before 1970 into the right bucket too.
    bucket = "NULL" if every is None else f"(e.timestamp - ((e.timestamp % {every}) + {every}) % {every}) / {every}"
    counts: Counts = Counter()
    key: Key | None = None
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


def named_value(name: str, severity_number: int, file: FileInfo) -> Fragment:
    """The value of `severity`, `source` or `path` as it is counted."""
    value = severity_text(severity_number) if name == "severity" else str(getattr(file, name))
    return None if value is None else encode(value)


def _column_value(scan: Scan, name: str, cell: int | None) -> Fragment:
    value: Any = cell
    if name == "severity":
        value = severity_text(cell or 0)
    elif name in ("source", "path"):
        value = getattr(scan.files[cell or 0], name)
    elif name == "category":
        value = None if cell is None else scan.categories.get(cell)
    return None if value is None else encode(value)


# ---------------------------------------------------------------- printing


def render_buckets(rows: Sequence[Bucket], grouping: Grouping, output: Output) -> bytes:
    """The answer in the form of `-o`; any form that is not json or csv is an aligned table."""
    names = [*(["time"] if grouping.every_ns is not None else []), *grouping.by, "count"]
    if output.form == "json":
        return output.finish(b"".join(encode(_row_object(row, grouping)) + b"\n" for row in rows))
    cells = [
        [*([format_utc(row.time)] if row.time is not None else []), *map(as_text, row.values), str(row.count)]
        for row in rows
    ]
    if output.form == "csv":
        return output.finish("".join(csv_row(line) for line in [names, *cells]))
    if len(names) == 1:
        return f"{rows[0].count}\n".encode()
    return _table(names, cells).encode("utf-8", "backslashreplace")


def _row_object(row: Bucket, grouping: Grouping) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: None if value is None else Raw(value) for name, value in zip(grouping.by, row.values, strict=True)
    }
    if row.time is not None:
        found["time"] = format_utc(row.time)
    return {**found, "count": row.count}


def _table(names: list[str], cells: list[list[str]]) -> str:
    shown = [[escape(cell) or "-" for cell in line] for line in [names, *cells]]
    widths = [min(80, max(len(line[column]) for line in shown)) for column in range(len(names))]
    lines = []
    for line in shown:
        left = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)]
        lines.append("  ".join([*left, line[-1].rjust(widths[-1])]))
    return "\n".join(lines) + "\n"
