"""The servers as fixtures, for tests of every folder: tests/conftest.py loads them.

A server starts when the first test asks for it, in 0.2 to 0.6 s, and serves all tests of the process: with `-n 4`, of
one worker, so that a test may kill it without asking the others (220 to 330 MB each). Each test has a database of its
own, and finds everything running, whatever the one before it has killed.

- `modern`: a database of a current server.
- `replicas`: one of 18.16, one shard of two replicas; `shards`: of two shards of one.
- `database`: the test runs twice, over `modern` and over the first of `replicas`.
- `address`: that of `database`, with sidelog's tables in it.
- `small_disk`: a current server whose disk of 64 MiB can be filled; the test's own, takes root.

The parts that they take (tests/needs.py) are asked for here: a test needs no mark for them.
"""

from __future__ import annotations

import pytest

from tests.fleet import servers
from tests.needs import needs

_NEEDS = {
    "modern": ("clickhouse",),
    "small_disk": ("clickhouse", "root", "mount"),
    "replicas": ("clickhouse-18", "zookeeper"),
    "shards": ("clickhouse-18", "zookeeper"),
}


def pytest_itemcollected(item):
    names = set(getattr(item, "fixturenames", ()))
    if callspec := getattr(item, "callspec", None):
        names |= {value for name, value in callspec.params.items() if name == "database"}
    for name in names & _NEEDS.keys():
        item.add_marker(needs(*_NEEDS[name]))


@pytest.fixture(scope="session")
def modern_server(tmp_path_factory):
    with servers.Modern(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest.fixture(scope="session")
def replicas_cluster(tmp_path_factory):
    with servers.Cluster(tmp_path_factory.mktemp("replicas"), shards=1, replicas=2) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def shards_cluster(tmp_path_factory):
    with servers.Cluster(tmp_path_factory.mktemp("shards"), shards=2, replicas=1) as cluster:
        yield cluster


@pytest.fixture
def modern(modern_server):
    modern_server.start()
    with modern_server.database() as database:
        yield database


@pytest.fixture
def replicas(replicas_cluster):
    replicas_cluster.start()
    with replicas_cluster.database() as database:
        yield database


@pytest.fixture
def shards(shards_cluster):
    shards_cluster.start()
    with shards_cluster.database() as database:
        yield database


@pytest.fixture(params=["modern", "replicas"])
def database(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def address(database):
    from agent.clickhouse import schema
    from agent.clickhouse.address import ClickHouseAddress

    found = ClickHouseAddress((database.url,), database.name)
    schema.make(found, None, replicated=False, ttl_days=None)
    return found


@pytest.fixture
def small_disk(tmp_path):
    with servers.Modern(tmp_path / "clickhouse", size_mib=64) as server:
        yield server
