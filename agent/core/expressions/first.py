r"""Where an expression has one way on: the characters with which its parts can begin tell which.

In `(?:\[\w+\] )?(\d+|\w[\w-]*): ` each choice, to repeat or to go on, this alternative or that, is decided by the next
character: the sets of characters that lead either way have none in common. A matcher that tries one way after another
gives up any other way at once there, so that its steps are linear in the text, however many such parts there are.
"""

from __future__ import annotations

import re
from functools import cache
from re import _constants as op  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from agent.core.expressions.tree import CHARACTERS, REPEATS, Part, parts_of

# A set of characters is a number: a bit for each character of ASCII, and two for what lies beyond.
_ASCII = (1 << 128) - 1
_BEYOND_BLANK, _BEYOND_OTHER = 1 << 128, 1 << 129  # those that `\s` takes, and the others
_BEYOND = _BEYOND_BLANK | _BEYOND_OTHER
ALL = _ASCII | _BEYOND
FOLDED_BEYOND_ASCII = frozenset("iksIKS")  # İ, ı, K (Kelvin) and ſ match them without regard to case
_FOLDED = sum(1 << ord(letter) for letter in FOLDED_BEYOND_ASCII)
_CATEGORIES = {  # what lies beyond ASCII that they take
    op.CATEGORY_DIGIT: (r"\d", _BEYOND_OTHER), op.CATEGORY_NOT_DIGIT: (r"\D", _BEYOND),
    op.CATEGORY_SPACE: (r"\s", _BEYOND_BLANK), op.CATEGORY_NOT_SPACE: (r"\S", _BEYOND_OTHER),
    op.CATEGORY_WORD: (r"\w", _BEYOND_OTHER), op.CATEGORY_NOT_WORD: (r"\W", _BEYOND),
}  # fmt: skip
_FEW = 32  # repetitions that count one by one, whatever the length of the text


class Effort(NamedTuple):
    """Steps that parts take all in all: some whatever the text, and some for each character that they take."""

    fixed: float
    each: float


def characters(part: Part) -> int:
    """The set of the characters that a part of one character can be; rather too many than too few."""
    kind, value, flags = part
    if kind is op.ANY:
        return ALL
    if kind is op.IN:
        found = 0
        for item in value:
            if item[0] is not op.NEGATE:
                found |= _item(item, flags)
        return found if value[0][0] is not op.NEGATE else _complement(value[1:], flags)
    if kind is op.NOT_LITERAL:
        return _complement([(op.LITERAL, value)], flags)
    return _item((op.LITERAL, value), flags)


def _item(item: tuple[Any, Any], flags: int) -> int:
    kind, value = item
    if kind is op.CATEGORY:
        return _category(value, bool(flags & re.ASCII))
    low, high = (value, value) if kind is op.LITERAL else value
    found = ((2 << min(high, 127)) - (1 << low)) if low < 128 else 0  # noqa: PLR2004
    if high >= 128:  # noqa: PLR2004
        found |= (_BEYOND_BLANK if chr(low).isspace() else _BEYOND_OTHER) if low == high else _BEYOND
    if flags & re.IGNORECASE:
        for code in range(ord("a"), ord("z") + 1):
            if found >> code & 1 or found >> (code - 32) & 1:
                found |= 1 << code | 1 << (code - 32)
        if found & _FOLDED:
            found |= _BEYOND_OTHER
        if high >= 128:  # noqa: PLR2004
            found |= _FOLDED | _BEYOND
    return found


def _complement(items: list[tuple[Any, Any]], flags: int) -> int:
    """What is in none of them; of what lies beyond ASCII all that may be."""
    taken = 0
    for item in items:
        taken |= _item(item, flags)
    found = ALL & ~(taken & _ASCII)
    blank = any(kind is op.CATEGORY and value is op.CATEGORY_SPACE for kind, value in items)
    other = any(kind is op.CATEGORY and value is op.CATEGORY_NOT_SPACE for kind, value in items)
    if not flags & re.ASCII:
        found &= ~(_BEYOND_BLANK * blank | _BEYOND_OTHER * other)
    return found


@cache
def _category(name: Any, only_ascii: bool) -> int:  # noqa: FBT001 - cached by place
    text, beyond = _CATEGORIES[name]
    matches = re.compile(text, re.ASCII if only_ascii else 0).match
    found = sum(1 << code for code in range(128) if matches(chr(code)))
    if not only_ascii:
        return found | beyond
    return found | (_BEYOND if name in {op.CATEGORY_NOT_DIGIT, op.CATEGORY_NOT_SPACE, op.CATEGORY_NOT_WORD} else 0)


