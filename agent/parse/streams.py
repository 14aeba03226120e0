"""What is open of a container's two streams, whose lines a container runtime writes into one file as they come.

Each stream has a line that is split and an event that later lines may continue, whatever the other one writes between
them. So an event may hold lines that do not lie side by side, and a row may be ready before another one that begins
earlier. Two things follow, and both are here:

- LineRows are in the order of their offsets: those that came too early are put in their places (`in_order`) as soon as
  nothing is open.
- A file can be read on at an offset only where no event lies on both sides of it. `ContainerStreams.begin` is the last
  such place: what is held back at the end of a batch begins there, with the rows behind it, so that what is stored
  before the committed offset is whole, and what is read again after a crash gives the same rows.

What lies between such places is bounded in lines and bytes, and in time by `multiline.timeout`.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

from agent.parse.multijson import LineRows, OpenObject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.core.model import EventBatch
    from agent.core.wrapping import Wrapped
    from agent.parse.multiline import OpenText
    from agent.parse.settings import Compiled

STREAMS = ("stdout", "stderr")
MOST_APART = 128  # lines of the other stream between two lines of an event: those between two of a trace are few
MOST_WOVEN_BYTES = 1 << 20  # in which lines of both streams lie without a place to read on at; or `max_line`, if larger
MOST_PARTS = 4096  # of a line that is split, however few bytes they hold; runtimes put 16 KiB into each
_by_index = attrgetter("index")


class LineTaker(LineRows, Protocol):
    """Who knows what an application's line is: the Assembler."""

    out: EventBatch
    is_redacted: bool

    def log_bytes(self, offset: int, size: int) -> int:
        """How many bytes of the log these are."""
        ...

    def content(
        self, raw: bytes, body: bytes, offset: int, size: int, extra: dict[str, str] | None, *, woven: bool = False
    ) -> None:
        """Take one line of the application."""
        ...

    def append_text(self, event: OpenText) -> None:
        """Append the row of a text event that has all its lines."""
        ...


class Partial:
    """Parts of one application line that a container runtime split; joined when the last part comes.

    `time` is the first part's until the last one comes, and the last one's then.
    """

    def __init__(self, offset: int, stream: str, time: str) -> None:
        self.offset = offset
        self.end = offset
        self.stream = stream
        self.time = time
        self.raws: list[bytes] = []
        self.bodies: list[bytes] = []
        self.size = 0
        self.log_bytes = 0  # of its lines, newlines included
        self.woven = False  # lines of the other stream lie between

    def add(self, line: bytes, body: bytes, offset: int, size: int, log_bytes: int) -> None:
        """Another part; its line begins at `offset` and has so many bytes."""
        self.woven |= offset != self.end
        self.raws.append(line)
        self.bodies.append(body)
        self.size += len(body)
        self.log_bytes += log_bytes
        self.end = offset + size

    def has_room(self, body: bytes, most_bytes: int) -> bool:
        """Whether it may have another part."""
        return self.size + len(body) <= most_bytes and len(self.raws) < MOST_PARTS


class Stream:
    """What is open of one stream: an event, or an object over several lines, and a line that is split."""

    __slots__ = ("apart", "open", "several", "split")

    def __init__(self, compiled: Compiled) -> None:
        self.open: OpenText | None = None
        self.several = OpenObject(compiled)
        self.split: Partial | None = None
        self.apart = 0  # lines of the other stream since the last one of `open` or `several`

    @property
    def has_event(self) -> bool:
        """Whether a line may be another one of an event that is open."""
        return self.open is not None or bool(self.several.lines)

    @property
    def is_used(self) -> bool:
        """Whether anything is open."""
        return self.split is not None or self.has_event


