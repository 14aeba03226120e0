"""Events as OTLP has them: a request to export logs, in protobuf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.event import severity_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

    from agent.core.stored import StoredEvent

_INT64 = range(-(2**63), 2**63)
_TRACE_BYTES, _SPAN_BYTES = 16, 8


def encode(events: Sequence[StoredEvent], agent: str) -> bytes:
    """An ExportLogsServiceRequest of events.

    Resources are those of the events; within them each logger's name is a scope, as in OpenTelemetry's own bridges.

    Args:
        events: in the order of storage.
        agent: the agent's id, which makes `log.record.uid` of an event's number one of the world.
    """
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: PLC0415 - an extra

    request = ExportLogsServiceRequest()
    resources: dict[bytes, Any] = {}
    scopes: dict[tuple[bytes, str], Any] = {}
    for event in events:
        fields = event.fields
        rest = event.read.attributes(fields)  # first: it reads all that the others would look for one by one
        resource = event.resource
        key = msgspec.json.encode(resource)
        place = (key, event.logger or "")
        scope = scopes.get(place)
        if scope is None:
            within = resources.get(key)
            if within is None:
                within = resources[key] = request.resource_logs.add()
                _fill(within.resource.attributes, resource)
            scope = scopes[place] = within.scope_logs.add()
            scope.scope.name = _text(place[1])
        _record(scope.log_records.add(), event, rest, agent)
    return bytes(request.SerializeToString())


def _record(record: LogRecord, event: StoredEvent, attributes: dict[str, Any], agent: str) -> None:
    record.time_unix_nano = max(event.timestamp, 0)  # unsigned: nothing before 1970
    record.observed_time_unix_nano = event.observed_timestamp
    record.severity_number = event.severity_number  # type: ignore[assignment] # its numbers are OpenTelemetry's own
    record.severity_text = severity_text(event.severity_number) or ""
    record.body.string_value = _text(event.body)
    more: dict[str, Any] = {
        "log.file.path": event.path,
        "log.file.name": event.path.rpartition("/")[2],
        "log.record.uid": f"{agent}-{event.id}",
        "sidelog.source": event.source,
        "sidelog.offset": event.offset,
    }
    if event.group is not None:
        more["sidelog.group"] = event.group
    if event.parse_error is not None:
        more["sidelog.parse_error"] = event.parse_error
    trace, span = _id(event.trace_id, _TRACE_BYTES), _id(event.span_id, _SPAN_BYTES)
    if trace:
        record.trace_id = trace
    elif event.trace_id:
        more["trace_id"] = event.trace_id  # of another system, in no form that OTLP has a field for
    if span:
        record.span_id = span
    elif event.span_id:
        more["span_id"] = event.span_id
    # What the line says of itself comes last and wins: an attribute of a name may be there only once.
    _fill(record.attributes, {**more, **attributes})


def _fill(pairs: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if value is not None:
            pair: KeyValue = pairs.add()
            pair.key = _text(name)
            _put(pair.value, value)


def _put(target: AnyValue, value: Any) -> None:
    """A value of JSON as OTLP has it, nested as it was. An integer beyond 64 bits becomes its text."""
    if isinstance(value, str):
        target.string_value = _text(value)
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        if value in _INT64:
            target.int_value = value
        else:
            target.string_value = str(value)
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, dict):
        target.kvlist_value.SetInParent()
        _fill(target.kvlist_value.values, value)
    elif isinstance(value, list):
        target.array_value.SetInParent()
        for item in value:
            _put(target.array_value.values.add(), item)


def _text(text: str) -> str:
    """A text that UTF-8 has a form for: halves of surrogate pairs, which JSON can hold, become U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _id(text: str | None, size: int) -> bytes:
    """The bytes of a trace or span, empty where the text is none or nothing but zeros."""
    if text is None or len(text) != 2 * size:
        return b""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return b""
    return found if len(found) == size and any(found) else b""
