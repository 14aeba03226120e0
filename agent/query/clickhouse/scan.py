"""Reading matching events of a fleet in pages: by time in either direction, or in the order of storage.

Events lie in the order of agent and number. Those of a span of time are found quickly all the same, for an index has
the first and last instant of each few thousand; so what is newest is looked for in spans that grow, and the search ends
as soon as enough is found. A page is found by its keys, and only its own rows are read whole.
"""

# ruff: noqa: S608 - statements are built from this package's own words; every value is a literal of `sql`

from __future__ import annotations

import heapq
from itertools import groupby
from typing import TYPE_CHECKING

from agent.clickhouse.client import literal
from agent.query.clickhouse.plan import make_plan
from agent.query.clickhouse.spans import SpanWalk
from agent.query.clickhouse.table import in_time
from agent.query.engine import EventKey
from agent.query.language import bounds

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from agent.core.stored import StoredEvent
    from agent.query.clickhouse.positions import FleetPosition
    from agent.query.clickhouse.table import FleetTable
    from agent.query.engine import Span
    from agent.query.language import Selection

_FIRST_ROWS = 200  # of the first page where it is not known how many are wanted
_PAGE_ROWS = 10_000  # about 5 MB
_KEYS_ROWS = 200_000
_GROWTH, _GROWTH_OF_SEARCH = 8, 64

ScanKey = tuple[int, str, int]  # timestamp, agent, number


class FleetScan:
    """One selection over the events of a fleet.

    Args:
        table: of the events.
        selection: what to find.
        upto: leave out what was stored behind it; None: nothing.
        observed: leave out events that were not read from their log in this span, [since, until) in Unix ns.
    """

    def __init__(
        self,
        table: FleetTable,
        selection: Selection,
        upto: FleetPosition | None = None,
        observed: Span | None = None,
    ) -> None:
        self._table = table
        self._selection = selection
        self.plan = make_plan(selection.query.analysis, table)
        self.span = bounds(selection)
        self._where = "gone = 0"
        if upto is not None:
            self._where += f" AND {upto.before_sql}"
        if observed is not None:
            self._where += f" AND observed_timestamp >= {observed[0]} AND observed_timestamp < {observed[1]}"

    @property
    def candidates(self) -> str:
        """What is true of each event that may match."""
        return f"{self._where} AND {in_time(*self.span)}{self.plan.sql}"

    def matches(self, event: StoredEvent) -> bool:
        """Whether an event that the plan let through is one of the answer."""
        return self.plan.exact or self._selection.query.matches(event, self._table.categories)

    def by_time(self, *, descending: bool = False, wanted: int | None = None) -> Generator[StoredEvent]:
        """Matching events ordered by (timestamp, agent, number). `wanted` is how many the caller will take."""
        if self.plan.empty or wanted == 0:
            return
        rows = _FIRST_ROWS if wanted is None else wanted if self.plan.exact else 2 * wanted
        rows = max(1, min(rows, _PAGE_ROWS))
        growth = _GROWTH_OF_SEARCH if self.plan.searches else _GROWTH
        walk = SpanWalk(self._table, self.span, growth, descending=descending)
        while walk.span is not None:
            found, key = 0, None
            while True:
                page = list(self._page(walk.span, key, rows, descending=descending))
                found += len(page)
                yield from filter(self.matches, page)
                if len(page) < rows:
                    break
                key = _key_of(page[-1])
                rows = min(4 * rows, _PAGE_ROWS)
            walk.advance(found, rows)

    def _page(self, span: Span, key: ScanKey | None, rows: int, *, descending: bool) -> Iterator[StoredEvent]:
        order, behind = ("DESC", "<") if descending else ("ASC", ">")
        by = f"ORDER BY timestamp {order}, agent {order}, seq {order} LIMIT {rows}"
        where = f"{self._where} AND {in_time(*span)}{self.plan.sql}{_beyond(key, behind)}"
        keys = f"SELECT agent, seq FROM {self._table.name} FINAL WHERE {where} {by}"
        return self._table.events(f"WHERE gone = 0 AND {in_time(*span)} AND (agent, seq) GLOBAL IN ({keys}) {by}")

    def keys(self) -> Generator[EventKey]:
        """Instant, number and group of matching events, the oldest first."""
        if not self.plan.exact:
            yield from (EventKey(event.timestamp, event.id, event.group) for event in self.by_time())
            return
        key: ScanKey | None = None
        while not self.plan.empty:
            sql = f"SELECT timestamp, agent, seq, `group` FROM {self._table.name} FINAL WHERE {self.candidates}"
            order = f"ORDER BY timestamp, agent, seq LIMIT {_KEYS_ROWS}"
            row = None
            count = 0
            for row in self._table.rows(f"{sql}{_beyond(key, '>')} {order}"):
                count += 1
                yield EventKey(row[0], row[2], row[3] or None)
            if row is None or count < _KEYS_ROWS:
                return
            key = row[0], row[1].decode(), row[2]

    def by_storage(self, after: FleetPosition, within: str = "") -> Iterator[StoredEvent]:
        """Matching events behind a place, of each agent in the order of storage, as far as a clause goes."""
        more = f" AND {within}" if within else ""
        while not self.plan.empty:
            by = f"ORDER BY agent, seq LIMIT {_PAGE_ROWS}"
            where = f"{self.candidates} AND {after.behind_sql}{more}"
            keys = f"SELECT agent, seq FROM {self._table.name} FINAL WHERE {where} {by}"
            page = list(self._table.events(f"WHERE gone = 0 AND (agent, seq) GLOBAL IN ({keys}) ORDER BY agent, seq"))
            for event in page:
                after = after.after(event.agent or "", event.id)
            of_agents = [list(events) for _, events in groupby(page, lambda event: event.agent)]
            yield from filter(self.matches, heapq.merge(*of_agents, key=lambda event: event.timestamp))
            if len(page) < _PAGE_ROWS:
                return


def _key_of(event: StoredEvent) -> ScanKey:
    return event.timestamp, event.agent or "", event.id


def _beyond(key: ScanKey | None, operator: str) -> str:
    """What is true of events beyond a key."""
    if key is None:
        return ""
    instant, agent, seq = key
    return f" AND (timestamp, agent, seq) {operator} ({instant}, {literal(agent)}, {seq})"
