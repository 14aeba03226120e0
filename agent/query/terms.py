"""Terms, of which the query language consists, and how several of them make conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agent.core.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMED_FIELDS = (
    "severity", "logger", "service", "source", "path", "message", "trace_id", "span_id", "group", "category", "state",
)  # fmt: skip

_NEEDS_QUOTES = lazy(r'^["!]|[\s]|[<>=~]')
_BLANK = lazy(r"\s")


class Term(msgspec.Struct, frozen=True):
    """One condition. `field` is None for a text term, whose `operator` is then empty."""

    field: str | None
    operator: str
    value: str
    negated: bool = False

    def __str__(self) -> str:
        sign = "!" if self.negated else ""
        if self.field is None:
            return sign + (_quoted(self.value) if not self.value or _NEEDS_QUOTES.search(self.value) else self.value)
        plain = self.value and not self.value.startswith(('"', "=")) and not _BLANK.search(self.value)
        return f"{sign}{self.field}{self.operator}{self.value if plain else _quoted(self.value)}"

    @property
    def is_equality(self) -> bool:
        """Whether it is `FIELD=VALUE`."""
        return self.field is not None and self.operator == "=" and not self.negated


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


Alternatives = tuple[Term, ...]  # one of them must hold; all are about the same field
NOT_IGNORED: Alternatives = (Term("state", "!=", "ignored"),)  # what rules see that do not ask for a state


def conjunction(terms: Iterable[Term]) -> tuple[Alternatives, ...]:
    """Terms as a conjunction of alternatives: each alone, but for several `FIELD=VALUE` of one field."""
    equal: dict[str, list[Term]] = {}
    found: list[list[Term]] = []
    for term in terms:
        if term.field is not None and term.is_equality:
            if term.field in equal:
                equal[term.field].append(term)
                continue
            equal[term.field] = group = [term]
            found.append(group)
        else:
            found.append([term])
    return tuple(tuple(group) for group in found)
