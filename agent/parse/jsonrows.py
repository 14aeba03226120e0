"""The careful path's rows of JSON objects: instant, severity and logger by the names that they are known by, or that
were found; of a line that is redacted what is left of it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from agent.core.event import ERROR
from agent.parse import careful, fields
from agent.parse.formats import with_stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.core.model import EventBatch
    from agent.parse.fields import Shapes
    from agent.parse.multijson import Line
    from agent.parse.settings import Compiled

    FindObject = Callable[[bytes], tuple[careful.JsonLine | None, str | None]]

_LEARN_RECORDS = 32  # decoded records kept for detection


class ObjectTaker(Protocol):
    """Takes rows, and counts and keeps what they were made of: the Assembler."""

    compiled: Compiled
    shapes: Shapes
    observed: int
    out: EventBatch
    json_lines: int
    object_rows: int
    seen: list[dict[str, Any]]


class Found(NamedTuple):
    """What a line is."""

    object: careful.JsonLine | None
    line: Line  # as it is after redaction where it is no object, or was none before
    error: str | None  # why it is no object
    hidden: bool  # something in the object was replaced


def find(line: Line, compiled: Compiled, find_object: FindObject) -> Found:
    """Find the object that a line is, and replace what is redacted."""
    found, error = find_object(line.plain)
    redactor = compiled.redactor
    if redactor is None:
        return Found(found, line, error, hidden=False)
    if found is not None:
        try:
            return Found(found, line, error, redactor.record(found, line.plain))
        except RecursionError:
            found, error = None, "nested too deep"
    changed = redactor.line(line.plain)
    if changed is not line.plain:
        extra = line.extra
        raw = changed if extra is None else compiled.rewrapped(line.raw, changed, woven=line.woven)
        line = line._replace(raw=raw, plain=changed)
        found, error = find_object(changed)  # what is kept is what is spoken of
    return Found(found, line, error, hidden=False)


def named(found: careful.JsonLine, stream: str) -> tuple[dict[str, Any], str]:
    """The record of a container's line with its stream, and its text."""
    record, text = found.record, found.text
    with contextlib.suppress(RecursionError):  # then it keeps its own
        changed = {**record, "log.iostream": stream}
        return changed, careful.dump(changed) if "log.iostream" in record else with_stream(text, stream)
    return record, text


def append(  # noqa: PLR0917 - called for every line
    work: ObjectTaker,
    record: dict[str, Any],
    text: str,
    offset: int,
    error: str | None,
    raw: bytes | int | str | None,
    extra: dict[str, str] | None = None,
) -> None:
    """Append the row of a decoded object.

    Args:
        work: takes the row.
        record: the object.
        text: the same, encoded.
        offset: of its first line.
        error: what is wrong with it.
        raw: as in EventBatch.raws.
        extra: of a container's line its stream and time.
    """
    compiled, out, observed = work.compiled, work.out, work.observed
    row = len(out.records)
    work.json_lines += 1
    work.object_rows = row + 1 if extra is None else -1
    if len(work.seen) < _LEARN_RECORDS:
        work.seen.append(record)
    if raw is not None:
        out.raws[row] = raw
    shape = work.shapes.of(record)
    instant, missing = fields.instant(record, shape.timestamp, compiled.instants, observed)
    if missing is not None and extra is not None:
        instant, missing = fields.instant(extra, (("time",),), compiled.instants, observed)
    number = fields.severity_number(record, shape.severity)
    name = fields.logger(record, shape.logger)
    out.timestamps.append(instant)
    out.severities.append(number)
    out.loggers.append(name)
    out.offsets.append(offset)
    out.records.append(text)
    why = error if missing is None else missing if error is None else f"{error}; {missing}"
    if why is not None:
        out.parse_errors[row] = why
    if number >= ERROR:
        out.errors.append(fields.error_event(row, record, shape, instant, number, name))
