"""Waking up: events, their loss, and polling where there are none."""

import asyncio
import ctypes
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from following import PATIENT, QUICK, Following, append, asynchronous
from msgspec import structs

from agent.core.decompress import compression
from agent.tail import files, polling, watch
from agent.tail.identity import generation, same_generation
from tests.needs import limited, needs

QUEUED_EVENTS = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
NEVER = {"idle_interval_s": 3600.0, "rescan_s": 3600.0}


def never_polling():
    """Timing in which only events can tell of anything."""

    return structs.replace(QUICK, **NEVER, rotated_grace_s=3600.0)


@asynchronous
async def test_lone_line_on_an_idle_file_comes_by_its_event_alone(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(b"one\n")
    async with Following(log, timing=never_polling()) as tail:
        for number in range(3):
            await tail.until(lambda wanted=number: len(tail.lines) == wanted + 1)
            await tail.until_armed()
            append(log, b"more\n")
        await tail.until(lambda: len(tail.lines) == 4)


@asynchronous
async def test_creation_renaming_truncation_and_deletion_come_by_events_alone(tmp_path):
    log = tmp_path / "app.log"
    async with Following(log, timing=never_polling()) as tail:
        await tail.rounds()
        log.write_bytes(b"one\n")
        await tail.until_read(b"one")
        await tail.until_armed()
        log.rename(tmp_path / "app.log.1")
        await tail.until(lambda: tail.states() == {"app.log.1": "rotated"})
        log.write_bytes(b"two\n")
        await tail.until_read(b"one", b"two")
        await tail.until_armed()
        log.write_bytes(b"3\n")
        await tail.until_read(b"one", b"two", b"3")
        log.unlink()
        await tail.until(lambda: set(tail.states()) == {"app.log.1"})


@asynchronous
async def test_events_about_other_names_cause_no_scan(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(b"one\n")
    async with Following(log, timing=never_polling()) as tail:
        await tail.until_read(b"one")
        await tail.until_armed()
        due = tail.tailer._next_scan
        (tmp_path / "unrelated.txt").write_bytes(b"x")
        await tail.until(lambda: not tail.tailer._watcher._events.names)
        assert tail.tailer._next_scan == due


def test_what_has_happened_before_a_look_is_told_before_it_is_judged(tmp_path):
    watcher = watch.Watcher(lambda: None)
    watcher.catch_up()  # without a thread that tells of events there is nothing to wait for
    watcher.start()
    try:
        watcher.watch_directories({str(tmp_path)})
        for number in range(300):
            name, path = f"{number}.log", tmp_path / f"{number}.log"
            path.touch()
            path.rename(tmp_path / "moved.log")
            watcher.catch_up()
            events = watcher.take()
            assert events.created == {str(path): True, str(tmp_path / "moved.log"): False}
            assert events.renames == [(str(path), str(tmp_path / "moved.log"))]
            assert (str(tmp_path), name) in events.names
    finally:
        watcher.stop()


@asynchronous
async def test_a_new_log_that_a_look_meets_before_its_event_is_a_new_log(tmp_path, monkeypatch):
    """Its banner is that of the deleted one: only the event tells that it is not a longer copy of it."""
    log, banner = tmp_path / "app.log", b"the application begins, as always\n" * 40
    log.write_bytes(banner)
    async with Following(log, timing=never_polling()) as tail:
        await tail.until_read(*banner.splitlines())
        await tail.until_armed()
        discovery, looked = tail.tailer._prospector.discovery, threading.Event()
        scan = discovery.scan

        def look():
            try:
                return scan()
            finally:
                looked.set()

        def replace():
            with tail.tailer._watcher._fd._lock:  # holds up the thread that tells of events
                log.unlink()
                log.write_bytes(banner + b"new\n")
                tail.tailer.look_soon()
                assert looked.wait(30)

        monkeypatch.setattr(discovery, "scan", look)
        await asyncio.to_thread(replace)
        await tail.until_read(*banner.splitlines() * 2, b"new")


@asynchronous
async def test_overflow_of_the_event_queue_leads_to_a_look_at_everything(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(b"one\n")
    async with Following(log, timing=never_polling()) as tail:
        await tail.until_read(b"one")
        await tail.until_armed()
        watcher = tail.tailer._watcher
        with watcher._lock:  # holds up the reading thread while the kernel's queue overflows
            one, other = tmp_path / "x.log", tmp_path / "y.log"
            one.touch()
            for _ in range(QUEUED_EVENTS):
                one.rename(other)
                other.rename(one)
            one.unlink()
            append(log, b"two\n")
        await tail.until_read(b"one", b"two")


@pytest.mark.parametrize("limit", [errno.EMFILE, errno.ENOSYS])
@asynchronous
async def test_without_inotify_files_are_polled_and_it_is_said_once(tmp_path, monkeypatch, limit):
    def refuse():
        raise OSError(limit, os.strerror(limit))

    monkeypatch.setattr(watch, "InotifyFD", refuse if limit == errno.EMFILE else None)
    log = tmp_path / "app.log"
    async with Following(tmp_path / "*.log", timing=PATIENT) as tail:
        await tail.rounds()
        log.write_bytes(b"one\n")
        await tail.until_read(b"one")
        append(log, b"two\n")
        await tail.until_read(b"one", b"two")
        log.rename(tmp_path / "app.log.1")
        log.write_bytes(b"three\n")
        await tail.until_read(b"one", b"two", b"three")
        assert tail.errors == [("SL205", "inotify", True)]
        monkeypatch.undo()
        await tail.tailer.reload(tail.sources)
        await tail.until(lambda: tail.errors[-1] == ("SL205", "inotify", False))


@asynchronous
async def test_whoever_renames_a_log_can_have_the_tailer_look_at_once(tmp_path, monkeypatch):
    """From another thread, and long before it would look by itself."""
    monkeypatch.setattr(watch, "InotifyFD", None)
    log = tmp_path / "app.log"
    log.write_bytes(b"one\n")
    rare = structs.replace(PATIENT, rescan_s=3600.0, rescan_polling_s=3600.0)
    async with Following(tmp_path / "*.log", timing=rare) as tail:
        await tail.until_read(b"one")
        log.rename(tmp_path / "app.log.1")
        log.write_bytes(b"two\n")
        await asyncio.to_thread(tail.tailer.look_soon)
        await tail.until_read(b"one", b"two")


_LIMITED = """
import asyncio, sys
sys.path[:0] = [{tests!r}, {root!r}]
from following import Following, append
async def main(folder):
    async with Following(folder + "/*.log") as tail:
        await tail.until(lambda: len(tail.lines) == 20)
        await tail.until(lambda: tail.codes() == ["SL205"])
        for number in range(20):
            append(folder + f"/{{number}}.log", b"more\\n")
        await tail.until(lambda: len(tail.lines) == 40)
        assert tail.codes() == ["SL205"], tail.errors
open("/proc/sys/user/max_inotify_{what}", "w").write({limit!r})
asyncio.run(main({folder!r}))
"""


@needs("util-linux")
@pytest.mark.parametrize(("what", "limit"), [("watches", "0"), ("watches", "5"), ("instances", "0")])
def test_reached_limits_of_the_kernel_lead_to_polling(tmp_path, what, limit):
    for number in range(20):
        (tmp_path / f"{number}.log").write_bytes(b"first\n")
    tests = str(Path(__file__).parent)
    root = str(Path(tests).parent.parent)
    script = _LIMITED.format(tests=tests, root=root, folder=str(tmp_path), what=what, limit=limit)
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unshare" in done.stderr or "/proc/sys/user" in done.stderr:
        limited("user namespaces", done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr


@asynchronous
async def test_network_file_system_is_polled_and_it_is_said_once(tmp_path, monkeypatch):
    monkeypatch.setattr(polling.files, "network_name", lambda _path: "NFS")
    log = tmp_path / "app.log"
    log.write_bytes(b"one\n")
    async with Following(log, timing=PATIENT) as tail:
        await tail.until_read(b"one")
        append(log, b"two\n")
        await tail.until_read(b"one", b"two")
        await tail.rounds(5)
        assert not tail.tailer._registry.harvesters[1].armed
        assert [code for code, *_ in tail.errors] == ["SL206"]


def test_kinds_of_file_systems_are_told_by_statfs(monkeypatch, tmp_path):
    assert files.network_name(tmp_path) in {None, "overlay"}
    assert files.network_name(tmp_path / "missing") is None

    class Libc:
        @staticmethod
        def statfs(_path, buffer):
            ctypes.c_ulong.from_buffer(buffer).value = 0x6969
            return 0

    monkeypatch.setattr(files.ctypes, "CDLL", lambda *_args, **_kwargs: Libc)
    assert files.network_name(tmp_path) == "NFS"
    monkeypatch.setattr(files.sys, "platform", "darwin")
    assert files.network_name(tmp_path) is None


def test_directory_without_permission_or_existence_is_not_watched(tmp_path):
    watcher = watch.Watcher(lambda: None)
    watcher.start()
    try:
        assert not watcher.watch_directories({str(tmp_path / "missing")})
        assert watcher.watch_directories({str(tmp_path)})
        assert not watcher.watch_directories({str(tmp_path)})
        assert not watcher.watch_directories(set())
        with pytest.raises(OSError, match="No such file"):
            watcher.arm(1, str(tmp_path / "missing"))
    finally:
        watcher.stop()
    assert not watcher.running


def test_open_file_limit_is_raised_and_leaves_room(monkeypatch):
    limits = []
    monkeypatch.setattr(files.resource, "getrlimit", lambda _which: (1024, 4096))
    monkeypatch.setattr(files.resource, "setrlimit", lambda _which, limit: limits.append(limit))
    assert files.raise_file_limit() == 4096 * 4 // 5 - 48
    assert limits == [(4096, 4096)]
    monkeypatch.setattr(files.resource, "getrlimit", lambda _which: (-1, -1))
    assert files.raise_file_limit() == 1 << 20

    def refuse(_which, _limit):
        raise ValueError

    monkeypatch.setattr(files.resource, "getrlimit", lambda _which: (32, 64))
    monkeypatch.setattr(files.resource, "setrlimit", refuse)
    assert files.raise_file_limit() == 8


_STARVED = """
import asyncio, resource, sys
sys.path[:0] = [{tests!r}, {root!r}]
from following import Following, append
async def main(folder):
    tail = Following(folder + "/*.log")
    tail.tailer._registry.descriptors.limit = 1000
    async with tail:
        await tail.until(lambda: "SL207" in tail.codes())
        assert not tail.finals
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
        await tail.until(lambda: len(tail.lines) == 60)
        await tail.until(lambda: tail.errors[-1][2] is False)
        assert not tail.finals
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 200))
import agent.tail.files as files
files.raise_file_limit = lambda: 1000
asyncio.run(main({folder!r}))
"""


def test_reached_limit_of_open_files_ends_nothing_and_is_over_when_it_is_raised(tmp_path):
    for number in range(60):
        (tmp_path / f"{number}.log").write_bytes(b"first\n")
    tests = str(Path(__file__).parent)
    script = _STARVED.format(tests=tests, root=str(Path(tests).parent.parent), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_generations_and_magic_numbers(tmp_path):
    read, write = os.pipe()
    assert generation(read) == 0
    os.close(read)
    os.close(write)
    assert same_generation(0, 5)
    assert same_generation(5, 5)
    assert not same_generation(4, 5)
    assert compression(b"plain") is None
