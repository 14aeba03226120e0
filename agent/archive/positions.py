"""Where the events of a redacted archive are in its log: a skippable frame behind each frame in which that differs.

    magic 0x184D2A52, size, and a zstd frame with its content size and a checksum, of
      ends     4 bytes each: offsets in the content of the frame
      shifts   8 bytes each, signed: by so many bytes further on a place behind that offset is in the log

All numbers are little-endian, and counted from the beginning of the frame.
"""

from __future__ import annotations

import sys
from array import array

import zstandard

from agent.archive import seekable
from agent.parse.logredactor import Positions

MAGIC = 0x184D2A52
_ENTRY_BYTES = 12
_MOST_BYTES = 1 << 26  # so much memory reading one can take
NONE = Positions(array("I"), array("q"))


class PositionsError(ValueError):
    """These are no positions."""


def encode(positions: Positions) -> bytes:
    """The skippable frame."""
    ends, shifts = positions
    data = _little_endian(ends).tobytes() + _little_endian(shifts).tobytes()
    packed = zstandard.ZstdCompressor(write_checksum=True, write_content_size=True).compress(data)
    return seekable.skippable(packed, MAGIC)


def decode(frame: bytes) -> Positions:
    """The positions in a skippable frame.

    Raises:
        PositionsError: it has none, or is damaged.
    """
    packed = frame[seekable.HEADER_BYTES :]
    if frame != seekable.skippable(packed, MAGIC):
        raise PositionsError("it has no positions where the seek table says so")
    try:
        size = zstandard.get_frame_parameters(packed).content_size
        # Of a frame without content, or whose damaged header says so, zstandard looks at nothing behind the header.
        if size % _ENTRY_BYTES or size > _MOST_BYTES or (not size and frame != encode(NONE)):
            raise PositionsError("its positions have an impossible size")
        data = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise PositionsError(f"its positions cannot be decompressed ({error})") from None
    count = len(data) // _ENTRY_BYTES
    ends, shifts = array("I", data[: 4 * count]), array("q", data[4 * count :])
    return Positions(_little_endian(ends), _little_endian(shifts))


def _little_endian(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers
