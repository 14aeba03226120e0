"""How far targets of `forward` are, as the store knows it: of `forward status`, and a part of `status`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.errors import SidelogError
from agent.store import forwarding
from agent.views import iso, programs
from agent.views.diagnostic import Diagnostic, ok

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from agent.config import ForwardConfig
    from agent.service.viewpoint import Viewpoint

FAILING_NS = 300 * 10**9  # a target that has failed for longer makes the agent unhealthy
_MOST_GAPS = 50  # the newest, of each target
_TARGET_S = 5.0  # for a server to answer `check`


def target_documents(connection: sqlite3.Connection, now: int | None = None) -> list[dict[str, Any]]:
    """One for each target of the configuration that the agent goes by.

    Args:
        connection: read-only.
        now: Unix ns.
    """
    now = time.time_ns() if now is None else now
    return [_document(connection, target, now) for target in forwarding.targets(connection)]


def waiting_events(connection: sqlite3.Connection) -> dict[str, int]:
    """Of each target how many events it has not got yet, also of those that the last agent's configuration had not."""
    found = forwarding.targets(connection, removed=True)
    return {target.name: forwarding.lag(connection, target.position)[0] for target in found}


def _document(connection: sqlite3.Connection, target: forwarding.Target, now: int) -> dict[str, Any]:
    lag, oldest = forwarding.lag(connection, target.position)
    error = target.last_error
    return {
        "name": target.name,
        "kind": target.kind,
        "promise": "exactly once" if target.kind == "clickhouse" else "at least once",
        "url": target.url,
        "match": target.match or None,
        "agent": target.agent or None,
        "position": target.position,
        "lag_events": lag,
        "lag_seconds": 0.0 if oldest is None else round(max(0, now - oldest) / 1e9, 3),
        "forwarded": target.forwarded,
        "rejected": target.rejected,
        "last_success": iso(target.last_success),
        "failing_since": iso(target.failing_since),
        "last_error": None if error is None else {**error, "time": iso(error.get("time"))},
        "circuit": target.circuit,
        "unhealthy": target.failing_since is not None and now - target.failing_since > FAILING_NS,
        "gaps": [gap_document(gap) for gap in forwarding.gaps(connection, target.name)[-_MOST_GAPS:]],
    }


def gap_document(gap: forwarding.ForwardGap) -> dict[str, Any]:
    """Events that a target never got, by their ids and times."""
    return {
        "first": gap.first,
        "last": gap.last,
        "events": gap.events,
        "first_timestamp": iso(gap.first_timestamp),
        "last_timestamp": iso(gap.last_timestamp),
        "reason": gap.reason,
        "detail": gap.detail or None,
        "time": iso(gap.time),
    }


def problem_of(document: dict[str, Any]) -> str | None:
    """Why a target makes the agent unhealthy; None: it does not."""
    if not document["unhealthy"]:
        return None
    error = document["last_error"] or {}
    since = document["failing_since"]
    return f"SL659: '{document['name']}' has failed since {since}: {error.get('message', 'nothing is known of it')}"


def target_diagnostics(target: ForwardConfig, place: str, view: Viewpoint) -> Iterator[Diagnostic]:
    """Whether a target of `forward` can be sent to now: address, password, tables, version; each server by itself."""
    for url in target.clickhouse or filter(None, (target.otlp,)):
        yield from programs.let_out(url, place, view, "SL147.target")
    if target.clickhouse is None:
        try:
            from agent.forward.otlp import check_library  # noqa: PLC0415 - only who exports

            check_library()
        except SidelogError as problem:
            yield Diagnostic("error", problem.code, place, problem.message, problem.hint)
        else:
            yield ok(place, f"{target.name} exports to {target.otlp}")
        return
    from agent.clickhouse import columns, native, schema  # noqa: PLC0415 - only who forwards
    from agent.clickhouse.address import ClickHouseAddress  # noqa: PLC0415
    from agent.clickhouse.client import ClickHouseClient  # noqa: PLC0415

    for url in target.clickhouse:
        try:
            address = msgspec.structs.replace(ClickHouseAddress.of(target), urls=(url.rstrip("/"),))
            client = ClickHouseClient(address, _TARGET_S)
            try:
                schema.check(client)
                client.insert("events", columns.names(columns.EVENTS), native.rows_block(columns.EVENTS, []))  # may it?
                version = ".".join(map(str, client.version))
            finally:
                client.close()
        except SidelogError as problem:
            yield Diagnostic("error", problem.code, place, problem.message, problem.hint)
        else:
            yield ok(
                place, f"{target.name} can be sent to: {url}, ClickHouse {version}, tables of version {schema.VERSION}"
            )
