"""The seek table of the zstd seekable format, and skippable frames.

The format (version 0.1.0) is described in zstd's repository, contrib/seekable_format: independent frames, and at the
end a skippable frame that lists their sizes. Every zstd decompressor skips what it does not know (RFC 8878 §3.1.2).

    skippable frame: magic 0x184D2A50…5F, size of the rest (4 bytes), the rest
    seek table:      magic 0x184D2A5E, size, entries, footer
    entry:           compressed size, decompressed size, checksum (4 bytes each, the checksum only if flagged)
    footer:          number of entries (4), descriptor (1; bit 7: checksums), magic 0x8F92EAB1 (4)

All numbers are little-endian. The checksum is the lower half of the XXH64 of the content, which is also what a frame
with a content checksum ends with: it is copied from there.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

SKIPPABLE_MAGIC = 0x184D2A50  # the lower four bits are free
SEEK_TABLE_MAGIC = 0x184D2A5E
FOOTER_MAGIC = 0x8F92EAB1
FOOTER_BYTES = 9
HEADER_BYTES = 8  # of a skippable frame
MOST_FRAMES = 0x8000000  # as the format's own library has it
EMPTY_CHECKSUM = 0x51D8E999  # of no bytes at all: for entries of skippable frames
_CHECKSUMS = 0x80
_RESERVED = 0x7C  # bits of the descriptor that must be 0; the lowest two are unused and may be anything
_ENTRY = struct.Struct("<III")
_SHORT_ENTRY = struct.Struct("<II")
_HEADER = struct.Struct("<II")
_FOOTER = struct.Struct("<IBI")


class SeekEntry(NamedTuple):
    """One frame: its size in the file, the size of its content (both in bytes), and the content's checksum."""

    bytes: int
    raw_bytes: int
    checksum: int | None


class SeekTableError(ValueError):
    """There is no seek table, or it cannot be that of this file."""


def skippable(payload: bytes, magic: int = SKIPPABLE_MAGIC) -> bytes:
    """A skippable frame around some bytes."""
    return _HEADER.pack(magic, len(payload)) + payload


def encode(entries: Iterable[SeekEntry]) -> bytes:
    """The seek table frame, with checksums."""
    body = b"".join([_ENTRY.pack(entry.bytes, entry.raw_bytes, entry.checksum or 0) for entry in entries])
    footer = _FOOTER.pack(len(body) // _ENTRY.size, _CHECKSUMS, FOOTER_MAGIC)
    return skippable(body + footer, SEEK_TABLE_MAGIC)


def table_bytes(footer: bytes) -> int:
    """The size of the whole seek table frame, from the last FOOTER_BYTES bytes of a file.

    Raises:
        SeekTableError: these are no footer.
    """
    if len(footer) != FOOTER_BYTES:
        raise SeekTableError("the file is too short for a seek table")
    count, descriptor, magic = _FOOTER.unpack(footer)
    if magic != FOOTER_MAGIC:
        raise SeekTableError("it does not end with a seek table")
    if descriptor & _RESERVED or count > MOST_FRAMES:
        raise SeekTableError("its seek table is of an unknown form")
    return int(HEADER_BYTES + count * _entry(descriptor).size + FOOTER_BYTES)


def decode(frame: bytes) -> list[SeekEntry]:
    """The entries of a seek table frame.

    Raises:
        SeekTableError: it is none, or it contradicts itself.
    """
    if len(frame) < HEADER_BYTES + FOOTER_BYTES or len(frame) != table_bytes(frame[-FOOTER_BYTES:]):
        raise SeekTableError("the seek table has another length than it says")
    magic, size = _HEADER.unpack_from(frame)
    if magic != SEEK_TABLE_MAGIC or size != len(frame) - HEADER_BYTES:
        raise SeekTableError("the seek table does not begin where it should")
    entry = _entry(frame[-5])
    rows = entry.iter_unpack(frame[HEADER_BYTES:-FOOTER_BYTES])
    return [SeekEntry(row[0], row[1], row[2] if entry is _ENTRY else None) for row in rows]


def _entry(descriptor: int) -> struct.Struct:
    return _ENTRY if descriptor & _CHECKSUMS else _SHORT_ENTRY
