"""Rows as ClickHouse's Native format has them: blocks of columns, for inserts.

A block is varint columns, varint rows, and then of each column its name, its type and its values; texts stand behind
their lengths, integers are little endian (https://clickhouse.com/docs/interfaces/formats/Native). Made of columns, not
of rows: a loop over a column costs 0.1 µs a value, one over rows ten times that.
"""

from __future__ import annotations

import array
import base64
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.clickhouse.columns import TableColumn

_CODES = {"UInt8": "B", "UInt32": "I", "Int64": "q", "UInt64": "Q"}
_SHORT = 1 << 14  # lengths of up to two bytes are looked up


def varint(number: int) -> bytes:
    """LEB128, as lengths are written."""
    found = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


_LENGTHS = [varint(number) for number in range(_SHORT)]
# The same as texts of one character a byte: what is all ASCII is written in one piece, without bytes for each value.
_LENGTH_TEXTS = [length.decode("latin-1") for length in _LENGTHS]


def text(value: str) -> bytes:
    """One text. Half of a surrogate pair goes as the bytes that it would have: the column holds any."""
    data = value.encode("utf-8", "surrogatepass")
    return varint(len(data)) + data


def read_text(data: bytes) -> str:
    """The text of a value, as `text` has written it."""
    return data.decode("utf-8", "surrogatepass")


def texts(values: Sequence[str]) -> bytes:
    """A column of texts."""
    if "".join(values).isascii():
        flat = [""] * (2 * len(values))
        try:
            flat[0::2] = [_LENGTH_TEXTS[length] for length in map(len, values)]
        except IndexError:
            pass
        else:
            flat[1::2] = values
            return "".join(flat).encode("latin-1")
    return binaries([value.encode("utf-8", "surrogatepass") for value in values])


def binaries(values: Sequence[bytes]) -> bytes:
    """A column of texts that are encoded already."""
    flat = [b""] * (2 * len(values))
    try:
        flat[0::2] = [_LENGTHS[length] for length in map(len, values)]
    except IndexError:
        flat[0::2] = [varint(len(value)) for value in values]
    flat[1::2] = values
    return b"".join(flat)


class TextCache(dict[str, bytes]):
    """Encoded texts of a column that has few: `b"".join(map(cache.__getitem__, values))` is the column."""

    _MOST = 10_000

    def __missing__(self, value: str) -> bytes:
        if len(self) >= self._MOST:
            self.clear()
        found = self[value] = text(value)
        return found


def integers(kind: str, values: Sequence[int]) -> bytes:
    """A column of integers; `kind` as ClickHouse names it."""
    found = array.array(_CODES[kind], values)
    if sys.byteorder == "big":  # pragma: no cover - no such machine here
        found.byteswap()
    return found.tobytes()


def block(columns: Sequence[TableColumn], data: Sequence[bytes], rows: int) -> bytes:
    """A block.

    Args:
        columns: in the order of the INSERT.
        data: of each its values.
        rows: how many.
    """
    parts = [varint(len(columns)), varint(rows)]
    for column, values in zip(columns, data, strict=True):
        parts += (text(column.name), text(column.kind), values)
    return b"".join(parts)


def rows_block(columns: Sequence[TableColumn], rows: Sequence[Sequence[str | int]]) -> bytes:
    """A block of a few rows, each with a value for each column."""
    data = []
    for number, column in enumerate(columns):
        values = [row[number] for row in rows]
        if column.kind == "String":
            data.append(texts([str(value) for value in values]))
        else:
            data.append(integers(column.kind, [int(value) for value in values]))
    return block(columns, data, len(rows))


# ---------------------------------------------------------------- the column `raw`


def raw_text(raw: bytes | int | str | None) -> str:
    """The column `raw` of an event as one text: the kind of its value, and the value."""
    if raw is None:
        return ""
    if isinstance(raw, int):
        return f"i{raw}"
    return f"t{raw}" if isinstance(raw, str) else f"b{base64.b64encode(raw).decode()}"


def read_raw(data: bytes) -> bytes | int | str | None:
    """The column `raw` of a store, of that of the table: its kind, and behind it the value."""
    if not data:
        return None
    kind, rest = data[:1], data[1:]
    if kind == b"b":
        return base64.b64decode(rest)
    return int(rest) if kind == b"i" else read_text(rest)
