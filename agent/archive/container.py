r"""The archive file: zstd frames of whole events, then what the archive says of itself, then the seek table.

    frame, frame, …          one per about 1 MiB of log, each with its content size and checksum; of a redacted log also
                             its positions behind a frame, where these are not the log's (`positions`)
    skippable frame          what the archive says of itself (`metadata`)
    seek table               of all frames before it (`seekable`)

`zstd -d` gives the log byte for byte, or as it is redacted.
"""

from __future__ import annotations

import os
import stat
from itertools import zip_longest
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self

import zstandard

from agent.archive import positions, seekable
from agent.archive.metadata import (
    MOST_METADATA_BYTES,
    REDACTED_VERSION,
    VERSION,
    ArchiveMetadata,
    MetadataError,
    decode_metadata,
    encode_metadata,
)
from agent.archive.packed import MOST_PACKED_BYTES, bytes_at, decompressor, unpack
from agent.archive.positions import PositionsError
from agent.archive.seekable import SeekEntry, SeekTableError
from agent.core.errors import ArchiveError
from agent.core.simd import count, digest
from agent.core.text import OPEN_FLAGS

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from agent.parse.logredactor import Positions

FRAME_BYTES = 1 << 20  # of log: larger ones compress 1 % better and cost a search more where few lines match
_MOST_TABLE_BYTES = 1 << 23  # of 700,000 frames, as of 700 GB of log
_TUNED_LEVEL = 3
_OTHER_CONTENT = "its content is not the one that was archived"


class FrameLocation(NamedTuple):
    """Where a frame lies in the archive and its content in the log; all in bytes."""

    offset: int
    bytes: int
    raw_offset: int
    raw_bytes: int


class ArchiveWriter:
    """Writes frames into an open, empty file.

    Args:
        file: binary, unbuffered or not; flushing and syncing is its owner's.
        level: of zstd's compression.
    """

    def __init__(self, file: BinaryIO, level: int) -> None:
        self._file = file
        self._compressor = zstandard.ZstdCompressor(compression_params=_parameters(level))
        self._entries: list[SeekEntry] = []
        self._hash = content_hash()
        self._offset = 0
        self.raw_bytes = 0
        self.lines = 0
        self.digests: list[int] = []  # of each frame's content, for ArchiveReader.compare
        self._positions_hash = content_hash()
        self.shift = 0  # by so many bytes the log is longer than the content
        self._open_line = False

    def add(self, data: bytes, lines: int) -> FrameLocation:
        """Append a frame.

        Args:
            data: its content.
            lines: how many are in it, one without its newline included.

        Raises:
            OSError: the disk is full, or fails.
        """
        self.digests.append(digest(data))
        packed = self._compressor.compress(data)
        frame = FrameLocation(self._offset, len(packed), self.raw_bytes, len(data))
        self._put(packed, SeekEntry(len(packed), len(data), int.from_bytes(packed[-4:], "little")))
        self._hash.update(data)
        self.raw_bytes += len(data)
        self._open_line = not data.endswith(b"\n")
        self.lines += lines - self._open_line
        return frame

    def add_positions(self, found: Positions) -> None:
        """Say where the events of the frame that was added last are in the log.

        Raises:
            OSError: the disk is full, or fails.
        """
        if not found.ends:
            return
        frame = positions.encode(found)
        self._put(frame, SeekEntry(len(frame), 0, seekable.EMPTY_CHECKSUM))
        self._positions_hash.update(frame)
        self.shift += found.shift

    @property
    def positions_sha256(self) -> str:
        """Of all positions so far."""
        return self._positions_hash.hexdigest()

    @property
    def sha256(self) -> str:
        """Of all content so far."""
        return self._hash.hexdigest()

    @property
    def all_lines(self) -> int:
        """The lines so far, one without its newline included."""
        return self.lines + self._open_line

    def finish(self, metadata: ArchiveMetadata) -> str:
        """Write metadata and seek table; the link of the archive.

        Raises:
            OSError: the disk is full, or fails.
        """
        frame, link = encode_metadata(metadata)
        self._put(frame, SeekEntry(len(frame), 0, seekable.EMPTY_CHECKSUM))
        self._file.write(seekable.encode(self._entries))
        return link

    def _put(self, data: bytes, entry: SeekEntry) -> None:
        self._file.write(data)
        self._entries.append(entry)
        self._offset += len(data)


