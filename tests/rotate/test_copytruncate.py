"""copytruncate: the copy is whole and no more open than the log, or there is none and the log is as it was."""

from __future__ import annotations

import errno
import os
import stat
import struct

import pytest

from agent.core.errors import RotateError
from agent.rotate import copytruncate
from agent.rotate.copytruncate import CopyTruncate, StoppedError, hidden_name
from agent.rotate.directory import LogDirectory
from agent.store.tables import BegunRotation
from agent.tail.files import file_key
from tests.needs import limited, needs


def go_on():
    return False


class Scene:
    """A log, and its directory."""

    def __init__(self, path, data=b"one\ntwo\n"):
        self.path = path
        self.log = path / "app.log"
        self.log.write_bytes(data)
        self.folder = LogDirectory(str(path))

    def copy(self, stop=go_on):
        return CopyTruncate(self.folder, "app.log", file_key(self.log.stat()), stop)

    def names(self):
        return sorted(path.name for path in self.path.iterdir())


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    with scene.folder:
        yield scene


def test_the_copy_has_everything_and_the_log_is_empty_in_place(scene):
    (scene.path / "app.log.1").write_bytes(b"old\n")
    inode = scene.log.stat().st_ino
    with scene.copy() as copy:
        assert scene.names() == [".app.log.sidelog", "app.log", "app.log.1"]
        assert copy.inode == (scene.path / hidden_name("app.log")).stat().st_ino
        with scene.log.open("ab") as file:
            file.write(b"three\n")
        assert copy.finish() == "app.log.1"
    assert (scene.path / "app.log.1").read_bytes() == b"one\ntwo\nthree\n"
    assert (scene.path / "app.log.2").read_bytes() == b"old\n"
    assert (scene.log.read_bytes(), scene.log.stat().st_ino) == (b"", inode)
    assert scene.names() == ["app.log", "app.log.1", "app.log.2"]


def test_a_copy_that_is_not_finished_leaves_nothing(scene):
    with scene.copy():
        pass
    assert scene.names() == ["app.log"]
    with pytest.raises(StoppedError):
        scene.copy(stop=lambda: True)
    assert (scene.names(), scene.log.read_bytes()) == (["app.log"], b"one\ntwo\n")


def test_what_a_killed_agent_has_left_is_replaced(scene):
    (scene.path / hidden_name("app.log")).write_bytes(b"half")
    with scene.copy() as copy:
        copy.finish()
    assert (scene.path / "app.log.1").read_bytes() == b"one\ntwo\n"


def test_a_log_that_cannot_be_emptied_is_left_with_everything_and_without_a_copy(scene, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "ftruncate", refuse)
    with scene.copy() as copy, pytest.raises(PermissionError):
        copy.finish()
    assert (scene.names(), scene.log.read_bytes()) == (["app.log"], b"one\ntwo\n")


def test_an_interrupt_behind_the_truncation_leaves_the_copy(scene, monkeypatch):
    """Ctrl-C during `archive run`: Python raises as soon as the system call is over, and the copy is all there is."""
    truncate = os.ftruncate

    def interrupted_(*arguments):
        truncate(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "ftruncate", interrupted_)
    with scene.copy() as copy, pytest.raises(KeyboardInterrupt):
        copy.finish()
    assert scene.log.read_bytes() == b""
    assert (scene.path / "app.log.1").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize(("free_bytes", "blocks", "copied"), [(0, 100, False), (1 << 30, 100, True), (0, 0, True)])
def test_a_disk_that_is_too_full_is_not_filled_to_its_end(scene, monkeypatch, free_bytes, blocks, copied):
    """The application writes there too. A file system that does not know its size is no reason to refuse."""

    class Room:
        f_blocks, f_bavail, f_frsize = blocks, free_bytes >> 12, 1 << 12

    monkeypatch.setattr(os, "fstatvfs", lambda _: Room)
    if copied:
        scene.copy().close()
    else:
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            scene.copy()
    assert (scene.names(), scene.log.read_bytes()) == (["app.log"], b"one\ntwo\n")


