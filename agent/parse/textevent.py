"""Text events into rows: instant, level, logger, message and the exception out of their lines.

Nearly all lines of a text log are an event by themselves, and go the short way (`append`): 6 µs instead of 20. A line
goes it only where it and the line after it show that the long way (`multiline`, then `build`) would give the same row:
nothing is open before it, it opens no trace, and the next line is neither indented nor opens one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from agent.core.event import ERROR, FATAL, RAW_MESSAGE, WARN, raw_of_message
from agent.core.model import ErrorEvent
from agent.core.patterns import lazy
from agent.parse import additions, careful, embedded, exceptions, multiline, runtimes
from agent.parse.exceptions import NONE, ExceptionInfo
from agent.parse.fields import NO_TIMESTAMP
from agent.parse.instants import timestamps

if TYPE_CHECKING:
    from agent.core.model import EventBatch
    from agent.parse.embedded import Embedded
    from agent.parse.formats import Head
    from agent.parse.multiline import OpenText
    from agent.parse.settings import Compiled

# From the beginning of a word only: tried from each of its letters a long one would take the square of its length.
_NAMED = lazy(
    r"(?<![\w$.])(?:(?![A-Za-z_$])[\w$.])*"
    r"([A-Za-z_$][\w$.]*(?:Exception|Error|Throwable|Failure|Fault))(?:: (.*))?$"
)
UNREADABLE = "timestamp in no known layout"  # where a person has said that it is one
OTHER_JSON = '"-0123456789[tfn'  # how JSON values that are no objects begin
_OTHER_JSON_BYTES = OTHER_JSON.encode()
MORE = (*multiline.MORE_STARTS, *runtimes.BELOW_STARTS)  # how lines begin that only add to a trace
MORE_FIRST = frozenset(start[0] for start in MORE)
_MORE_BYTES = tuple(start.encode() for start in MORE)


# ---------------------------------------------------------------- a line that is an event alone


def takes(compiled: Compiled, data: bytes) -> tuple[bool, bool]:
    """Whether text lines and JSON lines of this data may be looked at by themselves."""
    if compiled.redactor is not None and compiled.redactor.may_apply(data):
        return False, False
    rules = compiled.rules
    return not (rules.wrapped or rules.only_json or compiled.start is not None), rules.in_bulk


def append(  # noqa: PLR0917 - called for every line
    out: EventBatch, compiled: Compiled, observed: int, line: bytes, following: bytes, offset: int
) -> bool:
    """Append the row of a line that is an event alone.

    Args:
        out: takes the row; untouched where the answer is False.
        compiled: settings, for which `takes` was true.
        observed: when the line was read (ns).
        line: neither blank nor too long, and no wrapper.
        following: the next line; empty where it is blank or not known.
        offset: of the line in its file.

    Returns:
        Whether the line went this way.
    """
    first = line[:1]
    if not (b"!" <= first <= b"~" and b"!" <= following[:1] <= b"~") or first == b"{" or line.endswith(b"\r"):
        return False
    rules = compiled.rules
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return False
    head = rules.find_head(text)
    if "\0" in text or not (
        head.timestamp is not None or first not in _OTHER_JSON_BYTES or not rules.json or careful.surely_text(line)
    ):
        return False
    if compiled.traces and not _stands_alone(text, head, following):
        return False
    _row(out, compiled, observed, line, line if head.end else RAW_MESSAGE, text, head, offset, None)
    return True


def append_contained(  # noqa: PLR0917 - called for every line
    out: EventBatch,
    compiled: Compiled,
    observed: int,
    line: bytes,
    text: str,
    following: bytes,
    offset: int,
    extra: dict[str, str],
) -> bool:
    """The same for the text inside a container's line; `following` is the next line with its wrapper."""
    wrapper = compiled.rules.wrappers.get(following[:1])
    if compiled.start is not None or wrapper is None or wrapper.plain_stream(following) != extra["stream"]:
        return False
    head = compiled.rules.find_head(text)
    if compiled.traces and not ((not head or 0 < head.severity < WARN) and _stands_alone(text, head, b"")):
        return False
    redacted = compiled.redactor is not None and head.end == 0 and text.encode() == line
    _row(out, compiled, observed, line, RAW_MESSAGE if redacted else line, text, head, offset, extra)
    return True


