"""The servers that tests of the fleet take are real, come back at the same place, and never outlive the tests."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fleet.proxy import Proxy
from tests.fleet.servers import Modern, Refused
from tests.needs import needs

ROOT = Path(__file__).parents[2]


def test_a_killed_server_comes_back_with_what_it_had(modern):
    modern.ask("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
    modern.ask("INSERT INTO t SELECT number FROM numbers(1000)")
    url, pid = modern.url, modern.server.pid
    modern.server.kill()
    with pytest.raises(ConnectionRefusedError):
        modern.ask("SELECT 1")
    modern.server.start()
    assert (modern.url, modern.rows("SELECT count() FROM t")) == (url, [(1000,)])
    assert modern.server.pid != pid


def test_both_lines_refuse_a_wrong_password_and_let_readers_read(database):
    with pytest.raises(Refused) as refused:
        database.ask("SELECT 1", user="sidelog", password="wrong")
    assert refused.value.code == (193 if database.is_old else 516)
    assert database.ask("SELECT 1", user="reader", password="readonly") == "1\n"
    with pytest.raises(Refused, match="readonly"):
        database.ask("CREATE TABLE t (n UInt64) ENGINE = Memory", user="reader", password="readonly")


def test_a_replica_that_was_killed_gets_what_it_missed(replicas, replicas_cluster):
    first, second = replicas.servers
    for one in (first, second):
        one.ask(
            "CREATE TABLE t (n UInt64) ENGINE = "
            f"ReplicatedMergeTree('/clickhouse/tables/{{shard}}/{replicas.name}/t', '{{replica}}') ORDER BY n",
            database=replicas.name,
        )
    first.ask("INSERT INTO t VALUES", "(1)", database=replicas.name)
    replicas_cluster.settle()
    second.kill()
    first.ask("INSERT INTO t VALUES", "(2)", database=replicas.name)
    replicas_cluster.start()
    assert second.rows("SELECT n FROM t ORDER BY n", database=replicas.name) == [(1,), (2,)]


def test_without_zookeeper_replicated_tables_are_read_only(replicas, replicas_cluster):
    replicas.ask(
        "CREATE TABLE t (n UInt64) ENGINE = "
        f"ReplicatedMergeTree('/clickhouse/tables/{{shard}}/{replicas.name}/t', '{{replica}}') ORDER BY n"
    )
    replicas_cluster.zookeeper.kill()
    with pytest.raises(Refused) as refused:
        replicas.ask("INSERT INTO t VALUES", "(1)", timeout_s=90)
    assert refused.value.code in {225, 242, 999}
    replicas_cluster.start()
    replicas.ask("INSERT INTO t VALUES", "(1)")


def test_shards_answer_as_one(shards):
    for one in shards.servers:
        one.ask("CREATE TABLE t_local (n UInt64) ENGINE = MergeTree ORDER BY n", database=shards.name)
    shards.ask(f"CREATE TABLE t AS t_local ENGINE = Distributed(fleet, {shards.name}, t_local, n)")
    shards.ask("INSERT INTO t SELECT number FROM numbers(100)", insert_distributed_sync=1)
    assert shards.rows("SELECT count() FROM t_local") == [(50,)]
    assert shards.rows("SELECT count() FROM t") == [(100,)]


def test_a_full_disk_is_a_full_disk(small_disk):
    small_disk.ask("CREATE TABLE t (s String) ENGINE = MergeTree ORDER BY s")
    small_disk.fill()
    rows = "SELECT randomPrintableASCII(1000) FROM numbers(2000)"
    with pytest.raises(Refused, match=r"Cannot reserve|No space left"):
        small_disk.ask(f"INSERT INTO t {rows}")
    small_disk.free()
    small_disk.ask(f"INSERT INTO t {rows}")


@needs("clickhouse")
def test_a_server_does_not_outlive_tests_that_were_killed(tmp_path):
    code = (
        "import pathlib, sys, time; from tests.fleet.servers import Modern\n"
        "server = Modern(pathlib.Path(sys.argv[1])); server.start(); print(server.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=ROOT, stdout=subprocess.PIPE) as tests:
        server = os.pidfd_open(int(tests.stdout.readline()))
        tests.send_signal(signal.SIGKILL)
    try:
        end = time.monotonic() + 30
        while _is_alive(server):
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        os.close(server)


def _is_alive(pidfd):
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_proxy_cuts_the_share_it_is_told(modern):
    modern.ask("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
    with Proxy(modern.server.ports[0], share=0.4, seed=1) as proxy:
        ended = [_insert(proxy, modern.name) for _ in range(200)]
        assert proxy.requests == 200
        assert proxy.cuts.total() == ended.count(False)
        assert 55 < ended.count(False) < 105
        assert len(proxy.cuts) == 4
        stored = modern.rows("SELECT count() FROM t")[0][0]
        assert ended.count(True) < stored < 200, "some that were cut were stored, others were not"


def test_a_proxy_hangs_goes_and_comes(modern):
    with Proxy(modern.server.ports[0]) as proxy:
        assert _ping(proxy)
        proxy.hang = True
        with pytest.raises(TimeoutError):
            _ping(proxy, timeout_s=0.3)
        proxy.close()
        with pytest.raises(ConnectionRefusedError):
            _ping(proxy)
        proxy.hang = False
        proxy.open()
        assert _ping(proxy)


def _insert(proxy, database):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)) as line:
        try:
            line.request("POST", f"/?database={database}", "INSERT INTO t VALUES (1)")
            return line.getresponse().read() == b""
        except (OSError, http.client.HTTPException):
            return False


def _ping(proxy, timeout_s=5):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout_s)) as line:
        line.request("GET", "/ping")
        return line.getresponse().read() == b"Ok.\n"


def test_a_frozen_server_hangs(modern):
    modern.server.freeze()
    try:
        with pytest.raises(TimeoutError):
            modern.ask("SELECT 1", timeout_s=0.3)
    finally:
        modern.server.thaw()
    assert modern.ask("SELECT 1") == "1\n"


def test_a_server_can_be_the_tests_own(tmp_path, modern):
    with Modern(tmp_path) as own:
        assert own.url != modern.url
        own.stop()
        assert not own.is_alive
