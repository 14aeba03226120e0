"""Where the fields of a file's records are: the paths that detection found, and how to read a record with them.

A leaf that the parser writes, and the store, the query and the views read. A path is a tuple of keys;
`("log.level",)` is one literal key with a dot in it, `("log", "level")` a key in a nested object.
"""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from agent.core import dialects, fallback
from agent.core.patterns import lazy

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable

Path = dialects.Path
_decode = msgspec.json.Decoder().decode


def _paths(names: str) -> tuple[Path, ...]:
    """Dotted names as paths; a literal dotted key counts before the nested one."""
    found: list[Path] = []
    for name in names.split():
        found.append((name,))
        if "." in name and "/" not in name:
            found.append(tuple(name.split(".")))
        if name.endswith(".service.name"):  # OpenTelemetry's attributes are keys with dots
            found.append((*name.split(".")[:-2], "service.name"))
    return tuple(found)


# In the order in which they count where a line has several. Names as the libraries write them (docs/formats.md).
ALIASES: dict[str, tuple[Path, ...]] = {
    "timestamp": _paths(
        "timestamp @timestamp time ts @t Timestamp asctime datetime record.time.repr record.time.timestamp instant"
        " timeMillis timestampMillis epochMillis timestampSeconds eventTime timeUnixNano TimeUnixNano created date"
        " observedTimestamp ObservedTimestamp observedTimeUnixNano t.$date __REALTIME_TIMESTAMP written_at written_ts"
        " start_time startTime StartUTC receiveTimestamp record.timestamp datetime.date time.$date event_time"
        " event_timestamp eventTimestamp EventTime event.created started_at logged_at log_time logTime DateTime"
        " dateTime TimeGenerated TimeCreated UtcTime EdgeStartTimestamp EdgeEndTimestamp @fields.timestamp"
    ),
    "severity": _paths(
        "level severity log.level levelname lvl @l record.level.name record.level.no severity_text severityText"
        " SeverityText severity_number severityNumber SeverityNumber loglevel logLevel LogLevel log_level Level"
        " Severity LEVEL level_name levelno level_value syslog.severity PRIORITY @level level.levelStr level.level"
        " level_number _level_name _levelName record.level context.logLevel severityLevel jsonPayload.severity"
        " jsonPayload.level @fields.levelname @fields.level @fields.lvl @fields.severity fields.level fields.lvl"
    ),
    "logger": _paths(
        "logger logger_name loggerName log.logger logger.name record.name SourceContext Category channel name @module"
        " categoryName component scope.name SYSLOG_IDENTIFIER _COMM _logger _log_logger _logger_name _loggerName"
        " Properties.SourceContext context.namespace context.package"
    ),
    "message": _paths(
        "message msg event @m short_message body Body body.stringValue Body.stringValue textPayload record.message"
        " text log MESSAGE Message @mt fields.message @message RenderedMessage MessageTemplate record"
        " jsonPayload.message jsonPayload.msg body.message message.message message.msg message.Message"
        " @fields.message eventMessage @fields.msg fields.msg"
    ),
    "service": _paths(
        "service.name service service_name serviceName serviceContext.service resource.service.name"
        " Resource.service.name resource.attributes.service.name dd.service record.extra.service otelServiceName"
    ),
    "trace_id": _paths(
        "trace_id traceId TraceId trace.id traceID traceid otelTraceID dd.trace_id logging.googleapis.com/trace @tr"
        " mdc.trace_id mdc.traceId contextMap.trace_id contextMap.traceId record.extra.trace_id"
    ),
    "span_id": _paths(
        "span_id spanId SpanId span.id spanID spanid otelSpanID dd.span_id logging.googleapis.com/spanId @sp"
        " mdc.span_id mdc.spanId contextMap.span_id contextMap.spanId record.extra.span_id"
    ),
}
ROLES = tuple(ALIASES)
_LOG4JS: Path = ("data",)  # the arguments of a call
_NANOSECONDS_BESIDE = {("timestampSeconds",): ("timestampNanos",)}  # a role that two keys hold


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """The shape of one file's records: per role the path where it was found, or None.

    `format` is `json`, `text`, `docker` or `cri`; empty while nothing has been seen. Where the format is not `json`
    the paths describe the records that the parser builds or unwraps.
    """

    format: str = ""
    timestamp: Path | None = None
    severity: Path | None = None
    message: Path | None = None
    logger: Path | None = None
    service: Path | None = None
    trace_id: Path | None = None
    span_id: Path | None = None
    overrides: dict[str, Path] = {}
    # `parse.instants.calendar`: from an offset on, next to which instant lines lie.
    calendar: tuple[tuple[int, int], ...] = ()

    def to_json(self) -> str:
        """The form that `files.profile` keeps."""
        return msgspec.json.encode(self).decode()

    @staticmethod
    def from_json(text: str) -> Profile:
        """The profile that `to_json` wrote; an empty one where the text is of another version or damaged."""
        try:
            return msgspec.json.decode(text, type=Profile)
        except (msgspec.DecodeError, UnicodeError):
            return Profile()

    def path(self, role: str) -> Path | None:
        """The path of a role (a key of ALIASES)."""
        found: Path | None = getattr(self, role)
        return found

    def sql_paths(self) -> dict[str, str | None]:
        """Role to path for `json_extract`, None where the role was not seen."""
        return {role: None if (path := self.path(role)) is None else sql_path(path) for role in ROLES}


