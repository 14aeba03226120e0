"""Which files are followed: patterns, excludes, links, permissions, and what is refused."""

import bz2
import gzip
import lzma
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from following import PATIENT, Following, append, asynchronous, joined, numbered, source

from agent.tail.discover import Discovery
from agent.tail.rotated_names import is_rotation
from tests.needs import needs


def scan(*patterns, avoid=(), **settings):
    return Discovery([source(*patterns, **settings)], avoid).scan()


def names(result, base):
    return [os.path.relpath(found.path, base) for found in result.files]


@pytest.fixture
def tree(tmp_path):
    for name in ("a.log", "b.log", ".hidden.log", "c.txt", "one/d.log", "one/deep/e.log", "two/f.log", ".git/g.log"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.log", ["a.log", "b.log"]),
        (".*.log", [".hidden.log"]),
        ("a.log", ["a.log"]),
        ("[ab].*", ["a.log", "b.log"]),
        ("*/*.log", ["one/d.log", "two/f.log"]),
        ("**/*.log", ["a.log", "b.log", "one/d.log", "one/deep/e.log", "two/f.log"]),
        ("one/**", ["one/d.log", "one/deep/e.log"]),
        ("o*/deep/e.log", ["one/deep/e.log"]),
        ("missing/*.log", []),
        ("a.log/*.log", []),
    ],
)
def test_patterns(tree, pattern, expected):
    result = scan(tree / pattern)
    assert names(result, tree) == expected
    assert not result.refused
    discovery = Discovery([source(tree / pattern)])
    assert all(discovery.source_of(str(tree / name)) for name in expected)
    assert not discovery.source_of(str(tree / "c.text"))


def test_relative_patterns_are_fixed_at_the_start(tree, monkeypatch):
    monkeypatch.chdir(tree)
    discovery = Discovery([source("*.log")])
    monkeypatch.chdir("/")
    assert names(discovery.scan(), tree) == ["a.log", "b.log"]


@pytest.mark.parametrize("exclude", ["b*", "*/b.log", "**/b.log"])
def test_excludes_match_the_base_name_or_the_whole_path(tree, exclude):
    assert names(scan(tree / "*.log", exclude=(exclude,)), tree) == ["a.log"]
    assert Discovery([source(tree / "*.log", exclude=(exclude,))]).source_of(str(tree / "b.log")) is None


def test_directories_to_watch_include_the_nearest_existing_one(tree):
    assert str(tree / "one") in scan(tree / "one/gone/further/*.log").directories
    assert {str(tree), str(tree / "one"), str(tree / "one/deep")} <= scan(tree / "**/*.log").directories


def test_one_file_under_many_names_is_found_once_under_its_own(tree):
    os.link(tree / "a.log", tree / "z-hard.log")
    (tree / "a-link.log").symlink_to(tree / "a.log")
    (tree / "loop").symlink_to(tree)
    result = Discovery([source(tree / "*.log"), source(tree / "**/a*.log", name="other")]).scan()
    assert names(result, tree) == ["a.log", "b.log"]
    assert {found.source.name for found in result.files} == {"shop"}


def test_own_files_and_directories_are_never_found(tree):
    os.link(tree / "b.log", tree / "b-again.log")
    (tree / "link").symlink_to(tree / "one")
    result = scan(tree / "**/*.log", tree / "link/*.log", avoid=[tree / "b.log", tree / "one", tree / "absent.log"])
    assert names(result, tree) == ["a.log", "two/f.log"]
    assert names(scan(tree / "two/*", avoid=[tree]), tree) == []


def test_what_is_no_regular_file_is_refused_with_its_kind(tmp_path):
    os.mkfifo(tmp_path / "pipe.log")
    (tmp_path / "folder.log").mkdir()
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "unix.log"))
        result = scan(tmp_path / "*.log", tmp_path / "folder.log", "/dev/null")
    kinds = {Path(path).name: error.message.split(" is ")[1].split(",")[0] for path, error in result.refused.items()}
    assert kinds == {"pipe.log": "a named pipe", "unix.log": "a socket", "null": "a device"} | (
        {"folder.log": "a directory"} if "folder.log" in kinds else {}
    )
    assert {error.code for error in result.refused.values()} == {"SL202"}
    assert "a directory" in str(scan(tmp_path / "folder.log").refused)


