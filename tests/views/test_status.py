"""What `status` knows: running, stopped or dead; behind or stuck; and why it is not well."""

import contextlib
import json
import os
import sqlite3

import pytest
from msgspec.structs import replace

from agent.core.model import OwnError
from agent.store import schema, tables
from agent.store.lock import StoreLock, lock_path
from agent.store.reader import open_reader
from agent.views import status
from tests.store.stores import MINUTE, NOW, changes, events, gap, store_at, stored, tailed, transaction, write

HOUR = 60 * MINUTE


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "sidelog.db"


@pytest.fixture
def log(tmp_path):
    """A followed file with three stored lines."""
    file = tmp_path / "app.log"
    file.write_bytes(b"".join(record.encode() + b"\n" for record in events(count=3).records))
    os.utime(file, ns=(NOW, NOW))
    return file


def followed(log, number=1, **facts):
    status = log.stat()
    file = tailed(number, path=str(log), current_path=str(log), **facts)
    return replace(file, device=status.st_dev, inode=status.st_ino)


def status_at(path, now=NOW):
    with contextlib.closing(open_reader(path)) as connection:
        return status.look(connection, path, now).document()


def begin(opened, started_at=NOW - HOUR):
    tables.begin_run(
        opened.writer.connection, {"pid": 4242, "started_at": started_at, "version": "1.2.3", "once": False}
    )
    lock_path(opened.writer.path).write_text(json.dumps({"pid": 4242, "started_at": started_at}))


# ------------------------------------------------------------ the agent


def test_a_store_on_which_nobody_ever_ran_is_healthy(path):
    with store_at(path):
        pass
    found = status_at(path)
    assert found["healthy"]
    assert found["agent"] == {
        "running": False, "died": False, "pid": None, "started_at": None, "stopped_at": None, "version": None,
    }  # fmt: skip


def test_a_running_agent_is_told_by_its_lock(path):
    with store_at(path) as opened:
        begin(opened)
        found = status_at(path)
    assert found["healthy"]
    assert found["agent"]["running"]
    assert (found["agent"]["pid"], found["agent"]["version"]) == (4242, "1.2.3")
    assert found["agent"]["started_at"] == "2026-11-18T10:06:40.000000000Z"


def test_an_owner_without_a_name_has_the_pid_of_its_run(path):
    with store_at(path) as opened:
        begin(opened)
        lock_path(path).write_text("")
        assert status_at(path)["agent"]["pid"] == 4242


def test_an_agent_that_died_is_unhealthy_and_one_that_stopped_is_not(path):
    with store_at(path) as opened:
        begin(opened)
    found = status_at(path)
    assert not found["healthy"]
    assert found["agent"]["died"]
    assert "4242" in found["problems"][0]
    with store_at(path) as opened:
        tables.end_run(opened.writer.connection, NOW)
    found = status_at(path)
    assert found["healthy"]
    assert (found["agent"]["died"], found["agent"]["stopped_at"]) == (False, "2026-11-18T11:06:40.000000000Z")


# ------------------------------------------------------------ files


def test_a_file_that_was_read_to_its_end_has_no_lag(path, log):
    with store_at(path) as opened:
        write(opened, transaction(stored(followed(log), events(count=3))))
    [file] = status_at(path, NOW + HOUR)["files"]
    assert (file["size"], file["offset"], file["lag_bytes"], file["lag_seconds"]) == (log.stat().st_size,) * 2 + (
        0,
        0.0,
    )
    assert (file["path"], file["source"], file["events"], file["state"]) == (str(log), "app", 3, "active")


def test_lag_counts_from_when_the_unread_bytes_could_have_come(path, log):
    with store_at(path) as opened:
        write(opened, transaction(stored(followed(log), events(count=2), observed=NOW - HOUR)))
    [file] = status_at(path, NOW + 5 * 10**9)["files"]
    assert file["lag_bytes"] == log.stat().st_size - events(count=2).end
    assert file["lag_seconds"] == 5.0


