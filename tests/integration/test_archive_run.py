"""Rotated logs become verified archives, in one command, whatever they were."""

import contextlib
import gzip
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import time

import pytest
import zstandard

from tests.integration.archiving import age, archives, configure, content, leftovers, run, tells_writers
from tests.integration.harness import append, events, wait_until
from tests.integration.oracle import Scribe, verify
from tests.needs import limited, needs

pytestmark = needs("zstd")


@pytest.fixture
def box(quick_box):
    configure(quick_box)
    return quick_box


def test_a_stored_log_that_was_rotated_is_archived_and_deleted(box):
    scribe = Scribe()
    scribe.append(box.log, 300)
    data = box.log.read_bytes()
    box.log.chmod(0o640)
    box.once()
    box.log.rename(box.logs / "app.log.1")
    scribe.append(box.log, 5)
    summary = run(box)
    assert (summary["archived"], summary["deleted"], summary["failed"]) == (1, 1, [])
    assert content(box) == [data]
    assert not (box.logs / "app.log.1").exists()
    [path] = archives(box)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    [row] = box.sql("SELECT file_id, lines, events, log_path, raw_bytes FROM archives")
    assert row == (1, 300, 300, str(box.log), len(data))
    box.once()
    verify(box, scribe, unchanged=False)
    assert run(box)["archived"] == 0
    assert box.run("archive", "verify").returncode == 0


def test_a_year_of_rotated_logs_is_archived_in_one_command(box):
    """Logs that were never followed, in every form that rotation gives them; the newest is left alone."""
    logs = {f"app.log.{number}": events(number * 10, 10) for number in range(1, 5)}
    (box.logs / "app.log").write_bytes(events(0, 3))
    (box.logs / "app.log.1").write_bytes(logs["app.log.1"])
    (box.logs / "app.log.2.gz").write_bytes(gzip.compress(logs["app.log.2"]))
    (box.logs / "app.log.3.zst").write_bytes(zstandard.compress(logs["app.log.3"]))
    (box.logs / "app.log-20261122").write_bytes(logs["app.log.4"])
    (box.logs / "other.txt").write_bytes(b"not ours\n")
    for number, path in enumerate(sorted(box.logs.iterdir())):
        age(path, 9000 - number)
    summary = run(box)
    assert (summary["archived"], summary["deleted"]) == (4, 4)
    assert sorted(content(box)) == sorted(logs.values())
    assert sorted(path.name for path in box.logs.iterdir()) == ["app.log", "other.txt"]
    assert box.count() == 0, "a sibling that was never followed is not stored"
    assert leftovers(box) == []


def test_what_is_not_stored_yet_waits(box):
    box.log.write_bytes(events(0, 20))
    box.once()
    append(box.log, events(20, 20))
    box.log.rename(box.logs / "app.log.1")
    summary = run(box)
    assert (summary["archived"], summary["waiting"]) == (0, 1)
    assert (box.logs / "app.log.1").exists()
    box.once()  # reads the rest, and then archives
    assert box.numbers() == list(range(40))
    assert len(content(box)) == 1
    assert not (box.logs / "app.log.1").exists()


def test_a_stored_log_that_was_compressed_is_known_by_its_content(box):
    box.log.write_bytes(events(0, 50))
    data = box.log.read_bytes()
    box.once()
    box.log.rename(box.logs / "app.log.1")
    (box.logs / "app.log.1.gz").write_bytes(gzip.compress(data))
    (box.logs / "app.log.1").unlink()
    box.log.write_bytes(events(50, 1))
    box.once()
    box.once()
    assert box.numbers() == list(range(51))
    assert content(box) == [data]
    assert box.sql("SELECT file_id FROM archives") == [(1,)]


def test_a_young_or_open_log_waits(box):
    configure(box, quiet="1h")
    (box.logs / "app.log").write_bytes(events(0, 1))
    old = box.logs / "app.log.1"
    old.write_bytes(events(1, 3))
    assert run(box)["waiting"] == 1
    age(old, 7200)
    if not tells_writers(box.root):
        limited("leases")
    with old.open("ab"):
        assert run(box)["waiting"] == 1
    assert run(box)["archived"] == 1


def test_logs_are_kept_if_that_is_wanted_and_not_archived_twice(box):
    configure(box, delete_source=False)
    (box.logs / "app.log").write_bytes(events(0, 1))
    old = box.logs / "app.log.1"
    old.write_bytes(events(1, 30))
    assert run(box)["archived"] == 1
    assert run(box)["archived"] == 0
    old.rename(box.logs / "app.log.2")
    assert run(box)["archived"] == 0
    (box.logs / "app.log.2.gz").write_bytes(gzip.compress((box.logs / "app.log.2").read_bytes()))
    (box.logs / "app.log.2").unlink()
    summary = run(box)
    assert (summary["archived"], summary["known"]) == (0, 1)
    assert len(archives(box)) == 1
    assert (box.logs / "app.log.2.gz").exists()


