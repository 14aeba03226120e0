"""The query language: terms that are ANDed.

    term   = ["!"] (text | field operator value)
    text   = a word or a "quoted phrase": a substring of the event's text
    field  = severity logger service source path message trace_id span_id group category state,
             or a dotted path
    operator = "=" "!=" ">" ">=" "<" "<=" "~"
    value  = a word or a "quoted text"

In quotes a backslash escapes a quote or a backslash; any other backslash stands for itself, so that a regular
expression can be quoted as it is. `parse_query` reads one string with blanks between terms, `parse_terms` a command
line where each argument is one term and blanks need no quotes. `str(query)` gives a string that reads back as the
same query, in either form of each term.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import msgspec

from agent.core.errors import UsageError
from agent.core.patterns import lazy
from agent.core.severity import number_range
from agent.query.analysis import Analysis, analyse
from agent.query.predicate import compile_conditions
from agent.query.terms import Term, conjunction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.core.groups import GroupTraits
    from agent.query.predicate import Check, Matchable
    from agent.query.terms import Alternatives

OPERATORS = ("!=", ">=", "<=", "=", ">", "<", "~")  # longer ones first

_BLANKS = " \t\r\n\v\f"
_OPERATOR = lazy(r'[^\s"!<>=~]([^\s"<>=~]*?)(?=!=|[<>=~])')
_SYMBOL = lazy("|".join(map(re.escape, OPERATORS)))


class Query(msgspec.Struct, frozen=True, dict=True):
    """Terms that must all hold, except that several `FIELD=VALUE` of one field are alternatives."""

    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))

    def __and__(self, other: Query) -> Query:
        return Query(self.terms + other.terms)

    @cached_property
    def conditions(self) -> tuple[Alternatives, ...]:
        """The terms as a conjunction of alternatives: repeated `FIELD=` in one inner tuple."""
        return conjunction(self.terms)

    @cached_property
    def analysis(self) -> Analysis:
        """What it can match, by which engines and live rules narrow down what they look at.

        Raises:
            UsageError: as `compiled`.
        """
        return analyse(self.conditions)

    @cached_property
    def _predicate(self) -> Check:
        return compile_conditions(self.conditions)

    def compiled(self) -> Query:
        """This query, with every value checked: a level, a regular expression.

        Raises:
            UsageError: SL512 an unknown level; SL513 a bad regular expression.
        """
        _ = self._predicate
        return self

    def matches(self, event: Matchable, categories: Mapping[int, GroupTraits] | None = None) -> bool:
        """Whether an event satisfies all terms. `categories` maps error group ids to what is known of them."""
        return self._predicate(event, {} if categories is None else categories)  # which may be read when asked for


def parse_query(text: str) -> Query:
    """Read a query from one string, such as a rule's `match`; an empty string matches everything.

    Raises:
        UsageError: SL510 a term cannot be read; SL511 a quote is not closed; SL512, SL513 a bad value.
    """
    terms: list[Term] = []
    position = 0
    while position < len(text):
        if text[position] in _BLANKS:
            position += 1
            continue
        term, position = _Reader(text).term(position)
        terms.append(term)
    return Query(tuple(terms)).compiled()


def parse_terms(arguments: Sequence[str]) -> Query:
    """Read a query from a command line: one argument is one term, blanks in it are part of its word or value.

    Raises:
        UsageError: as `parse_query`.
    """
    return Query(tuple(_argument(text) for text in arguments)).compiled()


def all_equal(field: str, values: Iterable[str]) -> Query:
    """The query that `field` has one of these values; no values: no condition."""
    return Query(tuple(Term(field, "=", value) for value in values))


def severity_query(text: str) -> Query:
    """The query of `-p`, as `number_range` reads it.

    Raises:
        UsageError: SL512, a level is unknown or the range is empty.
    """
    number_range(text)
    low, _, high = text.partition("..")
    terms = [Term("severity", operator, level.strip()) for operator, level in ((">=", low), ("<=", high)) if level]
    return Query(tuple(terms))


def _argument(text: str) -> Term:
    term, end = _Reader(text, whole=True).term(0)
    if end < len(text):
        raise QueryError.at("SL510.argument", text, end)
    return term


class _Reader:
    """Reads terms of one text; `whole`: an unquoted word reaches to the text's end."""

    def __init__(self, text: str, *, whole: bool = False) -> None:
        self.text = text
        self.whole = whole

    def term(self, start: int) -> tuple[Term, int]:
        """The term at `start` and the position after it."""
        negated = self.text.startswith("!", start)
        position = start + negated
        if self.text.startswith("!", position):
            raise QueryError.at("SL510.negated", self.text, position)
        field = None if self.text.startswith('"', position) else _OPERATOR.match(self.text, position)
        if field is None:
            value, end = self._value(position)
            if not value:
                raise QueryError.at("SL510.empty", self.text, position)
            if _SYMBOL.match(self.text, position):
                raise QueryError.at("SL510.field", self.text, position, symbol=self.text[position])
            return Term(None, "", value, negated), end
        symbol = _SYMBOL.match(self.text, field.end())
        assert symbol is not None  # _OPERATOR looked ahead to it
        value, end = self._value(symbol.end())
        if not value and not self.text.startswith('"', symbol.end()) and symbol[0] not in ("=", "!="):
            raise QueryError.at("SL510.value", self.text, symbol.end(), field=field[0], symbol=symbol[0])
        return Term(field[0], symbol[0], value, negated), end

    def _value(self, start: int) -> tuple[str, int]:
        if self.text.startswith('"', start):
            return self._quoted(start)
        if self.whole:
            return self.text[start:], len(self.text)
        end = start
        while end < len(self.text) and self.text[end] not in _BLANKS:
            end += 1
        return self.text[start:end], end

    def _quoted(self, start: int) -> tuple[str, int]:
        characters: list[str] = []
        position = start + 1
        while position < len(self.text):
            character = self.text[position]
            if character == '"':
                return self._closed("".join(characters), position + 1)
            if character == "\\" and self.text[position + 1 : position + 2] in ('"', "\\"):
                position += 1
                character = self.text[position]
            characters.append(character)
            position += 1
        raise QueryError.at("SL511", self.text, start)

    def _closed(self, value: str, end: int) -> tuple[str, int]:
        if not self.whole and end < len(self.text) and self.text[end] not in _BLANKS:
            raise QueryError.at("SL510.blank", self.text, end)
        return value, end


