"""The entries of a journal into events: fields under OpenTelemetry's names, and what the message itself says.

A message is seen into as the line inside a container's: a JSON object gives its fields, a head of text its level,
instant and logger, and they count before those of the entry. A stack trace in one message is an exception; so is one
whose lines a service has written to its standard output, of which journald makes an entry each.

The record is the entry with other names, so that the line need not be kept beside it (`core.journal.line_of`): real
entries have a kilobyte of fields.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
from msgspec.structs import replace

from agent.core import severity
from agent.core.event import ERROR, INFO, RAW_JOURNAL, WARN
from agent.core.fields import Profile, message_at
from agent.core.journal import NAMES, decode, message_of, renamed, stream_of, text_of
from agent.core.model import ErrorEvent, EventBatch
from agent.parse import careful, fields, multiline, textevent
from agent.parse.assemble import SAMPLE_BYTES
from agent.parse.formats import NOTHING
from agent.parse.settings import Compiled

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.core.model import Gap, LineBatch
    from agent.parse.formats import Head
    from agent.parse.multiline import OpenText
    from agent.parse.settings import ParseSettings

_DAY_NS = 86_400 * 10**9
_INSTANTS = ("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP")  # µs; in the order in which journalctl shows them
_PRIORITY = ("PRIORITY",)
_PLAIN_TRACES = ("python", "go")  # whose first lines are nothing else


class _OpenEntry(msgspec.Struct):
    """An event that later entries of the same stream may continue."""

    stream: str
    entry: dict[str, Any]  # the first one
    text: OpenText
    start: int
    before: bytes  # the cursor of the entry before it
    lines: list[bytes]


class JournalParser:
    """Parses the entries of one journal in order; in the place of `decode.FileParser`.

    Args:
        settings: of the source.
        clock: monotonic seconds, for `deadline_s`.
    """

    def __init__(self, settings: ParseSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._compiled = Compiled(settings)
        self._clock = clock
        self._held = b""
        self._held_at = 0
        self._cursor = b""
        self._end = 0
        self._observed = 0
        self.profile = Profile(format="journal", overrides=self._compiled.overrides)
        self.deadline_s: float | None = None

    def feed(self, batch: LineBatch, *, tail_open: bool = False) -> EventBatch:  # noqa: ARG002 - as FileParser's
        """Parse a batch of whole lines, which follows the one before. Never raises for what the lines hold.

        Returns:
            The events, without those held back; `end` and `cursor` are where the journal is accounted for up to there.
        """
        self._observed = batch.observed_timestamp
        over = batch.final or bool(batch.gaps)
        if not self._held:
            self._held_at = batch.offset
        out = self._parse(self._held + batch.data, over=over)
        if batch.gaps:
            out.gaps.extend(replace(gap, sample=self._sample(gap)) for gap in batch.gaps)
            out.end = self._end = batch.end
        if batch.cursor and not self._held:
            out.cursor = self._cursor = batch.cursor
        return out

    def flush(self) -> EventBatch:
        """Release what is held back; the batch is empty where nothing is."""
        return self._parse(self._held, over=True) if self._held else EventBatch(end=self._end)

    def _parse(self, data: bytes, *, over: bool) -> EventBatch:
        offset = self._held_at
        work = _Entries(self._compiled, self.profile, self._observed, self._cursor)
        work.lines(data, offset)
        end, event = offset + len(data), work.open
        self._held, self.deadline_s, self._cursor = b"", None, work.cursor
        if event is not None and not over:
            self._held, self._held_at = data[event.start - offset :], event.start
            self._cursor, end = event.before, event.start
            self.deadline_s = self._clock() + self._compiled.settings.multiline_timeout_s
        else:
            work.close()
        out = work.out
        out.end = self._end = end
        out.cursor = self._cursor
        return out

    def _sample(self, gap: Gap) -> bytes:
        """What a gap keeps of a line: nothing that could be a redacted value."""
        redactor = self._compiled.redactor
        if redactor is None:
            return gap.sample
        if b"[" in gap.sample:  # the bytes of a value as numbers
            return b""
        return redactor.text(gap.sample.decode("utf-8", "backslashreplace")).encode()[:SAMPLE_BYTES]


class _Entries:
    """Fills an EventBatch."""

    def __init__(self, compiled: Compiled, profile: Profile, observed: int, cursor: bytes) -> None:
        self.compiled = compiled
        self.observed = observed
        self.cursor = cursor  # of the last entry
        self.out = EventBatch()
        self.open: _OpenEntry | None = None
        self._shapes = compiled.shapes(profile)
        redactor = compiled.redactor
        self._hidden = frozenset(
            key for key, name in NAMES.items() if redactor and (redactor.value({name: "", key: ""})[1])
        )

    def lines(self, data: bytes, offset: int) -> None:
        """All lines of `data`, each with its newline."""
        for line in data.split(b"\n")[:-1]:
            self._line(line, offset)
            offset += len(line) + 1

    def _line(self, line: bytes, offset: int) -> None:
        entry = decode(line)
        if entry is None:
            self._foreign(line, offset)
            return
        before, cursor = self.cursor, entry.get("__CURSOR")
        if type(cursor) is str:
            self.cursor = cursor.encode()
        redactor = self.compiled.redactor
        if redactor is not None and (redactor.may_apply(line) or self._hidden):
            entry, line = self._redacted(entry, line)
        message, written = message_of(entry)
        bad = careful.decode_text(written)[1] if written is not None else None
        stream = stream_of(entry) if "\n" not in message else ""
        if self.open is not None:
            if stream == self.open.stream and self._goes_on(self.open, message, line):
                return
            self.close()
        if message[:1] == "{" or self.compiled.rules.only_json:
            found, why = self._object(message.encode("utf-8", "surrogatepass"))
            if found is not None:
                self._json(entry, found, message, line, offset)
                return
            bad = f"{why}, {bad}" if why and bad else why or bad
        self._text(entry, message, bad, line, offset, stream, before)

    def _object(self, body: bytes) -> tuple[careful.JsonLine | None, str | None]:
        rules = self.compiled.rules
        return careful.find_object(body, json=rules.json, only_json=rules.only_json)

    # --- rows

    def _append(  # noqa: PLR0917 - called for every entry
        self, entry: dict[str, Any], record: dict[str, Any], line: bytes, offset: int, number: int, instant: int | None,
        error: str | None,
    ) -> int:  # fmt: skip
        """Append a row; the entry says when, where `instant` is None. The row's number."""
        out = self.out
        row = len(out.records)
        if instant is None:
            instant, why = self._instant(entry)
            error = f"{error}; {why}" if error and why else error or why
        if error:
            out.parse_errors[row] = error
        text = careful.dump(record)
        logger = record.get("logger")
        out.timestamps.append(instant)
        out.severities.append(number)
        out.loggers.append(logger if type(logger) is str else None)
        out.offsets.append(offset)
        out.records.append(text)
        out.raws[row] = line
        return row

    def _instant(self, entry: dict[str, Any]) -> tuple[int, str | None]:
        written = None
        for name in _INSTANTS:
            value = entry.get(name)
            if type(value) is not str or not value:
                continue
            written = value
            if value.isdecimal() and len(value) < 18 and int(value) * 1000 <= self.observed + _DAY_NS:  # noqa: PLR2004
                return int(value) * 1000, None
        return self.observed, fields.NO_TIMESTAMP if written is None else f"timestamp out of range: {written[:40]}"

    def _foreign(self, line: bytes, offset: int) -> None:
        """A line that is no entry: journalctl has said something else."""
        self.close()
        text, _ = careful.decode_text(line)
        self._append({}, {"message": text}, line, offset, 0, self.observed, "not an entry of a journal")

    def _text(  # noqa: PLR0917 - called for every entry
        self, entry: dict[str, Any], message: str, bad: str | None, line: bytes, offset: int, stream: str, before: bytes
    ) -> None:
        compiled = self.compiled
        head = NOTHING
        is_plain = "\n" not in message and not (compiled.traces and multiline.may_open_trace(message))
        if is_plain and message:
            head = compiled.rules.find_head(message)
        if not is_plain or (stream and (compiled.start is not None or head.severity >= WARN)):
            event = self._opened(message, offset, _priority(entry))
            event.error = bad
            if stream and (compiled.start is not None or (compiled.traces and event.may_go_on())):
                self.open = _OpenEntry(stream, entry, event, offset, before, [line])
                return
            if len(event.lines) > 1 or event.trace:
                self._long(entry, event, line, offset)
                return
            head = event.head
        number = head.severity or _priority(entry)
        record, is_plain = renamed(entry)
        if "message" in record:
            record["message"] = message
        instant = None
        if head:
            instant = self._written(head)
            _take_head(record, head, message)
        elif "logger" not in record and (name := record.get("process.executable.name")):
            record["logger"], is_plain = name, False
        row = self._append(entry, record, line, offset, number, instant, bad)
        if is_plain and not head and orjson.dumps(entry) == line:
            self.out.raws[row] = RAW_JOURNAL
        if number >= ERROR:
            name = self.out.loggers[row]
            text = record.get("message")
            self.out.errors.append(ErrorEvent(row, self.out.timestamps[row], number, str(text or ""), name))

    def _written(self, head: Head) -> int | None:
        """The instant that a message itself names, if it can be read."""
        if head.timestamp is None:
            return None
        instant, why = textevent.written_instant(head.timestamp, self.compiled, self.observed)
        return None if why else instant

    def _opened(self, message: str, offset: int, priority: int) -> OpenText:
        """A text event of all lines of a message; what else than a trace could look so opens one in a warning alone."""
        first, *more = message.rstrip("\n").split("\n")
        event = multiline.begin(offset, b"", first, self.compiled.rules.read_head, traces=self.compiled.traces)
        for text in more:
            if not text:
                event.blanks.append(b"")
                continue
            trace = "" if event.trace or not self.compiled.traces else multiline.opened_trace(text)
            if trace in _PLAIN_TRACES or (trace and (event.head.severity or priority) >= WARN):
                event.trace, event.trace_at = trace, len(event.lines) + len(event.blanks)
            elif self.compiled.traces:
                multiline.continues(event, text)
            multiline.add(event, b"", text)
        return event

    def _long(self, entry: dict[str, Any], event: OpenText, raw: bytes, offset: int) -> None:
        """The row of a message, or of entries, with several lines or a trace."""
        built = textevent.build(event, self.compiled, self.observed)
        record = {**_without(renamed(entry)[0], "message"), **_named(entry, orjson.loads(built.record))}
        if "logger" not in record and (name := entry.get("_COMM")):
            record["logger"] = text_of(name)
        given = _priority(entry)
        # What a service writes to its standard output has the priority `info`, whatever it is.
        number = event.head.severity or (built.severity if event.trace and given in (0, INFO) else given)
        row = self._append(entry, record, raw, offset, number, self._written(event.head), event.error)
        if number >= ERROR:
            error = textevent.text_error(built, row)
            error.timestamp, error.severity_number = self.out.timestamps[row], number
            error.logger = self.out.loggers[row]
            self.out.errors.append(error)

    def _json(self, entry: dict[str, Any], found: careful.JsonLine, message: str, line: bytes, offset: int) -> None:
        """The row of a message that is an object: its own fields, and those of the entry beside them."""
        inner = found.record
        shape = self._shapes.of(inner)
        instant, missing = fields.instant(inner, shape.timestamp, self.compiled.instants, self.observed)
        number = fields.severity_number(inner, shape.severity) or _priority(entry)
        name = fields.logger(inner, shape.logger)
        record = _named(entry, inner)
        outer = _without(renamed(entry)[0], "message")
        if name is not None and "logger" in outer:
            outer["syslog.identifier"] = outer.pop("logger")
        elif name is None and "logger" not in outer and (command := outer.get("process.executable.name")):
            outer["logger"] = command
        if message_at(inner, shape.message)[0] is None:
            outer["message"] = message
        record = {**outer, **record}
        error = found.error
        row = self._append(entry, record, line, offset, number, None if missing else instant, error)
        self.out.loggers[row] = name = name or self.out.loggers[row]
        if number >= ERROR:
            event = fields.error_event(row, inner, shape, self.out.timestamps[row], number, name)
            event.message = message if "message" in outer else event.message or message
            self.out.errors.append(event)

    # --- several entries

    def _goes_on(self, event: _OpenEntry, message: str, line: bytes) -> bool:
        """Take an entry into the open event, if it belongs there."""
        text, start = event.text, self.compiled.start
        size = sum(map(len, event.lines)) + len(event.lines) + len(line)
        if size > self.compiled.max_line or len(text.lines) >= multiline.MAX_LINES or not message:
            return False
        if message[:1] == "{" and self._object(message.encode("utf-8", "surrogatepass"))[0] is not None:
            return False
        if start.begins(message) if start is not None else not multiline.continues(text, message):
            return False
        multiline.add(text, b"", message)
        event.lines.append(line)
        return True

    def close(self) -> None:
        """The open event becomes a row."""
        if (event := self.open) is not None:
            self.open = None
            if len(event.lines) == 1 and not event.text.trace:
                message, _ = message_of(event.entry)
                self._text(event.entry, message, event.text.error, event.lines[0], event.start, "", b"")
            else:
                self._long(event.entry, event.text, b"\n".join(event.lines), event.start)

    # --- redaction

    def _redacted(self, entry: dict[str, Any], line: bytes) -> tuple[dict[str, Any], bytes]:
        """The entry without the values that are to be hidden, and its line; the same ones where there are none."""
        redactor = self.compiled.redactor
        assert redactor is not None
        clean, touched = redactor.value(
            {key: text_of(value) for key, value in entry.items() if key not in ("MESSAGE", "__CURSOR")}
        )
        for key in self._hidden.intersection(clean):
            clean[key], touched = redactor.value({NAMES[key]: clean[key]})[0][NAMES[key]], True
        message, _ = message_of(entry)
        hidden = self._hidden_message(message)
        if not touched and hidden == message:
            return entry, line
        changed = {key: clean.get(key, value) for key, value in entry.items()}
        if "MESSAGE" in entry:
            changed["MESSAGE"] = hidden
        return changed, orjson.dumps(changed)

    def _hidden_message(self, message: str) -> str:
        redactor = self.compiled.redactor
        assert redactor is not None
        if redactor.value({"MESSAGE": ""})[1]:
            return str(redactor.value({"MESSAGE": message})[0]["MESSAGE"])
        body = message.encode("utf-8", "surrogatepass")
        found, _ = self._object(body) if message[:1] == "{" else (None, None)
        if found is not None:
            try:
                return found.text if redactor.record(found, body) else message
            except RecursionError:
                pass
        return redactor.text(message)


def _priority(entry: dict[str, Any]) -> int:
    """The severity of an entry, 0 where it has none."""
    value = entry.get("PRIORITY")
    return max(0, severity.look_up(value, _PRIORITY)) if type(value) is str else 0


def _take_head(record: dict[str, Any], head: Head, message: str) -> None:
    """Let the record say what a message says before its text."""
    record["message"] = message[head.end :] if head.message is None else head.message
    said = {"timestamp": head.timestamp, "level": head.level, "logger": head.logger}
    if head.logger is not None and "logger" in record:
        record["syslog.identifier"] = record["logger"]
    record |= {name: value for name, value in said.items() if value is not None}
    for name, value in (head.attributes or {}).items():
        record.setdefault(name, value)


def _named(entry: dict[str, Any], inner: dict[str, Any]) -> dict[str, Any]:
    """What a message says, and under the journal's names what the entry says under the same names."""
    kept = {key: text_of(entry[key]) for key, name in NAMES.items() if key in entry and name in inner}
    kept.pop("MESSAGE", None)
    return {**kept, **inner}


def _without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}
