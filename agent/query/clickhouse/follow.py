"""Following a fleet: what arrives is shown once, of each agent in the order of its store, however late it is seen.

An agent sends its events in order, but a server may show a later insert before an earlier one: two parts of a table, or
replicas. What is shown is remembered until the agent says that everything up to there has been acknowledged; until then
all of it is looked through again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.query.clickhouse.scan import FleetScan

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from agent.core.stored import StoredEvent
    from agent.query.clickhouse.positions import FleetPosition
    from agent.query.clickhouse.table import FleetTable
    from agent.query.language import Selection

_MOST_REMEMBERED = 100_000  # events; beyond, what is shown counts as all there is


class FleetFollower:
    """Yields what arrives after a place; after each look the place that has been reached.

    Args:
        table: of the events.
        selection: what to show.
        after: the place.
        forwarded: up to which number all events of an agent are there.
    """

    def __init__(
        self,
        table: FleetTable,
        selection: Selection,
        after: FleetPosition,
        forwarded: Callable[[], dict[str, int]],
    ) -> None:
        self._table = table
        self._selection = selection
        self._whole = after  # before it nothing comes any more
        self._shown = after
        self._seen: set[tuple[str | None, int]] = set()  # of what lies behind that
        self._forwarded = forwarded

    def __iter__(self) -> Generator[StoredEvent | str]:
        """Events, and after each look a position. Ends never by itself."""
        while True:
            whole = self._forwarded()  # before the look: all up to there is seen by it
            for event in FleetScan(self._table, self._selection).by_storage(self._whole):
                if event.key in self._seen:
                    continue
                self._seen.add(event.key)
                self._shown = self._shown.after(event.agent or "", event.id)
                yield event
            self._advance(whole)
            yield str(self._shown)

    def _advance(self, whole: dict[str, int]) -> None:
        if len(self._seen) > _MOST_REMEMBERED:
            whole = {**whole, **self._shown.agents}
        self._whole = self._whole.joined(whole)
        limits = self._whole.agents
        self._shown = self._shown.joined(limits)
        self._seen = {(agent, seq) for agent, seq in self._seen if seq > limits.get(agent or "", 0)}
