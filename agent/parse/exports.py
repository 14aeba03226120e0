"""Records that are made of a JSON line because its own form hides what it says: OpenTelemetry's export of logs, and
journald's messages as arrays of bytes. The line is kept beside such a record.
"""

from __future__ import annotations

import re
from string import ascii_uppercase, digits
from typing import TYPE_CHECKING, Any

from agent.core.journal import text_of
from agent.core.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Callable

RESOURCE_LOGS, MESSAGE = "resourceLogs", "MESSAGE"
# What such a line has under these keys no other line has; a chunk is read in bulk where they hold one of these types.
PLAIN_VALUES: dict[str, Any] = {RESOURCE_LOGS: None, MESSAGE: str | None}
_LEVELS = ("severityText", "severityNumber")
_OF_ONE = (*_LEVELS, "traceId", "spanId")  # and not of all log records of a line
KEYS = tuple(PLAIN_VALUES)
_ENDS_OF_NAMES = frozenset(ascii_uppercase + digits + "_")

# A value of journald's as an array of bytes, also inside of a string: none of its letters stands in the line.
_ARRAY = rb":[\s\\nrt]*+\["
_QUOTED_ARRAY = rb"""\\*"[\s\\nrt]*+""" + _ARRAY
MESSAGE_IN_BYTES = b"MESSAGE" + _QUOTED_ARRAY
_VALUE_IN_BYTES = b"[A-Z0-9_]" + _QUOTED_ARRAY
_array, _value_in_bytes = lazy(_ARRAY), lazy(_VALUE_IN_BYTES)
_value_in_text = lazy(_VALUE_IN_BYTES.decode(), re.ASCII)
# A whole array of bytes in such a text, or the beginning of one.
_bytes_in_text = lazy(r"\[[\s\\nrt]*+((?:[0-9]{1,3}[\s\\nrt,]*+)++)\]?", re.ASCII)
_numeral = lazy("[0-9]+")


def unfolded(record: dict[str, Any]) -> dict[str, Any] | None:
    """The record that is made of a line; None where the line is its record."""
    if RESOURCE_LOGS in record:
        return _of_otlp(record)
    return _of_journal(record) if type(record.get(MESSAGE)) is list else None


# ---------------------------------------------------------------- journald


def _of_journal(record: dict[str, Any]) -> dict[str, Any] | None:
    """`journalctl -o json` writes a value that is no printable UTF-8 as an array of its bytes.

    https://systemd.io/JOURNAL_EXPORT_FORMATS/#journal-json-format
    """
    texts = {key: text for key, value in record.items() if type(value) is list and type(text := text_of(value)) is str}
    return {**record, **texts} if MESSAGE in texts else None


def may_be_bytes(key: str) -> bool:
    """Whether a value under this key may be an array of bytes: journald's names are upper case."""
    return key[-1:] in _ENDS_OF_NAMES


def may_have_bytes(lines: bytes) -> bool:
    """The same of the keys in some lines; most have no array, which costs a tenth of the look at the keys."""
    return _array.search(lines) is not None and _value_in_bytes.search(lines) is not None


def without_bytes(text: str, is_hidden: Callable[[Any], bool], instead: str) -> str:
    """A text in which JSON stands, whole or cut off, with something else for the arrays of bytes that are to be hidden.

    Args:
        text: is searched where `may_have_bytes` says so of it.
        is_hidden: whether a value is.
        instead: stands for the array.
    """
    if _value_in_text.search(text) is None:
        return text

    def kept(array: re.Match[str]) -> str:
        value = text_of([int(number) for number in _numeral.findall(array[1])])
        return instead if is_hidden(value) else array[0]

    return _bytes_in_text.sub(kept, text)


# ---------------------------------------------------------------- OpenTelemetry


def _of_otlp(line: dict[str, Any]) -> dict[str, Any] | None:
    """OTLP/JSON, one LogsData a line: the attributes of the log record at the top, beside its fields in their names.

    Of several log records the first gives the instant and most fields; the severity is the highest, the body all
    bodies, one a line; and `logRecords` holds each of them.
    https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/
    """
    found: list[dict[str, Any]] = []
    for resource in _objects(line.get(RESOURCE_LOGS)):
        about = _attributes(_object(resource.get("resource")).get("attributes"))
        for scope in (*_objects(resource.get("scopeLogs")), *_objects(resource.get("instrumentationLibraryLogs"))):
            named = _object(scope.get("scope") or scope.get("instrumentationLibrary"))
            found += [_log_record(one, about, named) for one in _objects(scope.get("logRecords"))]
    if len(found) <= 1:
        return found[0] if found else None
    worst = max(found, key=lambda one: _number(one.get("severityNumber")))
    bodies = [body for one in found if type(body := one.get("body")) is str and body]
    shared = {key: value for key, value in found[0].items() if key not in _OF_ONE}
    levels = {key: worst[key] for key in _LEVELS if key in worst}
    return shared | levels | {"body": "\n".join(bodies), "logRecords": found}


def _log_record(record: dict[str, Any], resource: dict[str, Any], scope: dict[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in record.items() if key not in ("attributes", "body")}
    if own.get("timeUnixNano") in ("0", 0, ""):  # unknown: then it was observed
        del own["timeUnixNano"]
    made = {**_attributes(record.get("attributes")), **own}
    if "body" in record:
        made["body"] = _value(record["body"])
    if scope:
        made["scope"] = {**scope, "attributes": _attributes(scope["attributes"])} if "attributes" in scope else scope
    return {**made, "resource": resource} if resource else made


def _number(value: Any) -> int:
    return value if type(value) is int else 0


def _object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if type(one) is dict] if type(value) is list else []


def _attributes(pairs: Any) -> dict[str, Any]:
    return {key: _value(pair.get("value")) for pair in _objects(pairs) if type(key := pair.get("key")) is str}


def _value(value: Any) -> Any:
    """Of an AnyValue: `{"stringValue": "x"}` is x. Integers of 64 bits stand in quotes there."""
    if type(value) is not dict or len(value) != 1:
        return value
    ((kind, inner),) = value.items()
    if kind == "intValue" and type(inner) is str and inner.removeprefix("-").isdecimal() and len(inner) < 20:  # noqa: PLR2004
        return int(inner)
    if kind == "arrayValue":
        values = _object(inner).get("values")
        return [_value(one) for one in values] if type(values) is list else []
    if kind == "kvlistValue":
        return _attributes(_object(inner).get("values"))
    return inner if kind in ("stringValue", "boolValue", "intValue", "doubleValue", "bytesValue") else value
