"""Terms, of which the query language consists, and how several of them make conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agent.core.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

NAMED_FIELDS = (
    "severity", "logger", "service", "source", "path", "message", "trace_id", "span_id", "group", "category", "state",
)  # fmt: skip
AGENT = "agent"  # where events of several agents are together whose an event is; else a field of the line as any other
LINE = "attributes."  # what follows it is the name of a field of the line, whatever the name means otherwise

_PLAIN_FIELD = lazy(r"[\w.@/:-]+")
_PLAIN_TEXT = lazy(r'(?!OR$)[^\s"!<>=~()][^\s<>=~()]*')
_PLAIN_VALUE = lazy(r'[^\s"=()][^\s()]*(?<!\*)')


class Term(msgspec.Struct, frozen=True):
    """One condition. `field` is None for a text term, whose `operator` is then empty."""

    field: str | None
    operator: str
    value: str
    negated: bool = False
    prefix: bool = False  # of `=` and `!=`: the value is only how it begins (`user=a*`); empty: any value (`user=*`)

    def __str__(self) -> str:
        sign = "!" if self.negated else ""
        if self.field is None:
            return sign + (self.value if _PLAIN_TEXT.fullmatch(self.value) else quoted(self.value))
        name = self.field if _PLAIN_FIELD.fullmatch(self.field) else quoted(self.field)
        value = self.value if _PLAIN_VALUE.fullmatch(self.value) else quoted(self.value)
        if self.prefix:
            value = f"{value if self.value else ''}*"
        return f"{sign}{name}{self.operator}{value}"

    @property
    def is_equality(self) -> bool:
        """Whether it is `FIELD=VALUE`, with all of the value."""
        return self.is_alternative and not self.prefix

    @property
    def is_alternative(self) -> bool:
        """Whether several such terms of one field mean either: `FIELD=VALUE` and `FIELD=PRE*`."""
        return self.field is not None and self.operator == "=" and not self.negated


class Parentheses(msgspec.Struct, frozen=True):
    """What stands in parentheses, and what `OR` divides: of one of the branches all parts must hold."""

    branches: tuple[tuple[Term | Parentheses, ...], ...]
    negated: bool = False

    def __str__(self) -> str:
        inner = " OR ".join(" ".join(map(str, branch)) for branch in self.branches)
        return f"{'!' if self.negated else ''}({inner})"


def quoted(value: str) -> str:
    """A text as the language has it between quotes."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# ---------------------------------------------------------------- what they say together

Alternatives = tuple[Term, ...]  # one of them must hold; all are about the same field
NOT_IGNORED: Alternatives = (Term("state", "!=", "ignored"),)  # what rules see that do not ask for a state


class Either(msgspec.Struct, frozen=True):
    """A condition about several fields: all conditions of one of the branches must hold."""

    branches: tuple[Conjunction, ...]


Conjunction = tuple[Alternatives | Either, ...]  # all of them must hold


def terms_of(conditions: Conjunction) -> Iterator[Term]:
    """All terms that conditions consist of."""
    for condition in conditions:
        if isinstance(condition, Either):
            for branch in condition.branches:
                yield from terms_of(branch)
        else:
            yield from condition


def conjunction(parts: Iterable[Term | Parentheses]) -> Conjunction:
    """Parts of a query as conditions: each term alone, but for several `FIELD=VALUE` of one field, which are
    alternatives. Negations are moved inwards, so that only terms are negated.
    """
    equal: dict[str, list[Term]] = {}
    found: list[list[Term] | Alternatives | Either] = []
    for part in parts:
        if isinstance(part, Parentheses):
            found += _conditions(part)
        elif part.field is not None and part.is_alternative:
            if part.field in equal:
                equal[part.field].append(part)
                continue
            equal[part.field] = alternatives = [part]
            found.append(alternatives)
        else:
            found.append((part,))
    return tuple(tuple(one) if isinstance(one, list) else one for one in found)


def _conditions(part: Parentheses) -> Conjunction:
    branches = [conjunction(branch) for branch in part.branches]
    if part.negated:
        return tuple(condition for branch in branches for condition in _negation(branch))
    return branches[0] if len(branches) == 1 else (_either(branches),)


def _negation(conditions: Conjunction) -> Conjunction:
    """What holds where one of the conditions does not (De Morgan)."""
    if len(conditions) > 1:
        return (_either([_negation((condition,)) for condition in conditions]),)
    [only] = conditions
    if isinstance(only, Either):
        return tuple(condition for branch in only.branches for condition in _negation(branch))
    return tuple((msgspec.structs.replace(term, negated=not term.negated),) for term in only)


def _either(branches: Sequence[Conjunction]) -> Alternatives | Either:
    """One of the branches; those that are about one field alone are alternatives of it."""
    alike: dict[str | None, list[Term]] = {}
    found: list[Conjunction | list[Term]] = []
    for branch in branches:
        only = branch[0] if len(branch) == 1 else None
        if isinstance(only, Either):
            found += only.branches
        elif only is not None and only[0].field in alike:
            alike[only[0].field] += only
        elif only is not None:
            alike[only[0].field] = terms = list(only)
            found.append(terms)
        else:
            found.append(branch)
    merged: list[Conjunction] = [(tuple(one),) if isinstance(one, list) else one for one in found]
    if len(merged) == 1 and len(merged[0]) == 1:
        return merged[0][0]
    return Either(tuple(merged))
