"""Archives: every decompressed byte once, in bounded pieces; what is damaged or cut off is never taken for whole."""

import gzip
import os

import pytest
import zstandard
from following import Following, append, asynchronous, joined, numbered
from hypothesis import given
from hypothesis import strategies as st

from agent.tail.recovery import CompressedLog, DamagedArchiveError, candidates
from tests.sources import source

CONTENT = joined(numbered(0, 5000)) + os.urandom(50_000) + bytes(300_000)


def zstd(data, *, checksum=True, level=3):
    return zstandard.ZstdCompressor(level=level, write_checksum=checksum).compress(data)


def read_all(path, most=1 << 18):
    archive = CompressedLog(str(path))
    parts = []
    try:
        while part := archive.read(most):
            assert len(part) <= most
            parts.append(part)
    finally:
        archive.close()
    assert archive.position == sum(map(len, parts))
    assert archive.recent == b"".join(parts)[-256:]
    return b"".join(parts)


@given(
    st.lists(st.tuples(st.binary(max_size=3000), st.booleans(), st.integers(-5, 19)), max_size=5),
    st.integers(1, 5000),
)
def test_frames_and_members_of_any_kind_give_their_bytes(tmp_path_factory, parts, most):
    folder = tmp_path_factory.mktemp("a", numbered=True)
    content = b"".join(data for data, _, _ in parts)
    skippable = (0x184D2A5F).to_bytes(4, "little") + (3).to_bytes(4, "little") + b"abc"
    frames = b"".join(zstd(data, checksum=check, level=level) + skippable for data, check, level in parts)
    (folder / "x.zst").write_bytes(skippable + frames)
    assert read_all(folder / "x.zst", most) == content
    (folder / "x.gz").write_bytes(b"".join(gzip.compress(data) for data, _, _ in parts) or gzip.compress(b""))
    assert read_all(folder / "x.gz", most) == content


@pytest.mark.parametrize("form", [gzip.compress, zstd, lambda data: zstd(data, checksum=False)])
def test_an_archive_cut_off_anywhere_is_damaged(tmp_path, form):
    """Also at the end of a block, where a harvester reader would see nothing wrong."""
    whole = form(CONTENT)
    path = tmp_path / "x"
    cuts = [*range(20, len(whole), len(whole) // 40), len(whole) - 9, len(whole) - 4, len(whole) - 1]
    for cut in cuts:
        path.write_bytes(whole[:cut])
        with pytest.raises(DamagedArchiveError):
            read_all(path)


@pytest.mark.parametrize("form", [gzip.compress, zstd])
def test_a_changed_byte_is_damage(tmp_path, form):
    whole = bytearray(form(CONTENT))
    whole[len(whole) // 2] ^= 0x55
    (tmp_path / "x").write_bytes(whole)
    with pytest.raises(DamagedArchiveError):
        read_all(tmp_path / "x")


def test_blocks_that_repeat_one_byte_come_in_pieces_of_a_block(tmp_path):
    """A frame of 8,000 four-byte blocks stands for 1 GB: each read gives 128 KiB at the most."""
    block = ((1 << 17 << 3) | 1 << 1).to_bytes(3, "little") + b"x"  # not last, type 1, 128 KiB
    header = b"\x28\xb5\x2f\xfd" + b"\x00" + b"\x38"  # no content size, a window of 128 KiB
    (tmp_path / "x").write_bytes(header + block * 8000)
    archive = CompressedLog(str(tmp_path / "x"))
    assert len(archive.read(1 << 30)) == 1 << 17
    archive.close()


@asynchronous
async def test_a_vanished_file_goes_on_in_its_archive(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(joined(numbered(0, 100)))
    tail = await Following(log, once=True).run_once()
    known = tail.stored()
    (tmp_path / "app.log.1.zst").write_bytes(zstd(joined(numbered(0, 5000)) + b"the end"))
    (tmp_path / "app.log.2.gz").write_bytes(gzip.compress(b"something else\n"))
    (tmp_path / "other.gz").write_bytes(gzip.compress(joined(numbered(0, 300))))
    (tmp_path / "app.log.3.gz").write_bytes(b"no archive at all")
    log.unlink()
    assert len(candidates(known[0])) == 2
    tail = await Following(log, known=known, once=True).run_once()
    assert tail.generations == [joined(numbered(100, 4900)) + b"the end"]
    assert tail.stored() == []


@asynchronous
async def test_a_file_without_an_archive_is_finished(tmp_path):
    log = tmp_path / "app.log"
    log.write_bytes(joined(numbered(0, 100)))
    known = (await Following(log, once=True).run_once()).stored()
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(joined(numbered(0, 50))))  # ends before the offset
    (tmp_path / "app.log.2.gz").write_bytes(gzip.compress(joined(numbered(0, 50)) + joined(numbered(500, 500))))
    log.unlink()
    tail = await Following(log, known=known, once=True).run_once()
    assert tail.generations == []
    assert tail.stored() == []


@asynchronous
async def test_lines_on_their_way_are_not_read_again_where_another_source_takes_a_log_that_is_being_recovered(tmp_path):
    log, lines = tmp_path / "app.log", numbered(0, 200_000)
    log.write_bytes(joined(lines[:100]))
    async with Following(log, lagging=True) as tail:
        await tail.until_read(*lines[:100])
        tail.commit()
        append(log, joined(lines[100:-10]))
        await tail.until_read(*lines[:-10])
        (tmp_path / "app.log.1.zst").write_bytes(zstd(joined(lines)))
        os.truncate(log, 0)
        await tail.until(lambda: tail.tailer._recovery.active)
        await tail.tailer.reload([source(log, name="elsewhere")])
        await tail.rounds()
        assert not tail.tailer._recovery.active
        tail.commit()
        await tail.until_read(*lines)
        assert [batch.file.source for batch in tail.batches if lines[-1] in batch.data] == ["elsewhere"]
