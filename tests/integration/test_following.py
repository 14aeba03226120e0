"""The agent follows files: what is appended can be queried, what was read is never read again."""

import os
import signal
import time

import pytest

from tests.integration.harness import append, event, events, wait_until

FAILURE = b"""2026-11-22 05:00:00,123 ERROR shop: boom
Traceback (most recent call last):
  File "x.py", line 1, in f
ValueError: bad
"""


def test_every_line_is_stored_once_and_comes_back_byte_for_byte(box):
    """20,000 lines: equal counts, equal bytes, books that balance, and a second run adds nothing."""
    content = events(0, 20_000, user="größer", nested={"a": {"b": [1, 2.5, None]}})
    append(box.log, content)
    done = box.once()
    assert b"20,000 events" in done.stderr
    assert box.count() == 20_000
    assert box.raw() == content
    assert box.books_balance()
    box.once()
    assert box.count() == 20_000


def test_a_line_appended_to_a_followed_file_can_be_queried(box):
    append(box.log, event(0))
    box.start()
    box.wait_count(1)
    append(box.log, event(1, message="the second"))
    box.wait_count(2)
    assert [e["body"] for e in box.query("second")] == ["the second"]


def test_sigterm_commits_what_was_read_and_exits_0(box):
    append(box.log, events(0, 5000))
    box.start()
    box.wait_count(1)
    assert box.stop() == 0
    box.start()
    box.wait_count(5000)
    assert box.numbers() == list(range(5000))


def test_a_restart_goes_on_at_the_offset(box):
    append(box.log, events(0, 100))
    box.start()
    box.wait_count(100)
    assert box.stop() == 0
    append(box.log, events(100, 100))
    box.start()
    box.wait_count(200)
    assert box.numbers() == list(range(200))


@pytest.mark.timeout(600)
def test_sigkill_at_any_moment_neither_loses_nor_doubles(box):
    """Ten kills at growing distances while lines are written all the time."""
    written = 0
    for round_ in range(10):
        append(box.log, events(written, 300))
        written += 300
        box.start()
        before = box.count()
        wait_until(lambda before=before, all_=written: box.count() > before or box.count() == all_)
        time.sleep(round_ * 0.006)  # not waiting for something: spreading the kills over the work
        box.kill()
    box.start()
    box.wait_count(written)
    assert box.numbers() == list(range(written))
    assert box.books_balance()


def test_a_partial_line_waits_for_its_newline(box):
    line = event(0, message="größer")
    box.start()
    for position in range(len(line)):
        append(box.log, line[position : position + 1])
    box.wait_count(1)
    assert box.raw() == line


def test_once_takes_a_last_line_without_newline_and_the_newline_adds_nothing(box):
    append(box.log, event(0) + event(1)[:-1])
    box.once()
    assert box.numbers() == [0, 1]
    append(box.log, b"\n" + event(2))
    box.once()
    assert box.numbers() == [0, 1, 2]
    assert box.books_balance()


def test_renamed_file_is_read_to_its_end_and_the_new_one_from_its_head(box):
    append(box.log, events(0, 10))
    box.start()
    box.wait_count(10)
    old = box.log.open("ab")
    box.log.rename(box.logs / "app.log.1")
    old.write(events(10, 10))
    old.close()
    append(box.log, events(20, 10))
    box.wait_count(30)
    assert sorted(box.numbers()) == list(range(30))


def test_a_truncated_file_begins_anew(box):
    append(box.log, events(0, 50))
    box.start()
    box.wait_count(50)
    os.truncate(box.log, 0)
    append(box.log, events(50, 5))
    box.wait_count(55)
    assert sorted(box.numbers()) == list(range(55))


def test_files_of_the_first_start_can_begin_at_their_end(box):
    """`start: end` skips what is there at the first start; later files are read from their head."""
    box.configure(start="end")
    append(box.log, events(0, 10))
    box.start()  # what is written once the agent says that it has started is read
    append(box.log, events(10, 1))
    append(box.logs / "new.log", events(11, 2))
    box.wait_count(3)
    assert sorted(box.numbers()) == [10, 11, 12]
    assert box.books_balance()


