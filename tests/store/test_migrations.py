"""Migrations: frozen, whole or not at all, and refused with a true sentence where they cannot be taken."""

import contextlib
import hashlib
import re
import sqlite3
from pathlib import Path

import pytest

from agent.core.errors import StoreError
from agent.store import faults, migrations, opening, schema
from tests.store.stores import another, program, rows, store_at
from tests.stores.world import known, unpack

FOLDER = Path(migrations.__file__).parent
# A file that may have made a store is never changed. A change of the schema is a new file with the next number, a step
# in `migrations`, a line here, and a new store (`python -m tests.stores.make`).
FROZEN = {
    "script.py": "f447a759ef1820f92deef528cccdabf263493586cb11b9e6adc0d2616f207b11",
    "v001_events.py": "219045e1451fc04f0318af217491e521f9da07dcd67113a223584d883bd5d76c",
    "v002_templates.py": "cd691419d673566048188ca8d9f6ae33c3a728f9b30fa1559e0f9b793eb4ac08",
    "v003_alerting.py": "c8e439174dad634c9b127ba21b47076ae0c1c4dd415541ba0eef6141d4718812",
    "v004_archives.py": "21f30c6c8bba0393b8e075d735f9ec9d098f92bddd6b110f4f6c0daa686a86fb",
    "v005_removals.py": "0c3c7e6666c11953e0f7610965561bbb915b2e9f5fe0bfade7603258e031a0ec",
    "v006_shapes.py": "4cac6afe83a4bd4c6621fd116b163b72cc988dca66982465c84b389f7976b17a",
    "v007_plain_ids.py": "36c236b4e256ab247dfc53a42758046ea2ace5505ea5abdaf5705ca09b9f3864",
    "v008_line_codes.py": "489dec17fbf528cf5aa38cf525c958337c9db72f4cb445a71fcbf6d537ce43bc",
    "v009_access.py": "8b25786d5734727412329ece7fc2456476fd3e0f8b72d27c9f58b0679eca0dda",
    "v010_field_counts.py": "fcc0be496297490c794c050d3957cd6d6a5e763159b7e5b827d9bb71b22dd815",
    "v011_forward.py": "f0db31371c86db3ec2ada267502ce56ba406b87428c5c9d41d0c4fdf1c7fde1b",
}
OLDEST = "001-start-offset"
STEPS = [name for name, _ in migrations._STEPS]


@pytest.mark.parametrize("name", FROZEN)
def test_a_frozen_file_stays_as_it_has_landed(name):
    found = hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()
    assert found == FROZEN[name], (
        f"{name} is frozen: stores that it has made lie anywhere. Undo the change, and write it as a new version:"
        " a module with the next number, a step in `migrations`, VERSION in `schema`, and its hash here."
    )


def test_every_version_has_its_frozen_file():
    found = {path.name for path in FOLDER.glob("*.py")} - {"__init__.py"}
    assert found == FROZEN.keys()
    numbers = [int(match[1]) for name in sorted(found) if (match := re.match(r"v(\d{3})_", name))]
    assert numbers == list(range(1, schema.VERSION + 1))


def test_a_step_keeps_its_name():
    """Stores note by it which steps they have taken."""
    assert STEPS[:6] == ["events_and_files", "templates", "alerting", "group_lives", "archives", "archive_removals"]
    assert STEPS[6:] == ["shapes", "plain_ids", "line_codes", "access", "field_counts", "forward"]