def test_two_logs_with_the_same_content_are_two_logs(box):
    (box.logs / "app.log").write_bytes(events(0, 1))
    for name in ("app.log.1", "app.log.2"):
        (box.logs / name).write_bytes(b"restarted\n")
    assert run(box)["archived"] == 2
    assert content(box) == [b"restarted\n"] * 2


def test_a_followed_log_that_nobody_writes_any_more_is_archived_when_it_is_inactive(box):
    configure(box, {"include": [f"{box.logs}/app-*.log"]}, inactive="1d")
    for day, seconds in (("20", 200_000), ("21", 100_000), ("22", 10)):
        path = box.logs / f"app-2026-11-{day}.log"
        path.write_bytes(events(int(day), 2))
        age(path, seconds)
    box.once()
    assert box.count() == 6
    assert sorted(path.name for path in box.logs.iterdir()) == ["app-2026-11-22.log"]
    assert len(archives(box)) == 2


def test_excluded_empty_and_linked_siblings_are_left_alone(box):
    configure(box, {"exclude": ["*.tmp", "app.log.3"]})
    (box.logs / "app.log").write_bytes(events(0, 1))
    (box.logs / "app.log.1").write_bytes(b"")
    (box.logs / "app.log.2").symlink_to("/etc/passwd")
    (box.logs / "app.log.3").write_bytes(b"excluded\n")
    assert run(box)["archived"] == 0
    assert len(list(box.logs.iterdir())) == 4


def test_a_damaged_compressed_log_is_named_and_kept(box):
    (box.logs / "app.log").write_bytes(events(0, 1))
    (box.logs / "app.log.1.gz").write_bytes(gzip.compress(events(0, 5000))[:-9])
    (box.logs / "app.log.2.gz").write_bytes(gzip.compress(b"good\n"))
    done = box.run("archive", "run")
    assert done.returncode == 1
    assert b"error[SL805]" in done.stderr
    assert b"app.log.1.gz cannot be archived" in done.stderr
    assert content(box) == [b"good\n"]
    assert (box.logs / "app.log.1.gz").exists()
    assert leftovers(box) == []


def test_without_the_section_nothing_is_done(box):
    box.configure()
    (box.logs / "app.log").write_bytes(events(0, 1))
    (box.logs / "app.log.1").write_bytes(events(1, 1))
    done = box.run("archive", "run")
    assert done.returncode == 78
    assert b"error[SL801]" in done.stderr
    box.once()
    assert (box.logs / "app.log.1").exists()


def test_a_target_that_cannot_be_written_keeps_the_log(box):
    target = box.root / "file"
    target.write_bytes(b"")
    configure(box, directory=str(target / "archive"))
    (box.logs / "app.log").write_bytes(events(0, 1))
    (box.logs / "app.log.1").write_bytes(events(1, 1))
    done = box.run("archive", "run")
    assert done.returncode == 1
    assert b"error[SL804]" in done.stderr
    assert (box.logs / "app.log.1").exists()


def test_the_oldest_archives_go_by_number_of_bytes_and_by_age(box):
    (box.logs / "app.log").write_bytes(events(0, 1))
    for number in (3, 2, 1):
        path = box.logs / f"app.log.{number}"
        path.write_bytes(os.urandom(60_000).hex().encode() + b"\n")
        age(path, number * 1000)
    sizes = [path.stat().st_size for path in archives(box)] if run(box)["archived"] == 3 else []
    configure(box, retention={"age": "1d", "size": f"{sum(sizes) - 1}B"})
    assert run(box)["removed"] == 1
    assert [path.stat().st_size for path in archives(box)] == sizes[1:]
    assert box.run("archive", "verify").returncode == 0, "an archive that retention removed is not missed"
    configure(box, retention={"age": "1s"})
    [[newest]] = box.sql("SELECT max(created) FROM archives")
    wait_until(lambda: time.time_ns() > newest + 10**9, what="the last second of the newest archive")
    assert run(box)["removed"] == 2
    assert (archives(box), box.sql("SELECT count(*) FROM archive_frames")) == ([], [(0,)])
    (box.logs / "app.log.1").write_bytes(b"later\n")
    configure(box)
    assert run(box)["archived"] == 1
    assert box.sql("SELECT id, sequence FROM archives") == [(4, 4)]
    assert box.run("archive", "verify").returncode == 0


def dated(day: str) -> bytes:
    return f'{{"timestamp":"{day}T12:00:00Z","message":"as old as it says"}}\n'.encode()


