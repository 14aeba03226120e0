"""Reading beside the writer: nothing is created, blocked or changed, and every obstacle is one sentence."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys

import pytest

from agent.core.errors import StoreError
from agent.core.event import severity_text
from agent.core.fields import Profile
from agent.core.groups import ErrorGroup, GroupFilter
from agent.store import reader
from agent.store.edit import editing, set_group_state
from agent.store.groups import list_groups
from agent.store.reader import open_reader
from tests.needs import needs
from tests.store.stores import (
    DAY,
    MINUTE,
    NOW,
    another,
    events,
    program,
    python,
    rows,
    store_at,
    stored,
    tailed,
    transaction,
    update,
    write,
)


def refused(path, code):
    with pytest.raises(StoreError) as caught:
        open_reader(path, busy_timeout_s=0.05)
    assert caught.value.code == code, caught.value
    assert caught.value.exit_code == 3
    assert caught.value.hint
    return caught.value


@pytest.fixture
def store(path):
    """A closed store with a few events."""
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), events(count=3), groups={0: 1}), groups=[update(1)]))
    return path


# ------------------------------------------------------------ obstacles


def test_a_missing_store_is_said_and_nothing_is_created(tmp_path):
    for missing in (tmp_path / "s.db", tmp_path / "no" / "s.db", tmp_path):
        assert str(missing) in refused(missing, "SL401").message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"my notes\n" * 500, b"SQLite format 3\x00" + b"\xff" * 5_000])
def test_what_is_no_store_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "s.db"
    path.write_bytes(content)
    refused(path, "SL402")
    assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["s.db"]


def test_another_programs_database_is_no_store(tmp_path):
    connection = another(tmp_path / "s.db")
    connection.execute("CREATE TABLE x (y)")
    connection.close()
    refused(tmp_path / "s.db", "SL402")


@pytest.mark.parametrize(("version", "code"), [(reader.SCHEMA_VERSION + 1, "SL403"), (0, "SL407")])
def test_another_version_is_refused(store, version, code):
    connection = another(store)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    assert f"schema version {version}" in refused(store, code).message


def test_an_exclusively_locked_store_is_worth_another_try(store):
    with store_at(store):
        pass
    connection = another(store)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("DELETE FROM meta")
    code = (
        "import sys; from pathlib import Path; from agent.core.errors import StoreError\n"
        "from agent.store.reader import open_reader\n"
        "try: open_reader(Path(sys.argv[1]), busy_timeout_s=0.05)\n"
        "except StoreError as error: print(error.code, error.retryable)"
    )
    assert python(code, store) == "SL408 True\n"
    connection.close()


@needs("root")
def test_a_store_that_is_not_yours_is_said_in_a_closed_directory_and_in_an_open_one(store, tmp_path):
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    os.seteuid(65_534)
    try:
        closed = refused(store, "SL406")
        os.seteuid(0)
        store.parent.chmod(0o755)
        os.seteuid(65_534)
        unreadable = refused(store, "SL406")
    finally:
        os.seteuid(0)
    assert closed.hint == unreadable.hint
    assert "only its owner may read a store" in closed.hint


@pytest.mark.parametrize(
    ("name", "code"),
    [("SQLITE_IOERR_READ", "SL406"), ("SQLITE_CANTOPEN", "SL406"), ("SQLITE_CORRUPT", "SL402"), ("", "SL402")],
)
def test_every_error_of_sqlite_has_its_meaning_for_a_reader(tmp_path, name, code):
    error = sqlite3.OperationalError("so it is")
    error.sqlite_errorname = name
    assert reader.reading_error(error, tmp_path).code == code


def test_a_reader_cannot_write(store):
    with contextlib.closing(open_reader(store)) as connection:
        for statement in ("DELETE FROM events", "CREATE TABLE x (y)", "PRAGMA user_version = 9"):
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                connection.execute(statement)
        assert rows(connection, "SELECT count(*) FROM events") == [(3,)]


def test_a_path_with_odd_characters_is_only_a_path(tmp_path):
    path = tmp_path / "a?mode=rwc&b#c%20d ü" / "s.db"
    with store_at(path):
        pass
    open_reader(path).close()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_relative_path_is_found(store, monkeypatch):
    monkeypatch.chdir(store.parent)
    from pathlib import Path

    open_reader(Path(store.name)).close()


def test_a_reader_beside_a_writer_sees_each_commit(path):
    with store_at(path) as opened, contextlib.closing(open_reader(path)) as connection:
        file = tailed()
        for number in range(1, 4):
            write(opened, transaction(stored(file, events(file.offset, count=10))))
            assert rows(connection, "SELECT count(*) FROM events") == [(number * 10,)]


def test_any_program_can_read_it_while_it_is_written(path):
    """Plain sqlite3, without a line of ours."""
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), events(count=5))))
        code = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1])\n"
            "print(c.execute('SELECT count(*), max(message), min(severity) FROM logs').fetchone())"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, str(path)], capture_output=True, text=True, check=True, timeout=30
        )
        assert done.stdout == "(5, 'm4', 'INFO')\n"
        write(opened, transaction(stored(tailed(2), events(count=5))))


# ------------------------------------------------------------ the view `logs`

COLUMNS = [
    *("id", "time", "timestamp", "severity", "severity_number", "message", "logger", "service", "trace_id"),
    *("source", "path", "offset", "group", "record"),
]


def log_rows(path):
    with contextlib.closing(open_reader(path)) as connection:
        cursor = connection.execute("SELECT * FROM logs ORDER BY id")
        names = [column[0] for column in cursor.description]
        assert names == COLUMNS
        return [dict(zip(names, row, strict=True)) for row in cursor]


def test_the_view_reads_what_the_line_says(path):
    records = [
        '{"message": "hello", "logger": "shop", "trace_id": "t1"}',
        '{"msg": "short", "log": {"logger": "nested"}}',
        '{"event": "structured", "n": 1}',
        '{"text": "of a profile"}',
    ]
    shop = {"resource": '{"service.name": "shop", "host.name": "h"}'}
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(**shop), events(records=records[:3], severity=17), groups={0: 4})))
        profile = Profile(format="json", message=("text",), logger=("l", "g"), service=("svc",), trace_id=("a.b",))
        special = '{"text": "own", "l": {"g": "deep"}, "svc": "cart", "a.b": "t2"}'
        file = tailed(2, profile=profile.to_json(), **shop)
        write(opened, transaction(stored(file, events(records=[special]))))
    one, two, three, four = log_rows(path)
    assert one == {
        "id": 1,
        "time": "2026-11-18T11:06:40.000000000Z",
        "timestamp": NOW,
        "severity": "ERROR",
        "severity_number": 17,
        "message": "hello",
        "logger": "shop",
        "service": "shop",
        "trace_id": "t1",
        "source": "app",
        "path": "/var/log/app-1.log",
        "offset": 0,
        "group": 4,
        "record": records[0],
    }
    assert (two["message"], two["logger"], two["trace_id"]) == ("short", None, None)
    assert three["message"] == "structured"
    assert [four[name] for name in ("message", "logger", "service", "trace_id")] == ["own", "deep", "cart", "t2"]


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (NOW + 678_901_234, "2026-11-18T11:06:40.678901234Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (-1_500_000_000, "1969-12-31T23:59:58.500000000Z"),
        (2**63 - 1, "2262-04-11T23:47:16.854775807Z"),
        (-(2**63), "1677-09-21T00:12:43.145224192Z"),
    ],
)
def test_time_is_the_instant_to_the_nanosecond(path, instant, text):
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), events(timestamp=instant))))
    assert log_rows(path)[0]["time"] == text


def test_severity_names_are_those_of_the_model(path):
    with store_at(path) as opened:
        file = tailed()
        for number in range(26):
            write(opened, transaction(stored(file, events(file.offset, severity=number))))
    assert [row["severity"] for row in log_rows(path)] == [severity_text(number) for number in range(26)]


# ------------------------------------------------------------ error groups


def test_groups_come_last_seen_first_with_their_trend(path):
    hour = 60 * MINUTE
    with store_at(path) as opened:
        first = update(1, timestamp=NOW - 3 * DAY)
        recent = update(2, timestamp=NOW, severity=21, count=5)
        recent.minutes = {
            NOW // MINUTE: 5,
            (NOW - hour) // MINUTE: 2,
            (NOW - 23 * hour) // MINUTE: 3,
            (NOW - 24 * hour) // MINUTE: 7,
            (NOW + hour) // MINUTE: 9,  # from the future
        }
        write(opened, transaction(stored(tailed(), events()), groups=[first, recent]))
        found = list_groups(opened.writer.connection, NOW)
        assert [group.id for group in found] == [2, 1]
        assert found[0].trend == [3, *[0] * 21, 2, 5]
        assert found[1].trend == [0] * 24
        assert (found[0].severity, found[1].severity) == ("FATAL", "ERROR")
        assert list_groups(opened.writer.connection, NOW, GroupFilter(group=1)) == [found[1]]
        assert list_groups(opened.writer.connection, NOW, GroupFilter(group=3)) == []
        assert found[1] == ErrorGroup(
            id=1,
            title="ValueError: bad 1",
            culprit="shop/cart.py:add",
            severity="ERROR",
            category="validation",
            state="new",
            state_changed=found[1].state_changed,
            first_seen=NOW - 3 * DAY,
            last_seen=NOW - 3 * DAY,
            count=1,
            trend=[0] * 24,
            service="shop",
            exception_type="ValueError",
            ignored_until=None,
            ignored_events_left=None,
        )


def test_a_group_is_new_for_a_week(path):
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), events()), groups=[update(1)]))
        connection = opened.writer.connection
        assert list_groups(connection, NOW + 7 * DAY)[0].state == "new"
        assert list_groups(connection, NOW + 7 * DAY + 1)[0].state == "ongoing"
        for state in ("resolved", "ignored", "regressed", "ongoing"):
            set_group_state(connection, 1, state, NOW)
            assert list_groups(connection, NOW + 30 * DAY)[0].state == state


# ------------------------------------------------------------ editing


def test_a_state_can_be_changed_beside_a_running_writer(path):
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), events()), groups=[update(1)]))
        with editing(path) as connection:
            assert set_group_state(connection, 1, "resolved", NOW)
            assert not set_group_state(connection, 2, "resolved", NOW)
        assert list_groups(opened.writer.connection, NOW)[0].state == "resolved"
        batch = events(events().end)
        write(opened, transaction(stored(tailed(), batch), groups=[update(1, timestamp=NOW + 1)]))
        assert list_groups(opened.writer.connection, NOW)[0].state == "regressed"


def test_a_change_that_fails_is_taken_back(store):
    with pytest.raises(ZeroDivisionError), editing(store) as connection:
        connection.execute("UPDATE error_groups SET state = 'ignored', count = ?", (1 // 0,))
    with pytest.raises(StoreError, match="CHECK") as caught, editing(store) as connection:
        set_group_state(connection, 1, "nonsense", NOW)
    assert caught.value.code == "SL412"
    with contextlib.closing(open_reader(store)) as connection:
        assert rows(connection, "SELECT state FROM error_groups") == [("new",)]


def test_a_change_waits_for_the_lock_and_gives_up_in_the_end(store, monkeypatch):
    monkeypatch.setattr("agent.store.edit._BUSY_TIMEOUT_S", 0.05)
    holder = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE')\n"
        "print('locked', flush=True); sys.stdin.readline()"
    )
    with program(holder, store), pytest.raises(StoreError) as caught, editing(store):
        pass
    assert caught.value.code == "SL408"


def test_a_missing_store_cannot_be_edited_and_is_not_made(tmp_path):
    with pytest.raises(StoreError) as caught, editing(tmp_path / "s.db"):
        pass
    assert caught.value.code == "SL401"
    assert list(tmp_path.iterdir()) == []


def test_records_are_valid_json_whatever_was_in_them(path):
    records = ['{"message": "a\\u0000b"}', '{"n": 1e999}', '{"a": {"b": [1, "ö"]}}', json.dumps({"x" * 500: None})]
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), events(records=records))))
        assert rows(opened.writer.connection, "SELECT min(json_valid(record)) FROM events") == [(1,)]
    assert len(log_rows(path)) == 4
