"""A log as it is with the values of configured keys replaced: line by line, so that its lines are read as the events
that are stored of the log itself. Where they are in the log stays known.

A line is redacted as `assemble` redacts it: an object as such, other lines as text, and of a line in the wrapper of a
container runtime what the application wrote. Where a runtime has split a line, or an application wrote an object over
several (`multijson`), one line of the result holds all of it, if anything had to be replaced.
"""

from __future__ import annotations

import contextlib
from array import array
from bisect import bisect_right
from copy import copy
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from agent.core.holes import split_holes
from agent.parse import careful
from agent.parse.multijson import Line, OpenObject, has_parts
from agent.parse.settings import Compiled
from agent.parse.streams import MOST_PARTS, MOST_WOVEN_BYTES

if TYPE_CHECKING:
    from agent.core.wrapping import Wrapped
    from agent.parse.formats import Wrapper
    from agent.parse.settings import ParseSettings

_MOST_BYTES = 16 << 20  # of a line that is redacted as a whole; of a longer one so much at a time
_CUT_BYTES = 1 << 12  # at its end such a piece is cut between two words
_BEHIND = b" \t\r\n,"  # an object
_MANY_POSITIONS = 1 << 12  # are forgotten at once


class Positions(NamedTuple):
    """Where places in redacted content are in the log, both counted from the beginning of the same part of it.

    Behind `ends[n]`, an offset in the content, a place lies `shifts[n]` bytes further on in the log; before the first
    of them at the same offset. Both ascend; a place inside of what was replaced is in no event's beginning.
    """

    ends: array[int]
    shifts: array[int]

    @property
    def shift(self) -> int:
        """By how many bytes the part of the log is longer than its content."""
        return self.shifts[-1] if self.shifts else 0

    def in_log(self, offset: int) -> int:
        """The place in the log of an offset in the content."""
        return offset + self.shift_at(offset, 0)

    def shift_at(self, offset: int, first: int) -> int:
        """By how many bytes the place in the log of an offset lies further on; before the first end by `first`."""
        index = bisect_right(self.ends, offset)
        return self.shifts[index - 1] if index else first


class _Piece(msgspec.Struct):
    """What stands in the log, and what is to stand for it."""

    old: bytes
    new: bytes
    newline: bytes = b""  # that follows `new`, and is the end of `old`


class _Split(msgspec.Struct):
    """The parts of a line that a runtime has split, and which pieces these are of those that wait for its end."""

    parts: list[tuple[Wrapper, Wrapped]] = []
    pieces: list[int] = []
    bytes: int = 0  # of what the parts hold

    def add(self, wrapper: Wrapper, wrapped: Wrapped, piece: int) -> None:
        """Another part."""
        self.parts.append((wrapper, wrapped))
        self.pieces.append(piece)
        self.bytes += len(wrapped.body)

    def of(self) -> _Split:
        """A copy that may go on by itself."""
        return _Split([*self.parts], [*self.pieces], self.bytes)

    def has_room(self, wrapped: Wrapped, most_bytes: int) -> bool:
        """Whether it may have another part."""
        return self.bytes + len(wrapped.body) <= most_bytes and len(self.parts) < MOST_PARTS

    @property
    def is_woven(self) -> bool:
        """Whether something else lies between the parts."""
        return self.pieces[-1] - self.pieces[0] >= len(self.pieces)


