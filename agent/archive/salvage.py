"""The frames of an archive whose end is damaged, read where the store's index has them."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from agent.archive import positions, seekable
from agent.archive.packed import MOST_PACKED_BYTES, bytes_at, decompressor, unpack
from agent.archive.positions import PositionsError
from agent.core.errors import ArchiveError
from agent.core.text import OPEN_FLAGS

if TYPE_CHECKING:
    from pathlib import Path

    from agent.parse.logredactor import Positions

_HEADER = struct.Struct("<II")  # of a skippable frame


class FramePlace(NamedTuple):
    """Where the index has a frame, in bytes: in the archive, and how much of the log it is."""

    offset: int
    bytes: int
    raw_bytes: int


class SalvagedArchive:
    """An archive of which nothing but its frames is read. Each has a checksum, and has to be of the size that is known.

    Args:
        path: of the archive.
        damage: what is wrong with it.
        redacted: its places may not be those of the log.

    Raises:
        ArchiveError: SL802, it cannot be opened.
    """

    def __init__(self, path: Path, damage: ArchiveError, *, redacted: bool) -> None:
        self.damage = damage
        self._path = path
        self._redacted = redacted
        try:
            self._fd = os.open(path, os.O_RDONLY | OPEN_FLAGS)
        except OSError as error:
            raise ArchiveError.of("SL802", path, why=error) from None
        self._decompressor = decompressor()

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def read(self, number: int, place: FramePlace) -> tuple[bytes, Positions]:
        """The content of a frame, and where its events are in the log.

        Raises:
            ArchiveError: it cannot be read: what is wrong with the archive.
        """
        if place.bytes > MOST_PACKED_BYTES:
            raise self.damage
        try:
            packed = bytes_at(self._fd, self._path, place.offset, place.bytes)
            found = self._positions(place.offset + place.bytes) if self._redacted else positions.NONE
            size = place.raw_bytes - found.shift
            return unpack(self._decompressor, packed, self._path, number, size), found
        except (ArchiveError, PositionsError):
            raise self.damage from None

    def _positions(self, offset: int) -> Positions:
        """Those behind a frame, if there are any."""
        magic, size = _HEADER.unpack(bytes_at(self._fd, self._path, offset, _HEADER.size))
        if magic != positions.MAGIC or size > MOST_PACKED_BYTES:
            return positions.NONE
        return positions.decode(bytes_at(self._fd, self._path, offset, seekable.HEADER_BYTES + size))
