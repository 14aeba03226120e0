"""Statements of a migration, run inside its transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def run(connection: sqlite3.Connection, script: str) -> None:
    """Execute statements one by one: `executescript` would commit the surrounding transaction.

    Args:
        connection: inside a transaction.
        script: statements, separated by semicolons at the ends of lines.

    Raises:
        sqlite3.Error: as the statements.
    """
    for statement in script.split(";\n"):
        if statement.strip():
            connection.execute(statement)
