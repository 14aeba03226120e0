r"""What a user's regular expression can cost, worked out from how Python reads it.

The module `re` tries one way after another, and has no limit: some expressions take it steps without end on a text of
forty characters. Here an upper bound of its steps is worked out, as a polynomial of the length of the text, so that
most expressions, on most texts, may be left to it (`safe_length`); the others go to the module `regex`, in the same
meaning (`agent.core.expressions.text`), which has a time limit and takes three times as long.

The bound counts the ways in which each part can match at one place, and the steps to try all of them:

- parts in a row: the ways multiply, the steps of a part are made once for each way of those before it;
- alternatives: both add up;
- a repetition of one character, up to the end of the text: n + 1 ways. Where what follows cannot be that character
  (`\S+ `), only one of them leads on, as wherever the next character decides (`first`);
- a repetition without end of what can match in several ways, as in `(\w+)+`: there is no bound.

A search tries each place of the text. Where one character before the repetition is none of those that are repeated
(`took \d+ms`), no two tries walk over the same characters, so that all of them together are linear.
"""

from __future__ import annotations

import re
from re import _constants as op  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from agent.core.expressions.first import one_way
from agent.core.expressions.tree import CHARACTERS, REPEATS, Part, inside, parts_of, read

_DEGREE = 3  # of the polynomials
_MOST_STEPS = 1e12
_ENDLESS_REPEATS = 1_000  # more than so many count as without end
_FREE_STEPS = 10_000  # some 0.1 ms, in the worst case
_FREE_STEPS_PER_CHARACTER = 50
_LONGEST = 1 << 40  # characters: no text is as long

Polynomial = tuple[float, ...]  # coefficients of n, from that of n⁰ on
_ONE: Polynomial = (1.0, 0.0, 0.0, 0.0)
_NONE: Polynomial = (0.0, 0.0, 0.0, 0.0)
_ALL: Polynomial = (1.0, 1.0, 0.0, 0.0)  # n + 1

_FOLDED_BEYOND_ASCII = frozenset("iksIKS")  # İ, ı, K (Kelvin) and ſ match them without regard to case
_ENDS = frozenset((op.AT_END, op.AT_END_STRING))
_CATEGORIES = {
    op.CATEGORY_DIGIT: "d", op.CATEGORY_NOT_DIGIT: "D", op.CATEGORY_SPACE: "s", op.CATEGORY_NOT_SPACE: "S",
    op.CATEGORY_WORD: "w", op.CATEGORY_NOT_WORD: "W",
}  # fmt: skip


class _Bound(NamedTuple):
    """At one place of a text of n characters: in how many ways a part can match, and the steps to try them all."""

    ways: Polynomial
    steps: Polynomial


class NoBoundError(Exception):
    """There is no polynomial bound, or one of too high a degree."""


def safe_length(text: str, *, at_start: bool = False) -> float:
    """The number of characters up to which a text may be given to `re`: it makes no more steps there than _FREE_STEPS
    and _FREE_STEPS_PER_CHARACTER. Infinite where that holds for all texts, -1 where it cannot be said of any.

    Args:
        text: the expression; it can be compiled.
        at_start: it is tried at the beginning of the text alone, which is a line.
    """
    try:
        total = match_steps(text) if at_start else search_steps(text)
    except (NoBoundError, RecursionError):
        return -1

    def fits(length: int) -> bool:
        steps = sum(factor * float(length) ** power for power, factor in enumerate(total))
        return steps <= _FREE_STEPS + _FREE_STEPS_PER_CHARACTER * length

    if fits(_LONGEST):
        return float("inf")
    low, high = 0, _LONGEST  # the excess is convex: below its root all lengths fit, above none
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def search_steps(text: str) -> Polynomial:
    """An upper bound of the steps of `re.search`.

    Raises:
        NoBoundError: there is none.
    """
    parts = read(text)
    steps = _whole(parts).steps
    if parts and _is_begin(parts[0]):
        return _sum(_ALL, steps)
    return _walked_once(parts) or _product(_ALL, steps)


