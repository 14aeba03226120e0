"""`sidelog forward schema`, with real servers of both lines."""

from __future__ import annotations

from agent.clickhouse import schema
from tests.clickhouse.test_schema import TABLES, tables


def test_the_command_makes_what_it_prints(database, sidelog, tmp_path):
    file = tmp_path / "sidelog.yaml"
    target = f"{{name: central, clickhouse: '{database.url}', database: {database.name}, ttl: 30d}}"
    file.write_text(f"store: {{path: {tmp_path}/s.db}}\nforward: [{target}]\n")
    printed = sidelog("forward", "schema", "--print", "-c", file)
    assert tables(database) == []
    assert printed.code == 0
    assert printed.out.count("CREATE TABLE IF NOT EXISTS") == len(TABLES)
    assert ("INTERVAL 30 DAY" in printed.out) is not database.is_old
    for statement in printed.out.split(";\n")[:-1]:
        database.ask(statement)
    assert tables(database) == TABLES
    done = sidelog("forward", "schema", "--target", "central", "-c", file)
    assert done.code == 0
    assert f"tables of version {schema.VERSION}" in done.err
    assert ("too old to delete" in done.err) is database.is_old


def test_the_command_names_what_is_no_target(sidelog, tmp_path):
    file = tmp_path / "sidelog.yaml"
    file.write_text("forward: [{name: central, clickhouse: http://x}, {name: o, otlp: http://y}]\n")
    for name, said in (
        ("centrl", "did you mean 'central'?"),
        ("x", "has central and o"),
        ("o", "OTLP receiver"),
    ):
        done = sidelog("forward", "schema", "--target", name, "-c", file)
        assert (done.code, "SL657" in done.err, said in done.err) == (2, True, True), done.err
    file.write_text("{}\n")
    done = sidelog("forward", "schema", "-c", file)
    assert (done.code, "names no ClickHouse" in done.err) == (2, True)