# ---------------------------------------------------------------- one way on


class _Follow(NamedTuple):
    """What stands behind a part: the characters with which it can begin, and the steps to see that it does not."""

    first: int
    refusal: float


def one_way(parts: list[Part], most: int) -> tuple[int, Effort]:
    """How many of the first parts of a row have one way on, at the most so many; and their effort all in all."""
    fixed = each = 0.0
    for index in range(most):
        effort = _effort(parts[index], _follow(parts[index + 1 :], _NOTHING))
        if effort is None:
            return index, Effort(fixed, each)
        fixed, each = fixed + effort.fixed, max(each, effort.each)
    return most, Effort(fixed, each)


_NOTHING = _Follow(0, 0.0)


def _follow(parts: list[Part], outer: _Follow) -> _Follow:
    """Of parts in a row, with what is behind them."""
    first, refusal = 0, 0.0
    for part in parts:
        found, steps, can_be_empty = _beginning(part)
        first, refusal = first | found, refusal + steps
        if not can_be_empty:
            return _Follow(first, refusal)
    return _Follow(first | outer.first, refusal + outer.refusal)


def _beginning(part: Part) -> tuple[int, float, bool]:
    """The characters with which a part can begin, the steps to refuse any other, and whether it can be empty."""
    kind, value, flags = part
    if kind in CHARACTERS:
        return characters(part), 1.0, False
    if kind is op.AT:
        return 0, 1.0, True
    if kind in REPEATS:
        first, steps, can_be_empty = _row_beginning(parts_of(value[2], flags))
        return first, steps + 2.0, can_be_empty or value[0] == 0
    if kind is op.BRANCH:
        found = [_row_beginning(parts_of(branch, flags)) for branch in value[1]]
        first = 0
        for one, _, _ in found:
            first |= one
        return first, 1.0 + sum(steps for _, steps, _ in found), any(empty for _, _, empty in found)
    return ALL, float("inf"), True  # looks ahead or behind, refers to a group, or gives nothing back


def _row_beginning(parts: list[Part]) -> tuple[int, float, bool]:
    first, steps = 0, 0.0
    for part in parts:
        found, more, can_be_empty = _beginning(part)
        first, steps = first | found, steps + more
        if not can_be_empty:
            return first, steps, False
    return first, steps, True


def _row(parts: list[Part], outer: _Follow) -> Effort | None:
    """The effort of parts in a row that have one way on; None where they have not."""
    fixed = each = 0.0
    for index, part in enumerate(parts):
        effort = _effort(part, _follow(parts[index + 1 :], outer))
        if effort is None:
            return None
        fixed, each = fixed + effort.fixed, max(each, effort.each)
    return Effort(fixed, each)


def _effort(part: Part, follow: _Follow) -> Effort | None:
    kind, value, flags = part
    if kind in CHARACTERS:
        return Effort(float(len(value)) if kind is op.IN else 1.0, 0.0)
    if kind is op.AT:
        return Effort(1.0, 0.0)
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
        return _repeat_effort(part, follow)
    if kind is not op.BRANCH or follow.refusal == float("inf"):
        return None
    fixed, each, taken = 1.0, 0.0, 0
    for branch in value[1]:
        row = parts_of(branch, flags)
        first, refusal, can_be_empty = _row_beginning(row)
        first |= follow.first * can_be_empty
        effort = _row(row, follow)
        if effort is None or first & taken:
            return None
        fixed, each, taken = fixed + refusal + follow.refusal + effort.fixed, max(each, effort.each), taken | first
    return Effort(fixed, each)


def _repeat_effort(part: Part, follow: _Follow) -> Effort | None:
    least, most, _ = part.value
    inner = parts_of(part.value[2], part.flags)
    first, refusal, can_be_empty = _row_beginning(inner)
    if follow.refusal == float("inf") or can_be_empty or (least != most and first & follow.first):
        return None
    around = _Follow(first | follow.first, refusal + follow.refusal + 2.0)
    once = _row(inner, around if most != 1 else follow)
    if once is None:
        return None
    time = once.fixed + around.refusal + 1.0
    if most is not op.MAXREPEAT and most <= _FEW:
        return Effort(around.refusal + most * time, once.each)
    return Effort(around.refusal + 1.0, once.each + time)
