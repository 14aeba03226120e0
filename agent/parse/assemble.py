"""The careful path: line by line into the columns of an EventBatch, with the state of the event that is still open.

It takes any bytes, never raises, and accounts for each of them: as an event's, as a blank line's or as a gap's.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from agent.core.event import ERROR, raw_of_record
from agent.core.holes import begins_hole
from agent.core.model import EventBatch, Gap
from agent.parse import careful, fields, multiline, textevent
from agent.parse.formats import Partial, with_stream
from agent.parse.multijson import Line, OpenObject, may_begin

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.core.fields import Profile
    from agent.parse.formats import Wrapped
    from agent.parse.multiline import OpenText
    from agent.parse.settings import Compiled

SAMPLE_BYTES = 1024
_LEARN_RECORDS = 32  # decoded records kept for detection


class Assembler:
    """Fills one EventBatch. `open` is the text event that the next line may continue, `partial` a split line.

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
        self._in_log = in_log
        self.redacted = in_log is not None or compiled.redactor is not None
        self.shapes = compiled.shapes(profile)
        self.observed = observed
        self.out = EventBatch()
        self.open: OpenText | None = None
        self.partial: Partial | None = None
        self.several = OpenObject(self)
        self.object_rows = 0  # so many rows there are right behind that of an object
        self.last_text: OpenText | None = None  # the last row, where it is a text event that was closed by nothing
        self.tail: OpenText | None = None  # the last stored event, while lines continue it
        self.tail_lines: list[bytes] = []
        self._after = b""  # the next line, where it is at hand
        self.seen: list[dict[str, Any]] = []
        self.text_lines = self.json_lines = 0
        self._traces = compiled.traces
        self._rules = compiled.rules
        self._find_object = partial(careful.find_object, json=compiled.rules.json, only_json=compiled.rules.only_json)

    # --- lines

    def lines(self, data: bytes, offset: int) -> None:
        """All lines of `data`, whose first byte lies at `offset`; a last line may lack its newline."""
        terminated = data.endswith(b"\n")
        parts = data.split(b"\n")
        if not parts[-1]:  # behind the last newline, or no data at all: no line, not even a blank one
            parts.pop()
        last = len(parts) - 1
        text_alone, json_alone = textevent.takes(self.compiled, data)
        longest = self.compiled.max_line
        wrappers = self._rules.wrappers if self._rules.may_wrap(data) else {}  # one look for all: 0.1 µs a line
        index = 0
        while index <= last:
            line = parts[index]
            index += 1
            size = len(line) + (1 if terminated or index <= last else 0)
            self._after = after = parts[index] if index <= last else b""
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
                and self._nothing_open(line)
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
        return self.object_rows == len(self.out.records)

    def _nothing_open(self, line: bytes) -> bool:
        """Whether this line belongs to nothing before it; closes an event that this is plain to see for."""
        if self.partial is not None or self.tail is not None or self.several.lines:
            return False
        event = self.open
        if (
            event is not None
            and not event.extra  # the text inside a container's line may be indented
            and b"!" <= line[:1] <= b"~"
            and (not self._traces or multiline.takes_only_indented(event))
        ):
            self.close()
        return self.open is None

    def _take_indented(self, parts: list[bytes], begin: int, end: int) -> tuple[int, int]:
        """Take a run of indented lines into the open trace at once; answers their number and size in bytes."""
        event = self.open
        if event is None or event.extra or not self._traces or self.compiled.redactor is not None or self._in_log:
            return 0, 0
        before = event.size
        taken = multiline.take_indented(event, parts, begin, end, self.compiled.max_line)
        self.text_lines += taken
        return taken, event.size - before

    def _line(self, line: bytes, offset: int, size: int) -> None:
        if line in (b"", b"\r"):
            self.blank(line, offset, size)
        elif len(line) > self.compiled.max_line < self._log_bytes(offset, len(line)):
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

    def _log_bytes(self, offset: int, size: int) -> int:
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
        self._finish_partial()
        if self.several.lines and self.several.takes_blank(line, offset, size):
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
            if self.partial is not None:
                self._finish_partial()
        self._content(line, line, offset, size, None)

    def _wrapped(self, wrapped: Wrapped, line: bytes, offset: int, size: int) -> None:
        split, redactor = self.partial, self.compiled.redactor
        if redactor is not None and redactor.may_apply(line):  # Docker's `attrs` are in no record, but in the line
            line = self._rules.wrappers[line[:1]].redact(line, lambda body: body, redactor)
        if split is not None and (
            split.stream != wrapped.stream
            or (split.size + len(wrapped.body) > self.compiled.max_line and self._in_log is None)
        ):
            self._finish_partial()
            split = None
        if split is None and not wrapped.partial:
            self._content(line, wrapped.body, offset, size, {"stream": wrapped.stream, "time": wrapped.time})
            return
        if split is None:
            self.close()
            self.end_tail()
            split = self.partial = Partial(offset, wrapped.stream, wrapped.time)
        split.add(line, wrapped.body, offset + size)
        if not wrapped.partial:
            split.time = wrapped.time
            self._finish_partial()

    def _finish_partial(self) -> None:
        split = self.partial
        if split is not None:
            self.partial = None
            extra = {"stream": split.stream, "time": split.time}
            raw, body = b"\n".join(split.raws), b"".join(split.bodies)
            self._content(raw, body, split.offset, split.end - split.offset, extra)

    def _content(self, raw: bytes, body: bytes, offset: int, size: int, extra: dict[str, str] | None) -> None:
        """One line of the application: `body` is what it wrote, `raw` what lies in the file."""
        line = Line(raw, body.removesuffix(b"\r").removeprefix(careful.BOM), offset, size, extra)
        if not (self.several.lines and self.several.goes_on(line)):
            self.line_alone(line, may_begin=True)

    def line_alone(self, line: Line, *, may_begin: bool) -> None:
        """A line that goes on with no object before it; `may_begin` one of several lines."""
        plain, extra = line.plain, line.extra
        found, error = self._find_object(plain)
        redactor, hidden = self.compiled.redactor, False
        if redactor is not None and found is not None:
            try:
                hidden = redactor.record(found, plain)
            except RecursionError:
                found, error = None, "nested too deep"
        if found is not None:
            self.object(found, line, hidden=hidden)
            return
        original = line if may_begin else None
        if redactor is not None and (changed := redactor.line(plain)) is not plain:
            raw = changed if extra is None else self.compiled.rewrapped(line.raw, changed)
            line = line._replace(raw=raw, plain=changed)
            found, error = self._find_object(changed)  # what is kept is what is spoken of
        if found is not None:
            self.object(found, line, hidden=False)
        else:
            self._text(line, original, error=error)

    # --- JSON

    def _plain_json(self, line: bytes, offset: int) -> bool:
        """A JSON line without anything special about it: 12 µs instead of 18. Answers whether it was one."""
        if self.partial is not None or self.several.lines or line.endswith(b"\r"):
            return False
        try:
            read = careful.read_object(line)
        except (careful.NotAnObjectError, RecursionError):
            return False
        if self.open is not None or self.tail is not None:
            self.begin_rows()
        self.last_text = None
        self._json_row(read.record, read.text, offset, read.error, None if read.verbatim else line)
        return True

    def object(self, found: careful.JsonLine, line: Line, *, hidden: bool) -> None:
        """The row of an object that a line is, or several are; `hidden`: something in it was replaced."""
        self.begin_rows()
        record, text, raw, extra = found.record, found.text, line.raw, line.extra
        kept = raw if extra is not None or not found.verbatim else raw_of_record(raw, line.plain)
        if hidden:
            kept = None if extra is None else self.compiled.rewrapped(raw, text.encode())
        if extra is not None:
            named = {**record, "log.iostream": extra["stream"]}
            with contextlib.suppress(RecursionError):  # then it keeps its own
                text = careful.dump(named) if "log.iostream" in record else with_stream(text, extra["stream"])
                record = named
        self._json_row(record, text, line.offset, found.error, kept, extra)

    def _json_row(  # noqa: PLR0917 - called for every line
        self,
        record: dict[str, Any],
        text: str,
        offset: int,
        error: str | None,
        raw: bytes | int | None,
        extra: dict[str, str] | None = None,
    ) -> None:
        """Append the row of a decoded JSON object; instant, severity and logger by the known names."""
        compiled, out = self.compiled, self.out
        row = len(out.records)
        self.json_lines += 1
        self.object_rows = row + 1
        if len(self.seen) < _LEARN_RECORDS:
            self.seen.append(record)
        if raw is not None:
            out.raws[row] = raw
        shape = self.shapes.of(record)
        instant, missing = fields.instant(record, shape.timestamp, compiled.instants, self.observed)
        if missing is not None and extra is not None:
            instant, missing = fields.instant(extra, (("time",),), compiled.instants, self.observed)
        number = fields.severity_number(record, shape.severity)
        name = fields.logger(record, shape.logger)
        self._append(instant, number, name=name, offset=offset, record=text)
        why = error if missing is None else missing if error is None else f"{error}; {missing}"
        if why is not None:
            out.parse_errors[row] = why
        if number >= ERROR:
            out.errors.append(fields.error_event(row, record, shape, instant, number, name))

    def _append(self, instant: int, number: int, *, name: str | None, offset: int, record: str) -> None:
        out = self.out
        out.timestamps.append(instant)
        out.severities.append(number)
        out.loggers.append(name)
        out.offsets.append(offset)
        out.records.append(record)

    # --- text

    def _text(self, line: Line, original: Line | None, *, error: str | None) -> None:
        """A line that is no object; `original`, before redaction, where it may begin one of several lines."""
        raw, plain, offset, size, extra = line
        text, bad = careful.decode_text(plain)
        self.text_lines += 1
        log_bytes = self._log_bytes(offset, size)
        if self.open is not None and self._goes_on(self.open, text, log_bytes, extra):
            multiline.add(self.open, raw, text)
            self.open.end = offset + size
            self.open.error = self.open.error or bad
            return
        if self.tail is not None and extra is None and self._goes_on(self.tail, text, log_bytes, None):
            self.tail_lines += [*self.tail.blanks, raw]
            multiline.add(self.tail, raw, text)
            return
        self._close_all()
        if original is not None and self.several.begins(original):
            return
        error = (f"{error}, {bad}" if error else bad) if bad else error
        here = (self.out, self.compiled, self.observed, raw, text, self._after, offset)
        if extra is not None and error is None and textevent.append_contained(*here, extra):
            return
        event = multiline.begin(offset, raw, text, self._rules.read_head, traces=self._traces)
        event.end, event.error = offset + size, error
        if extra is not None:
            event.extra = extra
        self.open = event

    def _goes_on(self, event: OpenText, text: str, size: int, extra: dict[str, str] | None) -> bool:
        if event.size + size > self.compiled.max_line or len(event.lines) >= multiline.MAX_LINES:
            return False
        if event.extra.get("stream") != (extra or {}).get("stream"):
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
        row = len(self.out.records)
        built = textevent.build(event, self.compiled, self.observed)
        self._append(built.timestamp, built.severity, name=built.logger, offset=event.start, record=built.record)
        if built.raw is not None:
            self.out.raws[row] = built.raw
        if built.error is not None:
            self.out.parse_errors[row] = built.error
        if built.severity >= ERROR:
            self.out.errors.append(textevent.text_error(built, row))

    def end_tail(self) -> None:
        """No further line belongs to the last stored event."""
        if self.tail is not None:
            self.out.blank_bytes += multiline.drop_blanks(self.tail)
            self.tail = None

    def _close_all(self) -> None:
        self._finish_partial()
        self.several.release()
        self.close()
        self.end_tail()

    def begin_rows(self) -> None:
        """A row or a gap follows that no line before it belongs to: whatever is open ends here."""
        self._close_all()
        self.last_text = None

    def finish(self) -> None:
        """Release everything."""
        self._finish_partial()
        self.several.release()
        self.close()