@pytest.mark.parametrize("change", ["deleted", "replaced", "shrunk"])
def test_a_file_that_is_not_there_has_no_lag(path, log, tmp_path, change):
    with store_at(path) as opened:
        write(opened, transaction(stored(followed(log), events(count=3))))
    if change == "shrunk":
        os.truncate(log, 1)
    else:
        log.rename(tmp_path / "kept")
        if change == "replaced":
            log.write_bytes(b"x" * 10_000)
    [file] = status_at(path)["files"]
    assert file["lag_bytes"] == 0


def test_finished_files_are_history(path, log):
    with store_at(path) as opened:
        write(opened, transaction(stored(followed(log, state="finished"), events(count=3))))
        write(opened, transaction(files=changes(followed(log, 2, state="rotated"))))
    assert [file["state"] for file in status_at(path)["files"]] == ["rotated"]


def test_whole_lines_that_wait_while_the_agent_runs_are_a_fault(path, log):
    with store_at(path) as opened:
        begin(opened)
        write(opened, transaction(stored(followed(log), events(count=2))))
        assert status_at(path, NOW + 119 * 10**9)["healthy"]
        found = status_at(path, NOW + 121 * 10**9)
        assert not found["healthy"]
        assert str(log) in found["problems"][0]
        tables.end_run(opened.writer.connection, NOW)
    assert status_at(path, NOW + HOUR)["healthy"], "a stopped agent has nothing to read"


def test_a_line_that_is_still_being_written_is_nobodys_fault(path, log):
    with store_at(path) as opened:
        begin(opened)
        write(opened, transaction(stored(followed(log), events(count=3))))
        with log.open("ab") as file:
            file.write(b'{"message": "half')
        os.utime(log, ns=(NOW, NOW))
        found = status_at(path, NOW + HOUR)
        assert found["healthy"]
        assert found["files"][0]["lag_bytes"] == 17
        with log.open("ab") as file:
            file.write(b"x" * 2**20)
        os.utime(log, ns=(NOW, NOW))
        assert not status_at(path, NOW + HOUR)["healthy"], "so long a line should be on its way"


def test_a_file_that_is_written_all_the_time_and_never_read_is_found(path, log):
    """Its last change is always a moment ago: only the second look tells it from an idle file with a new line."""
    with store_at(path) as opened, contextlib.closing(open_reader(path)) as connection:
        begin(opened)
        write(opened, transaction(stored(followed(log), events(count=2))))
        os.utime(log, ns=(NOW + HOUR, NOW + HOUR))
        snapshot = status.look(connection, path, NOW + HOUR)
        assert snapshot.is_doubtful
        snapshot.look_again(connection)
        assert snapshot.is_doubtful
        found = snapshot.document()
    assert found["files"][0]["lag_seconds"] == 0.0
    assert not found["healthy"]


def test_a_line_just_written_to_an_idle_file_is_cleared_by_the_second_look(path, log):
    with store_at(path) as opened, contextlib.closing(open_reader(path)) as connection:
        begin(opened)
        file = followed(log)
        write(opened, transaction(stored(file, events(count=2))))
        os.utime(log, ns=(NOW + HOUR, NOW + HOUR))
        snapshot = status.look(connection, path, NOW + HOUR)
        assert snapshot.is_doubtful
        write(opened, transaction(stored(file, events(file.offset, count=1))))
        snapshot.look_again(connection)
        assert not snapshot.is_doubtful
        assert snapshot.document()["healthy"]


def test_a_file_whose_lines_wait_for_long_needs_no_second_look(path, log):
    with store_at(path) as opened, contextlib.closing(open_reader(path)) as connection:
        begin(opened)
        write(opened, transaction(stored(followed(log), events(count=2))))
        snapshot = status.look(connection, path, NOW + HOUR)
    assert not snapshot.is_doubtful
    assert not snapshot.document()["healthy"]


