"""A disk or a lock that fails at the start, or under the agent's own log: it waits, and never dies of it."""

import errno
import sqlite3
import subprocess
from pathlib import Path

import pytest

from agent.core import logs
from tests.integration.harness import SIDELOG, Box, append, event, wait_until


@pytest.fixture
def box(tmp_path):
    box = Box(tmp_path)
    yield box
    box.kill()


def spawn(box, stderr):
    box.process = subprocess.Popen(
        [*SIDELOG, "run", "-c", str(box.config)], cwd=box.root, env=box.env, stderr=stderr, start_new_session=True
    )


def test_an_agent_started_beside_a_locked_store_waits_for_it(box):
    append(box.log, event(0))
    box.once()
    intruder = sqlite3.connect(box.store, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    append(box.log, event(1))
    with box.stderr.open("ab") as stderr:
        spawn(box, stderr)
    wait_until(lambda: "SL408" in box.said(), what="the agent's word about the lock")
    assert box.process.poll() is None
    intruder.execute("ROLLBACK")
    intruder.close()
    box.wait_count(2)
    assert box.numbers() == [0, 1]
    wait_until(lambda: "condition is over" in box.said(), what="the end of the condition")
    assert box.stop() == 0


def test_an_agent_that_waits_for_its_store_can_be_stopped(box):
    append(box.log, event(0))
    box.once()
    intruder = sqlite3.connect(box.store, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    with box.stderr.open("ab") as stderr:
        spawn(box, stderr)
    wait_until(lambda: "SL408" in box.said(), what="the agent's word about the lock")
    assert box.stop() == 0
    intruder.close()


def test_a_run_that_reads_once_does_not_wait_for_a_locked_store(box):
    append(box.log, event(0))
    box.once()
    intruder = sqlite3.connect(box.store, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    done = box.run("run", "--once")
    intruder.close()
    assert done.returncode == 3
    assert b"SL408" in done.stderr


def test_an_agent_whose_own_log_cannot_be_written_works_on(box):
    append(box.log, event(0))
    with Path("/dev/full").open("wb") as full:
        spawn(box, full)
    box.wait_count(1)
    append(box.log, event(1))
    box.wait_count(2)
    assert box.stop() == 0
    assert box.numbers() == [0, 1]


def test_a_log_line_for_a_full_disk_is_dropped():
    class Full:
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    stream = logs._Tolerant(Full())
    stream.write("gone\n")
    stream.flush()
