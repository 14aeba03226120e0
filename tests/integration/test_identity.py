"""Which file is which: inodes that are used again, equal heads, tiny files, several names for one file."""

import os

import pytest

from tests.integration.harness import append, wait_until
from tests.integration.oracle import Scribe, nudge, settled, verify
from tests.needs import limited, needs

BANNER = b'{"message": "%s"}\n' % (b"the same in every file " * 90)  # 2 KiB, twice what the head's hash covers


def recreate(path, content):
    """Delete and create; whether the file system gave the same inode again (ext4 does when nobody holds it)."""
    inode = path.stat().st_ino if path.exists() else None
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    return path.stat().st_ino == inode


def test_a_file_recreated_while_the_agent_is_down_is_a_new_one(box):
    """Same inode, same length, same path: only the content and the inode's generation tell them apart."""
    scribe = Scribe()
    for _ in range(4):
        recreate(box.log, scribe.lines(3))
        box.once()
    verify(box, scribe)


@pytest.mark.parametrize("times", [40, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])])
def test_inodes_used_again_at_once_under_a_running_agent(box, times):
    """With eight open files for thirty logs, most are closed, so that their inodes are free again at once."""
    scribe = Scribe()
    logs = [box.logs / f"{number:02d}.log" for number in range(30)]
    for log in logs:
        scribe.append(log)
    box.start("prlimit", "--nofile=70:70")
    box.wait_count(30)
    again = 0
    for number in range(times):
        log = logs[number * 7 % 30]
        again += recreate(log, scribe.lines(2))
        if number % 10 == 9:
            box.wait_count(len(scribe.written))
    settled(box, scribe, timeout_s=60)
    if again == 0:
        limited("inode reuse", "every line was stored once")


def test_two_files_with_the_same_two_kibibytes_in_front_are_both_read(box):
    first, second = Scribe("first"), Scribe("second")
    append(box.log, BANNER + first.lines(20))
    append(box.logs / "other.log", BANNER + second.lines(20))
    box.start()
    settled(box, first, second, others=2)
    second.append(box.logs / "other.log", 5)
    settled(box, first, second, others=2)
    box.kill()
    box.log.rename(box.logs / "app.log.1")
    append(box.log, BANNER + first.lines(20))
    box.start()
    settled(box, first, second, others=3)


def test_a_recreated_file_with_the_same_banner_is_a_new_one(box):
    scribe = Scribe()
    for step in range(3):
        recreate(box.log, BANNER + scribe.lines(10 * (step + 1)))
        box.once()
    verify(box, scribe, others=3)


@pytest.mark.parametrize("content", [b"x\n", b"x", b"\n"])
def test_a_tiny_file_is_read_at_once_and_only_once(box, content):
    """There is no least size: one line of one byte is stored, also when it never grows."""
    box.log.write_bytes(content)
    box.once()
    box.once()
    assert box.raw() == (b"" if content == b"\n" else b"x\n")
    assert box.books_balance()


def test_one_file_under_several_names_and_patterns_is_one_stream(box):
    """A hard link, a symbolic link, and two sources whose patterns overlap."""
    scribe = Scribe()
    scribe.append(box.log, 10)
    (box.logs / "hard.log").hardlink_to(box.log)
    (box.logs / "soft.log").symlink_to(box.log)
    box.configure(include=[f"{box.logs}/*.log", f"{box.logs}/app*", f"{box.root}/**/*.log"])
    box.start()
    box.wait_count(10)
    scribe.append(box.logs / "hard.log", 10)
    settled(box, scribe)
    box.log.unlink()
    scribe.append(box.logs / "hard.log", 10)
    settled(box, scribe)
    assert box.sql("SELECT count(*) FROM files") == [(1,)]


def test_a_retargeted_link_drains_its_old_target_and_follows_the_new_one(box):
    """As `current.log → app-1`, then `→ app-2`; dangling in between, and at the end."""
    targets = box.root / "targets"
    targets.mkdir()
    scribes = [Scribe(f"target {number}") for number in range(3)]
    link = box.logs / "current.log"
    for number, scribe in enumerate(scribes):
        scribe.append(targets / str(number), 10)
        link.unlink(missing_ok=True)
        link.symlink_to(targets / str(number))
        if number == 0:
            box.start()
        box.wait_count(sum(len(scribe.written) for scribe in scribes))
        if number == 1:
            link.unlink()
            link.symlink_to(targets / "nowhere")
            nudge(box, scribes[0], targets / "0")  # the old targets are still read
            scribes[1].append(targets / "1", 3)
            box.wait_count(sum(len(scribe.written) for scribe in scribes))
    link.unlink()
    settled(box, *scribes)
    assert [error for error in box.status()["errors"] if error["active"]] == []


@needs("root")
def test_a_link_to_somebody_elses_file_is_refused(box):
    secret = box.root / "secret"
    secret.write_text("root:x:0:0\n")
    (box.logs / "trap.log").symlink_to(secret)
    os.lchown(box.logs / "trap.log", 65534, 65534)
    scribe = Scribe()
    scribe.append(box.log, 3)
    box.start()
    settled(box, scribe)
    wait_until(lambda: any(error["code"] == "SL203" for error in box.status()["errors"]))
