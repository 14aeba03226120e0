"""The store and the archives as one: events merged in the order of time, counts added up."""

from __future__ import annotations

import heapq
import time
from itertools import islice
from typing import TYPE_CHECKING

from msgspec.structs import replace

from agent.query.aggregate import stored_counts
from agent.query.archives.engine import Cold
from agent.query.events import time_order
from agent.query.sqlite.scan import HELD_EVENTS, Scan

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Iterator

    from agent.archive.errors import ArchiveError
    from agent.query.aggregate import Counts
    from agent.query.events import StoredEvent
    from agent.query.language import Grouping
    from agent.query.selection import Selection


class Merged:
    """One selection over both tiers, or over the archives alone.

    Args:
        connection: a reader's.
        selection: what is asked for.
        scan: of the store, where that is asked for too.
        cold: the archives, where they answer others as well.
    """

    def __init__(
        self, connection: sqlite3.Connection, selection: Selection, scan: Scan | None, cold: Cold | None = None
    ) -> None:
        self._connection = connection
        self._selection = selection
        self._scan = scan
        self._cold = cold or Cold(connection, with_hot=scan is not None)

    @property
    def errors(self) -> list[ArchiveError]:
        """What was wrong with archives that were opened, each once."""
        return self._cold.errors

    def events(self, lines: int | None, *, newest_first: bool) -> Iterator[StoredEvent]:
        """The newest `lines` events (None: all), oldest first or newest first."""
        if newest_first:
            yield from islice(self._merge(self._selection, descending=True, wanted=lines), lines)
        elif lines is None:
            yield from self._merge(self._selection)
        elif lines <= HELD_EVENTS:
            yield from reversed(list(islice(self._merge(self._selection, descending=True, wanted=lines), lines)))
        else:
            yield from self._newest(lines)

    def counts(self, grouping: Grouping) -> Counts:
        """How many events match, by fields and time buckets."""
        plan = self._cold.plan(self._selection)
        # The store's first: it takes less time, in which retention may delete what the plan leaves to it.
        counts = (
            stored_counts(self._connection, self._selection, grouping, time.time_ns())
            if self._scan is not None
            else None
        )
        archived = self._cold.counts(self._selection, grouping, plan)
        if counts is not None:
            archived.update(counts)
        return archived

    def _newest(self, lines: int) -> Iterator[StoredEvent]:
        """More than are held in memory: found twice, the second time in the order that they are printed in."""
        first: tuple[int, bool, int] | None = None
        for event in islice(self._merge(self._selection, descending=True, wanted=lines), lines):
            first = _order(event)
        if first is not None:
            for event in self._merge(replace(self._selection, since=first[0])):
                if _order(event) >= first:
                    yield event

    def _merge(
        self, selection: Selection, *, descending: bool = False, wanted: int | None = None
    ) -> Generator[StoredEvent]:
        cold = self._cold.events(selection, descending=descending, wanted=wanted)
        try:
            if self._scan is None:
                yield from cold
                return
            scan = self._scan if selection is self._selection else Scan(self._connection, selection, self._scan.last_id)
            hot = scan.by_time(descending=descending)
            yield from heapq.merge(hot, cold, key=_order, reverse=descending)
        finally:
            cold.close()


def _order(event: StoredEvent) -> tuple[int, bool, int]:
    return time_order(event.timestamp, event.id)
