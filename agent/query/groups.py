"""What shows what an error group is: its first event, its latest, some between, and what else happened in its trace."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from agent.core.groups import ErrorGroup, GroupFilter, GroupHistory
from agent.core.times import MINUTE_NS, recent_midnights
from agent.query.language import Selection, all_equal

if TYPE_CHECKING:
    from agent.core.stored import StoredEvent
    from agent.query.engine import Engine

SAMPLES = 5
TRACE_EVENTS = 10
HISTORY_DAYS = 30
_TRACE_BEFORE_NS = 15 * MINUTE_NS  # how far around an event its trace is looked for
_TRACE_AFTER_NS = MINUTE_NS


class GroupDetail(msgspec.Struct):
    """One group with all that there is to say of it."""

    group: ErrorGroup
    history: GroupHistory  # events of each of the last HISTORY_DAYS days, today last; of each service
    samples: list[StoredEvent]  # the newest first
    trace: list[StoredEvent]  # the last events with the trace id of the latest sample, the oldest first


def describe_group(engine: Engine, number: int, now: int) -> GroupDetail | None:
    """Look up a group; None where there is none.

    Args:
        engine: is asked.
        number: the group's id.
        now: Unix ns.
    """
    found = engine.groups(GroupFilter(group=number), now)
    if not found:
        return None
    samples = group_samples(engine, number)
    history = engine.group_history(number, recent_midnights(now, HISTORY_DAYS))
    return GroupDetail(found[0], history, samples, trace_events(engine, samples[0]) if samples else [])


def group_samples(engine: Engine, group: int) -> list[StoredEvent]:
    """At most SAMPLES events of a group, newest first: the latest, some evenly spread in time, the first."""
    newest = _some(engine, group, SAMPLES, newest_first=True)
    if len(newest) < SAMPLES:
        return newest
    latest, [first] = newest[0], _some(engine, group, 1) or newest[-1:]
    step = (latest.timestamp - first.timestamp) // (SAMPLES - 1)
    starts = [first.timestamp + step * number for number in range(1, SAMPLES - 1)]
    between = [(_some(engine, group, 1, start) or [latest])[0] for start in starts]
    # Where there are bursts some are the same event: the newest take their places.
    chosen = {event.key: event for event in (latest, first, *between, *newest)}
    found = list(chosen.values())[:SAMPLES]
    order = [event.key for event in newest]

    def place(event: StoredEvent) -> tuple[int, int]:
        return -event.timestamp, order.index(event.key) if event.key in order else SAMPLES

    return sorted(found, key=place)


def _some(
    engine: Engine, group: int, count: int, start: int | None = None, *, newest_first: bool = False
) -> list[StoredEvent]:
    with closing(engine.group_events(group, start, newest_first=newest_first)) as found:
        return list(islice(found, count))


def trace_events(engine: Engine, event: StoredEvent) -> list[StoredEvent]:
    """The last TRACE_EVENTS events with an event's trace id, oldest first, from the quarter of an hour before and the
    minute after it, as far as that is near (`Engine.near`): nothing indexes trace ids.
    """
    if event.trace_id is None:
        return []
    span = engine.near(event, (event.timestamp - _TRACE_BEFORE_NS, event.timestamp + _TRACE_AFTER_NS))
    selection = Selection(all_equal("trace_id", [event.trace_id]), *span)
    with closing(engine.events(selection, TRACE_EVENTS)) as found:
        return list(found)
