"""Text lines that are an event by themselves, at 6 µs instead of 20: nearly all lines of a text log.

A line goes this way only where it and the line after it show that the usual way (`assemble`, `multiline`) would give
the same row: nothing is open before it, it opens no trace, and the next line is neither indented nor opens one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from agent.core.event import ERROR, RAW_MESSAGE, WARN
from agent.core.model import ErrorEvent
from agent.parse import careful, multiline, wrappers
from agent.parse.fields import NO_TIMESTAMP
from agent.parse.text import find_head
from agent.parse.textevent import written_instant

if TYPE_CHECKING:
    from agent.core.model import EventBatch
    from agent.parse.settings import Compiled
    from agent.parse.text import Head

_OTHER_JSON = b'"-0123456789[tfn'  # how JSON values that are no objects begin
_JAVA_MORE = b"CSW.-["  # how lines begin that only add to a trace


def takes(compiled: Compiled, data: bytes) -> tuple[bool, bool]:
    """Whether text lines and JSON lines of this data may be looked at by themselves."""
    if compiled.redactor is not None and compiled.redactor.may_apply(data):
        return False, False
    kind = compiled.settings.format
    return kind in ("auto", "text") and compiled.start is None, kind in ("auto", "json")


def append(  # noqa: PLR0917 - called for every line
    out: EventBatch, compiled: Compiled, observed: int, line: bytes, following: bytes, offset: int
) -> bool:
    """Append the row of a line that is an event alone.

    Args:
        out: takes the row; untouched where the answer is False.
        compiled: settings, for which `takes` was true.
        observed: when the line was read (ns).
        line: neither blank nor too long.
        following: the next line; empty where it is blank or not known.
        offset: of the line in its file.

    Returns:
        Whether the line went this way.
    """
    first = line[:1]
    if not (b"!" <= first <= b"~" and b"!" <= following[:1] <= b"~") or first == b"{" or line.endswith(b"\r"):
        return False
    if line[10:11] == b"T" and (b" stdout " in line or b" stderr " in line) and compiled.settings.format == "auto":
        return False  # CRI
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return False
    head = find_head(text)
    if "\0" in text or not (
        head.timestamp is not None
        or first not in _OTHER_JSON
        or compiled.settings.format == "text"
        or careful.surely_text(line)
    ):
        return False
    if compiled.settings.multiline == "auto" and not _stands_alone(text, head, following):
        return False
    _row(out, compiled, observed, line if head.end else RAW_MESSAGE, text, head, offset, None)
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
    if compiled.start is not None or not wrappers.begins_plainly(following):
        return False
    head = find_head(text)
    if compiled.settings.multiline == "auto" and not (
        (not head or 0 < head.severity < WARN) and _stands_alone(text, head, b"")
    ):
        return False
    redacted = compiled.redactor is not None and head.end == 0 and text.encode() == line
    _row(out, compiled, observed, RAW_MESSAGE if redacted else line, text, head, offset, extra)
    return True


def _row(  # noqa: PLR0917 - called for every line
    out: EventBatch,
    compiled: Compiled,
    observed: int,
    raw: bytes | int,
    text: str,
    head: Head,
    offset: int,
    extra: dict[str, str] | None,
) -> None:
    severity, row = head.severity, len(out.records)
    message = text[head.end :] if head.end else text
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


def _stands_alone(text: str, head: Head, following: bytes) -> bool:
    if multiline.may_open_trace(text) or (head.end and multiline.may_begin_trace(text[head.end :])):
        return False
    if 0 < head.severity < WARN or not head:  # no trace begins below them: `multiline.continues`
        return True
    return following[:1] not in _JAVA_MORE and not multiline.may_open_trace(following.decode("utf-8", "replace"))
