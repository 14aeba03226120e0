"""The head of a line by the grammar of `_rules`, and shapes: one expression for all lines whose heads have its parts.

`walk` follows the states and gives a HeadShape, which knows what its groups mean. Compiled, a shape alone finds the
same head in a line: at each part it makes sure that no earlier rule would have been taken. That takes 1 to 3 µs instead
of 10 to 40, and `HeadShape.pattern` may be run over many lines at once.
"""

from __future__ import annotations

import re
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

from agent.core import severity
from agent.core.patterns import lazy
from agent.parse.formats import NOTHING, Head
from agent.parse.formats._grammar import END, WHOLE, unnamed
from agent.parse.formats._levels import SEVERITIES
from agent.parse.formats._rules import STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.parse.formats._grammar import Rule, State

_GROUP = lazy(r"\(\?P<(\w+)>")

# What the groups of the rules become, beside timestamp, level, priority and logger: names of OpenTelemetry's
# conventions (https://opentelemetry.io/docs/specs/semconv/registry/attributes/).
_Kept = tuple[str, "Callable[[str], Any]"]
ATTRIBUTES: dict[str, _Kept] = {
    "pid": ("process.pid", int),
    "tid": ("thread.id", int),
    "thread": ("thread.name", str.strip),
    "host": ("host.name", str),
    "user": ("user.name", str),
    "database": ("db.namespace", str),
    "file": ("code.file.path", str),
    "line": ("code.line.number", int),
    "client": ("client.address", str),
    "port": ("client.port", int),
    "node": ("elasticsearch.node.name", str),
    "code": ("db.response.status_code", str),
    "container": ("container.name", str),
    "invocation": ("faas.invocation_id", str),
}


class _Choices:
    """The rules of a state, by the character with which a part begins."""

    def __init__(self, state: State) -> None:
        self.pass_lead = lazy(state.lead, re.ASCII).match
        self._rules = [(number, rule.starts, lazy(rule.pattern, re.ASCII)) for number, rule in enumerate(state.rules)]
        self._by_first: dict[str, tuple[tuple[int, re.Pattern[str]], ...]] = {}

    def of(self, first: str) -> tuple[tuple[int, re.Pattern[str]], ...]:
        """The rules, with their numbers, that may fit a text with this first character."""
        found = self._by_first.get(first)
        if found is None:
            may_fit = (rule for rule in self._rules if not rule[1] or (first and first in rule[1]))
            found = tuple((number, pattern) for number, _, pattern in may_fit)
            if len(self._by_first) < _MOST_CHARACTERS:
                self._by_first[first] = found
        return found


_MOST_CHARACTERS = 256
_CHOICES = {name: _Choices(state) for name, state in STATES.items()}

Steps = tuple[tuple[str, int], ...]


class HeadShape:
    """The parts of a head, in their order.

    Attributes:
        steps: the states that were passed, each with the number of the rule that was taken there, -1 for none.
        times: how often the grammar has found it.
    """

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.times = 0
        last, number = steps[-1]
        state = STATES[last]
        self._whole = (state.rules[number].then if number >= 0 else state.otherwise) == WHOLE
        names = [name for state, number in steps if number >= 0 for name in _names(STATES[state].rules[number])]
        roles = _roles(names, logger_in_brackets="BRACKET" in (name for name, _ in steps))
        at = {role: index for index, role in enumerate(roles)}  # of a logger that is found twice the second counts
        self._timestamp, self._level, self._priority = at.get("timestamp"), at.get("level"), at.get("priority")
        self._logger = at.get("logger")
        self._kept = [(index, *ATTRIBUTES[role]) for index, role in enumerate(roles) if role in ATTRIBUTES]
        self._empty = self._timestamp is None and self._level is None and self._priority is None

    @cached_property
    def expression(self) -> str:
        """The text of `pattern`."""
        return "^" + "".join(_expression(STATES[name], number) for name, number in self.steps)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Of a head, at the beginning of a line: its groups are what `head` takes, what follows is the message.

        A thousand characters of the expression take 0.5 ms to compile.
        """
        return re.compile(self.expression, re.ASCII | re.MULTILINE)

    @cached_property
    def match(self) -> Callable[[str], re.Match[str] | None]:
        """Fits the lines of this shape."""
        return self.pattern.match

    def head(self, groups: Sequence[str | None], end: int) -> Head:
        """The head of a line.

        Args:
            groups: what `pattern` has found in it.
            end: where the match ends in the line.
        """
        if self._empty:
            return NOTHING
        level = None if self._level is None else groups[self._level]
        number = SEVERITIES[level]
        if self._priority is not None:
            number = severity.read(int(groups[self._priority] or 0) % 8)
        logger = None if self._logger is None else groups[self._logger]
        attributes = None
        if self._kept:
            attributes = {name: convert(value) for index, name, convert in self._kept if (value := groups[index])}
        return Head(
            None if self._timestamp is None else groups[self._timestamp],
            level,
            number,
            (logger.strip() or None) if logger else None,
            0 if self._whole else end,
            None,
            attributes or None,
        )


def _names(rule: Rule) -> list[str]:
    return [] if rule.seen else _GROUP.findall(rule.pattern)


def _roles(names: list[str], *, logger_in_brackets: bool) -> list[str]:
    """What the groups mean: a second number is a thread's, and a bracket is a thread's name, but between others a
    logger's.
    """
    roles: list[str] = []
    for name in names:
        if name == "where":
            roles.append("logger" if logger_in_brackets and names.count("logger") == 0 else "thread")
        elif name == "pid" and "pid" in roles:
            roles.append("" if "tid" in names or "tid" in roles else "tid")
        else:
            roles.append(name)
    return roles


def _expression(state: State, number: int) -> str:
    """What is passed over, then that no rule before this one fits, then this one."""
    rule = state.rules[number] if number >= 0 else None
    before = state.rules[:number] if rule is not None else state.rules
    text = state.lead
    if refused := _any_of([one for one in before if rule is None or one.may_fit_where(rule)]):
        text += f"(?!{refused})"
    if rule is not None and not rule.seen:
        text += f"(?>{_GROUP.sub('(', rule.pattern)})"
    return text


def _any_of(rules: list[Rule]) -> str:
    guarded = groupby(rules, key=lambda rule: rule.guard)
    alternatives = [(guard, "|".join(unnamed(rule.pattern) for rule in some)) for guard, some in guarded]
    return "|".join(f"{guard}(?:{patterns})" if guard else patterns for guard, patterns in alternatives)


_SHAPES: dict[Steps, HeadShape] = {}
_MOST_SHAPES = 4096


def walk(line: str) -> tuple[HeadShape, Head]:
    """The shape of a line and its head. It takes time linear in the length of the line."""
    name, at = "START", 0
    steps: list[tuple[str, int]] = []
    groups: list[str | None] = []
    while name not in (END, WHOLE):
        choices = _CHOICES[name]
        passed = choices.pass_lead(line, at)
        at = at if passed is None else passed.end()
        for number, pattern in choices.of(line[at : at + 1]):
            match = pattern.match(line, at)
            if match is not None:
                rule = STATES[name].rules[number]
                if not rule.seen:
                    groups += match.groups()
                    at = match.end()
                break
        else:
            number, rule = -1, None
        steps.append((name, number))
        name = STATES[name].otherwise if rule is None else rule.then
    key = tuple(steps)
    shape = _SHAPES.get(key)
    if shape is None:
        shape = HeadShape(key)
        if len(_SHAPES) < _MOST_SHAPES:
            _SHAPES[key] = shape
    return shape, shape.head(groups, at)