def match_steps(text: str) -> Polynomial:
    """An upper bound of the steps of `re.match` on a line, which has no newline in it.

    Many end with `.*` or `.*$`, which takes the rest of a line: reached once, it is found, and the ways of what stands
    before it need not be tried any more. `.+` is refused at the end of the line at once.

    Raises:
        NoBoundError: there is none.
    """
    parts = read(text)
    if len(parts) > 1 and parts[-1].kind is op.AT and parts[-1].value in _ENDS and _takes_rest(parts[-2]):
        parts.pop()
    if not parts or not _takes_rest(parts[-1]):
        return _whole(parts).steps
    before = _whole(parts[:-1], follow=parts[-1:])
    return _sum(before.steps, _sum(_product(before.ways, (2.0, 0.0, 0.0, 0.0)), _ALL))


def _takes_rest(part: Part) -> bool:
    if part.kind is not op.MAX_REPEAT or part.value[0] > 1 or part.value[1] is not op.MAXREPEAT:
        return False
    inner = _repeated(part)
    return len(inner) == 1 and inner[0].kind is op.ANY


def is_anchored(text: str) -> bool:
    """Whether an expression, which can be compiled, is found nowhere but at the beginning of a text."""
    parts = read(text)
    return bool(parts) and _is_begin(parts[0])


def _is_begin(part: Part) -> bool:
    if part.kind is not op.AT:
        return False
    first = part.value is op.AT_BEGINNING and not part.flags & re.MULTILINE
    return first or part.value is op.AT_BEGINNING_STRING


def _walked_once(parts: list[Part]) -> Polynomial | None:
    """The steps of a search whose tries walk over no character twice, as the docstring says; None for others."""
    at = next((index for index, part in enumerate(parts) if part.kind not in CHARACTERS), len(parts))
    if at == len(parts) or not (_is_endless(parts[at]) and _is_one_character(_repeated(parts[at]))):
        return None
    [character] = _repeated(parts[at])
    if not any(is_disjoint(part, character) for part in parts[:at]):
        return None
    rest = _sequence(parts[at + 1 :])
    if any(rest.steps[1:]):
        return None
    return _product(_ALL, (at + rest.steps[0] + 4.0, 0.0, 0.0, 0.0))


# ---------------------------------------------------------------- parts


def _whole(parts: list[Part], follow: list[Part] | None = None) -> _Bound:
    """The parts of an expression in a row, those that have one way on together; `follow` are parts behind them."""
    ways, steps, index = _ONE, _NONE, 0
    while index < len(parts):
        count, effort = one_way([*parts[index:], *(follow or [])], len(parts) - index)
        if count:
            bound = _Bound(_ONE, (effort.fixed, effort.each, 0.0, 0.0))
        else:
            count, bound = 1, _in_row(parts, index)
        steps = _sum(steps, _product(ways, bound.steps))
        ways = _product(ways, bound.ways)
        index += count
    return _Bound(ways, steps)


def _sequence(parts: list[Part]) -> _Bound:
    ways, steps = _ONE, _NONE
    for index in range(len(parts)):
        bound = _in_row(parts, index)
        steps = _sum(steps, _product(ways, bound.steps))
        ways = _product(ways, bound.ways)
    return _Bound(ways, steps)


def _in_row(parts: list[Part], index: int) -> _Bound:
    """Of a part by itself, but for what a character behind it says."""
    part = parts[index]
    bound = _bound(part)
    if index + 1 < len(parts) and part.kind in REPEATS and _is_one_character(inner := _repeated(part)):
        follower = parts[index + 1]
        if is_disjoint(follower, inner[0]) or is_disjoint(inner[0], follower):
            return _Bound(_ONE, _sum(bound.steps, bound.ways))
    return bound


def _bound(part: Part) -> _Bound:
    kind, value, flags = part
    if kind in CHARACTERS or kind is op.AT:
        return _Bound(_ONE, (float(len(value)) if kind is op.IN else 1.0, 0.0, 0.0, 0.0))
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
        return _repetition(part)
    if kind in (op.BRANCH, op.GROUPREF_EXISTS):
        return _either([parts_of(branch, flags) for branch in inside(kind, value)])
    if kind in (op.ASSERT, op.ASSERT_NOT):
        return _Bound(_ONE, _sum(_ONE, _sequence(parts_of(value[1], flags)).steps))
    if kind is op.GROUPREF:
        return _Bound(_ONE, _ALL)
    if kind is op.FAILURE:
        return _Bound(_ONE, _ONE)
    raise NoBoundError  # also of atomic groups and possessive repetitions, on which `re` may raise SystemError


