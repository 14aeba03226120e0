"""Rounds over real logs and a real store: what is rotated, what is not and why, what a failure leaves to be done."""

from __future__ import annotations

import errno
import os
import time

import pytest
from msgspec.structs import replace

from agent.config import SignalConfig
from agent.core.errors import StoreError
from agent.logkeeping import clear_interrupted
from agent.rotate.copytruncate import CopyTruncate
from agent.rotate.directory import LogDirectory
from agent.rotate.retention import SETTLED_S
from agent.rotate.rotator import RotationTiming
from agent.rotate.unfinished import RetryBackoff
from agent.store import archives, faults, tables
from agent.store.tables import BegunRotation
from agent.tail import rotated_names
from tests.integration.archiving import age

DOWN = StoreError("SL412", "write store", "s.db", "no")


@pytest.fixture(autouse=True)
def _at_once(scene):
    """Failures are tried again in the next round."""
    scene.timing = RotationTiming(count_s=0.0, retry_s=0.0)


def script(scene, text):
    """A command."""
    path = scene.root / "reopen.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return [str(path)]


def test_a_log_that_is_due_is_renamed_and_nothing_is_made_in_its_place(scene):
    scene.write()
    scene.write("other.log", b"small\n")
    rotator = scene.rotator(size=500)
    [done] = rotator.round()
    assert (done.path, done.to, done.bytes) == (str(scene.log), f"{scene.log}.1", 500)
    assert done.why == "it has 500 B, the bound is 500 B"
    assert scene.names() == ["app.log.1", "other.log"]
    assert (scene.looks, scene.reported) == (1, [])
    assert rotator.round() == []
    assert tables.begun_rotations(scene.connection) == []


def test_age_counts_from_the_beginning_and_from_when_the_log_was_empty(scene):
    scene.write(age_s=3600)
    scene.write("young.log", age_s=3500)
    empty = scene.write("empty.log", b"", age_s=3600)
    rotator = scene.rotator(every=3599.0)
    assert [done.path for done in rotator.round()] == [str(scene.log)]
    empty.write_bytes(b"the first line in an hour\n")
    assert rotator.round() == []


def test_rotated_logs_are_not_rotated_again(scene):
    """Also where the pattern matches them, and where the log itself is not there just now."""
    for name in ("app.log.1", "app.log-20261122", "app-2026-11-22.log", "lone.log.7"):
        scene.write(name)
    scene.write(state="rotated")
    scene.write("gone.log", current_path=str(scene.logs / "gone.log.1"))
    scene.write("foreign.log", source="other")
    assert scene.rotator(size=1).round() == []


def test_a_round_looks_once_at_all_sources_and_again_at_names_only_when_they_have_changed(scene, monkeypatch):
    for number in range(3):
        scene.write(f"{number}.log", source=f"source {number}")
    scene.timing = RotationTiming()
    rotator = scene.rotator(size=10**6)
    rule = rotator.rules["app"]
    rotator.rules = {f"source {number}": rule for number in range(3)}
    looks, sets = [], []
    followed, rotated = rotator._followed, rotated_names.rotated
    monkeypatch.setattr(rotator, "_followed", lambda: looks.append(1) or followed())
    monkeypatch.setattr(rotated_names, "rotated", lambda found: sets.append(set(found)) or rotated(found))
    rotator.round()
    looks.clear()
    rotator.round()
    assert (len(looks), len(sets)) == (1, 3)
    scene.write("0.log-20261122", source="source 0")
    assert [len(found) for found in rotator.candidates().values()] == [1, 1, 1]
    assert sets[3:] == [{"0.log", "0.log-20261122"}]


def test_what_the_store_does_not_know_waits(scene):
    """Nobody would find the rest of it after a crash."""
    scene.write(stored=False)
    other = scene.write("another.log")
    scene.followed[1] = replace(scene.followed[1], inode=scene.followed[1].inode + 1)
    changed = scene.write("changed.log")
    changed.write_bytes(b"other\n" * 100)
    rotator = scene.rotator(size=1)
    assert rotator.round() == []
    scene.save(scene.followed[0])
    assert [done.path for done in rotator.round()] == [str(scene.log)]
    assert other.exists()


