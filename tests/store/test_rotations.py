"""Notes of rotations that have begun: they survive, and name any path."""

import sqlite3

import pytest

from agent.store import rotations, schema
from agent.store.rotations import BegunRotation

ODD = "/logs/caf\udce9.log"  # a name that is no UTF-8


@pytest.fixture
def connection(tmp_path):
    connection = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    schema.prepare_file(connection)
    schema.migrate(connection)
    yield connection
    connection.close()


def test_notes_are_made_replaced_and_ended(connection):
    assert rotations.begun(connection) == []
    first, second = BegunRotation("/logs/a.log", "app", 1, 2), BegunRotation(ODD, "app", 1, 3)
    rotations.begin(connection, [first, second])
    rotations.begin(connection, [first._replace(copy=9)])
    assert rotations.begun(connection) == [first._replace(copy=9), second]
    rotations.end(connection, [ODD, "/logs/unknown.log"])
    assert rotations.begun(connection) == [first._replace(copy=9)]
    rotations.end(connection, ["/logs/a.log"])
    assert rotations.begun(connection) == []


def test_a_flush_always_writes(connection):
    for now in (1, 2):
        before = connection.execute("PRAGMA data_version").fetchone(), connection.total_changes
        rotations.flush(connection, now)
        assert connection.total_changes > before[1]