def test_a_fast_writer_is_caught_up_with_before_the_truncation(scene, monkeypatch):
    """Each flush of the copy gives it time to write on; there are only so many."""
    monkeypatch.setattr(copytruncate, "_FLUSH_BYTES", 3)
    monkeypatch.setattr(copytruncate, "_ROUNDS", 5)
    flush, flushed = os.fsync, []

    def write_on(fd):
        flush(fd)
        flushed.append(fd)
        with scene.log.open("ab") as file:
            file.write(b"more\n")

    with scene.copy() as copy:
        monkeypatch.setattr(os, "fsync", write_on)
        copy.finish()
        monkeypatch.setattr(os, "fsync", flush)
    lines = (scene.path / "app.log.1").read_bytes().splitlines()
    assert lines == [b"one", b"two", *[b"more"] * (len(flushed) - 1)], "all but what came after the truncation"
    assert scene.log.read_bytes().strip(b"\0") == b"more\n"


def test_a_line_that_is_half_written_is_waited_for(scene, monkeypatch):
    """A write over the end of a page is seen in two halves; the truncation would take the second."""
    with scene.log.open("ab") as file:
        file.write(b"thr")

    def write_on(_):
        with scene.log.open("ab") as file:
            file.write(b"ee\n")

    with scene.copy() as copy:
        monkeypatch.setattr("time.sleep", write_on)
        copy.finish()
    assert (scene.path / "app.log.1").read_bytes() == b"one\ntwo\nthree\n"
    assert scene.log.read_bytes() == b""


def test_an_application_that_writes_no_whole_lines_is_not_waited_for_for_ever(scene, monkeypatch):
    with scene.log.open("ab") as file:
        file.write(b"thr")
    waits = []

    def write_on(_):
        waits.append(1)
        with scene.log.open("ab") as file:
            file.write(b".")

    with scene.copy() as copy:
        monkeypatch.setattr("time.sleep", write_on)
        copy.finish()
    assert (scene.path / "app.log.1").read_bytes() == b"one\ntwo\nthr" + b"." * len(waits)
    assert (scene.log.read_bytes(), len(waits) > 10) == (b"", True)


def test_links_and_files_with_several_names_are_refused(scene):
    key = file_key(scene.log.stat())
    os.link(scene.log, scene.path / "other")
    with pytest.raises(RotateError, match="several names"):
        scene.copy()
    (scene.path / "other").unlink()
    scene.log.rename(scene.path / "real")
    scene.log.symlink_to("real")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        CopyTruncate(scene.folder, "app.log", key, go_on)
    scene.log.unlink()
    scene.log.write_bytes(b"another")
    with pytest.raises(RotateError, match="another file"):
        CopyTruncate(scene.folder, "app.log", key, go_on)
    assert (scene.path / "real").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o4644])
def test_the_copy_has_the_logs_mode_and_nothing_more(scene, mode):
    scene.log.chmod(mode)
    with scene.copy() as copy:
        copy.finish()
    assert stat.S_IMODE((scene.path / "app.log.1").stat().st_mode) == mode & 0o777


@needs("root")
def test_the_copy_belongs_to_whom_the_log_belongs(scene, monkeypatch):
    os.chown(scene.log, 1234, 2345)
    scene.log.chmod(0o640)
    with scene.copy() as copy:
        copy.finish()
    status = (scene.path / "app.log.1").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 2345, 0o640)
    scene.log.write_bytes(b"more\n")

    def refuse(*_):
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "fchown", refuse)
    with scene.copy() as copy:
        copy.finish()
    status = (scene.path / "app.log.1").stat()
    assert stat.S_IMODE(status.st_mode) == 0o600, "another group gets what everybody has"


@needs("root")
def test_who_may_give_the_group_alone_gives_that(scene, monkeypatch):
    os.chown(scene.log, 1234, 2345)
    scene.log.chmod(0o640)
    chown = os.fchown

    def refuse(fd, owner, group):
        if owner != -1:
            raise PermissionError(errno.EPERM, "no")
        chown(fd, owner, group)

    monkeypatch.setattr(os, "fchown", refuse)
    with scene.copy() as copy:
        copy.finish()
    status = (scene.path / "app.log.1").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (os.geteuid(), 2345, 0o640)


