"""The store is damaged in places that opening does not touch, truncated, moved, replaced, newer, or half made."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess

import pytest

from tests.integration.harness import SIDELOG, wait_until
from tests.integration.oracle import Scribe, change_store, nudge, settled, verify
from tests.needs import needs

PAGE_BYTES = 4_096


def aside(box):
    return list(box.store.parent.glob("sidelog.db.damaged-*"))


@pytest.mark.parametrize("keep", [0.3, 0.7])
def test_a_truncated_store_is_moved_aside_and_the_sources_are_read_again(box, keep):
    scribe = Scribe()
    scribe.append(box.log, 3000)
    box.once()
    os.truncate(box.store, int(box.store.stat().st_size * keep) // PAGE_BYTES * PAGE_BYTES)
    box.start()
    settled(box, scribe)
    assert aside(box)
    assert any(error["code"] == "SL409" for error in box.status()["errors"])


def test_pages_damaged_under_a_running_agent_lead_to_a_new_store_without_a_restart(box):
    """Every page but the first is overwritten; the next commits find that out. Never a crash, never a loop."""
    scribe = Scribe()
    scribe.append(box.log, 3000)
    box.once()
    box.start()
    with box.store.open("r+b") as file:
        for page in range(1, box.store.stat().st_size // PAGE_BYTES):
            file.seek(page * PAGE_BYTES)
            file.write(b"\xa5" * PAGE_BYTES)
    scribe.append(box.log, 500)
    wait_until(lambda: aside(box) or box.process.poll() is not None, what="moving it aside")
    assert box.process.poll() is None, box.said()[-1000:]
    settled(box, scribe)
    assert len(aside(box)) == 1


@pytest.mark.parametrize("how", ["moved", "replaced"])
def test_a_store_moved_or_replaced_under_the_agent_stops_it(box, how):
    """Inserts into the file that has no name any more would succeed and be gone: exit code 3 instead, and one
    sentence. The next start goes on with what lies there.
    """
    scribe = Scribe()
    scribe.append(box.log, 50)
    box.start()
    box.wait_count(50)
    other = box.root / "moved"
    other.mkdir()
    if how == "replaced":
        with (
            contextlib.closing(sqlite3.connect(box.store)) as source,
            contextlib.closing(sqlite3.connect(other / "copy")) as copy,
        ):
            source.backup(copy)
        (other / "copy").rename(box.store)
    else:
        for part in list(box.store.parent.glob("sidelog.db*")):
            part.rename(other / part.name)
    scribe.append(box.log, 5)
    assert box.process.wait(20) == 3
    assert "SL411" in box.said()
    if how == "replaced":
        for end in ("-wal", "-shm"):
            box.store.with_name(box.store.name + end).unlink(missing_ok=True)
    else:
        for part in list(other.iterdir()):
            shutil.move(part, box.store.parent / part.name)
    box.start()
    settled(box, scribe)


def test_a_newer_store_is_refused_and_left_as_it_is(box):
    scribe = Scribe()
    scribe.append(box.log, 5)
    box.once()
    version = box.sql("PRAGMA user_version")[0][0]
    change_store(box, f"PRAGMA user_version = {version + 1}")
    content = box.store.read_bytes()
    refused = box.run("run", "--once")
    assert refused.returncode == 3
    assert b"SL403" in refused.stderr
    assert box.store.read_bytes() == content
    assert not aside(box)
    change_store(box, f"PRAGMA user_version = {version}")
    box.once()
    verify(box, scribe)


@needs("strace", "tracing")
@pytest.mark.parametrize("call", [1, 2, 4, 8, 14])
def test_a_kill_while_the_store_is_made_is_made_up_for_by_the_next_start(box, call):
    """SIGKILL at a write of the schema's transaction: a store without tables is no damaged store."""
    scribe = Scribe()
    scribe.append(box.log, 20)
    inject = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"inject=pwrite64:signal=KILL:when={call}"]
    killed = subprocess.run(
        [*inject, *SIDELOG, "run", "--once", "-c", str(box.config)],
        cwd=box.root,
        env=box.env,
        capture_output=True,
        timeout=40,
        check=False,
    )
    assert killed.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), killed.stderr
    box.once()
    verify(box, scribe)
    assert not aside(box)


def test_a_copy_made_while_the_agent_writes_is_whole(box):
    """By SQLite's backup interface, from another process's connection: rows and offsets of one moment."""
    scribe = Scribe()
    box.start()
    for number in range(5):
        scribe.append(box.log, 1000)
        copy = box.root / f"copy-{number}.db"
        with contextlib.closing(sqlite3.connect(box.store)) as source, contextlib.closing(sqlite3.connect(copy)) as to:
            source.backup(to, pages=50)
            assert to.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            rows, size = to.execute("SELECT count(*), sum(length(CAST(record AS BLOB)) + 1) FROM events").fetchone()
            offset = to.execute('SELECT coalesce(sum("offset"), 0) FROM files').fetchone()[0]
            assert offset == (size or 0), rows
    settled(box, scribe)


def test_a_store_that_is_locked_for_long_is_waited_for_and_named(box):
    """Longer than the agent's own patience with one attempt: not skipped, not lost, one condition that ends."""
    scribe = Scribe()
    scribe.append(box.log, 5)
    box.start()
    box.wait_count(5)
    intruder = sqlite3.connect(box.store, isolation_level=None)
    intruder.execute("BEGIN EXCLUSIVE")
    scribe.append(box.log, 500)
    wait_until(lambda: box.said().count("SL408") >= 1, what="the message")
    scribe.append(box.log, 500)
    intruder.execute("COMMIT")
    intruder.close()
    settled(box, scribe)
    wait_until(lambda: box.status()["healthy"], what="the condition's end")


@pytest.mark.timeout(600)
@pytest.mark.soak
def test_a_reader_that_never_ends_stops_the_reading_at_the_limit_of_the_wal(box):
    """400 MB come while a program keeps an old state open: at 64 MiB it is named, at 256 MiB reading pauses, and all
    of it is stored when that program has ended.
    """
    scribe = Scribe()
    scribe.append(box.log, 5)
    box.start()
    box.wait_count(5)
    reader = sqlite3.connect(box.store, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    scribe.append(box.log, 100_000, pad_bytes=4000)
    wait_until(lambda: "SL414" in box.said(), 60, what="the message")
    wal = box.store.with_name("sidelog.db-wal")
    wait_until(lambda: box.said().count("pauses") or wal.stat().st_size > 256 << 20, 60)
    assert str(os.getpid()) in box.said()
    assert wal.stat().st_size < 280 << 20
    reader.close()
    settled(box, scribe, timeout_s=60)
    wait_until(lambda: wal.stat().st_size < 64 << 20, what="an emptied WAL")


def test_a_reader_of_an_old_state_neither_stops_nor_slows_the_agent(box):
    scribe = Scribe()
    scribe.append(box.log, 5)
    box.start()
    box.wait_count(5)
    reader = sqlite3.connect(box.store, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM events").fetchone() == (5,)
    for _ in range(3):
        nudge(box, scribe, box.log)
    assert reader.execute("SELECT count(*) FROM events").fetchone() == (5,)
    reader.close()
    settled(box, scribe)
    assert box.status()["store"]["sqlite"] == sqlite3.sqlite_version
