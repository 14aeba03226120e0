"""Counting what SQL alone cannot decide, in blocks: most of it in SQL, fields in columns, and few events one by one.

SQL narrows down to candidates (`plan`), and says of a text whether it is surely there: where it stands in a record
without an escape. Fields of candidates are decided and counted in columns (`agent.query.bulk`). What neither can say of
an event is decided by the event itself, so that the answer is always that of looking at each.
"""

# ruff: noqa: S608 - statements are built from this package's own words; every value is bound

from __future__ import annotations

from collections import Counter, deque
from contextlib import closing, suppress
from itertools import repeat
from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.stored import StoredEvent
from agent.query.aggregate import count_event
from agent.query.bulk import BlockQuestion, fragment_of, keys_of
from agent.query.columns import UnfitError, field_paths
from agent.query.sqlite.blocks import BLOCK_ROWS, IdSpan, Statement, halves, read_block, read_blocks
from agent.query.sqlite.bulkplan import bulk_plan
from agent.query.sqlite.learned import learned_counts, promising_spans
from agent.query.sqlite.plan import ALL, BY_TIME, Clause
from agent.query.sqlite.scan import FILE_ID
from agent.query.sqlite.skipping import block_filter
from agent.query.sqlite.twin import Twin, TwinRequest
from agent.query.terms import terms_of
from agent.store.events import EVENT_COLUMNS, load_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from agent.core.stored import FileInfo
    from agent.query.engine import Counts, Fragment
    from agent.query.language import Grouping
    from agent.query.sqlite.blocks import Block
    from agent.query.sqlite.scan import EventScan, ScanKey

_MOST_CLASSES = 8  # of files whose records differ: each is a column of the statement
_SMALL_SPAN = 64  # events; fewer are looked at one by one
_GIVEN_UP = 3  # blocks in a row of which nothing could be read in columns
_WORTH_TWIN = 100  # blocks, which take 0.3 s
_LOADED = 500  # events that are held at once
_EVERY_ID: IdSpan = (-(2**63), 2**63 - 1)
_decode = msgspec.json.Decoder(list[Any]).decode  # of integers and nulls


class _Class:
    """Files in whose records the fields that are asked for stand at the same places, and what is counted of them.

    Args:
        question: about their records; None: no record has to be read.
        files: of the class; None: all.
    """

    def __init__(self, question: BlockQuestion | None, files: Iterable[FileInfo] | None = None) -> None:
        self.question = question
        self.filter = "" if files is None else f"e.file_id IN ({','.join(str(file.id) for file in files)})"
        self.counts: Counter[Any] = Counter()  # of the keys of `BlockKeys`

    @property
    def needs_files(self) -> bool:
        """Whether the file of a record says something about its fields."""
        return self.question is not None and self.question.needs_files


