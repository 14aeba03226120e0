"""The error groups of archived events: found as the reading finds them, and nothing is learnt from them.

An archive keeps no groups. Which one an error belongs to follows from what it says and from the templates that the
store keeps, so that it gets the group that it had in the store. One whose group the store does not know has none: it
was never stored, or its group is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.group import fingerprint, miner
from agent.group.grouper import Grouper
from agent.store.groups import known_groups

if TYPE_CHECKING:
    import sqlite3

    from agent.model import ErrorEvent


class ColdGroups:
    """The groups of one store, read once; what is slow to make of them is made where the first error is met.

    Args:
        connection: a reader's. None: there are no groups.
    """

    def __init__(self, connection: sqlite3.Connection | None = None) -> None:
        self.categories: dict[int, str] = {}
        self._known: tuple[list[tuple[str, int]], list[tuple[str, str, int]]] = ([], [])
        self._grouper: Grouper | None = None
        if connection is not None:
            self.categories = dict(connection.execute("SELECT id, category FROM error_groups"))
            self._known = known_groups(connection, fingerprint.VERSION, miner.TEMPLATES)

    def find(self, error: ErrorEvent) -> int | None:
        """The id of an error's group; None where the store has no such group."""
        if self._grouper is None:
            self._grouper = Grouper(*self._known, learning=False)
        return self._grouper.find(error)
