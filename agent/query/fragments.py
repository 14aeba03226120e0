"""Fields of an event as fragments of JSON text, kept as they were written.

A number such as 9007199254740993, 1e999 or 0.10000000000000000555 would not survive a float, so values are never
decoded further than to take the fields that are not wanted away.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from agent.core.event import severity_text
from agent.core.values import pick
from agent.query.predicate import BUILT_IN, Categories, getter
from agent.query.terms import AGENT, LINE, NAMED_FIELDS

if TYPE_CHECKING:
    from agent.core.stored import StoredEvent

_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_encode = msgspec.json.Encoder().encode
NULL = b"null"


class _Literal(str):
    """A number as it was written."""

    __slots__ = ()


def encode(value: Any) -> bytes:
    """JSON of a value; lone surrogates, which UTF-8 has no form for, as escapes."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _dump(value).encode()


def _dump(value: Any) -> str:
    if type(value) is dict:
        return "{" + ",".join(f"{json.dumps(key)}:{_dump(item)}" for key, item in value.items()) + "}"
    if type(value) is list:
        return "[" + ",".join(map(_dump, value)) + "]"
    if type(value) is _Literal:
        return value
    return bytes(value).decode() if type(value) is Raw else json.dumps(value)


def members(record: str | bytes | Raw) -> dict[str, Raw]:
    """The members of a JSON object, each value as it is written; the last of duplicate keys wins."""
    try:
        return _decode_object(record)
    except (msgspec.MsgspecError, RecursionError):  # a lone surrogate escape in it
        text = record if isinstance(record, str) else bytes(record).decode()
        value = json.loads(text, parse_int=_Literal, parse_float=_Literal)
        if type(value) is not dict:
            return {}
        return {key: Raw(_dump(item).encode()) for key, item in value.items()}


def _items(text: str | bytes) -> list[Raw]:
    """Those of a JSON array, each as it is written."""
    try:
        return _decode_list(text)
    except (msgspec.MsgspecError, RecursionError):  # as in `members`
        value = json.loads(text, parse_int=_Literal, parse_float=_Literal)
        return [Raw(_dump(item).encode()) for item in value]


def attributes(event: StoredEvent) -> dict[str, Any]:
    """Every field of the line that is not its instant, severity, message, trace or span, nested as it was."""
    return _without(members(event.record), event.read.consumed)


def _without(fields: dict[str, Raw], consumed: set[tuple[str, ...]]) -> dict[str, Any]:
    nested: dict[str, set[tuple[str, ...]]] = {}
    for path in consumed:
        if len(path) == 1:
            fields.pop(path[0], None)
        else:
            nested.setdefault(path[0], set()).add(path[1:])
    for key, paths in nested.items():
        value = fields.get(key)
        if value is None or not bytes(value).startswith(b"{"):
            continue
        inner = members(value)
        rest = _without(inner.copy(), paths)
        if rest or not inner:
            fields[key] = Raw(encode(rest))
        else:
            del fields[key]
    return fields


def field(event: StoredEvent, name: str, categories: Categories) -> bytes | None:
    """The value of a field of `--fields` or `--by` as JSON, None where the event has none."""
    if name in NAMED_FIELDS:
        found = getter(name)(event, categories)
        return encode(found[0]) if found else None
    if name == "timestamp" or (name == AGENT and event.agent is not None):
        return encode(event.agent if name == AGENT else BUILT_IN[name](event))
    parts = tuple(name.split("."))
    there, value = _pick(event.record, parts)
    if not there and name.startswith(LINE):
        there, value = _pick(event.record, parts[1:])
        return value if there else None
    if there:
        return value
    if name in BUILT_IN:
        own = BUILT_IN[name](event)
        return None if own is None else encode(own)
    there, label = pick(event.resource, parts)
    return encode(label) if there else None


def _pick(value: str | Raw, parts: tuple[str, ...]) -> tuple[bool, bytes]:
    """`values.pick` over JSON text."""
    text = value if isinstance(value, str) else bytes(value)
    if not parts:
        return True, bytes(value) if isinstance(value, Raw) else value.encode()
    start = text[:1]
    if start in ("{", b"{"):
        fields = members(text)
        for length in range(len(parts), 0, -1):
            key = ".".join(parts[:length])
            if key in fields:
                there, found = _pick(fields[key], parts[length:])
                if there:
                    return True, found
    elif start == b"[":
        items = _items(text)
        if parts[0].isascii() and parts[0].isdigit():
            index = int(parts[0][:9])
            return _pick(items[index], parts[1:]) if index < len(items) else (False, NULL)
        several = [found for there, found in (_pick(item, parts) for item in items) if there]
        return bool(several), b"[" + b",".join(several) + b"]"
    return False, NULL


def as_text(fragment: bytes | None) -> str:
    """A fragment for a cell or a logfmt value: a string decoded, null and what is missing empty, the rest as is."""
    if fragment is None or fragment == NULL:
        return ""
    text = fragment.decode("utf-8", "surrogatepass")
    return str(json.loads(text)) if text.startswith('"') else text


def flattened(event: StoredEvent) -> list[tuple[str, str]]:
    """The attributes as (dotted name, text), objects flattened, lists as JSON, in the order of the line."""
    return [(name, "null" if value == NULL else as_text(value)) for name, value in flattened_fragments(event)]


def flattened_fragments(event: StoredEvent) -> list[tuple[str, bytes]]:
    """The same with each value as JSON."""
    found: list[tuple[str, bytes]] = []
    _flatten("", attributes(event), found)
    return found


def _flatten(prefix: str, fields: dict[str, Any], found: list[tuple[str, bytes]]) -> None:
    for key, value in fields.items():
        fragment = bytes(value)
        if fragment.startswith(b"{") and fragment != b"{}" and prefix.count(".") < 8:  # noqa: PLR2004 - deeper: as JSON
            _flatten(f"{prefix}{key}.", members(fragment), found)
        else:
            found.append((prefix + key, fragment))


def severity_name(event: StoredEvent) -> str:
    """The level's name; empty where it is unknown."""
    return severity_text(event.severity_number) or ""