def test_archives_go_by_the_age_of_their_newest_event_whenever_they_were_made(box):
    """Also out of the middle of a source, and the last of it: the chain still proves that no other one is missing."""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    (box.logs / "app.log").write_bytes(dated(today))
    contents = (b"an old line without a time\n", dated("2001-01-02"), dated(today), dated("2001-01-01"), dated(today))
    for number, lines in enumerate(contents, 1):
        path = box.logs / f"app.log.{number}"
        path.write_bytes(lines)
        age(path, number * 1000)
    age(box.logs / "app.log.1", 90_000)  # no event of it says when it was: its last change counts
    assert run(box)["archived"] == 5
    assert box.status()["archive"]["oldest_event"] == "2001-01-01T12:00:00.000000000Z"
    configure(box, retention={"event_age": "1d"})
    planned = json.loads(box.run("archive", "run", "--dry-run", "--json").stdout)
    assert [row["why"] for row in planned if row["action"] == "remove"] == ["its newest event is older than 1d"] * 3
    assert b"SL815" in box.run("check").stdout
    assert run(box)["removed"] == 3
    assert b"SL815" not in box.run("check").stdout
    assert content(box) == [dated(today)] * 2
    assert box.status()["archive"]["oldest_event"] == f"{today}T12:00:00.000000000Z"
    assert box.run("archive", "verify").returncode == 0
    (box.logs / "app.log.1").write_bytes(dated(today) * 2)
    assert run(box)["archived"] == 1
    assert box.run("archive", "verify").returncode == 0
    archives(box)[1].unlink()
    assert box.run("archive", "verify").returncode == 1
    box.run("archive", "run", "--reindex")
    [(sequences,)] = box.sql("SELECT group_concat(sequence) FROM archives")
    assert sequences.count(",") == 1


def test_an_event_of_the_future_does_not_keep_its_archive_for_ever(box):
    """A clock that was wrong: its lines are as old as the archive."""
    (box.logs / "app.log").touch()
    path = box.logs / "app.log.1"
    path.write_bytes(dated("2199-01-01"))
    age(path)
    configure(box, retention={"event_age": "1d"})
    assert run(box)["archived"] == 1
    assert run(box)["removed"] == 0
    with contextlib.closing(sqlite3.connect(box.store, isolation_level=None)) as store:
        store.execute("UPDATE archives SET created = created - ?", (2 * 86_400 * 10**9,))
    assert run(box)["removed"] == 1
    assert archives(box) == []


def test_an_agent_archives_by_itself_and_keeps_the_store_for_itself(box):
    scribe = Scribe()
    box.start()
    for number in (1, 2):
        scribe.append(box.log, 200)
        box.wait_count(200 * number)
        box.log.rename(box.logs / f"app.log.{number}")
    scribe.append(box.log, 1)
    wait_until(lambda: len(archives(box)) == 2 and len(list(box.logs.iterdir())) == 1, what="both archives")
    refused = box.run("archive", "run")
    assert refused.returncode == 3
    assert b"SL404" in refused.stderr
    box.wait_count(401)
    assert box.stop() == 0
    verify(box, scribe, unchanged=False)
    assert b"".join(content(box)) + scribe.written[-1] + b"\n" == b"".join(line + b"\n" for line in scribe.written)
    assert json.loads(box.run("status", "--json").stdout)["archive"]["files"] == 2


@needs("root")
def test_a_full_disk_at_the_target_keeps_the_log_and_leaves_nothing(box):
    """And reading is not touched; with room again the agent archives by itself."""
    small = box.store.parent / "archive"
    small.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", small], check=True)
    try:
        (box.logs / "app.log").write_bytes(events(0, 1))
        (box.logs / "app.log.1").write_bytes(os.urandom(1_000_000).hex().encode() + b"\n")
        box.start()
        wait_until(lambda: any(e["code"] == "SL804" and e["active"] for e in box.status()["errors"]), what="SL804")
        append(box.log, events(1, 100))
        box.wait_count(101)
        assert leftovers(box) == archives(box) == []
        assert (box.logs / "app.log.1").exists()
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        wait_until(lambda: not (box.logs / "app.log.1").exists(), what="the archive")
        wait_until(lambda: box.status()["healthy"], what="the end of SL804")
        assert box.stop() == 0
        assert box.run("archive", "verify").returncode == 0
    finally:
        box.kill()
        subprocess.run(["umount", "-l", small], check=True)


def test_a_condition_ends_with_its_cause(box):
    (box.logs / "app.log").write_bytes(events(0, 1))
    damaged = box.logs / "app.log.1.gz"
    damaged.write_bytes(gzip.compress(events(1, 500))[:-9])
    box.start()
    wait_until(lambda: any(e["code"] == "SL805" and e["active"] for e in box.status()["errors"]), what="SL805")
    assert not box.status()["healthy"]
    (box.root / "mended").write_bytes(gzip.compress(events(1, 500)))
    (box.root / "mended").rename(damaged)
    wait_until(lambda: box.status()["healthy"], what="the end of SL805")
    wait_until(lambda: not damaged.exists(), what="the archive")
    assert box.stop() == 0


def test_a_copy_is_the_log_that_was_truncated_after_it_and_no_other(box):
    """copytruncate, of which the truncation has not been noticed yet; and a copy of a log that goes on as it was."""
    box.log.write_bytes(events(0, 50))
    box.once()
    shutil.copy2(box.log, box.logs / "app.log.1")
    assert run(box)["archived"] == 1
    assert box.sql("SELECT file_id FROM archives") == [(None,)], "it lies where it was: this is another"
    box.log.write_bytes(events(50, 50))
    box.once()
    shutil.copy2(box.log, box.logs / "app.log.1")
    box.log.write_bytes(b"")
    assert run(box)["archived"] == 1
    assert box.sql("SELECT file_id FROM archives ORDER BY id") == [(None,), (2,)]
