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
from agent.parse import careful, embedded, exceptions, multiline, timestamps
from agent.parse.exceptions import NONE, ExceptionInfo
from agent.parse.fields import NO_TIMESTAMP

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
_OTHER_JSON = b'"-0123456789[tfn'  # how JSON values that are no objects begin
_JAVA_MORE = b"CSW.-["  # how lines begin that only add to a trace


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
        head.timestamp is not None or first not in _OTHER_JSON or not rules.json or careful.surely_text(line)
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
    if compiled.start is not None or wrapper is None or not wrapper.begins_plainly(following):
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
    if written is not None:
        instant, missing = written_instant(written, compiled, observed)
        record["timestamp"] = written
    if missing:
        out.parse_errors[row] = missing
    if head.level is not None:
        record["level"] = head.level
    if head.logger is not None:
        record["logger"] = head.logger
    record["message"] = message
    if head.attributes is not None:
        record = {**head.attributes, **record}
    if extra is not None:
        record["log.iostream"] = extra["stream"]
    out.records.append(orjson.dumps(record).decode())
    out.timestamps.append(instant)
    out.severities.append(severity)
    out.loggers.append(head.logger)
    out.offsets.append(offset)
    out.raws[row] = raw
    if severity >= ERROR:
        out.errors.append(ErrorEvent(row, instant, severity, message, head.logger))


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
    instant, missing = written_instant(written, compiled, observed)
    if missing:
        out.parse_errors[row] = missing
    own = {"timestamp": written, "level": head.level, "logger": head.logger, "message": message}
    record = {**(head.attributes or {}), **{key: value for key, value in own.items() if value is not None}}
    if extra is not None:
        record["log.iostream"] = extra["stream"]
    out.records.append(embedded.merged(inner, record))
    out.timestamps.append(instant)
    out.severities.append(head.severity)
    out.loggers.append(head.logger)
    out.offsets.append(offset)
    out.raws[row] = raw
    if head.severity >= ERROR:
        out.errors.append(ErrorEvent(row, instant, head.severity, message, head.logger, None, *inner.exception))


def _stands_alone(text: str, head: Head, following: bytes) -> bool:
    if multiline.may_open_trace(text) or (head.end and multiline.may_begin_trace(text[head.end :])):
        return False
    if 0 < head.severity < WARN or not head:  # no trace begins below them: `multiline.continues`
        return True
    return following[:1] not in _JAVA_MORE and not multiline.may_open_trace(following.decode("utf-8", "replace"))


# ---------------------------------------------------------------- an event that has all its lines


class TextEvent(msgspec.Struct):
    """One event built from text lines. `raw` is as in EventBatch.raws (None: the record is the line)."""

    timestamp: int
    severity: int
    logger: str | None
    message: str
    record: str
    raw: bytes | int | None
    error: str | None
    exception: ExceptionInfo


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
    instant, error = written_instant(written, compiled, observed)
    number = head.severity
    if number == 0 and event.trace:
        number = FATAL if multiline.is_fatal(event) else ERROR
    raw = b"\n".join(event.lines)
    record = _record(event, head, written, message, exception if event.trace_at >= 0 else NONE)
    return TextEvent(
        timestamp=instant,
        severity=number,
        logger=head.logger,
        message=message,
        record=orjson.dumps(record).decode() if inner is None else embedded.merged(inner, record),
        raw=raw_of_message(raw, message),
        error="; ".join(filter(None, (event.error, error))) or None,
        exception=exception,
    )


def written_instant(written: Any, compiled: Compiled, observed: int) -> tuple[int, str]:
    """Nanoseconds since 1970 and nothing, or the observed time and why."""
    if written is None:
        return observed, NO_TIMESTAMP
    try:
        return compiled.instants.parse(written, observed), ""
    except timestamps.OutOfRangeError:
        return observed, f"timestamp out of range: {written}"
    except ValueError:
        return observed, NO_TIMESTAMP


def _record(event: OpenText, head: Head, written: Any, message: str, exception: ExceptionInfo) -> dict[str, Any]:
    record = {
        "timestamp": written,
        "level": head.level,
        "logger": head.logger,
        "message": message,
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
        return "\n".join([first, *event.texts[1:]]), NONE
    if event.trace_at == 0:
        exception = exceptions.of_text("\n".join([first, *event.texts[1:]]))
        if event.trace == "python" and exception.type is not None:
            return (f"{exception.type}: {exception.message}" if exception.message else exception.type), exception
        return first, exception
    message = "\n".join([first, *event.texts[1 : event.trace_at]]).rstrip("\n")
    stack = "\n".join(event.texts[event.trace_at :])
    named = _NAMED.search(message.rpartition("\n")[2]) if stack[:1].isspace() else None
    if named is not None:
        return message, ExceptionInfo(named[1], named[2], stack)
    exception = exceptions.of_text(stack)
    if stack[:1].isspace() and event.trace != "python":
        exception = ExceptionInfo(None, None, stack)
    return message or exception.message or exception.type or "", exception


def text_error(built: TextEvent, row: int) -> ErrorEvent:
    """What grouping needs of a text event with severity ERROR or above."""
    kind, message, stack = built.exception
    return ErrorEvent(row, built.timestamp, built.severity, built.message, built.logger, None, kind, message, stack)
