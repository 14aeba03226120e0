"""Reads answers in the format Native: blocks of columns.

https://clickhouse.com/docs/interfaces/formats/Native: of each block the numbers of columns and rows, then of each
column its name, its type, and its values. An old server whose question fails under way writes the error where the next
block would begin.
"""

from __future__ import annotations

import struct
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from agent.clickhouse import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.clickhouse.address import ClickHouseAddress

_NUMBERS = {  # codes of the module array, whose sizes are checked below
    "UInt8": "B",
    "Int8": "b",
    "UInt16": "H",
    "Date": "H",
    "UInt32": "I",
    "Int32": "i",
    "DateTime": "I",
    "UInt64": "Q",
    "Int64": "q",
    "Float64": "d",
}
assert array("I").itemsize == 4  # noqa: PLR2004 - of C's int, on every machine that Python runs on
_MOST_COLUMNS = 64  # of any question here; the error of an old server begins with a C, which is 67


class AnswerBlock(NamedTuple):
    """Some rows of an answer: the values of each column, texts as bytes."""

    names: list[str]
    columns: list[Any]
    rows: int


class _Source:
    """The bytes of an answer, of which more come when they are wanted."""

    def __init__(self, address: ClickHouseAddress, pieces: Iterator[bytes]) -> None:
        self._address = address
        self._pieces = pieces
        self.data = b""
        self.at = 0

    def more(self) -> bool:
        """Get the next piece; False at the end."""
        for piece in self._pieces:
            if piece:
                self.data = self.data[self.at :] + piece
                self.at = 0
                return True
        return False

    def take(self, size: int) -> bytes:
        while len(self.data) - self.at < size:
            if not self.more():
                self.cut()
        start = self.at
        self.at = start + size
        return self.data[start : self.at]

    def number(self) -> int:
        """One in the form of LEB128."""
        result = shift = 0
        while True:
            byte = self.take(1)[0]
            result |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the highest bit says that more follows
                return result
            shift += 7

    def texts(self, count: int) -> list[bytes]:
        """So many, each behind its length."""
        found: list[bytes] = []
        add = found.append
        data, at, end = self.data, self.at, len(self.data)
        for _ in range(count):
            start = at + 1
            if start < end and (size := data[at]) < 0x80 and (stop := start + size) <= end:  # noqa: PLR2004
                add(data[start:stop])
                at = stop
                continue
            self.at = at
            add(self.take(self.number()))
            data, at, end = self.data, self.at, len(self.data)
        self.at = at
        return found

    def values(self, kind: str, count: int) -> Any:
        """A column of a type."""
        if kind == "String":
            return self.texts(count)
        if kind == "LowCardinality(String)":
            return self._listed(count)
        code = _NUMBERS.get(kind)
        if code is None:
            raise faults.incomplete(self._address, f"a column of the type {kind!r}")
        found = array(code)
        found.frombytes(self.take(count * found.itemsize))
        return found

    def _listed(self, count: int) -> list[bytes]:
        """A column as the numbers of its values in a list that stands before them."""
        if not count:
            return []
        _, flags, size = struct.unpack("<QQQ", self.take(24))
        keys = self.texts(size)
        self.take(8)  # how many numbers there are
        places = array("BHIQ"[flags & 0xFF])
        places.frombytes(self.take(count * places.itemsize))
        return [keys[place] for place in places]

    def cut(self) -> NoReturn:
        raise faults.incomplete(self._address, "it ended within a block")

    def failed(self, begun: bytes) -> NoReturn:
        """The rest is an error of the server, or nothing that is understood."""
        while self.more() and len(self.data) < 65_536:  # noqa: PLR2004 - longer than any error
            pass
        raise faults.said(self._address, begun + self.data[self.at :])


def blocks(address: ClickHouseAddress, pieces: Iterator[bytes]) -> Iterator[AnswerBlock]:
    """The blocks of an answer that has rows.

    Args:
        address: who gives it.
        pieces: as `ClickHouseClient.query` gives them.

    Raises:
        ClickHouseError: the server says an error, or the answer ends before its end.
    """
    source = _Source(address, pieces)
    while source.at < len(source.data) or source.more():
        width = source.data[source.at]
        if width > _MOST_COLUMNS:
            source.failed(b"")
        source.at += 1
        rows = source.number()
        names: list[str] = []
        columns: list[Any] = []
        for _ in range(width):
            name, kind = (source.take(source.number()).decode() for _ in range(2))
            names.append(name)
            columns.append(source.values(kind, rows))
        if rows:
            yield AnswerBlock(names, columns, rows)
