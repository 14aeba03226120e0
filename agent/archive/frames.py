"""A log into frames of about 1 MiB that hold whole events, and what the index is to know of each.

A frame is parsed alone when it is searched, so it is parsed alone here as well: what the index says is what a search
will find. An event of several lines must not be cut. So what the parser would hold back for lines that may follow, or
the last event where such lines could still be added to it, goes to the next frame.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from agent.archive import tokens
from agent.archive.container import FRAME_BYTES
from agent.archive.scan import build, lines
from agent.core.event import RAW_MESSAGE, REDACTED
from agent.core.model import FileGeneration, LineBatch
from agent.core.patterns import lazy
from agent.core.simd import find
from agent.parse.decode import FileParser, ParseSettings
from agent.parse.exports import MESSAGE_IN_BYTES
from agent.parse.fast import Survey
from agent.store.archives import FrameRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from agent.archive.container import FrameLocation
    from agent.archive.scan import LineFacts
    from agent.core.fields import Profile
    from agent.core.model import EventBatch
    from agent.parse.decode import ParseSettings
    from agent.parse.formats import LineRules

_MOST_BYTES = 16 << 20  # a longer line, far beyond any max_line, is cut; and a longer event, which no search shows
# A line, as far as it is at hand, that is read by what was before it: a bracket or comma alone, or an indented object;
# blank lines and holes before it change nothing.
_BY_BEFORE = lazy(
    rb"[\r\n\0]*+(?:\xef\xbb\xbf)?+(?:[ \t]*+(?:\Z|[\[\],][ \t\r\v\f]*+(?:\n|\Z))|[ \t][ \t\r\x1e,\[\]]*+(?:\{|\Z))"
)
_HEAD_LINES_BYTES = 1 << 16
_MESSAGE_IN_BYTES = lazy(MESSAGE_IN_BYTES)
_TEXT_IN_BRACES = '{"message":"{'  # how the record of a line begins that looks like an object and is none


class IndexedFrame(msgspec.Struct):
    """One frame's content and its index. Instants are Unix ns, None where there is no event."""

    data: bytes
    lines: int
    events: int
    min_timestamp: int | None
    max_timestamp: int | None
    severities: dict[int, int]
    shape: int
    tokens: tokens.TokenFilter

    def row(self, number: int, location: FrameLocation) -> FrameRow:
        """Its index, as the store has it."""
        return FrameRow(
            number,
            *location,
            self.lines,
            self.events,
            self.min_timestamp,
            self.max_timestamp,
            self.severities,
            self.shape | self.tokens.parts,
            self.tokens.longest,
            self.tokens.blocks,
        )


