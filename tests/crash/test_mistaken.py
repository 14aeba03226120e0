"""Files taken for each other after a crash: found by random programs, kept here in their shortest form."""

import gzip
import sqlite3

import pytest

from tests.integration.harness import Box, append, event, events, wait_until


@pytest.fixture
def box(tmp_path):
    box = Box(tmp_path)
    box.configure(include=[f"{box.logs}/*.log*"])
    yield box
    box.kill()


def compress(path):
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def test_a_file_whose_inode_another_known_file_has_got_is_read_on_from_its_archive(box):
    """The agent died between taking up the new file and looking for the old one; that must not be the last look."""
    append(box.log, events(0, 10))
    append(box.logs / "other.log", event(100))
    box.once()
    append(box.log, events(10, 10))
    rotated = box.log.rename(box.logs / "app.log.1")
    compress(rotated)
    connection = sqlite3.connect(box.store)
    connection.execute(
        "UPDATE files SET (inode, generation) = (SELECT inode, generation FROM files WHERE path LIKE '%other.log')"
        " WHERE path LIKE '%app.log'"
    )
    connection.commit()
    connection.close()
    box.once()
    assert sorted(box.numbers()) == [*range(20), 100]


def test_the_archive_of_a_file_that_was_read_is_not_read_again_for_a_fragment_that_begins_like_it(box):
    append(box.log, events(0, 10))
    box.once()
    box.log.rename(box.logs / "app.log.1")
    box.once()
    compress(box.logs / "app.log.1")
    box.once()
    box.start()
    append(box.log, event(10)[:20])
    wait_until(lambda: box.sql("SELECT 1 FROM files WHERE head_length = 20"), what="the fragment's file in the store")
    box.kill()
    box.log.unlink()
    box.once()
    assert box.numbers() == list(range(10))
