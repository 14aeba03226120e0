"""A deleted file is read to its end, then closed, so that its blocks are free again."""

import sqlite3

from tests.integration.harness import append, wait_until
from tests.integration.oracle import Scribe, frozen, open_files, settled


def closed(box):
    return all("(deleted)" not in name for name in open_files(box.process.pid, box.logs))


def test_unread_lines_of_a_deleted_file_are_stored_and_the_file_is_closed(box):
    scribe = Scribe()
    scribe.append(box.log, 10)
    box.start()
    box.wait_count(10)
    for _ in range(3):
        with frozen(box):
            scribe.append(box.log, 2000)
            box.log.unlink()
            scribe.append(box.log, 5)
        box.wait_count(len(scribe.written))
    settled(box, scribe)
    wait_until(lambda: closed(box), what="closing the deleted files")


def test_an_unterminated_line_of_a_deleted_file_becomes_an_event(box):
    """When no byte has come for a while; lines that its writer adds before that are read."""
    scribe = Scribe()
    scribe.append(box.log, 3)
    box.start()
    box.wait_count(3)
    with box.log.open("ab", buffering=0) as writer:
        box.log.unlink()
        writer.write(scribe.lines(3) + b"no newline")
        settled(box, scribe, others=1)
    wait_until(lambda: closed(box))
    assert box.sql("SELECT state FROM files") == [("finished",)]
    reasons = [reason for (reason,) in box.sql("SELECT parse_error FROM events ORDER BY id DESC")]
    assert "unterminated" in reasons[0]
    assert not any(reasons[1:])


def test_nothing_is_deleted_unread_while_the_store_is_held_up(box):
    """12 MB behind a locked store, more than the agent keeps in memory: the deleted files stay open until all of it
    is stored.
    """
    scribe = Scribe()
    paths = [box.logs / f"{number}.log" for number in range(3)]
    for path in paths:
        scribe.append(path)
    box.start()
    box.wait_count(3)
    intruder = sqlite3.connect(box.store, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    for path in paths:
        scribe.append(path, 2000, pad_bytes=1900)
        path.unlink()
    wait_until(lambda: "SL408" in box.said(), what="the locked store's message")
    assert box.count() == 3
    assert not closed(box)
    late = box.logs / "late.log"  # nobody reads now, but it is noticed
    scribe.append(late)
    wait_until(lambda: str(late) in open_files(box.process.pid, box.logs), what="opening a file that is new")
    late.unlink()
    intruder.execute("ROLLBACK")
    intruder.close()
    settled(box, scribe)
    wait_until(lambda: closed(box), what="closing the deleted files")


def test_a_file_deleted_while_the_agent_is_down_is_finished_without_a_word(box):
    scribe = Scribe()
    scribe.append(box.log, 10)
    box.once()
    box.log.unlink()
    append(box.logs / "other.log", scribe.lines(2))
    box.once()
    settled(box, scribe)
    assert ("finished",) in box.sql("SELECT state FROM files")
    assert box.status()["healthy"]
