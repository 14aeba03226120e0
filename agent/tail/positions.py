"""How far each file is stored, and what of it is on its way to the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.core.model import FileRow, Position

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from agent.core.model import FileGeneration


class StoredPositions:
    """By id of a generation. Used on the event loop, where no method says otherwise.

    Args:
        known: the files that the store remembers.
    """

    def __init__(self, known: Collection[FileRow]) -> None:
        self._positions = {row.id: row.position for row in known}  # as the writer has acknowledged them
        self._starts = {row.id: row.start_offset for row in known}
        self._awaited: dict[int, int] = {}  # the end of the last batch of a file that was left

    def __getitem__(self, file_id: int) -> Position:
        return self._positions[file_id]

    def acknowledge(self, positions: Mapping[int, Position]) -> None:
        """So far are files stored now. Any thread may call it: of a file that is read a position only rises, and waking
        the event loop for each commit would cost as much as reading a line.
        """
        self._positions.update(positions)

    def row(self, file: FileGeneration) -> FileRow:
        """A generation, and how far it is stored. Any thread may call it."""
        return FileRow.of(file, self._positions.get(file.id, Position()))

    def begin(self, file_id: int, place: Position) -> None:
        """A new generation begins there."""
        self._positions[file_id] = place
        self._starts[file_id] = place.offset

    def starts_at(self, file_id: int, offset: int) -> bool:
        """Whether a generation begins there: nothing before it is its own."""
        return self._starts.get(file_id) == offset

    def wait_for(self, file_id: int, end: int) -> None:
        """A file is left, with its last batch, which ends there, on its way to the store."""
        self._awaited[file_id] = end

    def resume(self, file_id: int) -> None:
        """A file that was left is read on."""
        self._awaited.pop(file_id, None)

    def is_settled(self, file_id: int) -> bool:
        """Whether the store has all that was delivered of a dormant file: before that, reading cannot go on at
        its position, or lines on their way would be delivered once more.
        """
        if self._positions[file_id].offset < self._awaited.get(file_id, 0):
            return False
        self._awaited.pop(file_id, None)
        return True

    def forget(self, file_id: int) -> None:
        """Nothing of a file is to be continued."""
        for known in (self._positions, self._starts, self._awaited):
            known.pop(file_id, None)
