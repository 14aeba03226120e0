"""Reading events with what belongs to them: their files, and what is known of their error groups."""

# ruff: noqa: S608 - statements are built from this package's own words; every value is bound

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.core.event import EventRow, event_rows
from agent.core.fields import Profile
from agent.core.groups import GroupTraits
from agent.core.stored import FileInfo, StoredEvent
from agent.store.groups import group_traits
from agent.store.reader import reading

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

EVENT_COLUMNS = ", ".join(f'e."{name}"' for name in EventRow._fields)  # of `events e`, for EventRow


def load_events(connection: sqlite3.Connection, ids: Iterable[int], files: Mapping[int, FileInfo]) -> list[StoredEvent]:
    """The events with these ids that are there, in the order of the ids as given."""
    rows = connection.execute(
        f"SELECT {EVENT_COLUMNS} FROM json_each(?) j JOIN events e ON e.id = j.value ORDER BY j.key",
        (json.dumps(list(ids)),),
    ).fetchall()
    return [StoredEvent(row, files[row.file_id]) for row in event_rows(rows)]


def events_between(
    connection: sqlite3.Connection, first: int, last: int, since: int | None = None
) -> Iterator[EventRow]:
    """The events with ids from `first` to `last`, in their order.

    Args:
        connection: any.
        first: the first id.
        last: the last one.
        since: only those of this instant and later.
    """
    time = "" if since is None else f" AND e.timestamp >= {since}"
    sql = f"SELECT {EVENT_COLUMNS} FROM events e WHERE e.id >= ? AND e.id <= ?{time} ORDER BY e.id"
    return event_rows(connection.execute(sql, (first, last)))


def oldest_id(connection: sqlite3.Connection) -> int | None:
    """The id of the event that was stored first of those that are there."""
    found: int | None = connection.execute("SELECT min(id) FROM events").fetchone()[0]
    return found


def count_after(connection: sqlite3.Connection, position: int) -> int:
    """How many events are behind an id."""
    return int(connection.execute("SELECT count(*) FROM events WHERE id > ?", (position,)).fetchone()[0])


def newest_id(connection: sqlite3.Connection) -> int:
    """The id of the event stored last; 0 in an empty store."""
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0])


class Files(Mapping[int, FileInfo]):
    """The table `files`, read again when an id turns up that it did not have."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._files: dict[int, FileInfo] = {}
        self.reload()

    def reload(self) -> None:
        """Read the table."""
        rows = self._connection.execute(
            'SELECT id, source, path, resource, profile, device, inode, generation, "offset" FROM files'
        ).fetchall()
        self._files = {row[0]: _file(row) for row in rows}

    def __getitem__(self, file_id: int) -> FileInfo:
        if file_id not in self._files:
            self.reload()
        return self._files[file_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _file(row: tuple[Any, ...]) -> FileInfo:
    number, source, path, resource, profile, device, inode, generation, offset = row
    return FileInfo(
        number,
        source,
        path,
        json.loads(resource or "{}"),
        Profile.from_json(profile) if profile else None,
        (device, inode, generation),
        offset,
    )


class Categories(Mapping[int, GroupTraits]):
    """The category and state of each error group, read when first needed and again for a group it did not have.

    Args:
        connection: any.
        path: of the store, for the message of an error; None: it is SQLite's own.
        clock: Unix ns; what is new to it.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path | None = None, *, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._connection = connection
        self._path = path
        self._clock = clock
        self._known: dict[int, GroupTraits] = {}

    def read_again(self, connection: sqlite3.Connection) -> None:
        """Read them when they are next needed, from this connection: to the same store or to another."""
        self._connection, self._known = connection, {}

    def __getitem__(self, group: int) -> GroupTraits:
        if group not in self._known:
            with contextlib.nullcontext() if self._path is None else reading(self._path):
                self._known = group_traits(self._connection, self._clock())
        return self._known[group]

    def __iter__(self) -> Iterator[int]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)
