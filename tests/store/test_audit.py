"""Comparing events with files, where an agent goes on meanwhile."""

import contextlib
import os

import pytest

from agent.store.audit import Audit, original_bytes
from agent.store.compare import Window
from agent.store.reader import open_reader
from tests.store.stores import another, events, stored, tailed, transaction, write


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
    assert original_bytes(record, raw) == line


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
            newer = tailed(2, path=str(log))
            newer.device, newer.inode = file.device, file.inode
            write(opened, transaction(files={2: newer}))
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
