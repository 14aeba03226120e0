"""Renaming in a directory that somebody else writes too: nothing is overwritten, no link is followed."""

from __future__ import annotations

import ctypes
import errno
import os

import pytest

from agent.core.errors import RotateError
from agent.rotate.directory import LogDirectory
from agent.tail.files import file_key


@pytest.fixture
def folder(tmp_path):
    with LogDirectory(str(tmp_path)) as folder:
        yield folder


@pytest.fixture(params=["renameat2", "without"])
def rename(request, monkeypatch):
    """Both ways to rename: where the kernel can refuse to overwrite, and where it lacks that."""
    if request.param == "without":
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())


def test_a_log_is_renamed_and_the_others_make_room(tmp_path, folder, rename):
    for name in ("app.log", "app.log.1", "app.log.2", "app.log.4"):
        (tmp_path / name).write_text(name)
    assert folder.rotate("app.log", file_key((tmp_path / "app.log").stat())) == "app.log.1"
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {
        "app.log.1": "app.log",
        "app.log.2": "app.log.1",
        "app.log.3": "app.log.2",
        "app.log.4": "app.log.4",
    }


def test_nothing_is_overwritten(tmp_path, folder, rename):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        folder.rename("a", "b")
    assert (tmp_path / "a").read_text() == "a"
    assert (tmp_path / "b").is_symlink()


def test_what_the_system_refuses_is_said(tmp_path, folder, rename):
    with pytest.raises(FileNotFoundError):
        folder.rename("none", "b")


def test_a_file_system_without_such_a_rename_gets_a_plain_one(tmp_path, folder, monkeypatch):
    class Library:
        def __init__(self, *_, **__):
            pass

        def renameat2(self, *_):
            ctypes.set_errno(errno.EINVAL)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", Library)
    (tmp_path / "a").write_text("a")
    folder.rename("a", "b")
    assert (tmp_path / "b").read_text() == "a"


def test_only_what_cannot_be_flushed_at_all_is_not_flushed(folder, monkeypatch):
    numbers = [errno.EINVAL, errno.EIO]

    def refuse(_):
        raise OSError(numbers.pop(0), "no")

    monkeypatch.setattr(os, "fsync", refuse)
    folder.flush()
    with pytest.raises(OSError, match="no"):
        folder.flush()


def test_only_the_regular_file_that_is_followed_is_rotated(tmp_path, folder):
    (tmp_path / "real").write_text("x")
    key = file_key((tmp_path / "real").stat())
    (tmp_path / "app.log").symlink_to("real")
    with pytest.raises(RotateError, match="no regular file"):
        folder.rotate("app.log", key)
    (tmp_path / "app.log").unlink()
    with pytest.raises(RotateError, match="no regular file"):
        folder.rotate("app.log", key)
    (tmp_path / "app.log").write_text("another")
    with pytest.raises(RotateError, match="another file"):
        folder.rotate("app.log", key)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.log", "real"]


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.EACCES, "setfacl"), (errno.EROFS, "ReadWritePaths"), (errno.ENOSPC, "room"), (errno.EIO, "tried again")],
)
def test_each_refusal_has_its_hint(number, hint):
    error = RotateError.of("SL820", "/app.log", why=OSError(number, "x"))
    assert (error.code, error.subject) == ("SL820", "/app.log")
    assert hint in error.hint
