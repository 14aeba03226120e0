r"""Trying an expression on texts that are made to be hard for it, step by step: does it end within reason?

A repetition that can match the same text in several ways doubles the ways with each further character, and all of them
are tried where the rest does not fit: `^(\w+)+:` on `xxxxxxxxxxxxxxxx!`. So for each repetition a text is made of what
leads to it, of what it repeats, many times, and of what cannot follow. The steps of a matcher that tries one way after
another, as `re` does, are counted on it. That needs no clock, and says the same on every machine.
"""

from __future__ import annotations

import re
from itertools import islice
from re import _constants as op  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

from agent.core.expressions.cost import may_be
from agent.core.expressions.tree import CHARACTERS, REPEATS, Part, inside, parts_of, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_STEPS = 50_000  # some 50 ms of this matcher, 1 ms of `re`
_REPEATED_CHARACTERS = 32  # 2³² ways, or the 5th power of it; what is only cubic makes some 5,000 steps
_MOST_STEPS_IN_ALL = 500_000
_USUAL = "x1 .-_"  # what sets of characters are made of, mostly
_MISFITS = ("!", "\0", "")  # what a repetition is followed by


class TooManyStepsError(Exception):
    """More than MOST_STEPS."""


def hard_text(expression: str) -> str | None:
    """A text on which `re.search` makes more than MOST_STEPS steps; None where none was found.

    Args:
        expression: it can be compiled.
    """
    parts, steps = read(expression), 0
    for text in _texts(parts):
        try:
            steps += count_steps(parts, text)
        except (TooManyStepsError, RecursionError):
            return text
        if steps > _MOST_STEPS_IN_ALL:
            break
    return None


# ---------------------------------------------------------------- texts


