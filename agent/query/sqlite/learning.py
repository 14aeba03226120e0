"""Counting the commonest fields beforehand, when the agent has nothing else to do.

What people group and filter by again and again are a few fields with few values: service, route, status. Of each block
of 16,384 events their values are counted once, so that a question about one of them adds up some hundred short lists
(`learned`) instead of reading a million records. Which fields these are is seen from the newest events.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from agent.query.aggregate import sampled_fields
from agent.query.bulk import BlockQuestion
from agent.query.columns import UnfitError, basis_of, field_paths
from agent.query.fragments import encode
from agent.query.sqlite.blocks import read_bounded, spans_of
from agent.store import field_counts
from agent.store.events import Categories, Files, load_events
from agent.store.field_counts import BLOCK_EVENTS, MISSING, CountedBlock, FileCounts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from agent.core.stored import FileInfo
    from agent.query.engine import FieldSummary
    from agent.store.writer import StoreWriter

_MOST_FIELDS = 6
_SAMPLED = 1_000  # of the newest events
_MOST_SAMPLED_VALUES = 100  # that a field has in these
_LEAST_SHARE = 0.1  # of these that have the field
_MOST_VALUES = 512  # of a field in a block
_SHARE_OF_RECORDS = 0.03  # that the counts of a block may take of the bytes of its records
_CHOOSE_S = 3_600.0
_LOOK_S = 10.0  # how often to look whether another block is complete
_ALWAYS = "service"  # asked for where there is one of it, or none, as often as where there are many
_NO_DIMENSION = frozenset(("message", "trace_id", "span_id"))

_READ = (
    "SELECT min(e.file_id), max(e.file_id), min(e.timestamp), max(e.timestamp),"
    " CAST('[' || group_concat(e.record) || ']' AS BLOB)"
    " FROM events e NOT INDEXED WHERE e.id >= ? AND e.id <= ?"
)
_READ_BY_FILE = f"{_READ} GROUP BY e.file_id"  # to sort the records takes as long as all else


class Learner:
    """Counts block after block, the newest first. Used in the writer's thread.

    Args:
        writer: the open store.
        elapsed: monotonic seconds.
    """

    def __init__(self, writer: StoreWriter, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._writer = writer
        self._elapsed = elapsed
        self._fields: list[str] = []
        self._left: list[int] = []
        self._due_choice = self._due_look = -math.inf
        self._questions: dict[tuple[str, ...], BlockQuestion | None] = {}

    def step(self) -> bool:
        """Count a block, some 15 ms of work; whether there is more to do at once.

        Raises:
            StoreError: as `StoreWriter.change`.
        """
        now = self._elapsed()
        if not self._left and now >= self._due_look:
            self._due_look = now + _LOOK_S
            self._look(now)
        if self._left:
            number = self._left.pop()
            self._writer.change(lambda connection: self._count(connection, number))
        return bool(self._left)

    def _look(self, now: float) -> None:
        connection = self._writer.connection
        if field_counts.highest_block(connection) < 0:  # a small store answers at once
            return
        if now >= self._due_choice:
            self._due_choice = now + _CHOOSE_S
            self._writer.change(self._choose)
        self._left = field_counts.uncounted_blocks(connection, len(self._fields)) if self._fields else []

    # ------------------------------------------------------------ which fields

    def _choose(self, connection: sqlite3.Connection) -> None:
        self._questions.clear()
        chosen = choose_fields(connection)
        known = [name for name in field_counts.counted_fields(connection) if name not in chosen]
        self._fields = sorted([*chosen, *known][:_MOST_FIELDS])
        field_counts.set_counted_fields(connection, self._fields)
        field_counts.forget_expired(connection)
        files = Files(connection)
        bases = {name: {file.id: basis_of(name, file.profile) for file in files.values()} for name in self._fields}
        field_counts.forget_others(connection, bases)

    # ------------------------------------------------------------ a block

    def _count(self, connection: sqlite3.Connection, number: int) -> None:
        files = Files(connection)
        part = _Part(self._fields)
        start = number * BLOCK_EVENTS
        for span in spans_of(start, start + BLOCK_EVENTS - 1):
            rows = read_bounded(connection, _READ, span)
            if rows and rows[0][0] != rows[0][1]:
                rows = read_bounded(connection, _READ_BY_FILE, span)
            for file_id, _, earliest, latest, records in rows or ():
                if file_id is None:  # no event has one of the ids
                    continue
                part.since, part.last = min(part.since, earliest), max(part.last, latest)
                part.bytes += len(records)
                self._add(part, files[file_id], records)
            if rows is None:
                part.values = dict.fromkeys(self._fields)
        first_id = field_counts.first_id_from(connection, start)
        for name, counts in _encoded(part, files).items():
            since, last = (0, 0) if counts is None else (int(part.since), int(part.last))
            field_counts.save(connection, name, CountedBlock(number, since, last, first_id, counts))

    def _add(self, part: _Part, file: FileInfo, records: bytes) -> None:
        """Add the records of one file."""
        question = self._question(file)
        try:
            read = None if question is None else question.columns(records)
        except UnfitError:
            read = None
        for name, of_files in part.values.items():
            if of_files is None:
                continue
            values = of_files.setdefault(file.id, Counter())
            if read is not None and not read.odd[name]:
                values.update(read.counted[name])
            if read is None or read.odd[name] or len(values) > _MOST_VALUES:
                part.values[name] = None

    def _question(self, file: FileInfo) -> BlockQuestion | None:
        """What is asked of the records of a file; kept, since it learns how they are written."""
        places = tuple(basis_of(name, file.profile) for name in self._fields)
        if places not in self._questions:
            try:
                self._questions[places] = BlockQuestion((), self._fields, [file])
            except UnfitError:
                self._questions[places] = None
        return self._questions[places]


class _Part:
    """What has been counted of a block: of each field the values of each file, None where they cannot be counted."""

    def __init__(self, fields: Sequence[str]) -> None:
        self.values: dict[str, dict[int, Counter[Any]] | None] = {name: {} for name in fields}
        self.since: float = math.inf
        self.last: float = -math.inf
        self.bytes = 0  # of records


def _encoded(part: _Part, files: Files) -> dict[str, bytes | None]:
    """The column `counts` of each field: the shortest ones that are short enough together."""
    found: dict[str, bytes | None] = dict.fromkeys(part.values)
    room = _SHARE_OF_RECORDS * part.bytes
    encoded = [
        (name, field_counts.encode([_file_counts(name, files[number], values) for number, values in of_files.items()]))
        for name, of_files in part.values.items()
        if of_files is not None
    ]
    for name, counts in sorted(encoded, key=lambda pair: len(pair[1])):
        room -= len(counts)
        if room < 0:
            break
        found[name] = counts
    return found


def _file_counts(name: str, file: FileInfo, values: Counter[Any]) -> FileCounts:
    written: Counter[str] = Counter()
    for value, count in values.items():
        written[_as_json(value)] += count
    return FileCounts(file.id, basis_of(name, file.profile), list(written.items()))


def _as_json(value: Any) -> str:
    if value is UNSET:
        return MISSING
    return (value if isinstance(value, bytes) else encode(value)).decode()


# ---------------------------------------------------------------- which fields


def choose_fields(connection: sqlite3.Connection) -> list[str]:
    """The fields by which the newest events can be told apart into few kinds, the most frequent first."""
    newest = connection.execute("SELECT id FROM events ORDER BY id DESC LIMIT ?", (_SAMPLED,)).fetchall()
    events = load_events(connection, [number for (number,) in newest], Files(connection))
    summaries = sampled_fields(events, Categories(connection), _MOST_SAMPLED_VALUES + 1)
    found = [_ALWAYS, *(one.name for one in summaries if one.name != _ALWAYS and _is_dimension(one, len(events)))]
    return [name for name in found if not any(other.startswith(f"{name}.") for other in found)][:_MOST_FIELDS]


def _is_dimension(field: FieldSummary, events: int) -> bool:
    if field.name in _NO_DIMENSION or field_paths(field.name, None) is None:
        return False
    told_apart = sum(count for _, count in field.values)
    few = 1 < len(field.values) <= _MOST_SAMPLED_VALUES
    return few and field.count >= _LEAST_SHARE * events and told_apart == field.count