def test_a_log_that_is_gone_again_is_nothing(scene, monkeypatch):
    scene.write().unlink()
    assert scene.rotator(size=1).round() == []
    scene.write()

    def gone(*_):
        raise FileNotFoundError(errno.ENOENT, "gone")

    monkeypatch.setattr("agent.tail.locate.compare_path", gone)
    assert scene.rotator(size=1).round() == []


def test_a_link_is_left_to_whoever_set_it(scene):
    real = scene.write("real")
    link = scene.logs / "link.log"
    link.symlink_to("real")
    scene.followed[0] = replace(scene.followed[0], path=str(link), current_path=str(link))
    with faults.changing(scene.connection):
        scene.connection.execute("UPDATE files SET path = ?, current_path = path", (str(link),))
    rotator = scene.rotator(size=1)
    assert rotator.round() == []
    assert scene.reported == [("SL820", str(link), True)]
    real.write_bytes(b"")
    rotator.round()
    assert scene.active() == set()


def test_a_refused_rename_is_said_tried_again_and_over_when_it_works(scene, monkeypatch):
    scene.write()
    rotator = scene.rotator(size=1)

    def refuse(*_):
        raise PermissionError(errno.EACCES, "no")

    with monkeypatch.context() as patch:
        patch.setattr(LogDirectory, "rename", refuse)
        assert rotator.round() == rotator.round() == []
    assert scene.reported == [("SL820", str(scene.log), True)]
    assert tables.begun_rotations(scene.connection) == []
    assert len(rotator.round()) == 1
    assert scene.active() == set()


def test_a_log_that_cannot_be_rotated_holds_up_no_other(scene, monkeypatch):
    scene.write()
    scene.write("b.log")
    rename = LogDirectory.rename

    def refuse(folder, old, new):
        if old == "app.log":
            raise PermissionError(errno.EACCES, "no")
        rename(folder, old, new)

    monkeypatch.setattr(LogDirectory, "rename", refuse)
    assert [done.to for done in scene.rotator(size=1).round()] == [f"{scene.logs}/b.log.1"]
    assert scene.reported == [("SL820", str(scene.log), True)]


# ---------------------------------------------------------------- telling


def test_who_cannot_be_told_is_not_rotated(scene):
    scene.write()
    pidfile = scene.root / "app.pid"
    rotator = scene.rotator(size=1, signal=SignalConfig(pidfile=pidfile))
    assert rotator.round() == []
    assert scene.active() == {"SL821"}
    assert scene.names() == ["app.log"]
    scene.log.write_bytes(b"")
    rotator.round()
    assert scene.active() == set(), "there is nothing to tell any more"


def test_all_logs_of_a_round_are_told_at_once(scene):
    scene.write()
    scene.write("b.log")
    command = script(scene, f"cat >> {scene.root}/told; echo >> {scene.root}/told")
    assert len(scene.rotator(size=1, command=command).round()) == 2
    assert (scene.root / "told").read_text() == (
        f'{{"source":"app","logs":[{{"path":"{scene.log}","rotated":"{scene.log}.1"}},'
        f'{{"path":"{scene.logs}/b.log","rotated":"{scene.logs}/b.log.1"}}]}}\n'
    )


def test_an_application_is_told_also_where_the_new_name_cannot_be_flushed(scene, monkeypatch):
    """Some network file systems flush no directory; the log has its new name all the same."""

    def refuse(_):
        raise OSError(errno.EINVAL, "no")

    scene.write()
    command = script(scene, f"cat > {scene.root}/told")
    monkeypatch.setattr(LogDirectory, "flush", refuse)
    assert [done.to for done in scene.rotator(size=1, command=command).round()] == [f"{scene.log}.1"]
    assert (scene.root / "told").exists()
    assert scene.reported == []


