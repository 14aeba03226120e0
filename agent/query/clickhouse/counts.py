"""Counting matching events of a fleet: by the server where columns say all, else by records that come as columns.

As for a store (`agent.query.sqlite.bulk`): SQL narrows down to candidates, and says of a text whether it is there,
where the record has no escape. Fields of candidates are decided and counted in columns
(`agent.query.bulk`). What neither can say of an event is decided by the event itself.
"""

# ruff: noqa: S608 - statements are built from this package's own words; every value is a literal of `sql`

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from agent.clickhouse.native import read_text
from agent.core.event import severity_text
from agent.query.aggregate import count_event
from agent.query.bulk import BlockQuestion, fragment_of
from agent.query.clickhouse.plan import condition_clause, file_clause, record_holds, severity_clause
from agent.query.clickhouse.table import in_time
from agent.query.columns import UnfitError, field_paths
from agent.query.fragments import encode
from agent.query.language import bounds
from agent.query.searched import is_exact_case
from agent.query.terms import AGENT, terms_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from agent.core.stored import FileInfo, StoredEvent
    from agent.query.clickhouse.scan import FleetScan
    from agent.query.clickhouse.table import EventId, FleetTable
    from agent.query.engine import Counts, Fragment
    from agent.query.language import Grouping, Selection
    from agent.query.terms import Conjunction, Term

COLUMNS = {  # of the table, by the fields whose values they are
    "severity": "severity_number", "source": "source", "path": "path", "service": "service", "logger": "logger",
    "trace_id": "trace_id", "span_id": "span_id", AGENT: "agent",
    "group": "`group`", "category": "`group`", "state": "`group`",
}  # fmt: skip
_OF_GROUPS = ("group", "category", "state")
_ALWAYS_THERE = ("source", "path", AGENT)
_HIDES = "(position(record, '\\\\') > 0 OR substring(raw, 1, 1) IN ('b', 't'))"  # as `hiding > 0` says it
_SMALL_BLOCK = 64  # records; fewer are looked at one by one
_MOST_KINDS = 8  # of files whose records differ


def fleet_counts(scan: FleetScan, table: FleetTable, selection: Selection, grouping: Grouping) -> Iterator[Counts]:
    """As `Engine.counts`."""
    if scan.plan.empty:
        return
    if scan.plan.exact and all(name in COLUMNS for name in grouping.by):
        yield _counted(table, grouping, scan.candidates)
        return
    try:
        counting = _RecordCount(table, selection, grouping)
    except UnfitError:
        counts: Counts = Counter()
        for event in table.events(f"WHERE {scan.candidates}"):
            if scan.matches(event):
                count_event(counts, event, grouping, table.categories)
        yield counts
    else:
        yield counting.count()


def bucket_sql(every_ns: int) -> str:
    """The number of the time bucket of an event, before 1970 too; `%` goes towards zero in both lines of servers."""
    return f"intDiv(timestamp - ((timestamp % {every_ns}) + {every_ns}) % {every_ns}, {every_ns})"


def _counted(table: FleetTable, grouping: Grouping, where: str) -> Counts:
    """Events of which something is true, counted by columns of the table."""
    columns = list(dict.fromkeys(COLUMNS[name] for name in grouping.by))
    selected = ["count()", *([bucket_sql(grouping.every_ns)] if grouping.every_ns is not None else []), *columns]
    by = ", ".join(selected[1:])
    sql = f"SELECT {', '.join(selected)} FROM {table.name} FINAL WHERE {where}"
    counts: Counts = Counter()
    for count, *cells in table.rows(f"{sql} GROUP BY {by}" if by else sql):
        bucket = cells.pop(0) if grouping.every_ns is not None else None
        row = dict(zip(columns, cells, strict=True))
        values = tuple(_column_value(table, name, row[COLUMNS[name]]) for name in grouping.by)
        counts[bucket, values] += count
    return counts


