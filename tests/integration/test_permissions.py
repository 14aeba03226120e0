"""Permission lost and given back, directories that vanish and return: one message, nothing lost, nothing twice."""

import json
import os
import subprocess

import pytest

from tests.integration.harness import SIDELOG, append, events, wait_until
from tests.integration.oracle import Scribe, nudge, settled

BOUND = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


@pytest.fixture
def ordinary(box):
    """How to start the agent so that file permissions count for it, also where the tests run as root."""
    return BOUND


def active(box, code):
    return [error for error in box.status()["errors"] if error["code"] == code and error["active"]]


def test_a_file_that_becomes_readable_is_read_from_its_beginning(box, ordinary):
    """Permission denied is one condition with one line in the log, ended by the first success."""
    scribe, other = Scribe(), Scribe("other")
    scribe.append(box.log, 20)
    box.log.chmod(0)
    box.start(*ordinary)
    wait_until(lambda: active(box, "SL201"), what="the condition")
    for _ in range(3):
        nudge(box, other, box.logs / "other.log")
    assert box.said().count("SL201") == 1
    box.log.chmod(0o600)
    settled(box, scribe, other)
    wait_until(lambda: not active(box, "SL201"), what="its end")


def test_a_file_that_loses_its_permission_over_a_restart_goes_on_at_its_offset(box, ordinary):
    scribe, other = Scribe(), Scribe("other")
    scribe.append(box.log, 20)
    box.start(*ordinary)
    box.wait_count(20)
    box.kill()
    scribe.append(box.log, 5)
    box.log.chmod(0)
    box.start(*ordinary)
    wait_until(lambda: active(box, "SL201"), what="the condition")
    nudge(box, other, box.logs / "other.log")
    box.log.chmod(0o600)
    settled(box, scribe, other)


def test_a_directory_that_is_closed_and_opened_again_loses_nothing(box, ordinary):
    scribe = Scribe()
    scribe.append(box.log, 20)
    box.start(*ordinary, rescan_s=0.5)
    box.wait_count(20)
    with box.log.open("ab", buffering=0) as writer:
        box.logs.chmod(0)
        wait_until(lambda: active(box, "SL209"), what="the condition")
        writer.write(scribe.lines(5))  # the file is open: it is read all the same
        box.wait_count(25)
        box.logs.chmod(0o700)
    scribe.append(box.logs / "new.log", 5)
    settled(box, scribe)
    wait_until(lambda: not active(box, "SL209"), what="its end")


def test_a_directory_that_is_closed_over_a_restart_is_no_proof_that_its_files_are_gone(box, ordinary):
    scribe, other = Scribe(), Scribe("other")
    elsewhere = box.root / "elsewhere"
    elsewhere.mkdir()
    box.configure(include=[f"{box.logs}/*.log", f"{elsewhere}/*.log"])
    scribe.append(box.log, 20)
    box.start(*ordinary, rescan_s=0.5)
    box.wait_count(20)
    box.kill()
    scribe.append(box.log, 5)
    box.logs.chmod(0)
    box.start(*ordinary, rescan_s=0.5)
    nudge(box, other, elsewhere / "other.log")
    box.logs.chmod(0o700)
    settled(box, scribe, other)


def test_a_directory_that_vanishes_and_returns_is_followed_again(box):
    """Moved away and back (the same files go on), then replaced by a new one with new files."""
    scribe = Scribe()
    scribe.append(box.log, 10)
    box.start(rescan_s=0.5)
    box.wait_count(10)
    away = box.root / "away"
    box.logs.rename(away)
    scribe.append(away / "app.log", 5)
    box.wait_count(15)
    away.rename(box.logs)
    scribe.append(box.log, 5)
    box.wait_count(20)
    box.logs.rename(away)
    box.logs.mkdir()
    scribe.append(box.log, 5)
    settled(box, scribe)


def test_a_directory_that_does_not_exist_yet_is_waited_for(box):
    box.configure(include=[f"{box.logs}/deep/er/*.log"])
    scribe = Scribe()
    box.start(rescan_s=0.5)
    (box.logs / "deep" / "er").mkdir(parents=True)
    scribe.append(box.logs / "deep" / "er" / "app.log", 10)
    settled(box, scribe)


def test_a_run_to_the_end_of_files_that_cannot_be_read_fails_and_names_them(box, ordinary):
    scribe = Scribe()
    scribe.append(box.log, 20)
    scribe.append(box.logs / "closed.log", 1)
    (box.logs / "closed.log").chmod(0)
    run = [*ordinary, *SIDELOG, "run", "--once", "-c", str(box.config)]
    done = subprocess.run(run, env=box.env, cwd=box.root, capture_output=True, timeout=50, check=False)
    assert done.returncode == 1
    assert f"{box.logs}/closed.log" in done.stderr.decode()
    assert "1 path could not be read, see above" in done.stderr.decode()
    assert box.count() == 20


def test_a_rotated_log_that_becomes_readable_is_archived_then(box, ordinary):
    """A right that is given changes neither the size nor the time of a file."""
    rotated = box.logs / "app.log.1"
    append(rotated, events(0, 5))
    append(box.log, events(5, 1))
    rotated.chmod(0)
    document = json.loads(box.config.read_text())
    box.config.write_text(json.dumps(document | {"archive": {"quiet": "0s"}}))
    box.start(*ordinary, rescan_s=0.5)
    wait_until(lambda: active(box, "SL805"), what="the condition")
    rotated.chmod(0o600)
    wait_until(lambda: not rotated.exists(), what="its archive")
    wait_until(lambda: not active(box, "SL805"), what="its end")
