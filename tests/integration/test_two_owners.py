"""Two agents, or an agent and `archive run` of another configuration, with one directory of archives."""

import json
import os
import shutil
import signal
import subprocess

import pytest

from tests.integration.archiving import age, archives, configure, content, run
from tests.integration.harness import Box, events, wait_until
from tests.needs import needs


@pytest.fixture
def boxes(tmp_path):
    """Two, of which the second is to archive where the first does."""
    found = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        found.append(Box(tmp_path / name))
        found[-1].log.write_bytes(events(0, 1))
    yield found
    for box in found:
        box.kill()


def rotate(box: Box, number: int) -> None:
    """A rotated log that nobody followed."""
    path = box.logs / f"app.log.{number}"
    path.write_bytes(events(number * 100, 10))
    age(path)


def archived(box: Box, number: int) -> None:
    rotate(box, number)
    wait_until(lambda: not (box.logs / f"app.log.{number}").exists(), what="the archiving")


def refusals(box: Box) -> list[str]:
    return [row["message"] for row in box.status()["errors"] if row["code"] == "SL812" and row["active"]]


@pytest.mark.parametrize("way", ["path", "link", pytest.param("mount", marks=needs("root"))])
def test_the_second_agent_stores_and_does_not_archive(boxes, way, tmp_path):
    first, second = boxes
    configure(first)
    first.start()
    archived(first, 1)
    folder, other = first.store.parent / "archive", tmp_path / "other"
    if way == "link":
        other.symlink_to(folder)
    elif way == "mount":
        other.mkdir()
        subprocess.run(["mount", "--bind", folder, other], check=True)
    configure(second, directory=str(folder if way == "path" else other))
    try:
        second.start()
        rotate(second, 1)
        [said] = wait_until(lambda: refusals(second), what="the refusal")
        assert str(first.store) in said
        assert second.status()["healthy"] is False
        second.wait_count(1)
        partial = folder / "app" / ".7-1.partial"
        partial.write_bytes(b"in progress")
        done = second.run("check")
        assert (done.returncode, b"SL812" in done.stdout) == (1, True)
        second.stop()
        for command in (("archive", "run"), ("archive", "run", "--reindex")):
            done = second.run(*command)
            assert (done.returncode, b"error[SL812]" in done.stderr) == (1, True)
        assert partial.exists()
        partial.unlink()
        assert (second.logs / "app.log.1").exists()
        archived(first, 2)
        assert first.run("archive", "verify").returncode == 0
    finally:
        second.kill()
        if way == "mount":
            subprocess.run(["umount", other], check=True)


def test_taking_turns_is_refused_as_long_as_the_other_store_is_there(boxes):
    first, second = boxes
    configure(first)
    rotate(first, 1)
    run(first)
    configure(second, directory=str(first.store.parent / "archive"))
    rotate(second, 1)
    done = second.run("archive", "run")
    assert (done.returncode, b"error[SL812]" in done.stderr) == (1, True)
    assert b"app/.sidelog.lock" not in done.stderr
    assert b".sidelog.lock" in done.stderr
    first.store.unlink()
    assert run(second)["archived"] == 1
    assert second.run("archive", "run", "--reindex").returncode == 0
    assert second.run("archive", "verify").returncode == 0


def test_a_moved_state_still_owns_its_archives(boxes):
    box = boxes[0]
    configure(box, directory=str(box.root / "archive"))
    rotate(box, 1)
    run(box)
    moved = box.root / "moved"
    shutil.move(box.store.parent, moved)
    document = json.loads(box.config.read_text())
    document["store"]["path"] = str(moved / "sidelog.db")
    box.config.write_text(json.dumps(document))
    rotate(box, 2)
    assert run(box)["archived"] == 1


def test_the_lock_of_an_agent_that_was_killed_hinders_nobody(boxes):
    box = boxes[0]
    configure(box)
    box.start()
    archived(box, 1)
    os.killpg(box.process.pid, signal.SIGKILL)
    box.process.wait()
    box.start()
    archived(box, 2)
    assert refusals(box) == []


def test_another_directory_after_a_reload_gives_the_former_one_free(boxes):
    first, second = boxes
    shared = first.root / "shared"
    configure(first, directory=str(shared))
    first.start()
    archived(first, 1)
    configure(first, directory=str(first.root / "own"))
    first.process.send_signal(signal.SIGHUP)
    archived(first, 2)
    wait_until(lambda: "configuration" in first.said(), what="the reload")
    (shared / ".sidelog.lock").unlink()
    configure(second, directory=str(shared))
    rotate(second, 1)
    assert run(second)["archived"] == 1


@pytest.mark.parametrize("inner", ["app", "deeper/still", "other"])
def test_a_directory_inside_of_anothers_is_its_own(boxes, inner):
    """An archive lies two names below its directory, so that none of two such directories sees another's."""
    first, second = boxes
    outer = first.root / "archive"
    configure(first, directory=str(outer))
    configure(second, directory=str(outer / inner))
    for number in (1, 2):
        for box in boxes:
            rotate(box, number)
            assert run(box)["archived"] == 1
    for box in boxes:
        assert box.run("archive", "verify").stderr.startswith(b"2 archives are whole")
        assert box.run("archive", "run", "--reindex").returncode == 0
        assert box.run("query", "--count").stdout == b"20\n"
    assert archives(first) == content(first) == []
