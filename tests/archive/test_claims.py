"""A rotated log that the store does not know, because its reading has just begun, or is about to: either it is read or
it is archived as an unknown one. Both would make its lines be found twice.
"""

import json
import shutil

import pytest

from agent.archive.archiver import Archiver
from agent.config import ArchiveConfig, Config, SourceConfig
from agent.store import archives
from agent.tail.claims import LogClaims
from agent.tail.identity import FileKey
from tests.rotate.making import Scene
from tests.sources import source
from tests.tail.following import PATIENT, Following, append, asynchronous


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.close()


def archiver_of(scene, claims, **archive):
    options = ArchiveConfig(directory=scene.root / "archive", quiet=0.0, **archive)
    config = Config(sources=[SourceConfig(name="app", include=[str(scene.log)])], archive=options)
    return Archiver(config, scene.change, scene.report, claims=claims)


def rows(scene):
    return [(row.file_id, row.raw_bytes) for row in archives.load(scene.connection)]


@asynchronous
async def test_a_log_whose_reading_the_store_does_not_know_yet_waits(scene):
    scene.log.write_bytes(b"1\n2\n")
    async with Following(scene.log, timing=PATIENT) as tail:
        await tail.until_read(b"1", b"2")
        rotated = scene.log.rename(scene.logs / "app.log.1")
        scene.log.write_bytes(b"3\n")
        archiver = archiver_of(scene, tail.tailer.claims)
        summary = archiver.round()
        assert (summary.archived, summary.waiting, rows(scene)) == (0, 1, [])
        file = scene.follow(rotated, path=str(scene.log))  # what was on its way is stored
        assert archiver.round().archived == 1
        assert rows(scene) == [(file.id, 4)]


@asynchronous
async def test_a_log_that_was_renamed_before_anybody_looked_is_read_before_it_is_archived(scene):
    scene.log.write_bytes(b"1\n")
    async with Following(scene.log, timing=PATIENT) as tail:
        await tail.until_read(b"1")
        first = scene.log.rename(scene.logs / "app.log.2")
        scene.follow(first, path=str(scene.log))
        scene.log.write_bytes(b"2\n")
        rotated = scene.log.rename(scene.logs / "app.log.1")
        archiver = archiver_of(scene, tail.tailer.claims)
        summary = archiver.round()
        assert (summary.archived, summary.waiting, rows(scene)) == (1, 1, [(1, 2)])
        await tail.until_read(b"1", b"2")
        file = scene.follow(rotated, path=str(scene.log))
        assert archiver.round().archived == 1
        assert rows(scene) == [(1, 2), (file.id, 2)]


@asynchronous
async def test_a_log_that_is_archived_is_not_read_until_it_is_written_again(scene):
    scene.log.write_bytes(b"1\n")
    async with Following(scene.log, timing=PATIENT) as tail:
        await tail.until_read(b"1")
        archiver = archiver_of(scene, tail.tailer.claims, delete_source=False)
        rotated = scene.log.with_name("app.log.1")
        rotated.write_bytes(b"2\n")
        assert archiver.round().waiting == 1
        await tail.rounds()
        assert archiver.round().archived == 1
        await tail.tailer.reload([source(f"{scene.log}*")])
        scene.log.with_name("app.log.new").write_bytes(b"3\n")
        await tail.until_read(b"1", b"3")
        append(rotated, b"4\n")
        await tail.until_read(b"1", b"2", b"3", b"4")
        assert rows(scene) == [(None, 2)]


def test_the_archive_of_a_log_that_is_followed_later_says_so(scene):
    """As after a start with more patterns: the lines are in the store too from now on."""
    scene.write()
    rotated = scene.log.with_name("app.log.1")
    rotated.write_bytes(b"1\n2\n")
    archiver = archiver_of(scene, None, delete_source=False)
    assert (archiver.round().archived, rows(scene)) == (1, [(None, 4)])
    file = scene.follow(rotated, offset=2)
    assert archiver.plan().found == {1: file.id}
    assert (archiver.round().archived, rows(scene)) == (0, [(file.id, 4)])
    assert archiver.plan().found == {}


def test_the_archive_of_content_that_is_followed_under_another_name_says_so(scene):
    scene.write()
    rotated = scene.log.with_name("app.log.1")
    rotated.write_bytes(json.dumps({"timestamp": "2026-11-22T03:04:05Z"}).encode() + b"\n")
    archiver = archiver_of(scene, None, delete_source=False)
    assert archiver.round().archived == 1
    copy = shutil.copyfile(rotated, scene.log.with_name("app.log.2"))
    rotated.unlink()
    file = scene.follow(copy, path=str(scene.log))
    summary = archiver.round()
    assert (summary.archived, summary.known, rows(scene)) == (0, 1, [(file.id, copy.stat().st_size)])


def test_a_log_is_either_opened_or_archived():
    log, other = (1, 2, 50, 60), (1, 3, 50, 60)
    claims = LogClaims()
    with claims.opening(FileKey(1, 2)):
        assert not claims.take(log, ())
        assert claims.take(other, ())
    assert not claims.is_archived(log)
    assert claims.take(log, ())
    assert claims.is_archived(log)
    assert not claims.is_archived((1, 2, 51, 60)), "it is written again, or the inode is another log's now"
    claims.release(log)
    assert not claims.is_archived(log)


def test_however_many_logs_are_found_at_once_each_is_taken_after_one_look():
    """As at the first start beside the logs of years."""
    asked = []
    claims = LogClaims(look_soon=lambda: asked.append(1))
    logs = [(1, inode, 50, 60) for inode in range(5_000)]
    claims.begin_look()
    claims.expect(logs)
    claims.end_look()
    assert not any(claims.take(log, ()) for log in logs), "that look may have passed them before they were found"
    assert asked == [1]
    claims.begin_look()
    claims.expect(logs)
    assert not claims.take(logs[0], ()), "the look is not over"
    claims.end_look()
    claims.expect(logs)
    assert all(claims.take(log, ()) for log in logs)
    claims.expect(logs[:1])
    claims.expect(logs)
    assert not claims.take(logs[1], ()), "forgotten when it was not found any more"
