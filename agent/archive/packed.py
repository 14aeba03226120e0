"""Frames of an archive as they lie in its file, read so that nothing in it can take much memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import zstandard

from agent.core.errors import ArchiveError

if TYPE_CHECKING:
    from pathlib import Path

MOST_FRAME_BYTES = 1 << 26  # of log in one frame, and so the memory that reading any archive can take
MOST_PACKED_BYTES = MOST_FRAME_BYTES + (MOST_FRAME_BYTES >> 7)  # what cannot be compressed becomes a little larger
_WINDOW_BYTES = 1 << 27


def bytes_at(fd: int, path: Path, offset: int, size: int) -> bytes:
    """So many bytes of an archive.

    Raises:
        ArchiveError: SL802, it cannot be read; SL803, it ends before.
    """
    try:
        data = os.pread(fd, size, offset)
    except OSError as error:
        raise ArchiveError.of("SL802", path, why=error) from None
    if len(data) != size:
        raise ArchiveError.of("SL803", path, why="it ends early")
    return data


def decompressor() -> zstandard.ZstdDecompressor:
    """For any number of frames."""
    return zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)


def unpack(unpacker: zstandard.ZstdDecompressor, packed: bytes, path: Path, number: int, raw_bytes: int) -> bytes:
    """The content of a frame, which its own checksum agrees with.

    Args:
        unpacker: a decompressor.
        packed: the frame.
        path: of the archive.
        number: of the frame.
        raw_bytes: the size that its content is to have.

    Raises:
        ArchiveError: SL803, it is damaged.
    """
    try:
        size = zstandard.get_frame_parameters(packed).content_size
        if size != raw_bytes or size > MOST_FRAME_BYTES:
            raise ArchiveError.of("SL803", path, why=f"frame {number} has another size than the seek table says")
        return unpacker.decompress(packed, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ArchiveError.of("SL803", path, why=f"frame {number} cannot be decompressed ({error})") from None
