"""Truncation: what was not read yet comes from the copy, what follows is a new generation from its head."""

import os
import shutil

import pytest

from tests.integration.harness import append, wait_until
from tests.integration.oracle import Scribe, frozen, nudge, settled, verify


def copytruncate(log, name="app.log.1"):
    """What logrotate does; nothing is written between the copy and the truncation."""
    shutil.copyfile(log, log.with_name(name))
    os.truncate(log, 0)


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
def test_unread_lines_are_finished_from_the_copy(box, pattern):
    """Also when the pattern does not match the copy; and the copy is not read as a file of its own."""
    box.configure(include=[f"{box.logs}/{pattern}"])
    scribe = Scribe()
    scribe.append(box.log, 100)
    box.start()
    box.wait_count(100)
    for step in range(3):
        with frozen(box):
            scribe.append(box.log, 50)
            copytruncate(box.log, f"app.log.{step}")
            scribe.append(box.log, 5)
        box.wait_count(len(scribe.written))
    settled(box, scribe)
    assert box.sql("SELECT count(*) FROM gaps") == [(0,)]


def test_thirty_rounds_of_copytruncate_under_writing_lose_and_double_nothing(box):
    box.configure(include=[f"{box.logs}/app.log*"])
    scribe = Scribe()
    scribe.append(box.log, 50)
    box.start()
    box.wait_count(50)
    for step in range(30):
        scribe.append(box.log, 50)
        copytruncate(box.log, f"app.log-{step:08d}")
        scribe.append(box.log, 5)
        if step % 3 == 0:
            box.wait_count(len(scribe.written))
    settled(box, scribe)


def test_lines_between_copy_and_truncation_that_were_read_stay_and_the_copy_adds_nothing(box):
    """copytruncate's own window: what was written in it and not read is gone; what was read is there once."""
    box.configure(include=[f"{box.logs}/app.log*"])
    scribe = Scribe()
    scribe.append(box.log, 60)
    box.start()
    box.wait_count(60)
    shutil.copyfile(box.log, box.logs / "app.log.1")
    scribe.append(box.log, 5)
    box.wait_count(65)
    os.truncate(box.log, 0)
    scribe.append(box.log, 5)
    settled(box, scribe)


def test_truncated_and_regrown_past_the_offset_is_noticed_by_its_content(box):
    """The size says nothing: the new content is longer than what was read of the old one."""
    scribe = Scribe()
    scribe.append(box.log, 20)
    box.start()
    box.wait_count(20)
    with frozen(box):
        os.truncate(box.log, 0)
        scribe.append(box.log, 60)
    settled(box, scribe)


def test_truncated_and_regrown_with_the_same_head_is_noticed_by_the_marker(box):
    """Both generations begin with the same 2 KiB."""
    header = b'{"message": "%s"}\n' % (b"started " * 256)
    scribe = Scribe()
    append(box.log, header + scribe.lines(20))
    box.start()
    settled(box, scribe, others=1)
    with frozen(box):
        os.truncate(box.log, 0)
        append(box.log, header + scribe.lines(80))
    settled(box, scribe, others=2)


@pytest.mark.parametrize("regrown", [5, 500])
def test_truncated_while_down_begins_anew_once(box, regrown):
    """Shorter or longer than before; two more starts read nothing again: the reset is stored."""
    scribe = Scribe()
    scribe.append(box.log, 100)
    box.once()
    os.truncate(box.log, 0)
    scribe.append(box.log, regrown)
    for _ in range(3):
        box.once()
    verify(box, scribe)


def test_copytruncate_while_down_is_finished_from_the_copy(box):
    scribe = Scribe()
    scribe.append(box.log, 100)
    box.once()
    scribe.append(box.log, 50)
    copytruncate(box.log)
    scribe.append(box.log, 10)
    for _ in range(2):
        box.once()
        verify(box, scribe)


def test_the_hole_that_a_writer_without_append_leaves_is_a_gap(box):
    """It goes on writing at its old position: NULs up to there, sparse or not, and then whole lines."""
    scribe = Scribe()
    with box.log.open("wb", buffering=0) as writer:
        writer.write(scribe.lines(3000))
        box.start()
        box.wait_count(3000)
        for _ in range(2):
            hole = writer.tell()
            os.truncate(box.log, 0)
            writer.write(scribe.lines(10))
            box.wait_count(len(scribe.written))
        settled(box, scribe)
    gaps = box.sql('SELECT file_id, reason, sum("to" - "from") FROM gaps GROUP BY 1 ORDER BY 1')
    assert [reason for _, reason, _ in gaps] == ["hole", "hole"]
    assert gaps[-1][2] == hole
    assert b"\0" not in box.raw()


def test_a_hole_of_a_gigabyte_costs_nothing(box):
    """Skipped by asking the file system where data begins, not by reading NULs."""
    scribe = Scribe()
    scribe.append(box.log, 10)
    box.start()
    box.wait_count(10)
    with box.log.open("r+b", buffering=0) as writer:
        writer.truncate(0)
        writer.seek(1 << 30)
        writer.write(scribe.lines(5))
    settled(box, scribe)


def test_an_unterminated_line_of_the_truncated_file_is_kept(box):
    scribe, other = Scribe(), Scribe("other")
    append(box.log, scribe.lines(5) + b"half a line")
    box.start()
    nudge(box, other, box.logs / "other.log")
    os.truncate(box.log, 0)
    scribe.append(box.log, 5)
    settled(box, scribe, other, others=1)
    wait_until(lambda: b"half a line\n" in box.raw())