class ContainerStreams:
    """The streams of one file. Who knows what a line is comes with each call: kept here, the two would hold each other,
    and with them a chunk of lines until a garbage collection.

    Attributes:
        used: something may be open.
        begin: the offset before which everything is whole; while something is open.
        row: the first row behind it.
        latest: where the last line ends, and the offset of the event that has it.
    """

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._streams = {name: Stream(self._compiled) for name in STREAMS}
        self._most_bytes = max(compiled.max_line, MOST_WOVEN_BYTES)
        self._woven = False
        self._line = 0  # the offset of the line that was taken last
        self.used = False
        self.begin = 0
        self.row = 0
        self.latest = (-1, -1)

    def __getitem__(self, name: str) -> Stream:
        return self._streams[name]

    def add(self, work: LineTaker, wrapped: Wrapped, line: bytes, offset: int, size: int) -> None:
        """Take a line of one of the streams, which lies at `offset` and has so many bytes with its newline."""
        stream = self._streams[wrapped.stream]
        self._line, self.used = offset, True
        if self._others_open(work, stream, complete=not wrapped.partial) and self._is_too_much(work, offset + size):
            self.end(work)
        split = stream.split
        if split is not None and not work.is_redacted and not split.has_room(wrapped.body, self._compiled.max_line):
            self.end(work)  # of both: `logredactor` can tell the end of a split line by what ends everything alone
            split = None
        self.used = True
        log_bytes = work.log_bytes(offset, size)
        if split is None and not wrapped.partial:
            extra = {"stream": wrapped.stream, "time": wrapped.time}
            work.content(line, wrapped.body, offset, log_bytes, extra)
        else:
            if split is None:
                self._begins(work, offset)
                split = stream.split = Partial(offset, wrapped.stream, wrapped.time)
            split.add(line, wrapped.body, offset, size, log_bytes)
            self.latest = offset + size, split.offset
            if not wrapped.partial:
                split.time = wrapped.time
                self._finish_split(work, stream)
        stream.apart = 0
        if stream.several.lines:
            self.latest = offset + size, stream.several.offset
        elif stream.open is not None:
            stream.open.end = offset + size
            self.latest = offset + size, stream.open.start
        elif split is None:
            self.latest = offset + size, offset

    def _others_open(self, work: LineTaker, stream: Stream, *, complete: bool) -> bool:
        """Whether something of another stream is open, which a line of this one leaves open."""
        found = False
        for other in self._streams.values():
            if other is stream:
                continue
            if complete and other.has_event:
                other.apart += 1
                if other.apart > MOST_APART:
                    self._close(work, other)
            found |= other.is_used
        return found

    def _is_too_much(self, work: LineTaker, end: int) -> bool:
        return work.log_bytes(self.begin, end - self.begin) > self._most_bytes

    def _finish_split(self, work: LineTaker, stream: Stream) -> None:
        split = stream.split
        if split is not None:
            stream.split = None
            extra = {"stream": split.stream, "time": split.time}
            raw, body = b"\n".join(split.raws), b"".join(split.bodies)
            work.content(raw, body, split.offset, split.log_bytes, extra, woven=split.woven)

    def _close(self, work: LineTaker, stream: Stream) -> None:
        """The open event of a stream becomes a row; so does each line of an object that has no end."""
        if stream.several.lines:
            stream.several.release(work)
        event, stream.open = stream.open, None
        if event is not None:
            work.append_text(event)

    def are_over(self, work: LineTaker, names: set[str]) -> bool:
        """Whether an object in each of these streams ends all that is open, which ends then; else it stays."""
        if not self.used:
            return True
        if any(
            stream.split is not None or stream.several.lines or (stream.open is not None and name not in names)
            for name, stream in self._streams.items()
        ):
            return False
        self.end(work)
        return True

    def starts(self, work: LineTaker, offset: int, name: str) -> None:
        """An event of a stream begins at `offset`: the one before it is over."""
        self._close(work, self._streams[name])
        self._begins(work, offset)

    def _begins(self, work: LineTaker, offset: int) -> None:
        """An event or a line that is split begins at `offset`."""
        if offset != self._line:  # a line that was split, which `add` has told of
            return
        if any(stream.is_used for stream in self._streams.values()):
            self._woven = True
        else:
            self._settle(work.out)
            self.begin, self.row = offset, len(work.out.records)

    def end(self, work: LineTaker) -> None:
        """No further line belongs to anything that is open."""
        for stream in self._streams.values():
            self._finish_split(work, stream)
            self._close(work, stream)
        self._settle(work.out)
        self.used = False

    def _settle(self, out: EventBatch) -> None:
        if self._woven:
            in_order(out, self.row)
            self._woven = False

    # --- at the end of a batch

    def waiting(self) -> list[tuple[int, int]]:
        """Where the events begin, and end so far, that lines may follow which are worth waiting for."""
        found = []
        for stream in self._streams.values():
            if stream.split is not None:
                found.append((stream.split.offset, stream.split.end))
            if stream.several.lines:
                found.append((stream.several.offset, stream.several.lines[-1].offset))
            if stream.open is not None and (self._compiled.start is not None or stream.open.may_go_on()):
                found.append((stream.open.start, stream.open.end))
        return found

    def forget(self, out: EventBatch) -> None:
        """What lies behind `begin` will be read again, its rows included."""
        self._streams = {name: Stream(self._compiled) for name in STREAMS}
        drop(out, self.row)
        self._woven = self.used = False


def in_order(out: EventBatch, first: int) -> None:
    """Put the rows from `first` on into the order of their offsets."""
    rows = list(range(first, len(out.offsets)))
    order = sorted(rows, key=out.offsets.__getitem__)
    if order == rows:
        return
    columns: Iterable[list[object]] = (out.timestamps, out.severities, out.loggers, out.offsets, out.records)  # type: ignore[assignment]
    for column in columns:
        column[first:] = map(column.__getitem__, order)
    place = dict(zip(order, rows, strict=True))
    out.raws = {place.get(row, row): raw for row, raw in out.raws.items()}
    out.parse_errors = {place.get(row, row): why for row, why in out.parse_errors.items()}
    out.completed = dict(sorted((place.get(row, row), text) for row, text in out.completed.items()))
    for error in out.errors:
        error.index = place.get(error.index, error.index)
    out.errors.sort(key=_by_index)


def drop(out: EventBatch, first: int) -> None:
    """Take the rows from `first` on away."""
    columns: Iterable[list[object]] = (out.timestamps, out.severities, out.loggers, out.offsets, out.records)  # type: ignore[assignment]
    for column in columns:
        del column[first:]
    out.raws = {row: raw for row, raw in out.raws.items() if row < first}
    out.parse_errors = {row: why for row, why in out.parse_errors.items() if row < first}
    out.completed = {row: text for row, text in out.completed.items() if row < first}
    out.errors = [error for error in out.errors if error.index < first]