def access_list(*entries):
    """POSIX ACL as the kernel keeps it: version 2, then tag, permissions, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NONE = 0xFFFFFFFF
BOB = access_list((1, 6, NONE), (2, 4, 1234), (4, 0, NONE), (0x10, 4, NONE), (0x20, 0, NONE))


def set_list(path, name=copytruncate._ACL, value=BOB):
    try:
        os.setxattr(path, name, value)
    except OSError:
        limited("access lists")


def test_an_access_list_is_taken_over(scene, monkeypatch):
    """Its mask looks like the group's rights: with these alone, the group could read what it could not."""
    set_list(scene.log)
    with scene.copy() as copy:
        copy.finish()
    assert os.getxattr(scene.path / "app.log.1", copytruncate._ACL) == BOB
    scene.log.write_bytes(b"more\n")

    def refuse(*_):
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "setxattr", refuse)
    with scene.copy() as copy:
        copy.finish()
    assert stat.S_IMODE((scene.path / "app.log.1").stat().st_mode) == 0o600


def test_an_access_list_is_never_wider_on_its_way(scene, monkeypatch):
    """Its mask looks like the group's rights, and the group must not have those before the list is there."""
    set_list(scene.log)
    setxattr, modes = os.setxattr, []

    def look(fd, *rest):
        modes.append(stat.S_IMODE(os.fstat(fd).st_mode))
        setxattr(fd, *rest)

    monkeypatch.setattr(os, "setxattr", look)
    with scene.copy():
        pass
    assert modes == [0o600]


@needs("root")
def test_an_access_list_whose_group_would_be_another_one_is_not_taken_over(scene, monkeypatch):
    """What it gives the log's group would go to the agent's."""
    group = access_list((1, 6, NONE), (2, 4, 1234), (4, 6, NONE), (0x10, 6, NONE), (0x20, 0, NONE))
    os.chown(scene.log, 1234, 2345)
    set_list(scene.log, value=group)

    def refuse(*_):
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "fchown", refuse)
    with scene.copy() as copy:
        copy.finish()
    assert stat.S_IMODE((scene.path / "app.log.1").stat().st_mode) == 0o600
    with pytest.raises(OSError, match=os.strerror(errno.ENODATA)):
        os.getxattr(scene.path / "app.log.1", copytruncate._ACL)


def test_the_directorys_access_list_opens_no_copy(scene):
    set_list(scene.path, "system.posix_acl_default")
    with scene.copy() as copy:
        copy.finish()
    with pytest.raises(OSError, match=os.strerror(errno.ENODATA)):
        os.getxattr(scene.path / "app.log.1", copytruncate._ACL)


def test_an_access_list_that_cannot_be_read_is_no_reason_to_guess(scene, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "getxattr", broken)
    with pytest.raises(OSError, match="broken"):
        scene.copy()
    assert scene.names() == ["app.log"]


def test_a_system_without_access_lists(scene, monkeypatch):
    monkeypatch.delattr(os, "getxattr")
    monkeypatch.delattr(os, "removexattr")
    with scene.copy() as copy:
        copy.finish()
    assert (scene.path / "app.log.1").read_bytes() == b"one\ntwo\n"


# ---------------------------------------------------------------- a crash


def begun(scene, copy=0):
    status = scene.log.stat()
    return BegunRotation(str(scene.log), "app", status.st_dev, status.st_ino, copy)


def test_after_a_crash_before_the_truncation_the_copy_goes(scene):
    first = scene.path / "app.log.1"
    first.write_bytes(b"one\n")
    (scene.path / hidden_name("app.log")).write_bytes(b"half")
    copytruncate.clear([begun(scene, first.stat().st_ino)])
    assert scene.names() == ["app.log"]


def test_after_a_crash_behind_the_truncation_the_copy_stays(scene):
    first = scene.path / "app.log.1"
    first.write_bytes(b"zero\n")
    copytruncate.clear([begun(scene, first.stat().st_ino)])
    assert scene.names() == ["app.log", "app.log.1"], "the log does not begin like it"
    first.write_bytes(b"one\ntwo\nthree\n")
    copytruncate.clear([begun(scene, first.stat().st_ino)])
    assert scene.names() == ["app.log", "app.log.1"], "the log does not hold all of it"


def test_another_file_under_the_copys_name_stays(scene):
    (scene.path / "app.log.1").write_bytes(b"one\n")
    copytruncate.clear([begun(scene), begun(scene, 1), begun(scene)._replace(path="/nowhere/app.log", copy=1)])
    assert scene.names() == ["app.log", "app.log.1"]
    note = begun(scene, (scene.path / "app.log.1").stat().st_ino)
    copytruncate.clear([note._replace(inode=note.inode + 1)])
    assert scene.names() == ["app.log", "app.log.1"], "the log is another file"
    scene.log.unlink()
    copytruncate.clear([note])
    assert scene.names() == ["app.log.1"]