def _column_value(table: FleetTable, name: str, cell: Any) -> Fragment:
    """What a cell of a column is counted as."""
    value: Any = cell
    if name == "severity":
        value = severity_text(cell)
    elif name in _OF_GROUPS:
        traits = table.categories.get(cell) if cell and name != "group" else None
        value = (cell or None) if name == "group" else getattr(traits, name, None)
    else:
        value = read_text(cell)
        if not value and name not in _ALWAYS_THERE:
            value = None
    return None if value is None else encode(value)


class _Kind:
    """Files in whose records the fields that are asked for stand at the same places, and what is counted of them."""

    def __init__(self, question: BlockQuestion) -> None:
        self.question = question
        self.counts: Counter[Any] = Counter()  # of the keys of `BlockKeys`


class _RecordBlock:
    """Records with what stands beside them: columns, and their keys in the table."""

    def __init__(
        self, records: list[bytes], beside: list[Sequence[Any]], files: Sequence[int], ids: list[EventId]
    ) -> None:
        self.records, self.beside, self.files, self.ids = records, beside, files, ids

    def chosen(self, places: Sequence[int]) -> _RecordBlock:
        """A part of it."""
        return _RecordBlock(
            [self.records[at] for at in places],
            [[column[at] for at in places] for column in self.beside],
            [self.files[at] for at in places],
            [self.ids[at] for at in places],
        )


