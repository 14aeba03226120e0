"""Several engines as one: events merged in the order of time, counts added up."""

from __future__ import annotations

import heapq
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from agent.core.groups import GroupHistory
from agent.query.aggregate import sampled_fields
from agent.query.engine import SAMPLED_EVENTS, newest_events, only_events

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from agent.core.errors import SidelogError
    from agent.core.groups import ErrorGroup, GroupFilter, GroupTraits
    from agent.core.stored import StoredEvent
    from agent.query.engine import Counts, Engine, EventKey, FieldSummary, LogName, Position, Span
    from agent.query.language import Grouping, Selection


class UnionEngine:
    """Engines that have no event in common and know the same error groups; of one instant the first engine's come
    first. Without any engine there is nothing to find.

    Args:
        engines: closed with this one. Which events each of them answers for is settled in their order.
    """

    def __init__(self, engines: Sequence[Engine] = ()) -> None:
        self._engines = tuple(engines)

    @property
    def errors(self) -> list[SidelogError]:
        """As `Engine.errors`."""
        return [error for engine in self._engines for error in engine.errors]

    @property
    def categories(self) -> Mapping[int, GroupTraits]:
        """As `Engine.categories`, of the one that can be followed, where they change: all know the same groups."""
        engine = self._followed or next(iter(self._engines), None)
        return {} if engine is None else engine.categories

    @property
    def can_follow(self) -> bool:
        """Whether one of the engines can be followed."""
        return self._followed is not None

    @property
    def store_id(self) -> str | None:
        """As `Engine.store_id`, of the one that can be followed."""
        return None if self._followed is None else self._followed.store_id

    @property
    def _followed(self) -> Engine | None:
        return next((engine for engine in self._engines if engine.can_follow), None)

    def logs(self) -> set[LogName]:
        """As `Engine.logs`."""
        return {log for engine in self._engines for log in engine.logs()}

    def events(
        self,
        selection: Selection,
        lines: int | None = None,
        *,
        newest_first: bool = False,
        upto: Position | None = None,
        observed: Span | None = None,
    ) -> Generator[StoredEvent]:
        """As `Engine.events`."""
        upto = self.position() if upto is None else upto

        def by_time(asked: Selection, descending: bool, wanted: int | None) -> Generator[StoredEvent]:  # noqa: FBT001
            return only_events(self.steps(asked, wanted, descending=descending, upto=upto, observed=observed))

        return newest_events(by_time, selection, lines, newest_first=newest_first)

    def event(self, number: int, agent: str | None = None) -> StoredEvent | None:
        """As `Engine.event`."""
        found = (engine.event(number, agent) for engine in self._engines)
        return next((event for event in found if event is not None), None)

    def steps(
        self,
        selection: Selection,
        wanted: int | None = None,
        *,
        descending: bool = False,
        upto: Position | None = None,
        observed: Span | None = None,
    ) -> Generator[StoredEvent | int]:
        """As `Engine.steps`. An engine searches on only when all that the others have found before is taken."""
        upto = self.position() if upto is None else upto
        engines = reversed(self._engines) if descending else self._engines
        return _merged(
            [
                engine.steps(selection, wanted, descending=descending, upto=upto, observed=observed)
                for engine in engines
            ],
            descending=descending,
        )

    def keys(self, selection: Selection) -> Iterator[EventKey]:
        """As `Engine.keys`."""
        return heapq.merge(*(engine.keys(selection) for engine in self._engines), key=lambda key: key.timestamp)

    def counts(self, selection: Selection, grouping: Grouping) -> Iterator[Counts]:
        """As `Engine.counts`. No engine goes on counting before all have settled what they count: meanwhile events
        may leave one for another.
        """
        parts = [engine.counts(selection, grouping) for engine in self._engines]
        for first in [next(part, None) for part in parts]:
            if first is not None:
                yield first
        for part in parts:
            yield from part

    def fields(self, selection: Selection, *, sample: int = SAMPLED_EVENTS, values: int = 10) -> list[FieldSummary]:
        """As `Engine.fields`."""
        return sampled_fields(self.events(selection, sample, newest_first=True), self.categories, values)

    def groups(
        self,
        wanted: GroupFilter,
        now: int,
        *,
        sort: str = "last-seen",
        reverse: bool = False,
        limit: int | None = None,
        trends: bool = True,
    ) -> list[ErrorGroup]:
        """As `Engine.groups`: those of the first engine that keeps any."""
        for engine in self._engines:
            if found := engine.groups(wanted, now, sort=sort, reverse=reverse, limit=limit, trends=trends):
                return found
        return []

    def group_history(self, group: int, instants: Sequence[int]) -> GroupHistory:
        """As `Engine.group_history`, of the same engine."""
        found = GroupHistory([0] * max(0, len(instants) - 1))
        for engine in self._engines:
            found = engine.group_history(group, instants)
            if found.services or any(found.counts):
                break
        return found

    def group_events(
        self, group: int, start: int | None = None, *, newest_first: bool = False
    ) -> Generator[StoredEvent]:
        """As `Engine.group_events`."""
        engines = reversed(self._engines) if newest_first else self._engines
        found = [engine.group_events(group, start, newest_first=newest_first) for engine in engines]
        return only_events(_merged(found, descending=newest_first))

    def near(self, event: StoredEvent, span: Span) -> Span:
        """As `Engine.near`: what is near for all of the engines."""
        for engine in self._engines:
            span = engine.near(event, span)
        return span

    def position(self) -> Position:
        """As `Engine.position`, of the engine that can be followed."""
        return 0 if self._followed is None else self._followed.position()

    def passed(self, position: Position, event: StoredEvent) -> Position:
        """As `Engine.passed`, of the same engine."""
        return position if self._followed is None else self._followed.passed(position, event)

    def has_passed(self, position: Position, event: StoredEvent) -> bool:
        """As `Engine.has_passed`, of the same engine."""
        return self._followed is not None and self._followed.has_passed(position, event)

    def follow(self, selection: Selection, after: Position, *, wait: bool = True) -> Iterator[StoredEvent | Position]:
        """As `Engine.follow`, of the engine that can be followed."""
        if self._followed is not None:
            yield from self._followed.follow(selection, after, wait=wait)

    def close(self) -> None:
        """Close all engines."""
        for engine in self._engines:
            engine.close()


def _instant(step: StoredEvent | int) -> int:
    return step if isinstance(step, int) else step.timestamp


def _merged(
    parts: Sequence[Generator[StoredEvent] | Generator[StoredEvent | int]], *, descending: bool
) -> Generator[StoredEvent | int]:
    """Steps by instant; of one instant in the order of the parts. What searches behind the parts ends with this."""
    with ExitStack() as stack:
        for part in parts:
            stack.enter_context(closing(part))
        yield from heapq.merge(*parts, key=_instant, reverse=descending)
