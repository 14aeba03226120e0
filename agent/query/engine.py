"""What can be asked about stored events, whatever keeps them: the seam between faces and engines.

An engine may be a SQLite file, archives, a server, or several of them united (`union`); `open_engine` chooses. Nothing
that crosses the seam belongs to one of them: ids of events and groups are opaque integers, unique within what is asked.
Instants are Unix nanoseconds. `tests/query/test_conformance.py` holds every engine to what is said here.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from agent.core.errors import SidelogError
    from agent.core.groups import ErrorGroup, GroupFilter, GroupHistory, GroupTraits
    from agent.core.stored import StoredEvent
    from agent.query.language import Grouping, Selection

HELD_EVENTS = 5_000  # so many newest events are held to be turned round; more are found twice instead
SAMPLED_EVENTS = 1_000  # events that `fields` looks at

Span = tuple[int, int]  # [since, until)
Position = int | str  # a place in the order of storage, which its engine alone understands; 0 is before everything
Fragment = bytes | None  # JSON of a value; None: the event has no such field
Counts = Counter[tuple[int | None, tuple[Fragment, ...]]]  # (bucket's number, values of `by`) -> events


class EventKey(NamedTuple):
    """What an event is sorted and grouped by."""

    timestamp: int
    id: int
    group: int | None


class LogName(NamedTuple):
    """What names a log."""

    source: str
    path: str


class FieldSummary(msgspec.Struct, frozen=True):
    """One field of the events that were looked at."""

    name: str
    count: int  # events that have it
    values: list[tuple[bytes, int]]  # JSON of the commonest values with their counts, the commonest first


class Engine(Protocol):
    """Answers questions about events. Used from one thread; what it raises is a SidelogError."""

    @property
    def errors(self) -> Sequence[SidelogError]:
        """What could not be read on the way of all answers so far, such as a damaged archive, each once."""

    @property
    def categories(self) -> Mapping[int, GroupTraits]:
        """The category and state of each error group, read when they are asked for."""

    @property
    def can_follow(self) -> bool:
        """Whether events arrive here, so that it has an order of storage: `position` and `follow`."""

    @property
    def store_id(self) -> str | None:
        """Of what `position` is one: a position means the same where this is the same. None where it is not known."""

    def logs(self) -> set[LogName]:
        """The logs that events are of; such as have none any more may be among them."""

    def events(
        self,
        selection: Selection,
        lines: int | None = None,
        *,
        newest_first: bool = False,
        upto: Position | None = None,
        observed: Span | None = None,
    ) -> Generator[StoredEvent]:
        """The newest matching events, ordered by their instant; those of one instant always in the same order. To
        close the generator ends what searches behind it.

        Args:
            selection: what is asked for.
            lines: how many at the most; None: all.
            newest_first: in the reverse order.
            upto: a position: without what was stored after it; None: that of now.
            observed: only what was read from its log in this span.
        """

    def event(self, number: int, agent: str | None = None) -> StoredEvent | None:
        """The event with an id, as long as it has that: one that has left the store has another in its archive.

        Args:
            number: the id.
            agent: whose it is, where those of several are together; None: anybody's.
        """

    def steps(
        self,
        selection: Selection,
        wanted: int | None = None,
        *,
        descending: bool = False,
        upto: Position | None = None,
        observed: Span | None = None,
    ) -> Generator[StoredEvent | int]:
        """As `events`, all of them, for who merges those of several engines: between them may stand instants, where it
        takes long to find the next one. Nothing that comes later is before such an instant (descending: after it).

        Args:
            selection: what is asked for.
            wanted: so many will be taken at most; None: all.
            descending: the newest first.
            upto: as in `events`.
            observed: as in `events`.
        """

    def keys(self, selection: Selection) -> Iterator[EventKey]:
        """As `events`, the oldest first, for those who read no more of an event: it may cost much less."""

    def counts(self, selection: Selection, grouping: Grouping) -> Iterator[Counts]:
        """How many events match, by fields and time buckets, in parts that are to be added up (`aggregate.buckets`).

        Which events are counted is settled when the first part has come. All values are counted, whatever
        `grouping.top` says.
        """

    def fields(self, selection: Selection, *, sample: int = SAMPLED_EVENTS, values: int = 10) -> list[FieldSummary]:
        """The fields of the newest matching events, the most frequent first.

        Args:
            selection: what is asked for.
            sample: so many events are looked at, at the most.
            values: of each field at the most.
        """

    def groups(
        self,
        wanted: GroupFilter,
        now: int,
        *,
        sort: str = "last-seen",
        reverse: bool = False,
        limit: int | None = None,
        trends: bool = True,
    ) -> list[ErrorGroup]:
        """Error groups, the largest in `sort` (last-seen, first-seen, count, trend) first.

        Args:
            wanted: which.
            now: the end of their trends; the age at which a group is not new any more counts from it.
            sort: what to sort them by.
            reverse: the smallest first.
            limit: so many at the most.
            trends: whether their trends are wanted.
        """

    def group_history(self, group: int, instants: Sequence[int]) -> GroupHistory:
        """How many events a group had from each of these instants to the next, and of each service."""

    def group_events(
        self, group: int, start: int | None = None, *, newest_first: bool = False
    ) -> Generator[StoredEvent]:
        """Events of a group, not earlier than `start`, by instant. Only the first few can be relied on to come soon;
        an engine for which the rest is far may end earlier.
        """

    def near(self, event: StoredEvent, span: Span) -> Span:
        """The part of a span around an event that can be searched quickly, whatever the search is for."""

    def position(self) -> Position:
        """A place in the order of storage: after everything that is stored now."""

    def passed(self, position: Position, event: StoredEvent) -> Position:
        """The place after an event, for who was at a position and has followed up to that event."""

    def has_passed(self, position: Position, event: StoredEvent) -> bool:
        """Whether an event lies before a position."""

    def follow(self, selection: Selection, after: Position, *, wait: bool = True) -> Iterator[StoredEvent | Position]:
        """Matching events that are stored after a position, in the order of storage: those that are there, and then
        those that come. After each batch the position that has been reached.

        Args:
            selection: what to show.
            after: the position.
            wait: go on for ever; False: end with the first position.
        """

    def close(self) -> None:
        """Give back what is open."""


def only_events(steps: Generator[StoredEvent | int]) -> Generator[StoredEvent]:
    """`Engine.steps` without the instants."""
    with closing(steps):
        for step in steps:
            if not isinstance(step, int):
                yield step


def newest_events(
    by_time: Callable[[Selection, bool, int | None], Generator[StoredEvent]],
    selection: Selection,
    lines: int | None,
    *,
    newest_first: bool,
) -> Generator[StoredEvent]:
    """`Engine.events` for an engine that can give matching events in both orders of time.

    Args:
        by_time: given a selection, whether the newest come first, and how many will be taken at most (None: all).
        selection: as in `Engine.events`.
        lines: as there.
        newest_first: as there.
    """
    if lines is None or newest_first:
        with closing(by_time(selection, newest_first, lines)) as found:
            yield from islice(found, lines)
    elif lines <= HELD_EVENTS:
        with closing(by_time(selection, True, lines)) as found:  # noqa: FBT003
            held = list(islice(found, lines))
        yield from reversed(held)
    else:
        first = None
        with closing(by_time(selection, True, lines)) as found:  # noqa: FBT003
            for first in islice(found, lines):  # noqa: B007 - the last of them
                pass
        if first is not None:
            yield from _beginning_with(by_time, selection, first)


def _beginning_with(
    by_time: Callable[[Selection, bool, int | None], Generator[StoredEvent]], selection: Selection, first: StoredEvent
) -> Iterator[StoredEvent]:
    """All matches from one on. Should it have gone meanwhile, from the next instant on."""
    instant, begun = first.timestamp, False
    with closing(by_time(msgspec.structs.replace(selection, since=instant), False, None)) as found:  # noqa: FBT003
        for event in found:
            begun = begun or event.key == first.key or event.timestamp > instant
            if begun:
                yield event
