"""One JSON object over several lines: pretty-printed, with a stack trace as an array (Elasticsearch 7), as an element
of an array whose brackets and commas stand around it, or behind a record separator (RFC 7464).

Lines are held while they can be the beginning of one object. As soon as they cannot, each of them is what it would be
alone; so are they where an object is longer than an event may be. A bracket or comma alone in its line, between
objects, is counted as a blank line.
"""

from __future__ import annotations

import re
from copy import deepcopy
from typing import TYPE_CHECKING, NamedTuple, Protocol

from agent.core.patterns import lazy
from agent.parse import careful
from agent.parse.multiline import MAX_LINES

if TYPE_CHECKING:
    from agent.parse.settings import Compiled

_AROUND = b" \t\r\n\x1e,[]"  # what may stand around an object
_OPENING, _CLOSING = b"[", b"],"
_BEGINS = frozenset(b"{[,]\x1e")
# One token of JSON; what it may not follow is judged by `Scan`. A string cannot go on in the next line.
_TOKEN = lazy(
    rb'[ \t\r\n]*+(?:([{}\[\],:])|("[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+")'
    rb"|-?[0-9][0-9.eE+-]*+|true|false|null)"
)
_BEGIN_OBJECT = lazy(rb"^[ \t\x1e,\[]*(?:\{|\[[ \t\r]*$)", re.MULTILINE)
_BLANK = b" \t\r\n"
_BEHIND = frozenset({b"", b",", b"]", b"],"})  # the object, in its last line
_VALUE, _VALUE_OR_END, _KEY, _KEY_OR_END, _COLON, _AFTER = range(6)
_VALUES, _KEYS = (_VALUE, _VALUE_OR_END), (_KEY, _KEY_OR_END)


def may_begin(line: bytes) -> bool:
    """Whether a line that begins with a bracket or a comma may be part of an array of objects; a cheap look."""
    return line[1:2] == b"{" or not line[1:].strip()


def has_parts(lines: bytes) -> bool:
    """Whether some of the lines may be those of one object: one begins as an object, and one does not end as one."""
    ends = lines.count(b"}\n") + lines.count(b"}\r\n")
    return ends < lines.count(b"\n") and _BEGIN_OBJECT.search(lines) is not None


class Scan:
    """Whether lines are the beginning of one JSON object, as far as brackets, commas and keys say; linear."""

    def __init__(self) -> None:
        self._open = bytearray()
        self._expected = _VALUE
        self.done = False

    def add(self, text: bytes) -> bool:
        """Go on with a line; False where it cannot belong to the object. `done` is whether the object has ended."""
        at = 0
        while not self.done:
            token = _TOKEN.match(text, at)
            if token is None:
                return not text[at:].strip(_BLANK)
            if not self._take(token[1], is_text=token[2] is not None):
                return False
            at = token.end()
        return text[at:].strip(_BLANK) in _BEHIND

    def _take(self, mark: bytes | None, *, is_text: bool) -> bool:
        """Whether a token may follow; what may follow it then."""
        expected = self._expected
        if mark is None:
            is_key = is_text and expected in _KEYS
            self._expected = _COLON if is_key else _AFTER
            return is_key or (expected in _VALUES and bool(self._open))
        if mark in b"{[":
            is_right = expected in _VALUES and bool(self._open or mark == b"{") and len(self._open) < careful.MAX_DEPTH
            self._open += mark
            self._expected = _KEY_OR_END if mark == b"{" else _VALUE_OR_END
        elif mark in b"}]":
            is_right = expected in (_AFTER, _KEY_OR_END if mark == b"}" else _VALUE_OR_END) and (
                self._open.endswith(b"{" if mark == b"}" else b"[")
            )
            del self._open[-1:]
            self._expected = _AFTER
            self.done = not self._open
        elif mark == b":":
            is_right = expected == _COLON
            self._expected = _VALUE
        else:
            is_right = expected == _AFTER
            self._expected = _KEY if self._open.endswith(b"{") else _VALUE
        return is_right


class Line(NamedTuple):
    """What an application wrote as a line."""

    raw: bytes  # as it lies in the file
    plain: bytes  # without what a container runtime puts around it, carriage return and byte order mark
    offset: int
    size: int
    extra: dict[str, str] | None  # what a container runtime says of it
    woven: bool = False  # it was split, and lines of the other stream lie between its parts


class LineRows(Protocol):
    """What is done with lines: `assemble.Assembler` makes rows of them."""

    # ruff: noqa: D102 - described there
    compiled: Compiled
    redacted: bool  # whether values are replaced in the log, or were

    @property
    def after_object(self) -> bool:
        """Whether the last line was, or may have been, a JSON object."""
        ...

    def line_alone(self, line: Line, *, may_begin: bool) -> None: ...
    def object(self, found: careful.JsonLine, line: Line, *, hidden: bool) -> None: ...
    def blank(self, line: bytes, offset: int, size: int) -> None: ...


