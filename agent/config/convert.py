"""From a merged document to the structs of `schema`, with a finding for everything that does not fit.

One walk along the type hints: unknown keys, wrong types and values that a unit cannot read are all reported, each
with its file and path, instead of only the first. A value that does not fit is replaced by its default, so that
the checks that follow still see the rest.
"""

from __future__ import annotations

import functools
import os.path
import re
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from agent.config.layers import KeyPath, MergedDocument, PlainScalar
from agent.config.schema import Within
from agent.config.secret import Secret
from agent.core import units
from agent.core.errors import ConfigError

INVALID = object()  # in place of a value that was reported

_UNITS = {
    "duration": units.parse_seconds,
    "size": units.parse_size,
    "share": units.parse_share,
    "factor": units.parse_factor,
    "rate": units.parse_rate,
}
_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_MAX_INTEGER = 2**53


class ConfigFindings:
    """Collects what is wrong with a merged document."""

    def __init__(self, merged: MergedDocument) -> None:
        self.merged = merged
        self.errors: list[ConfigError] = []

    def add(self, key: str, path: KeyPath, /, **facts: Any) -> Any:
        """Note a finding, as `ConfigError.of` makes it, at a path of the merged document; gives INVALID."""
        self.errors.append(ConfigError.of(key, self.merged.place(path), **facts))
        return INVALID


def nearest(word: str, known: typing.Iterable[str]) -> str | None:
    """The known word that is most like this one, if any is."""
    import difflib  # noqa: PLC0415 - only a mistake pays for it

    return next(iter(difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)), None)


def close_to(word: str, known: typing.Iterable[str]) -> str:
    """`, did you mean 'include'?`, or nothing when no known word is near."""
    near = nearest(word, known)
    return f", did you mean '{near}'?" if near else ""


