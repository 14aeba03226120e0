"""The query language: terms that are ANDed, `OR` between them, and parentheses.

    query  = all {"OR" all}
    all    = part {part}
    part   = term | ["!"] "(" query ")"
    term   = ["!"] (text | field operator value)
    text   = a word or a "quoted phrase": a substring of the event's text
    field  = severity logger service source path message trace_id span_id group category state,
             a dotted path, or attributes. and a dotted path into the line; in quotes where it has odd characters
    operator = "=" "!=" ">" ">=" "<" "<=" "~"
    value  = a word or a "quoted text"; of "=" and "!=" also with "*" behind it: how the value begins

In quotes a backslash escapes a quote or a backslash; any other backslash stands for itself, so that a regular
expression can be quoted as it is. `parse_query` reads one string with blanks between terms, `parse_terms` a command
line where each argument is one term and blanks need no quotes, or is `OR` or a parenthesis, or has these in it and is
read as one string. `str(query)` gives a string that reads back as the same query, in either form of each part.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from agent.core.severity import number_range
from agent.core.times import DAY_NS, LAST_NS, MINUTE_NS, local_floor
from agent.query.analysis import Analysis, analyse
from agent.query.predicate import compile_conditions
from agent.query.syntax import read_arguments, read_text
from agent.query.terms import Term, conjunction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.core.groups import GroupTraits
    from agent.query.predicate import Check, Matchable
    from agent.query.terms import Conjunction, Parentheses


class Query(msgspec.Struct, frozen=True, dict=True):
    """Terms, and parentheses with more of them, that must all hold, except that several `FIELD=VALUE` of one field are
    alternatives.
    """

    terms: tuple[Term | Parentheses, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))

    def __and__(self, other: Query) -> Query:
        return Query(self.terms + other.terms)

    @cached_property
    def conditions(self) -> Conjunction:
        """The terms as a conjunction: repeated `FIELD=` in one inner tuple."""
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
        UsageError: SL510 a term or a parenthesis cannot be read; SL511 a quote is not closed; SL512, SL513 a bad value.
    """
    return Query(read_text(text)).compiled()


def parse_terms(arguments: Sequence[str]) -> Query:
    """Read a query from a command line (`syntax.read_arguments`).

    Raises:
        UsageError: as `parse_query`.
    """
    return Query(read_arguments(arguments)).compiled()


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


# ---------------------------------------------------------------- what to count by


_QUARTER_NS = 15 * MINUTE_NS  # of an hour: by so much zones differ


class Grouping(msgspec.Struct, frozen=True):
    """What to count by: fields, time buckets of `every_ns`, the `top` largest. Buckets are aligned to the epoch, or to
    local midnight where `is_local`: days, and what divides one. Engines know only the former: they are asked for
    `counted`, of which each bucket lies in one of these.
    """

    by: Sequence[str] = ()
    every_ns: int | None = None
    top: int | None = None
    is_local: bool = False

    @property
    def counted(self) -> Grouping:
        """What engines count."""
        every = self.every_ns
        if not self.is_local or every is None or every % MINUTE_NS or (DAY_NS % every and every % DAY_NS):
            return Grouping(self.by, every, self.top)
        return Grouping(self.by, math.gcd(every, _QUARTER_NS), self.top)

    def start_of(self, bucket: int) -> int:
        """When (Unix ns) the bucket begins in which one of `counted` lies, by the number of that."""
        step = self.counted.every_ns or 1
        if step == self.every_ns or self.every_ns is None:
            return bucket * step
        return local_floor(bucket * step, self.every_ns)


# ---------------------------------------------------------------- what is asked for


class Selection(msgspec.Struct, frozen=True):
    """Which events are asked for: a query and a half-open time span [since, until) in nanoseconds."""

    query: Query
    since: int | None = None
    until: int | None = None


def bounds(selection: Selection) -> tuple[int, int]:
    """The time span of a selection as `bounded`."""
    return bounded(selection.since, selection.until)


def bounded(since: int | None, until: int | None) -> tuple[int, int]:
    """A time span as [since, until) that SQLite can hold; None has no bound."""
    lowest, highest = -LAST_NS - 1, LAST_NS
    since = lowest if since is None else since
    until = highest if until is None else until
    return max(lowest, min(since, highest)), max(lowest, min(until, highest))
