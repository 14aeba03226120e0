"""What is said to a ClickHouse and what comes back, with real servers of both lines."""

from __future__ import annotations

import contextlib
import time

import pytest

from agent.clickhouse.address import PASSWORD, ClickHouseAddress
from agent.clickhouse.answers import blocks
from agent.clickhouse.client import ClickHouseClient
from agent.clickhouse.faults import ClickHouseError
from agent.core.errors import UsageError
from tests.fleet.proxy import Proxy


def address(database, *urls, user=None, password=None):
    return ClickHouseAddress(urls or (database.url,), database.name, user, password)


@pytest.fixture
def client(database):
    with contextlib.closing(ClickHouseClient(address(database))) as opened:
        yield opened


def rows(client, sql, **settings):
    found = blocks(client.address, client.query(f"{sql} FORMAT Native", settings))
    return [row for block in found for row in zip(*block.columns, strict=True)]


def test_the_version_says_which_line_it_is(database, client):
    assert client.version[0] == (18 if database.is_old else 26)
    assert client.is_current is not database.is_old


def test_an_answer_is_read_block_by_block_in_all_types(client):
    sql = (
        "SELECT toInt64(number) - 5 AS a, toUInt8(number) AS b, substring(x, 1, number * 2) AS c,"
        " toFloat64(number) / 2 AS d, toDate(number) AS e, toUInt16(number) AS f"
        " FROM (SELECT number, %s AS x FROM system.numbers LIMIT 2000)"
    )
    found = rows(client, sql % f"'{'ä' * 2000}'", max_block_size=300)
    assert [row[0] for row in found] == list(range(-5, 1995))
    assert found[1999] == (1994, 1999 % 256, ("ä" * 1999).encode(), 999.5, 1999, 1999)
    assert rows(client, "SELECT 1 WHERE 0") == []


def test_an_error_that_ends_an_answer_which_had_begun_is_raised(client):
    sql = "SELECT number, throwIf(number = 3000000) AS f FROM (SELECT number FROM system.numbers LIMIT 9000000)"
    seen = 0
    with pytest.raises(ClickHouseError, match="says error 395: Value passed to 'throwIf'") as raised:  # noqa: PT012
        for block in blocks(client.address, client.query(f"{sql} FORMAT Native")):
            seen += block.rows
    assert seen > 1_000_000
    assert (raised.value.code, raised.value.number) == ("SL658", 395)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT 1 FROM nowhere", "SL652"),
        ("SELECT nothing FROM system.one", "SL655"),
        ("SELECT count() FROM nodatabase.x", "SL652"),
    ],
)
def test_what_a_server_refuses_has_its_code(client, sql, code):
    with pytest.raises(ClickHouseError) as raised:
        client.execute(sql)
    assert raised.value.code == code
    assert "Exception" not in raised.value.message


def test_a_question_that_takes_too_long_or_gives_too_much_is_ended_by_the_server(client):
    with pytest.raises(ClickHouseError) as raised:
        client.execute("SELECT count() FROM system.numbers", {"max_execution_time": 1})
    assert raised.value.code == "SL656"
    assert "took too long" in raised.value.message
    with pytest.raises(ClickHouseError, match="too large"):
        client.execute("SELECT number FROM system.numbers LIMIT 1000000", {"max_result_rows": 1000})


def test_wrong_passwords_and_missing_rights(database):
    for user, password in (("sidelog", "s3cret"), ("nobody", "s3cret")):
        with (
            contextlib.closing(ClickHouseClient(address(database, user=user, password=password))) as client,
            pytest.raises(ClickHouseError) as raised,
        ):
            client.execute("SELECT 1")
        assert raised.value.code == "SL651"
        assert password not in str(raised.value) + raised.value.hint + repr(client.address)
    with contextlib.closing(ClickHouseClient(address(database, user="reader", password="readonly"))) as client:
        assert client.execute("SELECT 1", {"max_execution_time": 30}) == b"1\n"
        with pytest.raises(ClickHouseError, match=r"may only read|may not do"):
            client.execute("CREATE TABLE t (a UInt8) ENGINE = Memory")


def test_rows_are_inserted_once_by_their_token(database, client):
    engine = "MergeTree ORDER BY a" + ("" if database.is_old else " SETTINGS non_replicated_deduplication_window = 100")
    database.ask(f"CREATE TABLE t (a UInt32, b String) ENGINE = {engine}")
    body = b'{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n'
    for token in ("one", "one", "two"):
        client.insert("t", ("a", "b"), body, token=token, form="JSONEachRow")
    assert database.rows("SELECT count() FROM t")[0][0] == (6 if database.is_old else 4)  # an old one needs replicas


