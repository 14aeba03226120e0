"""JSON inside text: an object that runs to the end of a line's message gives its fields, its level and its message.

2026-11-22 05:39:26 INFO {"level":"error","msg":"failed"}        ERROR, the message is `failed`
2026-11-22 05:39:26 INFO cart: {"items":3}                       INFO, the message as it stands, an attribute items
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from agent.core.fields import find as value_at
from agent.core.fields import message_at
from agent.parse import careful, exceptions, fields
from agent.parse.instants.timestamps import MAX_NS

if TYPE_CHECKING:
    from agent.core.fields import Path
    from agent.parse.exceptions import ExceptionInfo
    from agent.parse.formats import Head
    from agent.parse.settings import Compiled

_CLASHING = "embedded"  # holds what the object has under keys by which the line says something else


class Embedded(NamedTuple):
    """What an object in a message says. Absent parts are None or 0; `derived` is the severity that the object gives
    one who has no level.
    """

    message: str | None
    level: Any
    severity: int
    derived: int
    timestamp: Any
    instant_key: str  # under which the instant stands
    logger: str | None
    attributes: dict[str, Any]
    exception: ExceptionInfo


def look(message: str, compiled: Compiled) -> Embedded | None:
    """What the object says that a message ends with, None where it ends with none."""
    found = careful.locate(message)
    if found is None:
        return None
    begin, line = found
    record = line.record
    shape = compiled.inner_shapes.of(record)
    path, text = message_at(record, shape.message)
    level_path, level = _first(record, shape.severity)
    instant_path = _instant_path(record, shape.timestamp, compiled)
    name = fields.logger(record, shape.logger)
    used = {one[0] for one in (path, level_path) if one is not None and len(one) == 1}
    rest = {key: value for key, value in record.items() if key not in used}
    prefix = message[:begin].strip()
    if text and prefix:
        rest = {"log.prefix": prefix, **rest}
    return Embedded(
        message=text or None,
        level=level,
        severity=max(0, fields.level_of(record, shape.severity)),
        derived=fields.severity_number(record, shape.severity),
        timestamp=None if instant_path is None else value_at(record, instant_path),
        instant_key=instant_path[0] if instant_path is not None and len(instant_path) == 1 else "",
        logger=name,
        attributes=rest,
        exception=exceptions.of_record(record),
    )


def seen_through(head: Head, inner: Embedded) -> Head:
    """What a line says before its message, with what the object in the message says."""
    return msgspec.structs.replace(
        head,
        timestamp=head.timestamp or inner.timestamp,
        level=inner.level if inner.severity else head.level,
        severity=inner.severity or head.severity or inner.derived,
        logger=head.logger or inner.logger,
    )


def merged(inner: Embedded, record: dict[str, Any], timestamp_key: str) -> str:
    """The record of the line, with the fields of the object in its message.

    Args:
        inner: what the object says.
        record: what else the line says.
        timestamp_key: under which the record has the instant.
    """
    clashing = {
        key: value for key, value in inner.attributes.items() if key in record and record[key] not in (value, None)
    }
    found = {**inner.attributes, **record}
    if inner.instant_key not in record and inner.timestamp == record.get(timestamp_key):
        found.pop(inner.instant_key, None)
    return careful.dump({**found, _CLASHING: clashing} if clashing else found)


def _first(record: dict[str, Any], paths: tuple[Path, ...]) -> tuple[Path | None, Any]:
    """The path whose level counts, and the level as it is written."""
    counted = fields.level_of(record, paths)
    for path in paths:
        if counted >= 0 and fields.level_of(record, (path,)) == counted:
            return path, value_at(record, path)
    return None, None


def _instant_path(record: dict[str, Any], paths: tuple[Path, ...], compiled: Compiled) -> Path | None:
    return next(
        (path for path in paths if fields.instant(record, (path,), compiled.inner_instants, MAX_NS)[1] is None), None
    )