def test_a_command_that_fails_is_run_again_before_anything_else_is_rotated(scene):
    scene.write()
    command = script(scene, f"test -e {scene.root}/works")
    rotator = scene.rotator(size=1, command=command)
    assert len(rotator.round()) == 1
    assert scene.active() == {"SL822"}
    scene.write()
    assert rotator.round() == []
    assert [note.path for note in tables.begun_rotations(scene.connection)] == [str(scene.log)]
    (scene.root / "works").touch()
    assert len(rotator.round()) == 1
    assert scene.active() == set()
    assert tables.begun_rotations(scene.connection) == []
    assert scene.names() == ["app.log.1", "app.log.2"]


def test_what_an_agent_that_was_killed_did_not_tell_the_next_one_tells(scene):
    status = scene.write().stat()
    note = BegunRotation(str(scene.log), "app", status.st_dev, status.st_ino)
    with faults.changing(scene.connection):
        tables.begin_rotations(scene.connection, [note, note._replace(path="/gone", source="other")])
    scene.log.rename(scene.logs / "app.log.1")
    scene.followed.clear()
    command = script(scene, f"cat > {scene.root}/told; test -e {scene.root}/works")
    rotator = scene.rotator(size=1, command=command)
    rotator.round()
    assert str(scene.log) in (scene.root / "told").read_text()
    assert tables.begun_rotations(scene.connection) == [note]
    scene.stopped = True
    assert rotator.round() == []
    scene.stopped = False
    (scene.root / "reopen.sh").chmod(0o777)
    rotator.round()
    (scene.root / "reopen.sh").chmod(0o755)
    (scene.root / "works").touch()
    rotator.round()
    assert tables.begun_rotations(scene.connection) == []


def test_a_rotation_that_was_noted_and_did_not_begin_is_forgotten(scene):
    status = scene.write().stat()
    with faults.changing(scene.connection):
        tables.begin_rotations(scene.connection, [BegunRotation(str(scene.log), "app", status.st_dev, status.st_ino)])
    scene.rotator(size=10**6, command=["false"]).round()
    assert tables.begun_rotations(scene.connection) == []
    assert scene.reported == []


def test_an_agent_that_ends_in_the_middle_leaves_the_telling_to_the_next(scene):
    scene.write()
    command = script(scene, f"touch {scene.root}/began; sleep 60")
    rotator = scene.rotator(size=1, command=command)
    stop = [False]
    rotator._unfinished._stop = lambda: stop[0] or (scene.root / "began").exists()
    assert len(rotator.round()) == 1
    assert len(tables.begun_rotations(scene.connection)) == 1


def test_a_store_that_fails_in_the_middle_makes_nothing_forgotten(scene, monkeypatch):
    scene.write()
    rotator = scene.rotator(size=1, command=script(scene, f"echo >> {scene.root}/told"))
    rename = LogDirectory.rename

    def rename_and_break(*arguments):
        rename(*arguments)
        scene.fault = DOWN

    with monkeypatch.context() as patch:
        patch.setattr(LogDirectory, "rename", rename_and_break)
        with pytest.raises(StoreError):
            rotator.round()
    scene.fault = None
    assert scene.names() == ["app.log.1"]
    rotator.round()
    assert (scene.root / "told").exists()
    assert tables.begun_rotations(scene.connection) == []


# ---------------------------------------------------------------- copytruncate


def test_a_log_is_copied_and_truncated_once_its_beginning_is_known(scene):
    scene.write(offset=0)
    rotator = scene.rotator(size=1, method="copytruncate")
    assert rotator.round() == []
    scene.followed.clear()
    scene.follow(scene.log)
    scene.write("app.log.1", b"old\n")
    assert len(rotator.round()) == 1
    assert scene.names() == ["app.log", "app.log.1", "app.log.2"]
    assert scene.log.read_bytes() == b""
    assert tables.begun_rotations(scene.connection) == []


