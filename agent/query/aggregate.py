"""Matching events per value and per time bucket: how one is counted, and how the answer is put together."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from agent.core.event import severity_text
from agent.core.text import columns, escape
from agent.core.times import format_utc, local_offset
from agent.query.engine import FieldSummary
from agent.query.fragments import as_text, encode, field, flattened_fragments
from agent.query.render import Output, csv_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.core.groups import GroupTraits
    from agent.core.stored import FileInfo, StoredEvent
    from agent.query.engine import Counts, Fragment
    from agent.query.language import Grouping
    from agent.query.predicate import Categories


_BAR_CHARS = 40  # of the largest count's bar, where the terminal is wide enough
_AVERAGE = "avg:"  # begins the name of a column
_GAP = "  "  # between columns
_EIGHTHS = "▏▎▍▌▋▊▉"


class Bucket(msgspec.Struct, frozen=True):
    """One row of the answer; `time` is the bucket's start in nanoseconds."""

    time: int | None
    values: tuple[Fragment, ...]
    count: int


def buckets(parts: Iterable[Counts], grouping: Grouping) -> list[Bucket]:
    """Counts (`Engine.counts` of `grouping.counted`) as rows, in their order; without fields and buckets one row."""
    counts: Counts | None = None
    for part in parts:
        if counts is None:
            counts = part  # often the only one, with a million values
        else:
            counts.update(part)
    counts = Counter() if counts is None else counts
    if not grouping.by and grouping.every_ns is None:
        return [Bucket(None, (), counts.total())]
    if grouping.every_ns is not None:
        counts = _by_start(counts, grouping)
    if grouping.top is not None:
        counts = _largest(counts, grouping.top)
    rows = [Bucket(start, values, count) for (start, values), count in counts.items() if count]
    return sorted(rows, key=lambda row: (row.time or 0, -row.count, _order(row.values)))


def _by_start(counted: Counts, grouping: Grouping) -> Counts:
    """Counts by where buckets begin, in place of their numbers."""
    starts = {bucket: grouping.start_of(bucket) for bucket in {key[0] for key in counted} if bucket is not None}
    counts: Counts = Counter()
    for (bucket, values), count in counted.items():
        counts[None if bucket is None else starts[bucket], values] += count
    return counts


def _largest(counts: Counts, top: int) -> Counts:
    """Those of the values that are there most often, over all buckets."""
    totals: Counter[tuple[Fragment, ...]] = Counter()
    for (_, values), count in counts.items():
        totals[values] += count
    least = min(heapq.nlargest(top, totals.values()), default=0)
    often = [values for values, count in totals.items() if count >= least]  # few of them are sorted by their values
    kept = set(sorted(often, key=lambda values: (-totals[values], _order(values)))[:top])
    return Counter({key: count for key, count in counts.items() if key[1] in kept})


def _order(values: tuple[Fragment, ...]) -> tuple[bytes, ...]:
    return tuple(value or b"" for value in values)


def count_event(counts: Counts, event: StoredEvent, grouping: Grouping, categories: Categories) -> None:
    """Add one event."""
    counts[key_of(event, grouping, categories)] += 1


def key_of(event: StoredEvent, grouping: Grouping, categories: Categories) -> tuple[int | None, tuple[Fragment, ...]]:
    """Which of the `Counts` an event belongs to."""
    bucket = None if grouping.every_ns is None else event.timestamp // grouping.every_ns
    return bucket, tuple(value_of(event, name, categories) for name in grouping.by)


def value_of(event: StoredEvent, name: str, categories: Categories) -> Fragment:
    """The value of a field as it is counted."""
    found = field(event, name, categories)
    if found is not None and b"\\" in found and found.startswith(b'"'):
        return encode(json.loads(found))  # an escape in one line and the character in another are one value
    return found


def named_value(name: str, severity_number: int, file: FileInfo) -> Fragment:
    """The value of `severity`, `source` or `path` as it is counted."""
    value = severity_text(severity_number) if name == "severity" else str(getattr(file, name))
    return None if value is None else encode(value)


# ---------------------------------------------------------------- printing


