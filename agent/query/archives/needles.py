"""What must stand in the bytes of a frame that holds a match: for skipping frames and lines before they are parsed.

As the analysis of a query, nothing here denies a match; it may let others through. A text that an event's record must
hold is looked for in the bytes only where neither an escape nor the making of the record can have hidden it: the record
of a JSON line is the line itself, mostly, that of a text line an object that is made of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from agent.archive import tokens
from agent.archive.cutter import CHANGED, ESCAPED, INVALID, JSON_LINES, WRAPPED
from agent.archive.simd import find, lower
from agent.parse.redact import REPLACEMENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.archive.tokens import Probe
    from agent.query.analysis import RequiredText
    from agent.query.events import FileInfo
    from agent.query.language import Query

# What the record of a text line has that its bytes may not have.
_MADE = (
    '{"timestamp":"","level":"","logger":"","message":"","exception.type":"","exception.message":"",'
    '"exception.stacktrace":"","log.iostream":"stdout stderr"} trace debug info warn warning error fatal critical'
)
_SHORTEST = 4  # what is shorter may be a part of an escape that stands for an invalid byte
_NOT_IN_TEXT = frozenset('"\\/{}[]:,')  # of JSON itself, or escaped by some
_NOT_IN_JSON = frozenset('"\\/')
_ESCAPED_WIDE = b"\\u"
# What a record that is written anew may have and its line not: blanks are left out and numbers have one form.
_REWRITTEN = frozenset("{}[]:,")
_OF_NUMBERS = frozenset("0123456789.eE+-")


class Needle(msgspec.Struct, frozen=True):
    """Bytes that a matching line holds. `folded`: they are lower case, and so is what they are looked for in."""

    bytes: bytes
    folded: bool
    wide: bool  # other than ASCII, so that any escape may hide it
    in_text: bool  # also a text line that matches holds it
    rewritten: bool = False  # a line whose record is written anew may not hold it


def needles(query: Query, files: Iterable[FileInfo]) -> list[Needle]:
    """What every match holds, the longest first."""
    resources = [file.resource for file in files]
    alone = [condition.required[0] for condition in query.analysis.conditions if len(condition.required) == 1]
    found = [_needle(required) for required in alone if _stands_in_lines(required, resources)]
    return sorted(filter(None, found), key=lambda needle: -len(needle.bytes))


def _needle(required: RequiredText) -> Needle | None:
    text = required.text
    if not text.isprintable() or _NOT_IN_JSON & set(text):
        return None
    made = required.is_value or text.casefold() in _MADE or len(text) < _SHORTEST or bool(_NOT_IN_TEXT & set(text))
    return Needle(
        text.encode(),
        folded=required.folded,
        wide=not text.isascii(),
        in_text=not made,
        rewritten=bool(_REWRITTEN & set(text)) or set(text) <= _OF_NUMBERS or text.casefold() in REPLACEMENT,
    )


def _stands_in_lines(required: RequiredText, resources: list[dict[str, Any]]) -> bool:
    """Whether a text that the record must hold can only come out of the line: not out of a label or a template, nor
    out of what stands for something else (`null` for a NaN). Keys are not looked for: blanks may follow them.
    """
    if required.is_value:
        elsewhere = required.composed or required.text in ("true", "false", "null")
        return not elsewhere and not any(map(required.is_labelled, resources))
    return not required.is_key


def token_probes(query: Query, files: Iterable[FileInfo]) -> list[list[list[Probe]]]:
    """Per condition its alternatives, each with the tokens that a match of it holds.

    A condition one of whose alternatives says nothing is left out.
    """
    resources = [file.resource for file in files]
    found = []
    for condition in query.analysis.conditions:
        alternatives = [_probes(required, resources) for required in condition.required]
        if alternatives and all(alternatives):
            found.append(alternatives)
    return found


def _probes(required: RequiredText, resources: list[dict[str, Any]]) -> list[Probe]:
    return tokens.probes(required.text, whole=required.is_value) if _stands_in_lines(required, resources) else []


def may_match(data: bytes, wanted: list[Needle], shape: int) -> bool:
    """Whether a frame can hold a match.

    Args:
        data: its content.
        wanted: what every match holds.
        shape: of the frame (`shape.shape_of`).
    """
    lowered: bytes | None = None
    for needle in wanted:
        if not usable(data, needle, shape):
            continue
        if needle.folded:
            lowered = lower(data) if lowered is None else lowered
        if find(lowered if needle.folded and lowered is not None else data, needle.bytes) < 0:
            return False
    return True


def usable(data: bytes, needle: Needle, shape: int) -> bool:
    """Whether a match in this frame would surely show the needle's bytes."""
    if shape & WRAPPED or (not needle.wide and shape & ESCAPED) or (needle.rewritten and shape & CHANGED):
        return False
    if not shape & JSON_LINES and (not needle.in_text or (not needle.wide and shape & INVALID)):
        return False
    return not needle.wide or _ESCAPED_WIDE not in data


def matching_lines(data: bytes, needle: Needle) -> list[tuple[int, int]]:
    """Begin and end of the lines that hold the needle; each with its newline."""
    searched = lower(data) if needle.folded else data
    found, place = [], find(searched, needle.bytes)
    while place >= 0:
        start = data.rfind(b"\n", 0, place) + 1
        end = data.find(b"\n", place) + 1 or len(data)
        found.append((start, end))
        place = find(searched, needle.bytes, end)
    return found
