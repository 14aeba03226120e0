"""Following a store: what is stored is shown once, in the order of storage, also when the store file is replaced."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent.core.errors import StoreError
from agent.query.sqlite.scan import EventScan
from agent.store.events import Files, newest_id
from agent.store.faults import identity
from agent.store.reader import open_reader

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from agent.core.stored import StoredEvent
    from agent.query.language import Selection

POLL_S = 0.1  # PRAGMA data_version costs 5 µs; the eye wants no more than ten answers a second


class Follower:
    """Yields the events that are stored after `after_id`, as they come.

    Args:
        connection: open on the store as it is now.
        path: of the store; another file may take its place.
        selection: what to show.
        after_id: the last id already dealt with.
        sleep: waits so many seconds.
        look_s: how often to look whether the path still names the file that is open.
        reconnected: told the connection to another store that has taken the place of the first; then that one's is
            closed.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        selection: Selection,
        after_id: int,
        *,
        sleep: Callable[[float], None],
        look_s: float,
        reconnected: Callable[[sqlite3.Connection], None],
    ) -> None:
        self._connection = connection
        self._path = path
        self._selection = selection
        self._after_id = after_id
        self._sleep = sleep
        self._look_s = look_s
        self._reconnected = reconnected
        self._file = identity(path)
        self._version = -1
        self._looked = time.monotonic()
        self._seen: dict[tuple[int, int, int], int] = {}  # log file -> offset dealt with, of a store now gone
        self._offsets: dict[tuple[int, int, int], int] = {}

    def __iter__(self) -> Generator[StoredEvent | int]:
        """Events; after each batch the last id that has been dealt with. Ends never by itself."""
        while True:
            if self._changed():
                yield from self._new_events()
                yield self._after_id
            self._sleep(POLL_S)
            if time.monotonic() - self._looked >= self._look_s:
                self._looked = time.monotonic()
                self._notice_replacement()

    def _changed(self) -> bool:
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        changed = version != self._version
        self._version = version
        return changed

    def _new_events(self) -> Iterator[StoredEvent]:
        self._connection.execute("BEGIN")  # last id and file offsets as of one instant
        try:
            last_id = newest_id(self._connection)
            files = Files(self._connection)
        finally:
            self._connection.execute("COMMIT")
        self._offsets = {file.identity: file.offset for file in files.values()}
        scan = EventScan(self._connection, self._selection, last_id)
        for event in scan.by_storage(self._after_id):
            if event.offset >= self._seen.get(event.file.identity, 0):
                yield event
        self._after_id = max(self._after_id, last_id)
        self._seen = {log: limit for log, limit in self._seen.items() if self._offsets.get(log, 0) < limit}

    def _notice_replacement(self) -> None:
        """Go on in a new store file; the lines that it reads again are not shown again."""
        now = identity(self._path)
        if now is None or now == self._file:
            return
        try:
            fresh = open_reader(self._path)
        except StoreError:  # the new file is still being made
            return
        self._reconnected(fresh)
        self._connection.close()
        self._connection, self._file = fresh, now
        self._seen = {**self._seen, **self._offsets}
        self._after_id, self._version = 0, -1
