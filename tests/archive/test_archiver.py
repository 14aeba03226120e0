"""Rounds of the archiver, with a real store and workers: what fails is said once, kept, and tried again in time."""

import errno
import gzip
import json
import os
import signal
import threading
from contextlib import closing
from pathlib import Path

import pytest

from agent.archive import logfile
from agent.archive.archiver import Archiver
from agent.config import load
from agent.core.errors import ArchiveError, StoreError
from agent.logkeeping import ArchiverThread, archive_now
from agent.store import archives
from agent.store.opening import open_store
from tests.integration.harness import events, wait_until


class Setting:
    """Logs, a store, and what a archiver reported: code, subject, whether it began."""

    def __init__(self, root: Path, opened) -> None:
        self.root = root
        self.logs = root / "logs"
        self.logs.mkdir()
        (self.logs / "app.log").write_bytes(events(0, 1))
        self.opened = opened
        self.reports: list[tuple[str, str, bool]] = []
        self.latest: Archiver | None = None
        self.config = self.configure()

    def configure(self, **archive):
        document = {
            "store": {"path": str(self.root / "s.db")},
            "sources": [{"name": "app", "include": [f"{self.logs}/*.log"]}],
            "archive": {"quiet": "0s", **archive},
        }
        path = self.root / "config.json"
        path.write_text(json.dumps(document))
        return load(path)

    def report(self, error, active) -> None:
        self.reports.append((error.code, Path(error.subject).name, active))

    def archiver(self, **options):
        """Another one, as after a start of the agent: the one before has ended."""
        if self.latest is not None:
            self.latest.close()
        self.latest = Archiver(self.config, self.opened.writer.change, self.report, **options)
        return self.latest

    def rotated(self, name: str, data: bytes = b"line\n") -> Path:
        path = self.logs / name
        path.write_bytes(data)
        return path

    def archives(self) -> list[Path]:
        return list((self.root / "archive").rglob("*.zst"))


@pytest.fixture
def setting(tmp_path):
    opened = open_store(tmp_path / "s.db", min_free_bytes=0)
    yield Setting(tmp_path, opened)
    opened.close()


def test_a_log_that_cannot_be_read_is_not_tried_again_before_it_changes(setting):
    path = setting.rotated("app.log.1.gz", gzip.compress(b"x" * 5000)[:-9])
    good = setting.rotated("app.log.2")
    archiver = setting.archiver()
    summary = archiver.round()
    assert (summary.failed, summary.archived) == ([str(path)], 1)
    assert setting.reports == [("SL805", "app.log.1.gz", True)]
    assert not good.exists()
    assert archiver.round().failed == []
    assert setting.reports == [("SL805", "app.log.1.gz", True)], "it has not ended, and is not said again"
    path.write_bytes(gzip.compress(b"x" * 5000))
    assert archiver.round().archived == 1
    assert setting.reports[1:] == [("SL805", "app.log.1.gz", False)]


def test_a_log_that_is_gone_ends_what_was_wrong_with_it(setting):
    path = setting.rotated("app.log.1.gz", gzip.compress(b"x" * 5000)[:-9])
    archiver = setting.archiver()
    archiver.round()
    path.unlink()
    archiver.round()
    assert setting.reports == [("SL805", "app.log.1.gz", True), ("SL805", "app.log.1.gz", False)]


def test_a_disk_that_takes_nothing_ends_the_round_and_keeps_all_logs(setting):
    (setting.root / "archive").write_bytes(b"in the way")
    for number in (1, 2):
        setting.rotated(f"app.log.{number}")
    archiver = setting.archiver()
    assert len(archiver.round().failed) == 1, "the second log would meet the same disk"
    assert setting.reports == [("SL804", "archive", True)]
    assert len(list(setting.logs.iterdir())) == 3
    (setting.root / "archive").unlink()
    assert archiver.round().archived == 2
    assert setting.reports[1:] == [("SL804", "archive", False)]


