"""Comparing events with files, where an agent goes on meanwhile."""

import contextlib
import os

import pytest
from msgspec.structs import replace

from agent.core.event import original_of
from agent.store.audit import Audit
from agent.store.compare import FileAudit, StoredGap, Window
from agent.store.reader import open_reader
from tests.store.stores import another, changes, events, stored, tailed, transaction, write


@pytest.fixture
def log(tmp_path):
    return tmp_path / "app.log"


def put(opened, log, file, start, count):
    """Write lines into the log and into the store."""
    batch = events(start, count=count)
    with log.open("ab") as out:
        out.write(b"".join(record.encode() + b"\n" for record in batch.records))
    write(opened, transaction(stored(file, batch)))
    return batch.end


def opening(log, verdict="whole"):
    return lambda _: (os.open(log, os.O_RDONLY), verdict)


@contextlib.contextmanager
def auditing(path):
    connection = open_reader(path)
    try:
        yield Audit(connection, path)
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("record", "raw", "line"),
    [
        (b'{"a":1}', None, b'{"a":1}'),
        (b'{"a":1}', 1, b'{"a":1}\r'),
        (b'{"message":"\\u00e4"}', 2, "ä".encode()),
        (b'{"n":1e999,"message":"x"}', 2, b"x"),
        (b"{}", b"as it \xff was", b"as it \xff was"),
        (b"{}", 7, b"{}"),
    ],
)
def test_the_original_line_follows_from_record_and_raw(record, raw, line):
    assert original_of(record, raw) == line


def test_what_is_written_meanwhile_is_not_judged(opened, path, log):
    """The agent goes on while pages are read: neither its new events nor its checkpoints disturb."""
    file = tailed(path=str(log))
    end = put(opened, log, file, 0, 200)
    grown = []

    def go_on(done, total, compared):
        assert 0 < done <= total == 200
        assert compared > 0
        grown.append(put(opened, log, file, end + sum(grown) * 0 if not grown else grown[-1], 50))
        assert opened.writer.checkpoint(mode="TRUNCATE")  # no read transaction is left open between pages

    with auditing(path) as audit:
        [found] = audit.run(opening(log), go_on)
    assert found.complete
    assert (found.offset, found.compared_bytes) == (end, end)
    assert grown


def test_retention_that_overtakes_is_no_loss(opened, path, log, monkeypatch):
    monkeypatch.setattr("agent.store.audit._PAGE_ROWS", 50)
    file = tailed(path=str(log))
    end = put(opened, log, file, 0, 400)

    def expire(done, *_):
        if done == 50:
            opened.writer.connection.execute("DELETE FROM events WHERE id <= 300")

    with auditing(path) as audit:
        [found] = audit.run(opening(log), expire)
    assert found.complete
    assert found.expired_bytes > 0
    assert found.expired_bytes + found.compared_bytes == end


def test_retention_that_takes_everything_ends_it(opened, path, log, monkeypatch):
    monkeypatch.setattr("agent.store.audit._PAGE_ROWS", 50)
    file = tailed(path=str(log))
    end = put(opened, log, file, 0, 100)

    with auditing(path) as audit:
        [found] = audit.run(opening(log), lambda *_: opened.writer.connection.execute("DELETE FROM events"))
    assert found.complete
    assert found.expired_bytes + found.compared_bytes == end


@pytest.mark.parametrize("known", [False, True])
def test_a_file_truncated_under_the_comparison(opened, path, log, known):
    """It is no difference once the agent has begun a new generation of the same inode."""
    file = tailed(path=str(log))
    put(opened, log, file, 0, 200)

    def locate(_):
        descriptor = os.open(log, os.O_RDONLY)
        log.write_bytes(b"x" * log.stat().st_size)
        if known:
            newer = replace(file, id=2)
            write(opened, transaction(files=changes(newer)))
        return descriptor, "whole"

    with auditing(path) as audit:
        [found] = audit.run(locate)
    assert found.complete == known
    assert found.compared == ("replaced" if known else "whole")