def test_a_field_that_the_table_lacks_is_an_error_and_loses_nothing(database, client):
    database.ask("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a")
    with pytest.raises(ClickHouseError) as raised:
        client.insert("t", ("a",), b'{"a":1,"zz":2}\n', form="JSONEachRow")
    assert raised.value.number == 117
    assert database.rows("SELECT count() FROM t")[0][0] == 0


def test_a_question_whose_client_goes_ends_on_the_server(database, client):
    pieces = client.query(
        f"SELECT number, sleepEachRow(0.0001), '{'x' * 1000}' FROM system.numbers FORMAT Native",
        {"max_block_size": 100},
        "asked-by-test",
    )
    next(pieces)
    pieces.close()
    running = "SELECT count() FROM system.processes WHERE query_id = 'asked-by-test'"
    end = time.monotonic() + 10
    while database.rows(running)[0][0] and time.monotonic() < end:
        time.sleep(0.05)
    assert database.rows(running)[0][0] == 0


def test_another_server_is_asked_where_one_is_away_and_stays_the_first(database):
    with Proxy(database.server.ports[0]) as proxy:
        proxy.close()
        client = ClickHouseClient(address(database, proxy.url, database.url))
        assert client.execute("SELECT 1") == b"1\n"
        assert client.url == database.url
        client.close()


def test_who_hangs_is_left_for_another(database):
    with Proxy(database.server.ports[0]) as proxy:
        proxy.hang = True
        client = ClickHouseClient(address(database, proxy.url, database.url), timeout_s=0.3)
        assert client.execute("SELECT 1") == b"1\n"
        assert client.url == database.url
        client.close()


def test_where_none_answers_it_says_so(database):
    with Proxy(database.server.ports[0]) as proxy:
        proxy.close()
        client = ClickHouseClient(address(database, proxy.url))
        with pytest.raises(ClickHouseError, match="cannot be reached") as raised:
            client.execute("SELECT 1")
        assert (raised.value.code, raised.value.retryable) == ("SL650", True)
        client.close()


def test_an_answer_that_is_cut_is_an_error(database):
    with Proxy(database.server.ports[0]) as proxy:
        client = ClickHouseClient(address(database, proxy.url))
        pieces = client.query("SELECT number FROM system.numbers FORMAT Native")
        next(pieces)
        proxy.cut_all()
        with pytest.raises(ClickHouseError) as raised:
            for _ in pieces:
                pass
        assert raised.value.code == "SL650"
        client.close()


def test_a_read_only_replica_is_left_for_one_that_takes_inserts(replicas, replicas_cluster):
    place = f"/clickhouse/tables/{{shard}}/{replicas.name}/t"
    for one in replicas.servers:
        engine = f"ReplicatedMergeTree('{place}', '{{replica}}') ORDER BY a"
        one.ask(f"CREATE TABLE t (a UInt32) ENGINE = {engine}", database=replicas.name)
    first, second = replicas.servers
    client = ClickHouseClient(address(replicas, first.url, second.url))
    client.insert("t", ("a",), b"1\n", form="TabSeparated")
    replicas_cluster.zookeeper.kill()
    with pytest.raises(ClickHouseError) as raised:
        client.insert("t", ("a",), b"2\n", form="TabSeparated")
    assert raised.value.code == "SL653"
    assert raised.value.retryable
    client.close()


def test_another_program_at_the_port_is_named_in_its_words(modern):
    client = ClickHouseClient(address(modern, f"{modern.url}/nowhere"))
    with pytest.raises(ClickHouseError) as raised:
        client.execute("SELECT 1")
    assert raised.value.code == "SL658"
    assert "HTTP 404" in raised.value.message
    client.close()


# ---------------------------------------------------------------- addresses


def test_an_address_of_the_command_line():
    found = ClickHouseAddress.of_option("http://h:8123/?database=app&user=ann", {PASSWORD: "s3cret"})
    assert found == ClickHouseAddress(("http://h:8123",), "app", "ann", "s3cret")
    assert "s3cret" not in f"{found!r} {found}"
    assert ClickHouseAddress.of_option("https://h/ch/", {}) == ClickHouseAddress(("https://h/ch",))


@pytest.mark.parametrize(
    "text",
    [
        "ftp://h",
        "http://",
        "http://h:99999",
        "http://u:pw@h",
        "http://h?password=s3cret",
        "http://h?databse=x",
        "http://h?database=a`b",
    ],
)
def test_addresses_that_are_none(text):
    with pytest.raises(UsageError) as raised:
        ClickHouseAddress.of_option(text, {})
    assert raised.value.code == "SL657"
    said = str(raised.value) + raised.value.hint + raised.value.subject
    assert "s3cret" not in said
    assert "pw" not in said
