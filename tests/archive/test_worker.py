"""What the worker does with one log, here in the test's own process; and the process, as far as it can go wrong."""

import errno
import io
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from agent.archive import process, worker
from agent.archive.container import ArchiveReader, ArchiveWriter
from agent.archive.process import WorkerProcess
from agent.archive.protocol import (
    ArchiveFailed,
    ArchiveJob,
    ArchiveOrder,
    ArchiveProgress,
    ArchiveWritten,
    decode_answer,
    decode_order,
    encode,
    receive,
    send,
)
from agent.core.errors import ArchiveError
from agent.store.archives import FileVersion, FrameRow
from tests.archive.making import metadata
from tests.needs import needs

DATA = b"".join(b'{"timestamp":"2026-11-22T03:04:05Z","level":"error","n":%d}\n' % number for number in range(500))


@pytest.fixture
def order(tmp_path):
    log = tmp_path / "app.log.1"
    log.write_bytes(DATA)
    job = ArchiveJob(
        source="app",
        path=os.fsencode(log),
        log_path=os.fsencode(tmp_path / "app.log"),
        version=FileVersion.of(log.stat()),
    )
    directory = os.fsencode(tmp_path / "archive")
    return ArchiveOrder(job=job, directory=directory, archive_id=7, sequence=3, previous="ab", level=3, created=5)


def files(tmp_path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "archive").rglob("*") if path.is_file())


def test_an_archive_is_made_verified_and_named(tmp_path, order):
    seen = []
    done = worker.archive(order, seen.append)
    assert isinstance(done, ArchiveWritten)
    assert files(tmp_path) == ["app-20261122T030405Z-7.log.zst"]
    assert seen
    row = done.row()
    assert (row.id, row.events, row.lines, row.raw_bytes, row.sequence, row.previous) == (
        7,
        500,
        500,
        len(DATA),
        3,
        "ab",
    )
    assert row.frames[0].severities == {17: 500}
    with ArchiveReader(Path(row.path)) as archive:
        assert b"".join(archive.contents()) == DATA
        assert archive.link == row.link
    assert decode_answer(encode(done)) == done
    assert decode_order(encode(order)) == order


def test_a_log_that_has_changed_since_it_was_found_is_left(tmp_path, order):
    with (tmp_path / "app.log.1").open("ab") as log:
        log.write(b"more\n")
    assert worker.archive(order) == ArchiveFailed(changed=True)
    assert files(tmp_path) == []


def test_a_log_that_grows_while_it_is_read_is_left(tmp_path, order):
    def grow(_done: int) -> None:
        with (tmp_path / "app.log.1").open("ab") as log:
            log.write(b"more\n")

    assert worker.archive(order, grow) == ArchiveFailed(changed=True)
    assert files(tmp_path) == []
    assert (tmp_path / "app.log.1").exists()


def test_an_archive_named_before_a_crash_is_made_again_in_its_place(tmp_path, order):
    first, second = worker.archive(order), worker.archive(order)
    assert isinstance(first, ArchiveWritten)
    assert isinstance(second, ArchiveWritten)
    assert first.path == second.path
    assert len(files(tmp_path)) == 1


def test_another_file_of_that_name_keeps_it(tmp_path, order):
    folder = tmp_path / "archive" / "app"
    folder.mkdir(parents=True)
    (folder / "app-20261122T030405Z-7.log.zst").write_bytes(b"precious")
    assert isinstance(worker.archive(order), ArchiveWritten)
    assert files(tmp_path) == ["app-20261122T030405Z-7-2.log.zst", "app-20261122T030405Z-7.log.zst"]
    assert (folder / "app-20261122T030405Z-7.log.zst").read_bytes() == b"precious"


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)


