"""A stored event: its row, its file, what its record says, and the one codec between a line and its record.

Apart from `model`, so that a command which only reads does not pay for the classes that it never uses (13 ms).
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from agent.core.fields import (
    Profile,
    RecordFields,
    decode_record,
    find,
    load_record,
    read_fields,
    read_message,
    read_service,
    read_trace_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# OpenTelemetry's severity numbers (https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber)
SEVERITY_TEXTS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
TRACE, DEBUG, INFO, WARN, ERROR, FATAL = 1, 5, 9, 13, 17, 21  # first number of each range; 0 is unknown

# Values of `events.raw` that are not the original bytes themselves; NULL: the line is the record.
RAW_CARRIAGE_RETURN = 1  # the line is the record and a carriage return
RAW_MESSAGE = 2  # the line is the record's `message`, encoded as UTF-8

REDACTED = "[redacted]"  # what stands in a record in place of a value that is to be hidden
SERVICE_NAME = "service.name"  # OpenTelemetry's resource attribute


def severity_text(number: int) -> str | None:
    """`ERROR` for 17 to 20 and so on; None for 0 and anything outside 1 to 24."""
    return SEVERITY_TEXTS[(number - 1) // 4] if 0 < number <= 4 * len(SEVERITY_TEXTS) else None


# ---------------------------------------------------------------- a line and its record


def original_of(record: str | bytes, raw: bytes | int | None) -> bytes:
    """The line or lines of an event as they were in the file, without the last newline.

    Args:
        record: the column `record`; bytes: its UTF-8.
        raw: the column `raw`: the line itself, a RAW_* number, or None where the record is the line.
    """
    if isinstance(raw, bytes):
        return raw
    if raw == RAW_MESSAGE:
        text = record.decode("utf-8", "surrogatepass") if isinstance(record, bytes) else record
        return str(load_record(text).get("message", "")).encode("utf-8", "surrogatepass")
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
    raw: bytes | int | None  # see `original_of`
    parse_error: str | None


# From a tuple in the order of the fields: 0.1 µs, where the class itself takes 0.3 and keywords 0.5.
event_row: Callable[[Iterable[Any]], EventRow] = partial(tuple.__new__, EventRow)


def event_rows(rows: Iterable[tuple[Any, ...]]) -> Iterator[EventRow]:
    """Rows that a statement gave for the columns of EventRow."""
    return map(event_row, rows)


class FileInfo(msgspec.Struct):
    """What readers need of a row of `files`."""

    id: int
    source: str
    path: str
    resource: dict[str, Any]
    profile: Profile | None
    identity: tuple[int, int, int] = (0, 0, 0)  # device, inode, generation
    offset: int = 0  # every byte before it is stored


class StoredEvent:
    """An event with its file; everything in its record is decoded when first asked for."""

    def __init__(self, row: EventRow, file: FileInfo) -> None:
        self.file = file
        self.id: int
        self.timestamp: int
        self.observed_timestamp: int
        self.severity_number: int
        self.offset: int
        self.group: int | None
        self.record: str
        self.raw: bytes | int | None
        self.parse_error: str | None
        (  # in one go: half the time of ten looks into the tuple
            self.id,
            self.timestamp,
            self.observed_timestamp,
            self.severity_number,
            _,
            self.offset,
            self.group,
            self.record,
            self.raw,
            self.parse_error,
        ) = row

    @property
    def source(self) -> str:
        """The source's name."""
        return self.file.source

    @property
    def path(self) -> str:
        """The path under which the file was first followed."""
        return self.file.path

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The record, decoded."""
        return decode_record(self.record)

    @cached_property
    def read(self) -> RecordFields:
        """What the record says about itself."""
        return read_fields(self.fields, self.file.profile)

    @cached_property
    def body(self) -> str:
        """The message."""
        return read_message(self.fields, self.file.profile)[1]

    @property
    def logger(self) -> str | None:
        """The logger's name: what `read` says, found without reading the rest (1 µs instead of 12)."""
        profile = self.file.profile
        if profile is not None and profile.logger is not None and "logger" not in profile.overrides:
            value = find(self.fields, profile.logger)
            if type(value) is str and value:
                return value
        return self.read.logger

    @cached_property
    def own_service(self) -> str | None:
        """The service that the line itself names."""
        return read_service(self.fields, self.file.profile)

    @property
    def service(self) -> str | None:
        """The service that the line names, or else the file's label."""
        return self.own_service or resource_service(self.file.resource)

    @cached_property
    def trace_id(self) -> str | None:
        """The trace."""
        return read_trace_id(self.fields, self.file.profile)[1]

    @property
    def span_id(self) -> str | None:
        """The span."""
        return self.read.span_id

    @property
    def resource(self) -> dict[str, Any]:
        """The file's resource with the service that the line names."""
        own = self.own_service
        return self.file.resource if own is None else {**self.file.resource, SERVICE_NAME: own}

    def original(self) -> bytes:
        """The line or lines as they were in the file, without the last newline."""
        return original_of(self.record, self.raw)


def resource_service(resource: dict[str, Any]) -> str | None:
    """The `service.name` of a resource."""
    found = resource.get(SERVICE_NAME)
    return found if type(found) is str else None
