r"""What a user's regular expression can cost, worked out from how Python reads it.

The module `re` tries one way after another, and has no limit: some expressions take it steps without end on a text of
forty characters. Here an upper bound of its steps is worked out, as a polynomial of the length of the text, so that
most expressions, on most texts, may be left to it (`safe_length`); the others go to the module `regex`, in the same
meaning (`agent.core.expression_text`), which has a time limit and takes three times as long.

The bound counts the ways in which each part can match at one place, and the steps to try all of them:

- parts in a row: the ways multiply, the steps of a part are made once for each way of those before it;
- alternatives: both add up;
- a repetition of one character, up to the end of the text: n + 1 ways. Where what follows cannot be that character
  (`\S+ `), only one of them leads on;
- a repetition without end of what can match in several ways, as in `(\w+)+`: there is no bound.

A search tries each place of the text. Where one character before the repetition is none of those that are repeated
(`took \d+ms`), no two tries walk over the same characters, so that all of them together are linear.
"""

from __future__ import annotations

import re

# `re` reads an expression into this tree since Python 3.11; what of it is not known here counts as without a bound.
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

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

REPEATS = frozenset((op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT))
CHARACTERS = frozenset((op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN))
_FOLDED_BEYOND_ASCII = frozenset("iksIKS")  # İ, ı, K (Kelvin) and ſ match them without regard to case
_CATEGORIES = {
    op.CATEGORY_DIGIT: "d", op.CATEGORY_NOT_DIGIT: "D", op.CATEGORY_SPACE: "s", op.CATEGORY_NOT_SPACE: "S",
    op.CATEGORY_WORD: "w", op.CATEGORY_NOT_WORD: "W",
}  # fmt: skip


class Part(NamedTuple):
    """One element of an expression, with the flags that hold for it."""

    kind: Any
    value: Any
    flags: int


class _Bound(NamedTuple):
    """At one place of a text of n characters: in how many ways a part can match, and the steps to try them all."""

    ways: Polynomial
    steps: Polynomial


class NoBoundError(Exception):
    """There is no polynomial bound, or one of too high a degree."""


def read(text: str) -> list[Part]:
    """The parts of an expression in a row; groups without alternatives are dissolved.

    Raises:
        re.error, RecursionError, OverflowError: it is none.
    """
    tree = _parser.parse(text)
    return parts_of(tree, tree.state.flags)


def parts_of(tree: Any, flags: int) -> list[Part]:
    """The parts of a subtree."""
    found: list[Part] = []
    for kind, value in tree:
        if kind is op.SUBPATTERN:
            _, added, removed, inner = value
            found += parts_of(inner, (flags | added) & ~removed)
        else:
            found.append(Part(kind, value, flags))
    return found


def safe_length(text: str) -> float:
    """The number of characters up to which a text may be given to `re`: it makes no more steps there than _FREE_STEPS
    and _FREE_STEPS_PER_CHARACTER. Infinite where that holds for all texts, -1 where it cannot be said of any.

    Args:
        text: the expression; it can be compiled.
    """
    try:
        total = search_steps(text)
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


def nesting(parts: list[Part]) -> int:
    """How deep repetitions lie in each other."""
    deepest = 0
    for kind, value, flags in parts:
        if kind in REPEATS:
            deepest = max(deepest, 1 + nesting(parts_of(value[2], flags)))
        else:
            deepest = max([deepest, *(nesting(parts_of(inner, flags)) for inner in inside(kind, value))])
    return deepest


def inside(kind: Any, value: Any) -> list[Any]:
    """The subtrees of a part that is no repetition."""
    if kind is op.BRANCH:
        return list(value[1])
    if kind is op.ATOMIC_GROUP:
        return [value]
    if kind in (op.ASSERT, op.ASSERT_NOT):
        return [value[1]]
    return [inner for inner in value[1:] if inner is not None] if kind is op.GROUPREF_EXISTS else []


def search_steps(text: str) -> Polynomial:
    """An upper bound of the steps of `re.search`.

    Raises:
        NoBoundError: there is none.
    """
    parts = read(text)
    steps = _sequence(parts).steps
    if parts and _is_begin(parts[0]):
        return _sum(_ALL, steps)
    return _walked_once(parts) or _product(_ALL, steps)


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


def _sequence(parts: list[Part]) -> _Bound:
    ways, steps = _ONE, _NONE
    for index, part in enumerate(parts):
        bound = _bound(part)
        if index + 1 < len(parts) and part.kind in REPEATS and _is_one_character(inner := _repeated(part)):
            follower = parts[index + 1]
            if is_disjoint(follower, inner[0]) or is_disjoint(inner[0], follower):
                bound = _Bound(_ONE, _sum(bound.steps, bound.ways))
        steps = _sum(steps, _product(ways, bound.steps))
        ways = _product(ways, bound.ways)
    return _Bound(ways, steps)


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
    """Whether a part of one character can be this one of ASCII; rather true than false."""
    kind, value, flags = part
    if kind is op.ANY:
        return character != ord("\n") or bool(flags & re.DOTALL)
    either = {character}
    if flags & re.IGNORECASE:
        if chr(character) in _FOLDED_BEYOND_ASCII:
            return True
        either |= {ord(chr(character).lower()), ord(chr(character).upper())}
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