def test_a_file_that_shrinks_or_fails_while_it_is_read(opened, path, log):
    file = tailed(path=str(log))
    end = put(opened, log, file, 0, 50_000)  # more than a block

    def shrink(_):
        descriptor = os.open(log, os.O_RDONLY)
        window = Window(descriptor)
        assert window.size == end
        os.truncate(log, end // 2)
        assert window.has_shrunk()
        log.write_bytes(log.read_bytes() * 2)
        return descriptor, "whole"

    with auditing(path) as audit:
        [found] = audit.run(shrink)
    assert not found.complete  # the second half is not what was stored

    with auditing(path) as audit:
        [found] = audit.run(lambda _: (os.open(log.parent, os.O_RDONLY), "whole"))  # reading fails: EISDIR
    assert (found.complete, found.compared, found.compared_bytes) == (True, "unreadable", 0)


def test_line_ends_are_counted_over_blocks(tmp_path):
    log = tmp_path / "a"
    log.write_bytes(b"\n" + b"x" * 2**20 + b"\nrest\nend")
    with log.open("rb") as file:
        window = Window(file.fileno())
        assert [window.after_lines(0, count) for count in (1, 2, 3, 4)] == [
            1,
            2**20 + 2,
            2**20 + 7,
            window.size,
        ]


def test_a_damaged_store_is_said(opened, path):
    put(opened, path.parent / "log", tailed(), 0, 10)
    with auditing(path) as audit:
        other = another(path)
        other.execute("DROP TABLE events")
        other.close()
        with pytest.raises(Exception, match="damaged or no store") as caught:
            audit.run(lambda _: "gone")
        assert caught.value.code == "SL402"


def judged(tmp_path, content, offsets, originals, **books):
    """One generation whose events are compared with a file of this content; None: the file is gone."""
    file = FileAudit(1, "/p", "/p", "s", "active", events=len(offsets), **books)
    if content is None:
        window = None
    else:
        log = tmp_path / "compared.log"
        log.write_bytes(content)
        descriptor = os.open(log, os.O_RDONLY)
        window = Window(descriptor)
    file.take(offsets, originals, window)
    file.finish(window)
    if content is not None:
        os.close(descriptor)
    return file


@pytest.mark.parametrize("content", [b"pw=hunter2 and more\nnext\n", None, b"pw=hun"])
def test_a_redacted_event_is_no_difference_whatever_its_length(tmp_path, content):
    """Longer or shorter than its line, with the file or without it, or with a file that has lost its end."""
    found = judged(
        tmp_path, content, [0, 20], [b"pw=[redacted] and more", b"next"], offset=25, event_bytes=25, blank_bytes=0
    )
    assert found.complete, found.differences


@pytest.mark.parametrize("end", [10, 40])
def test_the_last_event_of_a_file_that_is_gone_may_be_redacted(end):
    """Its line was shorter or longer than what is stored; the next page of events begins where it ended."""
    file = FileAudit(1, "/p", "/p", "s", "finished", offset=end + 5, events=3, event_bytes=end + 5)
    file.take([0, 4], [b"one", b"pw=[redacted]"], None)
    file.take([end], [b"next"], None)
    file.finish(None)
    assert file.complete, file.differences
    short = FileAudit(1, "/p", "/p", "s", "finished", offset=end, events=1, event_bytes=end)
    short.take([0], [b"pw=[redacted]"], None)
    short.finish(None)
    assert short.complete, short.differences


def test_lines_of_a_redacted_event_that_was_split_are_its_own(tmp_path):
    content = b"first part of pw=1\nsecond part\n\nnext\n"
    found = judged(tmp_path, content, [0, 32], [b"pw=[redacted]", b"next"], offset=37, event_bytes=37)
    assert (found.complete, found.redacted_events) == (True, 1)


def test_a_redacted_event_may_have_more_lines_than_its_container_wrote(tmp_path):
    """Docker writes a newline inside of a text as an escape."""
    content = b'{"log":"pw=1\\nmore\\n"}\nnext\nlast\n'
    lines = [b"pw=[redacted]\nmore", b"next\nlast"]
    found = judged(tmp_path, content, [0, content.index(b"next")], lines, offset=len(content), event_bytes=len(content))
    assert (found.complete, found.redacted_events, found.uncovered) == (True, 1, 0)


def test_two_events_over_the_same_bytes(tmp_path):
    for content in (b"one\ntwo\n", None):
        found = judged(tmp_path, content, [0, 2], [b"one", b"e\ntwo"], offset=8, event_bytes=8)
        assert any("stored twice" in what for _, what in found.differences)


def test_a_hole_that_has_data(tmp_path):
    gaps = [StoredGap(4, 8, "hole")]
    for content, complete in ((b"one\n\0\0\0\0two\n", True), (b"one\n\0xx\0two\n", False)):
        found = judged(tmp_path, content, [0, 8], [b"one", b"two"], offset=12, event_bytes=8, gap_bytes=4, gaps=gaps)
        assert found.complete == complete


def test_a_file_cut_off_in_the_middle_of_an_event(tmp_path):
    found = judged(tmp_path, b"one\ntw", [0, 4], [b"one", b"two"], offset=8, event_bytes=8)
    assert (found.complete, found.compared_bytes) == (True, 4)


def test_a_gap_after_an_event_without_a_newline(tmp_path):
    """The last line before a truncation had none: the gap begins right behind it."""
    gaps = [StoredGap(3, 9, "truncated")]
    found = judged(tmp_path, None, [0], [b"one"], offset=9, event_bytes=3, gap_bytes=6, gaps=gaps)
    assert found.complete, found.differences
