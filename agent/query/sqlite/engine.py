"""The engine of a SQLite store."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

from agent.query.engine import SAMPLED_EVENTS, newest_events
from agent.store.reader import reading

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from agent.core.errors import SidelogError
    from agent.core.groups import ErrorGroup, GroupFilter, GroupHistory
    from agent.core.stored import StoredEvent
    from agent.query.engine import Counts, EventKey, FieldSummary, LogName, Position, Span
    from agent.query.language import Grouping, Selection
    from agent.query.sqlite.scan import EventScan
    from agent.store.events import Categories

_NEAR_ROWS = 50_000  # stored events on either side of one that are searched for what belongs to it: 50 ms


class SqliteEngine:
    """As `agent.query.engine.Engine`, whose docstrings say what its methods give; an event's id is its position.

    Args:
        connection: a reader's, in autocommit mode; closed with the engine.
        path: of the store.
        sleep: waits so many seconds between looks at a store that is followed.
        look_s: how often to look meanwhile whether another file has taken the place of the store.
        twin: whether another process may do a part of what takes long.

    Raises:
        StoreError: from every method, where the store is damaged or locked.
    """

    can_follow = True
    errors: Sequence[SidelogError] = ()

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        sleep: Callable[[float], None] = time.sleep,
        look_s: float = 1.0,
        twin: bool = False,
    ) -> None:
        self._connection = connection
        self._path = path
        self._sleep = sleep
        self._look_s = look_s
        self._twin = twin

    @cached_property
    def categories(self) -> Categories:
        """As `Engine.categories`."""
        from agent.store.events import Categories  # noqa: PLC0415 - as for `_scan`

        return Categories(self._connection, self._path)

    @property
    def store_id(self) -> str | None:
        """As `Engine.store_id`: of the store that is read now."""
        from agent.store.tables import store_id  # noqa: PLC0415 - for cursors alone

        with reading(self._path):
            return store_id(self._connection)

    def logs(self) -> set[LogName]:
        """As `Engine.logs`."""
        from agent.query.engine import LogName  # noqa: PLC0415 - most questions have an answer
        from agent.store.events import Files  # noqa: PLC0415 - as for `_scan`

        with reading(self._path):
            return {LogName(file.source, file.path) for file in Files(self._connection).values()}

    def events(
        self,
        selection: Selection,
        lines: int | None = None,
        *,
        newest_first: bool = False,
        upto: Position | None = None,
        observed: Span | None = None,
    ) -> Generator[StoredEvent]:
        """As `Engine.events`; of one instant in the order of storage."""
        with reading(self._path):
            upto = self.position() if upto is None else upto

            def by_time(asked: Selection, descending: bool, wanted: int | None) -> Generator[StoredEvent]:  # noqa: FBT001
                return self._scan(asked, upto, observed).by_time(descending=descending, wanted=wanted)

            yield from newest_events(by_time, selection, lines, newest_first=newest_first)

    def steps(
        self,
        selection: Selection,
        wanted: int | None = None,
        *,
        descending: bool = False,
        upto: Position | None = None,
        observed: Span | None = None,
    ) -> Generator[StoredEvent | int]:
        """As `Engine.steps`: the events alone."""
        with reading(self._path):
            upto = self.position() if upto is None else upto
            yield from self._scan(selection, upto, observed).by_time(descending=descending, wanted=wanted)

    def _scan(self, selection: Selection, upto: Position | None = None, observed: Span | None = None) -> EventScan:
        from agent.query.sqlite.scan import EventScan  # noqa: PLC0415 - error groups are listed without: 8 ms

        return EventScan(self._connection, selection, None if upto is None else _id(upto), observed, self._path)

    def event(self, number: int, agent: str | None = None) -> StoredEvent | None:  # noqa: ARG002 - all are one agent's
        """As `Engine.event`."""
        from agent.store.events import Files, load_events  # noqa: PLC0415 - as for `_scan`

        with reading(self._path):
            return next(iter(load_events(self._connection, [number], Files(self._connection))), None)

    def keys(self, selection: Selection) -> Generator[EventKey]:
        """As `Engine.keys`."""
        with reading(self._path):
            yield from self._scan(selection).keys()

    def counts(self, selection: Selection, grouping: Grouping) -> Generator[Counts]:
        """As `Engine.counts`, in one part."""
        from agent.query.sqlite.counts import stored_counts  # noqa: PLC0415 - most questions count nothing: 2 ms

        with reading(self._path):
            yield stored_counts(self._connection, selection, grouping, time.time_ns(), self._path, twin=self._twin)

    def fields(self, selection: Selection, *, sample: int = SAMPLED_EVENTS, values: int = 10) -> list[FieldSummary]:
        """As `Engine.fields`."""
        from agent.query.aggregate import sampled_fields  # noqa: PLC0415 - as for `counts`

        return sampled_fields(self.events(selection, sample, newest_first=True), self.categories, values)

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
        """As `Engine.groups`."""
        from agent.store.groups import list_groups  # noqa: PLC0415 - as for `counts`

        with reading(self._path):
            return list_groups(self._connection, now, wanted, sort=sort, reverse=reverse, limit=limit, trends=trends)

    def group_history(self, group: int, instants: Sequence[int]) -> GroupHistory:
        """As `Engine.group_history`."""
        from agent.store.groups import history_of  # noqa: PLC0415 - as for `counts`

        with reading(self._path):
            return history_of(self._connection, group, instants)

    def group_events(
        self, group: int, start: int | None = None, *, newest_first: bool = False
    ) -> Generator[StoredEvent]:
        """As `Engine.group_events`: the first few of each minute."""
        from agent.query.sqlite.groups import group_events  # noqa: PLC0415 - as for `counts`

        with reading(self._path):
            yield from group_events(self._connection, group, start, descending=newest_first)

    def near(self, event: StoredEvent, span: Span) -> Span:
        """As `Engine.near`: so many stored events before and after."""
        from agent.query.language import Query, Selection  # noqa: PLC0415 - as for `counts`

        since, until = span
        key = (event.timestamp, event.id)
        with reading(self._path):
            scan = self._scan(Selection(Query(), since, until))
            if (low := scan.slice_end(key, _NEAR_ROWS, descending=True)) is not None:
                since = low[0]
            if (high := scan.slice_end(key, _NEAR_ROWS)) is not None:
                until = high[0] + 1
        return since, until

    def position(self) -> int:
        """As `Engine.position`: the highest id ever given."""
        from agent.store.reader import highest_id  # noqa: PLC0415 - as for `_scan`

        with reading(self._path):
            return highest_id(self._connection)

    def passed(self, position: Position, event: StoredEvent) -> int:  # noqa: ARG002
        """As `Engine.passed`."""
        return event.id

    def has_passed(self, position: Position, event: StoredEvent) -> bool:
        """As `Engine.has_passed`."""
        return event.id <= _id(position)

    def follow(self, selection: Selection, after: Position, *, wait: bool = True) -> Iterator[StoredEvent | Position]:
        """As `Engine.follow`, also when another store takes this one's place."""
        with reading(self._path):
            if wait:
                from agent.query.sqlite.follow import Follower  # noqa: PLC0415 - as for `counts`

                follower = Follower(
                    self._connection,
                    self._path,
                    selection,
                    _id(after),
                    sleep=self._sleep,
                    look_s=self._look_s,
                    reconnected=self._reconnect,
                )
                for item in follower:
                    yield item
                    if isinstance(item, int):
                        self.categories.read_again(self._connection)  # states change until the next events come
            else:
                scan = self._scan(selection, self.position())
                yield from scan.by_storage(_id(after))
                yield max(_id(after), scan.last_id)

    def _reconnect(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.categories.read_again(connection)

    def close(self) -> None:
        """As `Engine.close`."""
        self._connection.close()


def _id(position: Position) -> int:
    """A position of a store is the id of an event; that of another engine is before everything."""
    return position if isinstance(position, int) else 0