def state(path):
    """All that a migration can change."""
    with contextlib.closing(another(path)) as connection:
        names = [row[0] for row in rows(connection, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]
        return (
            rows(connection, "PRAGMA user_version"),
            rows(connection, "SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2"),
            {name: rows(connection, f"SELECT * FROM {name}") for name in names},
        )


def refused(path, code):
    with pytest.raises(StoreError) as caught:
        opening.open_store(path, min_free_bytes=0)
    assert caught.value.code == code, caught.value
    return caught.value


# ------------------------------------------------------------ whole or not at all


@pytest.mark.parametrize("failing", STEPS[1:])
def test_a_step_that_fails_leaves_the_old_store(failing, tmp_path, monkeypatch):
    path = unpack(OLDEST, tmp_path)
    before = state(path)
    changed = migrations.Migrations("sidelog")
    for name, step in migrations._STEPS:
        changed(name=name)(lambda db, name=name, step=step: (step(db.conn), name == failing and 1 / 0))
    monkeypatch.setattr(migrations, "migrations", changed)
    with pytest.raises(ZeroDivisionError):
        opening.open_store(path, min_free_bytes=0)
    assert state(path) == before
    monkeypatch.undo()
    with store_at(path) as opened:
        assert rows(opened.writer.connection, "PRAGMA user_version") == [(schema.VERSION,)]


KILLED = """
import sys, time
from pathlib import Path
from agent.store import migrations
from agent.store.opening import open_store
def wait(connection):
    print("in the middle", flush=True)
    time.sleep(600)
migrations.missing = wait
open_store(Path(sys.argv[1]), min_free_bytes=0)
"""


@pytest.mark.parametrize("name", [OLDEST, "004-words"])
def test_a_kill_in_the_middle_leaves_the_old_store(name, tmp_path):
    path = unpack(name, tmp_path)
    before = state(path)
    with program(KILLED, path) as process:
        assert process.first_line == "in the middle"
    assert state(path) == before
    with store_at(path) as opened:
        assert opened.moved_aside is None
        assert rows(opened.writer.connection, "SELECT count(*) FROM events") == [(known()[name]["events"],)]


# ------------------------------------------------------------ what cannot be migrated


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("001-start-offset", "DROP TABLE archives", "no such table: archives"),
        ("001-start-offset", "DROP TABLE meta", "it lacks the table meta"),
        ("003-alerting", "ALTER TABLE gaps DROP COLUMN sample", "it lacks the column sample of the table gaps"),
        ("004-words", "DROP INDEX errors_by_time", "it lacks the index errors_by_time"),
        ("004-words", "DROP TABLE events", "no such table: main.events"),
        ("005-removals", "DELETE FROM _sqlite_migrations WHERE name = 'templates'", "duplicate column name: template"),
    ],
)
def test_a_store_that_lacks_what_no_migration_makes_is_refused_and_left_as_it_is(name, damage, said, tmp_path):
    path = unpack(name, tmp_path)
    with contextlib.closing(another(path)) as connection:
        connection.execute(damage)
    before = state(path)
    error = refused(path, "SL415")
    assert error.message == f"the store {path} of schema version {int(name[:3])} cannot be migrated: {said}"
    assert error.exit_code == 3
    assert not error.retryable
    assert state(path) == before
    assert not list(path.parent.glob("*.damaged-*"))


def test_what_others_have_made_in_a_store_stays(tmp_path):
    path = unpack("003-alerting", tmp_path)
    with contextlib.closing(another(path)) as connection:
        connection.execute("CREATE INDEX mine ON events(file_id)")
        connection.execute("CREATE TABLE notes (text)")
    with store_at(path) as opened:
        names = {row[0] for row in rows(opened.writer.connection, "SELECT name FROM sqlite_master")}
    assert {"mine", "notes"} <= names


def test_a_table_that_is_gone_is_no_fault_of_the_disk(tmp_path):
    path = tmp_path / "s.db"
    with store_at(path) as opened:
        opened.writer.connection.execute("ALTER TABLE files DROP COLUMN parse_errors")
        with pytest.raises(StoreError, match="no such column: parse_errors") as caught, faults.translated(path):
            rows(opened.writer.connection, "SELECT parse_errors FROM files")
    assert (caught.value.code, caught.value.retryable) == ("SL415", False)


def test_other_faults_of_a_statement_are_not_taken_for_the_schemas():
    with contextlib.closing(sqlite3.connect(":memory:")) as connection, pytest.raises(sqlite3.Error) as caught:
        connection.execute("SELEC")
    assert not faults.is_of_schema(caught.value)
