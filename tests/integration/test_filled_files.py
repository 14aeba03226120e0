"""Files that are longer than what was written into them: preallocated, mapped, behind their size on NFS, torn by a
power failure. NULs that may still be filled are not data; those that stay are a gap; every line is one event.
"""

import json
import mmap
import os
import random
from itertools import accumulate

import pytest

from tests.integration.harness import append, event

SIZE = 1 << 16
LINES = [event(number) for number in range(8)]


def preallocate(path, size=SIZE, data=b""):
    with path.open("wb") as file:
        file.write(data)
        os.posix_fallocate(file.fileno(), 0, size)


def write_at(path, offset, data):
    with path.open("r+b", buffering=0) as file:
        os.pwrite(file.fileno(), data, offset)
    return offset + len(data)


def whole(box, numbers):
    """Each line is one event, nothing else is stored, and nothing waits."""
    assert box.numbers() == list(numbers)
    assert b"\0" not in box.raw()
    audit = box.run("audit")
    assert audit.returncode == 0, audit.stdout.decode()


def gaps(box):
    return box.sql('SELECT "from", "to", reason FROM gaps ORDER BY file_id, "from"')


@pytest.mark.parametrize("allocated", [True, False], ids=["preallocated", "zeros"])
def test_lines_that_are_written_into_a_preallocated_file(box, allocated):
    """Half of a line comes first, each time; a restart in between changes nothing, nor does cutting off the rest."""
    if allocated:
        preallocate(box.log)
    else:
        box.log.write_bytes(bytes(SIZE))
    place = 0
    box.start()
    for number, line in enumerate(LINES):
        if number == 4:
            assert box.stop() == 0
            box.start()
        place = write_at(box.log, place, line[:20])
        place = write_at(box.log, place, line[20:])
        box.wait_count(number + 1)
    assert [file["lag_bytes"] for file in box.status()["files"]] == [0]
    whole(box, range(8))
    os.truncate(box.log, place)
    append(box.log, event(8))
    box.wait_count(9)
    assert box.stop() == 0
    whole(box, range(9))
    assert gaps(box) == []


def test_lines_that_are_written_between_runs(box):
    """The file grows in steps, as a database or an mmap writer extends it, and every run ends before the NULs."""
    place = 0
    for number, line in enumerate(LINES):
        if place + len(line) > (box.log.stat().st_size if box.log.exists() else 0):
            with box.log.open("ab") as file:
                file.write(bytes(300))
        place = write_at(box.log, place, line)
        box.once()
        assert box.numbers() == list(range(number + 1))
    whole(box, range(8))
    assert gaps(box) == []


def test_a_mapped_file(box):
    """What is written into memory gives no event and, on a page that was written before, no time of change."""
    preallocate(box.log)
    box.start()
    place = 0
    with box.log.open("r+b") as file, mmap.mmap(file.fileno(), SIZE) as memory:
        for number, line in enumerate(LINES):
            memory[place : place + len(line)] = line
            place += len(line)
            box.wait_count(number + 1)
    assert box.stop() == 0
    whole(box, range(8))


def test_a_size_that_is_ahead_of_its_data(box):
    """NFS: the file has grown in the middle of a line, and the data comes after a while, the last page first."""
    lines = [event(number, message="x" * 900) for number in range(12)]
    data = b"".join(lines)
    known = len(data) // 3
    append(box.log, data[:known])
    box.start()
    box.wait_count(3)
    os.truncate(box.log, len(data))
    pages = list(range(known, len(data), 1000))
    for page in reversed(pages):
        write_at(box.log, page, data[page : page + 1000])
    box.wait_count(12)
    assert box.stop() == 0
    whole(box, range(12))
    assert gaps(box) == []


def test_pages_that_are_filled_in_any_order_by_several_writers(box):
    lines = [event(number, message="x" * 150) for number in range(200)]
    preallocate(box.log, sum(map(len, lines)))
    places = dict(enumerate(accumulate(map(len, lines[:-1]), initial=0)))
    order = list(places)
    random.Random(7).shuffle(order)
    box.start()
    for number in order:
        write_at(box.log, places[number], lines[number])
    box.wait_count(200)
    assert box.stop() == 0
    whole(box, range(200))
    assert gaps(box) == []


@pytest.mark.parametrize("live", [True, False], ids=["live", "restart"])
@pytest.mark.parametrize("nuls", [100, 5000, 3 << 20])
def test_a_power_failure_tears_a_line(box, nuls, live):
    """A half line, NULs where the rest of it was to be, and what was written after the start: more than `max_line`."""
    torn = event(1)[:30]
    append(box.log, event(0))
    if live:
        box.start()
        box.wait_count(1)
    else:
        box.once()
    append(box.log, torn + bytes(nuls) + event(2) + event(3))
    if live:
        box.wait_count(4)
        assert box.stop() == 0
    else:
        box.once()
    assert box.numbers() == [0, None, 2, 3]
    place = len(event(0)) + len(torn)
    assert gaps(box) == [(place, place + nuls, "hole")]
    assert torn in box.raw().splitlines()
    assert box.run("audit").returncode == 0


def test_a_torn_line_is_the_same_in_an_archive(box):
    """The store and the archive find the same events at the same places."""
    document = json.loads(box.config.read_text())
    box.config.write_text(json.dumps(document | {"archive": {"directory": str(box.root / "archive"), "quiet": "0s"}}))
    append(box.log, event(0) + event(1)[:30] + bytes(2 << 20) + event(2))
    box.once()
    stored = box.raw()
    assert len(stored.splitlines()) == 3
    log = box.log.rename(box.logs / "app.log.1")
    os.utime(log, (1, 1))
    box.once()
    done = box.run("archive", "run")
    assert done.returncode == 0, done.stderr.decode()
    assert not log.exists()
    assert sorted(box.raw("--archives").splitlines()) == sorted(stored.splitlines())


def test_start_end_of_a_preallocated_file(box):
    box.configure(start="end")
    preallocate(box.log, 1 << 20, LINES[0])
    box.start()
    place = len(LINES[0])
    append(box.logs / "other.log", b"")
    for line in LINES[1:]:
        place = write_at(box.log, place, line)
    box.wait_count(7)
    assert box.stop() == 0
    whole(box, range(1, 8))
