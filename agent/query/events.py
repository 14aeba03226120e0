"""Rows of the store as events that decode only what is asked of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.event import RAW_CARRIAGE_RETURN, RAW_MESSAGE
from agent.core.fields import (
    Profile,
    RecordFields,
    exact_int,
    find,
    read_fields,
    read_message,
    read_service,
    read_trace_id,
)

if TYPE_CHECKING:
    import sqlite3

Row = tuple[Any, ...]
COLUMNS = (
    'e.id, e.timestamp, e.observed_timestamp, e.severity_number, e.file_id, e."offset", e.group_id,'
    " e.record, e.raw, e.parse_error"
)
SERVICE_NAME = "service.name"

_decode = msgspec.json.Decoder().decode


def decode_record(record: str) -> dict[str, Any]:
    """A record as an object, integers exact at any size; the last of duplicate keys wins."""
    try:
        value = _decode(record)  # 1.2 µs; orjson would round integers beyond 64 bits
    except (msgspec.MsgspecError, RecursionError):
        value = json.loads(record, parse_int=exact_int)
    return value if type(value) is dict else {"message": record}


class FileInfo(msgspec.Struct):
    """What readers need of a row of `files`."""

    id: int
    source: str
    path: str
    resource: dict[str, Any]
    profile: Profile | None
    identity: tuple[int, int, int]  # device, inode, generation
    offset: int  # every byte before it is stored


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

    def __iter__(self) -> Any:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _file(row: Row) -> FileInfo:
    resource = json.loads(row[3] or "{}")
    profile = Profile.from_json(row[4]) if row[4] else None
    return FileInfo(row[0], row[1], row[2], resource, profile, (row[5], row[6], row[7]), row[8])


def time_order(timestamp: int, id_: int) -> tuple[int, bool, int]:
    """What events are sorted by: the instant; of one instant what is archived (its id is negative) comes first, in the
    order of the archives and their lines, then what is stored, in the order of storage.
    """
    return timestamp, id_ >= 0, abs(id_)


class StoredEvent:
    """One row of `events` with its file; everything in it is decoded when first asked for."""

    def __init__(self, row: Row, file: FileInfo) -> None:
        self.id: int = row[0]
        self.timestamp: int = row[1]
        self.observed_timestamp: int = row[2]
        self.severity_number: int = row[3]
        self.file = file
        self.offset: int = row[5]
        self.group: int | None = row[6]
        self.record: str = row[7]
        self.raw: bytes | int | None = row[8]
        self.parse_error: str | None = row[9]

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
        if self.raw is None:
            return self.record.encode("utf-8", "surrogatepass")
        if self.raw == RAW_CARRIAGE_RETURN:
            return self.record.encode("utf-8", "surrogatepass") + b"\r"
        if self.raw == RAW_MESSAGE:
            return str(self.fields.get("message", "")).encode("utf-8", "surrogatepass")
        return bytes(self.raw)


def resource_service(resource: dict[str, Any]) -> str | None:
    """The `service.name` of a resource."""
    found = resource.get(SERVICE_NAME)
    return found if type(found) is str else None


class Categories(Mapping[int, str]):
    """The category of each error group, read when first needed and again for a group it did not have."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: dict[int, str] = {}

    def __getitem__(self, group: int) -> str:
        if group not in self._known:
            self._known = dict(self._connection.execute("SELECT id, category FROM error_groups"))
        return self._known[group]

    def __iter__(self) -> Any:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)