def cut_it(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def put_another_there(path: Path) -> None:
    """It says other things of the same content."""
    with path.open("wb") as file:
        writer = ArchiveWriter(file, 3)
        writer.add(DATA, 500)
        writer.finish(metadata(DATA))


@pytest.mark.parametrize("damage", [flip_a_bit, cut_it, put_another_there])
def test_what_was_not_written_as_it_should_be_is_not_named(tmp_path, order, monkeypatch, damage):
    """The disk gives back something else than what was written."""
    reader = worker.ArchiveReader

    def read(path: Path) -> ArchiveReader:
        damage(path)
        return reader(path)

    monkeypatch.setattr(worker, "ArchiveReader", read)
    failed = worker.archive(order)
    assert isinstance(failed, ArchiveFailed)
    assert (failed.code, "not what was written" in failed.message) == ("SL804", True)
    assert files(tmp_path) == []
    assert (tmp_path / "app.log.1").exists()


def test_a_fault_of_ours_is_told_and_stops_nothing(tmp_path, order, monkeypatch):
    monkeypatch.setattr(worker, "FrameSplitter", None)
    failed = worker.archive(order)
    assert isinstance(failed, ArchiveFailed)
    assert failed.code == "SL806"
    assert "TypeError" in failed.message
    assert files(tmp_path) == []


def test_the_loop_answers_until_its_input_ends(monkeypatch, order):
    stdin, stdout = io.BytesIO(), io.BytesIO()
    send(stdin, order)
    stdin.write(b"\xff")
    stdin.seek(0)
    monkeypatch.setattr(worker, "lower_priority", lambda: None)
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    monkeypatch.setattr(worker.sys, "stdin", io.TextIOWrapper(stdin))
    monkeypatch.setattr(worker.sys, "stdout", io.TextIOWrapper(stdout))
    with TemporaryFile(buffering=0) as spool:
        monkeypatch.setattr(worker.sys, "argv", ["worker", str(os.dup(spool.fileno()))])
        worker.main()
        filters = os.fstat(spool.fileno()).st_size
    stdout.seek(0)
    answers = []
    while message := receive(stdout):
        answers.append(decode_answer(message))
    assert isinstance(answers[0], ArchiveProgress)
    assert isinstance(answers[-1], ArchiveWritten)
    assert sum(frame.spooled[1] for frame in answers[-1].frames) == filters > 0
    assert not any(frame.blocks for frame in answers[-1].frames)


def test_a_message_that_is_too_long_or_cut_is_the_end():
    assert receive(io.BytesIO(b"\xff\xff\xff\xff")) is None
    assert receive(io.BytesIO(b"\x05\0\0\0ab")) is None


def test_a_process_that_dies_is_said_and_started_again(tmp_path, order, monkeypatch):
    owner = WorkerProcess(tmp_path / "archive")
    owner.close()
    owner.kill()
    try:
        monkeypatch.setattr(process, "MODULE", "agent.no_such_module")
        with pytest.raises(ArchiveError, match="ended with") as raised:
            list(owner.run(order))
        assert raised.value.code == "SL806"
        monkeypatch.undo()
        assert isinstance(list(owner.run(order))[-1], ArchiveWritten)
        owner.kill()
        with pytest.raises(ArchiveError):
            list(owner.run(order))
    finally:
        owner.close()
    assert len(files(tmp_path)) == 1


def test_the_process_takes_no_module_from_where_its_owner_was_started(tmp_path, order, monkeypatch):
    """Whoever runs `archive run` in somebody else's directory runs nothing of theirs."""
    for name in ("agent/__init__.py", "msgspec.py", "struct.py"):
        path = tmp_path / "here" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(tmp_path / 'taken')!r}, 'w').close()\n")
    monkeypatch.chdir(tmp_path / "here")
    owner = WorkerProcess(tmp_path / "archive")
    try:
        assert isinstance(list(owner.run(order))[-1], ArchiveWritten)
    finally:
        owner.close()
    assert not (tmp_path / "taken").exists()


@needs("util-linux")
def test_the_process_gives_way_to_everything_else(tmp_path, order):
    owner = WorkerProcess(tmp_path / "archive")
    try:
        assert isinstance(list(owner.run(order))[-1], ArchiveWritten)
        pid = owner._process.pid
        assert os.getpriority(os.PRIO_PROCESS, pid) == 19
        assert subprocess.run(["ionice", "-p", str(pid)], capture_output=True, check=True).stdout == b"idle\n"
    finally:
        owner.close()


def test_filters_are_read_from_where_the_process_has_left_them(tmp_path, order):
    owner = WorkerProcess(tmp_path / "archive")
    assert owner.blocks(FrameRow(*range(12), 5)) == b""
    try:
        done = list(owner.run(order))[-1]
        expected = worker.archive(order)
        assert [owner.blocks(frame) for frame in done.frames] == [frame.blocks for frame in expected.frames]
    finally:
        owner.close()
    assert any(frame.blocks for frame in expected.frames)


def test_a_directory_that_cannot_be_written_is_named(tmp_path, order):
    (tmp_path / "archive").write_bytes(b"in the way")
    failed = worker.archive(order)
    assert isinstance(failed, ArchiveFailed)
    assert failed.code == "SL804"
    assert (tmp_path / "app.log.1").exists()


@pytest.mark.parametrize(
    ("key", "number", "said"),
    [
        ("SL804", errno.ENOSPC, ("No space", "free space on its disk")),
        ("SL804", errno.EDQUOT, ("quota", "free space on its disk")),
        ("SL804", errno.EACCES, ("Permission", "permissions and its disk")),
        ("SL802", errno.EIO, ("cannot be read: Input/output error", "and at the disk")),
        ("SL802", errno.ENOENT, ("is missing", "from a backup")),
        ("SL802", errno.ENOTDIR, ("is missing", "from a backup")),
        ("SL807", errno.EROFS, ("cannot be deleted", "delete_source")),
        ("SL807.kept", errno.EROFS, ("no longer kept", "its directory")),
    ],
)
def test_each_error_says_what_and_what_to_do(key, number, said):
    error = ArchiveError.of(key, Path("/x"), why=OSError(number, os.strerror(number)))
    assert error.code == key[:5]
    assert said[0] in error.message
    assert said[1] in error.hint
    assert error.subject == "/x"