def test_what_was_there_at_the_start_and_resembles_another_file_begins_at_its_end(box):
    """A file with a rotation's name and the head of a followed one is left alone at first: it may be a copy."""
    box.configure(start="end", include=[f"{box.logs}/*"])
    head = event(0)
    append(box.log, head + events(1, 3))
    append(box.logs / "app.log.1", head + events(4, 3))
    box.start(rescan_s=0.5)
    append(box.log, events(10, 1))
    wait_until(lambda: len(box.sql("SELECT 1 FROM files")) == 2, what="the second file")
    append(box.logs / "app.log.1", events(11, 1))
    box.wait_count(2)
    assert sorted(box.numbers()) == [10, 11]


def test_a_thousand_files_are_followed(box):
    for number in range(1000):
        append(box.logs / f"{number}.log", event(number))
    box.start()
    box.wait_count(1000)
    append(box.logs / "500.log", event(1000))
    box.wait_count(1001)
    assert sorted(box.numbers()) == list(range(1001))


def test_a_stack_trace_in_two_writes_is_one_event_also_over_a_restart(box):
    """The first half is stored at the stop; the rest joins it after the next start."""
    head = (
        b'2026-11-22 05:00:00,123 ERROR shop: boom\nTraceback (most recent call last):\n  File "x.py", line 1, in f\n'
    )
    rest = b"    g()\nValueError: bad\n"
    append(box.log, head)
    box.start()
    wait_until(lambda: box.sql("SELECT 1 FROM files"))
    assert box.stop() == 0
    append(box.log, rest)
    box.start()
    wait_until(lambda: "ValueError" in str(box.sql("SELECT record FROM events")))
    assert box.count() == 1
    assert box.raw() == head + rest
    assert box.books_balance()
    assert box.query()[0]["attributes"]["exception.type"] == "ValueError"


def test_the_group_of_a_continued_error_is_that_of_the_whole(box):
    """Stored by its first line only, then continued: one group in the end, with one event."""
    append(box.log, FAILURE.removesuffix(b"ValueError: bad\n"))
    box.start()
    box.stop()
    append(box.log, b"ValueError: bad\n")
    box.start()
    wait_until(lambda: box.sql("SELECT 1 FROM error_groups WHERE exception_type = 'ValueError' AND count = 1"))


def test_sighup_swaps_a_good_configuration_and_refuses_a_bad_one(box):
    append(box.log, event(0))
    box.start()
    box.wait_count(1)
    box.config.write_text(box.config.read_text().replace('"include"', '"inclde"'))
    box.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any(e["code"] == "SL601" and e["active"] for e in box.status()["errors"]))
    append(box.log, event(1))
    box.wait_count(2)
    box.configure(redact=["password"])
    box.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "configuration reloaded" in box.said())
    append(box.log, event(2, password="canary"))
    box.wait_count(3)
    assert b"canary" not in b"".join(part.read_bytes() for part in box.store.parent.iterdir())
    assert box.status()["healthy"]


def test_a_file_name_that_is_not_utf8_is_followed_over_a_restart(box):
    path = box.logs / os.fsdecode(b"caf\xe9.log")
    append(path, events(0, 3))
    box.once()
    append(path, events(3, 2))
    box.once()
    assert box.numbers() == [0, 1, 2, 3, 4]
    assert box.status()["healthy"]
    assert box.query()[0]["path"].startswith(str(box.logs))


def test_a_condition_of_a_file_whose_name_is_not_utf8_is_told_and_does_not_end_the_agent(box):
    pipe = box.logs / os.fsdecode(b"caf\xe9.log")
    os.mkfifo(pipe)
    box.start()
    wait_until(lambda: box.sql("SELECT 1 FROM own_errors WHERE code = 'SL202' AND active"), what="the condition")
    append(box.log, events(0, 3))
    box.wait_count(3)
    assert any("named pipe" in problem for problem in box.status()["problems"])
    pipe.unlink()
    assert box.stop() == 0


def test_few_lines_that_follow_each_other_share_a_commit_in_a_flush_interval(box):
    box.configure(store={"flush_interval": "2s"})
    append(box.log, event(0))
    box.start()
    box.wait_count(1)
    began = time.monotonic()
    seen = set()

    def count():
        seen.add(box.count())
        return max(seen)

    for number in range(1, 61):
        append(box.log, event(number))
        count()
    wait_until(lambda: count() == 61, what="the last line")
    assert len(seen) <= 3 + (time.monotonic() - began) / 2, "of 61"
    assert box.numbers() == list(range(61))
