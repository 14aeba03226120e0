"""What root does with the store and the archives of a service's user: that user goes on with all of it."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.integration.harness import SIDELOG, Box, append, events
from tests.needs import needs

pytestmark = needs("root")

USER = 65534
# The interpreter of the tests may lie where that user cannot read; to read is all that it may do beyond its rights.
READING = "-all,+dac_read_search"
SERVICE = [
    "setpriv",
    f"--reuid={USER}",
    f"--regid={USER}",
    "--clear-groups",
    f"--inh-caps={READING}",
    f"--ambient-caps={READING}",
]


@pytest.fixture
def box():
    """In a directory that every user reaches: those of pytest are its user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Box(Path(folder))


@pytest.fixture
def state(box):
    """The state directory, the user's, with archives in it."""
    found = box.store.parent
    found.mkdir(mode=0o700)
    os.chown(found, USER, USER)
    document = json.loads(box.config.read_text())
    document["archive"] = {"directory": str(found / "archives"), "quiet": "0s"}
    box.config.write_text(json.dumps(document))
    return found


def by_service(box, *arguments):
    command, *rest = map(str, arguments)
    return subprocess.run(
        [*SERVICE, *SIDELOG, command, "-c", str(box.config), *rest],
        capture_output=True,
        cwd=box.root,
        env=box.env,
        check=False,
    )


def by_root(box, *arguments):
    done = box.run(*arguments)
    assert done.returncode == 0, done.stderr.decode()


def goes_on(box, state, number):
    """Everything is the user's, who stores the line of this number."""
    assert {path: path.lstat().st_uid for path in state.rglob("*") if path.lstat().st_uid != USER} == {}
    append(box.log, events(number, 1))
    done = by_service(box, "run", "--once")
    assert done.returncode == 0, done.stderr.decode()
    assert box.numbers() == list(range(number + 1))


def mode(path):
    return path.stat().st_mode & 0o777


def test_a_store_that_root_makes_is_the_users(box, state):
    """Also in a directory that is not there yet, and through the lock that root takes."""
    append(box.log, events(0, 3))
    by_root(box, "run", "--once")
    goes_on(box, state, 3)
    deeper = state / "a" / "b" / "sidelog.db"
    by_root(box, "run", "--once", "--store", deeper)
    assert [part.stat().st_uid for part in (deeper.parent.parent, deeper.parent, deeper)] == [USER] * 3
    assert [mode(part) for part in (deeper.parent, deeper)] == [0o700, 0o600]


def test_a_store_that_root_brings_back_or_mends_is_the_users(box, state):
    """With the mode that the former one had; without a former one by the directory."""
    append(box.log, events(0, 200))
    assert by_service(box, "run", "--once").returncode == 0
    copy = state / "copy.db"
    by_root(box, "backup", copy)
    assert (copy.stat().st_uid, mode(copy)) == (USER, 0o600)
    box.store.chmod(0o640)
    by_root(box, "restore", copy, "--force")
    assert mode(box.store) == 0o640
    goes_on(box, state, 200)
    with box.store.open("r+b") as file:
        file.seek(-16_384, os.SEEK_END)
        file.write(b"\xff" * 16_384)
    by_root(box, "verify", "--repair")
    assert (box.store.stat().st_uid, mode(box.store)) == (USER, 0o640)
    for path in state.glob("sidelog.db*"):
        path.unlink()
    by_root(box, "restore", copy)
    assert mode(box.store) == 0o600
    goes_on(box, state, 201)


def test_a_store_that_was_brought_back_has_had_no_agent_that_died(box, state):
    append(box.log, events(0, 3))
    assert by_service(box, "run", "--once").returncode == 0
    copy = state / "copy.db"
    by_root(box, "backup", copy)
    by_root(box, "restore", copy, "--force")
    said = json.loads(box.run("status", "--json").stdout)
    assert (said["healthy"], said["agent"]["running"], said["problems"]) == (True, False, [])


def test_a_store_that_is_roots_is_said_to_be_and_can_be_given_back(box, state):
    append(box.log, events(0, 3))
    assert by_service(box, "run", "--once").returncode == 0
    os.chown(box.store, 0, 0)
    done = by_service(box, "run", "--once")
    assert done.returncode == 3
    said = done.stderr.decode()
    assert (
        f"error[SL412]: the store {box.store} cannot be written: sidelog.db belongs to root, and this runs as" in said
    )
    assert f"chown nobody: {box.store}*" in said or f"chown {USER}: {box.store}*" in said
    os.chown(box.store, USER, USER)
    goes_on(box, state, 3)


def test_what_root_archives_the_user_can_read_and_archives_on(box, state):
    """A log that the user may read keeps its owner; one that it read by a privilege becomes the user's."""
    append(box.log, events(0, 3))
    assert by_service(box, "run", "--once").returncode == 0
    box.log.chmod(0o600)
    box.log.rename(box.logs / "app.log.1")
    by_root(box, "archive", "run")
    (archive,) = (state / "archives").rglob("*.zst")
    assert (archive.stat().st_uid, mode(archive)) == (USER, 0o600)
    goes_on(box, state, 3)
    box.logs.chmod(0o777)
    box.log.rename(box.logs / "app.log.1")
    done = by_service(box, "archive", "run")
    assert done.returncode == 0, done.stderr.decode()
    assert len([*(state / "archives").rglob("*.zst")]) == 2
    assert by_service(box, "archive", "verify").returncode == 0
