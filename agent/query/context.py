"""The lines around matching events, as `grep -C` shows them: of the same log, by instant.

Asked of the seam alone, so that every engine has it: two short questions for each match. Around a hundred matches in
a store of a million events that is a second.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from agent.query.language import Query, Selection
from agent.query.terms import Term

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.core.stored import StoredEvent
    from agent.query.engine import Engine, Position


class Surroundings(NamedTuple):
    """How many lines before and after each match."""

    before: int
    after: int


def in_context(
    engine: Engine, matches: Iterable[StoredEvent], around: Surroundings, upto: Position
) -> Iterator[list[StoredEvent]]:
    """Stretches of logs: each begins with what comes before a match and ends behind the last one that lies in it.

    Args:
        engine: of the matches.
        matches: the oldest first.
        around: how many lines.
        upto: a position of the engine: without what was stored after it.
    """
    matches = list(matches)
    matching = {event.key for event in matches}
    shown: set[tuple[str | None, int]] = set()
    for match in matches:
        if match.key in shown:
            continue
        stretch = [*_before(engine, match, around.before, upto), match]
        left = around.after
        for event in _after(engine, match, upto):
            left = around.after if event.key in matching else left - 1
            if left < 0 or event.key in shown:
                break
            stretch.append(event)
        stretch = [event for event in stretch if event.key not in shown]
        shown.update(event.key for event in stretch)
        yield stretch


def _before(engine: Engine, match: StoredEvent, lines: int, upto: Position) -> list[StoredEvent]:
    found: list[StoredEvent] = []
    if lines <= 0:
        return found
    selection = Selection(_of_log(match), until=match.timestamp + 1)
    with closing(engine.events(selection, newest_first=True, upto=upto)) as events:
        behind = True  # of the match's own instant those that come before it in the order of the engine
        for event in events:
            if event.key == match.key:
                behind = False
            elif not behind or event.timestamp < match.timestamp:
                found.append(event)
                if len(found) == lines:
                    break
    return found[::-1]


def _after(engine: Engine, match: StoredEvent, upto: Position) -> Iterator[StoredEvent]:
    with closing(engine.events(Selection(_of_log(match), since=match.timestamp), upto=upto)) as events:
        passed = False
        for event in events:
            if passed or event.timestamp > match.timestamp:
                yield event
            passed = passed or event.key == match.key


def _of_log(event: StoredEvent) -> Query:
    terms = Term("source", "=", event.source), Term("path", "=", event.path)
    return Query(terms if event.agent is None else (Term("agent", "=", event.agent), *terms))
