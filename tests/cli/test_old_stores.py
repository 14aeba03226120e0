"""Stores that earlier commits have made: every shape that there ever was is opened, migrated, asked and written to.

`tests/stores` keeps them with the logs that they were made of. When a version lands, `tests.stores.make` adds one.
"""

import contextlib
import json
import re
import sqlite3

import pytest

from agent.store import schema
from tests.stores.make import ARCHIVED, FIRST_WRITER, line, request_id
from tests.stores.world import known, unpack, write_config

STORES = known()
OLD = sorted(name for name in STORES if int(name[:3]) < schema.VERSION)
ARCHIVING = sorted(name for name in STORES if STORES[name]["archives"])
PLAIN = re.compile(r"--[^\n]*|\s+")


@contextlib.contextmanager
def opened(store):
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as connection:
        yield connection


def is_first(old):
    """Whether its log was followed from the second line on, and that was not noted."""
    return old.facts["commits"][:1] == [FIRST_WRITER]


def rows(store, statement):
    with opened(store) as connection:
        return connection.execute(statement).fetchall()


def shape(store):
    """All tables with their columns, and what else there is with its statement; without comments and spaces."""
    with opened(store) as connection:
        found = {}
        for kind, name, table, sql in connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"):
            found[kind, name] = table, PLAIN.sub("", sql or "")
            if kind == "table":
                found["columns", name] = connection.execute(f"PRAGMA table_xinfo({name})").fetchall()
        return found


class Old:
    """An old store in a directory of its own, with its logs, and the commands on it."""

    def __init__(self, name, root, sidelog):
        self.facts = STORES[name]
        self.store = unpack(name, root)
        self.log = root / "logs" / "app.log"
        self.config = write_config(root, schema.VERSION)
        self._sidelog = sidelog

    def run(self, *command, code=0):
        said = self._sidelog(*command, "-c", self.config)
        assert said.code == code, said
        return said

    def json(self, *command):
        return json.loads(self.run(*command, "--json").out)

    def query(self, *arguments):
        said = self.run("query", *arguments, "-n", "all", "-o", "json")
        return [json.loads(row) for row in said.out.splitlines()]


@pytest.fixture(params=sorted(STORES))
def old(request, tmp_path, sidelog):
    return Old(request.param, tmp_path, sidelog)


def test_there_is_a_store_of_every_version():
    assert sorted({int(name[:3]) for name in STORES}) == list(range(1, schema.VERSION + 1))


def test_it_is_migrated_asked_and_written_to(old):
    facts = old.facts
    last = rows(old.store, "SELECT max(id) FROM files")[0][0]  # later rows go on with a file under its labels of now
    old.run("run", "--once")
    assert rows(old.store, "PRAGMA user_version") == [(schema.VERSION,)]
    for table in ("events", "error_groups", "gaps", "alert_history", "deliveries"):
        assert rows(old.store, f"SELECT count(*) FROM {table}")[0][0] >= facts[table], table
    found = old.query()
    assert len(found) == facts["found"], "all of its events once, be they in the store or in an archive"
    with old.log.open("a") as log:
        log.write(line(55, message="one more"))
    old.run("run", "--once")
    assert len(old.query()) == facts["found"] + 1
    assert [row["body"] for row in old.query('"one more"')] == ["one more"]
    groups = old.json("errors", "list")
    assert len(groups["groups"] if isinstance(groups, dict) else groups) == facts["error_groups"]
    status = old.json("status")
    assert status["store"]["schema"] == schema.VERSION
    assert rows(old.store, "SELECT sum(parse_errors) FROM files") == [(1,)]
    start = len(line(0)) if is_first(old) else 0
    assert rows(old.store, f"SELECT max(start_offset) FROM files WHERE id <= {last}") == [(start,)]
    old.run("verify")
    old.run("audit")


def test_it_has_the_shape_of_a_new_store(old, tmp_path, sidelog):
    old.run("run", "--once")
    (new := tmp_path / "new").mkdir()
    (new / "logs").mkdir()
    assert sidelog("run", "--once", "-c", write_config(new, schema.VERSION)).code == 0
    assert shape(old.store) == shape(new / "state" / "sidelog.db")


@pytest.mark.parametrize("name", ARCHIVING)
def test_its_archives_are_searched_when_its_events_have_left_the_store(name, tmp_path, sidelog):
    old = Old(name, tmp_path, sidelog)
    write_config(tmp_path, schema.VERSION, age="1s")
    old.run("run", "--once")
    assert rows(old.store, "SELECT count(*) FROM events") == [(0,)]
    assert len(old.query()) == ARCHIVED
    assert [row["body"] for row in old.query(f"request_id={request_id(17)}")] == ["event 17"]
    assert old.query("request_id=7f3ac9d2e41b9999") == []
    assert [row["body"] for row in old.query('"apple pie"')] == ["apple pie"]


def test_one_that_lacks_what_no_migration_makes_is_refused_with_what_it_lacks(tmp_path, sidelog):
    old = Old("004-blocks", tmp_path, sidelog)
    rows(old.store, "DROP TABLE deliveries")
    said = old.run("run", "--once", code=3)
    assert f"error[SL415]: the store {old.store} of schema version 4 cannot be migrated: it lacks" in said.err
    assert "check the disk" not in said.err


@pytest.mark.parametrize("name", OLD)
def test_readers_leave_it_to_the_agent(name, tmp_path, sidelog):
    old = Old(name, tmp_path, sidelog)
    before = old.store.read_bytes()
    said = old.run("query", code=3)
    assert "SL407" in said.err
    assert old.store.read_bytes() == before
