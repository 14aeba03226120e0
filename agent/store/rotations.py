"""Rotations that have begun and are not finished: what a crash in the middle of one leaves to be done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from agent.core.text import from_text, to_text
from agent.store.tables import get_meta, set_meta

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

_KEY = "rotations"


class BegunRotation(NamedTuple):
    """A rotation: of which log, and of which file. `copy` is the inode of copytruncate's copy, 0 while it has no name
    that lasts, and with other methods.
    """

    path: str
    source: str
    device: int
    inode: int
    copy: int = 0


def begun(connection: sqlite3.Connection) -> list[BegunRotation]:
    """All of them."""
    rows: dict[str, Any] = get_meta(connection, _KEY)
    return [BegunRotation(from_text(path), *row) for path, row in rows.items()]


def begin(connection: sqlite3.Connection, rows: Iterable[BegunRotation]) -> None:
    """Note rotations, in place of earlier ones of the same logs; inside a transaction."""
    noted = get_meta(connection, _KEY)
    set_meta(connection, _KEY, {**noted, **{to_text(row.path): row[1:] for row in rows}})


def end(connection: sqlite3.Connection, paths: Iterable[str]) -> None:
    """Rotations are finished; inside a transaction."""
    noted = get_meta(connection, _KEY)
    for path in paths:
        noted.pop(to_text(path), None)
    set_meta(connection, _KEY, noted)


def flush(connection: sqlite3.Connection, now_ns: int) -> None:
    """Write something, so that a durable transaction brings to the disk what was committed before."""
    set_meta(connection, "flushed", {"time": now_ns})
