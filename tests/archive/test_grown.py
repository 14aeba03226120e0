"""A log that grew after it was archived is in one archive, whatever happens between two steps."""

import gzip
import json
import os
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.archive import worker
from agent.archive.archiver import Archiver
from agent.archive.matchers import PrefixMatcher
from agent.archive.process import WorkerProcess
from agent.archive.reindex import reindex
from agent.archive.verify import verify_archives
from agent.config import load
from agent.config.schema import ArchiveRetentionConfig
from agent.query.archives.engine import ArchiveEngine
from agent.query.language import Selection, parse_query
from agent.store import archives
from agent.store.opening import open_store
from agent.store.reader import open_reader


class KilledError(Exception):
    """The process is killed here."""


class Place:
    """A directory of logs that nobody follows, and their archives; rounds are made in this process."""

    def __init__(self, root, **archive) -> None:
        self.logs, self.archive = root / "logs", root / "archive"
        self.logs.mkdir()
        (self.logs / "app.log").write_bytes(b"")
        self.config = root / "c.json"
        self.path = root / "s.db"
        document = {
            "store": {"path": str(self.path), "min_free": "1KiB"},
            "sources": [{"name": "app", "include": [f"{self.logs}/*.log"]}],
            "archive": {"quiet": "0s", **archive},
        }
        self.config.write_text(json.dumps(document))
        self.opened = open_store(self.path, min_free_bytes=0)
        self.reader = open_reader(self.path)

    def round(self, change=None, *, codes=(), **options):
        """One round of a archiver that was just started, and of which only such errors are reported."""
        config = load(self.config, environ={})
        reported: list = []
        with closing(
            Archiver(config, change or self.opened.writer.change, lambda *one: reported.append(one))
        ) as archiver:
            archiver.config = replace(archiver.config, **options)
            summary = archiver.round()
        assert tuple(error.code for error, _ in reported) == codes
        assert len(summary.failed) == len(codes)
        return summary

    def write(self, name: str, *numbers: int, mtime: int = 1_795_000_000) -> bytes:
        """A log of such events; the one of that name, if there is one, grows or changes in place."""
        data = b"".join(
            b'{"timestamp":"2026-11-18T%02d:00:00Z","n":%d}\n' % (number % 24, number) for number in numbers
        )
        self.put(name, data, mtime)
        return data

    def put(self, name: str, data: bytes, mtime: int = 1_795_000_000) -> None:
        path = self.logs / name
        with path.open("r+b" if path.exists() else "wb") as log:
            log.write(data)
            log.truncate()
        os.utime(path, (mtime, mtime))

    def search(self) -> ArchiveEngine:
        return ArchiveEngine(self.reader, self.opened.writer.path, self.opened.writer.path.parent, beside_store=True)

    def numbers(self) -> list[int]:
        """What a search finds."""
        found = self.search().events(Selection(parse_query("n>=0")))
        return sorted(event.fields["n"] for event in found)

    def files(self) -> list[str]:
        return sorted(path.name.split("-")[-1] for path in self.archive.rglob("*.zst"))

    def problems(self) -> list[str]:
        """What `archive verify` says."""
        return [finding.error.message for finding in verify_archives(self.reader, self.archive)[1]]

    def reindex(self) -> list:
        bad = []
        change, scratch = self.opened.writer.change, self.archive.parent
        reindex(self.archive, change, scratch, lambda *one: bad.append(one), lambda *_: None)
        return bad

    def close(self) -> None:
        self.reader.close()
        self.opened.close()


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(WorkerProcess, "run", lambda _self, order: iter([worker.archive(order)]))
    made = Place(tmp_path, delete_source=False)
    yield made
    made.close()


def test_the_archive_of_a_grown_log_takes_the_place_of_the_one_before(place):
    place.write("app.log.1", 1, 2)
    place.write("app.log.2", 5, mtime=1_795_000_100)
    assert place.round().archived == 2
    for last, name in ((3, "3.log.zst"), (4, "4.log.zst")):
        place.write("app.log.1", *range(1, last + 1), mtime=1_795_000_200 + last)
        assert place.round().archived == 1
        assert place.numbers() == [*range(1, last + 1), 5]
        assert place.files() == ["2.log.zst", name]
        assert place.problems() == []
    assert place.round().archived == 0
    place.write("app.log.3", 6)
    place.round()
    assert place.problems() == []