@pytest.mark.parametrize("error", [PermissionError(1, "not permitted"), ArchiveError("SL805", "x", "/x/app.log.1", "")])
def test_a_log_that_cannot_be_deleted_is_archived_all_the_same(setting, monkeypatch, error):
    setting.rotated("app.log.1")
    archiver = setting.archiver()

    def refuse(*_):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(logfile, "delete", refuse)
        assert (archiver.round().archived, len(setting.archives())) == (1, 1)
        assert (archiver.round().archived, len(setting.archives())) == (0, 1)
    code = "SL807" if isinstance(error, OSError) else "SL805"
    assert setting.reports == [(code, "app.log.1", True)] * 2
    assert archiver.round().deleted == 1
    assert setting.reports[2:] == [(code, "app.log.1", False)]
    assert not (setting.logs / "app.log.1").exists()


def test_many_logs_that_cannot_be_deleted_are_one_finding(setting, monkeypatch):
    for number in range(1, 6):
        setting.rotated(f"app.log.{number}")
    archiver = setting.archiver()

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(logfile, "delete", refuse)
        for _ in range(2):
            assert archiver.round().failed == [str(setting.logs)]
    assert setting.reports == [("SL807", setting.logs.name, True)] * 2
    assert archiver.round().deleted == 5
    assert setting.reports[2:] == [("SL807", setting.logs.name, False)]


def test_a_worker_that_is_killed_fails_one_log_and_the_next_round_does_it(setting):
    setting.rotated("app.log.1", (b"x" * 5000 + b"\n") * 5000)
    steps = []

    def kill(done: int, *_) -> None:
        steps.append(done)
        if len(steps) == 2:
            os.kill(archiver.worker._process.pid, signal.SIGKILL)

    archiver = setting.archiver(on_progress=kill)
    assert archiver.round().failed == [str(setting.logs / "app.log.1")]
    assert setting.reports == [("SL806", "app.log.1", True)]
    assert setting.archives() == []
    assert archiver.round().archived == 1
    assert setting.reports[1:] == [("SL806", "app.log.1", False)]


def test_a_log_that_its_worker_dies_of_holds_up_no_other(setting):
    for number in (1, 2, 3):
        os.utime(setting.rotated(f"app.log.{number}"), (number, number))
    deadly = True

    def on_progress(_done: int, _total: int, path: str) -> None:
        if deadly and path.endswith(".2"):
            archiver.worker.kill()

    archiver = setting.archiver(on_progress=on_progress)
    summary = archiver.round()
    assert (summary.archived, summary.failed) == (2, [str(setting.logs / "app.log.2")])
    deadly = False
    assert archiver.round().archived == 1
    assert setting.reports == [("SL806", "app.log.2", True), ("SL806", "app.log.2", False)]


def test_an_archiver_that_is_stopped_begins_no_other_log(setting):
    for number in (1, 2):
        setting.rotated(f"app.log.{number}")
    answers = [False, True, True]
    archiver = setting.archiver(stop=lambda: answers.pop(0) if answers else True)
    assert archiver.round().archived == 1
    assert setting.archiver(stop=lambda: True).round().archived == 0
    assert setting.archiver().round().archived == 1


def test_a_worker_that_ends_because_all_ends_is_no_failure(setting):
    setting.rotated("app.log.1", (b"x" * 5000 + b"\n") * 5000)
    ended = threading.Event()

    def stop(done: int, *_) -> None:
        if done:
            ended.set()
            archiver.worker.kill()

    archiver = setting.archiver(stop=ended.is_set, on_progress=stop)
    assert archiver.round().failed == []
    assert (setting.reports, setting.archives()) == ([], [])


def test_a_log_that_cannot_be_opened_is_said(setting, monkeypatch):
    """Before anything is ordered of the worker."""
    from agent.archive import planner

    setting.rotated("app.log.1")

    def refuse(path):
        raise ArchiveError("SL805", "archive a log", path, "it cannot be opened")

    with monkeypatch.context() as patched:
        patched.setattr(planner, "LogFile", refuse)
        assert setting.archiver().round().failed == [str(setting.logs / "app.log.1")]
    assert setting.reports == [("SL805", "app.log.1", True)]


# ---------------------------------------------------------------- what is archived already


