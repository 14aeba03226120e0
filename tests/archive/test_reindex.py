"""The index made again from files: of those that are what they say, and of no others."""

import errno
import os

import pytest

from agent.archive import protocol as module
from agent.archive.container import ArchiveWriter
from agent.archive.reindex import reindex
from agent.archive.scan import build
from agent.core.errors import ArchiveError
from agent.store import archives
from agent.store.opening import open_store
from tests.archive.making import metadata, write

LINES = [b'{"timestamp":"2026-11-22T03:04:05Z","n":%d}\n' % number for number in range(8)]


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path / "s.db", min_free_bytes=0)
    (tmp_path / "archive" / "app").mkdir(parents=True)
    yield opened.writer
    opened.close()


def index(tmp_path, store) -> tuple[list[str], list[str]]:
    """Names of the archives that are indexed, and of those that are damaged."""
    bad = []
    reindex(tmp_path / "archive", store.change, tmp_path, lambda path, error: bad.append(path.name), lambda *_: None)
    return [row.path.rpartition("/")[2] for row in archives.load(store.connection)], bad


def test_an_archive_whose_content_is_another_is_not_indexed_although_each_frame_is_whole(tmp_path, store):
    folder = tmp_path / "archive" / "app"
    write(folder / "good.log.zst", *LINES)
    with (folder / "swapped.log.zst").open("wb") as file:
        writer = ArchiveWriter(file, 3)
        for line in reversed(LINES):
            writer.add(line, 1)
        writer.finish(metadata(b"".join(LINES), id=2))
    assert index(tmp_path, store) == (["good.log.zst"], ["swapped.log.zst"])


@pytest.mark.parametrize(
    "says",
    [
        {"version": 2},
        {"settings": {"no_such_setting": 1}},
        {"settings": {"timezone": "Nowhere/Land"}},
        {"settings": {"multiline": "start", "multiline_start": "("}},
    ],
)
def test_an_archive_that_this_version_cannot_parse_is_named_and_holds_up_no_other(tmp_path, store, says):
    folder = tmp_path / "archive" / "app"
    write(folder / "good.log.zst", *LINES)
    write(folder / "newer.log.zst", *LINES, id=2, **says)
    assert index(tmp_path, store) == (["good.log.zst"], ["newer.log.zst"])


def test_filters_wait_on_the_disk_until_they_are_stored(tmp_path, store):
    frames = [
        b"".join(b'{"timestamp":"2026-11-22T03:04:05Z","id":"%032x"}\n' % (n + m * 99) for n in range(60))
        for m in (1, 2)
    ]
    write(tmp_path / "archive" / "app" / "one.log.zst", *frames)
    write(tmp_path / "archive" / "app" / "two.log.zst", *frames[::-1], id=2)
    waiting = []

    def change(function, *, durable):
        waiting.extend(frame.blocks for row in function.keywords.get("rows", []) for frame in row.frames)
        return store.change(function, durable=durable)

    reindex(tmp_path / "archive", change, tmp_path, lambda *_: None, lambda *_: None)
    assert waiting == [b""] * 4
    stored = [row[0] for row in store.connection.execute("SELECT blocks FROM archive_filters ORDER BY id")]
    expected = [build(frame, 60).blocks for frame in frames]
    assert stored == expected + expected[::-1]
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("s.db")) == ["archive"]


def test_a_disk_without_room_for_them_is_named(tmp_path, store, monkeypatch):
    def refuse(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "TemporaryFile", refuse)
    with pytest.raises(ArchiveError, match="No space") as raised:
        index(tmp_path, store)
    assert raised.value.code == "SL804"


def test_without_a_directory_there_is_nothing_to_index(tmp_path, store):
    (tmp_path / "archive" / "app").rmdir()
    (tmp_path / "archive").rmdir()
    assert index(tmp_path, store) == ([], [])


def test_an_empty_archive_is_indexed(tmp_path, store):
    write(tmp_path / "archive" / "app" / "empty.log.zst")
    assert index(tmp_path, store) == (["empty.log.zst"], [])