class _RecordCount:
    """One counting for which records are read.

    Raises:
        UnfitError: it cannot be done in columns.
    """

    def __init__(self, table: FleetTable, selection: Selection, grouping: Grouping) -> None:
        self._table, self._selection, self._grouping = table, selection, grouping
        self._by = tuple(dict.fromkeys(name for name in grouping.by if name not in COLUMNS))
        self._columns = list(dict.fromkeys(COLUMNS[name] for name in grouping.by if name in COLUMNS))
        self._clauses: list[str] = ["gone = 0", in_time(*bounds(selection))]
        self._plain: list[str] = []  # what of texts is asked of an event in which nothing is hidden
        self._hidden: list[str] = []  # the same of one in which something is: candidates
        self._fields = self._divide()
        self._files: dict[tuple[bytes, ...], FileInfo] = table.kinds() if self._by or self._fields else {}
        self._kinds = self._ask()
        self._others: Counts = Counter()

    def _divide(self) -> Conjunction:
        """Which conditions SQL decides, where no text is hidden; what is left to columns of records."""
        analysis = self._selection.query.analysis
        conditions = [(one, file_clause(one, self._table)) for one in analysis.files]
        conditions += [(one, condition_clause(one, self._table)) for one in analysis.conditions]
        found = [severity_clause(analysis.severities).sql]
        fields = []
        for condition, clause in conditions:
            found.append(clause.sql)
            if clause.exact:
                continue
            terms = tuple(terms_of((condition.terms,)))
            if not condition.branches and all(term.field is None for term in terms):
                self._plain.append(_plainly(terms, self._table))
                self._hidden.append(found.pop())
            elif all(term.field is not None and _is_of_records(term.field) for term in terms):
                fields.append(condition.terms)
            else:
                raise UnfitError
        self._clauses += [clause for clause in found if clause]
        return tuple(fields)

    def _ask(self) -> dict[int, _Kind]:
        """By the ids of files what is asked of their records."""
        names = [*self._by, *(str(term.field) for term in terms_of(self._fields))]
        alike: dict[Any, list[FileInfo]] = {}
        for file in self._files.values():
            alike.setdefault(tuple(field_paths(name, file.profile) for name in names), []).append(file)
        if len(alike) > _MOST_KINDS:
            raise UnfitError
        found: dict[int, _Kind] = {}
        for files in alike.values():
            kind = _Kind(BlockQuestion(self._fields, self._by, files))
            found.update((file.id, kind) for file in files)
        return found

    def count(self) -> Counts:
        """How many events match, by fields and buckets."""
        candidates, plain = " AND ".join(self._clauses), " AND ".join(self._plain)
        hides = "hiding > 0" if self._table.is_current else _HIDES
        certain = f"{candidates} AND NOT ({hides}) AND {plain}" if plain else candidates
        if self._by or self._fields:
            odd = [key for block in self._blocks(certain) for key in self._add(block)]
            self._look_at(self._table.load(odd))
        else:
            scanned = _counted(self._table, self._grouping, certain)
            self._others.update(scanned)
        if plain:
            hidden = "".join(f" AND {clause}" for clause in self._hidden if clause)
            self._look_at(self._table.events(f"WHERE {candidates} AND {hides}{hidden}"))
        return self._resolved()

    def _blocks(self, where: str) -> Iterator[_RecordBlock]:
        every = self._grouping.every_ns
        cells = [*([bucket_sql(every)] if every is not None else []), *self._columns]
        several = len(self._files) > 1
        selected = [*cells, "record", "agent", "seq", *(["resource", "profile"] if several else [])]
        only = next(iter(self._files.values())).id if self._files else 0
        for block in self._table.blocks(f"SELECT {', '.join(selected)} FROM {self._table.name} FINAL WHERE {where}"):
            beside, rest = block.columns[: len(cells)], block.columns[len(cells) :]
            ids = list(zip(map(read_text, rest[1]), rest[2], strict=True))
            known = self._files
            try:
                files = [known[kind].id for kind in zip(*rest[3:], strict=True)] if several else [only] * block.rows
            except KeyError as error:  # of a file that came meanwhile
                raise UnfitError from error
            yield _RecordBlock(rest[0], beside, files, ids)

    def _add(self, block: _RecordBlock) -> list[EventId]:
        """Count a block; the keys of events that have to be looked at one by one."""
        kinds = {self._kinds[file] for file in set(block.files)}
        if len(kinds) > 1:
            odd = []
            for kind in kinds:
                odd += self._add(block.chosen([at for at, file in enumerate(block.files) if self._kinds[file] is kind]))
            return odd
        [kind] = kinds
        beside = [*block.beside, *([block.files] if kind.question.needs_files else [])]
        try:
            said = kind.question.keys(b"[" + b",".join(block.records) + b"]", beside, block.files)
        except UnfitError:
            size = len(block.ids)
            if size <= _SMALL_BLOCK:
                return block.ids
            halves = range(size // 2), range(size // 2, size)
            return [key for half in halves for key in self._add(block.chosen(half))]
        kind.counts.update(said.keys)
        return [block.ids[at] for at in said.odd]

    def _look_at(self, events: Iterable[StoredEvent]) -> None:
        """Decide one by one."""
        for event in events:
            if self._selection.query.matches(event, self._table.categories):
                count_event(self._others, event, self._grouping, self._table.categories)

    def _resolved(self) -> Counts:
        """All that was counted, by the values of fields."""
        counts = self._others
        has_bucket = self._grouping.every_ns is not None
        files = {file.id: file for file in self._files.values()}
        for kind in set(self._kinds.values()):
            first = has_bucket + len(self._columns)
            start = first + kind.question.needs_files
            for found, count in kind.counts.items():
                key = found if isinstance(found, tuple) else (found,)
                file = files[key[first]] if kind.question.needs_files else None
                values = tuple(
                    _column_value(self._table, name, key[has_bucket + self._columns.index(COLUMNS[name])])
                    if name in COLUMNS
                    else fragment_of(name, key[start + self._by.index(name)], file)
                    for name in self._grouping.by
                )
                counts[key[0] if has_bucket else None, values] += count
        return counts


def _is_of_records(name: str) -> bool:
    """Whether a field stands at some place of records, of which no column knows more."""
    return name not in COLUMNS and field_paths(name, None) is not None


def _plainly(terms: Sequence[Term], table: FleetTable) -> str:
    """What holds where one of some texts is in an event, or is not, as each term says, if nothing in the event is
    hidden: its record has no escape, and no line is kept beside it.
    """
    found = []
    for term in terms:
        folded = not is_exact_case(term.value)
        if not term.value or (folded and not term.value.isascii()):
            raise UnfitError
        holds = record_holds(term.value, table, folded=folded)
        found.append(f"NOT {holds}" if term.negated else holds)
    return f"({' OR '.join(found)})"