@pytest.fixture
def kept(setting):
    """A log that is archived and was kept; from now on logs are deleted."""
    path = setting.rotated("app.log.1", events(0, 50))
    setting.config = setting.configure(delete_source=False)
    assert setting.archiver().round().archived == 1
    setting.config = setting.configure()
    return path


def test_a_log_that_was_kept_is_deleted_only_while_its_archive_is_there(setting, kept):
    [archive] = setting.archives()
    archive.rename(setting.root / "elsewhere")
    archiver = setting.archiver()
    assert (archiver.round().deleted, kept.exists()) == (0, True)
    assert setting.reports == [("SL802", archive.name, True)]
    archive.write_bytes((setting.root / "elsewhere").read_bytes()[:-1])
    assert (archiver.round().deleted, kept.exists()) == (0, True)
    assert setting.reports[1:] == [("SL803", archive.name, True), ("SL802", archive.name, False)]
    (setting.root / "elsewhere").rename(archive)
    assert (archiver.round().deleted, kept.exists()) == (1, False)
    assert setting.reports[3:] == [("SL803", archive.name, False)]


def test_another_archive_in_its_place_is_not_the_archive_of_a_log(setting, kept):
    [archive] = setting.archives()
    setting.rotated("app.log.2", events(100, 50))
    archiver = setting.archiver()
    assert archiver.round().deleted == 2
    setting.config = setting.configure(delete_source=False)
    other = setting.rotated("app.log.3", events(200, 50))
    setting.archiver().round()
    newest = max(setting.archives(), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(archive.read_bytes())
    setting.config = setting.configure()
    assert (setting.archiver().round().deleted, other.exists()) == (0, True)
    assert setting.reports == [("SL803", newest.name, True)]


def compress(path: Path) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def test_content_that_is_archived_is_not_archived_twice(setting, kept):
    compress(kept)
    summary = setting.archiver().round()
    assert (summary.archived, summary.known, summary.deleted, len(setting.archives())) == (0, 1, 1, 1)


def test_content_whose_archive_is_gone_is_archived_again(setting, kept):
    compress(kept)
    setting.archives()[0].unlink()
    summary = setting.archiver().round()
    assert (summary.archived, summary.known, summary.deleted, len(setting.archives())) == (1, 0, 1, 1)


@pytest.mark.parametrize("after", [False, True])
def test_no_archive_is_left_that_the_store_does_not_know(setting, kept, after):
    """The archiver ends before, or right after, it has noted that what was made now is archived already."""
    compress(kept)

    def change(function, *, durable):
        storing = getattr(function, "__name__", "") == "commit"
        found = setting.opened.writer.change(function, durable=durable) if after or not storing else None
        if storing:
            raise KeyboardInterrupt
        return found

    setting.latest.close()
    with pytest.raises(KeyboardInterrupt), closing(Archiver(setting.config, change, setting.report)) as archiver:
        archiver.round()
    known = [row.path for row in archives.load(setting.opened.writer.connection)]
    assert [str(path) for path in setting.archives()] == known
    setting.archiver().round()
    assert [path.name for path in setting.logs.iterdir()] == ["app.log"]
    assert [str(path) for path in setting.archives()] == known


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "denied"), OSError(errno.ESTALE, "stale")])
def test_a_log_that_cannot_be_looked_at_for_a_while_is_not_archived_twice(setting, kept, monkeypatch, error):
    """Its directory is unreadable, or lies on a file system that does not answer."""
    lstat, scandir = os.lstat, os.scandir

    def failing(function):
        def fail(path, *arguments, **options):
            if os.fspath(path).startswith(str(setting.logs) + "/") or os.fspath(path) == str(setting.logs):
                raise error
            return function(path, *arguments, **options)

        return fail

    with monkeypatch.context() as patched:
        patched.setattr(os, "lstat", failing(lstat))
        patched.setattr(os, "scandir", failing(scandir))
        setting.archiver().round()
    summary = setting.archiver().round()
    assert (summary.archived, summary.deleted, len(setting.archives())) == (0, 1, 1)


