"""The query language over events in plain Python. It knows no SQL: rules over live events use it too."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from agent.core.errors import SidelogError, UsageError
from agent.core.event import severity_text
from agent.core.expressions import MOST_CHARACTERS, Expression, TimeBudget, UndecidedError, wrong_with
from agent.core.groups import GroupTraits
from agent.core.severity import HIGHEST, level_range
from agent.core.times import format_utc
from agent.core.values import exact, lookup, number, text_of
from agent.query.searched import holds, is_exact_case
from agent.query.terms import AGENT, LINE, NAMED_FIELDS, Alternatives, Conjunction, Either, Term

Categories = Mapping[int, GroupTraits]  # of each error group, and its state
Check = Callable[["Matchable", Categories], bool]
Getter = Callable[["Matchable", Categories], list[Any]]
ValueCheck = Callable[[Any], bool]


class Matchable(Protocol):
    """What a predicate reads of an event, in the names of `-o json`; `agent.core.stored.StoredEvent` has it."""

    # ruff: noqa: D102 - the fields are described in StoredEvent

    @property
    def severity_number(self) -> int: ...
    @property
    def source(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def group(self) -> int | None: ...
    @property
    def agent(self) -> str | None: ...
    @property
    def record(self) -> str: ...
    @property
    def raw(self) -> bytes | int | str | None: ...
    @property
    def fields(self) -> dict[str, Any]: ...
    @property
    def body(self) -> str: ...
    @property
    def logger(self) -> str | None: ...
    @property
    def service(self) -> str | None: ...
    @property
    def trace_id(self) -> str | None: ...
    @property
    def span_id(self) -> str | None: ...
    @property
    def id(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def observed_timestamp(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def parse_error(self) -> str | None: ...
    @property
    def resource(self) -> dict[str, Any]: ...


def compile_conditions(
    conditions: Conjunction | Sequence[Alternatives | Either], budget: TimeBudget | None = None
) -> Check:
    """One function for a conjunction; what is cheap to see is looked at first.

    Args:
        conditions: all must hold.
        budget: for all regular expressions together: where it passes, the function raises UndecidedError. Without it
            each has that of a command, and it raises SidelogError (SL524).

    Raises:
        UsageError: SL512 an unknown level; SL513 a bad regular expression.
    """
    ordered = [_compiled(condition, budget) for condition in sorted(conditions, key=_cost)]
    if len(ordered) == 1:
        return ordered[0]

    def all_hold(event: Matchable, categories: Categories) -> bool:
        return all(check(event, categories) for check in ordered)

    return all_hold


def _compiled(condition: Alternatives | Either, budget: TimeBudget | None) -> Check:
    if isinstance(condition, Either):
        return _any_of([compile_conditions(branch, budget) for branch in condition.branches])
    return _any_of([compile_term(term, budget) for term in condition])


def _cost(condition: Alternatives | Either) -> int:
    if isinstance(condition, Either):
        return max(_cost(inner) for branch in condition.branches for inner in branch)
    field = condition[0].field
    if field in ("severity", "source", "path", "group", "category"):
        return 0
    if field == "state":  # in archives each error's group has to be found first, and replays always ask for it
        return 4
    if any(term.operator == "~" for term in condition):  # it may be the one that cannot be decided
        return 3
    return 1 if field is None else 2  # a text needs no decoding, a field does


def _any_of(checks: list[Check]) -> Check:
    if len(checks) == 1:
        return checks[0]

    def any_holds(event: Matchable, categories: Categories) -> bool:
        undecided: Exception | None = None
        for check in checks:
            try:
                if check(event, categories):
                    return True
            except (UndecidedError, SidelogError) as error:  # another one may hold, and then it does not matter
                undecided = error
        if undecided is not None:
            raise undecided
        return False

    return any_holds


def compile_term(term: Term, budget: TimeBudget | None = None) -> Check:
    """The function of one term."""
    if term.field is None:
        check = _text_check(term.value)
    elif term.field == "severity":
        check = _severity_check(term)
    else:
        check = _field_check(term, budget)
    if not term.negated:
        return check
    return lambda event, categories: not check(event, categories)


# ---------------------------------------------------------------- text


def _text_check(text: str) -> Check:
    is_there = holds(text)
    return lambda event, _: is_there(event.record, event.raw)


# ---------------------------------------------------------------- severity

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip


def severity_numbers(term: Term) -> frozenset[int]:
    """The severity numbers, 0 to 24, that a term on severity accepts; its negation is taken into account.

    Raises:
        UsageError: SL512 an unknown level; SL513 a bad regular expression.
    """
    numbers = range(HIGHEST + 1)
    if term.operator == "~":
        pattern = compile_pattern(term.value)
        found = {n for n in numbers if (text := severity_text(n)) and pattern.search(text)}
    elif term.prefix:
        found = {n for n in numbers if (text := severity_text(n)) and text.startswith(term.value.upper())}
        if not found:
            raise UsageError.of("SL512", f"{term.value}*")
        if term.operator == "!=":
            found = set(numbers) - found
    else:
        low, high = level_range(term.value)
        accept: dict[str, Callable[[int], bool]] = {
            "=": lambda n: low <= n <= high,
            "!=": lambda n: not low <= n <= high,
            ">": lambda n: n > high,
            ">=": lambda n: n >= low,
            "<": lambda n: 0 < n < low,  # 0 is no level
            "<=": lambda n: 0 < n <= high,
        }
        found = set(filter(accept[term.operator], numbers))
    return frozenset(set(numbers) - found if term.negated else found)


def _severity_check(term: Term) -> Check:
    accepted = severity_numbers(msgspec.structs.replace(term, negated=False))
    return lambda event, _: event.severity_number in accepted


# ---------------------------------------------------------------- fields


def compile_pattern(text: str, budget: TimeBudget | None = None) -> Expression:
    """A regular expression of a term.

    Raises:
        UsageError: SL513, it is too long or not well-formed.
    """
    if len(text) > MOST_CHARACTERS:
        raise UsageError.of("SL513.long", text[:60], length=len(text), most=MOST_CHARACTERS)
    if why := wrong_with(text):
        raise UsageError.of("SL513", text, why=why)
    return Expression(text, budget)


def grep_pattern(text: str) -> str:
    r"""The pattern of `-g`: case counts only where it has a capital that is no escape such as `\S`."""
    return text if is_exact_case(re.sub(r"\\.", "", text, flags=re.DOTALL)) else f"(?i:{text})"


def _field_check(term: Term, budget: TimeBudget | None) -> Check:
    assert term.field is not None
    values = getter(term.field)
    if term.operator == "!=":
        equal = _beginning(term.value) if term.prefix else _equality(term.value)
        return lambda event, categories: not any(map(equal, values(event, categories)))
    accept = value_check(term, budget)
    return lambda event, categories: any(map(accept, values(event, categories)))


def value_check(term: Term, budget: TimeBudget | None) -> ValueCheck:
    """Whether a value of a field is one that a term accepts, which is neither `!=` nor negated."""
    if term.operator == "=":
        return _beginning(term.value) if term.prefix else _equality(term.value)
    if term.operator == "~":
        search = compile_pattern(term.value, budget).search
        return lambda value: (text := text_of(value)) is not None and bool(search(text))
    return _ordering(COMPARE[term.operator], term.value)


def _equality(wanted: str) -> ValueCheck:
    wanted_number = number(wanted)

    def equal(value: Any) -> bool:
        if type(value) is str:
            return value == wanted
        if type(value) is int or type(value) is float:
            return wanted_number is not None and exact(value) == wanted_number
        return text_of(value) == wanted

    return equal


def _beginning(wanted: str) -> ValueCheck:
    """That a value begins so, as a text: a number as Python writes it, an infinite one not at all. Every value begins
    with an empty text, an object too.
    """
    if not wanted:
        return lambda _: True

    def begins(value: Any) -> bool:
        if type(value) is float and not math.isfinite(value):
            return False
        return (text := text_of(value)) is not None and text.startswith(wanted)

    return begins


def _ordering(compare: Callable[[Any, Any], bool], wanted: str) -> ValueCheck:
    """Numbers by value, also where one stands in quotes; otherwise texts by their characters."""
    wanted_number = number(wanted)

    def ordered(value: Any) -> bool:
        if type(value) is str:
            if wanted_number is None:
                return compare(value, wanted)
            value_number = number(value)
            return value_number is not None and compare(value_number, wanted_number)
        if type(value) is int or type(value) is float:
            return wanted_number is not None and compare(exact(value), wanted_number)
        return False

    return ordered


def _present(value: Any) -> list[Any]:
    return [] if value is None else [value]


def _traits(event: Matchable, categories: Categories) -> list[GroupTraits]:
    """Of the event's group, where it has one that is known."""
    return [] if event.group is None else _present(categories.get(event.group))


