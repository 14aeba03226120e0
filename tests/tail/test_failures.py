"""Steps that fail half-way: nothing is lost, nothing is read twice, no descriptor leaks."""

import contextlib
import errno
import os
import shutil
import socket

import pytest
from following import PATIENT, Following, append, asynchronous, joined, numbered

from agent.core.errors import TailError
from agent.tail import files, locate, prospector, registry
from agent.tail.discover import FoundFile
from agent.tail.harvester import check
from agent.tail.identity import FileKey
from agent.tail.suspects import CopySuspects
from tests.needs import limited

REUSE_ATTEMPTS = 50


def failing(times, error, original):
    """`original`, preceded by some failures."""
    calls = iter(range(times))

    def call(*args, **kwargs):
        if next(calls, None) is not None:
            raise error
        return original(*args, **kwargs)

    return call


@asynchronous
async def test_file_moved_out_of_the_directory_and_back_is_active_again(tmp_path):
    (tmp_path / "aside").mkdir()
    log = tmp_path / "app.log"
    log.write_bytes(b"one\n")
    async with Following(log, timing=PATIENT) as tail:
        await tail.until_read(b"one")
        log.rename(tmp_path / "aside" / "app.log")
        await tail.until(lambda: tail.states() == {"app.log": "rotated"})
        (tmp_path / "aside" / "app.log").rename(log)
        await tail.until(lambda: tail.states() == {"app.log": "active"})
        append(log, b"two\n")
        await tail.until_read(b"one", b"two")


@pytest.mark.parametrize("problem", [errno.EIO, errno.ESTALE, errno.ENOENT, errno.EMFILE])
@asynchronous
async def test_opening_that_fails_at_first_is_tried_again(tmp_path, monkeypatch, problem):
    monkeypatch.setattr(files, "describe", failing(2, OSError(problem, os.strerror(problem)), files.describe))
    log = tmp_path / "app.log"
    log.write_bytes(b"one\n")
    async with Following(log) as tail:
        await tail.until_read(b"one")
        assert tail.tailer._registry.descriptors._count == 1
        expected = {errno.ENOENT: 0, errno.EMFILE: 1}.get(problem, 1)
        assert len(tail.codes()) == expected
        assert len(tail.errors) == 2 * expected


@asynchronous
async def test_known_file_that_cannot_be_examined_keeps_its_place(tmp_path, monkeypatch):
    log = tmp_path / "app.log"
    log.write_bytes(joined(numbered(0, 5)))
    known = (await Following(log, once=True).run_once()).stored()
    broken, refused = OSError(errno.EIO, "broken"), TailError.of("SL203", str(log))
    for error, room, name in ((broken, locate, "compare_open"), (refused, files, "open_checked")):
        with monkeypatch.context() as patch:
            patch.setattr(room, name, failing(2, error, getattr(room, name)))
            async with Following(log, known=known) as tail:
                await tail.until(tail.tailer.files)
                await tail.rounds()
                assert tail.generations == []
                assert set(tail.codes()) == {getattr(error, "code", "SL208")}


@asynchronous
async def test_renamed_known_file_that_cannot_be_examined_is_found_by_its_content(tmp_path, monkeypatch):
    log = tmp_path / "app.log"
    log.write_bytes(joined(numbered(0, 5)))
    known = (await Following(log, once=True).run_once()).stored()
    log.rename(tmp_path / "app.log.1")
    append(tmp_path / "app.log.1", b"rest\n")
    monkeypatch.setattr(locate, "compare_open", failing(1, OSError(errno.EIO, "broken"), locate.compare_open))
    tail = await Following(log, known=known, once=True).run_once()
    assert tail.generations == [b"rest\n"]


def logs(tmp_path):
    """A log in a directory of its own, and another one for each time that its inode went to somebody else."""
    for number in range(REUSE_ATTEMPTS):
        log = tmp_path / str(number) / "app.log"
        log.parent.mkdir()
        log.write_bytes(joined(numbered(0, 5)))
        yield log
    limited("inode reuse")


def reused(log, make, place):
    """Delete `log`; whether what `make` makes got its inode: others make files on this disk as well."""
    inode = log.stat().st_ino
    log.unlink()
    make(place)
    return place.lstat().st_ino == inode


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(path.parent):
        listener.bind(path.name)  # a socket's whole path may have 108 bytes


ANYTHING_ELSE = {
    "another log": lambda path: path.write_bytes(joined(numbered(50, 9))),
    "pipe": os.mkfifo,
    "directory": lambda path: path.mkdir(),
    "link": lambda path: path.symlink_to("nowhere"),
    "socket": make_socket,
}


async def known_and_reused(tmp_path, kind):
    """What a store would know of a log, and what was given its inode since."""
    for log in logs(tmp_path):
        known = (await Following(log, once=True).run_once()).stored()
        place = log.with_name("app.log.1")
        if reused(log, ANYTHING_ELSE[kind], place):
            return log, known, place
    raise AssertionError


