"""Questions about events: the language, and the engines that answer. Here is what opens those of a store."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from agent.clickhouse.address import ClickHouseAddress
    from agent.config import Config
    from agent.query.clickhouse.agents import FleetAgent
    from agent.query.engine import Engine


def fleet_of(config: Config, wanted: str | None, *, local: bool = False) -> ClickHouseAddress | None:
    """The ClickHouse that is asked in place of the store; None: the store.

    Args:
        config: the configuration, whose section `engine` holds where nothing else is wanted.
        wanted: an address, or the name of a target.
        local: the store was asked for.

    Raises:
        UsageError: SL657, there is no such target, or it is no address.
        ConfigError: SL110, its password cannot be had.
    """
    if wanted is None and (local or config.engine is None):
        return None
    from agent.clickhouse.targets import address_of  # noqa: PLC0415 - most ask a store

    return address_of(config, wanted)


def open_engine(
    path: Path,
    directory: Path,
    *,
    stored: bool = True,
    archived: bool = True,
    sleep: Callable[[float], None] = time.sleep,
    twin: bool = False,
    fleet: ClickHouseAddress | None = None,
) -> Engine:
    """The engine for the store at `path`, or for a fleet, to be closed by the caller. What searches archives is
    imported only where there are any: 30 ms.

    Args:
        path: of the store.
        directory: of its archives.
        stored: whether to ask the store.
        archived: whether to ask its archives.
        sleep: waits so many seconds between looks at what is followed.
        twin: whether another process may do a part of what takes long, for one who waits alone for the answer.
        fleet: the ClickHouse that is asked in place of the store.

    Raises:
        UsageError: SL664, a tier of a store was asked for, which a fleet has not.
        ClickHouseError: it cannot be asked, or has no tables.
        StoreError: the store is missing, damaged or newer than the program; nothing is created.
    """
    if fleet is not None:
        from agent.core.errors import UsageError  # noqa: PLC0415 - most ask a store
        from agent.query.clickhouse.engine import ClickHouseEngine  # noqa: PLC0415

        if not (stored and archived):
            raise UsageError.of("SL664.tier", fleet.shown)
        return ClickHouseEngine(fleet, sleep=sleep)
    from agent.query.sqlite.engine import SqliteEngine  # noqa: PLC0415 - for who imports the language alone
    from agent.store.reader import has_archives, open_reader  # noqa: PLC0415

    connection = open_reader(path)
    if not archived or not (has_archives(connection) or _holds_archives(directory)):
        if stored:
            return SqliteEngine(connection, path, sleep=sleep, twin=twin)
        connection.close()
        from agent.query.union import UnionEngine  # noqa: PLC0415

        return UnionEngine()
    from agent.query.archives.engine import ArchiveEngine  # noqa: PLC0415
    from agent.query.union import UnionEngine  # noqa: PLC0415

    archives = ArchiveEngine(connection, path, directory, beside_store=stored)
    return UnionEngine([archives, SqliteEngine(connection, path, sleep=sleep, twin=twin)]) if stored else archives


def _holds_archives(directory: Path) -> bool:
    """Whether there are archives which a store that has none ought to know."""
    if not directory.is_dir():
        return False
    from agent.archive.directory import holds_archives  # noqa: PLC0415 - 5 ms, where nothing is archived

    return holds_archives(directory)


def ask_agents(fleet: ClickHouseAddress) -> tuple[Sequence[int], Sequence[FleetAgent]]:
    """The version of a fleet's server, and what its agents have said of themselves.

    Raises:
        ClickHouseError: it cannot be asked.
    """
    from agent.query.clickhouse.engine import ClickHouseEngine  # noqa: PLC0415 - one command asks

    with closing(ClickHouseEngine(fleet)) as engine:
        return engine.agents()
