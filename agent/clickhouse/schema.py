"""Makes the tables of sidelog in a ClickHouse, brings older ones to this version, and says whether they are of it."""
# ruff: noqa: S608 - statements are built from this package's own words, and names that have been checked

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import orjson

from agent.clickhouse import columns, migrations
from agent.clickhouse.client import WORDS, ClickHouseClient
from agent.clickhouse.faults import ClickHouseError
from agent.clickhouse.layout import TableLayout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.clickhouse.address import ClickHouseAddress

VERSION = migrations.VERSION
_NAME = "sidelog"
_DDL_S = 180.0  # a statement for a whole cluster waits for all of its servers
_UNKNOWN = frozenset((60, 81))  # table, database
_TTL = re.compile(r"\bTTL day \+ (?:INTERVAL (\d+) DAY|toIntervalDay\((\d+)\))")


def statements(layout: TableLayout, since: int = 0) -> Iterator[str]:
    """What makes the database and its tables.

    Args:
        layout: where and how.
        since: the version that they are of already.
    """
    yield f"CREATE DATABASE IF NOT EXISTS {layout.database}{layout.everywhere}"
    for step in migrations.STEPS[since:]:
        yield from step(layout)


def ttl_statement(layout: TableLayout, days: int) -> str:
    """What lets the events' table keep them so many days; 0: for ever."""
    change = "REMOVE TTL" if not days else f"MODIFY TTL day + INTERVAL {days} DAY"
    return f"ALTER TABLE {layout.local('events')}{layout.everywhere} {change}"


def read_version(client: ClickHouseClient) -> int:
    """The version of the tables; 0 where there are none.

    Raises:
        ClickHouseError: it cannot be asked.
    """
    sql = f"SELECT max(version) FROM {client.address.table('schema')} WHERE name = '{_NAME}'"
    try:
        return int(client.execute(sql))
    except ClickHouseError as error:
        if error.number in _UNKNOWN:
            return 0
        raise


def check(client: ClickHouseClient) -> None:
    """See that the tables are there, and of this version.

    Raises:
        ClickHouseError: SL652, there are none; SL655, they are of another version; it cannot be asked.
    """
    address = client.address
    found = read_version(client)
    if not found:
        raise ClickHouseError.of("SL652", address.shown, database=address.database, said="no table 'schema'")
    if found != VERSION:
        key = "SL655.newer" if found > VERSION else "SL655.older"
        raise ClickHouseError.of(key, address.shown, found=found, known=VERSION)


def layout_of(client: ClickHouseClient, cluster: str | None, *, replicated: bool) -> TableLayout:
    """The layout for a server as it is."""
    has_words = client.version >= WORDS
    return TableLayout(client.address.database, client.is_current, has_words, cluster, replicated)


def make(address: ClickHouseAddress, cluster: str | None, *, replicated: bool, ttl_days: int | None) -> list[str]:
    """Make what is missing. Without a cluster each server of the address gets its tables.

    Args:
        address: where.
        cluster: the name of ClickHouse's cluster, on all of whose servers.
        replicated: with tables that copy their rows to each other.
        ttl_days: how long events are kept; 0: for ever, None: as it is.

    Returns:
        The servers that cannot keep events for a time only, being too old for it.

    Raises:
        ClickHouseError: it cannot be done.
    """
    unable = []
    for url in address.urls[:1] if cluster else address.urls:
        client = ClickHouseClient(_only(address, url), _DDL_S)
        try:
            if not _make_on(client, layout_of(client, cluster, replicated=replicated), ttl_days):
                unable.append(url)
        finally:
            client.close()
    return unable


def _only(address: ClickHouseAddress, url: str) -> ClickHouseAddress:
    import msgspec  # noqa: PLC0415 - loaded already

    return msgspec.structs.replace(address, urls=(url,))


def _make_on(client: ClickHouseClient, layout: TableLayout, ttl_days: int | None) -> bool:
    """Whether the server can do all of it."""
    found = read_version(client)
    if found > VERSION:
        raise ClickHouseError.of("SL655.newer", client.address.shown, found=found, known=VERSION)
    for statement in statements(layout):  # all of them: one that was ended midway goes on, a new server gets its own
        client.execute(statement)
    if found < VERSION:
        row: dict[str, Any] = {"name": _NAME, "version": VERSION, "ver": time.time_ns()}
        client.insert("schema", columns.names(columns.SCHEMA), orjson.dumps(row), form="JSONEachRow")
    if layout.is_current and ttl_days is not None and ttl_days != _ttl(client, layout):
        client.execute(ttl_statement(layout, ttl_days))
    return layout.is_current or not ttl_days


def _ttl(client: ClickHouseClient, layout: TableLayout) -> int:
    """How many days the events' table keeps them; 0: for ever."""
    database, _, name = layout.local("events").partition(".")
    sql = f"SELECT create_table_query FROM system.tables WHERE database = '{database}' AND name = '{name}'"
    match = _TTL.search(client.execute(sql).decode("utf-8", "replace"))
    return int(match[1] or match[2]) if match else 0