class LogRedactor:
    """Redacts one log, whose bytes come in pieces.

    Args:
        settings: of its source; `redact` names the keys.
        located: whether positions will be asked for.

    Attributes:
        again: the log was redacted before.
        after_object: whether the last line was an object; at first whether one may have been before.
    """

    def __init__(self, settings: ParseSettings, *, located: bool = True) -> None:
        self._located = located
        self.again = False
        self.redacted = True
        self.compiled = compiled = Compiled(settings)
        assert compiled.redactor is not None
        self._redactor = compiled.redactor
        self._rules = compiled.rules
        self._max_line = compiled.max_line
        self.after_object = True
        self._object = OpenObject(compiled)
        self._held: list[bytes] = []  # the beginning of a line, in pieces
        self._held_bytes = 0
        self._splits: dict[str, _Split] = {}  # lines that a runtime has split, by their stream
        self._waiting: list[_Piece] = []  # what lies between the beginning of the first of them and the end
        self._waiting_bytes = 0  # of the log
        self._out: list[bytes] = []
        self._fed = 0  # bytes so far
        self._taken = 0  # those of them that the result stands for
        self._content = 0  # bytes of the result so far
        self._shift = 0  # so many bytes further on is the same place in the log
        self._earlier = Positions(array("Q"), array("q"))  # of what is fed in the log, where it was redacted before
        self._earlier_shift = 0  # of the last of these that is forgotten
        self._ends = array("Q")
        self._shifts = array("q")
        self._asked_shift = 0  # of the last of these that was asked for, and is forgotten

    def feed(self, data: bytes) -> bytes:
        """The next bytes of the log; what is certain of the result now."""
        self._fed += len(data)
        end = data.rfind(b"\n") + 1
        if end:
            whole = b"".join([*self._held, data[:end]])
            self._held, self._held_bytes = [], 0
            self._lines(whole)
            data = data[end:]
        if data:
            self._held.append(data)
            self._held_bytes += len(data)
            if self._held_bytes >= _MOST_BYTES:
                self._cut()
        return self._released()

    def finish(self) -> bytes:
        """The rest, once all of the log was fed."""
        rest = b"".join(self._held)
        self._held = []
        if rest:
            self._line(rest, b"")
        self._join_all()
        self._object.release(self)
        return self._released()

    def lengthen(self, size: int) -> None:
        """The log was redacted before, and what was fed last was so many bytes longer in it."""
        ends, shifts = self._earlier
        shifts.append((shifts[-1] if shifts else self._earlier_shift) + size)
        ends.append(self._fed)
        done = bisect_right(ends, self._taken)
        if done > _MANY_POSITIONS:
            self._earlier_shift = shifts[done - 1]
            del ends[:done], shifts[:done]
        if self._taken == self._fed:
            self._put(b"")

    def preview(self) -> bytes:
        """What `finish` would give now; the log goes on all the same."""
        other = copy(self)
        other._held, other._out, other._waiting = [*self._held], [], list(map(copy, self._waiting))  # noqa: SLF001
        other._splits = {name: split.of() for name, split in self._splits.items()}  # noqa: SLF001
        other._located = False  # noqa: SLF001
        other._object = self._object.copied()  # noqa: SLF001
        return other.finish()

    def positions(self, start: int, size: int) -> Positions:
        """Where the places in a part of the result are in the log. The parts are asked for one behind the other.

        Args:
            start: of the part, in the result.
            size: of the part.
        """
        count = bisect_right(self._ends, start + size)
        ends = array("I", [end - start for end in self._ends[:count]])
        shifts = array("q", [shift - self._asked_shift for shift in self._shifts[:count]])
        if count:
            self._asked_shift = self._shifts[count - 1]
            del self._ends[:count], self._shifts[:count]
        return Positions(ends, shifts)

    def in_log(self, offset: int) -> int:
        """Where an offset of the result is in the log; of a part whose positions were not asked for yet."""
        return offset + Positions(self._ends, self._shifts).shift_at(offset, self._asked_shift)

    # ------------------------------------------------------------ lines

    def _lines(self, whole: bytes) -> None:
        """Lines, each with its newline."""
        wrapped = bool(self._splits or self._object) or self._rules.may_wrap(whole)
        if not wrapped and not self._earlier.ends and not self._redactor.may_apply(whole) and not has_parts(whole):
            self.after_object = whole.rstrip(_BEHIND)[-1:] == b"}"
            self._put(whole)
            return
        for line in whole.split(b"\n")[:-1]:
            self._line(line, b"\n")

    def _line(self, line: bytes, newline: bytes) -> None:
        """A line, or several with holes between them; only the log's last one has no newline."""
        if b"\0" in line:
            pieces = list(split_holes(line))
            for text, hole in pieces:
                if text:
                    self._whole(text, b"" if hole else newline)
                if hole:
                    self._join_all()
                    self._object.release(self)
                    self._put(bytes(hole))
            if pieces[-1][1]:
                self._put(newline)
        else:
            self._whole(line, newline)

    def _whole(self, line: bytes, newline: bytes) -> None:
        wrapper = None if self._is_too_long(line) else self._rules.wrappers.get(line[:1])
        wrapped = None if wrapper is None else wrapper.unwrap(line.removesuffix(b"\r"))
        if wrapper is None or wrapped is None:
            self._join_all()
            self._gather(line, newline)
            return
        self._object.release(self)
        self.after_object = False
        size, split = len(line) + len(newline), self._splits.get(wrapped.stream)
        is_woven = bool(self._splits) and (split is None or len(self._splits) > 1)
        if not self.again and (
            (split is not None and not split.has_room(wrapped, self._max_line))
            or (is_woven and self._waiting_bytes + size > max(self._max_line, MOST_WOVEN_BYTES))
        ):
            self._join_all()
            self._end_parts()
            split = None
        if wrapped.partial or split is not None:
            split = split or self._splits.setdefault(wrapped.stream, _Split())
            self._put(line + newline)
            split.add(wrapper, wrapped, len(self._waiting) - 1)
            if not wrapped.partial:
                self._join(wrapped.stream)
        else:
            hidden = self._redactor.may_apply(line)
            self._replace(line, wrapper.redact(line, self.content, self._redactor) if hidden else line)
            self._put(newline)

    def _gather(self, line: bytes, newline: bytes) -> None:
        """A line as an application wrote it, alone or one of those of an object."""
        plain = line.removesuffix(b"\r").removeprefix(careful.BOM)
        one = Line(line, plain, 0, len(line) + len(newline), None)
        if self._is_too_long(line) or line.startswith(b"\0"):
            self._object.release(self)
            self._plain(line, newline)
        elif not plain:
            if not (self._object and self._object.takes_blank(self, line, 0, one.size)):
                self._plain(line, newline)
        elif not (self._object and self._object.goes_on(self, one)):
            is_object = plain[:1] == b"{" and plain[-1:] == b"}"
            if is_object or not self._object.begins(self, one):
                self.line_alone(one, may_begin=False)

    def line_alone(self, line: Line, *, may_begin: bool) -> None:  # noqa: ARG002
        """A line that is none of those of an object."""
        self.after_object = line.plain[:1] == b"{" and line.plain[-1:] == b"}"
        self._plain(line.raw, _newline(line))

    def object(self, found: careful.JsonLine, line: Line, *, hidden: bool) -> None:
        """The lines of an object."""
        self.after_object = True
        self._replace(line.raw, found.text.encode() if hidden else line.raw)
        self._put(_newline(line))

    def blank(self, line: bytes, offset: int, size: int) -> None:  # noqa: ARG002
        """A line with nothing in it, or nothing but a bracket."""
        self._put(line + b"\n" * (size - len(line)))

    def _join_all(self) -> None:
        """Nothing goes on behind this place."""
        for name in list(self._splits):
            self._join(name)

    def _join(self, name: str) -> None:
        """A line that was split is at its end."""
        split = self._splits.pop(name)
        pieces = [self._waiting[index] for index in split.pieces]
        body = b"".join([wrapped.body for _, wrapped in split.parts])
        hidden = self.content(body)
        lines = [piece.old.removesuffix(b"\n") for piece in pieces]
        ends = [piece.old[len(line) :] for line, piece in zip(lines, pieces, strict=True)]
        if hidden == body:
            new = [
                wrapper.redact(line, lambda part: part, self._redactor)
                for line, (wrapper, _) in zip(lines, split.parts, strict=True)
            ]
        else:
            new = self._rules.rewrap(lines, hidden, self._redactor, self._max_line, woven=split.is_woven)
        if len(new) < len(lines):  # one that stands for all of them
            pieces[0].old = b"".join([piece.old for piece in pieces])
            for piece in pieces[1:]:
                piece.old = piece.new = b""
            ends = ends[-1:]
        for piece, line, end in zip(pieces, new, ends, strict=False):
            piece.new, piece.newline = line, end
        if not self._splits:
            waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
            for piece in waiting:
                self._replace(piece.old.removesuffix(piece.newline), piece.new)
                self._put(piece.newline)

    def _end_parts(self) -> None:
        """A blank line that is not in the log: what was split goes on, but is too long, and may be shorter by now."""
        self._replace(b"", b"\n")

    def _plain(self, line: bytes, newline: bytes) -> None:
        """A line as an application wrote it, behind some NULs perhaps."""
        text = line.lstrip(b"\0") if line.startswith(b"\0") else line
        self._put(line[: len(line) - len(text)])
        hidden = self._within(text, self.content(text))
        if hidden != text and self._rules.unwrap(hidden) is not None:
            hidden = b" " + hidden  # what was no wrapper, for its bytes were no UTF-8, must not become one
        self._replace(text, hidden)
        self._put(newline)

    def _within(self, line: bytes, hidden: bytes) -> bytes:
        """A line that was too long for an event stays so."""
        if self._is_too_long(line) and len(hidden) <= self._max_line:
            return hidden.ljust(self._max_line + 1)
        return hidden

    def _is_too_long(self, line: bytes) -> bool:
        if len(line) <= self._max_line or not self._earlier.ends:
            return len(line) > self._max_line
        begin = self._taken + self._waiting_bytes + self._object.held_bytes
        return len(line) + self._before(begin + len(line)) - self._before(begin) > self._max_line

    def content(self, body: bytes) -> bytes:
        """What an application wrote as a line, redacted; the same bytes where there is nothing to replace."""
        redactor = self._redactor
        if not redactor.may_apply(body):
            return body
        plain = body.removesuffix(b"\r").removeprefix(careful.BOM)
        line, _ = careful.find_object(plain, json=self._rules.json, only_json=self._rules.only_json)
        if line is not None:
            with contextlib.suppress(RecursionError):  # then it is text
                return line.text.encode() if redactor.record(line, plain) else body
        hidden = redactor.line(plain)
        return body if hidden is plain else hidden

    def _cut(self) -> None:
        """A line of any length, a piece at a time."""
        data = b"".join(self._held)
        end = data.rfind(b" ", len(data) - _CUT_BYTES) + 1 or len(data)
        self._line(data[:end], b"")
        self._held, self._held_bytes = [data[end:]], len(data) - end

    # ------------------------------------------------------------ the result

    def _put(self, data: bytes) -> None:
        self._replace(data, data)

    def _replace(self, old: bytes, new: bytes) -> None:
        if self._splits:
            self._waiting.append(_Piece(old, new))
            self._waiting_bytes += len(old)
            return
        if new:
            self._out.append(new)
        self._taken += len(old)
        self._content += len(new)
        shift = self._taken + self._before(self._taken) - self._content
        if shift != self._shift and self._located:
            self._shift = shift
            self._ends.append(self._content)
            self._shifts.append(shift)

    def _before(self, offset: int) -> int:
        """So many bytes further on is the place in the log of an offset in what is fed."""
        return self._earlier.shift_at(offset, self._earlier_shift)

    def _released(self) -> bytes:
        out, self._out = b"".join(self._out), []
        return out


def _newline(line: Line) -> bytes:
    return b"\n" * (line.size - len(line.raw))
