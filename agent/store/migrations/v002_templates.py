"""Version 2: error groups keep the template of their messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.store.migrations.script import run

if TYPE_CHECKING:
    import sqlite3

# What the messages of a group have in common, for groups that no stack trace decides: scope and words, as group.miner
# reads and writes them.
_TEMPLATES = """
ALTER TABLE error_groups ADD COLUMN template TEXT
"""


def apply(connection: sqlite3.Connection) -> None:
    """Add the column."""
    run(connection, _TEMPLATES)
