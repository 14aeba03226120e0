"""The tables of sidelog in ClickHouse, made by the command and by hand, on one server, on replicas, on a cluster."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import msgspec
import pytest

from agent.clickhouse import columns, migrations, schema
from agent.clickhouse.address import ClickHouseAddress
from agent.clickhouse.client import ClickHouseClient
from agent.clickhouse.faults import ClickHouseError
from agent.clickhouse.layout import TableLayout

TABLES = ["agents", "alerts", "events", "groups", "leases", "schema"]


def tables(database):
    found = database.rows(f"SELECT name FROM system.tables WHERE database = '{database.name}' ORDER BY name")
    return [name for (name,) in found if not name.startswith(".")]


def make(database, cluster=None, *, replicated=False, ttl_days=None, urls=()):
    address = ClickHouseAddress(tuple(urls) or (database.url,), database.name)
    return schema.make(address, cluster, replicated=replicated, ttl_days=ttl_days)


@contextlib.contextmanager
def client_of(database):
    with contextlib.closing(ClickHouseClient(ClickHouseAddress((database.url,), database.name))) as client:
        yield client


def test_tables_are_made_again_without_harm(database):
    with client_of(database) as client:
        with pytest.raises(ClickHouseError) as raised:
            schema.check(client)
        assert raised.value.code == "SL652"
        for _ in range(2):
            assert make(database) == []
            assert tables(database) == TABLES
            schema.check(client)
    assert database.rows("SELECT name, version FROM schema FINAL") == [("sidelog", schema.VERSION)]


@pytest.mark.parametrize("table", columns.TABLES)
def test_an_insert_names_every_column_there_is(database, table):
    make(database)
    sql = f"SELECT name FROM system.columns WHERE database = '{database.name}' AND table = '{table}'"
    found = [name for (name,) in database.rows(sql)]
    own = {"day", "hiding"} if table == "events" else set()
    assert {*found} - own == {*columns.names(columns.TABLES[table])}


def test_a_newer_version_is_refused(database):
    make(database)
    database.ask(
        f"INSERT INTO schema (name, version, ver) VALUES ('sidelog', {schema.VERSION + 1}, 9223372036854775807)"
    )
    with client_of(database) as client, pytest.raises(ClickHouseError, match="knows") as raised:
        schema.check(client)
    assert raised.value.code == "SL655"
    with pytest.raises(ClickHouseError):
        make(database)


def test_events_are_kept_as_long_as_the_configuration_says(modern):
    told = f"SELECT create_table_query FROM system.tables WHERE database = '{modern.name}' AND name = 'events'"
    for days in (30, 30, 7):
        make(modern, ttl_days=days)
        assert f"TTL day + toIntervalDay({days})" in modern.rows(told)[0][0]
    make(modern, ttl_days=None)
    assert "TTL day" in modern.rows(told)[0][0]
    make(modern, ttl_days=0)
    assert "TTL day" not in modern.rows(told)[0][0]


def test_an_old_server_says_that_it_keeps_all(replicas):
    assert make(replicas, ttl_days=30) == [replicas.url]
    assert make(replicas, ttl_days=0) == []


def test_the_day_is_of_utc_and_never_wraps(database):
    make(database)
    rows = "".join(f"a\t{number}\t{instant}\n" for number, instant in enumerate((-5, 0, 1_790_000_000_000_000_000)))
    database.ask("INSERT INTO events (agent, seq, timestamp) FORMAT TabSeparated", rows)
    days = [day for (day,) in database.rows("SELECT toUInt16(day) FROM events ORDER BY seq")]
    assert days == [0, 0, 20_717]


def test_replicas_give_each_other_their_rows(replicas):
    first, second = replicas.servers
    make(replicas, replicated=True, urls=(first.url, second.url))
    make(replicas, replicated=True, urls=(first.url, second.url))
    first.ask("INSERT INTO events (agent, seq) FORMAT TabSeparated", "a\t1\n", database=replicas.name)
    second.ask("SYSTEM SYNC REPLICA events", database=replicas.name)
    assert second.rows("SELECT agent, seq FROM events FINAL", database=replicas.name) == [("a", 1)]


@pytest.mark.parametrize("replicated", [True, False])
def test_a_cluster_spreads_agents_over_its_shards(shards, replicated):
    first, second = shards.servers
    for _ in range(2):
        make(shards, "fleet", replicated=replicated)
    with client_of(shards) as client:
        schema.check(client)
        body = "".join(f"agent{number % 20}\t{number}\n" for number in range(400)).encode()
        for _ in range(2):
            client.insert("events", ("agent", "seq"), body, form="TabSeparated")
    parts = [one.rows("SELECT count() FROM events_local FINAL", database=shards.name)[0][0] for one in (first, second)]
    assert sum(parts) == 400
    assert all(parts)
    assert second.rows("SELECT count() FROM events FINAL", database=shards.name) == [(400,)]


# Statements of a version that has landed are never changed: there are servers that were made by them.
FROZEN = {1: "853e1a76c89e3dd7"}


def digest(step):
    said = [
        list(step(TableLayout("logs", kind > 0, kind > 1, cluster, replicated)))
        for kind in range(3)
        for cluster in (None, "fleet")
        for replicated in (False, True)
    ]
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:16]


@pytest.mark.parametrize("version", FROZEN)
def test_a_version_that_has_landed_stays_as_it_is(version):
    assert digest(migrations.STEPS[version - 1]) == FROZEN[version]


def test_each_version_has_a_module_of_its_number():
    files = sorted(path.name for path in Path(migrations.__file__).parent.glob("v*.py"))
    assert [int(name[1:4]) for name in files] == list(range(1, migrations.VERSION + 1))
