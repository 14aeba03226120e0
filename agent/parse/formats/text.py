"""Plain text: the leading instant, level, logger and other parts of a line, without configuration.

The grammar is `_rules`; `_shapes` reads a line by it, and makes one expression of the parts that were found. Lines of
one log have few shapes, so those of the last lines are tried first (2 µs a line), and the grammar where none fits.
Both find the same: `tests/parse/test_heads.py`.
"""

from __future__ import annotations

from agent.core.patterns import lazy
from agent.parse.formats import Head, TextFormat
from agent.parse.formats._shapes import HeadShape, walk

_RECENT = 8  # shapes that are tried; most logs have one to five, and one that does not fit costs 0.3 µs
_WORTH_COMPILING = 3  # lines of a shape: an expression takes as long as a hundred walks
_MOST_COMPILED = 64  # of 50 KB each, however strange the lines are

_LONGEST_COMPILED = 20_000  # characters of an expression: 10 ms; longer ones belong to odd lines
_ESCAPE = lazy(r"\x1b\[[0-9;:?]{0,32}[A-Za-z]")
_RESETS = lazy(r"(?:\x1b\[0{0,3}m)+")


class _Finder:
    """Finds heads, and remembers the shapes of the last ones. What it finds does not depend on what it remembers."""

    def __init__(self) -> None:
        self._recent: list[HeadShape] = [walk("a sentence")[0]]  # most lines without a head are told by it
        self._compiled = 0

    def find(self, line: str) -> Head:
        """The head of a line without colours."""
        recent = self._recent
        shape = recent[0]
        match = shape.match(line)
        if match is not None:
            return shape.head(match.groups(), match.end())
        for index in range(1, len(recent)):
            shape = recent[index]
            match = shape.match(line)
            if match is not None:
                recent[index], recent[index - 1] = recent[index - 1], shape
                return shape.head(match.groups(), match.end())
        return self._walk(line)

    def _walk(self, line: str) -> Head:
        shape, head = walk(line)
        shape.times += 1
        if shape.times == _WORTH_COMPILING:
            self._compiled += 1
        if (
            shape.times >= _WORTH_COMPILING
            and self._compiled <= _MOST_COMPILED
            and len(shape.expression) <= _LONGEST_COMPILED
        ):
            self._recent = [shape, *self._recent[: _RECENT - 1]]
        return head


_FINDER = _Finder()


def find_head(line: str) -> Head:
    """The head of a line; an empty one where none is seen. Colours are seen through, and stay in the message."""
    return _coloured(line) if "\x1b" in line else _FINDER.find(line)


def _coloured(line: str) -> Head:
    """The head of a line with escape sequences of terminals; a colour that ends where the message begins is no part of
    it.
    """
    pieces = _ESCAPE.split(line)
    head = _FINDER.find("".join(pieces))
    if head.end == 0:
        return head
    left, at = head.end, 0
    for piece, escape in zip(pieces, _ESCAPE.finditer(line), strict=False):
        if left <= len(piece):
            break
        left -= len(piece)
        at = escape.end()
    at += left
    resets = _RESETS.match(line, at)
    end = at if resets is None else resets.end()
    return Head(head.timestamp, head.level, head.severity, head.logger, end, None, head.attributes)


FORMAT = TextFormat("", find_head)
