"""Lines by the patterns of their source: `format: {pattern: REGEX}`, or several that are tried in order.

A pattern is searched for in the line as it is: nothing is taken off before, no wrapper of a container runtime and no
JSON. It is tried at the beginning first, where nearly all fit: there it costs 1 to 2 µs, and is linear for most
expressions. One that fits begins an event, whatever the line begins with; one that no pattern fits says so, and goes on
with the event before it where a line of text would.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.core.event import ERROR, REDACTED, WARN
from agent.core.expression_cost import is_anchored
from agent.core.expressions import LIVE_BUDGET_S, Expression, TimeBudget, UndecidedError
from agent.core.line_patterns import attributes_of, roles_of
from agent.core.severity import UNREADABLE, SeverityTable
from agent.parse.formats import Head, LineRules
from agent.parse.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PATTERN = "pattern"  # the name of the format in the settings of a source that has patterns
NO_PATTERN = "no pattern fits"
NOT_IN_TIME = "no pattern fits: not done in time"
_STATUS = "http.response.status_code"  # of a line without a severity it says one
_SERVER_ERROR, _CLIENT_ERROR, _INFO = 500, 400, 9
# What programs write that no library of JSON lines does: Redis' marks, Android's verbose, MySQL's System, and the
# lines that PostgreSQL writes below another.
_LEVELS = {
    ".": 5, "*": 10, "#": WARN, "v": 1, "system": _INFO, "detail": _INFO, "hint": _INFO, "statement": _INFO,
    "context": _INFO, "query": _INFO, "deprecated": WARN, "emerg": 24,
}  # fmt: skip


class PatternHead(Head):
    """The head of a line by a pattern. It begins an event also where it has neither instant nor severity."""

    def __bool__(self) -> bool:
        return self.error is None


_UNFIT, _UNDECIDED = PatternHead(error=NO_PATTERN), PatternHead(error=NOT_IN_TIME)


class Piece(NamedTuple):
    """A part of a line that a group has found: [start, end) in characters, and the role or attribute that it is."""

    start: int
    end: int
    name: str


class _Levels(SeverityTable):
    def __missing__(self, value: Any) -> int:
        number = super().__missing__(value)
        if number == UNREADABLE:
            number = self[value] = _LEVELS.get(value.strip().lower(), 0) if len(self) < _MOST_LEVELS else 0
        return number


_MOST_LEVELS = 4096


class _Pattern:
    """One pattern: where it is tried, and what its groups are."""

    def __init__(self, text: str, budget: TimeBudget) -> None:
        names = dict(re.compile(text).groupindex)
        roles, self._attributes = roles_of(names), tuple(attributes_of(names).items())
        self._names = {**{number: role for role, number in roles.items()}, **{n: name for name, n in self._attributes}}
        self._timestamp, self._severity = roles.get("timestamp", 0), roles.get("severity", 0)
        self._message, self._logger = roles.get("message", 0), roles.get("logger", 0)
        self._attributes += tuple((role, roles[role]) for role in ("service", "trace_id", "span_id") if role in roles)
        self._status = dict(self._attributes).get(_STATUS, 0)
        self._levels = _Levels("auto")
        self._at_start = Expression(text, budget, at_start=True).search
        self._anywhere = None if is_anchored(text) else Expression(text, budget).search

    def _match(self, line: str) -> Any:
        match = self._at_start(line)
        return self._anywhere(line) if match is None and self._anywhere is not None else match

    def pieces(self, line: str) -> list[Piece] | None:
        """What each of its groups has found, in the order of the line; None where it does not fit. Raises
        UndecidedError.
        """
        match = self._match(line)
        if match is None:
            return None
        spans = [Piece(match.start(number), match.end(number), name) for number, name in self._names.items()]
        return sorted(piece for piece in spans if piece.start >= 0)

    def find(self, line: str) -> Head | None:
        """The head of a line, None where it does not fit. Raises UndecidedError."""
        match = self._match(line)
        if match is None:
            return None
        whole = match.group
        level = whole(self._severity) if self._severity else None
        severity = self._levels[level] if level else 0
        attributes = {}
        for name, number in self._attributes:
            value = whole(number)
            if value is not None:
                attributes[name] = value
        if self._status and not severity:
            severity = _severity_of_status(whole(self._status))
        start, end = match.span(self._message) if self._message else (-1, -1)
        message = None if start <= 0 or end == len(line) else line[start:end]
        if start == 0 and end < len(line):
            start, message = end or 1, line[:end]
        return PatternHead(
            (whole(self._timestamp) or None) if self._timestamp else None,
            level or None,
            severity,
            (whole(self._logger) or None) if self._logger else None,
            max(start, 0),
            message,
            attributes or None,
        )


def _severity_of_status(status: str | None) -> int:
    """As the format `combined` takes it."""
    if status is None or not (status.isascii() and status.isdigit()):
        return 0
    number = int(status[:4])
    return ERROR if number >= _SERVER_ERROR else WARN if number >= _CLIENT_ERROR else _INFO


class LinePatterns:
    """The patterns of a source, in order. All of its files share them, and so their budget of time.

    Args:
        texts: each is none that `core.line_patterns.problem_with` refuses.

    Raises:
        re.error, RecursionError, OverflowError: one of them is no expression.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        budget = TimeBudget(LIVE_BUDGET_S)
        self._patterns = [_Pattern(text, budget) for text in texts]
        self.undecided = 0  # lines since the last report on which one of them was not done in time

    def find_head(self, line: str) -> Head:
        """The head by the first pattern that fits, or one with an `error`."""
        decided = True
        for pattern in self._patterns:
            try:
                head = pattern.find(line)
            except UndecidedError:
                decided = False
                continue
            if head is not None:
                return head
        if decided:
            return _UNFIT
        self.undecided += 1
        return _UNDECIDED

    def pieces(self, line: str) -> tuple[int, list[Piece]] | None:
        """Which pattern fits a line, counted from 0, and what its groups have found; None where none fits in time."""
        for index, pattern in enumerate(self._patterns):
            try:
                found = pattern.pieces(line)
            except UndecidedError:
                continue
            if found is not None:
                return index, found
        return None

    def hidden(self, line: str, keys: set[str]) -> str:
        """A line with what some groups have found replaced; all of it where that cannot be told in time.

        Args:
            line: any.
            keys: roles and attributes in lower case.
        """
        for pattern in self._patterns:
            try:
                found = pattern.pieces(line)
            except UndecidedError:
                return REDACTED
            if found is not None:
                for piece in reversed(found):
                    if piece.name.lower() in keys:
                        line = line[: piece.start] + REDACTED + line[piece.end :]
                return line
        return line

    def rules(self) -> LineRules:
        """What the lines of the source can be."""
        return LineRules(
            wrappers={},
            wrapped=False,
            json=False,
            only_json=False,
            find_head=self.find_head,
            read_head=lru_cache(maxsize=4)(self.find_head),
            explicit=True,
        )


class PatternRedactor(Redactor):
    """Replaces the values of keys also where a group of a pattern names them and the line does not."""

    def __init__(self, keys: Sequence[str], patterns: LinePatterns) -> None:
        super().__init__(keys)
        self._hidden: Callable[[str], str] = lambda text: patterns.hidden(text, self._keys)

    def may_apply(self, data: bytes) -> bool:
        """Whether any value may have to be replaced: what a group finds has no name in the line."""
        del data
        return True

    def text(self, text: str) -> str:
        """A line with replacements."""
        return super().text(self._hidden(text))


@lru_cache(maxsize=32)
def patterns_of(texts: tuple[str, ...]) -> LinePatterns:
    """The same for the events of a source that are joined with later lines, which has a budget of its own."""
    return LinePatterns(texts)
