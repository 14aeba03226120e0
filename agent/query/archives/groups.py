"""The error groups of archived events: found as the reading finds them, and nothing is learnt from them.

An archive keeps no groups. Which one an error belongs to follows from what it says and from the templates that the
store keeps, so that it gets the group that it had in the store. One whose group the store does not know has none: it
was never stored, or its group is gone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent.core.model import ErrorEvent
from agent.core.stored import StoredEvent

if TYPE_CHECKING:
    import sqlite3

    from agent.core.event import EventRow
    from agent.core.groups import GroupTraits
    from agent.core.stored import FileInfo
    from agent.group.grouper import Grouper


class ArchivedGroups:
    """The groups of one store. They are read when they are first asked for: 20 ms for 5,000 that few searches need.

    Args:
        connection: a reader's. None: there are no groups.
    """

    def __init__(self, connection: sqlite3.Connection | None = None) -> None:
        self.categories: dict[int, GroupTraits] = {}
        self._connection = connection
        self._known: tuple[list[tuple[str, int, int]], list[tuple[str, str, int, int]]] = ([], [])
        self._grouper: Grouper | None = None

    def load(self) -> None:
        """Read them, if that has not been done: to be called before processes that ask for groups are started."""
        connection, self._connection = self._connection, None
        if connection is not None:
            from agent.group import miner  # noqa: PLC0415 - as long as the reading, and as rare
            from agent.store.groups import group_traits, known_groups  # noqa: PLC0415

            self.categories = group_traits(connection, time.time_ns())
            self._known = known_groups(connection, miner.TEMPLATES)

    def find(self, error: ErrorEvent) -> int | None:
        """The id of an error's group; None where the store has no such group."""
        if self._grouper is None:
            from agent.group.grouper import Grouper  # noqa: PLC0415

            self.load()
            self._grouper = Grouper(*self._known, learning=False)
        return self._grouper.find(error)


class ArchivedEvent(StoredEvent):
    """An archived event. Its row has the error in the place of the group, which is found when it is asked for."""

    def __init__(self, row: EventRow, file: FileInfo, groups: ArchivedGroups) -> None:
        self.row = row
        self._groups = groups
        self._group: int | ErrorEvent | None = None
        super().__init__(row, file)

    @property
    def group(self) -> int | None:
        """The id of its error group, if it has one."""
        if isinstance(self._group, ErrorEvent):
            self._group = self._groups.find(self._group)
        return self._group

    @group.setter
    def group(self, group: int | ErrorEvent | None) -> None:
        self._group = group