def test_a_truncation_must_be_noticed_before_the_next(scene):
    scene.write()
    rotator = scene.rotator(size=1, method="copytruncate")
    assert len(rotator.round()) == 1
    scene.log.write_bytes(b"line\n" * 200)
    assert rotator.round() == [], "the same generation, as far as is known"
    scene.followed.clear()
    scene.follow(scene.log)
    assert len(rotator.round()) == 1


def test_a_copy_that_cannot_be_flushed_at_last_is_said_and_the_truncation_is_noticed_before_the_next(
    scene, monkeypatch
):
    """A second copy before that would shift the first one away from whoever looks for it."""
    scene.write()
    rotator = scene.rotator(size=1, method="copytruncate")
    truncate, flush = os.ftruncate, os.fsync

    def refuse(_):
        raise OSError(errno.EIO, "no")

    def truncate_and_break(*arguments):
        truncate(*arguments)
        monkeypatch.setattr(os, "fsync", refuse)

    monkeypatch.setattr(os, "ftruncate", truncate_and_break)
    assert rotator.round() == []
    assert scene.active() == {"SL820"}
    monkeypatch.setattr(os, "ftruncate", truncate)
    monkeypatch.setattr(os, "fsync", flush)
    assert (scene.names(), scene.log.read_bytes()) == (["app.log", "app.log.1"], b"")
    scene.log.write_bytes(b"line\n" * 200)
    assert rotator.round() == [], "the same generation, as far as is known"
    scene.followed.clear()
    scene.follow(scene.log)
    assert len(rotator.round()) == 1
    assert scene.active() == set()


def test_an_agent_that_ends_while_it_copies_leaves_the_log(scene):
    scene.write()
    rotator = scene.rotator(size=1, method="copytruncate")
    rotator._stop = lambda: len(scene.names()) > 1
    assert rotator.round() == []
    assert scene.names() == ["app.log"]
    assert tables.begun_rotations(scene.connection) == []


def test_a_store_that_fails_before_the_copy_has_its_name_leaves_the_log(scene, monkeypatch):
    scene.write()
    rotator = scene.rotator(size=1, method="copytruncate")
    begin = CopyTruncate.inode.fget

    def broken(copy):
        scene.fault = DOWN
        return begin(copy)

    with monkeypatch.context() as patch:
        patch.setattr(CopyTruncate, "inode", property(broken))
        with pytest.raises(StoreError):
            rotator.round()
    assert scene.names() == ["app.log"]
    scene.fault = None
    assert len(rotator.round()) == 1


def test_a_crash_before_the_truncation_is_cleared_up(scene):
    status = scene.write().stat()
    (scene.logs / "app.log.1").write_bytes(scene.log.read_bytes())
    note = BegunRotation(str(scene.log), "app", status.st_dev, status.st_ino, (scene.logs / "app.log.1").stat().st_ino)
    with faults.changing(scene.connection):
        tables.begin_rotations(scene.connection, [note])
    scene.rotator(size=10**6, method="copytruncate").round()
    assert scene.names() == ["app.log"]
    assert tables.begun_rotations(scene.connection) == []


def test_a_crash_before_the_truncation_is_cleared_up_as_soon_as_the_directory_is_there(scene):
    """Its disk may be mounted after the agent was started; else the copy is read as well when the log goes on."""
    status = scene.write().stat()
    (scene.logs / "app.log.1").write_bytes(scene.log.read_bytes())
    note = BegunRotation(str(scene.log), "app", status.st_dev, status.st_ino, (scene.logs / "app.log.1").stat().st_ino)
    with faults.changing(scene.connection):
        tables.begin_rotations(scene.connection, [note])
    away = scene.logs.rename(scene.root / "away")
    clear_interrupted(scene.change)
    rotator = scene.rotator(size=10**6, method="copytruncate")
    rotator.round()
    assert tables.begun_rotations(scene.connection) == [note]
    away.rename(scene.logs)
    rotator.round()
    assert scene.names() == ["app.log"]
    assert tables.begun_rotations(scene.connection) == []