def test_a_superfluous_archive_that_cannot_be_deleted_stops_nothing(setting, kept, monkeypatch):
    compress(kept)
    setting.rotated("app.log.2", events(100, 50))
    unlink = Path.unlink

    def refuse(path, *arguments, **options):
        if path.name.endswith(".log.zst"):
            raise PermissionError(errno.EPERM, "not permitted")
        unlink(path, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        summary = setting.archiver().round()
    assert (summary.archived, summary.known, len(summary.failed)) == (1, 0, 1)
    assert [report[0] for report in setting.reports] == ["SL804"]
    assert (setting.logs / "app.log.1.gz").exists()


def test_an_archive_that_retention_cannot_delete_is_said_until_it_can(setting, kept, monkeypatch):
    [archive] = setting.archives()
    setting.config = setting.configure(retention={"age": "1s"}, delete_source=False)
    wait_until(lambda: setting.archiver().expired(), what="the archive's end")
    archiver = setting.archiver()
    unlink = Path.unlink

    def refuse(path, *arguments, **options):
        if path == archive:
            raise PermissionError(errno.EPERM, "not permitted")
        unlink(path, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        assert archiver.round().failed == [str(archive)]
        assert archiver.round().failed == [str(archive)]
    assert setting.reports == [("SL807", archive.name, True)] * 2
    assert archiver.round().failed == []
    assert setting.reports[2:] == [("SL807", archive.name, False)]
    assert setting.archives() == []


# ---------------------------------------------------------------- the thread


def test_the_thread_makes_rounds_with_the_newest_configuration_until_it_is_stopped(setting):
    thread = ArchiverThread(setting.config, setting.opened.writer.change, setting.report)
    thread.end()  # before it was started
    thread = ArchiverThread(setting.config, setting.opened.writer.change, setting.report, shortest_pause_s=0.01)
    thread.start()
    try:
        setting.rotated("app.log.1")
        wait_until(lambda: not (setting.logs / "app.log.1").exists(), what="the first archive")
        thread.reload(setting.configure(delete_source=False))
        kept = setting.rotated("app.log.1", b"another\n")
        wait_until(lambda: len(setting.archives()) == 2, what="the second archive")
    finally:
        thread.end()
        thread.join()
    assert not thread.is_alive()
    assert kept.exists()
    assert setting.reports == []


def test_a_store_that_cannot_be_written_does_not_end_the_thread(setting):
    setting.rotated("app.log.1")
    failures = []

    def change(function, *, durable):
        if len(failures) < 3:
            failures.append(function)
            raise StoreError("SL408", "write", "s.db", "the disk is full")
        return setting.opened.writer.change(function, durable=durable)

    thread = ArchiverThread(setting.config, change, setting.report, shortest_pause_s=0.01)
    thread.start()
    try:
        wait_until(setting.archives, what="the archive")
    finally:
        thread.end()
        thread.join()
    assert len(failures) == 3


def test_a_fault_of_its_own_is_said_and_the_next_round_archives(setting):
    setting.rotated("app.log.1")
    failures = []

    def change(function, *, durable):
        if len(failures) < 2:
            failures.append(function)
            raise RuntimeError("unforeseen")
        return setting.opened.writer.change(function, durable=durable)

    thread = ArchiverThread(setting.config, change, setting.report, shortest_pause_s=0.01)
    thread.start()
    try:
        wait_until(lambda: ("SL811", "archiving", False) in setting.reports, what="the end of the condition")
    finally:
        thread.end()
        thread.join()
    assert len(setting.archives()) == 1
    assert setting.reports == [("SL811", "archiving", True)] * 2 + [("SL811", "archiving", False)]


def test_without_its_section_nothing_is_archived(setting):
    path = setting.root / "config.json"
    document = json.loads(path.read_text())
    del document["archive"]
    path.write_text(json.dumps(document))
    setting.rotated("app.log.1")
    config = load(path)
    archive_now(config, setting.opened.writer.change, setting.report, lambda: False)
    thread = ArchiverThread(config, setting.opened.writer.change, setting.report, longest_pause_s=0.01)
    thread.start()
    thread.end()
    thread.join()
    assert setting.archives() == []
    archive_now(setting.config, setting.opened.writer.change, setting.report, lambda: True)
    assert setting.archives() == []
    archive_now(setting.config, setting.opened.writer.change, setting.report, lambda: False)
    assert len(setting.archives()) == 1
