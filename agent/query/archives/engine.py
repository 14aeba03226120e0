"""The archives of a store as one that answers selections, and says at the end what of them could not be read."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

from agent.query.archives.plan import FramePlan, make_frame_plan
from agent.query.archives.search import ColdSearch
from agent.query.language import all_equal
from agent.query.selection import Selection
from agent.store import archives

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Iterator

    from agent.archive.errors import ArchiveError
    from agent.query.aggregate import Counts
    from agent.query.archives.plan import FrameRef
    from agent.query.events import StoredEvent
    from agent.query.language import Grouping

_MOST_FRAMES = 64  # that are opened to find one event of a group: less than a second
_MINUTE_NS = 60_000_000_000


class Cold:
    """The archives.

    Args:
        connection: a reader's.
        with_hot: the store answers too: what it holds is left out here.
    """

    def __init__(self, connection: sqlite3.Connection, *, with_hot: bool) -> None:
        self.connection = connection
        self._with_hot = with_hot
        self._errors: dict[str, ArchiveError] = {}

    @property
    def errors(self) -> list[ArchiveError]:
        """What was wrong with archives that were opened, each once."""
        return list(self._errors.values())

    def plan(self, selection: Selection) -> FramePlan:
        """What there is to be opened for a selection."""
        return make_frame_plan(self.connection, selection, with_hot=self._with_hot)

    def events(
        self,
        selection: Selection,
        *,
        descending: bool = False,
        wanted: int | None = None,
        observed: tuple[int, int] | None = None,
    ) -> Generator[StoredEvent]:
        """Matching events in the order of time.

        Args:
            selection: what is asked for.
            descending: the newest first.
            wanted: how many the caller will take at most; None: all.
            observed: only of logs that were last written in this span, [since, until) in Unix ns.
        """
        plan = self.plan(selection)
        if observed is not None:
            since, until = observed
            plan.frames = [ref for ref in plan.frames if since <= plan.files[ref.archive_id].observed < until]
        yield from self.search(plan, selection, descending=descending, wanted=wanted)

    def search(
        self, plan: FramePlan, selection: Selection, *, descending: bool = False, wanted: int | None = None
    ) -> Generator[StoredEvent]:
        """As `events`, by a plan of one's own."""
        search = self._search(plan, selection)
        try:
            with closing(search.by_time(descending=descending, wanted=wanted)) as found:
                yield from found
        finally:
            self._errors |= search.errors

    def counts(self, selection: Selection, grouping: Grouping, plan: FramePlan | None = None) -> Counts:
        """How many events match, by fields and time buckets."""
        search = self._search(plan or self.plan(selection), selection)
        counts = search.counts(grouping)
        self._errors |= search.errors
        return counts

    def _search(self, plan: FramePlan, selection: Selection) -> ColdSearch:
        return ColdSearch(plan, selection, fate=lambda archive: archives.fate(self.connection, archive))


class ColdGroup:
    """The archived events of one error group, as far as they lie in minutes in which the group had events.

    Args:
        cold: the archives.
        group: its id.
    """

    def __init__(self, cold: Cold, group: int) -> None:
        self._cold = cold
        self._group = group
        self._query = all_equal("group", [str(group)])
        self._plan = cold.plan(Selection(self._query))

    def events(self, start: int | None, *, descending: bool) -> Generator[StoredEvent]:
        """In the order of time; those in the first few frames that there are.

        Args:
            start: Unix ns; only those that are not earlier.
            descending: the newest first.
        """
        frames = [ref for ref in self._plan.frames if start is None or ref.max_timestamp >= start]
        frames.sort(key=lambda ref: -ref.max_timestamp if descending else ref.min_timestamp)
        plan = FramePlan(self._plan.files, list(islice(self._with_group(frames), _MOST_FRAMES)), self._plan.groups)
        yield from self._cold.search(plan, Selection(self._query, start), descending=descending)

    def _with_group(self, frames: list[FrameRef]) -> Iterator[FrameRef]:
        for ref in frames:
            span = ref.min_timestamp // _MINUTE_NS, ref.max_timestamp // _MINUTE_NS
            sql = "SELECT 1 FROM group_minutes WHERE group_id = ? AND minute BETWEEN ? AND ? LIMIT 1"
            if self._cold.connection.execute(sql, (self._group, *span)).fetchone():
                yield ref
