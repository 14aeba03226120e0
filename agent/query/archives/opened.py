"""The archives that a search has open, and the content of their frames, also where the end of an archive is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.archive.container import ArchiveReader, DamagedEndError
from agent.archive.salvage import SalvagedArchive
from agent.core.errors import ArchiveError

if TYPE_CHECKING:
    from agent.parse.logredactor import Positions
    from agent.query.archives.plan import FrameRef, SearchedArchive

_MOST = 8  # that a process keeps open


class OpenArchives:
    """Opens archives when they are needed.

    Args:
        files: the archives by id.
    """

    def __init__(self, files: dict[int, SearchedArchive]) -> None:
        self._files = files
        self._open: dict[int, ArchiveReader | SalvagedArchive] = {}

    def content(self, ref: FrameRef) -> tuple[bytes, Positions]:
        """The content of a frame, and where its events are in the log.

        Raises:
            ArchiveError: the archive is missing, or this frame of it is damaged.
        """
        reader = self._reader(ref.archive_id)
        if isinstance(reader, ArchiveReader):
            try:
                return _listed(reader, ref)
            except ArchiveError as damage:  # perhaps of its seek table alone
                self._open.pop(ref.archive_id).close()
                reader = self._open[ref.archive_id] = _salvaged(self._files[ref.archive_id], damage)
        return reader.read(ref.number, ref.place)

    def damage(self, archive_id: int) -> ArchiveError | None:
        """What is wrong with an archive whose frames are read all the same."""
        reader = self._open.get(archive_id)
        return reader.damage if isinstance(reader, SalvagedArchive) else None

    def _reader(self, archive_id: int) -> ArchiveReader | SalvagedArchive:
        reader = self._open.pop(archive_id, None)
        if reader is None:
            if len(self._open) >= _MOST:
                self._open.pop(next(iter(self._open))).close()
            reader = _opened(self._files[archive_id])
        self._open[archive_id] = reader
        return reader

    def close(self) -> None:
        """Close what is open."""
        for reader in self._open.values():
            reader.close()
        self._open.clear()


def _listed(reader: ArchiveReader, ref: FrameRef) -> tuple[bytes, Positions]:
    """The content of a frame that lies where the archive itself says."""
    if ref.number >= len(reader.frames):
        raise ArchiveError.of("SL803", reader.path, why=f"it has no frame {ref.number}")
    data, positions = reader.read(ref.number), reader.positions(ref.number)
    if len(data) + positions.shift != ref.place.raw_bytes:
        raise ArchiveError.of("SL803", reader.path, why=f"frame {ref.number} is not the one that was indexed")
    return data, positions


def _opened(file: SearchedArchive) -> ArchiveReader | SalvagedArchive:
    try:
        reader = ArchiveReader(file.path)
    except DamagedEndError as damage:
        return _salvaged(file, damage)
    if reader.link != file.link:
        reader.close()
        raise ArchiveError.of("SL803.other", file.path)
    return reader


def _salvaged(file: SearchedArchive, damage: ArchiveError) -> SalvagedArchive:
    return SalvagedArchive(file.path, damage, redacted=file.redacted)
