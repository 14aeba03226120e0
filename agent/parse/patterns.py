"""Lines by the patterns of their source: `format: {pattern: REGEX}`, or several that are tried in order.

A pattern is searched for in the line as it is: nothing is taken off before, no wrapper of a container runtime and no
JSON. It is tried at the beginning first, where nearly all fit: there it costs 1 to 2 µs, and is linear for most
expressions. One that fits begins an event, whatever the line begins with; one that no pattern fits says so, and goes on
with the event before it where a line of text would.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cached_property, lru_cache
from itertools import repeat, takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.core.event import ERROR, REDACTED, WARN
from agent.core.expressions import LIVE_BUDGET_S, Expression, TimeBudget, UndecidedError
from agent.core.expressions.cost import is_anchored
from agent.core.line_patterns import attributes_of, roles_of
from agent.core.severity import UNREADABLE, SeverityTable
from agent.parse.formats import Head, LineRules
from agent.parse.patterncolumns import STATUS, PatternColumns, PatternParts
from agent.parse.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PATTERN = "pattern"  # the name of the format in the settings of a source that has patterns
NO_PATTERN = "no pattern fits"
NOT_IN_TIME = "no pattern fits: not done in time"
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
        return not self.error


_UNFIT, _UNDECIDED = PatternHead(error=NO_PATTERN), PatternHead(error=NOT_IN_TIME)


class Piece(NamedTuple):
    """A part of a line that a group has found: [start, end) in characters, and the role or attribute that it is."""

    start: int
    end: int
    name: str


# As the fields of Head: instant, level, severity, logger, where the message begins, the message, attributes.
Parts = tuple[str | None, str | None, int, str | None, int, str | None, dict[str, Any]]


class _Levels(SeverityTable):
    def __missing__(self, value: Any) -> int:
        number = super().__missing__(value)
        if number == UNREADABLE:
            number = self[value] = _LEVELS.get(value.strip().lower(), 0) if len(self) < _MOST_LEVELS else 0
        return number


_MOST_LEVELS = 4096


class Pattern:
    """One pattern: where it is tried, and what its groups are."""

    def __init__(self, text: str, budget: TimeBudget) -> None:
        names = dict(re.compile(text).groupindex)
        by_number = {number: name for name, number in names.items()}
        roles, attributes = roles_of(names), attributes_of(names)
        self._groups = names
        self._names = {number: name for name, number in (*roles.items(), *attributes.items())}
        self._message = roles.get("message", 0)
        # The names of the groups that are taken for these, empty where there is none.
        self._timestamp, self._severity, self._logger, self._body = (
            by_number.get(roles.get(role, 0), "") for role in ("timestamp", "severity", "logger", "message")
        )
        self._renamed = {by_number[number]: name for number, name in self._names.items() if by_number[number] != name}
        self._has_status = STATUS in attributes
        self._levels = _Levels("auto")
        start = Expression(text, budget, at_start=True)
        self._at_start, self.plain_up_to = start.search, start.plain_up_to
        self._roles = roles
        self._anywhere = None if is_anchored(text) else Expression(text, budget).search

    @cached_property
    def columns(self) -> PatternColumns:
        """For what it finds in many lines."""
        return PatternColumns(self._names, self._roles, self._levels, _severity_of_status)

    def match(self, line: str) -> Any:
        """Its match in a line, None where it does not fit. Raises UndecidedError."""
        match = self._at_start(line)
        return self._anywhere(line) if match is None and self._anywhere is not None else match

    def pieces(self, line: str) -> list[Piece] | None:
        """What each of its groups has found, in the order of the line; None where it does not fit. Raises
        UndecidedError.
        """
        match = self.match(line)
        if match is None:
            return None
        spans = [Piece(match.start(number), match.end(number), name) for number, name in self._names.items()]
        return sorted(piece for piece in spans if piece.start >= 0)

    def read(self, line: str) -> Parts | None:
        """What its groups have found, None where it does not fit. Raises UndecidedError."""
        match = self._at_start(line)
        if match is None and (self._anywhere is None or (match := self._anywhere(line)) is None):
            return None
        # All groups in one call, 0.8 µs less than one by one. The module `regex` has other names for them.
        found = match.groupdict() if type(match) is re.Match else _found_by(match, self._groups)
        timestamp = found.pop(self._timestamp) if self._timestamp else None
        level = found.pop(self._severity) if self._severity else None
        logger = found.pop(self._logger) if self._logger else None
        start, message = 0, None
        if self._body:
            start, end = match.span(self._message)
            message = found.pop(self._body)
            if start < 0:
                start = 0
            elif end == len(line):
                message = None
            elif start == 0:
                start = end or 1  # not 0: that would be all of the line
        if None in found.values():
            found = {name: value for name, value in found.items() if value is not None}
        if self._renamed and found:
            found = {self._renamed.get(name, name): value for name, value in found.items()}
        severity = self._levels[level] if level else 0
        if self._has_status and not severity:
            severity = _severity_of_status(found.get(STATUS))
        return timestamp or None, level or None, severity, logger or None, start, message, found


def _found_by(match: Any, groups: dict[str, int]) -> dict[str, Any]:
    return {name: match.group(number) for name, number in groups.items()}


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
        self._patterns = [Pattern(text, budget) for text in texts]
        self._decided = True  # about the last line that none fitted
        self.undecided = 0  # lines since the last report on which one of them was not done in time

    def read(self, line: str) -> Parts | None:
        """What the first pattern that fits finds; None where none fits, or none that is done in time."""
        decided = True
        for pattern in self._patterns:
            try:
                parts = pattern.read(line)
            except UndecidedError:
                decided = False
                continue
            if parts is not None:
                return parts
        self._decided = decided
        self.undecided += not decided
        return None

    def fitting(self, lines: Sequence[str], longest: int) -> tuple[list[Pattern], list[Any]]:
        """Which pattern is the first that fits each line, and its match there: as far as each line has one.

        Args:
            lines: any.
            longest: so many characters have they at most.
        """
        patterns: list[Pattern] = []
        matches: list[Any] = []
        first, rest = self._patterns[0], iter(lines)
        plain = first.plain_up_to(longest)
        while len(matches) < len(lines):
            if plain is not None:
                matches += takewhile(bool, map(plain, rest))
                patterns += repeat(first, len(matches) - len(patterns))
                if len(matches) == len(lines):
                    break
            found = self._first_fitting(lines[len(matches)])
            if found is None:
                break
            patterns.append(found[0])
            matches.append(found[1])
        return patterns, matches

    def _first_fitting(self, line: str) -> tuple[Pattern, Any] | None:
        for pattern in self._patterns:
            with suppress(UndecidedError):
                match = pattern.match(line)
                if match is not None:
                    return pattern, match
        return None

    def find_head(self, line: str) -> Head:
        """The head by the first pattern that fits, or one with an `error`."""
        parts = self.read(line)
        if parts is None:
            return _UNFIT if self._decided else _UNDECIDED
        return PatternHead(*parts[:6], parts[6] or None)

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


def columns_of(patterns: Sequence[Pattern], lines: Sequence[str], matches: Sequence[Any]) -> PatternParts:
    """The columns of lines, at least one.

    Args:
        patterns: the one that fits each.
        lines: as they are.
        matches: of the pattern in the line.
    """
    used = set(patterns)
    if len(used) == 1:
        return patterns[0].columns.of(lines, matches)
    rows: list[Any] = [()] * len(lines)
    for pattern in used:
        places = [at for at, one in enumerate(patterns) if one is pattern]
        columns = pattern.columns.of([lines[at] for at in places], [matches[at] for at in places])
        for at, row in zip(places, zip(*columns, strict=True), strict=True):
            rows[at] = row
    return PatternParts(*map(list, zip(*rows, strict=True)))


@lru_cache(maxsize=32)
def patterns_of(texts: tuple[str, ...]) -> LinePatterns:
    """The same for the events of a source that are joined with later lines, which has a budget of its own."""
    return LinePatterns(texts)