_NAMED: dict[str, Getter] = {
    "severity": lambda event, _: _present(severity_text(event.severity_number)),
    "logger": lambda event, _: _present(event.logger),
    "service": lambda event, _: _present(event.service),
    "source": lambda event, _: [event.source],
    "path": lambda event, _: [event.path],
    "message": lambda event, _: [event.body],
    "trace_id": lambda event, _: _present(event.trace_id),
    "span_id": lambda event, _: _present(event.span_id),
    "group": lambda event, _: _present(event.group),
    "category": lambda event, categories: [traits.category for traits in _traits(event, categories)],
    "state": lambda event, categories: [traits.state for traits in _traits(event, categories)],
}
assert set(_NAMED) == set(NAMED_FIELDS)

# Names of `-o json` that count where the line has no such field itself.
BUILT_IN: dict[str, Callable[[Matchable], Any]] = {
    "id": lambda event: event.id,
    "timestamp": lambda event: format_utc(event.timestamp),
    "observed_timestamp": lambda event: format_utc(event.observed_timestamp),
    "severity_number": lambda event: event.severity_number,
    "severity_text": lambda event: severity_text(event.severity_number),
    "body": lambda event: event.body,
    "offset": lambda event: event.offset,
    "parse_error": lambda event: event.parse_error,
}


def getter(field: str) -> Getter:
    """The function that gives all values of a field: of the event itself, of the line, or of its labels."""
    if field in _NAMED:
        return _NAMED[field]
    parts = tuple(field.split("."))
    built_in = BUILT_IN.get(field)
    if field == AGENT:
        return lambda event, _: (
            (lookup(event.fields, parts) or lookup(event.resource, parts)) if event.agent is None else [event.agent]
        )
    if field.startswith(LINE):  # a line may have an object of this name itself
        return lambda event, _: lookup(event.fields, parts) or lookup(event.fields, parts[1:])

    def values(event: Matchable, _: Categories) -> list[Any]:
        found = lookup(event.fields, parts)
        if found:
            return found
        if built_in is not None:
            return _present(built_in(event))
        return lookup(event.resource, parts)

    return values
