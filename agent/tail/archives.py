"""The decompressed bytes of a rotated file that was compressed (gzip, Zstandard), in bounded memory.

The archive's content is compared by the same facts as that of any file: the head, and the bytes before the offset.
Offsets are those of the decompressed bytes. All functions block and belong in an executor.
"""

# ruff: noqa: PTH119 - paths are str here: a pathlib object costs 20 times as much, 1,000 files a scan

from __future__ import annotations

import gzip
import os
import zlib
from typing import TYPE_CHECKING, BinaryIO

import zstandard

from agent.errors import TailError
from agent.model import MARKER_BYTES
from agent.tail import files, locate
from agent.tail.identity import compression

if TYPE_CHECKING:
    from collections.abc import Generator

    from agent.model import TailedFile

_PIECE_BYTES = 1 << 17  # of gzip; a block of Zstandard has at most as much
_WINDOW_BYTES = 1 << 25  # levels 1 to 19 have windows of at most 8 MiB, --ultra -20 of 32 MiB
_FRAME_HEADER_BYTES = 18  # at the most, RFC 8878 §3.1.1.1
_SKIPPABLE_MAGIC = 0x184D2A50  # to 0x184D2A5F, RFC 8878 §3.1.2


class DamagedArchiveError(Exception):
    """What follows cannot be decompressed: the archive is damaged or ends early."""


def candidates(file: TailedFile) -> list[str]:
    """Paths that may be archives of `file`: beside it, named like its rotation, gzip or Zstandard by their content;
    the last modified first. Empty for a file of which not even the head is known.
    """
    if not file.head_length:
        return []
    name = os.path.basename(file.path)
    found = []
    for path, _ in locate.beside(file):
        if locate.is_compressed_rotation(os.path.basename(path), name):
            try:
                kind = compression(locate.bytes_at(path, 0, 4))
            except (OSError, TailError):
                continue
            if kind in {"gzip", "zstd"}:
                found.append(path)
    return found


class Archive:
    """An open archive. `position` counts the decompressed bytes that were read, `recent` are the last of them.

    Raises:
        OSError: it cannot be read.
        TailError: it may not be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.position = 0
        self.recent = b""
        fd = files.open_checked(path)
        self._file = os.fdopen(fd, "rb")
        status = os.fstat(fd)
        self.key = files.file_key(status)
        self.version = status.st_size, status.st_mtime_ns
        kind = compression(self._file.read(4))
        self._file.seek(0)
        self._pieces = _gunzip(self._file) if kind == "gzip" else _unzstd(self._file)
        self._rest = b""

    def read(self, most: int) -> bytes:
        """The next bytes, at most so many; none at the end.

        Raises:
            DamagedArchiveError: nothing more can be had, although the archive is not at its end.
            OSError: it cannot be read.
        """
        try:
            while not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    return b""
                self._rest = piece
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
            raise DamagedArchiveError(str(error)) from error
        data, self._rest = self._rest[:most], self._rest[most:]
        self.position += len(data)
        self.recent = (self.recent + data[-MARKER_BYTES:])[-MARKER_BYTES:]
        return data

    def back_to_start(self, data: bytes) -> None:
        """Take back `data`, which is all that was read so far."""
        self._rest = data + self._rest
        self.position, self.recent = 0, b""

    def close(self) -> None:
        """Close the file."""
        self._pieces.close()
        self._file.close()


def _gunzip(file: BinaryIO) -> Generator[bytes]:
    """All members of a gzip file (RFC 1952), one after the other; EOFError when the last one ends early."""
    with gzip.GzipFile(fileobj=file, mode="rb") as content:
        while piece := content.read1(_PIECE_BYTES):
            yield piece


def _unzstd(file: BinaryIO) -> Generator[bytes]:
    """All frames of a Zstandard file (RFC 8878), block by block.

    The library's stream readers take a truncated frame for a whole one. Fed with one block at a time, which gives at
    most 128 KiB, it shows where a frame ends, and no input makes it give more at once.
    """
    while begin := file.read(_FRAME_HEADER_BYTES):
        if int.from_bytes(begin[:4], "little") & ~0xF == _SKIPPABLE_MAGIC:
            file.seek(8 + int.from_bytes(begin[4:8], "little") - len(begin), os.SEEK_CUR)
            continue
        header = begin[: zstandard.frame_header_size(begin)]
        frame = zstandard.get_frame_parameters(header)
        if frame.window_size > _WINDOW_BYTES:
            raise zstandard.ZstdError(f"its window of {frame.window_size >> 20} MiB is over {_WINDOW_BYTES >> 20} MiB")
        file.seek(len(header) - len(begin), os.SEEK_CUR)
        decoder = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj()
        decoder.decompress(header)
        last = False
        while not last:
            block = _exactly(file, 3)  # §3.1.1.2: last 1 bit, type 2 bits, size 21 bits
            number = int.from_bytes(block, "little")
            last, kind, size = bool(number & 1), number >> 1 & 3, number >> 3
            yield decoder.decompress(block + _exactly(file, 1 if kind == 1 else size))  # 1: one byte, repeated
        if frame.has_checksum:
            yield decoder.decompress(_exactly(file, 4))


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError("it ends within a frame")
    return data
