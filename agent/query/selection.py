"""What is asked for: a query and a time span."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from agent.query.language import Query


class Selection(msgspec.Struct, frozen=True):
    """Which events are asked for: a query and a half-open time span [since, until) in nanoseconds."""

    query: Query
    since: int | None = None
    until: int | None = None


def bounds(selection: Selection) -> tuple[int, int]:
    """The time span as [since, until) that SQLite can hold."""
    lowest, highest = -(2**63), 2**63 - 1
    since = lowest if selection.since is None else selection.since
    until = highest if selection.until is None else selection.until
    return max(lowest, min(since, highest)), max(lowest, min(until, highest))
