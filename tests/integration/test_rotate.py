"""Logs that sidelog rotates itself, while real applications write them: every line once, whatever happens."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter

import pytest

from tests.integration import archiving
from tests.integration.archiving import age, archives, content
from tests.integration.harness import wait_until
from tests.integration.oracle import Scribe, injected, settled, verify
from tests.integration.rotating import Application, active, configure, numbers, rotated, rotations

LONG = [pytest.mark.soak, pytest.mark.timeout(1200)]
ORDINARY = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=LONG)])
def test_an_application_that_is_signalled_loses_nothing_over_many_rotations(box, kills):
    """Not even where the agent is killed again and again in the middle of them."""
    pidfile = box.root / "app.pid"
    configure(box, size="4KiB", keep=1000, signal={"pidfile": str(pidfile), "name": "USR1"})
    box.start()
    with Application(box.log, pidfile=pidfile) as application:
        for number in range(kills):
            wait_until(lambda wanted=3 * (number + 1): rotations(box) >= wanted, what="three rotations")
            box.kill()
            box.start()
        lines = application.stop()
    box.wait_count(lines)
    assert sorted(numbers(box)) == list(range(lines))
    assert len(rotated(box)) >= 3 * kills
    assert box.stop() == 0
    assert box.books_balance()


def test_an_application_that_looks_by_itself_is_not_told(box):
    """Python's WatchedFileHandler."""
    configure(box, "app.log*", size="4KiB", keep=1000)
    box.start()
    with Application(box.log, "watched") as application:
        wait_until(lambda: rotations(box) >= 3, what="three rotations")
        lines = application.stop()
    box.wait_count(lines)
    assert numbers(box) == list(range(lines))
    assert len(rotated(box)) >= 3
    assert box.stop() == 0


@pytest.mark.parametrize(
    ("pattern", "wanted"), [("app.log", 3), ("app.log*", 3), pytest.param("app.log*", 300, marks=LONG)]
)
def test_an_application_that_cannot_reopen_has_its_log_copied_and_truncated(box, pattern, wanted):
    """What it writes between the last look and the truncation is lost, and nothing else; nothing comes twice."""
    configure(box, pattern, size="4KiB", keep=1000, method="copytruncate")
    box.start()
    with Application(box.log, "kept") as application:
        wait_until(lambda: rotations(box) >= wanted, 60 + wanted, what=f"{wanted} rotations")
        lines = application.stop()
    wait_until(lambda: lines - 1 in numbers(box), what="the last line")
    found = numbers(box)
    assert found == sorted(set(found))
    assert lines - len(found) <= rotations(box)
    assert box.stop() == 0


def test_a_log_is_rotated_only_once_its_application_can_be_told(box):
    pidfile = box.root / "app.pid"
    configure(box, size="4KiB", signal={"pidfile": str(pidfile), "name": "USR1"})
    box.start()
    with Application(box.log) as application:
        wait_until(lambda: active(box, "SL821"), what="the condition")
        assert rotated(box) == []
        assert not box.status()["healthy"]
        lines = application.stop()
    with Application(box.log, pidfile=pidfile) as application:
        box.process.send_signal(signal.SIGHUP)  # it tries again at once
        wait_until(lambda: rotated(box), what="the rotation")
        wait_until(lambda: not active(box, "SL821"), what="the end of the condition")
        lines += application.stop()
    box.wait_count(lines)


def test_a_command_that_hangs_is_killed_and_run_again(box):
    script = box.root / "reopen.sh"
    script.write_text(f"#!/bin/sh\ntest -e {box.root}/works || sleep 3600\ncat >> {box.root}/told\n")
    script.chmod(0o755)
    configure(box, size="1KiB", command=[str(script)], timeout="200ms")
    scribe = Scribe()
    box.start()
    scribe.append(box.log, 20)
    wait_until(lambda: active(box, "SL822"), what="the condition")
    assert "timeout after 0.2s" in box.said()
    scribe.append(box.log, 20)
    settled(box, scribe)
    assert rotated(box) == ["app.log.1"], "not again before it has succeeded"
    box.kill()
    (box.root / "works").touch()
    box.start()
    wait_until(lambda: rotated(box) == ["app.log.1", "app.log.2"], what="the next rotation")
    wait_until(lambda: (box.root / "told").read_text().count("}]}") == 2, what="both tellings")
    told = json.loads((box.root / "told").read_text().split("}]}")[0] + "}]}")
    assert told == {"source": "app", "logs": [{"path": str(box.log), "rotated": f"{box.log}.1"}]}
    settled(box, scribe)


