"""Which rules count an event: compiled so that an event which no rule can match costs nothing.

Three sieves, each cheaper per event than the next: the severities of a whole batch in one pass at the speed of C;
an index from the value of a field (`service=shop`) to the rules that ask for it; the predicates that are left.
Rules with the same `match` share one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from agent.profile import read_message, read_service
from agent.query.events import StoredEvent, decode_record
from agent.query.language import parse_query
from agent.query.predicate import compile_conditions, decoded_text, getter, is_exact_case, severity_numbers
from agent.query.severity import HIGHEST
from agent.query.values import exact, number, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from agent.config import RuleConfig
    from agent.query.language import Query, Term
    from agent.query.predicate import Categories, Check, Getter

Value = TypeVar("Value")

ALL_SEVERITIES = frozenset(range(HIGHEST + 1))
GROUP_FORMS = {"new_group": "new", "regressed": "regressed"}  # form of `when` -> what became of the group
_KEYS_REMEMBERED = 20_000  # texts of keys; twice the states of a rule


class _Once(Generic[Value]):
    """As functools.cached_property, without the lock that it takes before Python 3.12: 6 µs for each value."""

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, event: Any, _owner: type) -> Value:
        value: Value = self._compute(event)
        event.__dict__[self._name] = value
        return value


class LiveEvent(StoredEvent):
    """An event that many predicates look at: what they ask for is worked out once."""

    @_Once
    def fields(self) -> dict[str, Any]:
        """The record, decoded."""
        return decode_record(self.record)

    @_Once
    def own_service(self) -> str | None:
        """The service that the line itself names."""
        return read_service(self.fields, self.file.profile)

    @_Once
    def body(self) -> str:
        """The message."""
        return read_message(self.fields, self.file.profile)[1]

    @_Once
    def folded(self) -> bytes:
        """Its text in lower case, as text terms without a capital see it."""
        return decoded_text(self.record).encode("utf-8", "surrogatepass").lower()


class Keys:
    """The keys of a rule's states: the values of its `per` fields as a JSON object."""

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        self._getters: list[Getter] = [getter(name) for name in fields]
        self._texts: dict[tuple[str | None, ...], str] = {}

    def key(self, event: StoredEvent, categories: Categories) -> str:
        """The key that an event belongs to; a field that it lacks is null."""
        if not self._getters:
            return "{}"
        values = tuple(_first_text(get(event, categories)) for get in self._getters)
        text = self._texts.get(values)
        if text is None:
            if len(self._texts) >= _KEYS_REMEMBERED:
                self._texts.clear()
            text = self._texts[values] = key_text(dict(zip(self.fields, values, strict=True)))
        return text


def key_text(key: Mapping[str, str | None]) -> str:
    """A key as the store has it: ASCII, so that no character of it can be lost on the way."""
    return json.dumps(dict(key), separators=(",", ":"))


def _first_text(values: list[Any]) -> str | None:
    return next((text for value in values if (text := text_of(value)) is not None), None)


@dataclass
class Lane:
    """The rules with one `match` that also divide its events in the same way: they count the same."""

    keys: Keys
    rules: list[str] = field(default_factory=list)
    group_rules: list[str] = field(default_factory=list)  # those about error groups, which count only what is new


@dataclass
class Plan:
    """One `match` and the rules that have it."""

    query: Query
    severities: frozenset[int] = ALL_SEVERITIES
    sources: frozenset[str] | None = None
    field_name: str | None = None  # an event must have one of `values` in it
    values: tuple[str, ...] = ()
    needle: bytes | None = None  # an event must have it in its folded text
    check: Check | None = None  # what is left to see; None: nothing
    lanes: dict[tuple[str, ...], Lane] = field(default_factory=dict)  # by `per`

    @classmethod
    def of(cls, text: str) -> Plan:
        """Compile a match.

        Raises:
            UsageError: as `parse_query`.
        """
        plan = cls(parse_query(text))
        rest = []
        for condition in plan.query.conditions:
            if all(term.field == "severity" for term in condition):
                plan.severities &= frozenset().union(*map(severity_numbers, condition))
            elif all(_is_equality(term) and term.field == "source" for term in condition):
                names = frozenset(term.value for term in condition)
                plan.sources = names if plan.sources is None else plan.sources & names
            else:
                rest.append(condition)
                plan._use(condition)
        plan.check = compile_conditions(tuple(rest)) if rest else None
        return plan

    def _use(self, condition: tuple[Term, ...]) -> None:
        """Find a field to be found by, or a text that must be there."""
        first = condition[0]
        if self.field_name is None and first.field != "category" and all(map(_is_equality, condition)):
            self.field_name, self.values = first.field, tuple(term.value for term in condition)
        elif (
            self.needle is None
            and len(condition) == 1
            and first.field is None
            and not first.negated
            and first.value.isascii()
            and not is_exact_case(first.value)
        ):
            self.needle = first.value.lower().encode()

    def wants_source(self, source: str) -> bool:
        """Whether events of a source can match."""
        return self.sources is None or source in self.sources