@asynchronous
async def test_refused_files_are_reported_once_and_no_more_when_they_are_gone(tmp_path):
    os.mkfifo(tmp_path / "pipe.log")
    (tmp_path / "app.log").write_bytes(b"one\n")
    async with Following(tmp_path / "*.log") as tail:
        await tail.until_read(b"one")
        await tail.rounds(5)
        assert tail.errors == [("SL202", str(tmp_path / "pipe.log"), True)]
        (tmp_path / "pipe.log").unlink()
        await tail.until(lambda: tail.errors[-1] == ("SL202", str(tmp_path / "pipe.log"), False))


@needs("root")
@asynchronous
async def test_link_is_followed_only_when_it_and_its_target_have_one_owner(tmp_path):
    (tmp_path / "target").write_bytes(b"secret\n")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "in.log").write_bytes(b"inside\n")
    (tmp_path / "link.log").symlink_to(tmp_path / "target")
    (tmp_path / "linked").symlink_to(tmp_path / "dir")
    for link in ("link.log", "linked"):
        os.lchown(tmp_path / link, 12345, 12345)
    async with Following(tmp_path / "*.log", tmp_path / "link*" / "in.log") as tail:
        await tail.until(lambda: tail.codes() == ["SL203"])
        assert tail.lines == []
        os.lchown(tmp_path / "link.log", 0, 0)
        await tail.until_read(b"secret")
        os.lchown(tmp_path / "linked", 0, 0)
        await tail.until_read(b"secret", b"inside")


@asynchronous
async def test_new_files_and_directories_are_found(tmp_path):
    async with Following(tmp_path / "logs/*/app.log") as tail:
        await tail.rounds()
        (tmp_path / "logs/a").mkdir(parents=True)
        (tmp_path / "logs/a/app.log").write_bytes(b"a\n")
        await tail.until_read(b"a")
        shutil.rmtree(tmp_path / "logs")
        await tail.until(lambda: not tail.tailer.files())
        (tmp_path / "logs/b").mkdir(parents=True)
        (tmp_path / "logs/b/app.log").write_bytes(b"b\n")
        await tail.until_read(b"a", b"b")


@asynchronous
async def test_moved_directory_is_followed_by_its_new_name_no_more(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/app.log").write_bytes(b"one\n")
    async with Following(tmp_path / "logs/*.log", timing=PATIENT) as tail:
        await tail.until_read(b"one")
        (tmp_path / "logs").rename(tmp_path / "old")
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs/app.log").write_bytes(b"new\n")
        append(tmp_path / "old/app.log", b"late\n")
        await tail.until_read(b"one", b"new", b"late")


@asynchronous
async def test_identical_tiny_files_and_identical_headers_are_all_read(tmp_path):
    (tmp_path / "a.log").write_bytes(b"x\n")
    (tmp_path / "b.log").write_bytes(b"x\n")
    header = joined(numbered(0, 50, "header"))
    (tmp_path / "c.log").write_bytes(header + b"c\n")
    (tmp_path / "d.log").write_bytes(header + b"d\n")
    async with Following(tmp_path / "*.log") as tail:
        await tail.until(lambda: len(tail.lines) == 104)
        assert tail.generations == [b"x\n", b"x\n", header + b"c\n", header + b"d\n"]


@pytest.mark.parametrize(
    "compress", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress], ids=["gzip", "bzip2", "xz", "zstd"]
)
@asynchronous
async def test_compressed_file_is_skipped_and_reported_unless_it_is_a_rotation(tmp_path, compress):
    (tmp_path / "app.log").write_bytes(b"one\n")
    async with Following(tmp_path / "*") as tail:
        await tail.until_read(b"one")
        (tmp_path / "app.log.2.gz").write_bytes(compress(b"old\n"))
        (tmp_path / "foreign").write_bytes(compress(b"foreign\n"))
        growing = tmp_path / "growing"
        growing.touch()
        await tail.until(lambda: any(file.path == str(growing) for file in tail.tailer.files()))
        growing.write_bytes(compress(b"grown\n"))
        await tail.until(lambda: len(tail.codes()) == 2)
        await tail.rounds(5)
        assert sorted(tail.errors) == [("SL204", str(tmp_path / name), True) for name in ("foreign", "growing")]
        assert tail.generations == [b"one\n"]


