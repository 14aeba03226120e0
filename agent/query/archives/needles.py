"""What must stand in the bytes of a frame that holds a match: for skipping frames and lines before they are parsed.

Nothing here may deny a match; it may let others through. What a search text is compared with is the event's record:
of a JSON line the line itself, with escapes decoded, of a text line an object that is made of it. So a text is looked
for in the bytes only where neither an escape nor that making can have hidden it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agent.archive import tokens
from agent.archive.frames import CHANGED, ESCAPED, INVALID, JSON_LINES, WRAPPED
from agent.archive.simd import find, lower
from agent.core.values import lookup, number
from agent.parse.redact import REPLACEMENT
from agent.query.predicate import BUILT_IN, is_exact_case

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.archive.tokens import TokenProbe
    from agent.query.events import FileInfo
    from agent.query.language import Query, Term

# What the record of a text line has that its bytes may not have.
_MADE = (
    '{"timestamp":"","level":"","logger":"","message":"","exception.type":"","exception.message":"",'
    '"exception.stacktrace":"","log.iostream":"stdout stderr"} trace debug info warn warning error fatal critical'
)
_SHORTEST = 4  # what is shorter may be a part of an escape that stands for an invalid byte
_NOT_IN_TEXT = frozenset('"\\/{}[]:,')  # of JSON itself, or escaped by some
_NOT_IN_JSON = frozenset('"\\/')
_NOT_SEARCHED = ("severity", "source", "path", "group", "category")
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
    known = list(files)
    found = [_needle(condition[0], known) for condition in query.conditions if len(condition) == 1]
    return sorted(filter(None, found), key=lambda needle: -len(needle.bytes))


def _needle(term: Term, files: list[FileInfo]) -> Needle | None:
    text = term.value
    if not _is_looked_for(term) or not text.isprintable() or _NOT_IN_JSON & set(text):
        return None
    rewritten = bool(_REWRITTEN & set(text)) or set(text) <= _OF_NUMBERS or text.casefold() in REPLACEMENT
    if term.field is not None:
        if not _own(term, files):
            return None
        return Needle(text.encode(), folded=False, wide=not text.isascii(), in_text=False, rewritten=rewritten)
    folded = not is_exact_case(text)
    if folded and not text.isascii():
        return None
    made = text.casefold() in _MADE or len(text) < _SHORTEST or bool(_NOT_IN_TEXT & set(text))
    return Needle(text.encode(), folded=folded, wide=not text.isascii(), in_text=not made, rewritten=rewritten)


def _is_looked_for(term: Term) -> bool:
    if term.negated or not term.value:
        return False
    if any(0xD800 <= ord(character) <= 0xDFFF for character in term.value):  # noqa: PLR2004 - a surrogate is no text
        return False
    return term.field is None or term.operator == "="


def _own(term: Term, files: list[FileInfo]) -> bool:
    """Whether the value of a field can only come out of the line, as a string."""
    field, value = term.field or "", term.value
    if field == "message":  # it may be made of a template and the values of other fields
        return False
    if field in _NOT_SEARCHED or field in BUILT_IN or number(value) is not None:
        return False
    if value in ("true", "false", "null") or value[0] in "[{":
        return False
    path = ("service", "name") if field == "service" else tuple(field.split("."))
    return not any(lookup(file.resource, path) or lookup(file.resource, (".".join(path),)) for file in files)


def token_probes(query: Query, files: Iterable[FileInfo]) -> list[list[list[TokenProbe]]]:
    """Per condition its alternatives, each with the tokens that a match of it holds.

    A condition one of whose alternatives says nothing is left out.
    """
    known = list(files)
    found = []
    for condition in query.conditions:
        alternatives = [_probes(term, known) for term in condition]
        if all(alternatives):
            found.append(alternatives)
    return found


def _probes(term: Term, files: list[FileInfo]) -> list[TokenProbe]:
    if not _is_looked_for(term) or not (term.value.isascii() or is_exact_case(term.value)):
        return []
    if term.field is None:
        return tokens.probes(term.value, whole=False)
    if not _own(term, files):
        return []
    return tokens.probes(term.value, whole=True)


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
