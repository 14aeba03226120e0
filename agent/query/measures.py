"""Sums, averages, extremes and percentiles of a field, beside the counts of `--by` and `--every`.

Numbers are read as the query language compares them, exactly, out of numbers and of texts that are some. Any other
value is passed over: `count` counts events, an average only what it can add. A percentile is the smallest value that at
least so many per cent of the values do not exceed (nearest rank), so that it is one of them.
"""

from __future__ import annotations

import json
import math
from array import array
from collections import Counter
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from agent.core import values
from agent.core.errors import UsageError
from agent.core.patterns import lazy
from agent.query.aggregate import Bucket, buckets
from agent.query.language import Grouping
from agent.query.syntax import read_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.query.engine import Counts, Engine, Fragment
    from agent.query.language import Selection

_FUNCTION = lazy(r"(sum|avg|min|max|p(\d{1,2}(?:\.\d{1,6})?|100)):(.+)")
_PLAIN_EXPONENT = 30  # numbers with more digits than that are written with an exponent
_EXACT_BELOW = 2**53  # so far a double holds every integer
_EXACT = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])  # nothing that a line can have overflows


class Measure(NamedTuple):
    """One aggregate of a field, such as `p95:duration_ms`."""

    text: str  # as it was asked for, and as its column is named
    function: str  # sum | avg | min | max | p
    field: str
    percent: Decimal = Decimal(0)  # of `p`

    def of(self, numbers: Numbers) -> values.Number | None:
        """The aggregate of numbers; None where there are none."""
        if not numbers.count:
            return None
        if self.function == "sum":
            return numbers.total
        if self.function == "avg":
            with localcontext(_EXACT):
                return values.exact(float(Decimal(numbers.total) / numbers.count))
        if self.function == "p":
            return numbers.at(max(1, math.ceil(self.percent * numbers.count / 100)) - 1)
        return numbers.least if self.function == "min" else numbers.most


class Numbers:
    """The numbers of a field in the events of a row, each with how often it is there.

    Args:
        kept: whether they are wanted in their order; else no more than sums and extremes are held.
    """

    def __init__(self, *, kept: bool) -> None:
        self.count = 0
        self.total: values.Number = 0
        self.least: values.Number | None = None
        self.most: values.Number | None = None
        self._kept = kept
        self._doubles = array("d")  # 8 bytes each, where a decimal takes a hundred
        self._others: list[values.Number] = []  # that no double is

    def add(self, number: values.Number, count: int) -> None:
        """Add a number that is there so often."""
        self.count += count
        with localcontext(_EXACT):
            self.total += number * count
        if self.least is None or number < self.least:
            self.least = number
        if self.most is None or number > self.most:
            self.most = number
        if self._kept:
            double = float(number) if -_EXACT_BELOW < number < _EXACT_BELOW else math.inf
            if values.exact(double) == number:
                self._doubles.extend(repeat(double, count))
            else:
                self._others.extend(repeat(number, count))

    def at(self, index: int) -> values.Number:
        """The number at a place of their order."""
        if not self._others:
            return values.exact(sorted(self._doubles)[index])
        return sorted([*map(values.exact, self._doubles), *self._others])[index]


class Measured(NamedTuple):
    """A row of the answer with what its aggregates are, in the order of the measures."""

    bucket: Bucket
    numbers: tuple[values.Number | None, ...]


def read_measures(text: str) -> tuple[Measure, ...]:
    """The aggregates of `--agg`, with commas between. `count`, which every answer has, may be among them.

    Raises:
        UsageError: SL518, one of them is none.
    """
    found = []
    for name in read_names(text):
        match = _FUNCTION.fullmatch(name)
        if match is not None:
            found.append(Measure(name, "p" if match[2] else match[1], match[3], Decimal(match[2] or 0)))
        elif name != "count":
            raise UsageError.of("SL518.agg", name)
    return tuple(found)


def measured(engine: Engine, selection: Selection, grouping: Grouping, measures: Sequence[Measure]) -> list[Measured]:
    """Events as rows with aggregates, in the order of `aggregate.buckets`.

    The engine counts by the fields that are measured, too: how often each of their values is there says all.

    Args:
        engine: whom to ask.
        selection: which events.
        grouping: how they are divided, buckets of its own and not those that engines count.
        measures: what to compute of each part.
    """
    fields = sorted({measure.field for measure in measures})
    kept = {measure.field for measure in measures if measure.function == "p"}
    counted = grouping.counted
    asked = Grouping((*counted.by, *fields), counted.every_ns)
    rows: Counts = Counter()
    numbers: dict[tuple[int | None, tuple[Fragment, ...], str], Numbers] = {}
    for part in engine.counts(selection, asked):
        for (bucket, found), count in part.items():
            row = found[: len(counted.by)]
            rows[bucket, row] += count
            start = None if bucket is None else grouping.start_of(bucket)
            for field, value in zip(fields, found[len(row) :], strict=True):
                number = number_of(value)
                if number is not None:
                    key = (start, row, field)
                    if key not in numbers:
                        numbers[key] = Numbers(kept=field in kept)
                    numbers[key].add(number, count)
    nothing = Numbers(kept=False)
    return [
        Measured(
            row, tuple(measure.of(numbers.get((row.time, row.values, measure.field), nothing)) for measure in measures)
        )
        for row in buckets([rows], grouping)
    ]


def number_of(value: Fragment) -> values.Number | None:
    """The number that the JSON of a value is, or that its text reads as; None where it is none."""
    if value is None:
        return None
    return values.number(json.loads(value) if value.startswith(b'"') else value.decode())


def number_text(number: values.Number) -> str:
    """A number as JSON has it, without an exponent where it is short."""
    if type(number) is Decimal:
        number = number.normalize(_EXACT)
        return f"{number:f}" if abs(number.adjusted()) < _PLAIN_EXPONENT else str(number)
    return str(number)
