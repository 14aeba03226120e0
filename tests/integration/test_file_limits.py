"""More files than may be open, and many files with one hot one among them: none is forgotten, none starves."""

import json
import os
import resource
from pathlib import Path

from tests.integration.harness import append, wait_until
from tests.integration.oracle import Scribe, nudge, open_files, settled


def test_a_thousand_files_with_64_descriptors(box):
    """Files that are read to their end are closed and opened again when they grow; rotated ones come first."""
    scribes = {number: Scribe(str(number)) for number in range(1000)}
    for number, scribe in scribes.items():
        scribe.append(box.logs / f"{number}.log", 2)
    box.start("prlimit", "--nofile=64:64")
    box.wait_count(2000, 60)
    for number in range(0, 1000, 10):
        scribes[number].append(box.logs / f"{number}.log")
    for number in range(5, 1000, 100):
        path = box.logs / f"{number}.log"
        with path.open("ab", buffering=0) as writer:
            path.rename(f"{path}.1")
            writer.write(scribes[number].lines(1))
        scribes[number].append(path)
    settled(box, *scribes.values(), timeout_s=60)
    assert len(open_files(box.process.pid, box.logs)) <= 16
    assert box.process.poll() is None


def test_once_reads_a_thousand_files_with_64_descriptors(box):
    """Files that could not be opened yet are no reason to stop, and no file has to wait: nothing is reported."""
    scribes = [Scribe(str(number)) for number in range(1000)]
    for number, scribe in enumerate(scribes):
        scribe.append(box.logs / f"{number}.log", 2)
    limits = (64, 64)
    done = box.run("run", "--once", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits))
    assert done.returncode == 0, done.stderr.decode()
    assert "SL207" not in done.stderr.decode()
    settled(box, *scribes)


def test_files_of_several_reads_with_few_descriptors(box):
    """Where all open files have more to read, some are closed for the others, and `--once` reads all to their end."""
    scribes = [Scribe(str(number)) for number in range(60)]
    for number, scribe in enumerate(scribes):
        append(box.logs / f"{number}.log", scribe.lines(12, pad_bytes=100_000))
    limits = (64, 64)
    done = box.run("run", "--once", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits))
    assert done.returncode == 0, done.stderr.decode()
    settled(box, *scribes)


def test_one_hot_file_does_not_starve_the_others(box):
    """40 MB wait in one file; lines of ten others are stored while it is being read."""
    hot, calm = Scribe("hot"), Scribe("calm")
    chunk = hot.lines(4000, pad_bytes=900)
    for number in range(10):
        calm.append(box.logs / f"calm-{number}.log")
    append(box.log, chunk * 10)
    box.start()
    wait_until(
        lambda: len(box.sql('SELECT 1 FROM events WHERE record LIKE \'%"stream": "calm"%\'')) == 10,
        what="the calm files' lines",
    )
    assert box.count() < 40_010
    box.wait_count(40_010)
    assert box.books_balance()


def test_where_reading_begins(box):
    """`start: end` counts for files of the first start only; a file born later, or while the agent is down, is read
    from its head; and an old file that nobody has touched for a year is read on when it grows.
    """
    box.configure(start="end")
    before, after = Scribe("before"), Scribe("after")
    before.append(box.log, 10)
    before.append(box.logs / "old.log", 10)
    os.utime(box.logs / "old.log", (1e9, 1e9))
    box.start()
    wait_until(lambda: len(box.sql("SELECT 1 FROM files")) == 2)
    after.append(box.logs / "born.log", 3)
    box.wait_count(3)
    after.append(box.logs / "old.log", 3)
    box.wait_count(6)
    assert box.stop() == 0
    after.append(box.logs / "while-down.log", 3)
    after.append(box.log, 3)
    box.start()
    settled(box, after)


def test_status_tells_how_far_each_file_is_behind(box):
    scribe = Scribe()
    scribe.append(box.log, 3)
    scribe.append(box.logs / "b.log", 3)
    box.start()
    box.wait_count(6)
    append(box.log, b"no newline yet")
    nudge(box, scribe, box.logs / "b.log")
    wait_until(
        lambda: (
            {Path(file["path"]).name: file["lag_bytes"] for file in box.status()["files"]}
            == {"app.log": 14, "b.log": 0}
        ),
        what="the lag",
    )
    assert json.dumps(box.status()["problems"]) == "[]"