def shown(value: Any) -> str:
    """A value for a message: quoted when text, cut at 60 characters."""
    text = repr(str(value)) if isinstance(value, str) else _yaml_like(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004


def _yaml_like(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else str(value)


@functools.cache
def _fields(struct: type[msgspec.Struct]) -> dict[str, tuple[str, Any, bool]]:
    """Key of the document -> attribute, type hint, whether it must be given."""
    hints = typing.get_type_hints(struct, include_extras=True)
    return {f.encode_name: (f.name, hints[f.name], f.required) for f in msgspec.structs.fields(struct)}


def to_struct(struct: type[msgspec.Struct], value: Any, path: KeyPath, findings: ConfigFindings) -> Any:
    """An instance of `struct` from a mapping, or INVALID when it is none or lacks a valid required key."""
    if not isinstance(value, dict):
        if glued := _glued(value, _fields(struct)):
            return findings.add("SL104.glued", path, value=shown(value), written=glued)
        return findings.add("SL104.section", path, value=shown(value), keys=", ".join(_fields(struct)))
    fields = _fields(struct)
    given: dict[str, Any] = {}
    for key, item in value.items():
        if key in fields:
            attribute, hint, _ = fields[key]
            if item is None and _is_section(hint):
                continue  # `alerts:` with every line below it commented out
            given[attribute] = to_type(hint, item, (*path, key), findings)
        else:
            _unknown(str(key), fields, (*path, key), findings)
    missing = [key for key, (attribute, _, required) in fields.items() if required and attribute not in given]
    for key in missing:
        findings.add("SL105", path, key=key)
    if missing or any(given.get(attribute) is INVALID for attribute, _, required in fields.values() if required):
        return INVALID
    return struct(**{name: item for name, item in given.items() if item is not INVALID})


def _unknown(key: str, fields: typing.Collection[str], path: KeyPath, findings: ConfigFindings) -> None:
    """Report a key that is none, with the slip that made it where that can be seen."""
    if glued := _glued(key, fields):
        findings.add("SL103.glued", path, key=key, written=glued)
    elif odd := next((one for one in key if one.isspace() and not one.isascii()), None):
        findings.add("SL103.blank", path, key=key, blank=f"U+{ord(odd):04X}")
    else:
        findings.add("SL103.key", path, key=key, near=close_to(key, fields), keys=", ".join(fields))


def _glued(value: Any, fields: typing.Container[str] | None = None) -> str:
    """`name: shop` for the text `name:shop`, which YAML takes for a text; empty for any other value.

    Args:
        value: what the document has.
        fields: the keys that may stand there; None: any.
    """
    found = re.match(r"([A-Za-z_][\w.-]*):(?!//)(\S+)", value) if isinstance(value, str) else None
    return f"{found[1]}: {found[2]}" if found and (fields is None or found[1] in fields) else ""


def _is_section(hint: Any) -> bool:
    return typing.get_origin(hint) in (list, dict) or (isinstance(hint, type) and issubclass(hint, msgspec.Struct))


def to_type(hint: Any, value: Any, path: KeyPath, findings: ConfigFindings) -> Any:
    """`value` as the type hint wants it, or INVALID."""
    origin = typing.get_origin(hint)
    if origin is not None:
        return _COMPOSED[origin](typing.get_args(hint), value, path, findings)
    if hint in _SCALARS:
        return _SCALARS[hint](value, path, findings)
    return to_struct(hint, value, path, findings)


def _union(members: tuple[Any, ...], value: Any, path: KeyPath, findings: ConfigFindings) -> Any:
    if value is None and type(None) in members:
        return None
    rest = [member for member in members if member is not type(None)]
    if Secret in rest[:1] and len(rest) > 1:  # where the text is alone, or a mapping that has it among other keys
        has_more = isinstance(value, dict) and not _fields(rest[1]).keys().isdisjoint(value)
        rest = rest[1:] if has_more else rest[:1]
    elif len(rest) > 1:  # words, or a mapping with more to say
        rest = [member for member in rest if (typing.get_origin(member) is Literal) != isinstance(value, dict | list)]
    return to_type(rest[0], value, path, findings)


def _annotated(arguments: tuple[Any, ...], value: Any, path: KeyPath, findings: ConfigFindings) -> Any:
    plain, *marks = arguments
    unit = next((mark for mark in marks if isinstance(mark, str)), "")
    bounds = next((mark for mark in marks if isinstance(mark, Within)), None)
    if unit == "threshold":
        return _threshold(value, path, findings)
    if unit in ("patterns", "addresses"):
        return _one_or_more(plain, value, path, findings)
    if unit == "priority":  # a name, or its number
        return _text(str(value) if type(value) is int else value, path, findings)
    if unit and unit not in _UNITS:
        return _located(unit, value, path, findings)
    number = _quantity(unit, value, path, findings) if unit else to_type(plain, value, path, findings)
    if bounds is None or number is INVALID or bounds.low <= number <= bounds.high:
        return number
    value, low, high = (_spelled(unit, one) for one in (number, bounds.low, bounds.high))
    return findings.add("SL104.range", path, value=value, low=low, high=high)


def _spelled(unit: str, value: float) -> str:
    if unit == "duration":
        return units.format_duration(value)
    return units.format_size(int(value)) if unit == "size" else f"{value:g}"


def _quantity(unit: str, value: Any, path: KeyPath, findings: ConfigFindings) -> Any:
    try:
        number = _UNITS[unit](value if isinstance(value, str) else shown(value))
    except ValueError as error:
        return findings.add(f"SL104.{unit}", path, value=shown(value), problem=error)
    if number >= 2**63 and unit == "size":
        return findings.add("SL104.size", path, value=shown(value), problem="is larger than any disk")
    return number


def _threshold(value: Any, path: KeyPath, findings: ConfigFindings) -> Any:
    """A number as it is; a text in any of the units of `when`. Whether it fits the form is checked with the rule."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MAX_INTEGER:
        return float(value)
    for parse in (float, units.parse_share, units.parse_factor, units.parse_rate):
        try:
            number = parse(value if isinstance(value, str) else "")
        except ValueError:
            continue
        if 0 <= number < _MAX_INTEGER:
            return number
    return findings.add("SL104.threshold", path, value=shown(value))


def _located(unit: str, value: Any, path: KeyPath, findings: ConfigFindings) -> Any:
    """A glob or a program as an absolute path, unless it is a bare name (`*.tmp`, `notify-send`). Of a program's
    arguments only those that begin with `./` or `../` are meant as paths for certain.
    """
    text = _text(value, path, findings)
    if text is INVALID:
        return text
    if unit == "program" and path[-1] != 0:
        return str(_absolute(text, path, findings)) if text.startswith(("./", "../")) else text
    if not text:
        return findings.add("SL104.glob", path)
    is_path = "/" in text or text.startswith("~") or path[-2] == "include"
    if path[-2] == "exclude" and text.startswith("*"):
        is_path = False  # `*/old/*`: anywhere
    return str(_absolute(text, path, findings)) if is_path else text


def _one_or_more(plain: Any, value: Any, path: KeyPath, findings: ConfigFindings) -> Any:
    """A list of them, of which one alone may stand without brackets."""
    if not isinstance(value, list):
        found = to_type(typing.get_args(plain)[0], value, path, findings)
        return found if found is INVALID else [found]
    return to_type(plain, value, path, findings)


def _absolute(text: Any, path: KeyPath, findings: ConfigFindings) -> Path:
    base = findings.merged.place(path).layer.base
    return Path(os.path.normpath(base / os.path.expanduser(text)))  # noqa: PTH111 - Path.expanduser raises


def _choice(words: tuple[Any, ...], value: Any, path: KeyPath, findings: ConfigFindings) -> Any:
    if isinstance(value, str) and value in words:
        return str(value)
    if path[-1] == "format" and isinstance(value, str) and _is_named_pattern(value):
        return findings.add("SL104.named", path, value=shown(value), name=value)
    near = close_to(value, words) if isinstance(value, str) else ""
    return findings.add("SL104.choice", path, value=shown(value), words=", ".join(words), near=near)


def _is_named_pattern(name: str) -> bool:
    from agent.core.named_patterns import NAMED  # noqa: PLC0415 - only a mistake pays for it

    return name in NAMED


def _list(arguments: tuple[Any, ...], value: Any, path: KeyPath, findings: ConfigFindings) -> Any:
    if not isinstance(value, list):
        first = str(next(iter(value), "")) if isinstance(value, dict) else value
        if isinstance(first, str) and first.startswith("-"):
            return findings.add("SL104.dash", path, key=first, written=f"- {first.lstrip('-')}")
        if isinstance(value, dict) and value:
            return findings.add("SL104.elements", path, key=first)
        example = f"[{value}]" if isinstance(value, str) else "[a, b]"
        return findings.add("SL104.list", path, value=shown(value), example=example)
    items = [to_type(arguments[0], item, (*path, index), findings) for index, item in enumerate(value)]
    return [item for item in items if item is not INVALID]


def _mapping(arguments: tuple[Any, ...], value: Any, path: KeyPath, findings: ConfigFindings) -> Any:
    if not isinstance(value, dict):
        if glued := _glued(value):
            return findings.add("SL104.glued", path, value=shown(value), written=glued)
        return findings.add("SL104.mapping", path, value=shown(value))
    items = {key: to_type(arguments[1], item, (*path, key), findings) for key, item in value.items()}
    return {key: item for key, item in items.items() if item is not INVALID}


def _secret(value: Any, path: KeyPath, findings: ConfigFindings) -> Any:
    """The value itself is never part of a message."""
    place = str(findings.merged.place(path))
    if isinstance(value, str) and value:
        return Secret(literal=str(value), place=place)
    if isinstance(value, dict) and len(value) == 1:
        (kind, name), *_ = value.items()
        if kind == "env" and isinstance(name, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            return Secret(env=str(name), place=place)
        if kind == "file" and isinstance(name, str) and name:
            return Secret(file=_absolute(name, (*path, kind), findings), place=place)
    return findings.add("SL104.secret", path)


def _text(value: Any, path: KeyPath, findings: ConfigFindings) -> Any:
    if value is None:
        return findings.add("SL104.nothing", path)
    if isinstance(value, dict | list):  # in quotes it would be no better
        return findings.add("SL104.textless", path, value=shown(value))
    if not isinstance(value, str):
        return findings.add("SL104.text", path, value=shown(value))
    if "\0" in value:
        return findings.add("SL104", path, problem="holds a NUL character")
    return str(value)


def _integer(value: Any, path: KeyPath, findings: ConfigFindings) -> Any:
    if isinstance(value, PlainScalar) and re.fullmatch(r"-?\d{1,18}", value, re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not abs(value) < _MAX_INTEGER:
        return findings.add("SL104.number", path, value=shown(value))
    return value


def _truth(value: Any, path: KeyPath, findings: ConfigFindings) -> Any:
    if isinstance(value, str):
        value = _TRUTHS.get(value.lower(), value)
    if not isinstance(value, bool):
        return findings.add("SL104.truth", path, value=shown(value))
    return value


def _path(value: Any, path: KeyPath, findings: ConfigFindings) -> Any:
    text = _text(value, path, findings)
    if text == "":
        return findings.add("SL104", path, problem="is an empty path")
    return text if text is INVALID else _absolute(text, path, findings)


_COMPOSED: dict[Any, typing.Callable[[tuple[Any, ...], Any, KeyPath, ConfigFindings], Any]] = {
    typing.Union: _union,
    types.UnionType: _union,
    Annotated: _annotated,
    Literal: _choice,
    list: _list,
    dict: _mapping,
}
_SCALARS: dict[Any, typing.Callable[[Any, KeyPath, ConfigFindings], Any]] = {
    str: _text,
    int: _integer,
    bool: _truth,
    Path: _path,
    Secret: _secret,
}
