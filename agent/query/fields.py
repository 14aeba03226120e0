"""Which fields events have, with their commonest values: from a sample of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from agent.query.aggregate import value_of
from agent.query.engine import FieldSummary
from agent.query.fragments import flattened_fragments

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent.core.groups import GroupTraits
    from agent.core.stored import StoredEvent

NAMED = (
    "severity",
    "source",
    "service",
    "logger",
    "path",
    "group",
    "category",
    "state",
)  # what the language has names for
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
