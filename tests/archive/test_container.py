"""An archive gives back every byte, any zstd reads it, and no damage goes unnoticed."""

import contextlib
import hashlib
import os
import resource
import struct
import subprocess
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.archive import seekable
from agent.archive.container import ArchiveReader, ArchiveWriter, FrameLocation
from agent.archive.metadata import METADATA_MAGIC
from agent.archive.packed import MOST_FRAME_BYTES
from agent.archive.seekable import SeekEntry
from agent.core.errors import ArchiveError
from agent.core.simd import digest
from tests.archive.making import metadata, write
from tests.needs import needs

contents = st.lists(st.binary(min_size=1, max_size=300), max_size=8)


@given(contents, st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_byte_for_byte(tmp_path_factory, frames, level):
    path = tmp_path_factory.mktemp("a") / "x.zst"
    link = write(path, *frames, level=level)
    data = b"".join(frames)
    with ArchiveReader(path) as archive:
        assert list(archive.contents()) == frames
        assert [archive.read(number) for number in reversed(range(len(frames)))] == frames[::-1]
        assert archive.link == link
        assert archive.metadata.sha256 == hashlib.sha256(data).hexdigest()
        assert [frame.raw_offset for frame in archive.frames] == [
            sum(map(len, frames[:number])) for number in range(len(frames))
        ]
        archive.check()
    whole = path.read_bytes()
    assert zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress(whole) == data


def test_the_writer_counts_what_it_is_given(tmp_path):
    with (tmp_path / "x").open("wb") as file:
        writer = ArchiveWriter(file, 3)
        first, second = writer.add(b"one\ntwo\n", 2), writer.add(b"three", 1)
        assert first == FrameLocation(0, first.bytes, 0, 8)
        assert second == FrameLocation(first.bytes, second.bytes, 8, 5)
        assert (writer.lines, writer.all_lines, writer.raw_bytes) == (2, 3, 13)
        assert writer.sha256 == hashlib.sha256(b"one\ntwo\nthree").hexdigest()


@needs("zstd")
def test_the_zstd_command_reads_and_checks_it(tmp_path):
    path = tmp_path / "app.log.zst"
    write(path, b"one\n" * 1000, b"two\n" * 1000)
    for command in (["zstd", "-dc"], ["zstdcat"]):
        shown = subprocess.run([*command, path], capture_output=True, check=True)
        assert shown.stdout == b"one\n" * 1000 + b"two\n" * 1000
    assert subprocess.run(["zstd", "-t", path], capture_output=True, check=False).returncode == 0
    listed = subprocess.run(["zstd", "-lv", path], capture_output=True, check=True).stdout
    assert b"XXH64" in listed


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_flipped_bit_goes_unnoticed(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("a")
    write(folder / "x", b"the first frame\n" * 20, b"the second\n" * 30)
    damaged = bytearray((folder / "x").read_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (folder / "y").write_bytes(damaged)
    with ArchiveReader(folder / "x") as archive:
        good = archive.link, list(archive.frames), archive.metadata
    found = None
    with contextlib.suppress(ArchiveError), ArchiveReader(folder / "y") as archive:
        archive.check()
        found = archive.link, list(archive.frames), archive.metadata
    # A bit of a seek table's unused fields, or of a checksum that only stands there, may differ: nothing that is read.
    assert found in (None, good)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_cut_archive_is_damaged_and_never_just_shorter(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("a")
    write(folder / "x", b"the first frame\n" * 20, b"the second\n" * 30)
    whole = (folder / "x").read_bytes()
    (folder / "y").write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ArchiveError, match="is damaged") as raised:
        ArchiveReader(folder / "y")
    assert raised.value.code == "SL803"


def test_a_missing_or_unreadable_archive_is_named(tmp_path):
    with pytest.raises(ArchiveError, match="none is missing") as raised:
        ArchiveReader(tmp_path / "none")
    assert (raised.value.code, raised.value.subject) == ("SL802", str(tmp_path / "none"))
    (tmp_path / "link").symlink_to(tmp_path / "none")
    with pytest.raises(ArchiveError, match="cannot be read"):
        ArchiveReader(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArchiveError, match="cannot be read"):
        ArchiveReader(tmp_path / "pipe")


def foreign(path, data: bytes, payload: bytes, *, raw_bytes: int | None = None, magic: int = METADATA_MAGIC) -> None:
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    said = seekable.skippable(payload, magic)
    rows = [
        SeekEntry(len(packed), raw_bytes or len(data), int.from_bytes(packed[-4:], "little")),
        SeekEntry(len(said), 0, 0),
    ]
    path.write_bytes(packed + said + seekable.encode(rows))


def said(text: bytes) -> bytes:
    return b"sidelog\0" + hashlib.sha256(text).digest() + text


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"somebody else's {}",
        b"sidelog\0{}",
        b"S" * 60,
        said(b"{"),
        said(b'{"id": 1}'),
        said(b"\xff"),
        said(b"[" * 9999),
    ],
)
def test_somebody_elses_file_is_no_archive(tmp_path, payload):
    foreign(tmp_path / "x", b"a\n", payload)
    with pytest.raises(ArchiveError) as raised:
        ArchiveReader(tmp_path / "x")
    assert raised.value.code == "SL803"


def test_a_seekable_file_without_metadata_is_no_archive(tmp_path):
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(b"a\n")
    (tmp_path / "x").write_bytes(packed + seekable.encode([SeekEntry(len(packed), 2, 0)]))
    with pytest.raises(ArchiveError, match="did not make it"):
        ArchiveReader(tmp_path / "x")


@contextlib.contextmanager
def opened(path):
    with ArchiveReader(path) as archive:
        yield archive


def test_a_bomb_is_refused_before_it_is_decompressed(tmp_path):
    """A frame that claims, or has, more than any frame of ours is not given memory."""
    from agent.archive.metadata import encoder

    payload = said(encoder.encode(metadata(b"a\n")))
    foreign(tmp_path / "x", b"a\n" * 50, payload, raw_bytes=7)
    with opened(tmp_path / "x") as archive, pytest.raises(ArchiveError, match="another size"):
        archive.read(0)
    foreign(tmp_path / "y", bytes(MOST_FRAME_BYTES + 1), payload)
    with opened(tmp_path / "y") as archive, pytest.raises(ArchiveError, match="another size"):
        archive.read(0)


def test_swapped_frames_are_noticed(tmp_path):
    """Each is whole, but the hash of all says that this is not the log."""
    write(tmp_path / "x", b"first\n", b"other\n")
    with (tmp_path / "y").open("wb") as file:
        writer = ArchiveWriter(file, 3)
        writer.add(b"other\n", 1)
        writer.add(b"first\n", 1)
        writer.finish(metadata(b"first\nother\n"))
    with opened(tmp_path / "y") as archive, pytest.raises(ArchiveError, match="not the one that was archived"):
        archive.check()


def test_reading_fails_by_name_when_the_file_shrinks(tmp_path):
    write(tmp_path / "x", b"first\n" * 1000)
    with opened(tmp_path / "x") as archive:
        archive.drop_cache()
        os.truncate(tmp_path / "x", 10)
        with pytest.raises(ArchiveError, match="ends early"):
            archive.read(0)


@pytest.mark.parametrize("count", [1 << 20, 0x8000000])
def test_a_seek_table_that_claims_more_frames_than_there_can_be_is_refused_before_it_is_read(tmp_path, count):
    write(tmp_path / "x", b"first\n")
    with (tmp_path / "x").open("r+b") as file:
        file.truncate(count * 12 + (1 << 30))  # sparse
        file.seek(0, os.SEEK_END)
        file.write(struct.pack("<IBI", count, 0x80, 0x8F92EAB1))
    with limited_memory(1 << 28), pytest.raises(ArchiveError, match="is damaged"):
        ArchiveReader(tmp_path / "x")


def test_a_seek_table_with_a_huge_frame_is_refused_before_it_is_read(tmp_path):
    """Three sparse GiB that are said to be one frame."""
    from agent.archive.metadata import encoder

    payload = seekable.skippable(said(encoder.encode(metadata(b"a\n"))), METADATA_MAGIC)
    table = seekable.encode([SeekEntry(3 << 30, 2, 0), SeekEntry(len(payload), 0, 0)])
    with (tmp_path / "x").open("wb") as file:
        file.truncate(3 << 30)
        file.seek(0, os.SEEK_END)
        file.write(payload + table)
    with limited_memory(1 << 28), opened(tmp_path / "x") as archive, pytest.raises(ArchiveError, match="is damaged"):
        archive.read(0)


@contextlib.contextmanager
def limited_memory(more_bytes: int):
    """This process can take so much more address space and not more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


FRAMES = [b"one\ntwo\n", b"three\n"]


@pytest.fixture
def digests(tmp_path):
    """Of an archive that was written just now, as the writer noted them."""
    with (tmp_path / "x").open("wb") as file:
        writer = ArchiveWriter(file, 3)
        for frame in FRAMES:
            writer.add(frame, frame.count(b"\n"))
        writer.finish(metadata(b"".join(FRAMES)))
    return writer.digests


def test_what_is_read_back_is_what_the_writer_was_given(tmp_path, digests):
    with opened(tmp_path / "x") as archive:
        archive.compare(digests)


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([b"one\ntwo\n", b"thref\n"], {}),
        (FRAMES[::-1], {}),
        (FRAMES[:1], {}),
        ([*FRAMES, b"four\n"], {}),
        (FRAMES, {"lines": 4}),
        (FRAMES, {"raw_bytes": 13}),
    ],
)
def test_a_whole_archive_of_anything_else_is_not(tmp_path, digests, frames, says):
    write(tmp_path / "x", *frames, **says)
    with opened(tmp_path / "x") as archive, pytest.raises(ArchiveError, match="not the one that was archived"):
        archive.compare(digests)


@given(st.binary(min_size=1, max_size=5000), st.data())
def test_a_flipped_bit_makes_another_digest(content, data):
    changed = bytearray(content)
    changed[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert digest(bytes(changed)) != digest(content)