def test_a_directory_that_must_not_be_written_is_said_and_nothing_is_lost(box):
    configure(box, size="1KiB")
    scribe = Scribe()
    box.start(*ORDINARY)
    if ORDINARY:
        box.log.touch()
        os.chown(box.log, 1234, 1234)
        box.log.chmod(0o666)
        os.chown(box.logs, 1234, 1234)
    box.logs.chmod(0o555)
    try:
        scribe.append(box.log, 20)
        wait_until(lambda: active(box, "SL820"), what="the condition")
        assert "ReadWritePaths" in box.said() or "setfacl" in box.said()
        settled(box, scribe)
    finally:
        box.logs.chmod(0o777)
    box.process.send_signal(signal.SIGHUP)
    wait_until(lambda: rotated(box) and not active(box, "SL820"), what="the rotation")
    settled(box, scribe)


def test_what_is_beyond_keep_goes_once_it_is_stored_and_settled(box):
    configure(box, size="1KiB", keep=2)
    scribe = Scribe()
    box.start()
    for number in range(3):
        scribe.append(box.log, 10)
        wait_until(lambda before=number: rotations(box) > before, what="the rotation")
    settled(box, scribe)
    assert len(rotated(box)) == 3, "an application may still be about to write there"
    for name in rotated(box):
        age(box.logs / name)
    wait_until(lambda: rotated(box) == ["app.log.1", "app.log.2"], what="what is kept")
    assert box.status()["healthy"]


def test_with_archives_a_rotated_log_is_one_query_away(box):
    """While the archiver works, logs get new numbers; none is archived twice or not at all."""
    configure(box, size="4KiB", keep=0)
    archiving.configure(box)
    scribe = Scribe()
    box.start()
    for number in range(5):
        scribe.append(box.log, 40)
        wait_until(lambda before=number: rotations(box) > before, what="the rotation")
    scribe.append(box.log, 1)
    wait_until(lambda: rotated(box) == [], what="the archives")
    box.wait_count(len(scribe.written))
    assert box.stop() == 0
    verify(box, scribe, unchanged=False)
    assert len(archives(box)) == 5
    archived = [line for log in content(box) for line in log.splitlines()]
    assert Counter(archived) == Counter(scribe.written[:-1])
    assert len(box.query()) == len(scribe.written)


@pytest.mark.parametrize(
    ("method", "call", "number"),
    [
        ("rename", "pidfd_send_signal", 1),
        ("copytruncate", "ftruncate", 1),
    ],
)
def test_a_kill_in_the_middle_of_a_rotation_loses_and_doubles_nothing(box, method, call, number):
    pidfile = box.root / "app.pid"
    pidfile.write_text(f"{os.getpid()}\n")
    told: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: told.append(1))
    try:
        telling = {"signal": {"pidfile": str(pidfile), "name": "USR1"}} if method == "rename" else {}
        configure(box, "app.log*", size="4KiB", keep=1000, method=method, **telling)
        scribe = Scribe()
        scribe.append(box.logs / "app.log.1", 10)
        scribe.append(box.log, 5)
        box.start()
        box.wait_count(15)
        paths = (box.log,) if call == "ftruncate" else ()
        with injected(box, f"{call}:signal=KILL:when={number}", paths=paths):
            scribe.append(box.log, 40)
            wait_until(lambda: box.process.poll() is not None, what="the kill")
        box.start()
        if method == "rename":
            wait_until(lambda: told, what="the signal")
        wait_until(lambda: not box.log.exists() or not box.log.stat().st_size, what="the rotation")
        scribe.append(box.log, 3)
        settled(box, scribe)
        assert len(rotated(box)) == 2
        assert not [path.name for path in box.logs.iterdir() if path.name.startswith(".")]
        assert box.stop() == 0
    finally:
        signal.signal(signal.SIGUSR1, before)
