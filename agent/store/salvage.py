"""Saves what can be read of a damaged store into a new one: table by table, row by row.

A damaged page takes its rows with it, and an inner page of a tree everything below it, but each row is found by its
id from the root: so ranges of ids that cannot be read are halved until what is readable around the damage is saved.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from agent.core.errors import StoreError
from agent.store import faults, identity, mend, schema, team
from agent.store.backup import flush_directory, integrity, owned, partial_file, set_aside
from agent.store.tables import keep_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Row = tuple[Any, ...]
    Range = tuple[int, int]

_SMALLEST_RANGE = 4  # ids; a leaf that cannot be read fails for each of its ids alike
_ASSUMED_IDS = 1 << 20  # of a table whose end cannot be read, at the most
_LEAST_ROW_BYTES = 16  # no row of a table with ids is smaller: so many there can be in a store of a size
_SIZE = ("page_count", "page_size")
_NAMING_IDS = (
    "SELECT max(+id) FROM events INDEXED BY events_by_time",
    "SELECT sum(events) FROM files",
    "SELECT max(seq) FROM sqlite_sequence WHERE name = 'events'",
)
_ROWS_PER_STEP = 1_000
_MOST_BYTES = 2**44  # a header that says more is damaged itself
_UNREADABLE = (sqlite3.Error, UnicodeDecodeError, OverflowError)


class SalvageReport(msgspec.Struct):
    """What was saved of a store."""

    rows: dict[str, int] = {}  # table -> rows saved
    damaged: list[str] = []  # tables of which something could not be read
    lost_ranges: list[Range] = []  # ids of events that could not be read, ends included
    lost_bytes: int = 0  # of log files whose events are gone: gaps with the reason `damaged`
    reread_bytes: int = 0  # whose events are gone too, but whose file is there: the agent reads them again
    lost_files: int = 0  # files whose row is lost: their events are kept as of the source `lost`
    moved_aside: str = ""  # where the damaged store lies now


def salvage(
    store: Path, progress: Callable[[int, int, str], None] = lambda *_: None, *, group: str | None = None
) -> SalvageReport:
    """Replace a damaged store by a new one with everything that could be read; the damaged file is kept.

    Args:
        store: nobody may own it.
        progress: called with what is done, what is to do, and the table's name.
        group: may read the store, as `store.group`.

    Raises:
        StoreError: SL404 an agent runs; SL556 nothing can be read; SL553 the new store cannot be written.
    """
    saved = SalvageReport()
    with owned(store), partial_file(store, replacing=True) as partial:
        try:
            with _new(partial) as target:
                with _full_length(store) as whole, _damaged(whole) as source:
                    _save_tables(source, target, saved, progress)
                mend.mend(target, saved.lost_ranges, saved)
                with faults.changing(target, partial):
                    identity.renew_copy(target, identity.SALVAGED)
                findings = integrity(target)
        except sqlite3.Error as error:
            raise StoreError.of("SL553", store, why=error) from None
        if findings:
            raise StoreError.of("SL553", store, why=findings[0])
        with partial.open("rb") as file:  # closed for SQLite, and nobody's store yet
            os.fsync(file.fileno())
        saved.moved_aside = str(set_aside(store, "damaged"))
        partial.rename(store)
        flush_directory(store.parent)
        team.reopen(store, group)
    return saved


@contextlib.contextmanager
def _new(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        schema.prepare_file(connection)
        schema.migrate(connection)
        connection.execute("PRAGMA synchronous = OFF")  # one flush at the end; until then this file does not count
        yield connection
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


@contextlib.contextmanager
def _full_length(store: Path) -> Iterator[Path]:
    """The store, or where its end is cut off a copy filled up with zeros: SQLite reads nothing of a file that is
    shorter than its header says (https://www.sqlite.org/fileformat.html#the_database_header).
    """
    with store.open("rb") as file:  # nobody has it open: it is owned by this process, which has no connection to it
        header = file.read(32)
    page_bytes = {1: 65_536}.get(size := int.from_bytes(header[16:18]), size)
    wanted = page_bytes * int.from_bytes(header[28:32])
    if not store.stat().st_size < wanted <= _MOST_BYTES:
        yield store
        return
    with partial_file(store.with_name(f"{store.name}.filled")) as copy:
        shutil.copyfile(store, copy)
        os.truncate(copy, wanted)
        log = store.with_name(store.name + "-wal")
        if log.exists():
            beside = os.open(f"{copy}-wal", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with log.open("rb") as source, os.fdopen(beside, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        yield copy


@contextlib.contextmanager
def _damaged(store: Path) -> Iterator[sqlite3.Connection]:
    """The damaged store, open for reading.

    Raises:
        StoreError: SL556, it cannot even be told which tables it has.
    """
    try:
        connection = sqlite3.connect(f"file:{quote(str(store.absolute()))}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise StoreError.of("SL556", store, why=error) from None
    try:
        try:
            connection.execute("PRAGMA cell_size_check = ON")
            names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        except sqlite3.DatabaseError as error:
            raise StoreError.of("SL556", store, why=error) from None
        if not {"events", "files"} <= names:
            raise StoreError.of("SL556", store, why="it has no events and no files")
        yield connection
    finally:
        connection.close()


# ------------------------------------------------------------ tables


def _save_tables(
    source: sqlite3.Connection,
    target: sqlite3.Connection,
    saved: SalvageReport,
    progress: Callable[[int, int, str], None],
) -> None:
    tables = [
        (row[1], bool(row[4]))
        for row in target.execute("PRAGMA table_list").fetchall()
        if row[0] == "main" and row[2] == "table" and not row[1].startswith(("sqlite_", "_sqlite_"))
    ]
    for number, (table, without_rowid) in enumerate(tables):
        progress(number, len(tables), table)
        columns = _columns(source, table) & _columns(target, table)
        if not columns:
            continue
        names = ", ".join(f'"{name}"' for name in sorted(columns))
        statement = f'INSERT OR IGNORE INTO "{table}" ({names}) VALUES ({", ".join("?" * len(columns))})'  # noqa: S608 - names of the schema; values are bound
        reader = _Reader(source, table, names)
        rows = reader.by_key() if without_rowid else reader.by_id()
        saved.rows[table] = _insert(target, statement, rows)
        if reader.lost:
            saved.damaged.append(table)
        if table == "events":
            saved.lost_ranges = reader.lost
            keep_ids(target, reader.last)


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    with contextlib.suppress(sqlite3.DatabaseError):
        return {row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')}
    return set()


def _insert(target: sqlite3.Connection, statement: str, rows: Iterator[Row]) -> int:
    """Insert what is readable, and pass over rows that the new table refuses."""
    count = 0
    target.execute("BEGIN")
    for number, row in enumerate(rows, 1):
        with contextlib.suppress(sqlite3.IntegrityError, sqlite3.DataError):
            count += target.execute(statement, row).rowcount
        if number % _ROWS_PER_STEP == 0:
            target.execute("COMMIT")
            target.execute("BEGIN")
    target.execute("COMMIT")
    return count


class _Reader:
    """Reads the rows of one table as far as they can be read.

    `lost` has the ranges of ids that could not be read, ascending; `last` the highest id that there was.
    """

    def __init__(self, connection: sqlite3.Connection, table: str, columns: str) -> None:
        self._connection = connection
        self._table = table
        self._columns = columns
        self.lost: list[Range] = []
        self.last = self._find_last()

    def by_id(self) -> Iterator[Row]:
        """All readable rows of a table with ids."""
        pending: list[Range] = [(1, self.last)]
        while pending:
            first, last = pending.pop()
            at = first
            try:
                for row in self._connection.execute(
                    f'SELECT rowid, {self._columns} FROM "{self._table}" WHERE rowid BETWEEN ? AND ? ORDER BY rowid',  # noqa: S608 - names of the schema; values are bound
                    (first, last),
                ):
                    if row[0] < at:
                        raise sqlite3.DatabaseError("ids that do not rise")
                    at = row[0] + 1
                    yield row[1:]
            except _UNREADABLE:
                if last - at < _SMALLEST_RANGE and at == first:
                    yield from self._one_by_one(at, last)
                else:
                    middle = (at + last) // 2
                    pending += [(middle + 1, last), (at, middle)]

    def _one_by_one(self, first: int, last: int) -> Iterator[Row]:
        for number in range(first, last + 1):
            try:
                row = self._connection.execute(
                    f'SELECT {self._columns} FROM "{self._table}" WHERE rowid = ?',  # noqa: S608 - names of the schema; values are bound
                    (number,),
                ).fetchone()
            except _UNREADABLE:
                self._lose(number)
            else:
                if row is not None:
                    yield row

    def by_key(self) -> Iterator[Row]:
        """The rows of a table without ids: from both ends up to the damage."""
        for direction in ("ASC", "DESC"):
            order = ", ".join(f"{number} {direction}" for number in self._key())
            try:
                yield from self._connection.execute(
                    f'SELECT {self._columns} FROM "{self._table}" ORDER BY {order}'  # noqa: S608 - names of the schema; values are bound
                )
            except _UNREADABLE:
                self.lost = [(0, 0)]
            else:
                return

    def _key(self) -> list[str]:
        """The columns of the primary key, in its order."""
        rows = self._connection.execute(f'PRAGMA table_info("{self._table}")').fetchall()
        return [f'"{row[1]}"' for row in sorted(rows, key=lambda row: row[5]) if row[5]]

    def _lose(self, number: int) -> None:
        if self.lost and self.lost[-1][1] == number - 1:
            self.lost[-1] = (self.lost[-1][0], number)
        else:
            self.lost.append((number, number))

    def _find_last(self) -> int:
        """The highest id of the table; where there is none, or the table's end is damaged, that of what else names ids:
        the index of events, the files' counts of those that they gave, the ids that are kept.
        """
        pages, page_bytes = (self._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _SIZE)
        last, assumed = 0, min(_ASSUMED_IDS, pages * page_bytes // _LEAST_ROW_BYTES)
        with contextlib.suppress(*_UNREADABLE):
            last, assumed = self._connection.execute(f'SELECT max(rowid), 0 FROM "{self._table}"').fetchone()  # noqa: S608 - names of the schema; values are bound
        return last or self._named_elsewhere() or assumed

    def _named_elsewhere(self) -> int:
        found = 0
        for statement in _NAMING_IDS if self._table == "events" else ():
            with contextlib.suppress(*_UNREADABLE):
                found = max(found, self._connection.execute(statement).fetchone()[0] or 0)
        return found