class BulkCount:
    """One counting of a selection.

    Args:
        scan: the selection, over the events up to an id.
        twin: whether another process may count a part.
        grouping: what is counted.
        columns: SQL of what stands in columns of the store, by the names of fields.
        value: of a field in a column of the store, what its cell is counted as.

    Raises:
        UnfitError: it cannot be counted so.
    """

    def __init__(
        self,
        scan: EventScan,
        grouping: Grouping,
        columns: Mapping[str, str],
        value: Callable[[str, int | None], Fragment],
        *,
        twin: bool = False,
    ) -> None:
        plan = bulk_plan(scan)
        if plan is None:
            raise UnfitError
        self._scan, self._grouping, self._plan = scan, grouping, plan
        self._columns, self._value, self._may_twin = columns, value, twin
        self._by = tuple(dict.fromkeys(name for name in grouping.by if name not in columns))
        self._classes = self._classify() if self._by or plan.fields else [_Class(None)]
        self._beside = self._what_stands_beside()
        self._others: Counts = Counter()  # what was looked at one by one
        self._filter = block_filter(scan.selection.query.analysis, scan.files)
        self._looked_at = 0
        self._failed = 0

    def _classify(self) -> list[_Class]:
        names = [*self._by, *(str(term.field) for term in terms_of(self._plan.fields))]
        found: dict[Any, list[FileInfo]] = {}
        for file in self._scan.files.values():
            found.setdefault(tuple(field_paths(name, file.profile) for name in names), []).append(file)
        if len(found) > _MOST_CLASSES:
            raise UnfitError
        return [
            _Class(BlockQuestion(self._plan.fields, self._by, files), files if len(found) > 1 else None)
            for files in found.values()
        ]

    def _what_stands_beside(self) -> list[str]:
        """SQL of integers that are counted by, or say the file of a record: the bucket first where there are any."""
        cells = dict.fromkeys(self._columns[name] for name in self._grouping.by if name in self._columns)
        if any(one.needs_files for one in self._classes):
            cells["e.file_id"] = None
        return [*([bucket_sql(self._grouping.every_ns)] if self._grouping.every_ns is not None else []), *cells]

    # ------------------------------------------------------------ blocks

    def count(self) -> Counts:
        """How many events match, by fields and buckets."""
        if self._plan.candidates.empty:
            return Counter()
        whole = self._id_span()
        if whole is None:
            self._count_by_index()
            return self.resolved()
        learned = learned_counts(self._scan, self._grouping)
        if learned is None:
            spans = promising_spans(self._scan, *whole)
        else:
            known, spans = learned.count(*whole)
            self._others.update(known)
        if self._scan.path is not None and self._is_worth_a_twin(spans):
            return self._count_with_twin(self._scan.path, deque(spans))
        self.add_spans(spans)
        return self.resolved()

    def _is_worth_a_twin(self, spans: Sequence[IdSpan]) -> bool:
        """Whether much is to be decoded: SQL goes on in threads of this process."""
        decodes = not self._plan.narrow and any(one.question for one in self._classes)
        return self._may_twin and decodes and len(spans) >= _WORTH_TWIN

    def add_spans(self, spans: Iterable[IdSpan], threads: int = 2) -> None:
        """Count the events with these ids, in the order of storage."""
        statement = self._statement("NOT INDEXED", self._in_time())._replace(filter=self._filter)
        found = read_blocks(self._scan.connection, self._scan.path, statement, spans, threads=threads)
        with closing(found) as blocks:
            for block in blocks:
                self._add_span(block)

    def _count_with_twin(self, path: Path, spans: deque[IdSpan]) -> Counts:
        scan, grouping = self._scan, self._grouping
        span = scan.selection.since, scan.selection.until
        request = TwinRequest(
            str(path), str(scan.selection.query), *span, scan.last_id, list(grouping.by), grouping.every_ns
        )
        twin = Twin(request, spans)
        try:
            self.add_spans(_taken(spans), threads=1)
            found = twin.result()
        finally:
            twin.close()
        if isinstance(found, list):
            self.add_spans(found)
            return self.resolved()
        counts = self.resolved()
        counts.update(found)
        return counts

    def _id_span(self) -> IdSpan | None:
        """The ids to read in the order of storage; None where an index leaves out most of the events in between."""
        scan = self._scan
        if self._plan.candidates.index != BY_TIME:
            return None
        if scan.selection.since is None and scan.selection.until is None:
            return scan.first_id(), scan.last_id
        spread = scan.spread()
        if not spread.rows:
            return 1, 0
        return None if spread.is_scattered else (spread.first, spread.last)

    def _in_time(self) -> Clause:
        scan = self._scan
        if scan.selection.since is None and scan.selection.until is None:
            return ALL
        return Clause(" AND e.timestamp >= ? AND e.timestamp < ?", (scan.since, scan.until))

    def _statement(self, source: str, span: Clause, *, with_ids: bool = False) -> Statement:
        """What gives a block: for each class its records, the ids of these, and what stands beside them; then the ids
        of what no SQL is sure of. To make texts of ids takes a tenth of the time, so that they are asked for only
        where a record is odd.
        """
        selected: list[str] = []
        parameters: list[Any] = []
        sure = " AND ".join(one.sql for one in self._plan.sure)
        of_sure = [value for one in self._plan.sure for value in one.parameters]
        for one in self._classes:
            conditions = " AND ".join(filter(None, (one.filter, sure)))
            where = f" FILTER (WHERE {conditions})" if conditions else ""
            columns = [] if one.question is None else ["e.record", "e.id" if with_ids else "NULL"]
            columns += [f"coalesce({name}, 'null')" for name in self._beside]
            selected.append(f"count(*){where}")
            selected += [f"CAST('[' || group_concat({column}){where} || ']' AS BLOB)" for column in columns]
            parameters += of_sure * (1 + len(columns))
        selected.append(f"group_concat(e.id) FILTER (WHERE NOT ({sure}))" if sure else "NULL")
        parameters += of_sure
        plan = self._plan.candidates
        sql = f"SELECT {', '.join(selected)} FROM events e {source} WHERE 1{span.sql}{plan.sql}"
        return Statement(f"{sql} AND e.id >= ? AND e.id <= ?", (*parameters, *span.parameters, *plan.parameters))

    def _count_by_index(self) -> None:
        scan = self._scan
        key: ScanKey | None = None
        while True:
            end = scan.slice_end(key, BLOCK_ROWS)
            where, parameters = scan.span(key, end)
            self._add_part(f"INDEXED BY {self._plan.candidates.index}", Clause(f" AND {where}", parameters), _EVERY_ID)
            if end is None:
                return
            key = end

    def _add_part(self, source: str, where: Clause, span: IdSpan) -> None:
        """Count one block, or its halves where there is something in it that keeps columns from being read."""
        statement = self._statement(source, where, with_ids=True)
        block = read_block(self._scan.connection, statement, span)
        if not self._add(block):
            if span != _EVERY_ID and span[1] - span[0] >= _SMALL_SPAN:
                for half in halves(span):
                    self._add_part(source, where, half)
            else:
                self._look_at(source, where, span)

    def _add_span(self, block: Block) -> None:
        """Count a block of ids."""
        if self._failed >= _GIVEN_UP or not self._add(block):
            source, where, span = "NOT INDEXED", self._in_time(), block.span
            if self._failed < _GIVEN_UP:
                before = self._looked_at
                self._add_part(source, where, span)
                alone = self._looked_at - before
                self._failed = self._failed + 1 if 2 * alone > span[1] - span[0] else 0
            else:
                self._look_at(source, where, span)

    def _add(self, block: Block) -> bool:
        """Add what a block says; False: it has to be looked at otherwise."""
        if not block.row:
            return block.row is not None
        cells = iter(block.row)
        found: list[tuple[_Class, Iterable[Any]]] = []
        ids: list[int] = []
        for one in self._classes:
            count: int = next(cells)
            records, numbers = (b"", b"") if one.question is None else (next(cells), next(cells))
            beside = [_decode(cell) if count else [] for cell in (next(cells) for _ in self._beside)]
            if not count:
                continue
            if one.question is None:
                found.append((one, keys_of(beside) if beside else repeat((), count)))
                continue
            files = beside[self._beside.index("e.file_id")] if one.needs_files else None
            try:
                said = one.question.keys(records, beside, files)
            except UnfitError:
                return False
            if said.odd:
                if numbers is None:
                    return False
                known = _decode(numbers)
                ids += [known[place] for place in said.odd]
            found.append((one, said.keys))
        unsure: str | None = next(cells)
        if unsure is not None:
            ids += map(int, unsure.split(","))
        for one, keys in found:
            one.counts.update(keys)
        self._look_at_ids(ids)
        return True

    # ------------------------------------------------------------ events one by one

    def _look_at_ids(self, ids: list[int]) -> None:
        scan = self._scan
        for start in range(0, len(ids), _LOADED):
            for event in load_events(scan.connection, ids[start : start + _LOADED], scan.files):
                self._look_at_event(event)

    def _look_at(self, source: str, where: Clause, span: IdSpan) -> None:
        plan = self._plan.candidates
        found = self._scan.connection.execute(
            f"SELECT {EVENT_COLUMNS} FROM events e {source} WHERE 1{where.sql}{plan.sql} AND e.id >= ? AND e.id <= ?",
            (*where.parameters, *plan.parameters, *span),
        )
        while rows := found.fetchmany(_LOADED):
            for row in rows:
                self._look_at_event(StoredEvent(row, self._scan.files[row[FILE_ID]]))

    def _look_at_event(self, event: StoredEvent) -> None:
        self._looked_at += 1
        if self._scan.selection.query.matches(event, self._scan.categories):
            count_event(self._others, event, self._grouping, self._scan.categories)

    # ------------------------------------------------------------ the answer

    def resolved(self) -> Counts:
        """All that was counted, by the values of fields."""
        counts = self._others
        beside = self._beside
        of_file = beside.index("e.file_id") if "e.file_id" in beside else None
        wanted = [
            (name, beside.index(self._columns[name]) if name in self._columns else len(beside) + self._by.index(name))
            for name in self._grouping.by
        ]
        known: dict[Any, Fragment] = {}  # of what was counted, which is there many times where several fields are
        for one in self._classes:
            if len(beside) + len(self._by) == len(wanted) == 1:
                [name] = self._grouping.by
                for cell, count in one.counts.items():
                    counts[None, (self._fragment(name, cell, None),)] += count
                continue
            for found, count in one.counts.items():
                key = found if isinstance(found, tuple) else (found,)
                file = key[of_file] if one.needs_files and of_file is not None else None
                values = []
                for name, place in wanted:
                    cell = key[place]
                    there = name, type(cell), cell, file
                    if there not in known:
                        known[there] = self._fragment(name, cell, file)
                    values.append(known[there])
                counts[None if self._grouping.every_ns is None else key[0], tuple(values)] += count
        return counts

    def _fragment(self, name: str, cell: Any, file: int | None) -> Fragment:
        if name in self._columns:
            return self._value(name, cell)
        return fragment_of(name, cell, None if file is None else self._scan.files[file])


def _taken(spans: deque[IdSpan]) -> Iterator[IdSpan]:
    """Those that are left, while another takes some, too."""
    with suppress(IndexError):
        while True:
            yield spans.popleft()


def bucket_sql(every_ns: int) -> str:
    """The number of the time bucket of an event. SQLite divides towards zero; this puts instants before 1970 into the
    right bucket too.
    """
    return f"(e.timestamp - ((e.timestamp % {every_ns}) + {every_ns}) % {every_ns}) / {every_ns}"
