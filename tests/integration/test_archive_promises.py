"""What an archive promises beside being there: order, permissions, memory, the bar, and other programs that read it."""

import contextlib
import gzip
import os
import pty
import stat
import subprocess
import sys

import pytest
import zstandard

from tests.integration.archiving import age, archives, configure, leftovers, run, tells_writers, unpacked
from tests.integration.harness import SIDELOG, append, events, wait_until
from tests.integration.oracle import change_store
from tests.needs import limited, needs

pytestmark = needs("zstd")

MIB = 1 << 20
ODD = b'one\r\n\xff\xfe \x80 latin\n\0\0\0\n\n\n\ttwo\x85\xe2\x80\xa8same line\n\r\n{"n": 1}\nlast without its newline'


@pytest.fixture
def box(quick_box):
    configure(quick_box)
    (quick_box.logs / "app.log").write_bytes(events(0, 1))
    return quick_box


def test_odd_bytes_come_back_as_they_were(box, tmp_path):
    """CRLF, bytes that are no UTF-8, NULs, empty lines, other line ends, no newline at the end."""
    (box.logs / "app.log.1").write_bytes(ODD)
    assert run(box)["archived"] == 1
    [path] = archives(box)
    assert unpacked(path) == ODD
    assert box.run("archive", "cat", path.name).stdout == ODD
    old_mask = os.umask(0)
    try:
        assert box.run("archive", "restore", path.name, str(tmp_path / "back")).returncode == 0
    finally:
        os.umask(old_mask)
    assert (tmp_path / "back").read_bytes() == ODD
    assert stat.S_IMODE((tmp_path / "back").stat().st_mode) == 0o600


def test_an_archive_may_never_be_read_by_more_than_its_log(box):
    """Whatever the umask; and what its log could do beside being read and written is gone."""
    modes = {1: 0o640, 2: 0o600, 3: 0o6755, 4: 0o1666}
    for number, mode in modes.items():
        path = box.logs / f"app.log.{number}"
        path.write_bytes(b"line %d\n" % number)
        age(path, 1000 - number)
        path.chmod(mode)
    old_mask = os.umask(0)
    try:
        assert run(box)["archived"] == 4
    finally:
        os.umask(old_mask)
    assert [stat.S_IMODE(path.stat().st_mode) for path in archives(box)] == [0o640, 0o600, 0o644, 0o666]
    folder = archives(box)[0].parent
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent, box.store.parent)] == [0o700] * 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in box.store.parent.glob("sidelog.db*")} == {0o600}


def test_the_level_is_the_one_that_is_configured(box):
    data = events(0, 3000)
    for name, level in (("app.log.1", 1), ("app.log.2", 19)):
        configure(box, level=level)
        (box.logs / name).write_bytes(data)
        assert run(box)["archived"] == 1
    fast, small = (path.stat().st_size for path in archives(box))
    assert small < fast * 0.95


def test_the_filters_take_at_most_four_bytes_an_event(box):
    lines = [b'{"id":"%032x","of":"%032x","to":"%032x"}\n' % (n, n << 70, n << 40) for n in range(1, 9001)]
    (box.logs / "app.log.1").write_bytes(b"".join(lines))
    run(box)
    [[filters, frames_events]] = box.sql(
        "SELECT (SELECT sum(length(blocks)) FROM archive_filters), (SELECT sum(events) FROM archive_frames)"
    )
    assert frames_events == 9000
    assert 9000 < filters <= 4 * 9000


def test_two_archives_in_each_others_place_are_noticed(box):
    for number in (2, 1):
        (box.logs / f"app.log.{number}").write_bytes(events(number * 10, 5))
        age(box.logs / f"app.log.{number}", number)
    run(box)
    first, second = archives(box)
    first.rename(first.with_name("x"))
    second.rename(first)
    first.with_name("x").rename(second)
    done = box.run("archive", "verify")
    assert (done.returncode, done.stderr.count(b"error[SL803]")) == (1, 2)


def test_rows_in_another_order_break_the_chain(box):
    for number in (3, 2, 1):
        (box.logs / f"app.log.{number}").write_bytes(events(number * 10, 5))
        age(box.logs / f"app.log.{number}", number)
    run(box)
    change_store(box, "UPDATE archives SET sequence = 3 - sequence WHERE sequence IN (1, 2)")
    done = box.run("archive", "verify")
    assert done.returncode == 1
    assert b"error[SL809]" in done.stderr
    assert str(archives(box)[1]).encode() in done.stderr


def test_logs_with_the_same_name_and_the_same_first_instant_get_archives_of_their_own(box):
    data = events(1, 1)
    for number, rest in ((1, b"one\n"), (2, b"two\n")):
        (box.logs / f"app.log.{number}").write_bytes(data + rest)
    run(box)
    paths = archives(box)
    assert [path.name.rpartition("-")[0] for path in paths] == [paths[0].name.rpartition("-")[0]] * 2
    assert sorted(map(unpacked, paths)) == [data + b"one\n", data + b"two\n"]


