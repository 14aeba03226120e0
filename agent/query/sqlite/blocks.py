"""Reading the store in blocks: one statement for some thousand events at a time gives what is wanted of all of them.

Blocks are spans of ids where the question is about most events, for a table is read fastest in the order of storage;
two threads read them ahead, since SQLite lets go of the interpreter while it reads. Where an index leaves out most of
the events, blocks are spans of that.
"""

from __future__ import annotations

import queue
import threading
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.store.reader import open_reader

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from agent.query.sqlite.skipping import BlockFilter

BLOCK_ROWS = 4_096  # 1.3 MB of usual records: 1 ms to read, and what is made of them stays in the processor's caches
_BLOCK_BYTES = 32 * 1024 * 1024  # of a block with long records more is not held: it is read in parts
_AHEAD = 4  # blocks that are read but not taken
_FEW = 4  # blocks that are read before there are threads

IdSpan = tuple[int, int]  # [first, last]


class Block(NamedTuple):
    """What the statement says of a span: an empty row where no event of it matches, None where it is too much."""

    span: IdSpan
    row: tuple[Any, ...] | None


class Statement(NamedTuple):
    """What is asked of each block.

    Attributes:
        sql: with two `?` at its end, for the first id and the last.
        parameters: of what stands before.
        filter: of the blocks that need not be asked.
    """

    sql: str
    parameters: Sequence[Any]
    filter: BlockFilter | None = None


def spans_of(first: int, last: int) -> Iterator[IdSpan]:
    """The blocks of all ids from `first` to `last`."""
    for low in range(first, last + 1, BLOCK_ROWS):
        yield low, min(low + BLOCK_ROWS - 1, last)


def halves(span: IdSpan) -> tuple[IdSpan, IdSpan]:
    """A span of more than one id as two."""
    middle = (span[0] + span[1]) // 2
    return (span[0], middle), (middle + 1, span[1])


def read_block(connection: sqlite3.Connection, statement: Statement, span: IdSpan) -> Block:
    """Ask of one span.

    Args:
        connection: a reader's.
        statement: what.
        span: of ids.
    """
    if statement.filter is not None and statement.filter.pays:
        found = read_bounded(connection, statement.filter.sql, span)
        if found is None:
            return Block(span, None)
        records, lines = found[0]
        if not statement.filter.passes(records, lines):
            return Block(span, ())
    rows = read_bounded(connection, statement.sql, (*statement.parameters, *span))
    return Block(span, None if rows is None else next(iter(rows), ()))  # no row where there is nothing to count by


def read_bounded(connection: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]] | None:
    """The rows of a statement that joins records; None where one of them is too long to be held."""
    import sqlite3  # noqa: PLC0415 - its constants alone

    longest = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _BLOCK_BYTES)
    try:
        return connection.execute(sql, parameters).fetchall()
    except sqlite3.DataError:
        return None
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname == "SQLITE_TOOBIG":
            return None
        raise
    finally:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)


def read_blocks(
    connection: sqlite3.Connection,
    path: Path | None,
    statement: Statement,
    spans: Iterable[IdSpan],
    *,
    threads: int = 2,
) -> Generator[Block]:
    """Ask of spans, in any order.

    Args:
        connection: a reader's, for few spans.
        path: of the store, to which each thread opens a connection of its own; None: without threads.
        statement: what.
        spans: of ids; a few are read without threads.
        threads: how many.
    """
    left = iter(spans)
    for span in islice(left, None if path is None else _FEW):
        yield read_block(connection, statement, span)
    if path is None:
        return
    readers = _Readers(path, statement, left, threads)
    try:
        yield from readers.blocks()
    finally:
        readers.end()


class _Readers:
    def __init__(self, path: Path, statement: Statement, spans: Iterator[IdSpan], threads: int) -> None:
        self._path, self._statement, self._left = path, statement, spans
        self._lock = threading.Lock()
        self._found: queue.SimpleQueue[Block | BaseException | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(_AHEAD)
        self._connections: list[sqlite3.Connection] = []
        self._threads = [threading.Thread(target=self._read, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def blocks(self) -> Generator[Block]:
        """What is found, until all spans are read."""
        running = len(self._threads)
        while running:
            found = self._found.get()
            if found is None:
                running -= 1
            elif isinstance(found, BaseException):
                raise found
            else:
                self._room.release()
                yield found

    def end(self) -> None:
        """End the threads, whatever they do."""
        with self._lock:
            self._left = iter(())
            for connection in self._connections:
                connection.interrupt()
        for _ in self._threads:
            self._room.release()
        for thread in self._threads:
            thread.join()

    def _read(self) -> None:
        try:
            connection = open_reader(self._path)
            try:
                with self._lock:
                    self._connections.append(connection)
                while True:
                    self._room.acquire()
                    with self._lock:
                        span = next(self._left, None)
                    if span is None:
                        break
                    self._found.put(read_block(connection, self._statement, span))
            finally:
                with self._lock:
                    self._connections.remove(connection)
                connection.close()
        except BaseException as error:  # noqa: BLE001 - raised where blocks are taken
            self._found.put(error)
        else:
            self._found.put(None)