def content_hash() -> hashlib._Hash:
    """SHA-256 of content to come."""
    import hashlib  # noqa: PLC0415 - 3 ms, which who only opens an archive need not pay

    return hashlib.sha256()


class _Tally:
    """Size and lines of the content that goes by."""

    def __init__(self) -> None:
        self._bytes = 0
        self._lines = 0
        self._last = b"\n"

    def add(self, data: bytes) -> None:
        self._bytes += len(data)
        self._lines += count(data, b"\n")
        self._last = data[-1:]

    def fits(self, said: ArchiveMetadata) -> bool:
        return (self._bytes, self._lines + (self._last != b"\n")) == (said.raw_bytes, said.lines)


def _parameters(level: int) -> zstandard.ZstdCompressionParameters:
    """Of zstd, for frames of log.

    At level 3, short matches are mostly parts of numbers and ids, and cost more than they save. Matches of 7 bytes,
    looked for in one table of 32 KiB, which the first cache holds, take 0.6 to 0.8 of the time; JSON lines and the sets
    of LogHub become 5 to 15 % smaller than at plain level 3, logs of a package manager 1 to 3 % larger.
    """
    tables = {"strategy": zstandard.STRATEGY_FAST, "min_match": 7, "hash_log": 13} if level == _TUNED_LEVEL else {}
    return zstandard.ZstdCompressionParameters(
        compression_level=level, write_checksum=True, write_content_size=True, **tables
    )


class DamagedEndError(ArchiveError):
    """What stands behind the frames of an archive is damaged, so that it does not say what it is, or where they are."""


