"""The careful path: line by line into the columns of an EventBatch, with the state of the event that is still open.

It takes any bytes, never raises, and accounts for each of them: as an event's, as a blank line's or as a gap's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from agent.core.event import ERROR, raw_of_record
from agent.core.holes import begins_hole
from agent.core.model import EventBatch, Gap
from agent.parse import careful, jsonrows, multiline, textevent
from agent.parse.multijson import Line, OpenObject, may_begin
from agent.parse.patternruns import PatternRuns
from agent.parse.streams import ContainerStreams

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.core.fields import Profile
    from agent.core.wrapping import Wrapped
    from agent.parse.multiline import OpenText
    from agent.parse.settings import Compiled
    from agent.parse.streams import Stream

SAMPLE_BYTES = 1024


class Assembler:
    """Fills one EventBatch. `open` is the text event that the next line may continue; `streams` has a container's.

    Args:
        compiled: the settings.
        profile: where the fields are.
        observed: Unix ns, for events that do not say when they happened.
        in_log: of a redacted log, where an offset is in the log itself, by whose sizes lines and events are too long;
            the lines that a container runtime has split are told apart in it whatever their sizes are.
    """

    def __init__(
        self, compiled: Compiled, profile: Profile, observed: int, in_log: Callable[[int], int] | None = None
    ) -> None:
        self.compiled = compiled
        self._in_log, self.is_redacted = in_log, in_log is not None
        self.redacted = in_log is not None or compiled.redactor is not None
        self.shapes = compiled.shapes(profile)
        self.observed = observed
        self.out = EventBatch()
        self.open: OpenText | None = None
        self.streams = ContainerStreams(compiled)
        self.several = OpenObject(compiled)
        self.object_rows = 0  # so many rows there are right behind that of an object; other than those of containers
        self.last_text: OpenText | None = None  # the last row, where it is a text event that was closed by nothing
        self.tail: OpenText | None = None  # the last stored event, while lines continue it
        self.tail_lines: list[bytes] = []
        self._after = b""  # the next line, where it is at hand
        self.seen: list[dict[str, Any]] = []
        self.text_lines = self.json_lines = 0
        self._traces, self._rules = compiled.traces, compiled.rules
        self._runs = PatternRuns(compiled, observed)
        self._find_object = partial(careful.find_object, json=compiled.rules.json, only_json=compiled.rules.only_json)

    def lines(self, data: bytes, offset: int, following: bytes = b"") -> None:
        """All lines of `data`, whose first byte lies at `offset`; a last line may lack its newline. `following` is the
        line behind them, where it is known.
        """
        terminated = data.endswith(b"\n")
        parts = data.split(b"\n")
        if not parts[-1]:  # behind the last newline, or no data at all: no line, not even a blank one
            parts.pop()
        index, last = 0, len(parts) - 1
        text_alone, json_alone = textevent.takes(self.compiled, data)
        longest = self.compiled.max_line
        wrappers = self._rules.wrappers if self._rules.may_wrap(data) else {}  # one look for all: 0.1 µs a line
        runs = self._runs.begin(data) if text_alone and self._rules.explicit else None
        while index <= last:
            if runs is not None:
                taken, size = runs.take(self.out, parts, index, offset, self.begin_rows)
                index, offset, self.text_lines = index + taken, offset + size, self.text_lines + taken
            line = parts[index]
            index += 1
            size = len(line) + (1 if terminated or index <= last else 0)
            self._after = after = parts[index] if index <= last else following
            if (
                wrappers
                and (wrapper := wrappers.get(line[:1])) is not None
                and len(line) <= longest
                and (wrapped := wrapper.unwrap(line.removesuffix(b"\r"))) is not None
            ):
                self._wrapped(wrapped, line, offset, size)
            elif line[:1] == b"{":
                if not (json_alone and len(line) <= longest and self._plain_json(line, offset)):
                    self._line(line, offset, size)
            elif (
                text_alone
                and len(line) <= longest
                and not (line[:1] in b"[]," and may_begin(line))
                and self.nothing_open(line)
                and textevent.append(self.out, self.compiled, self.observed, line, after, offset)
            ):
                self.text_lines += 1
            else:
                self._line(line, offset, size)
                if after[:1] in multiline.INDENTS and self.open is not None and self.open.trace:
                    taken, size_taken = self._take_indented(parts, index, last if not terminated else last + 1)
                    index += taken
                    size += size_taken
            offset += size

    @property
    def after_object(self) -> bool:
        """Whether the last line was a JSON object; at first whether one may have been before."""
        return self.open is None and self.tail is None and self.object_rows == len(self.out.records)

    def nothing_open(self, line: bytes) -> bool:
        """Whether this line belongs to nothing before it; closes an event that this is plain to see for."""
        if self.streams.used or self.tail is not None or self.several.lines:
            return False
        event = self.open
        if (
            event is not None
            and b"!" <= line[:1] <= b"~"
            and (not self._traces or multiline.takes_only_indented(event) or textevent.ends_before(event, line))
        ):
            self.close()
        return self.open is None

    def _take_indented(self, parts: list[bytes], begin: int, end: int) -> tuple[int, int]:
        """Take a run of indented lines into the open trace at once; answers their number and size in bytes."""
        event = self.open
        if event is None or event.explicit or not self._traces or self.compiled.redactor or self._in_log:
            return 0, 0
        before = event.size
        taken = multiline.take_indented(event, parts, begin, end, self.compiled.max_line)
        self.text_lines += taken
        return taken, event.size - before

    def _line(self, line: bytes, offset: int, size: int) -> None:
        if line in (b"", b"\r"):
            self.blank(line, offset, size)
        elif len(line) > self.compiled.max_line < self.log_bytes(offset, len(line)):
            self.begin_rows()
            self.out.gaps.append(Gap(offset, offset + size, "over_long", self.sample(line)))
        elif line[0] == 0 and begins_hole(line):
            rest = line.lstrip(b"\0")
            hole = len(line) - len(rest)
            self.begin_rows()
            self.out.gaps.append(Gap(offset, offset + hole, "hole"))
            if rest or size > hole:
                self._line(rest, offset + hole, size - hole)
        else:
            self._full(line, offset, size)

    def log_bytes(self, offset: int, size: int) -> int:
        """How many bytes of the log these are."""
        return size if self._in_log is None else self._in_log(offset + size) - self._in_log(offset)

    def sample(self, line: bytes) -> bytes:
        """What a gap keeps of a line, redacted."""
        sample, redactor = line[:SAMPLE_BYTES], self.compiled.redactor
        if redactor is None:
            return sample
        return redactor.text(sample.decode("utf-8", "backslashreplace")).encode()[:SAMPLE_BYTES]

    def blank(self, line: bytes, offset: int, size: int) -> None:
        """A line with nothing in it."""
        if self.streams.used:
            self.streams.end(self)
        if self.several.lines and self.several.takes_blank(self, line, offset, size):
            return
        event = self.open or self.tail
        whole = size > len(line)  # only a file's very last line has no newline, and nothing can follow it
        if event is not None and whole and self._takes_blank(event):
            event.blanks.append(line)
            return
        self.close()
        self.end_tail()
        self.last_text = None
        self.out.blank_bytes += size

    def _takes_blank(self, event: OpenText) -> bool:
        return self.compiled.start is not None or (self._traces and multiline.takes_blank(event))

    def _full(self, line: bytes, offset: int, size: int) -> None:
        if self._rules.wrappers:
            wrapper = self._rules.wrappers.get(line[:1])
            wrapped = None if wrapper is None else wrapper.unwrap(line.removesuffix(b"\r"))
            if wrapped is not None:
                self._wrapped(wrapped, line, offset, size)
                return
            if self.streams.used:
                self.streams.end(self)
        self.content(line, line, offset, size, None)

    def _wrapped(self, wrapped: Wrapped, line: bytes, offset: int, size: int) -> None:
        redactor = self.compiled.redactor
        if redactor is not None and redactor.may_apply(line):  # Docker's `attrs` are in no record, but in the line
            line = self._rules.wrappers[line[:1]].redact(line, lambda body: body, redactor)
        if self.open is not None or self.tail is not None or self.several.lines:
            self.begin_rows()
        self.last_text, self.object_rows = None, -1
        self.streams.add(self, wrapped, line, offset, size)

    def content(
        self, raw: bytes, body: bytes, offset: int, size: int, extra: dict[str, str] | None, *, woven: bool = False
    ) -> None:
        """Take one line of the application.

        Args:
            raw: what lies in the file.
            body: what the application wrote.
            offset: of its first byte.
            size: of its bytes, newlines included; of a container's line of those in the log.
            extra: of a container's line its stream and time.
            woven: it was split, and lines of the other stream lie between its parts.
        """
        line = Line(raw, body.removesuffix(b"\r").removeprefix(careful.BOM), offset, size, extra, woven)
        several = self.several if extra is None else self.streams[extra["stream"]].several
        if not (several.lines and several.goes_on(self, line)):
            self.line_alone(line, may_begin=True)

    def line_alone(self, line: Line, *, may_begin: bool) -> None:
        """A line that goes on with no object before it; `may_begin` one of several lines."""
        found, rest, error, hidden = jsonrows.find(line, self.compiled, self._find_object)
        if found is not None:
            self.object(found, rest, hidden=hidden)
        else:
            self._text(rest, line if may_begin else None, error=error)

    # --- JSON

    def _plain_json(self, line: bytes, offset: int) -> bool:
        """A JSON line without anything special about it: 12 µs instead of 18. Answers whether it was one."""
        if self.several.lines or line.endswith(b"\r"):
            return False
        try:
            read = careful.read_object(line)
        except (careful.NotAnObjectError, RecursionError):
            return False
        if self.open is not None or self.tail is not None or self.streams.used:
            self.begin_rows()
        self.last_text = None
        jsonrows.append(self, read.record, read.text, offset, read.error, None if read.verbatim else line)
        return True

    def object(self, found: careful.JsonLine, line: Line, *, hidden: bool) -> None:
        """The row of an object that a line is, or several are; `hidden`: something in it was replaced."""
        raw, extra = line.raw, line.extra
        kept: bytes | int | str | None
        if extra is None:
            self.begin_rows()
            kept = None if hidden else raw_of_record(raw, line.plain) if found.verbatim else raw
            record, text = found.record, found.text
        else:
            self.streams.starts(self, line.offset, extra["stream"])
            if hidden:
                raw = self.compiled.rewrapped(raw, found.text.encode(), woven=line.woven)
            record, text = jsonrows.named(found, extra["stream"])
            kept = self._rules.kept(raw, text)
        jsonrows.append(self, record, text, line.offset, found.error, kept, extra)

    # --- text

    def _text(self, line: Line, original: Line | None, *, error: str | None) -> None:
        """A line that is no object; `original`, before redaction, where it may begin one of several lines."""
        raw, plain, offset, size, extra, _ = line
        text, bad = careful.decode_text(plain)
        self.text_lines += 1
        holder: Assembler | Stream = self if extra is None else self.streams[extra["stream"]]
        log_bytes = self.log_bytes(offset, size) if extra is None else size
        if original is not None and holder.several.is_whole(self, original):
            return
        if holder.open is not None and self._goes_on(holder.open, text, log_bytes):
            multiline.add(holder.open, raw, text)
            holder.open.end = offset + size
            holder.open.error = holder.open.error or bad
            return
        if self.tail is not None and self._goes_on(self.tail, text, log_bytes):
            self.tail_lines += [*self.tail.blanks, raw]
            multiline.add(self.tail, raw, text)
            return
        if extra is None:
            self.finish()
            self.end_tail()
        else:
            self.streams.starts(self, offset, extra["stream"])
        if original is not None and holder.several.begins(self, original):
            return
        error = (f"{error}, {bad}" if error else bad) if bad else error
        after = self._after if original is not None else b""  # it is not behind this line
        here = (self.out, self.compiled, self.observed, raw, text, after, offset)
        if extra is not None and error is None and textevent.append_contained(*here, extra):
            return
        rules = self._rules
        event = multiline.begin(offset, raw, text, rules.read_head, traces=self._traces, explicit=rules.explicit)
        event.end, event.error, event.extra = offset + size, error, extra or {}
        holder.open = event

    def _goes_on(self, event: OpenText, text: str, size: int) -> bool:
        if event.size + size > self.compiled.max_line or len(event.lines) >= multiline.MAX_LINES:
            return False
        if self.compiled.start is not None:
            return not self.compiled.start.begins(text)
        return self._traces and multiline.continues(event, text)

    def close(self) -> None:
        """The open text event becomes a row; blank lines after it are blank lines."""
        event = self.open
        if event is None:
            return
        self.open = None
        self.last_text = None if event.blanks else event  # the blank lines are counted: what follows is not its own
        self.out.blank_bytes += multiline.drop_blanks(event)
        self.append_text(event)

    def append_text(self, event: OpenText) -> None:
        """Append the row of a text event that has all its lines."""
        out = self.out
        row = len(out.records)
        built = textevent.build(event, self.compiled, self.observed)
        out.timestamps.append(built.timestamp)
        out.severities.append(built.severity)
        out.loggers.append(built.logger)
        out.offsets.append(event.start)
        out.records.append(built.record)
        if built.raw is not None:
            out.raws[row] = built.raw
        if built.error is not None:
            out.parse_errors[row] = built.error
        if built.severity >= ERROR:
            out.errors.append(textevent.text_error(built, row))

    def end_tail(self) -> None:
        """No further line belongs to the last stored event."""
        if self.tail is not None:
            self.out.blank_bytes += multiline.drop_blanks(self.tail)
            self.tail = None

    def begin_rows(self) -> None:
        """A row or a gap follows that no line before it belongs to: whatever is open ends here."""
        self.finish()
        self.end_tail()
        self.last_text = None

    def finish(self) -> None:
        """Release everything."""
        if self.streams.used:
            self.streams.end(self)
        if self.several.lines:
            self.several.release(self)
        self.close()