class RecordFields(msgspec.Struct):
    """What a record says about itself. `consumed` are the paths of instant, severity, message, trace and span."""

    body: str = ""
    logger: str | None = None
    service: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    consumed: set[Path] = set()

    def attributes(self, record: dict[str, Any]) -> dict[str, Any]:
        """Every other field of the record, nested as it was; an object that becomes empty is left out."""
        return _without(record, self.consumed)


def sql_path(path: Path) -> str:
    r"""A path for SQLite's `json_extract`: `("log", "level")` is `$."log"."level"`.

    SQLite compares the quoted label with the key as it is written in the JSON text, so that a quote or a
    backslash is written as JSON escapes it.
    """
    return "$" + "".join(f".{json.dumps(key, ensure_ascii=False)}" for key in path)


def find(record: Any, path: Path) -> Any:
    """The value at a path, None where there is none."""
    value = record
    for key in path:
        if type(value) is not dict:
            return None
        value = value.get(key)
    return value


def load_record(text: str) -> dict[str, Any]:
    """A stored record as an object; the last of duplicate keys wins.

    orjson refuses numbers beyond a double (`1e999`), which JSON allows and a record may hold; those few go through
    the standard library. Integers of more than 4,300 digits become their text.
    """
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError:
        record = json.loads(text, parse_int=exact_int)
    return record if type(record) is dict else {"message": text}


def decode_record(record: str) -> dict[str, Any]:
    """As `load_record`, with integers exact at any size, for what is compared and printed."""
    try:
        value = _decode(record)  # 1.2 µs; orjson would round integers beyond 64 bits
    except (msgspec.MsgspecError, RecursionError):
        value = json.loads(record, parse_int=exact_int)
    return value if type(value) is dict else {"message": record}


def exact_int(digits: str) -> int | str:
    """An integer of any length; its text where Python refuses to convert it."""
    try:
        return int(digits)
    except ValueError:
        return digits


def read_fields(record: dict[str, Any], profile: Profile | None = None) -> RecordFields:
    """Read message, logger, service and trace out of a decoded record.

    The profile's path is tried first, then every known name. The message of a Serilog event without `@m` is its
    template with the properties filled in; a message that is no string is given as JSON.
    """
    fields = RecordFields()
    path, fields.body = read_message(record, profile)
    if path is not None:
        fields.consumed.add(path)
    _, fields.logger = _first(record, "logger", profile, _is_text)
    fields.service = read_service(record, profile)
    path, fields.trace_id = read_trace_id(record, profile)
    if path is not None:
        fields.consumed.add(path)
    path, span = _first(record, "span_id", profile, _is_id)
    if path is not None:
        fields.consumed.add(path)
        fields.span_id = str(span)
    for role in ("timestamp", "severity"):
        path, _ = _first(record, role, profile, _is_value)
        if path is not None:
            fields.consumed.add(path)
            if path in _NANOSECONDS_BESIDE:
                fields.consumed.add(_NANOSECONDS_BESIDE[path])
    return fields


def read_message(record: dict[str, Any], profile: Profile | None) -> tuple[Path | None, str]:
    """Where the message is, and the message. Where there is none: what the record says instead, and no path, or that
    of an empty one.
    """
    path, message = message_at(record, _candidates(record, "message", profile))
    return path, message or fallback_message(record)


def fallback_message(record: dict[str, Any]) -> str:
    """What stands for the message of a record that has none."""
    return fallback.message_of(record, _UNSAID)


def read_service(record: dict[str, Any], profile: Profile | None) -> str | None:
    """The name of the service, where the line says it."""
    return service_at(record, _candidates(record, "service", profile))


def read_trace_id(record: dict[str, Any], profile: Profile | None) -> tuple[Path | None, str | None]:
    """Where the trace id is, and the id."""
    return trace_id_at(record, _candidates(record, "trace_id", profile))


def own_paths(profile: Profile | None, role: str) -> list[Path]:
    """The configured and the detected paths of a role, which are tried before the known names."""
    if profile is None:
        return []
    detected = profile.path(role)
    paths = _own_paths(profile, role, detected) if profile.overrides else (detected,)
    return [path for path in paths if path is not None]


