"""The engine of a store's archives: events of rotated logs, whether the store has had them or not."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

from agent.archive.directory import unknown_archives, unknown_error
from agent.core.groups import GroupHistory
from agent.core.times import MINUTE_NS
from agent.query.archives.failures import ArchiveFailure, said_failures
from agent.query.archives.plan import FramePlan, make_frame_plan
from agent.query.archives.search import ID_BITS, ArchiveSearch
from agent.query.engine import SAMPLED_EVENTS, EventKey, LogName, newest_events, only_events
from agent.query.language import Query, Selection, all_equal
from agent.store import archives
from agent.store.events import Categories, Files
from agent.store.groups import has_events_between
from agent.store.reader import reading

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from agent.core.errors import ArchiveError
    from agent.core.groups import ErrorGroup, GroupFilter
    from agent.core.stored import StoredEvent
    from agent.query.archives.plan import FrameRef
    from agent.query.engine import Counts, FieldSummary, Position, Span
    from agent.query.language import Grouping

_MOST_FRAMES = 64  # that are opened to find one event of a group: less than a second


class ArchiveEngine:
    """As `agent.query.engine.Engine`, whose docstrings say what its methods give. Nothing arrives here, and groups are
    kept by the store.

    Args:
        connection: a reader's, to the store that knows the archives; closed with the engine.
        path: of the store.
        directory: of all archives.
        beside_store: the store answers too: what it holds is left out here.

    Raises:
        StoreError: from every method, where the store is damaged or locked.
    """

    can_follow = False
    store_id = None

    def __init__(self, connection: sqlite3.Connection, path: Path, directory: Path, *, beside_store: bool) -> None:
        self._connection = connection
        self._path = path
        self._directory = directory
        self._beside_store = beside_store
        self._failures: dict[str, ArchiveFailure] = {}
        self._group_plans: dict[int, FramePlan] = {}
        self.categories = Categories(connection, path)

    @property
    def errors(self) -> list[ArchiveError]:
        """As `Engine.errors`: what was wrong with archives that were opened, and that the store does not know some."""
        return [*said_failures(self._directory, self._failures.values()), *self._unknown()]

    def _unknown(self) -> list[ArchiveError]:
        with reading(self._path):
            unknown = unknown_archives(self._connection, self._directory)
        if not unknown:
            return []
        return [unknown_error(self._directory, unknown)]

    def logs(self) -> set[LogName]:
        """As `Engine.logs`; of a log whose source has changed also what it was."""
        with reading(self._path):
            rows = archives.load(self._connection)
            earlier = Files(self._connection).values()
            paths = {row.log_path for row in rows}
            found = {LogName(row.source, row.log_path) for row in rows}
            return found | {LogName(file.source, file.path) for file in earlier if file.path in paths}

    def events(
        self,
        selection: Selection,
        lines: int | None = None,
        *,
        newest_first: bool = False,
        upto: Position | None = None,  # noqa: ARG002 - nothing arrives
        observed: Span | None = None,
    ) -> Generator[StoredEvent]:
        """As `Engine.events`; of one instant in the order of the archives and their lines."""

        def by_time(asked: Selection, descending: bool, wanted: int | None) -> Generator[StoredEvent]:  # noqa: FBT001
            return only_events(self.steps(asked, wanted, descending=descending, observed=observed))

        return newest_events(by_time, selection, lines, newest_first=newest_first)

    def steps(
        self,
        selection: Selection,
        wanted: int | None = None,
        *,
        descending: bool = False,
        upto: Position | None = None,  # noqa: ARG002 - nothing arrives
        observed: Span | None = None,
    ) -> Generator[StoredEvent | int]:
        """As `Engine.steps`: an instant before each frame. What there is to be opened is settled with the first one."""
        with reading(self._path):
            plan = self.plan(selection)
            if observed is not None:  # all events of an archive have the instant at which its log was last written
                since, until = observed
                plan.frames = [ref for ref in plan.frames if since <= plan.files[ref.archive_id].observed < until]
            yield from self._steps(plan, selection, descending=descending, wanted=wanted)

    def plan(self, selection: Selection) -> FramePlan:
        """What there is to be opened for a selection."""
        return make_frame_plan(self._connection, self._directory, selection, with_hot=self._beside_store)

    def search(
        self, plan: FramePlan, selection: Selection, *, descending: bool = False, wanted: int | None = None
    ) -> Generator[StoredEvent]:
        """Matching events of a plan in the order of time.

        Args:
            plan: what to open.
            selection: what is asked for.
            descending: the newest first.
            wanted: how many the caller will take at most; None: all.
        """
        return only_events(self._steps(plan, selection, descending=descending, wanted=wanted))

    def _steps(
        self, plan: FramePlan, selection: Selection, *, descending: bool, wanted: int | None
    ) -> Generator[StoredEvent | int]:
        search = self._search(plan, selection)
        try:
            with closing(search.steps(descending=descending, wanted=wanted)) as found:
                yield from found
        finally:
            self._failures |= search.failures

    def event(self, number: int, agent: str | None = None) -> StoredEvent | None:  # noqa: ARG002 - all are one agent's
        """As `Engine.event`."""
        if number >= 0:
            return None
        archive, place = divmod(-number, 1 << ID_BITS)
        selection = Selection(Query())
        with reading(self._path):
            plan = self.plan(selection)
            frames = [one for one in plan.frames if one.archive_id == archive and one.raw_offset <= place]
            plan.frames = sorted(frames, key=lambda one: one.raw_offset)[-1:]
            with closing(self.search(plan, selection)) as found:
                return next((event for event in found if event.id == number), None)

    def keys(self, selection: Selection) -> Generator[EventKey]:
        """As `Engine.keys`."""
        with closing(self.events(selection)) as found:
            for event in found:
                yield EventKey(event.timestamp, event.id, event.group)

    def counts(self, selection: Selection, grouping: Grouping) -> Generator[Counts]:
        """As `Engine.counts`."""
        with reading(self._path):
            search = self._search(self.plan(selection), selection)
            try:
                yield from search.counts(grouping)
            finally:
                self._failures |= search.failures

    def _search(self, plan: FramePlan, selection: Selection) -> ArchiveSearch:
        return ArchiveSearch(plan, selection, fate=lambda archive: archives.fate(self._connection, archive))

    def fields(self, selection: Selection, *, sample: int = SAMPLED_EVENTS, values: int = 10) -> list[FieldSummary]:
        """As `Engine.fields`."""
        from agent.query.aggregate import sampled_fields  # noqa: PLC0415 - most questions are others

        return sampled_fields(self.events(selection, sample, newest_first=True), self.categories, values)

    def groups(self, wanted: GroupFilter, now: int, **_: object) -> list[ErrorGroup]:  # noqa: ARG002
        """As `Engine.groups`: none."""
        return []

    def group_history(self, group: int, instants: Sequence[int]) -> GroupHistory:  # noqa: ARG002
        """As `Engine.group_history`: nothing."""
        return GroupHistory([0] * max(0, len(instants) - 1))

    def group_events(
        self, group: int, start: int | None = None, *, newest_first: bool = False
    ) -> Generator[StoredEvent]:
        """As `Engine.group_events`: those in the first few frames of the minutes in which the group had events."""
        query = all_equal("group", [str(group)])
        with reading(self._path):
            whole = self._group_plans.get(group)
            if whole is None:
                whole = self._group_plans[group] = self.plan(Selection(query))
            frames = [ref for ref in whole.frames if start is None or ref.max_timestamp >= start]
            frames.sort(key=lambda ref: -ref.max_timestamp if newest_first else ref.min_timestamp)
            plan = FramePlan(whole.files, list(islice(self._with_group(group, frames), _MOST_FRAMES)), whole.groups)
            yield from self.search(plan, Selection(query, start), descending=newest_first)

    def _with_group(self, group: int, frames: list[FrameRef]) -> Iterator[FrameRef]:
        for ref in frames:
            first, last = ref.min_timestamp // MINUTE_NS, ref.max_timestamp // MINUTE_NS
            if has_events_between(self._connection, group, first, last):
                yield ref

    def near(self, event: StoredEvent, span: Span) -> Span:  # noqa: ARG002
        """As `Engine.near`: the index of frames says where to look."""
        return span

    def position(self) -> int:
        """As `Engine.position`."""
        return 0

    def passed(self, position: Position, event: StoredEvent) -> Position:  # noqa: ARG002
        """As `Engine.passed`: nothing comes."""
        return position

    def has_passed(self, position: Position, event: StoredEvent) -> bool:  # noqa: ARG002
        """As `Engine.has_passed`: nothing comes."""
        return False

    def follow(
        self,
        selection: Selection,  # noqa: ARG002
        after: Position,  # noqa: ARG002
        *,
        wait: bool = True,  # noqa: ARG002
    ) -> Iterator[StoredEvent | Position]:
        """As `Engine.follow`: nothing comes."""
        return iter(())

    def close(self) -> None:
        """As `Engine.close`."""
        self._connection.close()
