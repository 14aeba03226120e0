"""Counting by what was counted of blocks beforehand (`learning`), where a question is about one field and files alone;
and passing over blocks in which a condition on such a field holds nowhere.

The counts of a block are themselves a small block: rows of a file, a value and a number. So conditions are decided and
values named by what does that for records (`agent.query.masks`, `agent.query.bulk`), and the answer is the same.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

from agent.query.analysis import ALL_SEVERITIES
from agent.query.bulk import fragment_of, value_of_json
from agent.query.columns import basis_of
from agent.query.fragments import encode
from agent.query.masks import BlockRows, Masks
from agent.query.sqlite.blocks import spans_of
from agent.query.terms import Either, terms_of
from agent.store.field_counts import BLOCK_EVENTS, counted_fields, load

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from agent.query.engine import Counts, Fragment
    from agent.query.language import Grouping, Selection
    from agent.query.sqlite.blocks import IdSpan
    from agent.query.terms import Conjunction
    from agent.store.events import Files
    from agent.store.field_counts import CountedBlock

_OF_FILES = frozenset(("source", "path"))


class ScannedEvents(Protocol):
    """What is needed of a selection over the events up to an id (`scan.EventScan`)."""

    connection: sqlite3.Connection
    selection: Selection
    files: Files
    last_id: int
    since: int
    until: int


Cell = tuple[int, str]  # a file, and the JSON of what its records have in the field


class LearnedField:
    """What is known of a field in the events of a scan.

    Args:
        scan: a selection.
        field: its name.
        conditions: about the field alone.
    """

    def __init__(self, scan: ScannedEvents, field: str, conditions: Conjunction) -> None:
        self._scan, self._field = scan, field
        self._masks = Masks(conditions, scan.files.values()) if conditions else None
        self._bases: dict[int, str] = {}
        self._holds: dict[Cell, bool] = {}
        self._accepted = {
            number for number, file in scan.files.items() if scan.selection.query.analysis.accepts_file(file)
        }

    def blocks(self, first: int, last: int) -> Iterator[tuple[CountedBlock, Counter[Cell]]]:
        """The blocks among these ids of which all is known, with what satisfies the conditions in them."""
        for block in load(self._scan.connection, self._field, first // BLOCK_EVENTS, last // BLOCK_EVENTS):
            if (block.number + 1) * BLOCK_EVENTS - 1 <= self._scan.last_id:
                cells = self._cells(block)
                if cells is not None:
                    yield block, cells

    def _cells(self, block: CountedBlock) -> Counter[Cell] | None:
        """None where the counts rest on something else than what is known of its files now, or a condition would have
        to look into a list.
        """
        found: Counter[Cell] = Counter()
        for one in block.files():
            if one.file not in self._bases:
                self._bases[one.file] = basis_of(self._field, self._scan.files[one.file].profile)
            if one.basis != self._bases[one.file]:
                return None
            if self._masks is not None and any(value.startswith("[") for value, _ in one.values):
                return None
            if one.file in self._accepted:
                found.update({(one.file, value): count for value, count in one.values})
        self._decide(found)
        return Counter({cell: count for cell, count in found.items() if self._holds[cell]})

    def _decide(self, cells: Iterable[Cell]) -> None:
        rows = [cell for cell in cells if cell not in self._holds]
        if self._masks is None or not rows:
            self._holds.update(dict.fromkeys(rows, True))
            return
        column = [value_of_json(value.encode()) for _, value in rows]
        files = [file for file, _ in rows]
        block = BlockRows({self._field: column}, {self._field: set(map(type, column))}, len(rows), files)
        self._holds.update(zip(rows, self._masks.of(block) or (), strict=True))


class LearnedCounts:
    """The counts of a question that are known beforehand.

    Args:
        scan: the selection.
        grouping: what is counted.
        field: that both are about, beside files.
    """

    def __init__(self, scan: ScannedEvents, grouping: Grouping, field: str) -> None:
        self._scan, self._grouping, self._field = scan, grouping, field
        self._known = LearnedField(scan, field, tuple(one.terms for one in scan.selection.query.analysis.conditions))

    def count(self, first: int, last: int) -> tuple[Counts, list[IdSpan]]:
        """What is known of the events with these ids.

        Returns:
            The counts, and the ids that they are not of, as blocks to read.
        """
        cells: dict[int | None, Counter[Cell]] = {}
        left: list[IdSpan] = []
        start = first
        for block, counts in self._known.blocks(first, last):
            if self._is_all_asked_for(block):
                low = block.number * BLOCK_EVENTS
                left += spans_of(start, low - 1)
                start = low + BLOCK_EVENTS
                cells.setdefault(self._bucket(block.since), Counter()).update(counts)
        left += spans_of(start, last)
        named = {cell: self._values(*cell) for counts in cells.values() for cell in counts}
        found: Counts = Counter()
        for bucket, counts in cells.items():
            for cell, count in counts.items():
                found[bucket, named[cell]] += count
        return found, left

    def _is_all_asked_for(self, block: CountedBlock) -> bool:
        selection = self._scan.selection
        if selection.since is not None and block.since < self._scan.since:
            return False
        if selection.until is not None and block.last >= self._scan.until:
            return False
        return self._bucket(block.since) == self._bucket(block.last)

    def _bucket(self, instant: int) -> int | None:
        return None if self._grouping.every_ns is None else instant // self._grouping.every_ns

    def _values(self, file_id: int, value: str) -> tuple[Fragment, ...]:
        file = self._scan.files[file_id]
        return tuple(
            encode(getattr(file, name)) if name in _OF_FILES else fragment_of(name, value.encode(), file)
            for name in self._grouping.by
        )


def learned_counts(scan: ScannedEvents, grouping: Grouping) -> LearnedCounts | None:
    """What may be known of a counting beforehand; None where it is about more than one field of the line."""
    analysis = scan.selection.query.analysis
    terms = [term for condition in analysis.conditions for term in terms_of((condition.terms,))]
    names = {term.field for term in terms} | set(grouping.by) - _OF_FILES
    if len(names) != 1 or analysis.severities != ALL_SEVERITIES:
        return None
    [field] = names
    return None if field is None else LearnedCounts(scan, grouping, field)


def promising_spans(scan: ScannedEvents, first: int, last: int) -> list[IdSpan]:
    """The blocks to read of these ids: without such in which a condition on a counted field holds nowhere."""
    known = counted_fields(scan.connection)
    hopeless: set[int] = set()
    for condition in scan.selection.query.analysis.conditions:
        if not isinstance(condition.terms, Either) and condition.field in known:
            field = LearnedField(scan, condition.field, (condition.terms,))
            hopeless |= {block.number for block, cells in field.blocks(first, last) if not cells}
    spans: list[IdSpan] = []
    start = first
    for number in sorted(hopeless):
        spans += spans_of(start, number * BLOCK_EVENTS - 1)
        start = max(start, (number + 1) * BLOCK_EVENTS)
    return [*spans, *spans_of(start, last)]