_UNPRIVILEGED = """
import asyncio, os, sys
sys.path[:0] = [{tests!r}, {root!r}]
from following import Following, source
os.setgroups([]); os.setgid(65534); os.setuid(65534)
async def main(folder):
    async with Following(folder + "/*.log", folder + "/closed/*.log") as tail:
        await tail.until(lambda: sorted(tail.codes()) == ["SL201", "SL209"])
        await tail.rounds(5)
        print("denied", flush=True)
        await tail.until(lambda: len(tail.lines) == 2)
        assert tail.lines == [b"in", b"one"], tail.lines
        await tail.until(lambda: len(tail.errors) == 4)
        assert len(tail.codes()) == 2, tail.errors
        assert {{subject for *_, subject, active in [(c, s, a) for c, s, a in tail.errors] if not active}} \\
            == {{folder + "/app.log", folder + "/closed"}}, tail.errors
asyncio.run(main({folder!r}))
print("read")
"""


@needs("root")
def test_denied_file_and_directory_are_reported_once_and_read_from_their_heads_when_granted(tmp_path):
    folder = Path("/tmp") / f"sidelog-denied-{os.getpid()}"  # tmp_path is closed to other users
    (folder / "closed").mkdir(parents=True)
    try:
        folder.chmod(0o755)
        (folder / "closed").chmod(0o700)
        (folder / "app.log").write_bytes(b"one\n")
        (folder / "closed/in.log").write_bytes(b"in\n")
        (folder / "app.log").chmod(0o600)
        tests = str(Path(__file__).parent)
        script = _UNPRIVILEGED.format(tests=tests, root=str(Path(tests).parent.parent), folder=str(folder))
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "denied\n"
            (folder / "app.log").chmod(0o644)
            (folder / "closed").chmod(0o755)
            assert process.stdout.read() == "read\n"
        assert process.returncode == 0
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("name", "original", "expected"),
    [
        ("app.log.1", "app.log", True),
        ("app.log.12.gz", "app.log", True),
        ("app.log-20261122", "app.log", True),
        ("app.log-20261122-0304.zst", "app.log", True),
        ("app.log.2026-11-22T03:04:05Z", "app.log", True),
        ("app-2026-11-22.log", "app.log", True),
        ("app.1.log", "app.log", True),
        ("app.log.old", "app.log", True),
        ("app.log.2026-11-22", "app.log", True),
        ("app.log.2026-11-22_15", "app.log", True),
        ("app.log.2026-11-22_15-00-01", "app.log", True),
        ("app.2026-11-22.1.log", "app.log", True),
        ("app1.log", "app.log", True),
        ("app-2026-11-22.log.1.gz", "app-2026-11-22.log", True),
        ("app.1.log.1", "app.1.log", True),
        ("app1-2.log", "app1.log", True),
        ("app10.log", "app1.log", False),
        ("app.10.log", "app.1.log", False),
        ("app.log.10", "app.log.1", False),
        ("app.2.log", "app.1.log", False),
        ("app-2026-11-22.log", "app-2026-11-21.log", False),
        (".0f9c-audit.json", "app.log", False),
        ("app-audit.json", "app.log", False),
        ("app.log", "app.log", False),
        ("app.log.gz", "app.log", True),
        ("application.log", "app.log", False),
        ("app-errors.log", "app.log", False),
        ("app.log.errors", "app.log", False),
        ("other.log.1", "app.log", False),
        ("app.txt", "app.log", False),
    ],
)
def test_names_made_by_rotation(name, original, expected):
    assert is_rotation(name, original) is expected