def _row(  # noqa: PLR0917 - called for every line
    out: EventBatch,
    compiled: Compiled,
    observed: int,
    line: bytes,
    raw: bytes | int,
    text: str,
    head: Head,
    offset: int,
    extra: dict[str, str] | None,
) -> None:
    severity, row = head.severity, len(out.records)
    message = text[head.end :] if head.message is None else head.message
    if message[-1:] == "}" and text[:1] != "{" and (inner := embedded.look(message, compiled)) is not None:
        _inner_row(out, compiled, observed, line, raw, message, head, inner, offset, extra)
        return
    written = head.timestamp if head.timestamp is not None or extra is None else extra["time"]
    instant, missing = observed, NO_TIMESTAMP
    record = {}
    timestamp_key, level_key, logger_key, message_key = head.keys
    if written is not None:
        instant, missing = written_instant(written, compiled, observed, extra)
        record[timestamp_key] = written
    if missing or head.error:
        out.parse_errors[row] = wrong(head, missing)
    if head.level is not None:
        record[level_key] = head.level
    if head.logger is not None:
        record[logger_key] = head.logger
    record[message_key] = message
    if head.attributes is not None:
        record = {**head.attributes, **record}
    if extra is not None:
        record["log.iostream"] = extra["stream"]
    encoded = orjson.dumps(record).decode()
    out.records.append(encoded)
    out.timestamps.append(instant)
    out.severities.append(severity)
    out.loggers.append(head.logger)
    out.offsets.append(offset)
    out.raws[row] = raw if extra is None or isinstance(raw, int) else compiled.rules.kept(raw, encoded)
    if severity >= ERROR:
        out.errors.append(ErrorEvent(row, instant, severity, message, head.logger, service_of(head)))


def _inner_row(  # noqa: PLR0917 - as `_row`
    out: EventBatch,
    compiled: Compiled,
    observed: int,
    line: bytes,
    raw: bytes | int,
    message: str,
    head: Head,
    inner: Embedded,
    offset: int,
    extra: dict[str, str] | None,
) -> None:
    """The row of a line whose message ends with an object."""
    row, head = len(out.records), embedded.seen_through(head, inner)
    if inner.message is not None:
        message, raw = inner.message, line
    written = head.timestamp if head.timestamp is not None or extra is None else extra["time"]
    instant, missing = written_instant(written, compiled, observed, extra)
    if missing or head.error:
        out.parse_errors[row] = wrong(head, missing)
    own = zip(head.keys, (written, head.level, head.logger, message), strict=True)
    record = {**(head.attributes or {}), **{key: value for key, value in own if value is not None}}
    if extra is not None:
        record["log.iostream"] = extra["stream"]
    encoded = embedded.merged(inner, record, head.keys[0])
    out.records.append(encoded)
    out.timestamps.append(instant)
    out.severities.append(head.severity)
    out.loggers.append(head.logger)
    out.offsets.append(offset)
    out.raws[row] = raw if extra is None or isinstance(raw, int) else compiled.rules.kept(raw, encoded)
    if head.severity >= ERROR:
        out.errors.append(
            ErrorEvent(row, instant, head.severity, message, head.logger, service_of(head), *inner.exception)
        )


def _stands_alone(text: str, head: Head, following: bytes) -> bool:
    if text[:1] == "#" and additions.begins_block(text):
        return False
    if multiline.may_open_trace(text) or (head.end and multiline.may_begin_trace(text[head.end :])):
        return False
    if additions.may_follow(head, text) and additions.may_add(following):
        return False
    if 0 < head.severity < WARN or not head:  # no trace begins below them: `multiline.continues`
        return True
    if runtimes.OBJECT in text:  # its message may go on
        return False
    return _opens_no_trace(following)


def ends_before(event: OpenText, line: bytes) -> bool:
    """Whether an open event surely does not go on with a line that is not indented."""
    if event.trace != "" or runtimes.OBJECT in event.texts[-1] or not _opens_no_trace(line):
        return False
    if additions.begins_block(event.texts[0]):
        return False
    return not (additions.may_follow(event.head, event.texts[0]) and additions.may_add(line))


def _opens_no_trace(line: bytes) -> bool:
    return not line.startswith(_MORE_BYTES) and not multiline.may_open_below(line.decode("utf-8", "replace"))


# ---------------------------------------------------------------- an event that has all its lines


class TextEvent(msgspec.Struct):
    """One event built from text lines. `raw` is as in EventBatch.raws (None: the record is the line)."""

    timestamp: int
    severity: int
    logger: str | None
    message: str
    record: str
    raw: bytes | int | str | None
    error: str | None
    exception: ExceptionInfo
    service: str | None = None


