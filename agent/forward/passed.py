"""Which events of those that retention takes a target of `forward` was to have: counted in the writer's transaction."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from agent.core.errors import SidelogError
from agent.store import outgoing
from agent.store.events import Categories, Files

if TYPE_CHECKING:
    import sqlite3

    from agent.query.language import Query


@lru_cache(maxsize=16)
def filter_of(match: str) -> Query | None:
    """The query of a target's `match`; None: it takes all."""
    if not match:
        return None
    from agent.query.language import parse_query  # noqa: PLC0415 - only for those who filter

    return parse_query(match)


def wanted(connection: sqlite3.Connection, match: str, after: int, last: int) -> list[tuple[int, int]]:
    """Id and instant of the events in a span of ids that a filter lets through, by id; where it cannot be decided, all.

    Args:
        connection: of the writer.
        match: the filter; empty: all.
        after: an id.
        last: another.
    """
    query = filter_of(match)
    if query is None:
        return outgoing.instants_after(connection, after, last)
    try:
        files, categories = Files(connection), Categories(connection)
        rows = outgoing.events_after(connection, after, last, last - after)
        events = [outgoing.stored_event(row, files[row[outgoing.FILE_ID]]) for row in rows]
        return [(event.id, event.timestamp) for event in events if query.matches(event, categories)]
    except SidelogError:  # an expression that takes too long must not keep retention from its work
        return outgoing.instants_after(connection, after, last)