def test_a_log_that_was_moved_or_compressed_after_it_grew_is_still_the_same(place):
    place.write("app.log.1", 1, 2)
    place.round()
    data = place.write("app.log.1", 1, 2, 3, mtime=1_795_000_300)
    (place.logs / "app.log.1").unlink()
    place.put("app.log.2.gz", gzip.compress(data), 1_795_000_300)
    place.round()
    assert (place.numbers(), place.files()) == ([1, 2, 3], ["2.log.zst"])


@pytest.mark.parametrize("content", [(7, 8, 9), (1,), (2, 1, 2)])
def test_a_log_that_was_written_anew_is_another_one(place, content):
    place.write("app.log.1", 1, 2)
    place.round()
    place.write("app.log.1", *content, mtime=1_795_000_300)
    place.round()
    assert (place.numbers(), len(place.files())) == (sorted([1, 2, *content]), 2)
    assert place.problems() == []


def test_a_log_that_begins_like_another_one_that_is_still_there_is_not_that_one(place):
    place.write("app.log.1", 1, 2)
    place.round()
    place.write("app.log.2", 1, 2, 3)
    place.round()
    assert place.numbers() == [1, 1, 2, 2, 3]


def test_a_new_log_that_begins_with_the_same_banner_is_not_the_one_that_is_gone(place):
    """LineFacts without a time say nothing of which log they are of."""
    place.put("app.log.1", b'{"n":1}\n')
    place.round()
    (place.logs / "app.log.1").rename(place.logs.parent / "moved")  # so that its inode is not given to the next one
    place.put("app.log.1", b'{"n":1}\n{"n":2}\n', 1_795_000_300)
    place.round()
    assert place.numbers() == [1, 1, 2]
    assert place.problems() == []


def test_lines_without_a_time_that_grew_in_their_file_are_the_same_log(place):
    place.put("app.log.1", b'{"n":1}\n')
    place.round()
    place.put("app.log.1", b'{"n":1}\n{"n":2}\n', 1_795_000_300)
    place.round()
    assert place.numbers() == [1, 2]


def test_retention_and_a_grown_log_leave_the_chain_whole(place):
    for number in range(1, 4):
        place.write(f"app.log.{number}", number * 3, mtime=1_795_000_000 + number)
    place.round()
    place.write("app.log.2", 6, 7, mtime=1_795_000_100)
    place.round()
    assert place.files() == ["1.log.zst", "3.log.zst", "4.log.zst"]
    sizes = [row.bytes for row in archives.load(place.reader)]
    for kept in (2, 1):
        summary = place.round(retention=ArchiveRetentionConfig(age=None, size=sum(sizes[-kept:])))
        assert (summary.removed, summary.archived) == (1, 0), "what retention removed is not archived again"
        assert (len(place.files()), place.problems()) == (kept, [])
    assert place.reader.execute("SELECT count(*) FROM archive_removals").fetchone() == (0,), (
        "nothing is remembered for ever"
    )


@pytest.mark.parametrize("step", ["before", "after"])
def test_a_crash_on_either_side_of_the_transaction_doubles_nothing(place, step):
    place.write("app.log.1", 1, 2)
    place.write("app.log.2", 5, mtime=1_795_000_001)
    place.round()
    place.write("app.log.1", 1, 2, 3, mtime=1_795_000_300)
    change = place.opened.writer.change

    def killed(function, *, durable):
        if getattr(function, "__name__", "") != "commit":
            return change(function, durable=durable)
        if step == "after":
            change(function, durable=durable)
        raise KilledError

    with pytest.raises(KilledError):
        place.round(killed)
    assert place.files() == ["1.log.zst", "2.log.zst", "3.log.zst"]
    assert place.numbers() == ([1, 2, 3, 5] if step == "after" else [1, 2, 5])
    if step == "after":
        assert place.problems() == [], "the file that is still to be deleted is known"
    else:
        place.write("app.log.1", 1, 2, 3, 4, mtime=1_795_000_400)  # it goes on growing
    place.round()
    assert place.numbers() == ([1, 2, 3, 5] if step == "after" else [1, 2, 3, 4, 5])
    assert (place.files(), place.problems()) == (["2.log.zst", "3.log.zst"], [])