class ArchiveReader:
    """An open archive. Nothing that it holds can make this take more memory than MOST_FRAME_BYTES and a little.

    Raises:
        ArchiveError: SL802 it is missing or cannot be read; SL803 it is no archive of sidelog that can be read.
        DamagedEndError: SL803, it is damaged behind its frames.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | OPEN_FLAGS)
        except OSError as error:
            raise ArchiveError.of("SL802", path, why=error) from None
        try:
            status = os.fstat(self._fd)
            self.bytes = status.st_size if stat.S_ISREG(status.st_mode) else 0
            entries = self._table()
            self.frames, self._positions, place = _frames(entries)
            self._checksums = [entry.checksum for entry in entries if entry.raw_bytes]
            self.metadata, self.link = self._metadata(place)
        except BaseException:
            os.close(self._fd)
            raise
        self._decompressor = decompressor()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self, number: int) -> bytes:
        """The content of one frame.

        Raises:
            ArchiveError: SL803, it is damaged.
        """
        frame = self.frames[number]
        if frame.bytes > MOST_PACKED_BYTES:
            raise ArchiveError.of("SL803", self.path, why=f"frame {number} is larger than any frame can be")
        packed = self._at(frame.offset, frame.bytes)
        data = unpack(self._decompressor, packed, self.path, number, frame.raw_bytes)
        checksum = self._checksums[number]
        if len(data) != frame.raw_bytes or checksum != int.from_bytes(packed[-4:], "little"):
            raise ArchiveError.of("SL803", self.path, why=f"frame {number} is not the one that the seek table lists")
        return data

    def contents(self) -> Iterator[bytes]:
        """The content of all frames, in order.

        Raises:
            ArchiveError: SL803, at the frame that is damaged.
        """
        for number in range(len(self.frames)):
            yield self.read(number)

    def positions(self, number: int) -> Positions:
        """Where the events of a frame are in the log.

        Raises:
            ArchiveError: SL803, it is damaged.
        """
        place = self._positions.get(number)
        if place is None:
            return positions.NONE
        if place[1] > MOST_PACKED_BYTES:
            raise ArchiveError.of("SL803", self.path, why=f"the positions of frame {number} are larger than any can be")
        try:
            return positions.decode(self._at(*place))
        except PositionsError as error:
            raise ArchiveError.of("SL803", self.path, why=f"frame {number}: {error}") from None

    def in_log(self) -> Iterator[FrameLocation]:
        """The frames, with the places of their content in the log.

        Raises:
            ArchiveError: SL803, it is damaged.
        """
        shift = 0
        for number, frame in enumerate(self.frames):
            further = self.positions(number).shift
            yield frame._replace(raw_offset=frame.raw_offset + shift, raw_bytes=frame.raw_bytes + further)
            shift += further

    def content(self, start: int, length: int) -> bytes:
        """Bytes of the log; fewer where it ends.

        Raises:
            ArchiveError: SL803.
        """
        found = b""
        for number, frame in enumerate(self.frames):
            if frame.raw_offset < start + length and frame.raw_offset + frame.raw_bytes > start:
                found += self.read(number)[max(0, start - frame.raw_offset) : start + length - frame.raw_offset]
        return found

    def verified(self) -> Iterator[bytes]:
        """The content of all frames, in order; at the end it is compared with what the archive says of itself: hash,
        size, lines. What is made of it counts for nothing before the end is reached.

        Raises:
            ArchiveError: SL803, at the frame that is damaged, or at the end.
        """
        found, tally = content_hash(), _Tally()
        for data in self.contents():
            yield data
            found.update(data)
            tally.add(data)
        if found.hexdigest() != self.metadata.sha256 or not tally.fits(self.metadata):
            raise ArchiveError.of("SL803", self.path, why=_OTHER_CONTENT)
        self._check_positions()

    def check(self) -> None:
        """Read everything and compare it, as `verified` does.

        Raises:
            ArchiveError: SL803.
        """
        for _ in self.verified():
            pass

    def compare(self, digests: Sequence[int]) -> None:
        """Read everything and compare it with what the writer was given, and size and lines with what the archive says.

        Args:
            digests: of ArchiveWriter.

        Raises:
            ArchiveError: SL803.
        """
        tally = _Tally()
        for known, data in zip_longest(digests, self.contents()):
            if known is None or data is None or digest(data) != known:
                raise ArchiveError.of("SL803", self.path, why=_OTHER_CONTENT)
            tally.add(data)
        if not tally.fits(self.metadata):
            raise ArchiveError.of("SL803", self.path, why=_OTHER_CONTENT)
        self._check_positions()

    def _check_positions(self) -> None:
        if self.metadata.version == VERSION:
            return
        found = content_hash()
        for place in self._positions.values():
            found.update(self._at(*place))
        if found.hexdigest() != self.metadata.positions:
            raise ArchiveError.of("SL803", self.path, why="its positions are not the ones that were archived")

    def drop_cache(self) -> None:
        """Let what follows be read from the disk itself, as far as the system follows the advice."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def _at(self, offset: int, size: int) -> bytes:
        return bytes_at(self._fd, self.path, offset, size)

    def _table(self) -> list[SeekEntry]:
        footer = self._at(max(0, self.bytes - seekable.FOOTER_BYTES), min(self.bytes, seekable.FOOTER_BYTES))
        try:
            size = seekable.table_bytes(footer)
            if size > _MOST_TABLE_BYTES:
                raise DamagedEndError.of("SL803", self.path, why="its seek table is larger than any can be")
            entries = seekable.decode(self._at(max(0, self.bytes - size), min(size, self.bytes)))
        except SeekTableError as error:
            raise DamagedEndError.of("SL803", self.path, why=str(error)) from None
        if sum(entry.bytes for entry in entries) + size != self.bytes:
            raise DamagedEndError.of("SL803", self.path, why="its frames are not as long as the seek table says")
        return entries

    def _metadata(self, place: tuple[int, int]) -> tuple[ArchiveMetadata, str]:
        offset, size = place
        try:
            found = decode_metadata(self._at(offset, size) if size <= MOST_METADATA_BYTES else b"")
        except MetadataError as error:
            raise DamagedEndError.of("SL803", self.path, why=str(error)) from None
        if found[0].version not in (VERSION, REDACTED_VERSION):
            why = f"it is of version {found[0].version} of the format"
            raise ArchiveError.of("SL803.newer", self.path, why=why)
        return found


def _frames(entries: list[SeekEntry]) -> tuple[list[FrameLocation], dict[int, tuple[int, int]], tuple[int, int]]:
    """The frames with content; offset and size of the positions of some of them; and those of the last one without."""
    frames: list[FrameLocation] = []
    others: dict[int, tuple[int, int]] = {}
    place, offset, raw_offset = (0, 0), 0, 0
    for index, entry in enumerate(entries, start=1):
        if entry.raw_bytes:
            frames.append(FrameLocation(offset, entry.bytes, raw_offset, entry.raw_bytes))
        elif index < len(entries):
            others[len(frames) - 1] = offset, entry.bytes
        else:
            place = offset, entry.bytes
        offset += entry.bytes
        raw_offset += entry.raw_bytes
    return frames, others, place
