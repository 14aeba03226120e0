"""Searching archives: the newest (or oldest) frames first, on all cores, no more of them than the answer needs.

A frame is opened only if the index lets it through, its bytes are searched before anything is parsed, and where lines
can be parsed without the others, of JSON or of text with an event a line, only those that hold what is looked for are.
Frames are worked on in processes, a few ahead of what has been printed; the first ones here, for a screen is often
filled by them.
"""

from __future__ import annotations

import heapq
import os
import signal
import time
from bisect import bisect_right
from collections import Counter, deque
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from agent.archive.frames import JSON_LINES, FrameParser
from agent.archive.positions import NONE
from agent.core.errors import ArchiveError
from agent.core.event import EventRow, event_rows
from agent.query.archives.failures import ArchiveFailure
from agent.query.archives.groups import ArchivedEvent
from agent.query.archives.needles import are_lone, matching_lines, may_match, needles, usable
from agent.query.archives.opened import OpenArchives
from agent.query.archives.plan import IndexedEvents, is_counted_by_index, severity_counts
from agent.query.language import bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from concurrent.futures import Future, ProcessPoolExecutor

    from agent.core.model import EventBatch
    from agent.core.stored import FileInfo
    from agent.query.archives.plan import FramePlan, FrameRef, SearchedArchive
    from agent.query.engine import Counts
    from agent.query.language import Grouping, Selection
    from agent.query.predicate import Matchable

    _Parsed = tuple[EventBatch, Callable[[int], int]]  # events, and where in the log the offset of one is

ID_BITS = 36  # an archive's id and an offset (up to 64 GiB) make the id of its event; it is negative
_ALONE_S = 0.05  # so long, and for what seems to take no longer, this process searches: to start others takes as long
_AHEAD = 3  # frames per process that are searched before they are asked for
_PORTION = 8  # frames that a process counts at a time: each message between two processes costs 0.1 ms

_Row = tuple[Any, ...]  # an EventRow as it goes between processes: the class itself would take four times as long
_searcher: Searcher | None = None  # of a child process: it is forked with it


class SearchOrder(NamedTuple):
    """In which order events are wanted, and how many of them: None: all."""

    descending: bool = False
    wanted: int | None = None


class Searcher:
    """Finds the matches of one frame.

    Args:
        plan: the archives.
        selection: what is asked for.
        order: of the events.
        grouping: what to count by; None: the events themselves are wanted.
    """

    def __init__(
        self, plan: FramePlan, selection: Selection, order: SearchOrder | None = None, grouping: Grouping | None = None
    ) -> None:
        self.files = plan.files
        self._order = order or SearchOrder()
        self._query = selection.query.compiled()
        self._since, self._until = bounds(selection)
        self._grouping = grouping
        self._groups = plan.groups
        named = selection.query.analysis.fields.union(grouping.by if grouping is not None else ())
        if not named.isdisjoint(("group", "category", "state")):
            self._groups.load()
        self._needles = needles(selection.query, plan.infos, plan.made)
        self._positions = NONE  # of the frame that is searched
        self._archives = OpenArchives(plan.files)
        self._parsers: dict[int, FrameParser] = {}

    def search(self, ref: FrameRef) -> list[_Row] | Counts:
        """Rows of the matching events that are wanted, in their order; or the counts of all.

        Raises:
            ArchiveError: the archive is missing or damaged.
        """
        file = self.files[ref.archive_id]
        data, self._positions = self._archives.content(ref)
        rows = self._rows(ref, file, data)
        events = (ArchivedEvent(row, file.at(row.offset), self._groups) for row in rows)
        matching = (event for event in events if self._query.matches(event, self._groups.categories))
        if self._grouping is None:
            return [tuple(event.row) for event in islice(matching, self._order.wanted)]
        from agent.query.aggregate import count_event  # noqa: PLC0415 - most searches count nothing

        counts: Counts = Counter()
        for event in matching:
            count_event(counts, event, self._grouping, self._groups.categories)
        return counts

    def _rows(self, ref: FrameRef, file: SearchedArchive, data: bytes) -> Iterator[EventRow]:
        """Events of a frame that are asked for by time and not in the store, in the order that is wanted: as rows of
        the store, with the error itself for its group. Not all of those that cannot match.
        """
        if not may_match(data, self._needles, ref.shape):
            return
        batch, place_in_log = self._parsed(ref, file, data)
        errors = {error.index: error for error in batch.errors}
        for index in self._in_time(batch.timestamps):
            place = place_in_log(batch.offsets[index])
            if file.is_cold(place):
                number = -((ref.archive_id << ID_BITS) + place)
                group = errors.get(index)
                yield batch.row(index, file.file.id, place, number=number, observed=file.observed, group=group)

    def _parsed(self, ref: FrameRef, file: SearchedArchive, data: bytes) -> _Parsed:
        """Of lines that can be parsed without the others only those that hold what is looked for."""
        is_json = ref.shape & JSON_LINES
        best = next((needle for needle in self._needles if usable(data, needle, ref.shape)), None)
        if best is not None and (is_json or (ref.lone and are_lone(data))):
            spans = matching_lines(data, best)
            parsed = self._events(ref, file, b"".join([data[start:end] for start, end in spans]), spans)
            if is_json or len(parsed[0]) == len(spans):  # none was taken for a part of one that it does not lie behind
                return parsed
        return self._events(ref, file, data, [(0, len(data))])

    def _events(self, ref: FrameRef, file: SearchedArchive, data: bytes, spans: list[tuple[int, int]]) -> _Parsed:
        alone = self._parsers.get(ref.archive_id)
        if alone is None:
            self._parsers.clear()  # frames come archive by archive, mostly
            alone = self._parsers[ref.archive_id] = FrameParser(
                file.settings, file.profile, file.observed, file.read_by
            )
        begins = list(accumulate((end - start for start, end in spans), initial=0))

        def in_log(offset: int) -> int:
            span = bisect_right(begins, offset, hi=len(spans)) - 1
            return self._positions.in_log(spans[span][0] + offset - begins[span])

        def place_in_log(offset: int) -> int:
            return ref.raw_offset + in_log(offset)

        return alone.parse(data, 0, in_log=in_log if file.redacted else None, place=place_in_log), place_in_log

    def _in_time(self, timestamps: list[int]) -> list[int]:
        """Indices of the instants that are asked for. Events of one instant stay in the order of the log."""
        since, until, descending = self._since, self._until, self._order.descending
        found = [index for index, instant in enumerate(timestamps) if since <= instant < until]
        if descending:
            found.reverse()
        if self._order.wanted is not None:
            found.sort(key=timestamps.__getitem__, reverse=descending)
        return found

    def damage(self, archive_id: int) -> ArchiveError | None:
        """What is wrong with an archive whose frames were searched all the same."""
        return self._archives.damage(archive_id)

    def close(self) -> None:
        """Close what is open."""
        self._archives.close()


