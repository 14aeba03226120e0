"""A rotated file is compressed at once: what was unread is read from the archive, what was read is never read again."""

import gzip
import subprocess

import pytest
import zstandard

from tests.integration.harness import event, wait_until
from tests.integration.oracle import Scribe, frozen, nudge, open_files, settled, verify
from tests.needs import needs

pytestmark = pytest.mark.measured


def gzip_members(data: bytes) -> bytes:
    """Two members, as after `gzip < more >> archive`."""
    half = len(data) // 2
    return gzip.compress(data[:half]) + gzip.compress(data[half:])


def zstd_frames(data: bytes) -> bytes:
    """Two frames with an empty skippable one between them, the second without checksum and size."""
    half = len(data) // 2
    first = zstandard.ZstdCompressor(write_checksum=True).compress(data[:half])
    skippable = (0x184D2A53).to_bytes(4, "little") + (7).to_bytes(4, "little") + b"ignored"
    second = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return first + skippable + second.compress(data[half:]) + second.flush()


FORMS = [("gz", gzip_members), ("zst", zstd_frames)]


def partly_read(box, scribe, unread=200):
    """The first lines are stored, the agent is down, more lines were written."""
    scribe.append(box.log, 300)
    box.start()
    box.wait_count(300)
    box.kill()
    scribe.append(box.log, unread)


def compress(path, suffix, form):
    path.with_name(f"{path.name}.{suffix}").write_bytes(form(path.read_bytes()))
    path.unlink()


@pytest.mark.parametrize(("suffix", "form"), FORMS)
def test_the_rest_is_read_from_the_archive_at_the_next_start(box, suffix, form):
    """Compressed while the agent was down: goes on at the offset, which counts decompressed bytes, once for ever."""
    scribe = Scribe()
    partly_read(box, scribe)
    rotated = box.logs / "app.log.1"
    box.log.rename(rotated)
    compress(rotated, suffix, form)
    scribe.append(box.log, 10)
    box.start()
    settled(box, scribe)
    assert box.sql("SELECT count(*) FROM files") == [(2,)], "the archive goes on as the file that it was"
    assert box.stop() == 0
    box.configure(include=[f"{box.logs}/app*"])
    box.start()
    nudge(box, scribe, box.log)
    verify(box, scribe)
    assert box.status()["errors"] == []


@pytest.mark.parametrize("command", [["gzip"], ["zstd", "-q", "--rm"], ["zstd", "-q", "-19", "--rm"]])
@needs("zstd")
def test_the_usual_programs_make_archives_that_are_continued(box, command):
    scribe = Scribe()
    partly_read(box, scribe, unread=6_000)
    box.log.rename(box.logs / "app.log-20261122")
    subprocess.run([*command, box.logs / "app.log-20261122"], check=True)
    box.once()
    verify(box, scribe)


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
def test_an_archive_of_a_file_that_was_read_adds_nothing(box, pattern):
    """While the agent runs: the open file is read to its end although its name is gone, and its archive is passed
    over, whether or not the pattern matches it.
    """
    box.configure(include=[f"{box.logs}/{pattern}"])
    scribe = Scribe()
    scribe.append(box.log, 200)
    box.start()
    box.wait_count(200)
    with frozen(box):
        scribe.append(box.log, 200)
        box.log.rename(box.logs / "app.log.1")
        subprocess.run(["gzip", box.logs / "app.log.1"], check=True)
        scribe.append(box.log, 5)
    settled(box, scribe)
    assert box.status()["errors"] == []
    wait_until(lambda: open_files(box.process.pid, box.logs) == [str(box.log)], what="closing the deleted file")
    box.stop()
    box.start()
    nudge(box, scribe, box.log)
    verify(box, scribe)


def test_an_archive_that_nobody_followed_is_left_alone(box):
    """Archives from before the first start, and one with the head of a known file but other lines before the offset."""
    banner = b"# " + b"=" * 1100 + b"\n"
    (box.logs / "app.log.9.gz").write_bytes(gzip.compress(b'{"message":"years ago"}\n'))
    scribe = Scribe()
    box.log.write_bytes(banner + scribe.lines(20))
    box.configure(include=[f"{box.logs}/app.log*"])
    box.start()
    box.wait_count(21)
    box.kill()
    other = Scribe("other")
    (box.logs / "app.log.2.gz").write_bytes(gzip.compress(banner + other.lines(50)))
    box.log.unlink()
    scribe.append(box.log, 5)
    box.start()
    settled(box, scribe, others=1)