class FrameSplitter:
    """Splits one log.

    Args:
        settings: how its lines are parsed.
        profile: where its fields are, if that is known; else the first frame tells, and `profile` is it then.
        observed: Unix ns, for events that do not say when they happened.
        read_by: Unix ns; no event happened a day later.
        frame_bytes: about how much of the log a frame holds.
        in_log: of a redacted log, where an offset is in the log itself.
    """

    def __init__(
        self,
        settings: ParseSettings,
        profile: Profile | None,
        observed: int,
        *,
        read_by: int = 0,
        frame_bytes: int = FRAME_BYTES,
        in_log: Callable[[int], int] | None = None,
    ) -> None:
        self._profile = profile
        self._is_recorded = profile is not None and bool(profile.calendar)  # in the store: it stays as it is there
        self._settings = settings
        self._observed = observed
        self._read_by = read_by
        self._parser: FrameParser | None = None
        self._frame_bytes = frame_bytes
        self._in_log = in_log
        self._offset = 0

    @property
    def profile(self) -> Profile | None:
        """What is known of the log by now."""
        return self._profile if self._parser is None else self._parser.profile

    def split(self, chunks: Iterable[bytes]) -> Iterator[IndexedFrame]:
        """Frames that make up the log, from pieces that make it up."""
        held, size, limit = [], 0, self._frame_bytes
        for chunk in chunks:
            held.append(chunk)
            size += len(chunk)
            if size < limit:
                continue
            data = b"".join(held)
            whole = data.rfind(b"\n", 0, -1) + 1  # what follows it is at hand then
            piece = self._take(data, whole) if whole else None
            if piece is None and size < _MOST_BYTES:  # one event fills all of it
                held, limit = [data], size + self._frame_bytes
                continue
            piece = piece or self._index(data, whole or size)
            yield piece
            rest = data[len(piece.data) :]
            held, size, limit = [rest], len(rest), max(self._frame_bytes, len(rest) + 1)
        yield from self._last(b"".join(held))

    def _last(self, data: bytes) -> Iterator[IndexedFrame]:
        """What is left: one frame, or more where the last chunk made it large."""
        while data:
            piece = None
            if len(data) > 2 * self._frame_bytes:
                piece = self._take(data, data.rfind(b"\n", 0, self._frame_bytes) + 1)
            piece = piece or self._index(data, len(data))
            yield piece
            data = data[len(piece.data) :]

    def _take(self, data: bytes, whole: int) -> IndexedFrame | None:
        """A frame from the beginning of `data`, at most `whole` bytes; None where no event ends in it for sure."""
        if not whole:
            return None
        content = data[:whole]
        parser = self._parser_for(content)
        easy = _easy(content, parser, self._settings)
        if easy is not None:
            self._offset += whole
            return easy
        found = parser.parse(content, self._offset, final=False, in_log=self._in_log)
        end, after_object = found.end - self._offset, parser.after_object
        last = found.offsets[-1] - self._offset if found.offsets else 0
        if found.tail_open and end > last:
            end, after_object = last, False
        if not after_object:
            end = _unmistakable(data, end, [offset - self._offset for offset in found.offsets], self._settings.rules)
        if end <= 0:
            return None
        if end == whole and not found.tail_open:
            self._offset += whole
            return _parsed(content, found, self._settings)
        return self._index(data, end)

    def _parser_for(self, data: bytes) -> FrameParser:
        if self._profile is None:
            parser = FileParser(self._settings)
            parser.feed(LineBatch(FileGeneration(0, "", "", 0, 0, 0), 0, data[:_HEAD_LINES_BYTES], self._observed))
            self._profile = parser.profile
        if self._parser is None:
            self._parser = FrameParser(
                self._settings, self._profile, self._observed, self._read_by, recorded=self._is_recorded
            )
        return self._parser

    def _index(self, data: bytes, end: int) -> IndexedFrame:
        content = data[:end]
        piece = index_frame(content, self._offset, self._settings, self._parser_for(content), in_log=self._in_log)
        self._offset += end
        return piece


def _unmistakable(data: bytes, end: int, begins: list[int], rules: LineRules) -> int:
    """The last cut up to this one, which is behind no object, whose frames are read as in the whole log: of a frame
    nobody knows what was before it, so that a bracket, a comma or an indented object at its beginning is read as part
    of an array; an opening bracket is read by what follows it.

    Args:
        data: what is cut.
        end: where an event ends.
        begins: of the events.
        rules: of its source. Behind a container's line, which is an object of no array, there is no such cut, nor one
            before it: the lines of its event may lie between those of others.
    """
    for begin in reversed(begins):
        if begin >= end:
            continue
        if data[begin:end].strip() != b"[":
            if not _BY_BEFORE.match(data, end):
                break
            if rules.unwrap(data[begin:end].partition(b"\n")[0].removesuffix(b"\r")) is not None:
                return 0
        end = begin
    return end


def index_frame(
    data: bytes,
    offset: int,
    settings: ParseSettings,
    parser: FrameParser,
    *,
    in_log: Callable[[int], int] | None = None,
    place: Callable[[int], int] | None = None,
) -> IndexedFrame:
    """A frame that begins and ends with its events, and its index. The arguments are those of `FrameParser.parse`."""
    easy = _easy(data, parser, settings)
    if easy is not None:
        return easy
    return _parsed(data, parser.parse(data, offset, in_log=in_log, place=place), settings)


def _easy(data: bytes, parser: FrameParser, settings: ParseSettings) -> IndexedFrame | None:
    """The same, where each line is an event of which nothing but instant and severity has to be looked at."""
    found = lines(data)
    if not (found.objects and found.valid):
        return None
    survey = parser.survey(data, found.longest)
    return None if survey is None else _piece(data, found, survey, settings)


def _parsed(data: bytes, events: EventBatch, settings: ParseSettings) -> IndexedFrame:
    piece = _piece(data, lines(data), _survey(events), settings)
    if piece.shape & JSON_LINES and any(events.records[row].startswith(_TEXT_IN_BRACES) for row in events.raws):
        piece.shape &= ~JSON_LINES
    if _has_changed(events, settings):
        piece.shape += CHANGED
    return piece


def _has_changed(events: EventBatch, settings: ParseSettings) -> bool:
    """Whether some records have more than their lines: the line is kept beside such, unless something of it was
    redacted, or it is the message.
    """
    if any(
        type(raw) is not int or (raw == RAW_MESSAGE and ',"' in events.records[row]) for row, raw in events.raws.items()
    ):
        return True
    return bool(settings.redact) and any(REDACTED in record for record in events.records)


