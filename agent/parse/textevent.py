"""A finished text event into a record: instant, level, logger, message and the exception out of its lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from agent.core.event import ERROR, FATAL, raw_of_message
from agent.core.model import ErrorEvent
from agent.core.patterns import lazy
from agent.parse import exceptions, multiline, timestamps
from agent.parse.exceptions import NONE, ExceptionInfo
from agent.parse.fields import NO_TIMESTAMP

if TYPE_CHECKING:
    from agent.parse.multiline import OpenText
    from agent.parse.settings import Compiled

_NAMED = lazy(r"([A-Za-z_$][\w$.]*(?:Exception|Error|Throwable|Failure|Fault))(?:: (.*))?$")


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
    written = event.head.timestamp or event.extra.get("time")
    instant, error = written_instant(written, compiled, observed)
    number = event.head.severity
    if number == 0 and event.trace:
        number = FATAL if multiline.is_fatal(event) else ERROR
    raw = b"\n".join(event.lines)
    return TextEvent(
        timestamp=instant,
        severity=number,
        logger=event.head.logger,
        message=message,
        record=orjson.dumps(_record(event, written, message, exception)).decode(),
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


def _record(event: OpenText, written: Any, message: str, exception: ExceptionInfo) -> dict[str, Any]:
    record = {
        "timestamp": written,
        "level": event.head.level,
        "logger": event.head.logger,
        "message": message,
        "exception.type": exception.type,
        "exception.message": exception.message,
        "exception.stacktrace": exception.stacktrace,
        "log.iostream": event.extra.get("stream"),
    }
    return {key: value for key, value in record.items() if value is not None}


def _split(event: OpenText) -> tuple[str, ExceptionInfo]:
    """The message and the exception. A trace that begins the event gives the message too."""
    first = event.texts[0][event.head.end :]
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