def test_reading_from_an_archive_survives_a_kill_in_its_midst(box):
    scribe = Scribe()
    partly_read(box, scribe, unread=20_000)
    box.log.rename(box.logs / "app.log.1")
    compress(box.logs / "app.log.1", "gz", gzip.compress)
    for goal in (301, 5_000, 12_000):
        box.start()
        box.wait_count(goal)
        box.kill()
    box.once()
    verify(box, scribe)


def test_a_last_line_without_newline_and_a_long_one_come_from_the_archive_too(box):
    box.configure(max_line="1KiB")
    scribe = Scribe()
    partly_read(box, scribe)
    long_line = b"x" * 5000 + b"\n"
    with box.log.open("ab") as file:
        file.write(long_line + scribe.lines(3) + b"the end")
    compress(box.log, "zst", zstandard.compress)
    box.start()
    settled(box, scribe, others=1)
    assert box.sql('SELECT reason, "to" - "from" FROM gaps') == [("over_long", len(long_line))]
    assert b"the end" in box.raw()


@pytest.mark.parametrize(
    ("suffix", "form"), [("gz", gzip.compress), ("zst", zstandard.ZstdCompressor(write_checksum=True).compress)]
)
def test_a_truncated_archive_gives_what_it_has_is_named_and_is_continued_when_mended(box, suffix, form):
    scribe = Scribe()
    partly_read(box, scribe, unread=6_000)
    whole = form(box.log.read_bytes())
    archive = box.logs / f"app.log.1.{suffix}"
    archive.write_bytes(whole[: len(whole) * 3 // 4])
    box.log.unlink()
    box.configure(include=[f"{box.logs}/app.log*"])
    box.start()
    wait_until(lambda: "SL210" in box.said())
    box.wait_count(301)
    assert 300 < box.count() < len(scribe.written)
    wait_until(lambda: any(str(archive) in error["message"] for error in box.status()["errors"]), what="the condition")
    mended = box.root / "mended"
    mended.write_bytes(whole)
    mended.rename(archive)
    settled(box, scribe)
    wait_until(lambda: box.status()["healthy"], what="the condition's end")


def test_a_bomb_is_read_in_bounded_memory(box):
    """400 MB of NULs in 400 KB, behind the head and the offset of a known file: a gap, not a process that is killed."""
    scribe = Scribe()
    partly_read(box, scribe, unread=0)
    known = box.log.read_bytes()
    box.log.unlink()
    with gzip.open(box.logs / "app.log.1.gz", "wb", compresslevel=1) as archive:
        archive.write(known)
        for _ in range(400):
            archive.write(bytes(1_000_000))
        archive.write(b"\n" + scribe.lines(2))
    done = box.run("run", "--once", preexec_fn=lambda: _limit_memory(600 << 20))
    assert done.returncode == 0, done.stderr
    verify(box, scribe)
    assert box.sql('SELECT sum("to" - "from") FROM gaps')[0][0] >= 400_000_000


def _limit_memory(size_bytes):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (size_bytes, size_bytes))


def test_a_window_larger_than_is_decompressed_is_said(box):
    scribe = Scribe()
    partly_read(box, scribe, unread=0)
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = box.log.read_bytes() + event(1)
    (box.logs / "app.log.1.zst").write_bytes(compressor.compress(data) + compressor.flush())
    box.log.unlink()
    done = box.once()
    assert b"SL210" in done.stderr
    assert b"window" in done.stderr
    verify(box, scribe)


def test_copytruncate_with_compression_gives_the_unread_lines_from_the_archive(box):
    """The copy was compressed before the agent could look, and the truncated file has grown again."""
    scribe = Scribe()
    scribe.append(box.log, 100)
    box.start()
    box.wait_count(100)
    with frozen(box):
        scribe.append(box.log, 100)
        (box.logs / "app.log.1.gz").write_bytes(gzip.compress(box.log.read_bytes()))
        box.log.open("wb").close()
        scribe.append(box.log, 3)
    settled(box, scribe)
