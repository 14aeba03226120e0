"""Lines into the transaction that the writer thread commits next: parsed, perhaps held back, grouped."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from agent.core.conditions import PassingConditions
from agent.core.fields import Profile
from agent.core.model import (
    JOURNAL,
    EventBatch,
    FileChange,
    FileGeneration,
    LineBatch,
    StoredBatch,
    Transaction,
)
from agent.core.stored import service_in
from agent.parse.decode import FileParser, ParseSettings
from agent.parse.settings import PLAIN
from agent.tail.identity import marker, marker_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from agent.core.errors import SidelogError
    from agent.core.model import FileRow
    from agent.group.grouper import Grouper
    from agent.parse.journald import JournalParser

    Parser = FileParser | JournalParser

TRANSACTION_BYTES = 2 * 2**20  # 4 MiB is not faster and takes 4 MB more memory
_TRANSACTION_EVENTS = 7_000  # so many lines of 300 bytes; shorter ones take as much memory each: 10 MB more for text
_FINISHED_KEPT = 4_096  # finished files remembered, in case one is moved back; the tailer remembers fewer


class _FileState(msgspec.Struct):
    """One file generation as the writer thread has it: where the transaction that is being filled will leave it, its
    parser, and the batch being parsed or held back (None otherwise: a thousand quiet files must not keep a chunk each).
    """

    end: int
    marker: tuple[int, bytes]
    tail_open: bool = False  # later lines may continue the last event
    profile: Profile | None = None
    profile_text: str | None = None
    file: FileGeneration | None = None  # as its row will be; None: it is to be written with the next batch
    parser: Parser | None = None
    settings: ParseSettings | None = None
    batch: LineBatch | None = None


class TransactionBuilder:
    """Fills `transaction`; used by the writer thread alone.

    Args:
        settings: how each source is parsed, by name.
        known: the files that the store remembers.
        grouper: of the errors.
        report: notes own errors.
    """

    def __init__(
        self,
        settings: Mapping[str, ParseSettings],
        known: Iterable[FileRow],
        grouper: Grouper,
        report: Callable[[SidelogError, bool], None],
    ) -> None:
        self.settings = dict(settings)
        self.transaction = Transaction()
        self.began = 0.0  # when the oldest line of the transaction came; monotonic seconds
        self._known = {row.id: row for row in known}  # those of which no line has come in this run
        self._grouper = grouper
        self._undecided = PassingConditions(report)
        self._files: dict[int, _FileState] = {}
        self._finished: deque[int] = deque()
        self._held: dict[int, _FileState] = {}

    def reload(self, settings: Mapping[str, ParseSettings]) -> None:
        """Go on with the settings of a reload. The last batches of a source that is gone may still be held back."""
        self.settings |= settings
        self._undecided.keep({name for name, one in settings.items() if one.start or one.line_patterns})

    def take(self) -> Transaction:
        """The transaction, which is stored now: what comes goes into a new one."""
        taken, self.transaction = self.transaction, Transaction()
        return taken

    @property
    def is_full(self) -> bool:
        """Whether the transaction is large enough to be stored."""
        return self.transaction.bytes >= TRANSACTION_BYTES or self.transaction.events >= _TRANSACTION_EVENTS

    def deadlines_s(self) -> list[float]:
        """When events that are held back are to be released, on the monotonic clock."""
        parsers = [state.parser for state in self._held.values() if state.parser is not None]
        return [parser.deadline_s for parser in parsers if parser.deadline_s is not None]

    def add(self, batch: LineBatch) -> None:
        """Take the lines of one file, behind those that it had before."""
        file = batch.file
        state = self._files.get(file.id)
        if state is None:
            state = self._files[file.id] = self._begin(batch)
        if file is not state.file:
            self.change_file(FileChange(file, state.end))
        settings = self.settings.get(file.source, PLAIN)  # unknown: the end of a file whose source is gone
        if state.parser is None:
            state.parser, state.settings = _parser(file, settings, state.profile), settings
        elif state.settings != settings:  # a reload has changed how this source is read
            if state.batch is not None:
                self._add(state, state.parser, state.batch, state.parser.flush())
            calendar = Profile(calendar=state.parser.profile.calendar)  # its years stay, whatever is found out anew
            state.parser, state.settings, state.profile = _parser(file, settings, calendar), settings, None
        state.batch = batch
        self._add(state, state.parser, batch, state.parser.feed(batch, tail_open=state.tail_open))
        self._report_undecided(file, state.settings or settings)
        if batch.final:
            self._held.pop(file.id, None)
            state.parser = state.batch = None
        if batch.ends:  # not earlier: a crash before the last lines are stored must leave a file that is to be read
            self._finish(state, replace(file, state="finished"))

    def _report_undecided(self, file: FileGeneration, settings: ParseSettings) -> None:
        """Say on how many lines an expression of the source was not done in time."""
        for key, expressions in (("SL301", settings.start), ("SL310", settings.line_patterns)):
            if expressions is not None and expressions.undecided:
                self._undecided.meet(key, file.source, expressions.undecided, "line", path=file.path)
                expressions.undecided = 0

    def _begin(self, batch: LineBatch) -> _FileState:
        """How a file stands of which no line has come in this run."""
        row = self._known.pop(batch.file.id, None)
        if row is None:
            return _FileState(batch.offset, (0, b""))
        profile = Profile.from_json(row.profile) if row.profile else None
        tail_open = row.tail_event_id is not None
        return _FileState(row.offset, (row.marker_length, row.marker_hash), tail_open, profile, row.profile)

    def change_file(self, change: FileChange) -> None:
        """Write the row of a file anew, whether or not lines come."""
        self._save(change)
        if (state := self._files.get(change.file.id)) is not None:
            state.file = change.file

    def _save(self, change: FileChange) -> None:
        """Let the transaction write the row of a file."""
        known = self.transaction.files.get(change.file.id)
        if known is not None:
            change = replace(known, file=change.file, profile=change.profile or known.profile)
        self.transaction.files[change.file.id] = change

    def _finish(self, state: _FileState, file: FileGeneration) -> None:
        self.change_file(FileChange(file, state.end))
        self._finished.append(file.id)
        if len(self._finished) > _FINISHED_KEPT:
            self._files.pop(self._finished.popleft(), None)

    def _add(self, state: _FileState, parser: Parser, batch: LineBatch, events: EventBatch) -> None:
        """Put parsed events into the transaction, with the place in the file that they lead to."""
        file = batch.file
        if parser.deadline_s is not None:
            self._held[file.id] = state
        else:
            self._held.pop(file.id, None)
            state.batch = None
        marker_there = _marker(batch, events)
        if events.end == state.end and not events and marker_there in (None, state.marker):
            return  # all of it is held back
        if parser.profile is not state.profile:
            state.profile, state.profile_text = parser.profile, parser.profile.to_json()
            self._save(FileChange(state.file or file, state.end, state.profile_text))
        if not self.transaction.batches:
            self.began = time.monotonic()
        if events.errors and (service := service_in(file.resource)):
            for error in events.errors:
                error.service = error.service or service
        groups = {error.index: self._grouper.assign(error) for error in events.errors}
        if marker_there is not None or events.end != state.end:
            state.marker = marker_there or marker(b"")
        state.tail_open = events.tail_open
        read_bytes = events.end - state.end
        self.transaction.batches.append(
            StoredBatch(file, events, *state.marker, batch.observed_timestamp, groups, state.profile_text, read_bytes)
        )
        self.transaction.bytes += read_bytes
        self.transaction.events += len(events)
        state.end = events.end

    def settle(self) -> None:
        """End the conditions that are over. To be called now and then."""
        self._undecided.settle()

    def release_held(self, *, due_only: bool) -> None:
        """Store events that were held back for lines that did not come."""
        now = time.monotonic()
        for state in list(self._held.values()):
            parser = state.parser
            due = parser is not None and parser.deadline_s is not None and parser.deadline_s <= now
            if parser is not None and state.batch is not None and (due or not due_only):
                self._add(state, parser, state.batch, parser.flush())


def _parser(file: FileGeneration, settings: ParseSettings, profile: Profile | None) -> Parser:
    if not file.path.startswith(JOURNAL):
        return FileParser(settings, profile)
    from agent.parse.journald import JournalParser  # noqa: PLC0415 - most agents read files alone

    return JournalParser(settings)


def _marker(batch: LineBatch, events: EventBatch) -> tuple[int, bytes] | None:
    """Where the events of a batch end, as in Position; None where that is not known from the batch."""
    if batch.file.is_stream:
        return (len(events.cursor), events.cursor) if events.cursor else None
    return marker_at(batch, events.end)
