"""A line is complete at its newline, however slowly it comes and whatever happens in between."""

import time

import pytest

from tests.integration.harness import append, wait_until
from tests.integration.oracle import Scribe, nudge, settled, verify

TRACE = (
    b"2026-11-22 05:00:00,123 ERROR shop: boom\n"
    b"Traceback (most recent call last):\n"
    b'  File "x.py", line 1, in f\n'
    b"    g()\n"
    b"ValueError: bad\n"
)


def test_a_writer_that_pauses_within_a_line_gives_no_fragment(box):
    """Between two parts of the line the agent reads other files: it had every occasion to store a fragment."""
    scribe, other = Scribe(), Scribe("other")
    box.start()
    line = scribe.lines(1)
    step = len(line) // 4
    for start in range(0, len(line), step):
        nudge(box, other, box.logs / "other.log")
        assert box.count() == len(other.written)
        append(box.log, line[start : start + step])
    settled(box, scribe, other)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_writer_that_pauses_for_a_minute_gives_no_fragment(box):
    scribe = Scribe()
    line = scribe.lines(1)
    append(box.log, line[:50])
    box.start()
    time.sleep(60)  # the pause is what is tested
    append(box.log, line[50:])
    settled(box, scribe)


def test_a_pause_within_a_character_or_a_line_ending_is_no_boundary(box):
    """One byte at a time: UTF-8 of two to four bytes, and carriage return and newline apart."""
    line = '{"message": "größer € 𝄞"}\r\n'.encode()
    box.start()
    for position in range(len(line)):
        append(box.log, line[position : position + 1])
    box.wait_count(1)
    assert box.raw() == line
    assert box.books_balance()


def test_a_kill_within_a_line_completes_it_once(box):
    scribe = Scribe()
    scribe.append(box.log, 5)
    line = scribe.lines(1)
    for start, end in ((0, 40), (40, 90), (90, len(line))):
        append(box.log, line[start:end])
        box.start()
        box.wait_count(5)
        box.kill()
    box.start()
    settled(box, scribe)


def test_an_unterminated_last_line_is_stored_at_the_end_and_its_late_newline_adds_nothing(box):
    """`--once` ends the file; if the line goes on after all, only what is new of it is stored."""
    scribe, late = Scribe(), Scribe("late")
    append(box.log, scribe.lines(3)[:-1])
    box.once()
    verify(box, scribe)
    append(box.log, b"\n" + late.lines(2))
    box.once()
    verify(box, scribe, late)


def test_an_unterminated_last_line_of_a_file_rotated_while_down_is_stored_once(box):
    scribe = Scribe()
    append(box.log, scribe.lines(3)[:-1])
    box.start()
    box.wait_count(2)
    box.kill()
    box.log.rename(box.logs / "app.log.1")
    scribe.append(box.log, 2)
    for _ in range(2):
        box.once()
        verify(box, scribe)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_an_unterminated_last_line_of_a_renamed_file_is_stored_after_its_grace_time(box):
    scribe = Scribe()
    append(box.log, scribe.lines(3)[:-1])
    box.start()
    box.wait_count(2)
    box.log.rename(box.logs / "app.log.1")
    box.log.touch()
    settled(box, scribe, timeout_s=100)


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_a_trace_stored_half_by_a_pause_and_a_kill_is_one_event_in_the_end(box, cut):
    """The first lines were stored because nothing came for two seconds; flush and offset are one commit, so after the
    kill the rest joins them, and no line is in two events.
    """
    lines = TRACE.splitlines(keepends=True)
    append(box.log, b"".join(lines[:cut]))
    box.start()
    box.wait_count(1)
    box.kill()
    append(box.log, b"".join(lines[cut:]))
    box.start()
    wait_until(lambda: box.raw() == TRACE, what="the whole trace")
    assert box.count() == 1
    assert box.books_balance()


def test_a_trace_split_by_a_rotation_keeps_every_line_as_two_events(box):
    """Half of it ends the old file, the rest begins the new one. The rest is an event of its own: an event has one
    file and one offset there, and the books of both files balance byte for byte, which a joined event would break.
    """
    head, rest = TRACE[: TRACE.index(b"    g()")], TRACE[TRACE.index(b"    g()") :]
    append(box.log, head)
    box.start()
    wait_until(lambda: box.sql("SELECT 1 FROM files"))
    box.log.rename(box.logs / "app.log.1")
    append(box.log, rest)
    wait_until(lambda: sorted(box.raw().splitlines()) == sorted(TRACE.splitlines()), what="all lines")
    assert {row[0] for row in box.sql("SELECT DISTINCT file_id FROM events")} == {1, 2}
    assert box.books_balance()


def test_a_trace_split_by_copytruncate_is_one_event(box):
    """The rest of the old content lies in the copy, which goes on as the same file."""
    lines = TRACE.splitlines(keepends=True)
    append(box.log, b"".join(lines[:2]))
    box.start()
    box.wait_count(1)
    box.kill()
    append(box.log, b"".join(lines[2:]))
    (box.logs / "app.log.1").write_bytes(box.log.read_bytes())
    box.log.write_bytes(b"")
    box.start()
    wait_until(lambda: box.raw() == TRACE, what="the whole trace")
    assert box.count() == 1
    assert box.books_balance()
