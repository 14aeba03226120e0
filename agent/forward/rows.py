"""Stored events as rows of ClickHouse's table `events`: whole columns at once, without an object for each event.

What message, logger, service and trace of an event are is said by `StoredEvent` alone; here msgspec reads these members
of all records at once (`query.columns`), and what such columns cannot say, or not for certain, is looked up event by
event. `tests/forward/test_rows.py` holds both to the same rows.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from datetime import UTC, datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from agent.clickhouse import native
from agent.clickhouse.columns import EVENTS
from agent.core.fields import Profile
from agent.core.stored import FileInfo, resource_service
from agent.core.times import DAY_NS
from agent.query.columns import FieldColumns, UnfitError, field_paths
from agent.store import outgoing

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from agent.store.outgoing import Row

_ROLES = ("message", "logger", "service", "trace_id", "span_id")
_TEXTS = frozenset((str,))
(_ID, _TIMESTAMP, _OBSERVED, _SEVERITY, _FILE, _OFFSET, _GROUP, _RECORD, _RAW, _PARSE_ERROR) = range(10)


def fleet_group(fingerprint: str, version: int) -> int:
    """The number that a group of errors has on all machines: 48 bits, so that JavaScript can hold it."""
    return int.from_bytes(hashlib.sha256(f"{version}:{fingerprint}".encode()).digest()[:6], "big")


class EncodedPart(NamedTuple):
    """Rows of one partition: a server takes rows of 100 at once, and no more."""

    month: int  # 202611
    ids: list[int]
    body: bytes


class _File(NamedTuple):
    """A row of `files`, and what of it stands in each row of its events, encoded."""

    info: FileInfo
    profile: str
    source: bytes
    path: bytes
    resource: bytes
    profile_text: bytes
    service: str


class _Shape:
    """How records of files with one profile are read.

    To know that a record has no logger under any name, all names must be decoded, which takes as long again as the rest
    of it: that is done for those fields alone that some records lack.
    """

    def __init__(self, profile: Profile | None) -> None:
        places = [field_paths(role, profile) for role in _ROLES]
        self.places = [place for place in places if place is not None]
        self.is_readable = len(self.places) == len(_ROLES)
        self._lacking: frozenset[int] = frozenset()
        self._decoders: dict[frozenset[int], FieldColumns | None] = {}
        self._present = [_Presence(sorted(place.absent)) if place.absent else None for place in self.places]

    def read(self, records: bytes) -> tuple[list[list[Any]], list[int]] | None:
        """The columns of the roles, and the places of odd records; None: they cannot be read so."""
        if not self.is_readable:
            return None
        try:
            while (strict := self._decoder(self._lacking)) is not None:
                columns = strict.read(records)
                lacking = {role for role, column in enumerate(columns) if UNSET in column and self._is_told(role)}
                if lacking <= self._lacking:
                    return columns, self._odd(columns, None)
                self._lacking |= lacking
        except UnfitError:
            pass
        loose = self._decoder(frozenset())
        if loose is None:
            return None
        try:
            columns = loose.read(records)
            return columns, self._odd(columns, records)
        except UnfitError:
            return None

    def _is_told(self, role: int) -> bool:
        """Whether a record without the paths of a role, and without other names of it, does not have it."""
        return self.places[role].exhaustive

    def _decoder(self, lacking: frozenset[int]) -> FieldColumns | None:
        """What refuses records that have one of these roles under another name; None where that is not possible."""
        if lacking not in self._decoders:
            none: frozenset[str] = frozenset()
            places = [
                place if role in lacking else msgspec.structs.replace(place, absent=none)
                for role, place in enumerate(self.places)
            ]
            try:
                self._decoders[lacking] = FieldColumns(places, [False] * len(places), strict=True)
            except UnfitError:
                self._decoders[lacking] = None
        return self._decoders[lacking]

    def _odd(self, columns: list[list[Any]], records: bytes | None) -> list[int]:
        """Where a column is not the whole truth: no text stands there, or nothing and the record may have it elsewhere.

        Args:
            columns: of the roles.
            records: None: no record has a field under another of its names.
        """
        odd: set[int] = set()
        for place, column, present in zip(self.places, columns, self._present, strict=True):
            kinds = set(map(type, column))
            if kinds <= _TEXTS and "" not in column:
                continue
            if not place.exhaustive:
                odd.update(number for number, one in enumerate(column) if type(one) is not str or not one)
                continue
            if not kinds <= {str, UnsetType} or "" in column:
                odd.update(
                    number
                    for number, one in enumerate(column)
                    if one is not UNSET and (type(one) is not str or not one)
                )
            if records is not None and UnsetType in kinds and present is not None:
                elsewhere = present.find(records)
                odd.update(number for number in elsewhere if column[number] is UNSET)
        return sorted(odd)


class _Presence:
    """Finds the records that have one of some members."""

    def __init__(self, names: Sequence[str]) -> None:
        fields: list[Any] = [
            (f"f{number}", Raw | UnsetType, msgspec.field(name=name, default=UNSET))
            for number, name in enumerate(names)
        ]
        kind = msgspec.defstruct("Present", fields, frozen=True, gc=False)
        self._decode = msgspec.json.Decoder(list[kind]).decode  # type: ignore[valid-type]
        self._getters = [attrgetter(f"f{number}") for number in range(len(names))]

    def find(self, records: bytes) -> set[int]:
        """Their places."""
        try:
            rows = self._decode(records)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UnfitError from error
        found: set[int] = set()
        for getter in self._getters:
            found.update(number for number, value in enumerate(map(getter, rows)) if value is not UNSET)
        return found


class EventEncoder:
    """Makes rows of one agent's events. Used from one thread.

    Args:
        connection: read-only.
        agent: the agent's id.
    """

    def __init__(self, connection: sqlite3.Connection, agent: str) -> None:
        self._connection = connection
        self._agent = native.text(agent)
        self._files: dict[int, _File] = {}
        self._shapes: dict[str, _Shape] = {}
        self._loggers, self._services = native.TextCache(), native.TextCache()

    def files(self, ids: Iterable[int]) -> Mapping[int, FileInfo]:
        """The files of events, as they are now."""
        self._load(set(ids))
        return {number: file.info for number, file in self._files.items()}

    def encode(
        self,
        chunks: Iterable[Sequence[Row]],
        versions: Mapping[int, int] | None = None,
        gone: frozenset[int] = frozenset(),
    ) -> list[EncodedPart]:
        """Rows of the table, by partition; the same for the same events.

        Args:
            chunks: rows of `store.outgoing`, by id, some thousand at a time: what is made of them stays in the caches.
            versions: of events that have been sent before, the higher number of this form.
            gone: events that are to be there no more.
        """
        parts: dict[int, tuple[list[int], list[bytes]]] = {}
        for rows in chunks:
            if not rows:
                continue
            self._load({row[_FILE] for row in rows})
            groups = self._groups({row[_GROUP] for row in rows} - {None})
            for month, of_month in _by_month(rows):
                ids, blocks = parts.setdefault(month, ([], []))
                ids += [row[_ID] for row in of_month]
                for profile, some in self._by_profile(of_month):
                    blocks.append(self._block(profile, some, groups, versions or {}, gone))
        return [EncodedPart(month, ids, b"".join(blocks)) for month, (ids, blocks) in sorted(parts.items())]

    def _by_profile(self, rows: Sequence[Row]) -> Iterable[tuple[str, Sequence[Row]]]:
        files = {row[_FILE] for row in rows}
        if len({self._files[file].profile for file in files}) == 1:
            return [(self._files[next(iter(files))].profile, rows)]
        found: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            found[self._files[row[_FILE]].profile].append(row)
        return found.items()

    def _block(
        self,
        profile: str,
        rows: Sequence[Row],
        groups: Mapping[int | None, int],
        versions: Mapping[int, int],
        gone: frozenset[int],
    ) -> bytes:
        count = len(rows)
        columns = list(zip(*rows, strict=True))
        ids, files = columns[_ID], columns[_FILE]
        message, logger, service, trace_id, span_id = self._texts(profile, rows, columns)
        of_file = self._files[files[0]] if files.count(files[0]) == count else None
        data = [
            self._agent * count,
            native.integers("Int64", ids),
            native.integers("UInt64", [versions.get(one, 0) for one in ids]) if versions else bytes(8 * count),
            native.integers("UInt8", [one in gone for one in ids]) if gone else bytes(count),
            native.integers("Int64", columns[_TIMESTAMP]),
            native.integers("Int64", columns[_OBSERVED]),
            native.integers("UInt8", columns[_SEVERITY]),
            self._per_file(files, of_file, lambda file: file.source),
            self._per_file(files, of_file, lambda file: file.path),
            native.integers("Int64", columns[_OFFSET]),
            service,
            logger,
            message,
            trace_id,
            span_id,
            bytes(8 * count)
            if columns[_GROUP].count(None) == count
            else native.integers("UInt64", [groups.get(one, 0) for one in columns[_GROUP]]),
            native.binaries(columns[_RECORD]),
            _mostly_none(columns[_RAW], native.raw_text),
            _mostly_none(columns[_PARSE_ERROR], str),
            self._per_file(files, of_file, lambda file: file.resource),
            self._per_file(files, of_file, lambda file: file.profile_text),
        ]
        return native.block(EVENTS, data, count)

    def _per_file(self, files: Sequence[int], one: _File | None, value: Callable[[_File], bytes]) -> bytes:
        if one is not None:
            return value(one) * len(files)
        known = {number: value(self._files[number]) for number in set(files)}
        return b"".join([known[number] for number in files])

    def _texts(self, profile: str, rows: Sequence[Row], columns: Sequence[tuple[Any, ...]]) -> list[bytes]:
        """The columns of the five fields that records have under many names."""
        shape = self._shapes.get(profile)
        if shape is None:
            shape = self._shapes[profile] = _Shape(Profile.from_json(profile) if profile else None)
        found = shape.read(b"[%b]" % b",".join(columns[_RECORD]))
        if found is None:
            values: list[list[Any]] = [[UNSET] * len(rows) for _ in _ROLES]
            odd: Sequence[int] = range(len(rows))
        else:
            values, odd = found
        exact = {}
        for number in odd:
            row = rows[number]
            event = outgoing.stored_event(row, self._files[row[_FILE]].info)
            exact[number] = (event.body, event.logger, event.service, event.trace_id, event.span_id)
        return [self._text(role, values[role], exact, columns[_FILE]) for role in range(len(_ROLES))]

    def _text(
        self, role: int, column: list[Any], exact: Mapping[int, tuple[str | None, ...]], files: Sequence[int]
    ) -> bytes:
        name = _ROLES[role]
        for number, values in exact.items():
            column[number] = values[role] or ""
        missing = column.count(UNSET)
        if name == "service" and missing:
            column = [
                self._files[file].service if one is UNSET else one for one, file in zip(column, files, strict=True)
            ]
        elif missing == len(column):
            return bytes(missing)
        elif missing:
            column = ["" if one is UNSET else one for one in column]
        if name == "service":
            return b"".join(map(self._services.__getitem__, column))
        if name == "logger":
            return b"".join(map(self._loggers.__getitem__, column))
        if name == "trace_id" and "/traces/" in "".join(column):
            column = [one if number in exact else one.rpartition("/traces/")[2] for number, one in enumerate(column)]
        return native.texts(column)

    # ------------------------------------------------------------ what is beside the events

    def _load(self, wanted: set[int]) -> None:
        """Read the rows of files; again each time, for a file's profile is found while it is read."""
        rows = outgoing.file_rows(self._connection, sorted(wanted))
        for number, source, path, resource, profile in rows:
            known = self._files.get(number)
            texts = (native.text(source), native.text(path), native.text(resource), native.text(profile))
            if known is not None and known[2:6] == texts:
                continue
            labels = msgspec.json.decode(resource or "{}")
            info = FileInfo(number, source, path, labels, Profile.from_json(profile) if profile else None)
            self.add_file(number, info, resource, profile)
        for number in wanted - self._files.keys():  # nobody deletes the file of an event
            self.add_file(number, FileInfo(number, "", "", {}, None), "{}", "")

    def add_file(self, number: int, info: FileInfo, resource: str, profile: str) -> None:
        """Let a file be known that has no row.

        Args:
            number: by which events name it.
            info: the file.
            resource: its resource in JSON.
            profile: its profile in JSON; empty: none.
        """
        texts = (native.text(info.source), native.text(info.path), native.text(resource), native.text(profile))
        self._files[number] = _File(info, profile, *texts, resource_service(info.resource) or "")

    def _groups(self, wanted: set[int]) -> Mapping[int | None, int]:
        """The numbers on all machines of groups of this store."""
        if not wanted:
            return {}
        rows = outgoing.fingerprints(self._connection, sorted(wanted))
        return {number: fleet_group(fingerprint, version) for number, fingerprint, version in rows}


def _mostly_none(values: Sequence[Any], write: Callable[[Any], str]) -> bytes:
    """A column of texts in which most events have none."""
    if values.count(None) == len(values):
        return bytes(len(values))
    return native.texts(["" if one is None else write(one) for one in values])


def _by_month(rows: Sequence[Row]) -> Iterable[tuple[int, Sequence[Row]]]:
    """Rows by their partition, the months in order."""
    stamps = [row[_TIMESTAMP] for row in rows]
    first, last = month_of(min(stamps)), month_of(max(stamps))
    if first == last:
        return [(first, rows)]
    months = {day: month_of(day * DAY_NS) for day in {max(stamp, 0) // DAY_NS for stamp in stamps}}
    found: dict[int, list[Row]] = defaultdict(list)
    for row, stamp in zip(rows, stamps, strict=True):
        found[months[max(stamp, 0) // DAY_NS]].append(row)
    return sorted(found.items())


def month_of(timestamp: int) -> int:
    """The partition of an instant: 202611; that of 1970 for what is before it."""
    day = datetime.fromtimestamp(max(timestamp, 0) // 10**9, UTC)
    return day.year * 100 + day.month