# ---------------------------------------------------------------- what is kept


def rotated(scene, number, **facts):
    """A rotated log that was followed, and left alone for a while."""
    path = scene.write(f"app.log.{number}", b"%d\n" % number, state="rotated", path=str(scene.log), **facts)
    age(path, 2 * SETTLED_S)
    return path


def test_of_rotated_logs_the_oldest_go_once_they_are_stored(scene):
    scene.write(data=b"")
    for number in (1, 2, 3, 4, 5):
        rotated(scene, number)
    scene.rotator(size=10**6, keep=2).round()
    assert scene.names() == ["app.log", "app.log.1", "app.log.2"]
    assert scene.reported == []


def test_what_is_not_stored_stays_and_that_is_said(scene):
    scene.write(data=b"")
    rotated(scene, 1)
    rotated(scene, 2, offset=1)
    never = scene.logs / "app.log.3"
    never.write_bytes(b"x\n")
    age(never)
    (scene.logs / "app.log.4").write_bytes(b"")
    (scene.logs / "app.log.5").mkdir()
    (scene.logs / "app.log.6").write_bytes(b"written just now\n")
    rotator = scene.rotator(size=10**6, keep=0)
    rotator.round()
    assert scene.names() == ["app.log", "app.log.2", "app.log.3", "app.log.5", "app.log.6"]
    assert scene.reported == [("SL823", str(scene.log), True)]
    assert "app.log.3 and 1 more beside" in scene.messages[0]
    assert "never followed" in scene.messages[0]
    never.unlink()
    (scene.logs / "app.log.2").unlink()
    rotator.round()
    assert scene.active() == set()


def test_with_archives_nothing_else_goes(scene):
    scene.write(data=b"")
    path = rotated(scene, 1)
    rotator = scene.rotator(archiving=True, size=10**6, keep=0)
    rotator.round()
    assert (scene.names(), scene.reported) == (["app.log", "app.log.1"], [])
    status = path.stat()
    log = archives.ArchivedLog(archives.FileVersion.of(status), 1, str(path))
    with faults.changing(scene.connection):
        archives.remember_log(scene.connection, log)
    rotator.round()
    assert scene.names() == ["app.log"]


def test_a_log_that_cannot_be_deleted_is_named(scene, monkeypatch):
    scene.write(data=b"")
    path = rotated(scene, 1)
    rotator = scene.rotator(size=10**6, keep=0)

    def refuse(*_):
        raise PermissionError(errno.EACCES, "no")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", refuse)
        rotator.round()
    assert "it cannot be deleted: Permission denied" in scene.messages[0]
    with monkeypatch.context() as patch:
        patch.setattr("agent.archive.logfile.os.open", refuse)
        rotator.round()
    assert path.exists()
    rotator.round()
    assert (scene.names(), scene.active()) == (["app.log"], set())


def test_a_log_that_a_process_has_open_for_writing_stays_and_that_is_said(scene, monkeypatch):
    """Such a process does not know of the rotator; without a word the rotated logs would become more and more."""
    scene.write(data=b"")
    path = rotated(scene, 1)
    rotator = scene.rotator(size=10**6, keep=0)
    with monkeypatch.context() as patch:
        patch.setattr("agent.archive.logfile.has_writer", lambda _: True)
        rotator.round()
        rotator.round()
    assert path.exists()
    assert "app.log.1 beside" in scene.messages[0]
    assert "stays: a process has it open" in scene.messages[0]
    rotator.round()
    assert (scene.names(), scene.active()) == (["app.log"], set())