def build(event: OpenText, compiled: Compiled, observed: int) -> TextEvent:
    """Make the record `{timestamp, level, logger, message, exception.*}` of an event that has all its lines."""
    message, exception = _split(event)
    head, inner = event.head, None
    if event.trace_at != 0 and message[-1:] == "}" and "\n" not in message and event.texts[0][:1] != "{":
        inner = embedded.look(message, compiled)
    if inner is not None:
        head = embedded.seen_through(head, inner)
        message, exception = inner.message or message, exception or inner.exception
    written = head.timestamp or event.extra.get("time")
    instant, error = written_instant(written, compiled, observed, event.extra)
    number = head.severity
    if number == 0 and event.trace:
        number = FATAL if multiline.is_fatal(event) else ERROR
    raw = b"\n".join(event.lines)
    fields = _record(event, head, written, message, exception if event.trace_at >= 0 else NONE)
    record = orjson.dumps(fields).decode() if inner is None else embedded.merged(inner, fields, head.keys[0])
    return TextEvent(
        timestamp=instant,
        severity=number,
        logger=head.logger,
        message=message,
        record=record,
        raw=compiled.rules.kept(raw, record) if event.extra else raw_of_message(raw, message),
        error="; ".join(filter(None, (event.error, wrong(head, error)))) or None,
        exception=exception,
        service=service_of(event.head),
    )


def wrong(head: Head, missing: str) -> str:
    """What is wrong with a line; of one that is none of its source's format it is plain that no instant was found."""
    if head.error and missing == NO_TIMESTAMP:
        return head.error
    return "; ".join(filter(None, (head.error, missing)))


def service_of(head: Head) -> str | None:
    """The service that the line itself names, which a text format finds among its fields."""
    found = head.attributes.get("service") if head.attributes is not None else None
    return found if type(found) is str and found else None


def written_instant(
    written: Any, compiled: Compiled, observed: int, extra: dict[str, str] | None = None
) -> tuple[int, str]:
    """Nanoseconds since 1970 and nothing, or the observed time and why.

    Args:
        written: what the line says.
        compiled: settings.
        observed: when the line was read (ns).
        extra: of a container's line, whose own time completes what is written, or counts in its place.
    """
    if written is None:
        return observed, NO_TIMESTAMP
    contained = extra.get("time") if extra else None
    try:
        return compiled.instants.parse(written, observed, None if contained is written else contained), ""
    except ValueError as why:
        if contained is not None and contained is not written:
            return written_instant(contained, compiled, observed)
        if isinstance(why, timestamps.InstantError):
            return observed, f"{why.reason}: {written}"
        return observed, UNREADABLE if compiled.rules.explicit else NO_TIMESTAMP


def _record(event: OpenText, head: Head, written: Any, message: str, exception: ExceptionInfo) -> dict[str, Any]:
    timestamp_key, level_key, logger_key, message_key = head.keys
    record = {
        timestamp_key: written,
        level_key: head.level,
        logger_key: head.logger,
        message_key: message,
        "exception.type": exception.type,
        "exception.message": exception.message,
        "exception.stacktrace": exception.stacktrace,
        "log.iostream": event.extra.get("stream"),
    }
    known = {key: value for key, value in record.items() if value is not None}
    return known if head.attributes is None else {**head.attributes, **known}


def _split(event: OpenText) -> tuple[str, ExceptionInfo]:
    """The message and the exception. A trace that begins the event gives the message too."""
    head = event.head
    first = event.texts[0][head.end :] if head.message is None else head.message
    if event.trace_at < 0:
        return "\n".join([first, *_further(event)]), NONE
    if event.trace_at == 0:
        exception = exceptions.of_trace(event.trace, "\n".join([first, *event.texts[1:]]))
        if event.trace == "python" and exception.type is not None:
            return (f"{exception.type}: {exception.message}" if exception.message else exception.type), exception
        return first, exception
    message = "\n".join([first, *event.texts[1 : event.trace_at]]).rstrip("\n")
    stack = "\n".join(event.texts[event.trace_at :])
    named = _NAMED.search(message.rpartition("\n")[2]) if stack[:1].isspace() else None
    if named is not None:
        return message, ExceptionInfo(named[1], named[2], stack)
    exception = exceptions.of_trace(event.trace, stack)
    if stack[:1].isspace() and event.trace != "python":
        exception = ExceptionInfo(None, None, stack)
    return message or exception.message or exception.type or "", exception


def _further(event: OpenText) -> list[str]:
    """The lines after the first, without heads that say nothing new."""
    texts = event.texts[1:]
    if not additions.may_follow(event.head, event.texts[0]):
        return texts
    return [text[additions.begins_at(text, event.read_head) :] for text in texts]


def text_error(built: TextEvent, row: int) -> ErrorEvent:
    """What grouping needs of a text event with severity ERROR or above."""
    kind, message, stack = built.exception
    return ErrorEvent(
        row, built.timestamp, built.severity, built.message, built.logger, built.service, kind, message, stack
    )
