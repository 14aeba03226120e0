"""Spans of time in which events of a fleet are looked for, one after the other: each as long as has proved right."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent.core.times import MINUTE_NS

if TYPE_CHECKING:
    from agent.query.clickhouse.table import FleetTable
    from agent.query.engine import Span

_FIRST_NS = 15 * MINUTE_NS
_SHORTEST_NS = 10**9
_LONGEST_NS = 1_000 * 24 * 60 * MINUTE_NS  # a longer one is all that is left
_FEW = 0.25  # of a page in one span: the next one is longer
_MANY = 40_000  # rows in one span: the next one is shorter


class SpanWalk:
    """A walk through a span, from its end or from its beginning. `span` is where to look now, None at the end.

    Args:
        table: says where there is something at all.
        bounds: of the walk.
        growth: by how much a span is longer than one in which little was found.
        descending: the newest first.
    """

    def __init__(self, table: FleetTable, bounds: Span, growth: int, *, descending: bool) -> None:
        self._table = table
        self._growth = growth
        self._descending = descending
        self._length = _FIRST_NS
        self._is_first = True
        since, until = bounds
        self.span: Span | None
        if descending:
            self._bound = since
            self.span = max(since, min(until, time.time_ns()) - _FIRST_NS), until
        else:
            extent = table.extent(bounds)
            first, last = extent or (0, 0)
            self._bound = last + 1
            self.span = None if extent is None else (first, min(first + _FIRST_NS, last + 1))

    def advance(self, found: int, rows: int) -> None:
        """Go on to the next span.

        Args:
            found: how many candidates the last one had.
            rows: of a page.
        """
        assert self.span is not None
        low, high = self.span
        if low <= self._bound if self._descending else high >= self._bound:
            self.span = None
            return
        if self._descending and self._is_first and not found:
            # Nothing is that new. What lies between is soon found to be nothing.
            recent = self._table.recent()
            if recent is not None and self._bound < recent - self._length < low:
                self._is_first = False
                self.span = recent - self._length, low
                return
            self._length *= self._growth
        elif found < _FEW * rows:
            self._length *= self._growth
        elif found > _MANY:
            self._length = max(self._length // self._growth, _SHORTEST_NS)
        self._is_first = False
        whole = self._length > _LONGEST_NS
        if self._descending:
            self.span = (self._bound if whole else max(self._bound, low - self._length)), low
        else:
            self.span = high, (self._bound if whole else min(self._bound, high + self._length))
