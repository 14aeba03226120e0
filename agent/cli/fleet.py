"""`sidelog alerts run`: rules over all agents of a ClickHouse, as a process; and the silences of these rules."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from typing import TYPE_CHECKING, Any

from agent.core.errors import EXIT_DONE, ConfigError, UsageError
from agent.core.times import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.alert.fleetrun import FleetAlertService
    from agent.alert.fleettable import AlertRow, FleetAlertTable
    from agent.cli.common import Context
    from agent.config import Config

_NS = 1_000_000_000
_SHORTEST_S = 3.0  # of a lease: the server's clock has whole seconds

_SHORTEST_INTERVAL_S = 0.1


def run_alerts(context: Context, engine: str | None, *, name: str, interval: str, lease: str) -> int:
    """Run until SIGTERM or SIGINT.

    Raises:
        SidelogError: the configuration is wrong, or the ClickHouse has no tables of sidelog.
    """
    from agent.alert.check import unusable
    from agent.alert.fleet import FleetSettings
    from agent.clickhouse import schema
    from agent.clickhouse.client import ClickHouseClient
    from agent.clickhouse.targets import address_of
    from agent.config import InvalidConfigError
    from agent.core import logs
    from agent.query import open_engine

    config = context.config()
    if not config.alerts:
        raise ConfigError.of("SL714", context.find_config() or "the configuration")
    if faults := unusable(config, context.find_config()):
        raise InvalidConfigError(faults)
    address = address_of(config, engine)
    interval_s, lease_s = parse_duration(interval) / _NS, parse_duration(lease) / _NS
    if lease_s < _SHORTEST_S:
        raise UsageError.of("SL714.lease", lease)
    if interval_s < _SHORTEST_INTERVAL_S:
        raise UsageError.of("SL714.interval", interval)
    with contextlib.closing(ClickHouseClient(address)) as client:
        schema.check(client)
    logs.configure(context.verbosity)
    settings = FleetSettings(name, engine or "", interval_s)

    async def serve() -> None:
        from agent.alert.fleetrun import FleetAlertService
        from agent.daemon import ServiceManager

        manager = ServiceManager()
        service = FleetAlertService(
            config,
            address,
            lambda: open_engine(config.store.path, config.archive_directory, fleet=address),
            settings,
            lease_s=lease_s,
            said=manager.status,
            alive=manager.alive,
        )
        manager.ready("starting")
        await _until_told(service)
        manager.stopping()

    asyncio.run(serve())
    return EXIT_DONE


async def _until_told(service: FleetAlertService) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await service.run(stop)


def silence(
    config: Config, engine: str, name: str, rule: str, *, now: int, duration: str, author: str, comment: str
) -> int:
    """As `agent.alert.operations.silence`, for those who judge the rules of a fleet; within their interval.

    Raises:
        UsageError: SL710 they have no such rule; SL515 the duration is none.
        ClickHouseError: it cannot be asked.
    """
    from agent.core.times import instant_after, parse_length

    until = instant_after(now, parse_length(duration))
    facts = {"until": until, "created": now, "author": author, "comment": comment.strip()}
    with _table(config, engine, name) as table:
        _refuse_unknown(table, config, rule)
        table.save([_silence(rule, facts)], now)
    return until


def unsilence(config: Config, engine: str, name: str, rule: str) -> bool:
    """As `agent.alert.operations.unsilence`, for those who judge the rules of a fleet.

    Raises:
        UsageError: SL710, they have no such rule.
        ClickHouseError: it cannot be asked.
    """
    now = time.time_ns()
    with _table(config, engine, name) as table:
        held = table.load("silence")["silence"].get(rule)
        if held is None:
            _refuse_unknown(table, config, rule)
            return False
        table.save([_silence(rule, None)], now)
    return bool(held["until"] > now)


def _silence(rule: str, facts: dict[str, Any] | None) -> AlertRow:
    from agent.alert.fleettable import AlertRow

    return AlertRow("silence", rule, "" if facts is None else json.dumps(facts))


@contextlib.contextmanager
def _table(config: Config, engine: str, name: str) -> Iterator[FleetAlertTable]:
    from agent.alert.fleettable import FleetAlertTable
    from agent.clickhouse import schema
    from agent.clickhouse.client import ClickHouseClient
    from agent.clickhouse.targets import address_of

    with contextlib.closing(ClickHouseClient(address_of(config, engine))) as client:
        schema.check(client)
        yield FleetAlertTable(client, name)


def _refuse_unknown(table: FleetAlertTable, config: Config, rule: str) -> None:
    known = sorted({*table.load("rule")["rule"], *(one.name for one in config.alerts)})
    if not known:
        raise UsageError.of("SL710.none", rule)
    if rule not in known:
        raise UsageError.of("SL710", rule, known=", ".join(known))
