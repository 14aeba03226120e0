"""Reading matching events in pages: by time in either direction, or in the order of storage.

Each page is one statement read to its end, so that no read transaction outlives a page and the writer's checkpoints
are never held up, however long a query or its reader takes. What is stored after the start (a larger id) is left out;
a page continues after the key (timestamp, id) of the one before, so that inserts in between shift nothing.
"""

# ruff: noqa: S608 - statements are built from this package's own words; every value is bound

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from agent.query.events import COLUMNS, Categories, Files, Row, StoredEvent
from agent.query.selection import Selection, bounds
from agent.query.sqlite.plan import SqlPlan, make_plan, newest_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

PAGE_ROWS = 2_000  # about 1 MB and 10 ms
SLICE_ROWS = 20_000  # rows that a page may look at before it ends, matching or not: at most some 50 ms
HELD_EVENTS = 5_000  # so many newest events are held to be turned round; more are found twice instead
_BEFORE_ALL_IDS = -(2**63)

Key = tuple[int, int]  # timestamp, id


class Scan:
    """One selection over the events stored up to `last_id` (default: now).

    Args:
        connection: a reader's connection to the store, in autocommit mode.
        selection: what to find.
        last_id: leave out events with a larger id.
    """

    def __init__(self, connection: sqlite3.Connection, selection: Selection, last_id: int | None = None) -> None:
        self.connection = connection
        self.selection = selection
        self.last_id = newest_id(connection) if last_id is None else last_id
        self.files = Files(connection)  # after last_id: the files of all these events are in it
        self.categories = Categories(connection)
        self.plan: SqlPlan = make_plan(selection, self.files)
        self.since, self.until = bounds(selection)

    def events(self, lines: int | None, *, newest_first: bool = False) -> Iterator[StoredEvent]:
        """The newest `lines` events (None: all), oldest first or newest first."""
        if newest_first:
            yield from islice(self.by_time(descending=True, wanted=lines), lines)
        elif lines is None:
            yield from self.by_time()
        elif lines <= HELD_EVENTS:
            yield from reversed(list(islice(self.by_time(descending=True, wanted=lines), lines)))
        else:
            first = None
            for event in islice(self.by_time(descending=True), lines):
                first = (event.timestamp, event.id)
            if first is not None:
                yield from self.by_time(start=(first[0], first[1] - 1))

    def by_time(
        self, *, descending: bool = False, start: Key | None = None, wanted: int | None = None
    ) -> Iterator[StoredEvent]:
        """Matching events ordered by (timestamp, id), those after the key `start` in that direction.

        `wanted` is how many the caller will take, so that the first page need not be longer.
        """
        if self.plan.empty or wanted == 0:
            return
        page_rows, key = min(wanted or PAGE_ROWS, PAGE_ROWS), start
        while True:
            end = self.slice_end(key, SLICE_ROWS, descending=descending) if self.plan.selective else None
            rows = self._page(key, end, page_rows, descending=descending)
            yield from self._matching(rows)
            if len(rows) == page_rows:
                key = (rows[-1][1], rows[-1][0])
            elif end is None:
                return
            else:
                key = end
            page_rows = PAGE_ROWS

    def by_storage(self, after_id: int) -> Iterator[StoredEvent]:
        """Matching events with an id above `after_id`, in the order of storage."""
        low = max(after_id, self._first_id() - 1)
        while low < self.last_id and not self.plan.empty:
            high = min(low + SLICE_ROWS, self.last_id)
            rows = self.connection.execute(
                f"SELECT {COLUMNS} FROM events e NOT INDEXED"
                " WHERE e.id > ? AND e.id <= ? AND e.timestamp >= ? AND e.timestamp < ?"
                f"{self.plan.sql} ORDER BY e.id LIMIT ?",
                (low, high, self.since, self.until, *self.plan.parameters, PAGE_ROWS),
            ).fetchall()
            yield from self._matching(rows)
            low = rows[-1][0] if len(rows) == PAGE_ROWS else high

    def matches(self, event: StoredEvent) -> bool:
        """Whether an event that the plan let through is one of the answer."""
        return not self.plan.residual or self.selection.query.matches(event, self.categories)

    def span(self, key: Key | None, end: Key | None = None, *, descending: bool = False) -> tuple[str, tuple[int, ...]]:
        """The clause, with its parameters, for what comes after `key` up to and with `end`, in time and `last_id`.

        One pair of row values and no more: SQLite seeks both columns of the index with them. Beside a plain bound on
        the timestamp it would seek with that and filter the rest, so that each page read all pages before it again.
        """
        first, last = (self.since, _BEFORE_ALL_IDS), (self.until, _BEFORE_ALL_IDS)
        if descending:
            low, high, below, above = end or first, key or last, ">=", "<"
        else:
            low, high, below, above = key or first, end or last, ">", "<=" if end else "<"
        sql = f"(e.timestamp, e.id) {below} (?, ?) AND (e.timestamp, e.id) {above} (?, ?) AND e.id <= ?"
        return sql, (*low, *high, self.last_id)

    def _first_id(self) -> int:
        return int(self.connection.execute("SELECT coalesce(min(id), 1) FROM events").fetchone()[0])

    def _matching(self, rows: list[Row]) -> Iterator[StoredEvent]:
        for row in rows:
            event = StoredEvent(row, self.files[row[4]])
            if self.matches(event):
                yield event

    def slice_end(self, key: Key | None, rows: int, *, descending: bool = False) -> Key | None:
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

    def _page(self, key: Key | None, end: Key | None, rows: int, *, descending: bool) -> list[Row]:
        sql, parameters = self.span(key, end, descending=descending)
        order = "DESC" if descending else "ASC"
        return self.connection.execute(
            f"SELECT {COLUMNS} FROM events e INDEXED BY {self.plan.index} WHERE {sql}{self.plan.sql}"
            f" ORDER BY e.timestamp {order}, e.id {order} LIMIT ?",
            (*parameters, *self.plan.parameters, rows),
        ).fetchall()
