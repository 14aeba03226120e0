"""The seek table says exactly what the published format says."""

import struct

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.archive import seekable
from agent.archive.seekable import SeekEntry, SeekTableError

sizes = st.integers(0, 2**32 - 1)
entries = st.lists(st.builds(SeekEntry, sizes, sizes, sizes), max_size=40)


@given(entries)
@settings(deadline=None)
def test_a_table_reads_back_as_it_was_written(rows):
    frame = seekable.encode(rows)
    assert seekable.table_bytes(frame[-9:]) == len(frame) == 17 + 12 * len(rows)
    assert seekable.decode(frame) == rows


def test_the_bytes_are_those_of_the_format():
    """Written out by hand from the description of the format, version 0.1.0."""
    frame = seekable.encode([SeekEntry(100, 1000, 0xAABBCCDD)])
    assert frame == (
        bytes.fromhex("5e2a4d18")  # Skippable_Magic_Number
        + (21).to_bytes(4, "little")  # Frame_Size
        + bytes.fromhex("64000000e8030000ddccbbaa")  # the entry
        + bytes.fromhex("01000000" + "80" + "b1ea928f")  # Number_Of_Frames, descriptor, Seekable_Magic_Number
    )


def test_a_table_without_checksums_is_read_too():
    body = struct.pack("<IIII", 5, 50, 6, 60) + struct.pack("<IBI", 2, 0, 0x8F92EAB1)
    assert seekable.decode(seekable.skippable(body, 0x184D2A5E)) == [SeekEntry(5, 50, None), SeekEntry(6, 60, None)]


def test_zstd_skips_what_it_does_not_know():
    data = zstandard.ZstdCompressor().compress(b"log\n")
    whole = data + seekable.skippable(b"hidden", 0x184D2A51) + seekable.encode([SeekEntry(len(data), 4, 0)])
    reader = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)
    assert reader.decompress(whole) == b"log\n"


def test_the_checksum_of_nothing_is_that_of_an_empty_frame():
    empty = zstandard.ZstdCompressor(write_checksum=True).compress(b"")
    assert int.from_bytes(empty[-4:], "little") == seekable.EMPTY_CHECKSUM


@given(entries, st.data())
@settings(deadline=None)
def test_no_damage_is_taken_for_another_table_silently(rows, data):
    """A byte changed outside of the entries, or bytes missing, is an error; never an exception of another kind."""
    frame = bytearray(seekable.encode(rows))
    fixed = [*range(8), *range(len(frame) - 9, len(frame) - 5), *range(len(frame) - 4, len(frame))]
    place = data.draw(st.sampled_from(fixed))
    frame[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SeekTableError):
        seekable.decode(bytes(frame))
    with pytest.raises(SeekTableError):
        seekable.decode(bytes(seekable.encode(rows)[: data.draw(st.integers(0, 16 + 12 * len(rows)))]))


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_a_table_or_an_error(data):
    try:
        found = seekable.decode(data)
    except SeekTableError:
        return
    assert len(found) <= len(data) / 8


def test_a_reserved_bit_makes_the_form_unknown():
    frame = bytearray(seekable.encode([]))
    frame[-5] |= 0x40
    with pytest.raises(SeekTableError, match="unknown form"):
        seekable.decode(bytes(frame))
