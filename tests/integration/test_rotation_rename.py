"""Rotation by renaming: the old file is read to its end, its successor from its head, whatever the names are."""

import grp
import os
import pwd
import shutil
import subprocess
import time
from functools import partial

import pytest

from tests.integration.harness import append, event, wait_until
from tests.integration.oracle import Scribe, frozen, nudge, settled, verify
from tests.needs import needs

CLOCK_REALTIME_COARSE = 5  # clock_gettime(2); Python has no name for it


def rotate(log, keep=9):
    """log → log.1 → log.2 …, the oldest overwritten; a new empty log."""
    for number in range(keep - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.rename(log.with_name(f"{log.name}.{number + 1}"))
    log.rename(log.with_name(f"{log.name}.1"))
    log.touch()


def test_lines_written_late_to_the_renamed_file_are_read(box):
    """A writer that reopens late goes on writing to the old file, also after the new one has lines."""
    scribe, other = Scribe("old"), Scribe("new")
    scribe.append(box.log, 10)
    box.start()
    box.wait_count(10)
    with box.log.open("ab", buffering=0) as writer:
        box.log.rename(box.logs / "app.log.1")
        for _ in range(3):
            nudge(box, other, box.log)
            writer.write(scribe.lines(5))
            box.wait_count(len(scribe.written) + len(other.written))
    settled(box, scribe, other)


@pytest.mark.soak
def test_a_line_half_a_minute_after_the_rename_is_read(box):
    scribe = Scribe()
    scribe.append(box.log, 10)
    box.start()
    box.wait_count(10)
    with box.log.open("ab", buffering=0) as writer:
        box.log.rename(box.logs / "app.log.1")
        box.log.touch()
        time.sleep(30)  # the age of the rename is what is tested
        writer.write(scribe.lines(5))
        settled(box, scribe)


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
def test_a_chain_of_renames_keeps_every_identity_over_a_restart_in_its_middle(box, pattern):
    """app.log → .1 → .2 → .3, each also matched by the pattern; the agent is killed between two steps."""
    box.configure(include=[f"{box.logs}/{pattern}"])
    scribe = Scribe()
    scribe.append(box.log, 20)
    box.start()
    for step in range(6):
        box.wait_count(len(scribe.written))
        if step == 3:
            box.kill()
        rotate(box.log)
        if step == 3:
            box.start()
        scribe.append(box.log, 20)
    settled(box, scribe)
    assert box.stop() == 0
    box.start()
    nudge(box, scribe, box.log)
    settled(box, scribe)


@pytest.mark.parametrize("times", [1, 3])
def test_what_was_rotated_while_the_agent_was_down_is_read_to_its_end(box, times):
    """The generations that were born and renamed meanwhile are read too, since the pattern matches them."""
    box.configure(include=[f"{box.logs}/app.log*"])
    scribe = Scribe()
    scribe.append(box.log, 20)
    box.start()
    box.wait_count(20)
    box.kill()
    for _ in range(times):
        scribe.append(box.log, 10)
        rotate(box.log)
    scribe.append(box.log, 10)
    box.start()
    settled(box, scribe)


def test_a_known_file_is_finished_after_renames_that_the_pattern_does_not_match(box):
    scribe = Scribe()
    scribe.append(box.log, 20)
    box.start()
    box.wait_count(20)
    box.kill()
    scribe.append(box.log, 10)
    rotate(box.log)
    rotate(box.log)
    scribe.append(box.log, 10)
    box.start()
    settled(box, scribe)


def test_two_rotations_between_two_looks_lose_no_generation(box):
    """The agent stands still while the log is rotated three times: the generations that it has never seen, too."""
    scribe = Scribe()
    scribe.append(box.log, 5)
    box.start()
    box.wait_count(5)
    with frozen(box):
        for _ in range(3):
            scribe.append(box.log, 5)
            rotate(box.log)
        scribe.append(box.log, 5)
    settled(box, scribe)


@pytest.mark.parametrize("chain", [True, False])
def test_rotations_every_10_ms_lose_nothing(box, chain):
    """A rotation far faster than any look at the directory, by a chain of names or by dates; nothing is deleted."""
    scribe = Scribe()
    scribe.append(box.log)
    box.start()
    box.wait_count(1)  # a file that was renamed before the directory was watched would be nobody's
    for number in range(40 if chain else 150):
        scribe.append(box.log, 3)
        if chain:
            rotate(box.log, keep=99)
        else:
            box.log.rename(box.logs / f"app.log-{number:014d}")
            box.log.touch()
        time.sleep(0.01)  # the pace of the rotations is what is tested
    scribe.append(box.log, 3)
    settled(box, scribe)


def test_the_rotated_name_does_not_matter(box):
    """Dates, times of day, two rotations within one hour's name, and a name that has nothing of the old one."""
    scribe = Scribe()
    scribe.append(box.log, 5)
    box.start()
    box.wait_count(5)
    old = box.root / "old"
    old.mkdir()
    for name in ("app.log-20261122", "app-2026-11-22T05.log", "app-2026-11-22T05.1.log", "zzz", "../old/away"):
        with box.log.open("ab", buffering=0) as writer:
            box.log.rename(box.logs / name)
            writer.write(scribe.lines(5))
        scribe.append(box.log, 5)
        box.wait_count(len(scribe.written))
    settled(box, scribe)


def test_rotation_through_a_temporary_copy_reads_each_line_once(box):
    """logrotate's `renamecopy`: app.log → app.log.tmp, copied to app.log.1, app.log.tmp deleted."""
    box.configure(include=[f"{box.logs}/app.log*"])
    scribe = Scribe()
    scribe.append(box.log, 50)
    box.start()
    box.wait_count(50)
    for _ in range(2):
        scribe.append(box.log, 50)
        temporary = box.logs / "app.log.tmp"
        box.log.rename(temporary)
        shutil.copy2(temporary, box.logs / "app.log.1")
        temporary.unlink()
        scribe.append(box.log, 10)
        box.wait_count(len(scribe.written))
        (box.logs / "app.log.1").rename(box.logs / "app.log.2")
    settled(box, scribe)


@needs("logrotate")
@pytest.mark.parametrize(
    "options",
    [
        "create",
        "create, dateext, dateformat -%s",
        "copytruncate",
        "copytruncate, compress",
        "create, compress",
        "renamecopy",
    ],
)
def test_logrotate_itself(box, options):
    """The real program, forced four times with each of its ways, between lines that are read and lines that are not."""
    box.configure(include=[f"{box.logs}/app.log*"])
    settings = box.root / "logrotate.conf"
    myself = f"su {pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name}"
    lines = "".join(f"  {line}\n" for line in [myself, "rotate 20", "missingok", *options.split(", ")])
    settings.write_text(f'"{box.log}" {{\n{lines}}}\n')
    scribe = Scribe()
    scribe.append(box.log, 30)
    box.start()
    for step in range(4):
        if step % 2 or "compress" in options:  # a file that is compressed before anybody saw it is left alone
            box.wait_count(len(scribe.written))
        scribe.append(box.log, 30)
        done = subprocess.run(
            ["logrotate", "-f", "-s", box.root / "logrotate.state", settings], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        if "dateext" in options:
            # Its names have seconds, by the clock of time(2), which is up to a tick behind.
            second = partial(time.clock_gettime, CLOCK_REALTIME_COARSE)
            wait_until(lambda second=second: not (box.logs / f"app.log-{int(second())}").exists())
        scribe.append(box.log, 5)
    settled(box, scribe)


@needs("logrotate")
@pytest.mark.parametrize("options", ["renamecopy", "copytruncate", "create", "renamecopy, dateext, dateformat -%s"])
@pytest.mark.parametrize("live", [True, False], ids=["live", "down"])
def test_logrotate_into_another_directory_that_is_followed_too(box, options, live):
    """`olddir`: what lies there is read as part of the log that it was, or its copy; not once more."""
    old = box.logs / "old"
    old.mkdir()
    old.chmod(0o755)
    box.logs.chmod(0o755)
    box.configure(include=[f"{box.logs}/app.log*", f"{old}/*"])
    settings = box.root / "logrotate.conf"
    myself = f"su {pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name}"
    lines = "".join(f"  {line}\n" for line in [myself, f"olddir {old}", "rotate 20", *options.split(", ")])
    settings.write_text(f'"{box.log}" {{\n{lines}}}\n')
    settings.chmod(0o644)
    scribe = Scribe()
    scribe.append(box.log, 10)
    if live:
        box.start()
    for _ in range(3):
        if live:
            box.wait_count(len(scribe.written))
        else:
            box.once()
        scribe.append(box.log, 5)  # may be read before the rotation, or after it
        done = subprocess.run(
            ["logrotate", "-f", "-s", box.root / "logrotate.state", settings], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        if "dateext" in options:
            second = partial(time.clock_gettime, CLOCK_REALTIME_COARSE)
            wait_until(lambda second=second: not (old / f"app.log-{int(second())}").exists())
        scribe.append(box.log, 5)
    if not live:
        box.start()
    settled(box, scribe)
    assert box.stop() == 0
    box.once()
    verify(box, scribe)


def rsync(source, target):
    """What rsync does: a copy beside the target gets its name when it is complete."""
    partial_copy = target.with_name(f".{target.name}.Xa7b2C")
    shutil.copy2(source, partial_copy)
    partial_copy.replace(target)


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_a_log_that_is_copied_again_and_again(box, closed):
    """rsync: the path has a new inode each time, whose beginning is the old content; half a line at its end or not."""
    remote = box.root / "remote"
    scribe = Scribe()
    scribe.append(remote, 60)
    rsync(remote, box.log)
    others = 12 if closed else 0
    for number in range(others):  # so few files may be open that some of these are closed
        append(box.logs / f"other-{number}.log", event(number))
    limit = ["prlimit", "--nofile=64"] if closed else []
    box.start(*limit)
    box.wait_count(60 + others)
    for step in range(6):
        lines = scribe.lines(20)
        append(remote, lines[:-30])
        rsync(remote, box.log)
        box.wait_count(len(scribe.written) - 1 + others)
        if step == 3:
            assert box.stop() == 0
        append(remote, lines[-30:])
        rsync(remote, box.log)
        if step == 3:
            box.start(*limit)
        box.wait_count(len(scribe.written) + others)
    settled(box, scribe, others=others)


def test_a_new_log_that_begins_like_the_deleted_one_is_a_new_log(box):
    """Its application has created it and written the same banner, of a kilobyte or more."""
    banner = b"".join(b"banner line %d of the application, always the same\n" % number for number in range(40))
    append(box.log, banner)
    box.start()
    box.wait_count(40)
    box.log.unlink()
    append(box.log, banner + event(1))
    box.wait_count(81)
    assert box.stop() == 0
    assert box.count() == 81
