"""A stored event as a row: its severity, and the one codec between a line and its record.

Apart from `model` and `stored`, so that a command does not pay for the classes that it never uses (13 ms).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# OpenTelemetry's severity numbers (https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber)
SEVERITY_TEXTS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
TRACE, DEBUG, INFO, WARN, ERROR, FATAL = 1, 5, 9, 13, 17, 21  # first number of each range; 0 is unknown

# Values of `events.raw` that are not the original bytes themselves; NULL: the line is the record. A text is a code of
# `core.wrapping`, for lines of a container runtime.
RAW_CARRIAGE_RETURN = 1  # the line is the record and a carriage return
RAW_MESSAGE = 2  # the line is the record's `message`, encoded as UTF-8
RAW_JOURNAL = 8  # the line is an entry of a journal, and the record has its fields (`agent.core.journal`)

REDACTED = "[redacted]"  # what stands in a record in place of a value that is to be hidden


def severity_text(number: int) -> str | None:
    """`ERROR` for 17 to 20 and so on; None for 0 and anything outside 1 to 24."""
    return SEVERITY_TEXTS[(number - 1) // 4] if 0 < number <= 4 * len(SEVERITY_TEXTS) else None


# ---------------------------------------------------------------- a line and its record


def original_of(record: str | bytes, raw: bytes | int | str | None) -> bytes:
    """The line or lines of an event as they were in the file, without the last newline.

    Args:
        record: the column `record`; bytes: its UTF-8.
        raw: the column `raw`: the line itself, a RAW_* number, a code, or None where the record is the line.
    """
    if isinstance(raw, bytes):
        return raw
    if isinstance(raw, str):
        from agent.core.wrapping import lines_of  # noqa: PLC0415 - of containers alone

        return lines_of(raw, record.decode("utf-8", "surrogatepass") if isinstance(record, bytes) else record)
    if raw == RAW_MESSAGE:
        from agent.core.fields import load_record  # noqa: PLC0415 - most who know severities read no record: 4 ms

        text = record.decode("utf-8", "surrogatepass") if isinstance(record, bytes) else record
        return str(load_record(text).get("message", "")).encode("utf-8", "surrogatepass")
    if raw == RAW_JOURNAL:
        from agent.core.fields import load_record  # noqa: PLC0415
        from agent.core.journal import line_of  # noqa: PLC0415

        return line_of(load_record(record.decode() if isinstance(record, bytes) else record))
    line = record if isinstance(record, bytes) else record.encode("utf-8", "surrogatepass")
    return line + b"\r" if raw == RAW_CARRIAGE_RETURN else line


def raw_of_record(line: bytes, record: bytes) -> bytes | int | None:
    """The column `raw` of a line whose record, in UTF-8, is this: `original_of` gives the line back."""
    if line == record:
        return None
    return RAW_CARRIAGE_RETURN if len(line) == len(record) + 1 and line == record + b"\r" else line


def raw_of_message(line: bytes, message: str) -> bytes | int:
    """The column `raw` of a line whose record is an object made of it, with this `message`."""
    return RAW_MESSAGE if message.encode("utf-8", "surrogatepass") == line else line


# ---------------------------------------------------------------- rows and events


class EventRow(NamedTuple):
    """A row of `events`: the columns that readers ask for, in their order (`store.events.EVENT_COLUMNS`)."""

    id: int
    timestamp: int  # Unix ns
    observed_timestamp: int  # Unix ns
    severity_number: int
    file_id: int
    offset: int  # of the first byte of its line
    group_id: int | None
    record: str  # JSON
    raw: bytes | int | str | None = None  # see `original_of`
    parse_error: str | None = None


# From a tuple in the order of the fields: 0.1 µs, where the class itself takes 0.3 and keywords 0.5.
event_row: Callable[[Iterable[Any]], EventRow] = partial(tuple.__new__, EventRow)


def event_rows(rows: Iterable[tuple[Any, ...]]) -> Iterator[EventRow]:
    """Rows that a statement gave for the columns of EventRow."""
    return map(event_row, rows)