def _texts(parts: list[Part]) -> Iterator[str]:
    tried: set[str] = set()
    for before, repeated in _repetitions(parts, ""):
        if not repeated:
            continue
        times = -(-_REPEATED_CHARACTERS // len(repeated))
        for misfit in _MISFITS:
            text = before + repeated * times + misfit
            if text not in tried:
                tried.add(text)
                yield text


def _repetitions(parts: list[Part], before: str) -> Iterator[tuple[str, str]]:
    """For each repetition a text that leads to it, and texts that it can repeat."""
    for part in parts:
        kind, value, flags = part
        if kind in REPEATS:
            inner = parts_of(value[2], flags)
            if value[1] > 1:
                for wish in dict.fromkeys((*_literals(inner), *_USUAL)):
                    for branch in range(3):
                        yield before, _sample(inner, wish, branch)
            yield from _repetitions(inner, before)
        else:
            for subtree in inside(kind, value):
                yield from _repetitions(parts_of(subtree, flags), before)
        before += _sample([part], "x", 0, least=True)


def _literals(parts: list[Part]) -> Iterator[str]:
    for kind, value, flags in parts:
        if kind is op.LITERAL:
            yield chr(value)
        elif kind is op.IN:
            yield from (chr(one[1] if one[0] is op.LITERAL else one[1][0]) for one in value if one[0] in _BEGINNINGS)
        elif kind in REPEATS:
            yield from _literals(parts_of(value[2], flags))
        else:
            for subtree in inside(kind, value):
                yield from _literals(parts_of(subtree, flags))


_BEGINNINGS = frozenset((op.LITERAL, op.RANGE))


def _sample(parts: Iterable[Part], wish: str, branch: int, *, least: bool = False) -> str:
    """A text that parts match, as far as that is easy to tell.

    Args:
        parts: in a row.
        wish: the character that is taken wherever it can be.
        branch: which of several alternatives is taken.
        least: repeat as little as possible; else at least once.
    """
    found = ""
    for kind, value, flags in parts:
        if kind is op.LITERAL:
            found += chr(value)
        elif kind in CHARACTERS:
            fitting = (
                one
                for one in (wish, *_USUAL, *_literals([Part(kind, value, flags)]))
                if may_be(Part(kind, value, flags), ord(one))
            )
            found += next(fitting, "")
        elif kind in REPEATS:
            times = value[0] if least else max(1, value[0])
            found += _sample(parts_of(value[2], flags), wish, branch, least=least) * min(times, _REPEATED_CHARACTERS)
        elif kind is op.BRANCH:
            found += _sample(parts_of(value[1][branch % len(value[1])], flags), wish, branch, least=least)
        elif kind is op.ATOMIC_GROUP:
            found += _sample(parts_of(value, flags), wish, branch, least=least)
    return found


# ---------------------------------------------------------------- steps


def count_steps(parts: list[Part], text: str, most: int = MOST_STEPS) -> int:
    """How many steps a search takes that tries one way after another: one for each look at a character or a place.

    Raises:
        TooManyStepsError: more than `most`.
        RecursionError: ways that are too long.
    """
    matcher = _Matcher(text, most)
    for start in range(len(text) + 1):
        if next(matcher.row(parts, 0, start), None) is not None:
            break
    return matcher.steps


class _Matcher:
    def __init__(self, text: str, most: int) -> None:
        self._text = text
        self._most = most
        self.steps = 0

    def row(self, parts: list[Part], index: int, at: int) -> Iterator[int]:
        """Where parts in a row may end that begin at a place, in the order in which that is tried."""
        if index == len(parts):
            yield at
            return
        for end in self._part(parts[index], at):
            yield from self.row(parts, index + 1, end)

    def _part(self, part: Part, at: int) -> Iterator[int]:
        kind, value, flags = part
        if kind in CHARACTERS:
            if self._is(part, at):
                yield at + 1
        elif kind is op.BRANCH:
            for branch in value[1]:
                yield from self.row(parts_of(branch, flags), 0, at)
        elif kind in REPEATS:
            inner = parts_of(value[2], flags)
            if len(inner) == 1 and inner[0].kind in CHARACTERS:
                yield from self._run(part, inner[0], at)
            else:
                yield from self._again(part, inner, 0, at)
        elif kind is op.AT:
            if self._stands(value, flags, at):
                yield at
        elif kind in (op.ASSERT, op.ATOMIC_GROUP, op.ASSERT_NOT):
            yield from self._once(part, at)
        else:  # references are taken for empty
            self._step()
            yield at

    def _run(self, part: Part, character: Part, at: int) -> Iterator[int]:
        least, most, _ = part.value
        end = at
        while end - at < most and self._is(character, end):
            end += 1
        ends = range(at + least, end + 1)
        yield from ends if part.kind is op.MIN_REPEAT else reversed(ends)

    def _again(self, part: Part, inner: list[Part], count: int, at: int) -> Iterator[int]:
        least, most, _ = part.value
        self._step()
        if count >= least and part.kind is op.MIN_REPEAT:
            yield at
        if count < most:
            for end in self.row(inner, 0, at):
                if end > at or count < least:
                    yield from self._again(part, inner, count + 1, end)
        if count >= least and part.kind is not op.MIN_REPEAT:
            yield at

    def _once(self, part: Part, at: int) -> Iterator[int]:
        kind, value, flags = part
        if kind is op.ATOMIC_GROUP:
            yield from islice(self.row(parts_of(value, flags), 0, at), 1)
            return
        start = at if value[0] > 0 else at - value[1].getwidth()[0]  # what lies behind has one width
        self._step()
        found = start >= 0 and next(self.row(parts_of(value[1], flags), 0, start), None) is not None
        if found == (kind is op.ASSERT):
            yield at

    def _is(self, part: Part, at: int) -> bool:
        self._step()
        return at < len(self._text) and may_be(part, ord(self._text[at]))

    def _stands(self, place: Any, flags: int, at: int) -> bool:
        self._step()
        text = self._text
        if place in (op.AT_BEGINNING, op.AT_BEGINNING_STRING):
            multiline = place is op.AT_BEGINNING and bool(flags & re.MULTILINE)
            return at == 0 or (multiline and text[at - 1] == "\n")
        if place in (op.AT_END, op.AT_END_STRING):
            return at == len(text) or (place is op.AT_END and text[at:] == "\n")
        before, after = text[at - 1 : at].isalnum(), text[at : at + 1].isalnum()
        return (before != after) == (place is op.AT_BOUNDARY)

    def _step(self) -> None:
        self.steps += 1
        if self.steps > self._most:
            raise TooManyStepsError