# ---------------------------------------------------------------- what to count by


class Grouping(msgspec.Struct, frozen=True):
    """What to count by: fields, time buckets of `every_ns` aligned to the epoch, the `top` largest."""

    by: Sequence[str] = ()
    every_ns: int | None = None
    top: int | None = None


# ---------------------------------------------------------------- what cannot be read


_SHOWN = 60  # characters of the query on each side of the caret


class QueryError(UsageError):
    """A term cannot be read. `subject` is what was given, `position` the index of the character at fault."""

    position = 0

    @classmethod
    def at(cls, key: str, text: str, position: int, /, **facts: Any) -> Self:
        """As `of`, for a place in the text of a query."""
        error = cls.of(key, text, at=position + 1, **facts)
        error.position = position
        return error

    def pointer(self) -> str:
        """Two lines: the text around the place, and a caret under it."""
        start = max(0, self.position - _SHOWN)
        shown = "".join(c if c.isprintable() else "?" for c in self.subject[start : self.position + _SHOWN])
        return f"{shown}\n{' ' * (self.position - start)}^"


# ---------------------------------------------------------------- what is asked for


class Selection(msgspec.Struct, frozen=True):
    """Which events are asked for: a query and a half-open time span [since, until) in nanoseconds."""

    query: Query
    since: int | None = None
    until: int | None = None


def bounds(selection: Selection) -> tuple[int, int]:
    """The time span as [since, until) that SQLite can hold."""
    lowest, highest = -(2**63), 2**63 - 1
    since = lowest if selection.since is None else selection.since
    until = highest if selection.until is None else selection.until
    return max(lowest, min(since, highest)), max(lowest, min(until, highest))
