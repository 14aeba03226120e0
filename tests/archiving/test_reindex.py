"""The index made again from files: of those that are what they say, and of no others."""

import pytest

from agent.archive.container import ArchiveWriter
from agent.archiving.reindex import reindex
from agent.store import archives
from agent.store.opening import open_store
from tests.archive.making import metadata, write

LINES = [b'{"timestamp":"2026-11-22T03:04:05Z","n":%d}\n' % number for number in range(8)]


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path / "s.db", min_free_bytes=0, resources={})
    (tmp_path / "archive" / "app").mkdir(parents=True)
    yield opened.writer
    opened.close()


def index(tmp_path, store) -> tuple[list[str], list[str]]:
    """Names of the archives that are indexed, and of those that are damaged."""
    bad = []
    reindex(tmp_path / "archive", store.change, lambda path, error: bad.append(path.name), lambda *_: None)
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


def test_an_empty_archive_is_indexed(tmp_path, store):
    write(tmp_path / "archive" / "app" / "empty.log.zst")
    assert index(tmp_path, store) == (["empty.log.zst"], [])
