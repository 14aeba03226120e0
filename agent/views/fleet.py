"""The document of `status --engine`: the agents of a fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.query import ask_agents
from agent.views import iso

if TYPE_CHECKING:
    from agent.clickhouse.address import ClickHouseAddress

_NS = 10**9


def fleet_document(fleet: ClickHouseAddress, now: int) -> dict[str, Any]:
    """What a fleet's engine says of its agents.

    Args:
        fleet: whom to ask.
        now: Unix ns.

    Raises:
        ClickHouseError: it cannot be asked.
    """
    version, agents = ask_agents(fleet)
    rows = [
        {
            "agent": one.agent,
            "host": one.host or None,
            "version": one.version or None,
            "started": iso(one.started or None),
            "seen": iso(one.seen or None),
            "last_event": iso(one.last_event),
            "forwarded": one.forwarded,
            "lag_events": one.pending,
            "lag_seconds": round(max(0, now - one.seen) / _NS, 3) if one.pending and one.seen else 0,
        }
        for one in agents
    ]
    return {"engine": fleet.shown, "version": ".".join(map(str, version)), "agents": rows}