def _is_equality(term: Term) -> bool:
    return term.field is not None and term.operator == "=" and not term.negated


class Matcher:
    """All rules' matches.

    Args:
        configs: the rules.
    """

    def __init__(self, configs: Sequence[RuleConfig]) -> None:
        plans: dict[str, Plan] = {}
        self.plan_of: dict[str, Plan] = {}
        self.lane_of: dict[str, Lane] = {}
        for config in configs:
            plan = plans.get(config.match)
            if plan is None:
                plan = plans[config.match] = Plan.of(config.match)
            lane = plan.lanes.get(tuple(config.per))
            if lane is None:
                lane = plan.lanes[tuple(config.per)] = Lane(Keys(config.per))
            about_groups = config.when.form in GROUP_FORMS
            (lane.group_rules if about_groups else lane.rules).append(config.name)
            self.plan_of[config.name], self.lane_of[config.name] = plan, lane
        self.plans = list(plans.values())
        self._tables: dict[str, bytes] = {}  # source -> for each byte value 1 where a rule looks at that severity
        self._steps: dict[tuple[str, int], _Step] = {}

    def rows(self, source: str, severities: Sequence[int]) -> Iterator[int]:
        """The rows of a batch that some rule may match: 10 ns per event that none does, all of it in C."""
        table = self._tables.get(source)
        if table is None:
            wanted = frozenset().union(*(plan.severities for plan in self.plans if plan.wants_source(source)))
            table = self._tables[source] = bytes(number in wanted for number in range(256))
        flags = bytes(severities).translate(table)
        row = flags.find(1)
        while row >= 0:
            yield row
            row = flags.find(1, row + 1)

    def matching(self, event: LiveEvent, categories: Categories) -> list[Plan]:
        """The matches that an event satisfies."""
        step = self._steps.get((event.source, event.severity_number))
        if step is None:
            step = _Step(
                [p for p in self.plans if event.severity_number in p.severities and p.wants_source(event.source)]
            )
            self._steps[event.source, event.severity_number] = step
        return [
            plan for plan in step.candidates(event, categories) if plan.check is None or plan.check(event, categories)
        ]


class _Step:
    """The matches that are possible for one severity and source, by what finds them."""

    def __init__(self, plans: list[Plan]) -> None:
        self._always = [plan for plan in plans if plan.field_name is None and plan.needle is None]
        self._needles = [(plan.needle, plan) for plan in plans if plan.field_name is None and plan.needle is not None]
        by_field: dict[str, dict[Any, list[Plan]]] = {}
        for plan in plans:
            if plan.field_name is not None:
                index = by_field.setdefault(plan.field_name, {})
                for value in plan.values:
                    index.setdefault(value, []).append(plan)
                    if (as_number := number(value)) is not None:
                        index.setdefault(("number", as_number), []).append(plan)
        self._fields = [(getter(name), index) for name, index in by_field.items()]

    def candidates(self, event: LiveEvent, categories: Categories) -> Iterator[Plan]:
        yield from self._always
        if self._needles:
            folded = event.folded
            yield from [plan for needle, plan in self._needles if needle in folded]
        for get, index in self._fields:
            found: dict[int, Plan] = {}
            for value in get(event, categories):
                numeric = type(value) is int or type(value) is float
                for plan in index.get(("number", exact(value)) if numeric else text_of(value), ()):
                    found[id(plan)] = plan
            yield from found.values()