@pytest.mark.parametrize("store", ["kept", "lost"])
def test_the_index_can_be_made_again_from_the_files_alone(place, store, tmp_path):
    place.write("app.log.1", 1)
    place.write("app.log.2", 5, mtime=1_795_000_001)
    place.round()
    old = next(place.archive.rglob("*-1.log.zst"))
    left = old.read_bytes()
    for last in (2, 3):
        place.write("app.log.1", *range(1, last + 1), mtime=1_795_000_300 + last)
        place.round()
        place.write(f"app.log.{last + 1}", last * 10, mtime=1_795_000_400 + last)
        place.round()
    wanted = place.numbers()
    assert wanted == [1, 2, 3, 5, 20, 30]
    old.write_bytes(left)  # as after a crash before it was deleted
    if store == "lost":
        place.close()
        for path in tmp_path.glob("s.db*"):
            path.unlink()
        place.opened = open_store(place.path, min_free_bytes=0)
        place.reader = open_reader(place.path)
    assert place.reindex() == []
    assert (place.numbers(), place.problems()) == (wanted, [])
    place.round()
    assert not old.exists()
    assert (place.numbers(), place.problems()) == (wanted, [])


def test_each_damaged_archive_is_named_and_hides_nothing(place):
    for number in range(1, 5):
        place.write(f"app.log.{number}", number, mtime=1_795_000_000 + number)
    place.round()
    assert place.problems() == []
    bad = sorted(place.archive.rglob("*.zst"))[1:3]
    bad[0].write_bytes(bad[0].read_bytes()[:-20])
    bad[1].unlink()
    problems = place.problems()
    assert len(problems) == 2
    assert all(any(str(path) in problem for problem in problems) for path in bad)
    archives = place.search()
    assert len(list(archives.events(Selection(parse_query("n>=0"))))) == 3, "the frames of the first one are whole"
    assert sorted(error.code for error in archives.errors) == ["SL802", "SL803"]


def test_a_log_whose_archive_is_lost_is_archived_again_and_never_deleted(place):
    place.write("app.log.1", 1, 2)
    place.round()
    next(place.archive.rglob("*.zst")).unlink()
    assert place.reindex() == []
    assert place.round(delete_source=True).archived == 1
    assert (place.numbers(), len(place.files())) == ([1, 2], 1)
    assert not (place.logs / "app.log.1").exists()


def test_a_log_outlives_its_archive_if_it_could_not_be_deleted_before_that_expired(place):
    place.write("app.log.1", 1, 2)
    place.round()
    place.round(retention=ArchiveRetentionConfig(age=0.0))
    summary = place.round(delete_source=True)
    assert (summary.archived, summary.deleted, place.files()) == (0, 0, [])
    assert (place.logs / "app.log.1").exists()


def test_a_file_that_cannot_be_deleted_is_tried_again(place, monkeypatch):
    place.write("app.log.1", 1)
    place.round()
    place.write("app.log.1", 1, 2, mtime=1_795_000_300)
    unlink = Path.unlink

    def refused(path, **options):
        if path.name.endswith("-1.log.zst"):
            raise PermissionError
        unlink(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refused)
        place.round(codes=("SL807",))
    assert len(place.files()) == 2
    place.round()
    assert (place.files(), place.problems()) == (["2.log.zst"], [])


def test_an_archive_that_is_replaced_during_a_search_is_missed_so_that_nothing_is_lost_unsaid(place):
    place.write("app.log.1", 1, 2)
    place.round()
    archives = place.search()
    plan = archives.plan(selection := Selection(parse_query("n>=0")))
    place.write("app.log.1", 1, 2, 3, mtime=1_795_000_300)
    place.round()
    assert list(archives.search(plan, selection)) == []
    assert [error.code for error in archives.errors] == ["SL802"]
    assert "ask again" in archives.errors[0].hint


def test_beginnings_are_found_however_the_bytes_come():
    import hashlib

    from agent.archive.protocol import StoredGeneration
    from agent.parse.settings import PLAIN
    from agent.store.archives import EarlierArchive

    data = bytes(range(200)) * 3
    earlier = tuple(
        EarlierArchive(file_id=file_id, raw_bytes=size, sha256=hashlib.sha256(data[:size]).hexdigest(), entries=(size,))
        for size, file_id in ((1, None), (200, 7), (201, 8), (599, None), (600, None))
    )
    wrong = EarlierArchive(file_id=None, raw_bytes=300, sha256="0", entries=(0,))
    for step in (1, 7, 200, 601):
        seen = PrefixMatcher((*earlier, wrong), [()], PLAIN)
        for at in range(0, len(data), step):
            seen.see(data[at : at + step])
        assert seen.outgrown(StoredGeneration(7, 0, 0, b"")) == (1, 200, 599), (
            "not one of another file, and not the whole"
        )
