"""The agents of a fleet, as `status --engine` shows them, and what of this machine is not there yet."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from agent.core.errors import SidelogError
from agent.query import ask_agents
from agent.store.reader import open_reader
from agent.views import iso
from agent.views.forward import waiting_events

if TYPE_CHECKING:
    from agent.clickhouse.address import ClickHouseAddress
    from agent.config import Config

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


def not_forwarded(config: Config, fleet: ClickHouseAddress) -> dict[str, int]:
    """How many events of this machine's store a fleet's engine has not got yet, by the targets that lead there. Empty
    where there is no store, or no such target.
    """
    servers = set(fleet.urls)
    names = {
        target.name
        for target in config.forward
        if target.database == fleet.database and servers & {url.rstrip("/") for url in target.clickhouse or ()}
    }
    if not names or not config.store.path.exists():
        return {}
    try:
        with closing(open_reader(config.store.path)) as connection:
            waiting = waiting_events(connection)
    except SidelogError:  # nothing is known of it, and the answer is that of the engine
        return {}
    return {name: events for name, events in waiting.items() if name in names and events}
