"""What stands in every text in which an expression is found: letters by which texts can be chosen without it."""

from __future__ import annotations

import re
from re import _constants as op  # type: ignore[attr-defined]
from typing import NamedTuple

from agent.core.expressions.first import FOLDED_BEYOND_ASCII
from agent.core.expressions.tree import read

_FEWEST = 3  # fewer stand in nearly every text


class Letters(NamedTuple):
    """Letters of ASCII in a row, in either case where `folded`."""

    text: str
    folded: bool


def required_letters(text: str) -> Letters | None:
    """The most letters in a row that each match of an expression holds; None where they are few.

    Without regard to case `k`, `s` and `i` are left out: letters beyond ASCII match them.

    Args:
        text: of the expression, which is one.
    """
    best, run = Letters("", folded=False), Letters("", folded=False)
    for kind, value, flags in read(text):
        folded = bool(flags & re.IGNORECASE)
        letter = chr(value) if kind is op.LITERAL else ""
        if not (letter.isascii() and letter.isalpha()) or (folded and letter in FOLDED_BEYOND_ASCII):
            letter = ""
        run = Letters((run.text if run.folded == folded and letter else "") + letter, folded)
        best = max(best, run, key=lambda one: len(one.text))
    return best if len(best.text) >= _FEWEST else None
