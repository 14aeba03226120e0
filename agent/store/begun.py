"""The archive that is about to be made: noted before, so that what a crash has left of it is known for what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agent.core.text import from_text, to_text
from agent.store.archives import FileVersion  # noqa: TC001 - msgspec looks at it
from agent.store.reader import get_meta
from agent.store.tables import set_meta

if TYPE_CHECKING:
    import sqlite3

_BEGUN = "archiving"


class BegunArchive(msgspec.Struct, frozen=True):
    """What is about to be made, of which log."""

    id: int
    created: int
    source: str
    path: str
    version: FileVersion


def begin(connection: sqlite3.Connection, begun: BegunArchive) -> None:
    """Note what is about to be made, in place of what was before; inside a transaction, which is to be durable."""
    noted = {"path": to_text(begun.path), "version": list(begun.version)}
    set_meta(connection, _BEGUN, msgspec.structs.asdict(begun) | noted)


def begun(connection: sqlite3.Connection) -> BegunArchive | None:
    """What was about to be made and is not known; None where there is nothing."""
    noted = get_meta(connection, _BEGUN)
    if not noted:
        return None
    found = msgspec.convert(noted | {"path": from_text(str(noted["path"]))}, BegunArchive)
    sql = "SELECT 1 FROM archives WHERE source = ? AND created = ?"  # a reindex may have given it another id
    return None if connection.execute(sql, (found.source, found.created)).fetchone() else found