class OpenObject:
    """The lines of an object that has begun; false where there are none. Whose lines they are comes with each call:
    kept here, the two would hold each other, and with them a chunk of lines until a garbage collection.

    Args:
        compiled: the settings.

    Attributes:
        lines: what is held.
    """

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._enabled = compiled.rules.json
        self.lines: list[Line] = []
        self._scan = Scan()
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self.lines)

    def copied(self) -> OpenObject:
        """The same, which may go on by itself."""
        other = OpenObject(self._compiled)
        other.lines, other._scan, other._size = [*self.lines], deepcopy(self._scan), self._size
        return other

    @property
    def held_bytes(self) -> int:
        """The size of the lines that are held."""
        return sum(line.size for line in self.lines)

    @property
    def offset(self) -> int:
        """Where the first line that is held begins."""
        return self.lines[0].offset

    def is_whole(self, work: LineRows, line: Line) -> bool:
        """Take a line that is one object with commas, brackets or a record separator beside it. Like an object alone it
        belongs to nothing before it.
        """
        plain = line.plain
        has_more = plain.strip(_BLANK) != plain.strip(_AROUND)
        return has_more and self._may_begin(work, line) and self._takes(work, line, in_array=False)

    def begins(self, work: LineRows, line: Line, *, in_array: bool = False) -> bool:
        """Take a line that belongs to nothing before it and is no object by itself, if it can be the beginning of one,
        or one with a comma or bracket beside it.
        """
        if not self._may_begin(work, line):
            return False
        bare = line.plain.strip()
        if len(bare) == 1 and bare != b"{":
            if line.extra is not None or line.raw.strip() != bare:
                return False
            if bare in _CLOSING and work.after_object:
                work.blank(line.raw, line.offset, line.size)
                return True
            return bare == _OPENING and self._hold(line, b"")
        return self._takes(work, line, in_array=in_array) or (
            self._stands_in_array(work, line, in_array=in_array)
            and line.plain.strip(_AROUND)[:1] == b"{"
            and self._hold(line, line.plain.lstrip(_AROUND))
        )

    def goes_on(self, work: LineRows, line: Line) -> bool:
        """Whether a line belongs to the object; where it does not, what is held is released first."""
        first = self.lines[0]
        if (
            (first.extra or {}).get("stream") != (line.extra or {}).get("stream")
            or len(self.lines) >= MAX_LINES
            or self._size + len(line.plain) + 1 > self._compiled.max_line
        ):
            self.release(work)
            return False
        if first.plain.strip() == _OPENING:  # nothing of the object was seen yet
            return self._after_bracket(work, line)
        text = line.plain
        if self._scan.add(text):
            self.lines.append(line)
            self._size += len(text) + 1
            if not self._scan.done:
                return True
            lines, self.lines = self.lines, []
            if self._whole(work, b"\n".join([one.plain for one in lines]).strip(_AROUND), lines):
                return True
            self.lines = lines[:-1]
        self.release(work)
        return False

    def takes_blank(self, work: LineRows, line: bytes, offset: int, size: int) -> bool:
        """Whether a blank line may lie between the lines of the object; where not, these are released."""
        if len(self.lines) >= MAX_LINES:
            self.release(work)
            return False
        self.lines.append(Line(line, b"", offset, size, self.lines[0].extra))
        self._size += len(line) + 1
        return True

    def release(self, work: LineRows) -> None:
        """No further line belongs to them: each is what it is alone, a bracket alone nothing."""
        lines, self.lines = self.lines, []
        if all(line.plain.strip() in (_OPENING, b"") for line in lines):
            self._blank(work, lines)
        else:
            self._alone(work, lines)

    def _blank(self, work: LineRows, lines: list[Line]) -> None:
        for line in lines:
            work.blank(line.raw, line.offset, line.size)

    def _alone(self, work: LineRows, lines: list[Line]) -> None:
        self.lines = []
        for line in lines:
            if line.plain or line.extra is not None:
                work.line_alone(line, may_begin=False)
            else:
                work.blank(line.raw, line.offset, line.size)

    # --- inside

    def _may_begin(self, work: LineRows, line: Line) -> bool:
        first = line.plain.lstrip(b" \t")[:1]
        one_by_one = line.extra is not None and work.redacted  # are such lines redacted
        return self._enabled and bool(first) and first[0] in _BEGINS and not one_by_one

    @staticmethod
    def _stands_in_array(work: LineRows, line: Line, *, in_array: bool) -> bool:
        """Whether an indented line is part of an array, and not of a text."""
        return line.plain[:1] not in b" \t" or in_array or (work.after_object and line.extra is None)

    def _takes(self, work: LineRows, line: Line, *, in_array: bool) -> bool:
        body = line.plain.strip(_AROUND)
        return (
            body[:1] == b"{"
            and self._stands_in_array(work, line, in_array=in_array)
            and self._whole(work, body, [line])
        )

    def _after_bracket(self, work: LineRows, line: Line) -> bool:
        if line.plain.lstrip()[:1] != b"{":
            self._alone(work, self.lines)
            return False
        lines, self.lines = self.lines, []
        self._blank(work, lines)
        return self.begins(work, line, in_array=True)

    def _hold(self, line: Line, text: bytes) -> bool:
        self._scan = Scan()
        if not self._scan.add(text) or self._scan.done:
            return False
        self.lines, self._size = [line], len(line.plain) + 1
        return True

    def _whole(self, work: LineRows, body: bytes, lines: list[Line]) -> bool:
        """Make the event of an object that has all its lines; False where it is none."""
        if body[-1:] != b"}":
            return False
        found, _ = careful.find_object(body, json=True, only_json=False)
        if found is None:
            return False
        first, redactor = lines[0], self._compiled.redactor
        try:
            hidden = redactor is not None and redactor.record(found, body)
        except RecursionError:  # then it is text, as such a line is that is whole
            return False
        size = sum(one.size for one in lines)
        whole = Line(b"\n".join([one.raw for one in lines]), body, first.offset, size, first.extra)
        work.object(found, whole, hidden=hidden)
        return True
