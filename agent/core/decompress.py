"""The bytes of a compressed file (gzip, Zstandard), piece by piece and in bounded memory. Everything here blocks."""

from __future__ import annotations

import gzip
import os
import zlib
from typing import TYPE_CHECKING, BinaryIO

import zstandard

if TYPE_CHECKING:
    from collections.abc import Generator

_PIECE_BYTES = 1 << 17  # of gzip; a block of Zstandard has at most as much
_WINDOW_BYTES = 1 << 25  # levels 1 to 19 have windows of at most 8 MiB, --ultra -20 of 32 MiB
_FRAME_HEADER_BYTES = 18  # at the most, RFC 8878 §3.1.1.1
_SKIPPABLE_MAGIC = 0x184D2A50  # to 0x184D2A5F, RFC 8878 §3.1.2
_MAGIC = {  # RFC 1952, RFC 8878, bzip2(1), the .xz file format
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
}


class DamagedError(Exception):
    """What follows cannot be decompressed: the file is damaged, ends early, or is of another kind."""


def compression(head: bytes) -> str | None:
    """The name of the compression whose magic number begins `head`, or None for anything else."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def pieces(file: BinaryIO, kind: str | None) -> Generator[bytes]:
    """The decompressed bytes of a file that is at its beginning.

    Args:
        file: buffered.
        kind: as `compression` names it.

    Raises:
        DamagedError: nothing more can be had, although this is not the end.
        OSError: the file cannot be read.
    """
    try:
        if kind == "gzip":
            yield from _gunzip(file)
        elif kind == "zstd":
            yield from _unzstd(file)
        else:
            raise DamagedError(f"{kind} is not supported")
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise DamagedError(str(error)) from error


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
