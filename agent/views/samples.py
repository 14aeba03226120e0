"""What tells samples of a group of errors apart: what their exceptions say, and the fields that they do not share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.query.glance import first_line, glance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.core.stored import StoredEvent

_MOST_FIELDS = 3
_MOST_CHARACTERS = 300


def differences(events: Sequence[StoredEvent]) -> dict[int, str]:
    """For each sample by its id what it says that not all of them say; empty where there is nothing."""
    looks = [glance(event) for event in events]
    said = [
        headline.removeprefix(first_line(event.body)).lstrip(": ")
        for event, (headline, _) in zip(events, looks, strict=True)
    ]
    values = [dict(pairs) for _, pairs in looks]
    every = dict.fromkeys(name for one in values for name in one)
    names = [name for name in every if _differs(one.get(name) for one in values)]
    found = {}
    for event, words, own in zip(events, said, values, strict=True):
        parts = [words] if words and _differs(said) else []
        parts += [f"{name}={own[name]}" for name in names[:_MOST_FIELDS] if name in own]
        found[event.id] = "  ".join(parts)[:_MOST_CHARACTERS]
    return found


def _differs(values: Iterable[str | None]) -> bool:
    return len(set(values)) > 1