def test_a_bar_is_drawn_on_a_terminal_and_the_sum_said(box):
    (box.logs / "app.log.1").write_bytes(events(1, 50))
    lead, follow = pty.openpty()
    command = [*SIDELOG, "archive", "run", "-c", str(box.config)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=follow, stdout=follow, env=box.env) as process:
        os.close(follow)
        seen = b""
        with contextlib.suppress(OSError):  # EIO: the other end has closed
            while data := os.read(lead, 65536):
                seen += data
        assert process.wait(30) == 0
    os.close(lead)
    assert b"archiving" in seen
    assert b"100%" in seen
    assert b"app.log.1" in seen
    assert b"1 log archived" in seen


def test_every_command_of_zstd_reads_an_archive(box, tmp_path):
    data = events(1, 5000)
    (box.logs / "app.log.1").write_bytes(data)
    run(box)
    [path] = archives(box)
    subprocess.run(["zstd", "-dq", path, "-o", tmp_path / "plain"], check=True)
    assert (tmp_path / "plain").read_bytes() == data
    assert subprocess.run(["zstdcat", path], capture_output=True, check=True).stdout == data
    assert subprocess.run(["zstd", "-tq", path], check=False).returncode == 0
    listed = subprocess.run(["zstd", "-l", path], capture_output=True, text=True, check=True).stdout
    assert "XXH64" in listed
    whole = path.read_bytes()
    path.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    assert subprocess.run(["zstd", "-tq", path], capture_output=True, check=False).returncode != 0


def test_a_log_that_is_still_written_is_archived_when_it_is_not_any_more(box):
    """Given up in the middle, and tried again by the next run."""
    old = box.logs / "app.log.1"
    old.write_bytes(events(0, 10))
    if not tells_writers(box.root):
        limited("leases")
    with old.open("ab") as writer:
        summary = run(box)
        assert (summary["archived"], summary["waiting"]) == (0, 1)
        writer.write(events(10, 10))
    assert leftovers(box) == archives(box) == []
    assert run(box)["archived"] == 1
    [path] = archives(box)
    assert unpacked(path).count(b"\n") == 20
    assert not old.exists()


# ---------------------------------------------------------------- memory


MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
print(usage.ru_maxrss, process.returncode)
"""


def peak_bytes(box, *arguments: str) -> tuple[int, int]:
    """The most memory that a command, or a process that it started, took; and its exit code.

    A process is reckoned to have had what its parent had when it was forked, so that a small one starts it.
    """
    command = [sys.executable, "-S", "-c", MEASURE, *SIDELOG, *arguments, "-c", str(box.config)]
    done = subprocess.run(command, env=box.env, cwd=box.root, capture_output=True, check=True)
    peak_kib, code = map(int, done.stdout.split())
    return peak_kib * 1024, code


LONG_LINE = b'{"timestamp":"2026-11-22T03:04:05Z","message":"' + b"a" * (MIB - 50) + b'"}\n'


@pytest.mark.parametrize(
    ("suffix", "content", "times"),
    [
        ("gz", LONG_LINE, 160),
        pytest.param("zst", bytes(MIB), 160, marks=pytest.mark.soak),
        pytest.param("gz", bytes(MIB), 10_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
        pytest.param("gz", LONG_LINE, 10_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
    ],
    ids=["long lines", "one line", "one line of 10 GB", "10 GB of long lines"],
)
def test_what_decompresses_to_a_thousand_times_its_size_takes_bounded_memory(box, suffix, content, times):
    """In archiving, verifying and searching it."""
    pack = gzip.compress if suffix == "gz" else zstandard.compress
    (box.logs / f"app.log.1.{suffix}").write_bytes(pack(content) * times)
    peak, code = peak_bytes(box, "archive", "run")
    assert code == 0
    assert box.sql("SELECT raw_bytes FROM archives") == [(times * len(content),)]
    assert archives(box)[0].stat().st_size < times * len(content) / 500
    assert peak < 192 * MIB
    for arguments in (("query", "needle", "--archives"), ("archive", "verify")):
        peak, code = peak_bytes(box, *arguments)
        assert code == 0
        assert peak < 192 * MIB, arguments


def test_archiving_begins_again_after_the_agent_was_ended_in_the_middle(box):
    """SIGTERM in the middle of a log: nothing is left of it, and the next agent does it."""
    line = b'{"timestamp":"2026-11-22T03:04:05Z","message":"the same","n":1}\n'
    (box.logs / "app.log.1.zst").write_bytes(zstandard.compress(line * 300_000, 1))
    box.start()
    wait_until(lambda: leftovers(box) or archives(box), what="the beginning of an archive")
    assert box.stop() == 0
    if not archives(box):
        assert (box.logs / "app.log.1.zst").exists()
    append(box.log, events(5, 1))
    assert run(box)["failed"] == []
    assert len(archives(box)) == 1
    assert leftovers(box) == []


def test_where_there_is_nothing_to_archive_it_is_said_what_is_looked_for(box):
    (box.logs / "app-errors.txt").write_bytes(b"other\n")
    done = box.run("archive", "run")
    assert done.returncode == 0
    assert b"0 logs archived: nothing new beside the files that `include` matches" in done.stderr
    assert box.run("archive", "run", "-q").stderr == b""
