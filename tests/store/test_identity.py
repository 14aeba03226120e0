"""The agent's id: made once, and another one wherever a store is not the one that ran here last."""

import contextlib
import shutil
import sqlite3

import pytest

from agent.store import backup, forwarding, identity, salvage
from agent.store.backup import restore
from agent.store.opening import open_store
from tests.store.stores import events, store_at, stored, tailed, transaction, write


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "sidelog.db"


def ids(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [row.id for row in forwarding.agents(connection)]


def run(path, count=0, position=None):
    """One life of an agent: SL661's reason or None, and the id it had."""
    with store_at(path) as opened:
        connection = opened.writer.connection
        if count:
            write(opened, transaction(stored(tailed(), events(count=count))))
        if position is not None:
            connection.execute(
                "INSERT INTO forward_targets (name, agent, kind, url, position, pending, added)"
                " VALUES ('central', ?1, 'clickhouse', 'x', ?2, '{}', 0)"
                " ON CONFLICT DO UPDATE SET position = ?2, pending = '{}'",
                (forwarding.current_agent(connection), position),
            )
        why = None if opened.renewed is None else opened.renewed.message.rpartition(": ")[2]
        return why, forwarding.current_agent(connection)


def test_an_id_is_made_once_and_stays(path):
    why, first = run(path, count=3, position=2)
    assert why is None
    assert len(first) == 32
    assert [run(path) for _ in range(3)] == [(None, first)] * 3
    assert ids(path) == [first]


def test_a_copy_of_the_file_gets_its_own_and_sends_nothing_again(path, tmp_path):
    _, first = run(path, count=5, position=3)
    copy = tmp_path / "copy" / "sidelog.db"
    copy.parent.mkdir()
    shutil.copy2(path, copy)
    why, second = run(copy)
    assert why == identity.COPIED
    assert second != first
    assert run(path) == (None, first)  # the original goes on
    assert run(copy) == (None, second)
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        (target,) = forwarding.targets(connection)
        assert (target.agent, target.position, target.pending) == (second, 3, None)
        old, new = forwarding.agents(connection)
        assert (old.id, new.id, new.since_seq) == (first, second, 4)
        assert identity.sent_until(new, "central") == 3


def test_a_cloned_machine_gets_its_own(path, tmp_path, monkeypatch):
    _, first = run(path, count=1)
    other = tmp_path / "machine-id"
    other.write_text("0123456789abcdef0123456789abcdef\n")
    monkeypatch.setattr(identity, "_MACHINE_ID", other)
    why, second = run(path)
    assert (why, second != first) == (identity.CLONED, True)
    assert run(path) == (None, second)
    other.unlink()  # a machine without one is not another one
    assert run(path) == (None, second)


def test_older_content_in_the_same_file_is_noticed_though_the_inode_stays(path, tmp_path):
    _, first = run(path, count=2)
    shutil.copyfile(path, tmp_path / "snapshot")
    run(path)
    inode = path.stat().st_ino
    shutil.copyfile(tmp_path / "snapshot", path)  # into the same file, as a snapshot's rollback does
    assert path.stat().st_ino == inode
    why, second = run(path)
    assert (why, second != first) == (identity.ROLLED_BACK, True)
    assert run(path) == (None, second)


def test_a_copy_made_within_the_last_run_is_noticed_by_the_events_it_lacks(path, tmp_path):
    run(path)
    with store_at(path) as opened:
        write(opened, transaction(stored(tailed(), events(count=2))))
        with contextlib.closing(sqlite3.connect(tmp_path / "snapshot")) as target:
            opened.writer.connection.backup(target)
        write(opened, transaction(stored(tailed(offset=2), events(2, count=2))))
    shutil.copyfile(tmp_path / "snapshot", path)
    assert run(path)[0] == identity.ROLLED_BACK


def test_a_restored_store_has_its_own_id_once(path, tmp_path):
    _, first = run(path, count=4, position=2)
    backup.back_up(path, tmp_path / "backup.db")
    run(path, position=4)
    restore(tmp_path / "backup.db", path, force=True)
    known = ids(path)
    assert known[:-1] == [first]
    assert run(path) == (None, known[-1])
    assert ids(path) == known
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert forwarding.targets(connection)[0].position == 2
        assert forwarding.agents(connection)[-1].reason == identity.RESTORED


def test_a_backup_of_another_machine_in_its_place_knows_both(path, tmp_path):
    _, here = run(path, count=1)
    elsewhere = tmp_path / "other" / "sidelog.db"
    _, there = run(elsewhere, count=1)
    backup.back_up(elsewhere, tmp_path / "backup.db")
    restore(tmp_path / "backup.db", path, force=True)
    why, now = run(path)
    assert why is None
    assert {here, there, now} == set(ids(path))
    assert ids(path)[-1] == now
    assert len({here, there, now}) == 3


def test_one_begun_anew_knows_what_was_there(path):
    _, first = run(path, count=1)
    path.write_bytes(b"\xff" * 8192)  # moved aside as damaged
    with contextlib.suppress(FileNotFoundError):
        path.with_name(path.name + "-wal").unlink()
    why, second = run(path)
    assert why == identity.RENEWED
    assert ids(path) == [first, second]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        old, new = forwarding.agents(connection)
        assert identity.is_of_another(old)
        assert not identity.is_of_another(new)
        assert new.since_seq <= 1
    assert run(path) == (None, second)


def test_a_salvaged_one_has_its_own_id_once(path):
    _, first = run(path, count=3, position=1)
    salvage.salvage(path)
    assert ids(path)[0] == first
    assert len(ids(path)) == 2
    assert run(path) == (None, ids(path)[-1])


def test_a_lock_file_that_is_gone_is_no_reason(path):
    _, first = run(path, count=1)
    path.with_name(path.name + ".lock").unlink()
    assert run(path) == (None, first)


def test_an_agent_killed_between_its_two_notes_keeps_its_id(path):
    _, first = run(path, count=1)
    lock = path.with_name(path.name + ".lock")
    before = lock.read_bytes()
    run(path)
    lock.write_bytes(before)  # the store has noted the start, the lock not yet
    assert run(path) == (None, first)


def test_opening_needs_no_more_than_a_store(path):
    opened = open_store(path, min_free_bytes=0)
    opened.close()
    assert opened.renewed is None
