"""Looking for a file while a rotation goes on: names change between the listing and the opening."""

import gzip
import os
import threading
from itertools import count

import pytest

from agent.core.model import FileGeneration, FileRow, Position
from agent.tail import locate, recovery
from agent.tail.identity import FileKey, head_hash, marker

CONTENT = b"".join(b"line %d\n" % number for number in range(100))
HEAD = CONTENT[:64]
LOOKS = 500
PAUSE_S = 0.002  # of the rotations


def known(log):
    """A file of which 300 bytes were read, and that lies nowhere now."""
    head = {"head_length": len(HEAD), "head_hash": head_hash(HEAD)}
    file = FileGeneration(1, "app", str(log), device=0, inode=0, generation=0, current_path=str(log), **head)
    return FileRow.of(file, Position(300, *marker(CONTENT[44:300])))


def find_copy(log):
    return locate.find_copy(known(log), HEAD, 300, CONTENT[44:300], {})


def find_shorter_copy(log):
    return locate.find_copy(known(log), HEAD, 3000, CONTENT[44:300], {})


def find_content(log):
    return locate.find_content(known(log), {})


def find_inode(log):
    key = FileKey(log.parent.stat().st_dev, min(entry.inode() for entry in os.scandir(log.parent)))
    return locate.find_inode(key, [str(log.parent)])


def find_archive(log):
    return recovery.candidates(known(log))


@pytest.mark.parametrize("find", [find_copy, find_shorter_copy, find_content, find_inode, find_archive])
def test_a_file_that_gets_another_name_all_the_time_is_found_by_every_look(tmp_path, find):
    """As in a chain of numbers whose rotations follow one another closely: it is always there, under one name."""
    log, suffix = tmp_path / "app.log", ".gz" if find is find_archive else ""
    place = log.with_name(f"app.log.1{suffix}")
    place.write_bytes(gzip.compress(CONTENT) if suffix else CONTENT)
    for number in range(8):
        log.with_name(f"app.log.2026010{number}{suffix}").write_bytes(b"another\n" * 1000)
    over = threading.Event()

    def rotate(place):
        for number in count(2):
            if over.wait(PAUSE_S):
                break
            place = place.rename(log.with_name(f"app.log.{number}{suffix}"))

    rotation = threading.Thread(target=rotate, args=[place])
    rotation.start()
    try:
        assert [None for _ in range(LOOKS) if not find(log)] == []
    finally:
        over.set()
        rotation.join()


def test_what_is_nowhere_is_not_found(tmp_path):
    log = tmp_path / "app.log"
    log.with_name("app.log.1").write_bytes(b"another\n" * 1000)
    assert [find(log) for find in (find_copy, find_content, find_archive)] == [None, None, []]
    assert locate.find_inode(FileKey(0, 1), [str(tmp_path)]) is None
