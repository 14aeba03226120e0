"""The decompressed bytes of a rotated file that was compressed (gzip, Zstandard), in bounded memory.

The archive's content is compared by the same facts as that of any file: the head, and the bytes before the offset.
Offsets are those of the decompressed bytes. All functions block and belong in an executor.
"""

# ruff: noqa: PTH119 - paths are str here: a pathlib object costs 20 times as much, 1,000 files a scan

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agent.core.decompress import DamagedError, compression, pieces
from agent.core.errors import TailError
from agent.core.model import MARKER_BYTES
from agent.tail import files, locate
from agent.tail.rotated_names import is_compressed_rotation

if TYPE_CHECKING:
    from agent.core.model import TailedFile


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
        if is_compressed_rotation(os.path.basename(path), name):
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
        self._pieces = pieces(self._file, kind or "zstd")
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
        except DamagedError as error:
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