def message_at(record: dict[str, Any], paths: Iterable[Path]) -> tuple[Path | None, str]:
    """`read_message` at the given paths alone; an empty text where there is none."""
    empty = None
    for path in paths:
        value = record.get(path[0]) if len(path) == 1 else find(record, path)
        if value is not None and is_message(value, path):
            if value != "":
                return path, _message_text(path, value, record)
            empty = empty or path
    return empty, ""


def service_at(record: dict[str, Any], paths: Iterable[Path]) -> str | None:
    """`read_service` at the given paths alone."""
    service: str | None = _first_at(record, paths, _is_text)[1]
    return service


def trace_id_at(record: dict[str, Any], paths: Iterable[Path]) -> tuple[Path | None, str | None]:
    """`read_trace_id` at the given paths alone."""
    path, value = _first_at(record, paths, _is_id)
    return path, None if path is None else str(value).rpartition("/traces/")[2]  # Google: projects/P/traces/ID


_FIRST_KEYS = {
    role: frozenset(path[0] for path in paths) | dialects.FIRST_KEYS.get(role, frozenset())
    for role, paths in ALIASES.items()
}
_UNSAID = frozenset().union(*(_FIRST_KEYS[role] for role in ROLES if role != "message")) - {
    "context", "record", "jsonPayload", "@fields", "type",
}  # fmt: skip


def _candidates(record: dict[str, Any], role: str, profile: Profile | None) -> Iterable[Path]:
    """The paths to try: configured, detected, known."""
    if _FIRST_KEYS[role].isdisjoint(record):  # 0.2 µs instead of 2 for all the names
        return own_paths(profile, role)
    return chain(own_paths(profile, role), ALIASES[role], dialects.paths_in(record, role))


def _first(
    record: dict[str, Any], role: str, profile: Profile | None, accept: Callable[[Any], bool]
) -> tuple[Path | None, Any]:
    """The first path with an acceptable value, and the value."""
    return _first_at(record, _candidates(record, role, profile), accept)


def _first_at(record: dict[str, Any], paths: Iterable[Path], accept: Callable[[Any], bool]) -> tuple[Path | None, Any]:
    for path in paths:
        value = record.get(path[0]) if len(path) == 1 else find(record, path)
        if value is not None and accept(value):
            return path, value
    return None, None


def _own_paths(profile: Profile, role: str, detected: Path | None) -> tuple[Path | None, ...]:
    override = profile.overrides.get(role)
    if override is None:
        return (detected,)
    nested = tuple(override[0].split(".")) if len(override) == 1 else override
    return (override, nested, detected)


def _is_text(value: Any) -> bool:
    return type(value) is str and value != ""


def is_message(value: Any, path: Path) -> bool:
    """Whether what stands at a message's path is one: any value but an object, of lists those of texts alone."""
    if type(value) is list:
        return bool(value) and (path == _LOG4JS or all(type(one) is str for one in value))
    return type(value) is not dict


def _is_id(value: Any) -> bool:
    return (type(value) is str and value != "") or type(value) is int


def _is_value(value: Any) -> bool:
    return value != "" and type(value) is not list


def _message_text(path: Path, value: Any, record: dict[str, Any]) -> str:
    if type(value) is list and all(type(one) is str for one in value):
        return "\n".join(value)
    if type(value) is not str:
        return json_text(value)
    return render_template(value, record) if path == ("@mt",) else value


def json_text(value: Any) -> str:
    """A value as JSON; an ellipsis where it nests deeper than orjson writes (254 levels) or is no JSON value."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return str(value) if type(value) is int else "…"


_HOLE = lazy(r"\{\{|\}\}|\{[@$]?(\w+)(?:,-?\d+)?(?::[^{}]*)?\}")


def render_template(template: str, record: dict[str, Any]) -> str:
    """Fill the holes of a message template (https://messagetemplates.org) from the event's properties."""

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return match[0][0]
        if name not in record:
            return match[0]
        value = record[name]
        return value if type(value) is str else json_text(value)

    return _HOLE.sub(fill, template)


def _without(record: dict[str, Any], consumed: set[Path]) -> dict[str, Any]:
    top = {path[0] for path in consumed if len(path) == 1}
    nested: dict[str, set[Path]] = {}
    for path in consumed:
        if len(path) > 1:
            nested.setdefault(path[0], set()).add(path[1:])
    rest: dict[str, Any] = {}
    for key, value in record.items():
        if key in top:
            continue
        if key in nested and type(value) is dict:
            inner = _without(value, nested[key])
            if inner or not value:
                rest[key] = inner
        else:
            rest[key] = value
    return rest
