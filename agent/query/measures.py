"""Sums, averages, extremes and percentiles of a field, beside the counts of `--by` and `--every`.

Numbers are read as the query language compares them, exactly, out of numbers and of texts that are some. Any other
value is passed over: `count` counts events, an average only what it can add. A percentile is the smallest value that at
least so many per cent of the values do not exceed (nearest rank), so that it is one of them.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from typing import TYPE_CHECKING, NamedTuple

from agent.core import values
from agent.core.errors import UsageError
from agent.core.patterns import lazy
from agent.query.aggregate import Bucket, buckets, key_of, value_of
from agent.query.syntax import read_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.core.stored import StoredEvent
    from agent.query.engine import Counts, Fragment
    from agent.query.language import Grouping
    from agent.query.predicate import Categories

_FUNCTION = lazy(r"(sum|avg|min|max|p(\d{1,2}(?:\.\d{1,6})?|100)):(.+)")
_PLAIN_EXPONENT = 30  # numbers with more digits than that are written with an exponent
_EXACT = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])  # nothing that a line can have overflows


class Measure(NamedTuple):
    """One aggregate of a field, such as `p95:duration_ms`."""

    text: str  # as it was asked for, and as its column is named
    function: str  # sum | avg | min | max | p
    field: str
    percent: Decimal = Decimal(0)  # of `p`

    def of(self, numbers: Sequence[values.Number]) -> values.Number | None:
        """The aggregate of numbers; None where there are none."""
        if not numbers:
            return None
        if self.function in ("sum", "avg"):
            with localcontext(_EXACT):
                total = sum(numbers)
                return total if self.function == "sum" else values.exact(float(Decimal(total) / len(numbers)))
        if self.function == "p":
            return sorted(numbers)[max(1, math.ceil(self.percent * len(numbers) / 100)) - 1]
        return min(numbers) if self.function == "min" else max(numbers)


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


def measured(
    events: Iterable[StoredEvent], grouping: Grouping, measures: Sequence[Measure], categories: Categories
) -> list[Measured]:
    """Events as rows with aggregates, in the order of `aggregate.buckets`.

    The numbers are held until the end, 40 bytes each, because a percentile needs all of them.

    Args:
        events: all that match, in any order.
        grouping: how they are divided, buckets of its own and not those that engines count.
        measures: what to compute of each part.
        categories: of error groups.
    """
    counts: Counts = Counter()
    numbers: defaultdict[tuple[int | None, tuple[Fragment, ...], str], list[values.Number]] = defaultdict(list)
    fields = sorted({measure.field for measure in measures})
    counted = grouping.counted
    starts: dict[int | None, int | None] = {None: None}
    for event in events:
        bucket, row = key_of(event, counted, categories)
        counts[bucket, row] += 1
        if bucket is not None and bucket not in starts:
            starts[bucket] = grouping.start_of(bucket)
        for field in fields:
            number = number_of(value_of(event, field, categories))
            if number is not None:
                numbers[starts[bucket], row, field].append(number)
    return [
        Measured(row, tuple(measure.of(numbers[row.time, row.values, measure.field]) for measure in measures))
        for row in buckets([counts], grouping)
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
