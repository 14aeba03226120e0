"""Names are safe whatever a log is called; files appear whole, with no more permissions than the log had."""

import os
import stat
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.archive.directory import archive_path, safe_name
from agent.archive.files import give_name, make_directory, partial_file, restrict
from tests.needs import needs

FIRST = 1_795_000_000 * 10**9


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
@settings(deadline=None)
def test_a_name_stays_in_its_directory(text):
    name = safe_name(os.fsdecode(text.encode("utf-8", "surrogatepass")))
    assert 0 < len(name) <= 130
    assert "/" not in name
    assert not name.startswith(".")
    assert name.isascii()
    assert name.isprintable()


def test_usual_names_stay_as_they_are(tmp_path):
    path = archive_path(tmp_path, "shop", "/var/log/shop/app.log", FIRST, 7)
    assert path == tmp_path / "shop" / "app-20261118T110640Z-7.log.zst"


@pytest.mark.parametrize(
    ("source", "original", "first", "name"),
    [
        ("../etc", "/x/a\nb.log", None, "%2E.%2Fetc/a%0Ab-19700101T000000Z-1.log.zst"),
        ("a b", "/x/.log", 5, "a%20b/log-19700101T000000Z-1.log.zst"),
        ("s", "/x/out", 2**62, "s/out-21160220T235338Z-1.log.zst"),
        ("s", "/x/" + "n" * 250 + ".log", 0, "s/" + "n" * 120 + "-19700101T000000Z-1.log.zst"),
        ("s", "/x/out", 10**30, "s/out-1000000000000000000000-1.log.zst"),
        ("s", "/x/\udcff.log", 0, "s/%FF-19700101T000000Z-1.log.zst"),
    ],
)
def test_odd_names_become_safe_ones(tmp_path, source, original, first, name):
    assert str(archive_path(tmp_path, source, original, first, 1).relative_to(tmp_path)) == name


def test_directories_are_for_the_owner_alone(tmp_path):
    make_directory(tmp_path / "a" / "b")
    make_directory(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    part, final = tmp_path / ".1.partial", tmp_path / "x.zst"
    part.write_bytes(b"left by a process that was killed")
    with pytest.raises(TypeError), partial_file(part) as file:
        file.write("no bytes")
    assert list(tmp_path.iterdir()) == []
    with partial_file(part) as file:
        file.write(b"whole")
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
    give_name(part, final)
    assert list(tmp_path.iterdir()) == [final]
    part.write_bytes(b"another")
    with pytest.raises(FileExistsError):
        give_name(part, final)
    assert final.read_bytes() == b"whole"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o755, 0o400])
def test_permissions_and_time_are_those_of_the_log(tmp_path, mode):
    log, archive = tmp_path / "app.log", tmp_path / "x"
    log.write_bytes(b"")
    log.chmod(mode)
    os.utime(log, ns=(5, 7 * 10**9))
    archive.write_bytes(b"")
    restrict(archive, log.stat(), log.stat().st_mtime_ns)
    assert stat.S_IMODE(archive.stat().st_mode) == mode & 0o666
    assert archive.stat().st_mtime_ns == 7 * 10**9


def test_a_group_that_is_not_the_logs_may_do_what_everybody_may(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr(os, "chown", refuse)
    archive = tmp_path / "x"
    archive.write_bytes(b"")
    for mode, kept in ((0o640, 0o600), (0o664, 0o644), (0o060, 0o400)):
        restrict(archive, SimpleNamespace(st_mode=mode, st_uid=0, st_gid=4321, st_atime_ns=1), 1)
        assert stat.S_IMODE(archive.stat().st_mode) == kept
    same = SimpleNamespace(st_mode=0o640, st_uid=0, st_gid=archive.stat().st_gid, st_atime_ns=1, st_mtime_ns=1)
    restrict(archive, same, same.st_mtime_ns)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o640, "its group is that of the log already"


@needs("root")
def test_the_owner_is_that_of_the_log(tmp_path):
    log, archive = tmp_path / "app.log", tmp_path / "x"
    log.write_bytes(b"")
    os.chown(log, 1234, 4321)
    archive.write_bytes(b"")
    restrict(archive, log.stat(), log.stat().st_mtime_ns)
    assert (archive.stat().st_uid, archive.stat().st_gid) == (1234, 4321)
