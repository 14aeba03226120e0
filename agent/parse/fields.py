"""Instant, severity and logger of one decoded record, by the table of known names; what an error's grouping needs.

Records with the same keys hold the same fields, so that where to look is worked out once per shape: trying all known
names costs 8 µs a record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from agent.core import dialects, severity
from agent.core.fallback import derived_severity
from agent.core.fields import Path, Profile, fallback_message, find, is_message, message_at, own_paths, service_at
from agent.core.model import ErrorEvent
from agent.parse import exceptions
from agent.parse.exceptions import NONE
from agent.parse.instants import timestamps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.parse.instants.timestamps import Instants

_PHP_DATE: Path = ("datetime", "date")
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
                **{role: paths_of(record, role, paths) for role, paths in self.paths.items()},
                exception=exceptions.places(record),
            )
            if len(keys) <= _MOST_KEYS:
                if len(self._shapes) >= _MOST_SHAPES:
                    self._shapes.clear()
                self._shapes[keys] = shape
        return shape


def paths_of(record: Mapping[str, Any], role: str, paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """Those of the paths that can hold something in a record, and those that count in it alone."""
    return (*(path for path in paths if path[0] in record), *dialects.paths_in(record, role))


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
        elif path == _PHP_DATE:
            value = _zoned(value, record["datetime"])
        if type(value) is str and "\x1b" in value:
            value = severity.uncoloured(value)
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


def _zoned(value: Any, date: dict[str, Any]) -> Any:
    """The local time in PHP's DateTime as an object (Monolog 1), with its zone: an offset, a short name or a region."""
    zone = date.get("timezone")
    if type(value) is not str or type(zone) is not str:
        return value
    return f"{value}[{zone}]" if "/" in zone else f"{value} {zone}" if zone.isalpha() else f"{value}{zone}"


def severity_number(record: dict[str, Any], paths: tuple[Path, ...]) -> int:
    """1 to 24, or 0: of the record's level, or what it tells that has none (`core.fallback`)."""
    found = level_of(record, paths)
    if found >= 0:
        return found
    return derived_severity(record) if record.get(CLEF_TIMESTAMP) is None else _CLEF_DEFAULT


def level_of(record: dict[str, Any], paths: tuple[Path, ...]) -> int:
    """The severity of a record's level, UNREADABLE where it has none. A name counts before a number, which stands for
    different levels elsewhere.
    """
    found = severity.UNREADABLE
    for path in paths:
        value = record.get(path[0]) if len(path) == 1 else find(record, path)
        if value is None:
            continue
        if not severity.is_number(value):
            number = severity.look_up(value, path)
            if number >= 0:
                return number
        elif found < 0:
            found = severity.read(value, severity.scale_in(record, path))
    return found


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
        plain(message_at(record, shape.message)[1] or message or kind or fallback_message(record)),
        name,
        service_at(record, shape.service) if shape.service else None,
        kind,
        message,
        stack,
        fingerprint if type(fingerprint) is str and fingerprint else None,
    )


def plain(message: str) -> str:
    """The message without its colours: an error is the same with and without them."""
    return severity.uncoloured(message) if "\x1b" in message else message


def detect(
    records: list[dict[str, Any]], paths: Mapping[str, tuple[Path, ...]], instants: Instants
) -> dict[str, Path | None]:
    """Where the fields are in these records: per role the first known path with a readable value in any of them; of a
    severity one with names, if there is any.
    """
    keys: set[str] = set().union(*records)  # few of the known paths begin with one of them
    found: dict[str, Path | None] = {}
    for role, known in paths.items():
        of_dialects = [(path, one) for one in records for path in dialects.paths_in(one, role)]
        where = {path: records for path in known if path[0] in keys}
        for path in dict(of_dialects):
            where.setdefault(path, [one for other, one in of_dialects if other == path])
        readable = (path for path, here in where.items() if any(_readable(role, path, one, instants) for one in here))
        if role == "severity":
            levels = list(readable)
            found[role] = next((path for path in levels if _has_name(path, records)), levels[0] if levels else None)
        else:
            found[role] = next(readable, None)
    return found


def _has_name(path: Path, records: list[dict[str, Any]]) -> bool:
    values = [value for one in records if (value := find(one, path)) is not None and not severity.is_number(value)]
    return any(severity.look_up(value, path) >= 0 for value in values)


def _readable(role: str, path: Path, record: dict[str, Any], instants: Instants) -> bool:
    value = find(record, path)
    if value is None or value == "":
        return False
    if role == "timestamp":
        alone = timestamps.Instants(instants.zone)  # this is no row's
        return instant(record, (path,), alone, timestamps.MAX_NS)[1] is None
    if role == "severity":
        return severity.read(value, severity.scale_in(record, path)) >= 0
    if role == "message":
        return is_message(value, path)
    return type(value) is str or (role in ("trace_id", "span_id") and type(value) is int)
