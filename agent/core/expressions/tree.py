"""A regular expression as the module `re` reads it: the tree that Python makes of it, part by part."""

from __future__ import annotations

# `re` reads an expression into this tree since Python 3.11; what of it is not known here counts as without a bound.
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

REPEATS = frozenset((op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT))
CHARACTERS = frozenset((op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN))


class Part(NamedTuple):
    """One element of an expression, with the flags that hold for it."""

    kind: Any
    value: Any
    flags: int


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