@pytest.mark.parametrize("kind", ANYTHING_ELSE)
@asynchronous
async def test_inode_that_was_given_to_something_else_is_not_taken_for_the_known_file(tmp_path, kind):
    log, known, _ = await known_and_reused(tmp_path, kind)
    tail = await Following(log, known=known, once=True).run_once()
    assert tail.generations == []
    assert tail.rows[1].state == "finished"
    assert tail.codes() == []


NO_LOG = sorted(ANYTHING_ELSE.keys() - {"another log"})


def said_of(kind):
    """What is said of something that lies under a log's name: nothing of a link that leads nowhere."""
    return set() if kind == "link" else {"SL202"}


@pytest.mark.parametrize("kind", NO_LOG)
@asynchronous
async def test_what_was_given_the_inode_and_the_name_is_not_the_known_file(tmp_path, kind):
    log, known, place = await known_and_reused(tmp_path, kind)
    place.rename(log)
    tail = await Following(log, known=known, once=True).run_once()
    assert tail.rows[1].state == "finished"
    assert set(tail.codes()) == said_of(kind)


@pytest.mark.parametrize("kind", NO_LOG)
@asynchronous
async def test_what_was_given_inode_and_name_of_a_followed_file_is_never_opened(tmp_path, kind):
    for log in logs(tmp_path):
        async with Following(log) as tail:
            await tail.until_read(*numbered(0, 5))
            harvester = tail.tailer._registry.harvesters[1]
            await tail.tailer._registry.descriptors.close(harvester)
            place = log.with_name("place")
            if reused(log, ANYTHING_ELSE[kind], place):
                place.rename(log)
                assert isinstance(check(harvester, 0.3).error, FileNotFoundError)
                await tail.until(lambda: tail.rows[1].state == "finished")
                await tail.rounds()
                assert set(tail.codes()) == said_of(kind)
                return


@asynchronous
async def test_copy_that_vanishes_before_it_is_opened_leaves_a_new_generation(tmp_path, monkeypatch):
    log = tmp_path / "app.log"
    log.write_bytes(joined(numbered(0, 5)))
    monkeypatch.setattr(locate, "find_copy", lambda *_args: (str(tmp_path / "vanished"), (0, 0)))
    async with Following(log) as tail:
        await tail.until_read(*numbered(0, 5))
        log.write_bytes(b"new\n")
        await tail.until_read(*numbered(0, 5), b"new")
        assert tail.rows[1].state == "finished"


@asynchronous
async def test_candidates_for_a_copy_that_cannot_be_read_are_passed_over(tmp_path, monkeypatch):
    log = tmp_path / "app.log"
    log.write_bytes(joined(numbered(0, 20)))
    async with Following(log, timing=PATIENT) as tail:
        await tail.until_read(*numbered(0, 20))
        opened = files.open_checked

        def broken(path):
            if path.endswith(".1"):
                raise OSError(errno.EIO, "broken")
            return opened(path)

        monkeypatch.setattr(files, "open_checked", broken)
        shutil.copyfile(log, tmp_path / "app.log.1")
        os.truncate(log, 0)
        await tail.until(lambda: tail.rows[1].state == "finished")
        assert tail.gaps == []


@asynchronous
async def test_directory_that_cannot_be_looked_at_ends_nothing(tmp_path, monkeypatch):
    log = tmp_path / "app.log"
    log.write_bytes(b"one\n")
    async with Following(log, timing=PATIENT) as tail:
        await tail.until_read(b"one")
        harvester = tail.tailer._registry.harvesters[1]
        await tail.tailer._registry.descriptors.close(harvester)
        with monkeypatch.context() as patch:
            patch.setattr(prospector.os, "stat", failing(1000, OSError(errno.EIO, "broken"), os.stat))
            assert prospector._where(harvester) == str(log)
        suspects = CopySuspects(tail.tailer._registry, once=False)
        nowhere = str(tmp_path / "app.log.1")
        missing = FoundFile(nowhere, harvester.source, FileKey(1, 2), 4, 0, nowhere)
        suspects.look([missing])
        assert suspects.holds(missing) is False
        assert not locate.is_gone(harvester.file) or log.exists()
        append(log, b"two\n")
        await tail.until_read(b"one", b"two")


@asynchronous
async def test_only_so_many_finished_files_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_FINISHED_KEPT", 3)
    async with Following(tmp_path / "*.log") as tail:
        for number in range(6):
            log = tmp_path / f"{number}.log"
            log.write_bytes(b"%d\n" % number)
            await tail.until(lambda wanted=number: len(tail.lines) == wanted + 1)
            log.unlink()
        await tail.until(lambda: not tail.tailer.files())
        assert len(tail.tailer._registry.dormant) == 3


def test_errors_say_what_to_do():
    for error in (files.open_error("/x", OSError(code, "")) for code in (errno.EACCES, errno.EMFILE, errno.EIO)):
        assert isinstance(error, TailError)
        assert error.hint
        assert error.retryable
