"""Reading matching events in pages: by time in either direction, or in the order of storage.

Each page is one statement read to its end, so that no read transaction outlives a page and the writer's checkpoints
are never held up, however long a query or its reader takes. What is stored after the start (a larger id) is left out;
a page continues after the key (timestamp, id) of the one before, so that inserts in between shift nothing.
"""

# ruff: noqa: S608 - statements are built from this package's own words; every value is bound

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec.structs import replace

from agent.core.event import EventRow, event_row
from agent.core.stored import StoredEvent
from agent.query.engine import EventKey
from agent.query.language import Selection, bounded, bounds
from agent.query.sqlite.plan import SqlPlan, make_plan
from agent.store.events import EVENT_COLUMNS, Categories, Files, load_events, newest_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from agent.query.engine import Span

PAGE_ROWS = 2_000  # about 1 MB and 10 ms
SLICE_ROWS = 20_000  # rows that a page may look at before it ends, matching or not: at most some 50 ms
_LONG_SLICE_ROWS = 1_000_000  # where few of a slice were candidates: the next takes 0.2 s
_RARE = 0.02  # candidates of the rows of a slice
_SCATTERED = 2  # times as many ids as rows: they do not lie together
_decode_keys = msgspec.json.Decoder(list[tuple[int, int]]).decode
_BEFORE_ALL_IDS = -(2**63)
FILE_ID = EventRow._fields.index("file_id")

ScanKey = tuple[int, int]  # timestamp, id


class Spread(NamedTuple):
    """How many rows lie between two ids."""

    rows: int
    first: int
    last: int

    @property
    def is_scattered(self) -> bool:
        """Whether most rows in between are others."""
        return self.last - self.first > _SCATTERED * self.rows


