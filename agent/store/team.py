"""A group that may read the store (`store.group`): its file, what SQLite lays beside it, the lock, the directory.

Whoever may read a store in WAL mode but not write needs the files `-wal` and `-shm` to be there
(https://www.sqlite.org/wal.html#read_only_databases), and SQLite removes them when the last connection is closed. So a
store that is shared is closed last by a connection that only reads, which may not remove them.

What was given is noted in the store, so that it can be taken back when the key is gone; what nobody has given by this
key is left alone.
"""

from __future__ import annotations

import contextlib
import sqlite3
from glob import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from agent.core import sharing
from agent.core.errors import StoreError
from agent.store import tables
from agent.store.lock import store_files
from agent.store.reader import get_meta

if TYPE_CHECKING:
    from pathlib import Path

_KEY = "team"
# Before a migration, of a schema version (store.former), and what was moved aside (store.backup, store.opening).
_COPIES = (".v[0-9]", ".v[0-9][0-9]", ".replaced-*", ".damaged-*", ".orphaned-*")


def is_due(connection: sqlite3.Connection, group: str | None) -> bool:
    """Whether `share` has anything to do: a group is named, or was once."""
    return group is not None or bool(get_meta(connection, _KEY))


def share(connection: sqlite3.Connection, path: Path, group: str | None) -> StoreError | None:
    """Let a group read the store, or take that back from the one that could; inside a transaction.

    Args:
        connection: of the store.
        path: of its file.
        group: the name of a group that exists; None: nobody but the owner.

    Returns:
        Why it could not be done; it is not shared then.
    """
    known = get_meta(connection, _KEY)
    former, changed = known.get("store"), bool(known.get("directory"))
    try:
        gid = None if group is None else sharing.group_id(group)
        if isinstance(former, int) and former != gid:
            for part in (*store_files(path), *([path.parent] if changed else [])):
                sharing.narrow(part, former)
            changed = False
        _share_copies(path, gid, former)
        if gid is not None:
            changed = sharing.share_directory(path.parent, gid) or changed
            for part in store_files(path):
                sharing.share_file(part, gid)
    except (OSError, KeyError) as error:
        return StoreError.of("SL416", path, group=group or former, why=error)
    if known or gid is not None:
        _note(connection, {**known, "store": gid, "directory": changed})
    return None


def _share_copies(path: Path, gid: int | None, former: object) -> None:
    """Copies of the store, such as that before a migration, hold what it holds: who may read it may read them."""
    for copy in (found for end in _COPIES for found in path.parent.glob(escape(path.name) + end)):
        with contextlib.suppress(OSError):  # a link, or somebody else's: it stays as that one has made it
            if isinstance(former, int) and former != gid:
                sharing.narrow(copy, former)
            if gid is not None:
                sharing.share_file(copy, gid)


def noted_archives(connection: sqlite3.Connection) -> int | None:
    """The group that archives were shared with last."""
    found = get_meta(connection, _KEY).get("archive")
    return found if isinstance(found, int) else None


def note_archives(connection: sqlite3.Connection, gid: int | None) -> None:
    """Note the group that archives are shared with; inside a transaction."""
    known = get_meta(connection, _KEY)
    if known or gid is not None:
        _note(connection, {**known, "archive": gid})


def _note(connection: sqlite3.Connection, content: dict[str, object]) -> None:
    if content != get_meta(connection, _KEY):
        tables.set_meta(connection, _KEY, content)


def close(connection: sqlite3.Connection, path: Path, *, checkpoint: bool = False) -> None:
    """Close a writing connection; of a store that is shared in such a way that it can be read on.

    Args:
        connection: outside of a transaction.
        path: of the store.
        checkpoint: empty the write-ahead log before: for the store's owner alone.
    """
    try:
        with contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            if isinstance(get_meta(connection, _KEY).get("store"), int):
                last = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
                last.execute("SELECT 1 FROM meta LIMIT 1").fetchone()
                if checkpoint:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                connection.close()
                last.close()
    except (sqlite3.Error, ValueError):  # a damaged store, or a full disk: it is closed all the same
        return


def share_copy(path: Path, group: str) -> None:
    """Let a group read a copy of a store, which nobody has open.

    Raises:
        StoreError: SL416, that cannot be done.
    """
    try:
        sharing.share_file(path, sharing.group_id(group))
    except (OSError, KeyError) as error:
        raise StoreError.of("SL416", path, group=group, why=error) from None


def reopen(path: Path, group: str | None) -> None:
    """Share a store whose file has just been put there, as `share`; nobody may have it open.

    Raises:
        StoreError: SL416, that cannot be done.
    """
    if group is None:
        return
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        problem = share(connection, path, group)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        problem = StoreError.of("SL416", path, group=group, why=error)
    finally:
        close(connection, path, checkpoint=True)
    if problem is not None:
        raise problem