def test_the_newest_rotated_log_stays_until_its_application_has_a_new_one(scene, monkeypatch):
    """It may write once an hour; and where the agent does not own the log, the kernel does not tell who writes it."""
    monkeypatch.setattr("agent.archive.logfile.has_writer", lambda _: False)
    rotated(scene, 1)
    rotated(scene, 2)
    scene.write(data=b"").unlink()
    rotator = scene.rotator(size=10**6, keep=0)
    rotator.round()
    assert scene.names() == ["app.log.1"]
    assert scene.reported == []
    scene.log.touch()
    rotator.round()
    assert scene.names() == ["app.log"]


def test_what_must_not_be_looked_at_stays(scene, monkeypatch):
    """Its directory can be listed, and nothing in it be looked at."""
    scene.write(data=b"")
    path = rotated(scene, 1)
    lstat = os.lstat

    def refuse(name, **rest):
        if str(name) == str(path):
            raise PermissionError(errno.EACCES, "Permission denied")
        return lstat(name, **rest)

    rotator = scene.rotator(size=10**6, keep=0)
    monkeypatch.setattr(os, "lstat", refuse)
    rotator.round()
    assert "stays: Permission denied" in scene.messages[0]


def test_what_cannot_be_looked_at_stays(scene, monkeypatch):
    scene.write(data=b"")
    rotated(scene, 1)

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("agent.tail.locate.compare_path", refuse)
    scene.rotator(size=10**6, keep=0).round()
    assert "stays: Permission denied" in scene.messages[0]


def test_a_directory_that_is_gone_holds_nothing(scene):
    scene.write(data=b"")
    scene.log.unlink()
    scene.logs.rmdir()
    assert scene.rotator(size=1, keep=0).round() == []


def test_an_application_that_writes_on_in_the_renamed_log_is_noticed(scene):
    scene.timing = RotationTiming(count_s=0.0, reopened_s=0.0)
    scene.write()
    rotator = scene.rotator(size=1)
    rotator.round()
    assert scene.reported == []
    first = scene.logs / "app.log.1"
    os.utime(first, (time.time() + 60, time.time() + 60))
    rotator.round()
    assert scene.reported == [("SL824", str(scene.log), True)]
    assert f"{scene.log} was renamed to {first}" in scene.messages[0]
    first.rename(scene.logs / "app.log.7")
    rotator.round()
    assert scene.active() == {"SL824"}, "it is found under another name"
    scene.log.touch()
    rotator.round()
    assert scene.active() == set()


def test_pauses_grow_up_to_a_bound_and_begin_anew_after_a_success():
    now = [0.0]
    waiting = RetryBackoff(clock=lambda: now[0])
    pauses = []
    for _ in range(10):
        waiting.failed("a")
        began = now[0]
        while not waiting.is_due("a"):
            now[0] += 5.0
        pauses.append(now[0] - began)
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses[-1] == 300
    waiting.succeeded("a")
    assert waiting.is_due("a")
    waiting.failed("a")
    waiting.failed("b")
    waiting.keep({"b"})
    assert (waiting.is_due("a"), waiting.is_due("b")) == (True, False)


def test_a_renamed_log_that_vanishes_while_it_is_looked_at_is_nobodys_fault(scene, monkeypatch):
    scene.write()
    rotator = scene.rotator(size=1)
    rotator.round()
    (scene.logs / "app.log.1").rename(scene.logs / "app.log.2")
    monkeypatch.setattr("agent.tail.locate.find_inode", lambda *_: str(scene.logs / "gone"))
    rotator.round()
    assert scene.reported == []


def test_a_rotated_log_that_vanishes_while_it_is_looked_at_is_gone(scene, monkeypatch):
    scene.write(data=b"")
    rotated(scene, 1)
    monkeypatch.setattr("agent.rotate.retention._names_in", lambda *_: ["app.log", "app.log.1", "app.log.2"])
    scene.rotator(size=10**6, keep=0).round()
    assert scene.names() == ["app.log"]


def test_an_agent_that_ends_rotates_nothing_more(scene):
    scene.write()
    scene.stopped = True
    assert scene.rotator(size=1).round() == []
    assert scene.names() == ["app.log"]