class ArchiveSearch:
    """The matches in the archives, and what was wrong with some of them.

    Args:
        plan: what to open.
        selection: what is asked for.
        fate: what has become of an archive since the plan was made (`store.archives.fate`).
    """

    def __init__(
        self,
        plan: FramePlan,
        selection: Selection,
        *,
        fate: Callable[[int], str] = lambda _: "there",
    ) -> None:
        self._plan = plan
        self._selection = selection
        self._fate = fate
        self._untouched: dict[int, bool] = {}
        self._processes = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
        self.failures: dict[str, ArchiveFailure] = {}  # by path: each archive once

    def steps(self, *, descending: bool = False, wanted: int | None = None) -> Generator[ArchivedEvent | int]:
        """Matching events in the order of time, of one instant in that of the archives; and, before each frame is
        searched, the first instant that it may have events of.

        Args:
            descending: the newest first.
            wanted: how many the caller will take at most; None: all.
        """
        sign = -1 if descending else 1
        frames = sorted(self._plan.frames, key=lambda ref: -ref.max_timestamp if descending else ref.min_timestamp)
        limits = [sign * (ref.max_timestamp if descending else ref.min_timestamp) for ref in frames]
        heap: list[tuple[int, int, int, EventRow]] = []
        searcher = Searcher(self._plan, self._selection, SearchOrder(descending, wanted))
        results = self._results(searcher, frames)
        try:
            for index, limit in enumerate([*limits, None]):
                while heap and (limit is None or heap[0][0] < limit):
                    row = heapq.heappop(heap)[3]
                    yield ArchivedEvent(row, self._plan.files[-row.file_id].at(row.offset), self._plan.groups)
                if limit is None:
                    return
                yield sign * limit
                for row in event_rows(next(results)):
                    key = (sign * row.timestamp, sign * frames[index].archive_id, sign * row.offset)
                    heapq.heappush(heap, (*key, row))
        finally:
            results.close()

    def counts(self, grouping: Grouping) -> Iterator[Counts]:
        """How many match, by fields and time buckets, in parts: at first what the index can count, without opening a
        frame.
        """
        total: Counts = Counter()
        opened = []
        by_index = is_counted_by_index(self._selection, grouping)
        for ref in self._plan.frames:
            if by_index and ref.whole and self._is_untouched(ref.archive_id):
                info = self._plan.files[ref.archive_id].at(ref.raw_offset)
                for severity, count in severity_counts(ref.severities).items():
                    if self._selection.query.matches(
                        cast("Matchable", IndexedEvents(severity, info.source, info.path))
                    ):
                        total[None, _index_values(info, severity, grouping)] += count
            else:
                opened.append(ref)
        yield total
        results = self._results(Searcher(self._plan, self._selection, grouping=grouping), opened, _PORTION)
        yield from (counts for counts in results if counts)

    def _is_untouched(self, archive_id: int) -> bool:
        """Whether the index can speak for an archive. Another one is read, as it is when its events are asked for."""
        known = self._untouched.get(archive_id)
        if known is None:
            known = self._untouched[archive_id] = self._plan.files[archive_id].is_untouched()
        return known

    # ------------------------------------------------------------ processes

    def _results(self, searcher: Searcher, frames: list[FrameRef], size: int = 1) -> Any:
        """What each frame gives, in their order, so many at a time; an empty answer for one that cannot be read."""
        spent_s, here = 0.0, 0
        try:
            while here < len(frames) and min(spent_s, spent_s / max(here, 1) * (len(frames) - here)) < _ALONE_S:
                began = time.perf_counter()
                answer = self._judged(frames[here], _attempt(searcher, frames[here]))
                spent_s += time.perf_counter() - began
                here += 1
                yield answer
        finally:
            searcher.close()
        if here == len(frames):
            return
        portions = [frames[at : at + size] for at in range(here, len(frames), size)]
        with _pool(searcher, min(self._processes, len(portions))) as pool:
            ahead: deque[tuple[list[FrameRef], Future[list[Any]]]] = deque()
            try:
                for portion in portions:
                    ahead.append((portion, pool.submit(_search, portion)))
                    if len(ahead) > _AHEAD * self._processes:
                        yield from self._answers(*ahead.popleft())
                while ahead:
                    yield from self._answers(*ahead.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def _answers(self, portion: list[FrameRef], future: Future[list[Any]]) -> Iterator[Any]:
        for ref, answer in zip(portion, future.result(), strict=True):
            yield self._judged(ref, answer)

    def _judged(self, ref: FrameRef, answer: Any) -> Any:
        """An answer, an empty one in place of a failure, which is noted unless nothing is to be there any more."""
        if isinstance(answer, _Salvaged):
            self._noted(ref, answer.failure, answer.failure.hint)
            return answer.answer
        if isinstance(answer, _Failure):
            fate, hint = self._fate(ref.archive_id) if answer.code == "SL802" else "there", answer.hint
            if fate == "removed":
                return []
            if fate == "replaced":
                hint = "a longer one of the same log has taken its place meanwhile: ask again"
            self._noted(ref, answer, hint).frames[ref.number] = ref.events
            return []
        return answer

    def _noted(self, ref: FrameRef, found: _Failure, hint: str) -> ArchiveFailure:
        error = ArchiveError(found.code, "search an archive", found.subject, found.message, hint=hint)
        return self.failures.setdefault(str(self._plan.files[ref.archive_id].path), ArchiveFailure(error))


class _Failure(NamedTuple):
    """An ArchiveError as it goes from one process to another."""

    code: str
    subject: str
    message: str
    hint: str


class _Salvaged(NamedTuple):
    """The answer of a frame that was read although its archive is damaged."""

    answer: list[_Row] | Counts
    failure: _Failure


def _attempt(searcher: Searcher, ref: FrameRef) -> list[_Row] | Counts | _Failure | _Salvaged:
    try:
        answer = searcher.search(ref)
    except ArchiveError as error:
        return _failure(error)
    damage = searcher.damage(ref.archive_id)
    return answer if damage is None else _Salvaged(answer, _failure(damage))


def _failure(error: ArchiveError) -> _Failure:
    return _Failure(error.code, error.subject, error.message, error.hint)


def _pool(searcher: Searcher, processes: int) -> ProcessPoolExecutor:
    """Processes that know what to search: forked, so that nothing is imported or sent again."""
    import multiprocessing  # noqa: PLC0415 - 20 ms that a search of a few frames should not pay
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415

    import agent.core.process  # noqa: F401, PLC0415 - before the fork, once

    return ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("fork"), initializer=_begin, initargs=(searcher, os.getpid())
    )


def _begin(searcher: Searcher, owner: int) -> None:
    global _searcher  # noqa: PLW0603 - of a process that does nothing else
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that was started by a person
    from agent.core.process import die_with_owner, keep_freed_memory  # noqa: PLC0415

    die_with_owner(owner)  # else it waits for ever for orders of one that was killed: each holds the other's pipes open
    keep_freed_memory()
    _searcher = searcher


def _search(portion: list[FrameRef]) -> list[Any]:
    assert _searcher is not None
    return [_attempt(_searcher, ref) for ref in portion]


def _index_values(file: FileInfo, severity: int, grouping: Grouping) -> tuple[bytes | None, ...]:
    from agent.query.aggregate import named_value  # noqa: PLC0415

    return tuple(named_value(name, severity, file) for name in grouping.by)
