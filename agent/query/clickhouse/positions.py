"""Places in the order of storage of a fleet: of each agent how far its events were followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agent.clickhouse.client import literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.query.engine import Position

_HEAD = "fleet:"


class FleetPosition(msgspec.Struct, frozen=True):
    """Of each agent the number of its last event before the place. Of an agent that it does not name, none is."""

    agents: dict[str, int]

    def __str__(self) -> str:
        return _HEAD + ",".join(f"{agent}={seq}" for agent, seq in sorted(self.agents.items()))

    @classmethod
    def read(cls, position: Position) -> FleetPosition:
        """That of a text; what is none of a fleet is before everything."""
        found: dict[str, int] = {}
        if isinstance(position, str) and position.startswith(_HEAD):
            for part in position.removeprefix(_HEAD).split(","):
                agent, equals, seq = part.rpartition("=")
                if equals and seq.isascii() and seq.isdigit():
                    found[agent] = int(seq[:18])
        return cls(found)

    def after(self, agent: str, seq: int) -> FleetPosition:
        """The place behind an event as well."""
        return FleetPosition({**self.agents, agent: max(seq, self.agents.get(agent, 0))})

    def joined(self, other: Mapping[str, int]) -> FleetPosition:
        """The later one of each agent."""
        return FleetPosition({**self.agents, **{a: max(seq, self.agents.get(a, seq)) for a, seq in other.items()}})

    @property
    def before_sql(self) -> str:
        """What is true of events before the place."""
        return self._each("<=") or "0"

    @property
    def behind_sql(self) -> str:
        """What is true of events behind it. What has a negative number was never followed: it comes of archives."""
        if not self.agents:
            return "seq > 0"
        known = ", ".join(map(literal, self.agents))
        return f"({self._each('>')} OR (agent NOT IN ({known}) AND seq > 0))"

    def _each(self, operator: str) -> str:
        parts = [f"(agent = {literal(agent)} AND seq {operator} {seq})" for agent, seq in self.agents.items()]
        return f"({' OR '.join(parts)})" if parts else ""
