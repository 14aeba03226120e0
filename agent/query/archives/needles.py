"""What must stand in the bytes of a frame that holds a match: for skipping frames and lines before they are parsed.

As the analysis of a query, nothing here denies a match; it may let others through. A text that an event's record must
hold is looked for in the bytes only where neither an escape nor the making of the record can have hidden it: the record
of a JSON line is the line itself, mostly, that of a text line an object that is made of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from agent.archive import tokens
from agent.archive.frames import CHANGED, ESCAPED, INVALID, JSON_LINES, WRAPPED
from agent.archive.tokens import as_read
from agent.core.event import REDACTED
from agent.core.patterns import lazy
from agent.core.simd import find, lower

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.archive.tokens import TokenProbe
    from agent.core.stored import FileInfo
    from agent.query.analysis import Condition, RequiredText
    from agent.query.language import Query

# What the record of a text line has that its bytes may not have.
_MADE = (
    '{"timestamp":"","level":"","logger":"","message":"","exception.type":"","exception.message":"",'
    '"exception.stacktrace":"","log.iostream":"stdout stderr"} trace debug info warn warning error fatal critical'
    # of access logs
    " client.address client.ident user.name server.address server.port url.full url.path url.query user_agent.original"
    " http.request.method http.response.status_code http.response.body.size network.protocol.version"
    " http.request.header.referer http.request.header.x-forwarded-for"
    " http.server.request.duration http.client.request.duration"
    # of syslog and logfmt
    " host.name process.pid system.uptime service_time syslog.facility syslog.msgid syslog.procid"
    " syslog.structured_data"
    " kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp audit alert clock"
    " local0 local1 local2 local3 local4 local5 local6 local7 true"
    # of the heads of other lines
    " thread.id thread.name code.file.path code.line.number client.port db.namespace db.response.status_code"
    " elasticsearch.node.name container.name faas.invocation_id service trace_id span_id"
    # of objects in text, and of those that are made of other ones
    " log.prefix embedded logrecords"
)
# Part of a number that a format has made of another one, as 0.012 of `12ms`: the digits of a line stay together, but a
# point, a nought before them and an exponent may be new.
_MADE_NUMBER = lazy(r"\d{0,2}|0\d*|\d*\.\d*|\d*\.?\d*e-?\d*")
_NOT_IN_TEXT = frozenset('"\\/{}[]:,')  # of JSON itself, or escaped by some
_NOT_IN_JSON = frozenset('"\\/')
_ESCAPED_WIDE = b"\\u"
# What a record that is written anew may have and its line not: blanks are left out and numbers have one form.
_REWRITTEN = frozenset("{}[]:,")
_OF_NUMBERS = frozenset("0123456789.eE+-")
_OF_OTHERS = (b"{", b"}", b"[", b"]", b",", b" ", b"\t", b"\r", b"\n", b"\v", b"\f", b"\0", b"\x1e", b"\xef")
_BEGIN_OTHERS = tuple(b"\n" + first for first in _OF_OTHERS)
# How a text may begin in the middle of `\xff`, which stands in a record for a byte that is no UTF-8.
_IN_ESCAPE = lazy("x(?:$|[0-9a-f](?:$|[0-9a-f]))|[0-9a-f]")


class Needle(msgspec.Struct, frozen=True):
    """Bytes that a matching line holds. `folded`: they are lower case, and so is what they are looked for in."""

    bytes: bytes
    folded: bool
    wide: bool  # other than ASCII, so that any escape may hide it
    in_text: bool  # also a text line that matches holds it
    hidden_in: int  # shapes of frames in which a line that matches may not hold it


class RequiredTokens(NamedTuple):
    """Tokens that a match holds, but in frames of the shapes `hidden_in`."""

    probes: list[TokenProbe]
    hidden_in: int


def needles(query: Query, files: Iterable[FileInfo], made: str = "") -> list[Needle]:
    """What every match holds, the longest first. The arguments are those of `token_probes`."""
    resources = [file.resource for file in files]
    alone = [condition.required[0] for condition in query.analysis.conditions if len(condition.required) == 1]
    found = [
        _needle(one, made) for required in alone if _stands_in_lines(required, resources) for one in _parts(required)
    ]
    return sorted(filter(None, found), key=lambda needle: -len(needle.bytes))


def _parts(required: RequiredText) -> list[RequiredText]:
    """A text, and where it has blanks its longest word too: a message may be made of words that lie apart in a line, as
    that of an access log.
    """
    if required.is_value or " " not in required.text:
        return [required]
    word = msgspec.structs.replace(required, text=max(required.text.split(" "), key=len))
    return [required, word] if word.text else [required]


def _needle(required: RequiredText, made_names: str) -> Needle | None:
    text = required.text
    if not text.isprintable() or _NOT_IN_JSON & set(text):
        return None
    made = required.is_value or _is_made(text, made_names) or bool(_NOT_IN_TEXT & set(text)) or " " in text
    made = made or _MADE_NUMBER.fullmatch(text) is not None
    return Needle(
        text.encode(),
        folded=required.folded,
        wide=not text.isascii(),
        in_text=not made,
        hidden_in=_hidden_in(required),
    )


def _is_made(text: str, made_names: str) -> bool:
    """Whether it may stand in the record of a text line by itself."""
    folded = text.casefold()
    return folded in _MADE or folded in made_names


def _hidden_in(required: RequiredText) -> int:
    """The shapes of frames in which a record may hold a text that its line does not hold in the same letters."""
    text = required.text
    found = WRAPPED
    if text.isascii():  # what hides another text is looked for in the frame itself
        found |= ESCAPED
    if _REWRITTEN & set(text) or set(text) <= _OF_NUMBERS or text.casefold() in REDACTED:
        found |= CHANGED
    if "\\" in text or (not required.is_value and _IN_ESCAPE.match(text)):
        found |= INVALID
    return found


def _stands_in_lines(required: RequiredText, resources: list[dict[str, Any]]) -> bool:
    """Whether a text that the record must hold can only come out of the line: not out of a label or a template, nor
    out of what stands for something else (`null` for a NaN). Keys are not looked for: blanks may follow them.
    """
    if required.is_value:
        elsewhere = required.composed or _is_literal(required)
        return not elsewhere and not any(map(required.is_labelled, resources))
    return not required.is_key and not required.is_part


def _is_literal(required: RequiredText) -> bool:
    """Whether it is a word of JSON, as which another value of a line may stand in its record."""
    words = ("true", "false", "null")
    return required.text in words or (required.is_prefix and any(word.startswith(required.text) for word in words))


def token_probes(query: Query, files: Iterable[FileInfo], made: str = "") -> list[list[RequiredTokens]]:
    """Per condition its alternatives, each with the tokens that a match of it holds.

    A condition one of whose alternatives says nothing is left out.

    Args:
        query: what is asked for.
        files: that are searched.
        made: the names, in small letters, that their sources' own patterns give to parts of lines.
    """
    resources = [file.resource for file in files]
    return [found for one in query.analysis.conditions if (found := _token_alternatives(one, resources, made))]


def _token_alternatives(condition: Condition, resources: list[dict[str, Any]], made: str) -> list[RequiredTokens]:
    """Empty where one of them says nothing. Of several conditions of a branch one is looked for."""
    if condition.branches:
        of_branches = [
            min(
                filter(None, (_token_alternatives(one, resources, made) for one in branch.conditions)),
                key=len,
                default=None,
            )
            for branch in condition.branches
        ]
        return [] if None in of_branches else [one for several in of_branches for one in several or ()]
    found = [
        RequiredTokens(tokens.probes(one.text, whole=one.is_value and not one.is_prefix), _hidden_in(one))
        for one in condition.required
        if _stands_in_lines(one, resources) and (one.is_value or not _is_made(one.text, made))
    ]
    complete = len(found) == len(condition.values) and all(one.probes for one in found)
    return found if complete else []


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
            plain = b"" if shape & JSON_LINES else as_read(data)
            if not plain or find(lower(plain) if needle.folded else plain, needle.bytes) < 0:
                return False
    return True


def usable(data: bytes, needle: Needle, shape: int) -> bool:
    """Whether a match in this frame would surely show the needle's bytes."""
    if shape & needle.hidden_in or not (needle.in_text or shape & JSON_LINES):
        return False
    return not needle.wide or _ESCAPED_WIDE not in data


def are_lone(data: bytes) -> bool:
    """Whether each line of a frame of text that has as many events is one of them whatever stands beside it: none
    begins as an object, or a part of one, may. And formats see all bytes.
    """
    return data[:1] not in _OF_OTHERS and not any(find(data, one) >= 0 for one in _BEGIN_OTHERS) and not as_read(data)


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
