"""Questions about events: the language, and the engines that answer. Here is what opens those of a store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.clickhouse.address import ClickHouseAddress
    from agent.query.engine import Engine


def open_engine(
    path: Path,
    directory: Path,
    *,
    stored: bool = True,
    archived: bool = True,
    sleep: Callable[[float], None] = time.sleep,
    twin: bool = False,
) -> Engine:
    """The engine for the store at `path`, to be closed by the caller. What searches archives is imported only where
    there are any: 30 ms.

    Args:
        path: of the store.
        directory: of its archives.
        stored: whether to ask the store.
        archived: whether to ask its archives.
        sleep: waits so many seconds between looks at what is followed.
        twin: whether another process may do a part of what takes long, for one who waits alone for the answer.

    Raises:
        StoreError: the store is missing, damaged or newer than the program; nothing is created.
    """
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


def open_fleet(address: ClickHouseAddress) -> Engine:
    """The engine for the agents that forward to a ClickHouse, to be closed by the caller.

    Raises:
        ClickHouseError: it cannot be asked, or has no tables of this version.
    """
    from agent.query.clickhouse.engine import ClickHouseEngine  # noqa: PLC0415 - as above

    return ClickHouseEngine(address)


def _holds_archives(directory: Path) -> bool:
    """Whether there are archives which a store that has none ought to know."""
    if not directory.is_dir():
        return False
    from agent.archive.directory import holds_archives  # noqa: PLC0415 - 5 ms, where nothing is archived

    return holds_archives(directory)