def test_an_agent_that_has_just_started_is_given_time(path, log):
    with store_at(path) as opened:
        begin(opened, started_at=NOW + HOUR)
        write(opened, transaction(stored(followed(log), events(count=2))))
        assert status_at(path, NOW + HOUR + MINUTE)["healthy"]


def test_a_file_that_is_no_longer_known_at_the_second_look_is_no_trouble(path, log):
    with store_at(path) as opened, contextlib.closing(open_reader(path)) as connection:
        begin(opened)
        write(opened, transaction(stored(followed(log), events(count=2))))
        os.utime(log, ns=(NOW + HOUR, NOW + HOUR))
        snapshot = status.look(connection, path, NOW + HOUR)
        opened.writer.connection.execute("DELETE FROM files")
        snapshot.look_again(connection)
        assert snapshot.document()["healthy"]


def test_a_file_that_vanishes_while_one_looks_is_not_cleared_by_that(log):
    file = {"offset": 5, "current_path": str(log.with_name("gone"))}
    assert status._holds_line(file), "nothing is known of it, so the benefit of the doubt is not given"


# ------------------------------------------------------------ the rest of the document


def test_own_errors_make_a_running_agent_unhealthy_while_they_last(path):
    with store_at(path) as opened:
        begin(opened)
        write(opened, transaction(own_errors=[OwnError("SL201", "/a", "cannot read /a", "chmod", NOW)]))
        found = status_at(path)
        assert found["problems"] == ["SL201: cannot read /a"]
        assert found["errors"] == [
            {
                "code": "SL201",
                "subject": "/a",
                "message": "cannot read /a",
                "hint": "chmod",
                "first_seen": "2026-11-18T11:06:40.000000000Z",
                "last_seen": "2026-11-18T11:06:40.000000000Z",
                "count": 1,
                "active": True,
            }
        ]
        write(opened, transaction(own_errors=[OwnError("SL201", "/a", "", "", NOW, active=False)]))
        found = status_at(path)
        assert found["healthy"]
        assert not found["errors"][0]["active"]


def test_many_own_errors_of_one_code_are_one_finding_with_the_newest(path):
    with store_at(path) as opened:
        begin(opened)
        errors = [OwnError("SL201", f"/{n}", f"cannot read /{n}", "chmod", NOW + n) for n in range(70)]
        write(opened, transaction(own_errors=[*errors, OwnError("SL703", "page", "gave up", "see", NOW)]))
        found = status_at(path)
        first, second = found["findings"]
        assert (first["code"], first["active"], first["subjects"], first["count"]) == ("SL201", True, 70, 70)
        assert (first["message"], first["last_seen"]) == ("cannot read /69", "2026-11-18T11:06:40.000000069Z")
        assert second["code"] == "SL703"
        assert status.brief_problems(found) == [
            "SL201: 70 findings, the newest: cannot read /69", "SL703: gave up",
        ]  # fmt: skip
        assert len(found["problems"]) == 50, "the document goes on naming each"


def test_other_problems_stand_before_and_are_cut_to_a_few():
    document = {"agent": {"running": True}, "errors": [], "findings": [], "problems": [f"/{n} waits" for n in range(9)]}
    assert status.brief_problems(document) == [*(f"/{n} waits" for n in range(5)), "… and 4 more of this kind"]


def test_logs_that_cannot_be_deleted_after_archiving_are_a_warning(path):
    """They cost space alone; an exit code that is 1 for good would say nothing when something happens."""
    with store_at(path) as opened:
        begin(opened)
        write(opened, transaction(own_errors=[OwnError("SL807", f"/{n}", "stays", "", NOW) for n in range(3)]))
        found = status_at(path)
        assert (found["healthy"], found["problems"], status.brief_problems(found)) == (True, [], [])
        assert status.is_warning(found["findings"][0])
        write(opened, transaction(own_errors=[OwnError("SL804", "/a", "no archive", "", NOW)]))
        assert status_at(path)["problems"] == ["SL804: no archive"]


