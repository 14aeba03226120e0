"""The store and the archives as one: events merged in the order of time, counts added up."""

from __future__ import annotations

import heapq
import time
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from agent.archiving.coldplan import make_cold_plan
from agent.archiving.search import ColdSearch
from agent.query.aggregate import stored_counts
from agent.query.scan import HELD_EVENTS, Scan

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Iterator

    from agent.archive.errors import ArchiveError
    from agent.query.aggregate import Counts
    from agent.query.events import StoredEvent
    from agent.query.grouping import Grouping
    from agent.query.plan import Selection


class Merged:
    """One selection over both tiers, or over the archives alone.

    Args:
        connection: a reader's.
        selection: what is asked for.
        scan: of the store, where that is asked for too.
    """

    def __init__(self, connection: sqlite3.Connection, selection: Selection, scan: Scan | None) -> None:
        self._connection = connection
        self._selection = selection
        self._scan = scan
        self._errors: dict[str, ArchiveError] = {}

    @property
    def errors(self) -> list[ArchiveError]:
        """What was wrong with archives that were opened, each once."""
        return list(self._errors.values())

    def events(self, lines: int | None, *, newest_first: bool) -> Iterator[StoredEvent]:
        """The newest `lines` events (None: all), oldest first or newest first."""
        if newest_first:
            yield from islice(self._merge(self._selection, descending=True), lines)
        elif lines is None:
            yield from self._merge(self._selection)
        elif lines <= HELD_EVENTS:
            yield from reversed(list(islice(self._merge(self._selection, descending=True), lines)))
        else:
            yield from self._newest(lines)

    def counts(self, grouping: Grouping) -> Counts:
        """How many events match, by fields and time buckets."""
        search = self._search(self._selection)
        counts = search.counts(grouping)
        self._errors |= search.errors
        if self._scan is not None:
            counts.update(stored_counts(self._connection, self._selection, grouping, time.time_ns()))
        return counts

    def _newest(self, lines: int) -> Iterator[StoredEvent]:
        """More than are held in memory: found twice, the second time in the order that they are printed in."""
        first: tuple[int, ...] | None = None
        for event in islice(self._merge(self._selection, descending=True), lines):
            first = _order(event)
        if first is not None:
            for event in self._merge(replace(self._selection, since=first[0])):
                if _order(event) >= first:
                    yield event

    def _search(self, selection: Selection) -> ColdSearch:
        return ColdSearch(make_cold_plan(self._connection, selection, with_hot=self._scan is not None), selection)

    def _merge(self, selection: Selection, *, descending: bool = False) -> Generator[StoredEvent]:
        search = self._search(selection)
        cold = search.by_time(descending=descending)
        try:
            if self._scan is None:
                yield from cold
                return
            scan = self._scan if selection is self._selection else Scan(self._connection, selection, self._scan.last_id)
            hot = scan.by_time(descending=descending)
            yield from heapq.merge(hot, cold, key=_order, reverse=descending)
        finally:
            cold.close()
            self._errors |= search.errors


def _order(event: StoredEvent) -> tuple[int, ...]:
    """By instant; of one instant what is archived comes first, as it is older."""
    if event.id >= 0:
        return event.timestamp, 1, event.id, 0
    return event.timestamp, 0, -event.file.id, event.offset