def _survey(events: EventBatch) -> Survey | None:
    """None where there are none."""
    if not events.timestamps:
        return None
    return Survey(len(events), min(events.timestamps), max(events.timestamps), Counter(events.severities))


def _piece(data: bytes, found: LineFacts, events: Survey | None, settings: ParseSettings) -> IndexedFrame:
    shape = shape_of(data, found, settings)
    filter_ = tokens.TokenFilter(b"", tokens.NO_BOUND, 0)
    if not shape & WRAPPED:
        filter_ = build(data, events.events if events else 0)
        if found.escaped:
            filter_ = filter_._replace(longest=tokens.NO_BOUND, parts=0)
    number, first, last, severities = events or (0, None, None, {})
    return IndexedFrame(data, found.number, number, first, last, dict(severities), shape, filter_)


# ---------------------------------------------------------------- kinds of lines in a frame


JSON_LINES = 1  # each line is a JSON object of its own, so that any of them can be parsed without the others
ESCAPED = 2  # escapes hide ASCII characters
INVALID = 4  # not UTF-8 all through: such bytes stand in an event's record as escapes
WRAPPED = 8  # lines in which an event's text may stand in pieces, or in numbers: of a container runtime, or journald's
CHANGED = 16  # some records are not their lines byte for byte: a value was redacted, a key was there twice, …


def shape_of(data: bytes, lines: LineFacts, settings: ParseSettings) -> int:
    """The shape of a frame with these lines: a sum of the constants above."""
    found = JSON_LINES * (lines.objects and settings.rules.json) + ESCAPED * lines.escaped + INVALID * (not lines.valid)
    return found + WRAPPED * _is_wrapped(data, settings)


def _is_wrapped(data: bytes, settings: ParseSettings) -> bool:
    expected = settings.rules
    if expected.wrapped or expected.unwrap(data[: data.find(b"\n") + 1 or None]) is not None:
        return True
    return find(data, b"MESSAGE") >= 0 and _MESSAGE_IN_BYTES.search(data) is not None


# ---------------------------------------------------------------- a frame parsed alone


class FrameParser:
    """Parses frames, each as if there were no other.

    One parser serves many frames, for it keeps what it has compiled and the shapes of errors; a new one takes its place
    when it has learnt anything, or holds something back, that could tell in the next frame.

    Args:
        settings: of the source, as they were when the log was archived.
        profile: of the log.
        observed: Unix ns, for events that do not say when they happened.
        read_by: Unix ns; no event happened a day later.
        recorded: years and dates are those that the profile has; else they are found out, and `profile` has them.
    """

    def __init__(
        self,
        settings: ParseSettings,
        profile: Profile | None,
        observed: int,
        read_by: int = 0,
        *,
        recorded: bool = True,
    ) -> None:
        self.profile = profile
        self._settings = settings
        self._observed = observed
        self._read_by = read_by
        self._is_recorded = recorded
        self._parser: FileParser | None = None
        self.after_object = True  # whether the last line before the end of what was parsed was an object

    def parse(
        self,
        data: bytes,
        offset: int,
        *,
        final: bool = True,
        in_log: Callable[[int], int] | None = None,
        place: Callable[[int], int] | None = None,
    ) -> EventBatch:
        """The events of a frame.

        Args:
            data: its content.
            offset: of its first byte.
            final: nothing is to be held back.
            in_log: of a redacted log, where an offset is in the log itself.
            place: of lines that were taken out of their log, where an offset is in it.
        """
        parser = self._parser or self._new_parser()
        batch = LineBatch(FileGeneration(0, "", "", 0, 0, 0), offset, data, self._observed, final=final)
        events = parser.feed(batch, in_log=in_log, place=place)
        self.after_object = parser.after_object
        if self.profile is not None and parser.profile.calendar != self.profile.calendar:
            self.profile = msgspec.structs.replace(self.profile, calendar=parser.profile.calendar)
        keep = self.profile is not None and parser.profile == self.profile and parser.deadline_s is None
        self._parser = parser if keep else None
        return events

    def survey(self, data: bytes, longest: int) -> Survey | None:
        """What its events are, if that is easy to tell: see FileParser.survey."""
        if self.profile is None:
            return None
        if self._parser is None:
            self._parser = self._new_parser()
        return self._parser.survey(data, longest, self._observed)

    def _new_parser(self) -> FileParser:
        return FileParser(self._settings, self.profile, read_by=self._read_by, recorded=self._is_recorded)
