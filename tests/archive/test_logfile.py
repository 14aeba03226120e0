"""A log is read whole whatever its form, and deleted only if nothing has happened to it."""

import bz2
import fcntl
import gzip
import os

import pytest
import zstandard

from agent.archive.logfile import LogFile, changed_ns, delete, has_writer
from agent.core.errors import ArchiveError
from tests.integration.archiving import tells_writers
from tests.needs import limited

DATA = b"".join(b"line %d\n" % number for number in range(60_000))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_any_form_gives_the_same_bytes(tmp_path, pack):
    (tmp_path / "a").write_bytes(pack(DATA))
    with LogFile(str(tmp_path / "a")) as log:
        assert b"".join(log.contents()) == DATA
        assert b"".join(log.contents()) == DATA
        assert log.unchanged()


@pytest.mark.parametrize("data", [gzip.compress(DATA)[:-20], zstandard.compress(DATA)[:-5], bz2.compress(DATA)])
def test_damaged_or_unknown_forms_are_said(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    with LogFile(str(tmp_path / "a")) as log, pytest.raises(ArchiveError, match="cannot be decompressed") as raised:
        list(log.contents())
    assert (raised.value.code, raised.value.subject) == ("SL805", str(tmp_path / "a"))


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "target").write_bytes(b"secret")
    for name in ("pipe", "link", "none"):
        with pytest.raises(ArchiveError) as raised:
            LogFile(str(tmp_path / name))
        assert raised.value.code == "SL805"


def test_a_time_ahead_does_not_count(tmp_path):
    (tmp_path / "a").touch()
    os.utime(tmp_path / "a", ns=(0, 1_000))
    status = (tmp_path / "a").stat()
    assert (changed_ns(status, 1_000), changed_ns(status, 999)) == (1_000, status.st_ctime_ns)


def test_a_byte_more_or_the_end_of_the_file_is_a_change_and_another_name_is_none(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one\n")
    with LogFile(str(path)) as log:
        with path.open("ab") as file:
            file.write(b"two\n")
        assert not log.unchanged()
    with LogFile(str(path)) as log:
        assert log.in_place()
        path.rename(tmp_path / "b")
        assert log.unchanged()
        assert not log.in_place()
        path.write_bytes(b"one\ntwo\n")
        assert not log.in_place(), "another file"
        (tmp_path / "b").unlink()
        assert not log.unchanged()


def test_a_log_is_deleted_only_as_it_was_archived(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one\n")
    with LogFile(str(path)) as log:
        version = log.version
    with path.open("ab") as file:
        file.write(b"two\n")
    assert not delete(str(path), version)
    assert path.exists()
    with LogFile(str(path)) as log:
        version = log.version
    assert delete(str(path), version)
    assert not path.exists()
    assert delete(str(path), version)


def test_a_log_that_somebody_has_open_for_writing_stays(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one\n")
    with LogFile(str(path)) as log:
        version = log.version
        assert not has_writer(log.fd)
    if not tells_writers(tmp_path):
        limited("leases")
    with path.open("ab"), LogFile(str(path)) as log:
        assert has_writer(log.fd)
        assert not delete(str(path), version)
    assert path.exists()
    assert delete(str(path), version)


def test_a_log_that_fails_while_it_is_read_is_named(tmp_path):
    (tmp_path / "a").write_bytes(b"one\n")
    log = LogFile(str(tmp_path / "a"))
    log.close()
    log.close()
    with pytest.raises(ArchiveError, match="Bad file descriptor") as raised:
        list(log.contents())
    assert (raised.value.code, raised.value.subject) == ("SL805", str(tmp_path / "a"))


def test_where_the_kernel_cannot_be_asked_nobody_is_taken_to_write(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"one\n")
    with (tmp_path / "a").open("ab"), LogFile(str(tmp_path / "a")) as log:
        monkeypatch.delattr(fcntl, "F_SETLEASE")
        assert not has_writer(log.fd)
