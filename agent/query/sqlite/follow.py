"""Following a store: what is stored is shown once, in the order of storage, also when the store file is replaced."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent.query.events import Files, StoredEvent
from agent.query.sqlite.plan import newest_id
from agent.query.sqlite.scan import Scan

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from agent.query.selection import Selection

POLL_S = 0.1  # PRAGMA data_version costs 5 µs; the eye wants no more than ten answers a second

Identity = tuple[int, int] | None  # device and inode of the store file; None while there is none


class Follower:
    """Yields the events that are stored after `after_id`, as they come.

    Args:
        connection: open on the store as it is now.
        selection: what to show.
        after_id: the last id already dealt with.
        identity: tells which file the store's path names now.
        reopen: a new connection to that path, None while there is no readable store.
        sleep: waits so many seconds; tests replace it.
        look_s: how often to look whether the path still names the file that is open.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        selection: Selection,
        after_id: int,
        *,
        identity: Callable[[], Identity],
        reopen: Callable[[], sqlite3.Connection | None],
        sleep: Callable[[float], None] = time.sleep,
        look_s: float = 1.0,
    ) -> None:
        self.after_id = after_id
        self._connection = connection
        self._selection = selection
        self._identity = identity
        self._reopen = reopen
        self._sleep = sleep
        self._look_s = look_s
        self._file = identity()
        self._version = -1
        self._looked = time.monotonic()
        self._seen: dict[tuple[int, int, int], int] = {}  # log file -> offset dealt with, of a store now gone
        self._offsets: dict[tuple[int, int, int], int] = {}

    def __iter__(self) -> Iterator[StoredEvent | None]:
        """Events; None after each batch, when the output should be flushed. Ends never by itself."""
        while True:
            if self._changed():
                yield from self._new_events()
                yield None
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
        scan = Scan(self._connection, self._selection, last_id)
        for event in scan.by_storage(self.after_id):
            if event.offset >= self._seen.get(event.file.identity, 0):
                yield event
        self.after_id = max(self.after_id, last_id)
        self._seen = {log: limit for log, limit in self._seen.items() if self._offsets.get(log, 0) < limit}

    def close(self) -> None:
        """Close the connection, which may be another than the one that was given."""
        self._connection.close()

    def _notice_replacement(self) -> None:
        """Go on in a new store file; the lines that it reads again are not shown again."""
        now = self._identity()
        if now is None or now == self._file:
            return
        fresh = self._reopen()
        if fresh is None:
            return
        self._connection.close()
        self._connection, self._file = fresh, now
        self._seen = {**self._seen, **self._offsets}
        self.after_id, self._version = 0, -1