class EventScan:
    """One selection over the events stored up to `last_id` (default: now).

    Args:
        connection: a reader's connection to the store, in autocommit mode.
        selection: what to find.
        last_id: leave out events with a larger id.
        observed: leave out events that were not read from their log in this span, [since, until) in Unix ns.
        path: of the store, which several connections read at once where that pays; None: this one alone.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        selection: Selection,
        last_id: int | None = None,
        observed: Span | None = None,
        path: Path | None = None,
    ) -> None:
        self.connection = connection
        self.path = path
        self.selection = selection
        self.last_id = newest_id(connection) if last_id is None else last_id
        self.files = Files(connection)  # after last_id: the files of all these events are in it
        self.categories = Categories(connection)
        self.plan = make_plan(selection, self.files)
        if observed is not None:
            self.plan = _observed_in(self.plan, observed)
        self.since, self.until = bounds(selection)

    def by_time(self, *, descending: bool = False, wanted: int | None = None) -> Generator[StoredEvent]:
        """Matching events ordered by (timestamp, id). `wanted` is how many the caller will take, so that the first
        page need not be longer.
        """
        if self.plan.empty or wanted == 0:
            return
        key: ScanKey | None = None
        slice_rows, rare = SLICE_ROWS, False
        while True:
            end = self.slice_end(key, slice_rows, descending=descending) if self.plan.selective else None
            ids = self._candidates(key, end, descending=descending) if rare else None
            found = 0
            if ids is None:
                for rows in self._pages(key, end, wanted, descending=descending):
                    found += len(rows)
                    yield from self._matching(rows)
            else:
                found = len(ids)
                yield from self._load(ids)
            if end is None:
                return
            key, wanted, rare = end, None, found < _RARE * slice_rows
            slice_rows = _LONG_SLICE_ROWS if rare else SLICE_ROWS

    def _pages(
        self, key: ScanKey | None, end: ScanKey | None, wanted: int | None, *, descending: bool
    ) -> Iterator[list[Any]]:
        """The candidates after `key` up to `end`, by time."""
        page_rows = min(wanted or PAGE_ROWS, PAGE_ROWS)
        while True:
            rows = self._page(key, end, page_rows, descending=descending)
            yield rows
            if len(rows) < page_rows:
                return
            last = event_row(rows[-1])
            key = (last.timestamp, last.id)
            page_rows = PAGE_ROWS

    def _candidates(self, key: ScanKey | None, end: ScanKey | None, *, descending: bool) -> list[int] | None:
        """The ids of candidates after `key` up to `end`, by time; None where they do not lie together in the table, so
        that it would take longer to read it in the order of storage, which several threads can do.
        """
        from agent.query.sqlite.blocks import Statement, read_blocks  # noqa: PLC0415 - most end before
        from agent.query.sqlite.learned import promising_spans  # noqa: PLC0415
        from agent.query.sqlite.skipping import block_filter  # noqa: PLC0415

        spread = self.spread(key, end, descending=descending)
        if not spread.rows or spread.is_scattered:
            return None
        # No other bound of the id beside that of a block: SQLite would read up to that one and filter by this.
        where, parameters = self._between(key, end, descending=descending)
        sql = (
            "SELECT CAST('[' || group_concat('[' || e.timestamp || ',' || e.id || ']') || ']' AS BLOB)"
            f" FROM events e NOT INDEXED WHERE {where}{self.plan.sql} AND e.id >= ? AND e.id <= ?"
        )
        chosen = block_filter(self.selection.query.analysis, self.files)
        statement = Statement(sql, (*parameters, *self.plan.parameters), chosen)
        keys: list[ScanKey] = []
        spans = promising_spans(self, spread.first, spread.last)
        with closing(read_blocks(self.connection, self.path, statement, spans)) as blocks:
            for block in blocks:
                if block.row is None:
                    return None
                if block.row and block.row[0] is not None:
                    keys += _decode_keys(block.row[0])
        keys.sort(reverse=descending)
        return [number for _, number in keys]

    def _load(self, ids: list[int]) -> Iterator[StoredEvent]:
        """Those of the events with these ids that match, in their order."""
        for start in range(0, len(ids), PAGE_ROWS):
            yield from filter(self.matches, load_events(self.connection, ids[start : start + PAGE_ROWS], self.files))

    def keys(self) -> Generator[EventKey]:
        """Instant, id and group of matching events, ordered by (timestamp, id). Where SQLite finds them by itself: 1 µs
        for each, instead of 10 for an event.
        """
        if self.plan.residual:
            yield from (EventKey(event.timestamp, event.id, event.group) for event in self.by_time())
            return
        place: ScanKey | None = None
        while not self.plan.empty:
            where, parameters = self.span(place)
            rows = self.connection.execute(
                f"SELECT e.timestamp, e.id, e.group_id FROM events e INDEXED BY {self.plan.index}"
                f" WHERE {where}{self.plan.sql} ORDER BY e.timestamp, e.id LIMIT {SLICE_ROWS}",
                (*parameters, *self.plan.parameters),
            ).fetchall()
            yield from map(EventKey._make, rows)
            if len(rows) < SLICE_ROWS:
                return
            place = rows[-1][:2]

    def by_storage(self, after_id: int) -> Iterator[StoredEvent]:
        """Matching events with an id above `after_id`, in the order of storage."""
        low = max(after_id, self.first_id() - 1)
        while low < self.last_id and not self.plan.empty:
            high = min(low + SLICE_ROWS, self.last_id)
            rows = self._rows(
                "NOT INDEXED WHERE e.id > ? AND e.id <= ? AND e.timestamp >= ? AND e.timestamp < ?"
                f"{self.plan.sql} ORDER BY e.id LIMIT ?",
                (low, high, self.since, self.until, *self.plan.parameters, PAGE_ROWS),
            )
            yield from self._matching(rows)
            low = event_row(rows[-1]).id if len(rows) == PAGE_ROWS else high

    def matches(self, event: StoredEvent) -> bool:
        """Whether an event that the plan let through is one of the answer."""
        return not self.plan.residual or self.selection.query.matches(event, self.categories)

    def span(
        self, key: ScanKey | None, end: ScanKey | None = None, *, descending: bool = False
    ) -> tuple[str, tuple[int, ...]]:
        """The clause, with its parameters, for what comes after `key` up to and with `end`, in time and `last_id`.

        One pair of row values and no more: SQLite seeks both columns of the index with them. Beside a plain bound on
        the timestamp it would seek with that and filter the rest, so that each page read all pages before it again.
        """
        sql, parameters = self._between(key, end, descending=descending)
        return f"{sql} AND e.id <= ?", (*parameters, self.last_id)

    def _between(self, key: ScanKey | None, end: ScanKey | None, *, descending: bool) -> tuple[str, tuple[int, ...]]:
        """`span` without `last_id`. A bound that all events keep is left out: it would be compared with each."""
        first = None if self.selection.since is None else (self.since, _BEFORE_ALL_IDS)
        last = None if self.selection.until is None else (self.until, _BEFORE_ALL_IDS)
        if descending:
            low, high, below, above = end or first, key or last, ">=", "<"
        else:
            low, high, below, above = key or first, end or last, ">", "<=" if end else "<"
        bounds = [(below, low), (above, high)]
        sql = " AND ".join(f"(e.timestamp, e.id) {operator} (?, ?)" for operator, bound in bounds if bound is not None)
        return sql or "1", tuple(value for _, bound in bounds if bound is not None for value in bound)

    def spread(self, key: ScanKey | None = None, end: ScanKey | None = None, *, descending: bool = False) -> Spread:
        """How what comes after `key` up to and with `end` lies in the table. Reads the index of the plan alone."""
        where, parameters = self.span(key, end, descending=descending)
        found = self.connection.execute(
            f"SELECT count(*), min(e.id), max(e.id) FROM events e INDEXED BY {self.plan.index}"
            f" WHERE {where}{self._errors()}",
            parameters,
        ).fetchone()
        return Spread(found[0], found[1] or 0, found[2] or 0)

    def first_id(self) -> int:
        """The id of the event that was stored first of those that are there."""
        return int(self.connection.execute("SELECT coalesce(min(id), 1) FROM events").fetchone()[0])

    def _matching(self, rows: list[Any]) -> Iterator[StoredEvent]:
        files = self.files
        for row in rows:
            event = StoredEvent(row, files[row[FILE_ID]])
            if self.matches(event):
                yield event

    def slice_end(self, key: ScanKey | None, rows: int, *, descending: bool = False) -> ScanKey | None:
        """The key `rows` further in the index, None where fewer are left. Reads the index alone."""
        sql, parameters = self.span(key, descending=descending)
        order = "DESC" if descending else "ASC"
        found = self.connection.execute(
            f"SELECT e.timestamp, e.id FROM events e INDEXED BY {self.plan.index} WHERE {sql}{self._errors()}"
            f" ORDER BY e.timestamp {order}, e.id {order} LIMIT 1 OFFSET {rows - 1}",
            parameters,
        ).fetchone()
        return None if found is None else (found[0], found[1])

    def _errors(self) -> str:
        return " AND e.severity_number >= 17" if self.plan.index == "errors_by_time" else ""

    def _page(self, key: ScanKey | None, end: ScanKey | None, rows: int, *, descending: bool) -> list[Any]:
        sql, parameters = self.span(key, end, descending=descending)
        order = "DESC" if descending else "ASC"
        return self._rows(
            f"INDEXED BY {self.plan.index} WHERE {sql}{self.plan.sql}"
            f" ORDER BY e.timestamp {order}, e.id {order} LIMIT ?",
            (*parameters, *self.plan.parameters, rows),
        )

    def _rows(self, rest: str, parameters: tuple[Any, ...]) -> list[Any]:
        """Tuples in the order of EventRow: to give each its names took 2 % of a search of everything."""
        return self.connection.execute(f"SELECT {EVENT_COLUMNS} FROM events e {rest}", parameters).fetchall()


def _observed_in(plan: SqlPlan, span: Span) -> SqlPlan:
    """A plan with one more clause."""
    sql = f"{plan.sql} AND e.observed_timestamp >= ? AND e.observed_timestamp < ?"
    return replace(plan, sql=sql, parameters=(*plan.parameters, *bounded(*span)), selective=True)
