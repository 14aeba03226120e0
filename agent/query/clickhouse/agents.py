"""The agents of a fleet: what each has last said of itself, and its last event."""

# ruff: noqa: S608 - statements are built from this package's own words

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agent.clickhouse.native import read_text

if TYPE_CHECKING:
    from agent.query.clickhouse.table import FleetTable


class FleetAgent(msgspec.Struct, frozen=True):
    """One agent; instants are Unix ns."""

    agent: str
    host: str
    version: str
    started: int
    seen: int  # when it last sent anything
    forwarded: int  # the number of the last event up to which all are here
    pending: int  # events that it had still to send then
    last_event: int | None  # the instant of its newest event; None: there is none


def list_agents(table: FleetTable) -> list[FleetAgent]:
    """All agents, by host. One that has events but has said nothing of itself has no host."""
    newest = f"SELECT agent, max(timestamp) FROM {table.name} GROUP BY agent"
    last = {read_text(agent): instant for agent, instant in table.rows(newest)}
    name = table.client.address.table("agents")
    sql = f"SELECT agent, host, version, started, seen, forwarded, pending FROM {name} FINAL"
    found = []
    for agent, host, version, started, seen, forwarded, pending in table.rows(sql):
        known = read_text(agent)
        last_event = last.pop(known, None)
        numbers = started, seen, forwarded, pending, last_event
        found.append(FleetAgent(known, read_text(host), read_text(version), *numbers))
    found += [FleetAgent(agent, "", "", 0, 0, 0, 0, instant) for agent, instant in last.items()]
    return sorted(found, key=lambda one: (one.host, one.agent))
