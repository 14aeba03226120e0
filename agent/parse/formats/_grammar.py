"""What a rule of the grammar of heads is, and the pieces that the patterns of several rules have in common."""

from __future__ import annotations

import re
from typing import NamedTuple

END = "END"  # the message begins here
WHOLE = "WHOLE"  # the message is the whole line


class Rule(NamedTuple):
    """One kind of part.

    Attributes:
        starts: the characters with which it begins, all where they are empty.
        pattern: a regular expression; each of its groups has a name.
        then: the state that follows.
        seen: it takes nothing, and is true wherever the parts that follow it are found.
        second: the characters that may come second, all where they are empty.
        guard: a cheap look, true wherever the pattern fits; rules with the same one stand together.
    """

    starts: str
    pattern: str
    then: str
    seen: bool = False
    second: str = ""
    guard: str = ""

    def may_fit_where(self, other: Rule) -> bool:
        """Whether a text that the other one fits could be this one's, by its first two characters."""
        return _may_meet(self.starts, other.starts) and _may_meet(self.second, other.second)


def _may_meet(one: str, other: str) -> bool:
    return not one or not other or not set(one).isdisjoint(other)


class State(NamedTuple):
    """What is passed over, what may follow, and what is next where nothing of it does."""

    lead: str
    rules: tuple[Rule, ...]
    otherwise: str


GAP = r"[ \t]{0,80}+(?:(?:[|:\]]|-{1,3}(?=[ \t]|$)|--?>)[ \t]{0,80}+){0,6}+"  # between a level and what follows
BETWEEN = (
    r"[ \t]{0,80}+(?:(?:\|-(?=[A-Z])|[|,;:>\]]|-{1,3}(?=[ \t\[<{]))[ \t]{0,80}+){0,6}+"  # between the parts of a head
)
NO_SUBJECT = "(?! (?:is|are|was|were|and|or|of)[ ,])"  # of a sentence: `ERROR is what we call it`
EDGE = r"(?=[ \t|,;:\])>]|$)"
NUMBER_EDGE = r"(?=[ \t|,;\])>]|:[ \t\[]|$)"

# ---------------------------------------------------------------- names

NAME = r"[A-Za-z_$][\w$./:<>#-]{0,120}"
DOTTED = r"[A-Za-z_$][\w$-]{0,60}(?:(?:\.|/|::)[\w$<>-]{1,80}){1,14}"
NO_EXCEPTION = "(?<!Error)(?<!Exception)(?<!Throwable)(?<!Failure)(?<!Fault)(?<!Warning)"
AFTER_NAME = r"(?:[ \t]{1,60}-|[ \t]{0,60}:)(?:[ \t]|$)"
FILE = r"(?=[\w./])(?=[\w./\\+-]{1,160}+:\d|[\w./-]{1,160}+ \(line )[\w./\\+-]{1,160}\.[a-z]{1,5}"
IN_BRACKETS = r"[^\[\]\n]{0,120}(?:\[[^\[\]\n]{0,60}\][^\[\]\n]{0,120})?"
PIPED = r"(?:(?<=\|)|(?<=\| )|(?<=\|  ))"


def unnamed(pattern: str) -> str:
    """The pattern with groups that are not kept."""
    return re.sub(r"\(\?P<\w+>", "(?:", pattern)


def any_of(rules: tuple[Rule, ...]) -> str:
    """A pattern of any of the rules, without groups that are kept."""
    return "(?:" + "|".join(unnamed(rule.pattern) for rule in rules) + ")"
