"""What the store knows of the redaction of archives: the column `settings` says by which keys one is redacted, beside
how its lines are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    import sqlite3

_REDACTED = "redacted"  # in the column `settings`, beside what says how the lines of the archive are read


def settings_of(settings: dict[str, Any], redacted: tuple[str, ...] | None) -> str:
    """The column `settings`.

    Args:
        settings: how the lines of the archive are read, as a document.
        redacted: the keys whose values are replaced in it; None: it is the log itself.
    """
    return orjson.dumps(settings if redacted is None else settings | {_REDACTED: redacted}).decode()


def read_settings(column: str) -> dict[str, Any]:
    """How the lines of an archive are read."""
    found: dict[str, Any] = orjson.loads(column)
    found.pop(_REDACTED, None)
    return found


def redacted_by(column: str) -> tuple[str, ...] | None:
    """The keys whose values are replaced in an archive; None where it is the log itself."""
    keys = orjson.loads(column).get(_REDACTED)
    return None if keys is None else tuple(keys)


def ways(connection: sqlite3.Connection, source: str) -> tuple[tuple[str, ...], ...]:
    """The keys that the archives of a source are redacted by, each once, where a log of theirs is remembered."""
    sql = "SELECT DISTINCT settings FROM archives WHERE source = ? AND id IN (SELECT archive_id FROM archive_logs)"
    return tuple({redacted_by(column) or () for (column,) in connection.execute(sql, (source,))})


def move_logs(connection: sqlite3.Connection, old: int, new: int) -> None:
    """The logs of an archive are those of another one now; inside a transaction."""
    connection.execute("UPDATE archive_logs SET archive_id = ? WHERE archive_id = ?", (new, old))
