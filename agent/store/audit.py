"""Accounts for every byte of every file: events, blank lines and gaps must add up to what was read.

All events are read once, in the order of their ids, whatever file they are of: within a file ids rise with the
offset, and an index by file would cost the hot path more than it is worth here. They are read in pages, each in a
read transaction of its own, so that the agent's write-ahead log is never held.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import OrderedDict
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from agent.core.event import original_of
from agent.core.text import from_text
from agent.store.compare import FileAudit, StoredGap, Window
from agent.store.reader import highest_id, reading_error
from agent.store.statistics import id_bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Locate = Callable[[FileAudit], tuple[int, str] | str]
    Page = list[tuple[int, int, int, bytes, Any]]

_PAGE_BYTES = 4 * 2**20
_PAGE_ROWS = 16_384
_MOST_OPEN = 128  # files; the rest is opened again when its turn comes
_IDENTITY = ("device", "inode", "generation", "head_length", "head_hash", "marker_length", "marker_hash")
_COLUMNS = (
    *("id", "path", "current_path", "source", "state", "offset", "start_offset"),
    *("events", "event_bytes", "blank_bytes", "gap_bytes", *_IDENTITY),
)
_FILES = f"""SELECT {", ".join(f'"{name}"' for name in _COLUMNS)} FROM files ORDER BY source, path, id"""  # noqa: S608 - names of the schema; values are bound
_EVENTS = """
SELECT id, file_id, "offset", CAST(record AS BLOB), raw FROM events WHERE id > ? AND id <= ? ORDER BY id LIMIT ?
"""


class Audit:
    """Compares a store with itself and with the files that still exist.

    Args:
        connection: read-only, in autocommit mode.
        path: of the store, for messages.

    Raises:
        StoreError: the store is damaged or locked, here and in `run`.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._locate: Locate = lambda _: "no"
        self._open: OrderedDict[int, tuple[int, Window]] = OrderedDict()
        self._decided: set[int] = set()
        with self._reading():
            self.files = _load(connection)
            self.first, self.last = _bounds(connection)

    def judge_books(self) -> list[FileAudit]:
        """Only the books: no event and no file is read."""
        for file in self.files.values():
            file.judge_books()
        return list(self.files.values())

    def run(self, locate: Locate, progress: Callable[[int, int, int], None] = lambda *_: None) -> list[FileAudit]:
        """Everything.

        Args:
            locate: opens the file of a generation: (descriptor, `whole` or `partly`), or why it cannot be compared
                (`gone`, `replaced`, `truncated`, `unreadable`).
            progress: called with the events looked at, the events to look at, and the bytes compared.

        Returns:
            All generations, by source and path.
        """
        self._locate = locate
        try:
            for page in self._pages():
                for file_id, run in groupby(page, itemgetter(1)):
                    self._judge(self.files.get(file_id) or self._unknown(file_id), list(run))
                compared = sum(file.compared_bytes for file in self.files.values())
                progress(page[-1][0] - self.first + 1, self.last - self.first + 1, compared)
            for file in self.files.values():
                self._finish(file)
        finally:
            for descriptor, _ in self._open.values():
                os.close(descriptor)
            self._open.clear()
        self._forgive_replaced()
        return list(self.files.values())

    def _unknown(self, file_id: int) -> FileAudit:
        """An entry for events whose file the store does not know."""
        name = f"(file {file_id}, which the store does not know)"
        unknown = self.files[file_id] = FileAudit(file_id, name, name, source="", state="")
        self._decided.add(file_id)
        return unknown

    # ------------------------------------------------------------ events

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """One read transaction."""
        try:
            self._connection.execute("BEGIN")
            yield
        except sqlite3.Error as error:
            raise reading_error(error, self._path) from None
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _pages(self) -> Iterator[Page]:
        cursor = self.first - 1
        if self.first > 1:
            self._expect_expired()
        while cursor < self.last:
            with self._reading():
                lowest = self._connection.execute("SELECT coalesce(min(id), 0) FROM events").fetchone()[0]
                if not lowest or lowest > cursor + 1:  # retention has overtaken this
                    self._expect_expired()
                page = self._page(cursor)
            if not page:
                return
            cursor = page[-1][0]
            yield page

    def _expect_expired(self) -> None:
        for file in self.files.values():
            file.resync = True

    def _page(self, cursor: int) -> Page:
        page, held = [], 0
        rows = self._connection.execute(_EVENTS, (cursor, self.last, _PAGE_ROWS))
        for row in rows:
            page.append(row)
            held += len(row[3]) + (len(row[4]) if isinstance(row[4], bytes) else 0)
            if held > _PAGE_BYTES:
                break
        rows.close()
        return page

    def _judge(self, file: FileAudit, rows: Page) -> None:
        originals = [row[3] if row[4] is None else original_of(row[3], row[4]) for row in rows]
        file.take([row[2] for row in rows], originals, self._window(file))

    def _finish(self, file: FileAudit) -> None:
        window = self._window(file)
        file.finish(window)
        if window is not None and window.failed:
            file.compared = "unreadable"
        elif window is not None and window.size < file.offset:
            file.compared = "partly"
        self._drop(file.id)

    # ------------------------------------------------------------ files

    def _window(self, file: FileAudit) -> Window | None:
        """The open file, or None where it is not to be compared."""
        known = self._open.get(file.id)
        if known is not None:
            self._open.move_to_end(file.id)
            return known[1]
        if file.id in self._decided and file.compared not in ("whole", "partly"):
            return None
        self._decided.add(file.id)
        found = self._locate(file)
        if isinstance(found, str):
            file.compared = found
            return None
        descriptor, file.compared = found
        if len(self._open) >= _MOST_OPEN:
            self._drop(next(iter(self._open)))
        window = Window(descriptor)
        self._open[file.id] = descriptor, window
        return window

    def _drop(self, file_id: int) -> None:
        known = self._open.pop(file_id, None)
        if known is not None:
            os.close(known[0])

    def _forgive_replaced(self) -> None:
        """What was truncated while it was being compared is another generation by now, says the agent."""
        for file in self.files.values():
            if file.complete or not file.identity or file.compared not in ("whole", "partly"):
                continue
            with self._reading():
                newer = self._connection.execute(
                    "SELECT 1 FROM files WHERE id > ? AND device = ? AND inode = ?",
                    (file.id, file.identity["device"], file.identity["inode"]),
                ).fetchone()
            if newer and not any(other.id > file.id and _same_inode(other, file) for other in self.files.values()):
                file.compared = "replaced"
                file.differences.clear()
                file.difference_count = 0
                file.judge_books()


def _same_inode(one: FileAudit, other: FileAudit) -> bool:
    return all(one.identity.get(key) == other.identity.get(key) for key in ("device", "inode"))


def _load(connection: sqlite3.Connection) -> dict[int, FileAudit]:
    files = {}
    for row in connection.execute(_FILES):
        facts = dict(zip(_COLUMNS, row, strict=True))
        facts["path"], facts["current_path"] = from_text(facts["path"]), from_text(facts["current_path"])
        facts["identity"] = {name: facts.pop(name) for name in _IDENTITY}
        files[row[0]] = FileAudit(**facts)
    for file_id, start, end, reason in connection.execute(
        'SELECT file_id, "from", "to", reason FROM gaps ORDER BY file_id, "from"'
    ):
        if file_id in files:
            files[file_id].gaps.append(StoredGap(start, end, reason))
    return files


def _bounds(connection: sqlite3.Connection) -> tuple[int, int]:
    """The first and the last id of the events that are there; where there are none, after the last that there was."""
    first, last = id_bounds(connection)
    if first is None or last is None:
        last = highest_id(connection)
        return last + 1, last
    return first, last
