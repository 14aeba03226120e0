"""Filters wait on the disk until they are stored: they are 1.3 % of all logs, and may be more than there is memory."""

from __future__ import annotations

import os
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Self

from agent.archive.errors import unwritable

if TYPE_CHECKING:
    from pathlib import Path

Place = tuple[int, int]  # offset and bytes


class Spool:
    """A file without a name, which one process fills and another one may read.

    Args:
        directory: on whose disk it lies.
        file: binary, unbuffered, to be read and written.

    Raises:
        ArchiveError: SL804, also by its methods: there is no room, or the disk fails.
    """

    def __init__(self, directory: Path, file: IO[bytes]) -> None:
        self._directory = directory
        self._file = file
        self._end = 0

    @classmethod
    def on_disk_of(cls, directory: Path) -> Spool:
        """A new one."""
        try:
            return cls(directory, TemporaryFile(buffering=0, dir=directory))
        except OSError as error:
            raise unwritable(directory, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the room back."""
        self._file.close()

    @property
    def fd(self) -> int:
        """For another process."""
        return self._file.fileno()

    def clear(self) -> None:
        """Begin anew: nobody needs what is in it any more."""
        os.ftruncate(self.fd, 0)
        self._end = 0

    def put(self, data: bytes) -> Place:
        """Add something."""
        place, view = (self._end, len(data)), memoryview(data)
        try:
            while view:
                written = os.pwrite(self.fd, view, self._end)
                self._end += written
                view = view[written:]
        except OSError as error:
            raise unwritable(self._directory, error) from None
        return place

    def get(self, place: Place) -> bytes:
        """What was put there, by whichever process."""
        offset, size = place
        try:
            data = os.pread(self.fd, size, offset)
        except OSError as error:
            raise unwritable(self._directory, error) from None
        assert len(data) == size, "one process fills the file, and the other one reads what it has been told of"
        return data
