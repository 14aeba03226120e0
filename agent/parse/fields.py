"""Instant, severity and logger of one decoded record, by the table of known names; what an error's grouping needs.

Records with the same keys hold the same fields, so that where to look is worked out once per shape: trying all known
names costs 8 µs a record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from agent.core import severity
from agent.core.fields import Path, Profile, find, message_at, own_paths, service_at
from agent.core.model import ErrorEvent
from agent.parse import exceptions, timestamps
from agent.parse.exceptions import NONE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.parse.timestamps import Instants

CLEF_TIMESTAMP = "@t"  # Serilog leaves @l out where it is Information
_CLEF_DEFAULT = 9
NO_TIMESTAMP = "no timestamp"
_LONGEST_SHOWN = 40  # characters of an offending value in a parse error
_MOST_SHAPES = 256
_MOST_KEYS = 128  # of a record whose shape is kept: together 2 MB at the most


class Shape(msgspec.Struct):
    """The paths per role that can hold something in a record with these keys, in the order in which they count."""

    timestamp: tuple[Path, ...]
    severity: tuple[Path, ...]
    logger: tuple[Path, ...]
    message: tuple[Path, ...]
    service: tuple[Path, ...]
    exception: exceptions.Places | None


class Shapes:
    """The shapes of one file.

    Args:
        paths: per role as the source's settings give them.
        profile: of the file, whose paths count first for message and service.
    """

    def __init__(self, paths: Mapping[str, tuple[Path, ...]], profile: Profile) -> None:
        self._shapes: dict[tuple[str, ...], Shape] = {}
        self.paths = {role: paths[role] for role in ("timestamp", "severity", "logger")}
        self.paths |= {role: (*own_paths(profile, role), *paths[role]) for role in ("message", "service")}

    def of(self, record: dict[str, Any]) -> Shape:
        """The shape of a record."""
        keys = tuple(record)
        shape = self._shapes.get(keys)
        if shape is None:
            shape = Shape(
                **{role: tuple(path for path in paths if path[0] in record) for role, paths in self.paths.items()},
                exception=exceptions.places(record),
            )
            if len(keys) <= _MOST_KEYS:
                if len(self._shapes) >= _MOST_SHAPES:
                    self._shapes.clear()
                self._shapes[keys] = shape
        return shape


def instant(
    record: dict[str, Any], paths: tuple[Path, ...], instants: Instants, observed: int
) -> tuple[int, str | None]:
    """Nanoseconds since 1970 and None, or the observed time and why. The first readable path counts."""
    error = NO_TIMESTAMP
    for path in paths:
        value = record.get(path[0]) if len(path) == 1 else find(record, path)
        if value is None:
            continue
        if path == ("timestampSeconds",) and "timestampNanos" in record:
            value = {"seconds": value, "nanos": record["timestampNanos"]}
        try:
            return parse_instant(value, instants, observed), None
        except timestamps.InstantError as why:
            error = f"{why.reason}: {str(value)[:_LONGEST_SHOWN]}"
        except ValueError:
            continue
    return observed, error


def parse_instant(value: Any, instants: Instants, observed: int) -> int:
    """What `Instants.parse` gives or raises, but of a time of day alone ValueError: `00:00:01.250` in a field is a
    duration as often, so that no date is made up for it.
    """
    if type(value) is str and ":" in value[1:3]:
        raise ValueError
    return instants.parse(value, observed)


def severity_number(record: dict[str, Any], paths: tuple[Path, ...]) -> int:
    """1 to 24, or 0 where the record has no readable level."""
    for path in paths:
        value = record.get(path[0]) if len(path) == 1 else find(record, path)
        if value is not None:
            number = severity.look_up(value, path)
            if number >= 0:
                return number
    return 0 if record.get(CLEF_TIMESTAMP) is None else _CLEF_DEFAULT


def logger(record: dict[str, Any], paths: tuple[Path, ...]) -> str | None:
    """The first logger name that is a text."""
    for path in paths:
        value = record.get(path[0]) if len(path) == 1 else find(record, path)
        if type(value) is str and value:
            return value
    return None


def error_event(  # noqa: PLR0917 - built for every event of an error storm
    index: int, record: dict[str, Any], shape: Shape, instant: int, number: int, name: str | None
) -> ErrorEvent:
    """What grouping needs of a record with severity ERROR or above."""
    kind, message, stack = NONE if shape.exception is None else exceptions.at(record, shape.exception)
    fingerprint = record.get("fingerprint")
    if type(fingerprint) is list:
        fingerprint = "\n".join(map(str, fingerprint))
    return ErrorEvent(
        index,
        instant,
        number,
        message_at(record, shape.message)[1] or message or kind or "",
        name,
        service_at(record, shape.service) if shape.service else None,
        kind,
        message,
        stack,
        fingerprint if type(fingerprint) is str and fingerprint else None,
    )


def detect(
    records: list[dict[str, Any]], paths: Mapping[str, tuple[Path, ...]], instants: Instants
) -> dict[str, Path | None]:
    """Where the fields are in these records: per role the first known path with a readable value in any of them."""
    keys: set[str] = set().union(*records)  # few of the known paths begin with one of them
    return {
        role: next(
            (
                path
                for path in known
                if path[0] in keys and any(_readable(role, path, one, instants) for one in records)
            ),
            None,
        )
        for role, known in paths.items()
    }


def _readable(role: str, path: Path, record: dict[str, Any], instants: Instants) -> bool:
    value = find(record, path)
    if value is None or value == "":
        return False
    if role == "timestamp":
        alone = timestamps.Instants(instants.zone)  # this is no row's
        return instant(record, (path,), alone, timestamps.MAX_NS)[1] is None
    if role == "severity":
        return severity.read(value, severity.scale_of(path)) >= 0
    if role == "message":
        return type(value) is not dict and type(value) is not list
    return type(value) is str or (role in ("trace_id", "span_id") and type(value) is int)