@pytest.mark.parametrize(
    ("started", "first", "seconds"),
    [
        (NOW - 23 * 10**9, NOW - 20 * 10**9, 23),  # it has just begun
        (NOW - 23 * 10**9, NOW - 60 * 10**9, 60),  # and has read what was there
        (NOW - HOUR, NOW - 20 * 10**9, 4 * 60 + NOW % MINUTE / 1e9),
        (NOW - 23 * 10**9, NOW - HOUR, 23),  # an old log
        (NOW + HOUR, NOW - 10 * 10**9, 10),  # the clock was set back
    ],
)
def test_rates_are_over_the_time_that_has_passed(path, started, first, seconds):
    with store_at(path) as opened:
        begin(opened, started)
        write(opened, transaction(stored(tailed(), events(count=6, timestamp=first))))
        recent = 0 if first < NOW - 5 * MINUTE else 6
        assert status_at(path)["events"]["per_second"] == round(recent / seconds, 3)


def test_counts_rates_and_gaps(path):
    with store_at(path) as opened:
        batch = events(count=5, blank_bytes=4, parse_errors={3: "not JSON"})
        batch.gaps = [gap(batch.end, batch.end + 7)]
        batch.end += 7
        write(opened, transaction(stored(tailed(), batch)))
        write(opened, transaction(stored(tailed(2), events(count=3, severity=17, timestamp=NOW - 2 * MINUTE))))
        write(opened, transaction(stored(tailed(3), events(count=50, timestamp=NOW - HOUR))))
    found = status_at(path)
    seconds = 4 * 60 + NOW % MINUTE / 1e9
    assert found["events"] == {
        "total": 58,
        "per_second": round(8 / seconds, 3),
        "errors_per_second": round(3 / seconds, 3),
        "parse_errors": 1,
        "blank_bytes": 4,
        "gap_bytes": 7,
    }
    assert found["gaps"] == [
        {
            "path": "/var/log/app-1.log",
            "from": batch.end - 7,
            "to": batch.end,
            "bytes": 7,
            "reason": "over_long",
            "time": "2026-11-18T11:06:40.000000000Z",
        }
    ]
    assert found["store"]["path"] == str(path)
    assert found["store"]["bytes"] == path.stat().st_size
    assert (found["store"]["schema"], found["store"]["sqlite"]) == (schema.VERSION, sqlite3.sqlite_version)


def test_events_deleted_by_retention_are_not_counted(path):
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), events(count=50))))
        opened.writer.connection.execute("DELETE FROM events WHERE id <= 20")
    assert status_at(path)["events"]["total"] == 30
    with store_at(path) as opened:
        opened.writer.connection.execute("DELETE FROM events")
    assert status_at(path)["events"]["total"] == 0


def test_the_document_has_the_promised_parts(path):
    with store_at(path):
        pass
    found = status_at(path, None)
    promised = ["healthy", "agent", "files", "events", "gaps", "store", "archive", "alerts", "hooks", "errors"]
    assert set(promised) <= set(found)
    nothing = {"expired_events": 0, "searchable_events": 0, "searchable_share": None}
    assert found["archive"] == {"files": 0, "bytes": 0, "raw_bytes": 0, "oldest_event": None, **nothing}
    assert (found["alerts"], found["hooks"], found["gaps"], found["files"]) == ([], [], [], [])
    json.dumps(found)


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (NOW + 1, "2026-11-18T11:06:40.000000001Z"),
    ],
)
def test_instants_are_written_to_the_nanosecond(instant, text):
    assert status.iso(instant) == text


def test_the_lock_that_is_asked_about_stays_held(path):
    with store_at(path):
        status_at(path)
        with pytest.raises(Exception, match="belongs to a running agent"):
            StoreLock(path).acquire()