def render_buckets(
    rows: Sequence[Bucket], grouping: Grouping, output: Output, more: Mapping[str, Sequence[str | None]] | None = None
) -> bytes:
    """The answer in the form of `-o`; any form that is not json or csv is an aligned table.

    Args:
        rows: of the answer.
        grouping: what was counted by.
        output: how to print; on a terminal a table over time has a bar beside each row.
        more: further columns by their names: of each row a number as JSON has it, None where there is none.
    """
    more = more or {}
    names = [*(["time"] if grouping.every_ns is not None else []), *grouping.by, "count", *more]
    if output.form == "json":
        documents = [row_object(row, grouping) for row in rows]
        for name, column in more.items():
            for document, number in zip(documents, column, strict=True):
                document[name] = None if number is None else Raw(number.encode())
        return output.finish(b"".join(encode(document) + b"\n" for document in documents))
    shown = more
    if output.form != "csv":
        shown = {
            name: [_rounded(one) for one in column] if name.startswith(_AVERAGE) else column
            for name, column in more.items()
        }
    numbers = [[str(row.count), *(column[at] or "" for column in shown.values())] for at, row in enumerate(rows)]
    times = _times(rows, output)
    cells = [
        [*times[row.time], *map(as_text, row.values), *counted] for row, counted in zip(rows, numbers, strict=True)
    ]
    if output.form == "csv":
        return output.finish("".join(csv_row(line) for line in [names, *cells]))
    if len(names) == 1:
        return f"{rows[0].count}\n".encode()
    lines = _table(names, cells, 1 + len(more))
    room = min(_BAR_CHARS, output.width - columns(lines[0]) - len(_GAP))
    if output.terminal and grouping.every_ns is not None and room > 0:
        lines[1:] = [f"{line}{_GAP}{bar}" for line, bar in zip(lines[1:], _bars(rows, room), strict=True)]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _rounded(number: str | None) -> str | None:
    """An average for people: of what dividing makes of it three digits say enough."""
    if number is None:
        return None
    value = float(number)
    return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) >= 1 else f"{value:.3g}"


def _times(rows: Sequence[Bucket], output: Output) -> dict[int | None, list[str]]:
    """The first cell of each instant. When clocks are set back, an hour that comes twice says which."""
    instants = {row.time for row in rows if row.time is not None}
    if output.form == "csv":
        return {None: []} | {instant: [format_utc(instant)] for instant in instants}
    shown = {instant: output.time(instant).removesuffix(".000") for instant in instants}
    often = Counter(shown.values())
    return {None: []} | {
        instant: [text if often[text] == 1 else f"{text} {local_offset(instant, output.zone)}"]
        for instant, text in shown.items()
    }


def _bars(rows: Sequence[Bucket], longest: int) -> list[str]:
    """A bar for each row, in eighths of a character, the largest count's as long as one may be."""
    most = max((row.count for row in rows), default=0) or 1
    eighths = [-(-row.count * longest * 8 // most) for row in rows]
    return ["█" * (size // 8) + ("" if size % 8 == 0 else _EIGHTHS[size % 8 - 1]) for size in eighths]


def row_object(row: Bucket, grouping: Grouping) -> dict[str, Any]:
    """A row as JSON has it."""
    found: dict[str, Any] = {
        name: None if value is None else Raw(value) for name, value in zip(grouping.by, row.values, strict=True)
    }
    if row.time is not None:
        found["time"] = format_utc(row.time)
    return {**found, "count": row.count}


def _table(names: list[str], cells: list[list[str]], numbers: int) -> list[str]:
    """The lines of a table, of whose columns the last `numbers` are set to the right."""
    shown = [[escape(cell) or "-" for cell in line] for line in [names, *cells]]
    widths = [min(80, max(len(line[column]) for line in shown)) for column in range(len(names))]
    texts = len(names) - numbers
    lines = []
    for line in shown:
        left = [cell.ljust(width) for cell, width in zip(line[:texts], widths, strict=False)]
        right = [cell.rjust(width) for cell, width in zip(line[texts:], widths[texts:], strict=True)]
        lines.append(_GAP.join([*left, *right]))
    return lines


# ---------------------------------------------------------------- which fields there are


NAMED = ("severity", "source", "service", "logger", "path", "group", "category", "state")  # named by the language
_FIELDS_OF_AN_EVENT = 200  # further ones are passed over
_VALUE_BYTES = 256  # longer values are counted as the field's, and not told apart


def sampled_fields(
    events: Iterable[StoredEvent], categories: Mapping[int, GroupTraits], values: int
) -> list[FieldSummary]:
    """The fields of some events, the most frequent first, and those with as many by name.

    Args:
        events: the sample; it bounds what is held.
        categories: of error groups, with their states.
        values: so many of the commonest of each field.
    """
    found: dict[str, Counter[bytes]] = {}
    counts: Counter[str] = Counter()
    for event in events:
        for name, value in _values(event, categories).items():
            counts[name] += 1
            if len(value) <= _VALUE_BYTES:
                found.setdefault(name, Counter())[value] += 1
    return [
        FieldSummary(
            name, count, sorted(found.get(name, Counter()).items(), key=lambda pair: (-pair[1], pair[0]))[:values]
        )
        for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    ]


def _values(event: StoredEvent, categories: Mapping[int, GroupTraits]) -> dict[str, bytes]:
    """The JSON of each field's value, those inside of objects by their dotted names."""
    found = {}
    for name in NAMED:
        value = value_of(event, name, categories)
        if value is not None:
            found[name] = value
    for name, value in flattened_fragments(event)[:_FIELDS_OF_AN_EVENT]:
        found.setdefault(name, value)
    return found
