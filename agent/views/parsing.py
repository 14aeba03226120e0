"""How a log would be read: what `sidelog parse` shows of it, without a store and in bounded memory."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from agent.core.event import original_of, severity_text
from agent.core.fields import ALIASES, load_record, read_fields
from agent.core.model import FileGeneration, Gap, LineBatch
from agent.core.stored import FileInfo, StoredEvent
from agent.parse.careful import decode_text
from agent.parse.decode import FileParser, join
from agent.parse.formats import recognised
from agent.parse.patterns import NO_PATTERN
from agent.views import iso
from agent.views.picture import PicturedLine, located, without_trace

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from agent.core.fields import Profile
    from agent.core.model import EventBatch
    from agent.parse.settings import ParseSettings

_BATCH_BYTES = 1 << 18
_SAMPLED = 2_000  # first events, by which the format is told and a pattern proposed
_SAMPLE_CHARACTERS = 400  # of each
_REASONS = 50  # different parse errors that are counted
_LONGEST_LINE = 1 << 24  # bytes; a longer one is a gap whatever `max_line` says
_SHOWN_CHARACTERS = 2_000  # of a line in the document


class ReadEvent(NamedTuple):
    """One event as it would be stored."""

    timestamp: int
    severity: int
    offset: int
    record: str
    raw: bytes | int | str | None
    parse_error: str | None

    @property
    def first_line(self) -> bytes:
        """The line that it was made of, or the first of several."""
        return original_of(self.record, self.raw).partition(b"\n")[0].removesuffix(b"\r")


class LogReading(msgspec.Struct):
    """What was read, in numbers, and the first lines as pictures."""

    lines: int = 0
    events: int = 0
    with_instant: int = 0
    with_severity: int = 0
    with_message: int = 0
    first: int | None = None
    last: int | None = None
    severities: Counter[int] = msgspec.field(default_factory=Counter)
    reasons: Counter[str] = msgspec.field(default_factory=Counter)
    gaps: Counter[str] = msgspec.field(default_factory=Counter)
    formats: Counter[str] = msgspec.field(default_factory=Counter)
    fields: dict[str, str] = {}  # of JSON lines: role -> where it is
    pictures: list[PicturedLine] = []
    unread: list[PicturedLine] = []  # of the lines with a parse error, behind those
    samples: list[str] = []

    def share(self, count: int) -> float:
        """How much of the events these are, 0 to 1."""
        return count / self.events if self.events else 0.0

    @property
    def levels(self) -> dict[str, int]:
        """How many events have each severity, the highest first."""
        found: Counter[str] = Counter()
        for number, count in sorted(self.severities.items(), reverse=True):
            found[severity_text(number) or "none"] += count
        return dict(found)

    def document(self) -> dict[str, Any]:
        """The document of `parse --json`."""
        return {
            "formats": dict(self.formats.most_common()),
            "fields": self.fields,
            "lines": self.lines,
            "events": self.events,
            "instant": {"events": self.with_instant, "share": self.share(self.with_instant)},
            "severity": {"events": self.with_severity, "share": self.share(self.with_severity)},
            "message": {"events": self.with_message, "share": self.share(self.with_message)},
            "first": iso(self.first),
            "last": iso(self.last),
            "severities": self.levels,
            "parse_errors": dict(self.reasons.most_common()),
            "gaps": dict(self.gaps),
            "first_events": [one.document() for one in self.pictures],
            "unread": [one.document() for one in self.unread],
        }


class LogReader:
    """Reads one log by the settings of a source.

    Args:
        settings: how.
        source: the name that its events have.
        path: the path that they have.
        resource: their resource attributes.
        modified: when the log was last written, Unix ns, by which a missing year is completed; 0 where nobody knows.
    """

    def __init__(
        self, settings: ParseSettings, source: str, path: str, resource: dict[str, Any], modified: int = 0
    ) -> None:
        self._settings = settings
        self._parser = FileParser(settings)
        self._file = FileGeneration(1, source, path, 0, 0, 0)
        self._observed = time.time_ns()
        self._modified = modified
        self._resource = resource
        self._held: ReadEvent | None = None  # the last one, which lines of the next batch may continue
        self._places: list[tuple[int, bytes, int]] = []  # offset, bytes and lines before, of the last two batches
        self.reading = LogReading()

    def events(self, pieces: Iterable[bytes]) -> Iterator[ReadEvent]:
        """The events of a log whose bytes come in pieces; a last line needs no newline."""
        tail_open = False
        for batch in _batches(pieces, self._file, self._observed):
            batch.modified = self._modified
            self._note(batch)
            out = self._parser.feed(batch, tail_open=tail_open)
            tail_open = out.tail_open
            yield from self._taken(out)
        yield from self._taken(self._parser.flush())
        if self._held is not None:
            yield self._held

    def stored(self, event: ReadEvent) -> StoredEvent:
        """An event as a query would give it; its id is how many events were read."""
        self.reading.events += 1
        info = FileInfo(1, self._file.source, self._file.path, self._resource, self._parser.profile)
        row = (
            self.reading.events, event.timestamp, self._observed, event.severity, 1, event.offset, None,
            event.record, event.raw, event.parse_error,
        )  # fmt: skip
        return StoredEvent(row, info)

    def survey(self, pieces: Iterable[bytes], shown: int) -> LogReading:
        """Read all of it; or what came until somebody interrupted, with KeyboardInterrupt going on to the caller.

        Args:
            pieces: the bytes of the log.
            shown: how many of the first events are pictured, and of those that were not read.
        """
        for event in self.events(pieces):
            self._count(event, shown)
        for role in ALIASES if self._parser.profile.format == "json" else ():
            if (path := self._parser.profile.path(role)) is not None:
                self.reading.fields[role] = ".".join(path)
        return self.reading

    # ------------------------------------------------------------ batches

    def _note(self, batch: LineBatch) -> None:
        before = self.reading.lines
        self.reading.lines += batch.data.count(b"\n") + bool(batch.data and not batch.data.endswith(b"\n"))
        self.reading.lines += len(batch.gaps)
        self._places = [*self._places[-1:], (batch.offset, batch.data, before)]

    def _taken(self, out: EventBatch) -> Iterator[ReadEvent]:
        if out.continuation is not None and self._held is not None:
            record, raw, _ = join(self._held.record, self._held.raw, out.continuation)
            self._held = self._held._replace(record=record, raw=raw)
        for gap in out.gaps:
            self.reading.gaps[gap.reason] += 1
        for row in range(len(out)):
            if self._held is not None:
                yield self._held
            self._held = ReadEvent(
                out.timestamps[row],
                out.severities[row],
                out.offsets[row],
                out.records[row],
                out.raws.get(row),
                out.parse_errors.get(row),
            )

    def _line_number(self, offset: int) -> int | None:
        for begin, data, before in self._places:
            if begin <= offset < begin + len(data):
                return before + data.count(b"\n", 0, offset - begin) + 1
        return None

    # ------------------------------------------------------------ counting

    def _count(self, event: ReadEvent, shown: int) -> None:
        reading, profile = self.reading, self._parser.profile
        reading.events += 1
        reading.severities[event.severity] += 1
        reading.with_severity += event.severity > 0
        if event.timestamp != self._observed:
            reading.with_instant += 1
            reading.first = event.timestamp if reading.first is None else min(reading.first, event.timestamp)
            reading.last = event.timestamp if reading.last is None else max(reading.last, event.timestamp)
        record = load_record(event.record)
        reading.with_message += bool(_message(record, profile))
        if event.parse_error is not None and (event.parse_error in reading.reasons or len(reading.reasons) < _REASONS):
            reading.reasons[event.parse_error] += 1
        if reading.events <= _SAMPLED:
            self._sample(event)
        if len(reading.pictures) < shown:
            reading.pictures.append(self._picture(event, record))
        elif event.parse_error is not None and len(reading.unread) < shown:
            reading.unread.append(self._picture(event, record))

    def _sample(self, event: ReadEvent) -> None:
        line = event.first_line
        text = decode_text(line)[0]
        self.reading.samples.append(text[:_SAMPLE_CHARACTERS])
        patterns = self._settings.line_patterns
        if patterns is None:
            self.reading.formats[recognised(line, text, self._settings.format)] += 1
        else:
            found = patterns.pieces(text)
            self.reading.formats[f"pattern {found[0] + 1}" if found is not None else NO_PATTERN] += 1

    def _picture(self, event: ReadEvent, record: dict[str, Any]) -> PicturedLine:
        text = decode_text(event.first_line)[0]
        patterns, profile = self._settings.line_patterns, self._parser.profile
        if patterns is None:
            pieces = located(text, record, profile)
        else:
            found = patterns.pieces(text)
            pieces = [] if found is None else found[1]
        fields = read_fields(record, profile)
        instant = event.timestamp if event.timestamp != self._observed else None
        return PicturedLine(
            self._line_number(event.offset),
            text[:_SHOWN_CHARACTERS],
            [piece for piece in pieces if piece.start < _SHOWN_CHARACTERS],
            instant,
            event.severity,
            event.parse_error,
            fields.logger,
            without_trace(fields.attributes(record)),
        )


def _message(record: dict[str, Any], profile: Profile) -> str:
    found = record.get("message")
    return found if type(found) is str and found else read_fields(record, profile).body


def _batches(pieces: Iterable[bytes], file: FileGeneration, observed: int) -> Iterator[LineBatch]:
    """Whole lines; of the last batch the rest. A line without end is a gap, of which nothing is kept."""
    held: list[bytes] = []
    size = offset = skipped = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size < _BATCH_BYTES or (b"\n" not in piece and size < _LONGEST_LINE):
            continue
        data = b"".join(held)
        if skipped:
            data, skipped, offset = yield from _past_gap(data, skipped, offset, file, observed)
        end = data.rfind(b"\n") + 1
        if end:
            yield LineBatch(file, offset, data[:end], observed)
            offset, data = offset + end, data[end:]
        if len(data) >= _LONGEST_LINE:
            skipped, data = len(data), b""
        held, size = [data], len(data)
    data = b"".join(held)
    if data and not data.endswith(b"\n"):
        data += b"\n"  # what ends here is a line, whether or not its writer is done
    if skipped:
        data, _, offset = yield from _past_gap(data or b"\n", skipped, offset, file, observed)
    yield LineBatch(file, offset, data, observed, final=True)


def _past_gap(
    data: bytes, skipped: int, offset: int, file: FileGeneration, observed: int
) -> Generator[LineBatch, None, tuple[bytes, int, int]]:
    """Go on with what follows a line of which `skipped` bytes are gone."""
    end = data.find(b"\n") + 1
    if not end:
        return b"", skipped + len(data), offset
    gap = Gap(offset, offset + skipped + end, "over_long")
    yield LineBatch(file, offset, b"", observed, gaps=[gap])
    return data[end:], 0, gap.end
