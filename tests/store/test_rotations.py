"""Notes of rotations that have begun: they survive, and name any path."""

import sqlite3

import pytest

from agent.store import schema, tables
from agent.store.tables import BegunRotation

ODD = "/logs/caf\udce9.log"  # a name that is no UTF-8


@pytest.fixture
def connection(tmp_path):
    connection = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    schema.prepare_file(connection)
    schema.migrate(connection)
    yield connection
    connection.close()


def test_notes_are_made_replaced_and_ended(connection):
    assert tables.begun_rotations(connection) == []
    first, second = BegunRotation("/logs/a.log", "app", 1, 2), BegunRotation(ODD, "app", 1, 3)
    tables.begin_rotations(connection, [first, second])
    tables.begin_rotations(connection, [first._replace(copy=9)])
    assert tables.begun_rotations(connection) == [first._replace(copy=9), second]
    tables.end_rotations(connection, [ODD, "/logs/unknown.log"])
    assert tables.begun_rotations(connection) == [first._replace(copy=9)]
    tables.end_rotations(connection, ["/logs/a.log"])
    assert tables.begun_rotations(connection) == []


def test_a_flush_always_writes(connection):
    for now in (1, 2):
        before = connection.execute("PRAGMA data_version").fetchone(), connection.total_changes
        tables.note_flush(connection, now)
        assert connection.total_changes > before[1]
