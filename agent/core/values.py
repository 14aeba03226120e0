"""Values inside a decoded record: looking them up by dotted path, and reading numbers exactly."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

from agent.core.patterns import lazy

Number = int | Decimal

_NUMBER = lazy(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,6})?", re.ASCII)  # as JSON has it
_INDEX_DIGITS = 10  # no list is longer
_INT_DIGITS = 4_000  # Python refuses to convert more than 4,300 digits; Decimal takes them


def lookup(record: Any, parts: tuple[str, ...]) -> list[Any]:
    """All values at a dotted path, given as its parts.

    A literal dotted key counts before nesting. In a list a number is an index; any other part, and the path's end,
    stands for every element.
    """
    found: list[Any] = []
    _collect(record, parts, found)
    return found


def _collect(value: Any, parts: tuple[str, ...], found: list[Any]) -> None:
    if not parts:
        found.extend(value) if type(value) is list else found.append(value)
    elif type(value) is dict:
        for length in range(len(parts), 0, -1):
            key = ".".join(parts[:length])
            before = len(found)
            if key in value:
                _collect(value[key], parts[length:], found)
            if len(found) > before:
                return
    elif type(value) is list:
        index = _index(parts[0])
        if index is not None:
            for element in value[index : index + 1]:
                _collect(element, parts[1:], found)
        else:
            for element in value:
                _collect(element, parts, found)


def _index(part: str) -> int | None:
    return int(part) if part.isascii() and part.isdigit() and len(part) < _INDEX_DIGITS else None


def pick(record: Any, parts: tuple[str, ...]) -> tuple[bool, Any]:
    """(there is one, the value) at a dotted path, for printing: a list stays a list."""
    if not parts:
        return True, record
    if type(record) is dict:
        for length in range(len(parts), 0, -1):
            key = ".".join(parts[:length])
            if key in record:
                there, value = pick(record[key], parts[length:])
                if there:
                    return True, value
    elif type(record) is list:
        index = _index(parts[0])
        if index is not None:
            return pick(record[index], parts[1:]) if index < len(record) else (False, None)
        found = [value for there, value in (pick(element, parts) for element in record) if there]
        return bool(found), found
    return False, None


def whole_number(text: str, most: int = 2**63 - 1) -> int | None:
    """The number from 0 to `most` that a text of digits is; None where it is none."""
    if not (text.isascii() and text.isdigit() and len(text) < _INT_DIGITS):  # `²` is a digit, too
        return None
    found = int(text)
    return found if found <= most else None


def number(text: str) -> Number | None:
    """The number that a text is, exactly; None where it is none."""
    if _NUMBER.fullmatch(text) is None:
        return None
    if len(text) < _INT_DIGITS and text.lstrip("-").isdigit():
        return int(text)
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def exact(value: float) -> Number:
    """A number out of JSON for comparing: a float as the shortest decimal that it reads back from."""
    return Decimal(repr(value)) if type(value) is float else int(value)


def text_of(value: Any) -> str | None:
    """How a scalar compares as text; None for an object or a list."""
    if type(value) is str:
        return value
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if type(value) in (dict, list):
        return None
    return repr(value)
