"""The whole file against a decoder that knows nothing of sidelog: written after the descriptions of the seekable format
(zstd, contrib/seekable_format, 0.1.0), of frames (RFC 8878) and of XXH64.
"""

import random
import struct
import zlib

import pytest
import zstandard

from tests.archive.making import write

MASK = (1 << 64) - 1
PRIMES = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)


def rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & MASK


def step(lane: int, word: int) -> int:
    return rotated((lane + word * PRIMES[1]) & MASK, 31) * PRIMES[0] & MASK


def xxh64(data: bytes) -> int:
    """The hash with seed 0."""
    place = 0
    found = PRIMES[4]
    if len(data) >= 32:
        lanes = [(PRIMES[0] + PRIMES[1]) & MASK, PRIMES[1], 0, -PRIMES[0] & MASK]
        while place + 32 <= len(data):
            words = struct.unpack_from("<4Q", data, place)
            lanes = [step(lane, word) for lane, word in zip(lanes, words, strict=True)]
            place += 32
        found = sum(rotated(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & MASK
        for lane in lanes:
            found = ((found ^ step(0, lane)) * PRIMES[0] + PRIMES[3]) & MASK
    found = (found + len(data)) & MASK
    while place + 8 <= len(data):
        [word] = struct.unpack_from("<Q", data, place)
        found = (rotated(found ^ step(0, word), 27) * PRIMES[0] + PRIMES[3]) & MASK
        place += 8
    if place + 4 <= len(data):
        [word] = struct.unpack_from("<I", data, place)
        found = (rotated(found ^ word * PRIMES[0] & MASK, 23) * PRIMES[1] + PRIMES[2]) & MASK
        place += 4
    for byte in data[place:]:
        found = rotated(found ^ byte * PRIMES[4] & MASK, 11) * PRIMES[0] & MASK
    found = (found ^ found >> 33) * PRIMES[1] & MASK
    found = (found ^ found >> 29) * PRIMES[2] & MASK
    return found ^ found >> 32


@pytest.mark.parametrize("size", [0, 1, 3, 4, 7, 8, 31, 32, 33, 100])
def test_the_hash_of_this_test_is_the_one_that_zstd_writes(size):
    data = bytes(range(size))
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    assert xxh64(data) & 0xFFFFFFFF == int.from_bytes(packed[-4:], "little")


def decoded(data: bytes) -> list[tuple[bytes, bytes]]:
    """Each frame that the seek table lists, and its content."""
    count, descriptor, magic = struct.unpack("<IBI", data[-9:])
    assert magic == 0x8F92EAB1
    assert descriptor & 0x80, "checksums"
    assert not descriptor & 0x7C, "reserved bits"
    body = data[-9 - 12 * count : -9]
    table = 8 + len(body) + 9
    assert struct.unpack("<II", data[-table:][:8]) == (0x184D2A5E, len(body) + 9)
    found, place = [], 0
    for size, raw_size, checksum in struct.iter_unpack("<III", body):
        frame = data[place : place + size]
        place += size
        [frame_magic] = struct.unpack_from("<I", frame)
        content = b""
        if frame_magic & 0xFFFFFFF0 != 0x184D2A50:
            assert frame_magic == 0xFD2FB528
            assert frame[4] & 0x04, "Content_Checksum_flag"
            content = zstandard.ZstdDecompressor().decompressobj().decompress(frame)
        else:
            assert struct.unpack_from("<I", frame, 4) == (size - 8,)
        assert len(content) == raw_size
        assert checksum == xxh64(content) & 0xFFFFFFFF
        found.append((frame, content))
    assert place == len(data) - table, "the table lists everything before it"
    return found


def test_the_seek_table_tells_where_every_frame_is_and_what_it_holds(tmp_path):
    choice = random.Random(7)
    frames = [choice.randbytes(choice.randint(1, 400)) + b"\n" * choice.randint(0, 90) for _ in range(7)]
    write(tmp_path / "x", *frames)
    found = decoded((tmp_path / "x").read_bytes())
    assert [content for _, content in found] == [*frames, b""]
    assert [frame[4] >> 6 or frame[4] >> 5 & 1 for frame, _ in found[:-1]] != [0] * 7, "each says its content's size"
    assert zlib.crc32(b"".join(content for _, content in found)) == zlib.crc32(b"".join(frames))