def _either(branches: list[list[Part]]) -> _Bound:
    ways, steps = _ONE, _ONE  # one more than there are: a condition may have no second branch
    for branch in branches:
        bound = _sequence(branch)
        ways, steps = _sum(ways, bound.ways), _sum(steps, _sum(_ONE, bound.steps))
    return _Bound(ways, steps)


def _repeated(part: Part) -> list[Part]:
    return parts_of(part.value[2], part.flags)


def _is_endless(part: Part) -> bool:
    return part.kind in REPEATS and (part.value[1] is op.MAXREPEAT or part.value[1] > _ENDLESS_REPEATS)


def _is_one_character(parts: list[Part]) -> bool:
    return len(parts) == 1 and parts[0].kind in CHARACTERS


def _repetition(part: Part) -> _Bound:
    least, most, inner = part.value
    once = _sequence(_repeated(part))
    step = _sum(once.steps, _ONE)
    if _is_endless(part):
        if once.ways != _ONE or inner.getwidth()[0] == 0:
            raise NoBoundError
        ways, steps = _ALL, _product(_ALL, step)
    elif once.ways == _ONE:
        ways, steps = (float(most - least + 1), 0.0, 0.0, 0.0), _sum(_ONE, _product((float(most), 0.0, 0.0, 0.0), step))
    else:
        ways, steps, power = _NONE, _ONE, _ONE
        for count in range(most + 1):
            if count >= least:
                ways = _sum(ways, power)
            if count < most:
                steps = _sum(steps, _product(power, step))
                power = _product(power, once.ways)
    return _Bound(ways, steps)


def _sum(first: Polynomial, second: Polynomial) -> Polynomial:
    return tuple(a + b for a, b in zip(first, second, strict=True))


def _product(first: Polynomial, second: Polynomial) -> Polynomial:
    found = [0.0] * (_DEGREE + 1)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            if a and b:
                if i + j > _DEGREE or a * b > _MOST_STEPS:
                    raise NoBoundError
                found[i + j] += a * b
    return tuple(found)


# ---------------------------------------------------------------- characters


def is_disjoint(literal: Part, other: Part) -> bool:
    """Whether the first is a character of ASCII that the second certainly cannot be."""
    if literal.kind is not op.LITERAL or literal.value >= 0x80 or other.kind not in CHARACTERS:  # noqa: PLR2004
        return False
    if not literal.flags & re.IGNORECASE:
        return not may_be(other, literal.value)
    character = chr(literal.value)
    either = {ord(character.lower()), ord(character.upper())}
    return character not in _FOLDED_BEYOND_ASCII and not any(may_be(other, one) for one in either)


def may_be(part: Part, character: int) -> bool:
    """Whether a part of one character can be this one; of one of ASCII rather true than false."""
    kind, value, flags = part
    if kind is op.ANY:
        return character != ord("\n") or bool(flags & re.DOTALL)
    either = {character}
    if flags & re.IGNORECASE:
        if chr(character) in _FOLDED_BEYOND_ASCII:
            return True
        other = chr(character).lower(), chr(character).upper()
        either |= {ord(one) for one in other if len(one) == 1}
    if kind is op.LITERAL:
        return value in either
    if kind is op.NOT_LITERAL:
        return value not in either
    found = any(_holds(item, one) for item in value if item[0] is not op.NEGATE for one in either)
    return found != (value[0][0] is op.NEGATE)


def _holds(item: tuple[Any, Any], character: int) -> bool:
    kind, value = item
    if kind is op.LITERAL:
        return bool(value == character)
    if kind is op.RANGE:
        return bool(value[0] <= character <= value[1])
    return re.match("\\" + _CATEGORIES[value], chr(character)) is not None
