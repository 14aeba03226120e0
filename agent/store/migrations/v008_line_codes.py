"""Version 8: `events.raw` may be a text, which is a code for the lines of a container runtime (`core.wrapping`).

Nothing of a store changes. But an earlier sidelog takes the record for the line where it meets such a text: the number
makes it refuse the store instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def apply(_: sqlite3.Connection) -> None:
    """What a column may hold is not in its definition."""
