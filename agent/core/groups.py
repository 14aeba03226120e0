"""Error groups as readers know them: what can be asked for, and what is said of one. Instants are Unix ns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.core.expressions import Expression

STATES = ("new", "ongoing", "regressed", "resolved", "ignored")
TREND_HOURS = 24
NEW_FOR_NS = 7 * 86_400 * 10**9  # a group is new for a week, then ongoing


class GroupFilter(msgspec.Struct, frozen=True):
    """Which groups are asked for; what is empty or None asks for nothing."""

    group: int | None = None
    states: Sequence[str] = ()
    severities: tuple[int, int] | None = None  # lowest and highest number
    categories: Sequence[str] = ()
    services: Sequence[str] = ()
    title: Expression | None = None
    since: int | None = None  # seen then or later …
    until: int | None = None  # … and before this, to the minute


class ErrorGroup(msgspec.Struct):
    """One group of errors."""

    id: int
    title: str
    culprit: str | None
    severity: str | None  # ERROR or FATAL
    category: str
    state: str  # new | ongoing | regressed | resolved | ignored
    state_changed: int
    first_seen: int
    last_seen: int
    count: int
    service: str | None
    exception_type: str | None
    ignored_until: int | None
    ignored_events_left: int | None
    trend: list[int] = []  # events of each of the last TREND_HOURS hours, the current one last


class GroupTraits(NamedTuple):
    """What a query can ask of an event's group."""

    category: str
    state: str = "new"


def state_at(state: str, first_seen: int, now: int) -> str:
    """The state of a group at an instant: a new one becomes ongoing by itself.

    Args:
        state: as it is stored.
        first_seen: Unix ns.
        now: Unix ns.
    """
    return "ongoing" if state == "new" and now - first_seen > NEW_FOR_NS else state


class GroupHistory(msgspec.Struct):
    """How many events a group had."""

    counts: list[int] = []  # between the instants that were asked for
    services: list[tuple[str, int]] = []  # the largest first; '' is none, or one too many to count
