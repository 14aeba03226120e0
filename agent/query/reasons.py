"""Why an answer is empty: what of a question can match nothing, whatever happens, because a name in it exists nowhere.

Only an empty answer is asked about, so that others pay nothing. What is said is true of what was looked at: all logs
and error groups, and of fields the newest events.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from agent.core.errors import UsageError
from agent.core.groups import STATES, GroupFilter
from agent.core.patterns import lazy
from agent.core.text import counted
from agent.core.times import format_utc
from agent.core.values import number
from agent.query.language import Query, Selection
from agent.query.predicate import BUILT_IN, compile_term, getter
from agent.query.terms import NAMED_FIELDS, Term, terms_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from agent.core.stored import StoredEvent
    from agent.query.engine import Engine, LogName
    from agent.query.predicate import Matchable
    from agent.query.terms import Conjunction, Parentheses

SAMPLED_EVENTS = 1_000  # the newest, that are looked at for a field
_OF_FILES = ("source", "path")
_OF_GROUPS = ("group", "category", "state")
_ORDERING = (">", ">=", "<", "<=")
_WORDS = ("AND", "NOT", "or")  # of other query languages
_LISTED = 8  # names in a hint
_SHOWN = 40  # characters of a value
_DEPTH = 8  # objects in objects whose names are known
_EVER = (-(2**63), 2**63 - 1)
_SEPARATORS = str.maketrans("", "", " _-.")
_PARTS = lazy(r"[ _.-]+")


def reasons(
    engine: Engine | None, selection: Selection, logs: Collection[LogName] | None = None
) -> Iterator[UsageError]:
    """What of a selection can match nothing, each with the nearest name that exists.

    Args:
        engine: has the events; None: only what is wrong without any is said.
        selection: what was asked for.
        logs: the sources and paths that there are; None: those of the engine.
    """
    query, since, until = selection.query, selection.since, selection.until
    yield from _empty_span(since, until)
    terms = list(_terms(query.conditions))
    yield from _contradictions(query, terms)
    if logs is None:
        if engine is None:
            return
        logs = engine.logs()
        if not logs or not (query.terms or any(engine.events(Selection(query), 1))):
            yield UsageError.of("SL519.empty" if engine.can_follow else "SL519.archives", "store")
            return
    unknown = list(_unknown_logs(query, terms, logs))
    yield from unknown
    if engine is None:
        return
    yield from _unknown_groups(engine, [term for term in terms if term.field in _OF_GROUPS])
    of_events = [term for term in terms if term.field is not None and term.field not in (*_OF_FILES, "severity")]
    if of_events:
        of_files = Query() if unknown else Query(tuple(part for part in query.terms if _is_of_files(part)))
        yield from _fields(_Sample(engine, of_files), of_events)


def unknown_fields(engine: Engine, query: Query, names: Sequence[str]) -> Iterator[UsageError]:
    """Which names of `--fields`, `--by` or a rule's `per` are no fields of the newest events.

    Args:
        engine: has the events.
        query: of the events that are looked at.
        names: as the query language has them.
    """
    wanted = [name for name in dict.fromkeys(names) if name not in NAMED_FIELDS and name not in BUILT_IN]
    sample = _Sample(engine, query) if wanted else None
    for name in wanted:
        if sample is not None and sample.events and not sample.has(name):
            yield sample.unknown(name)


def without_numbers(engine: Engine, names: Sequence[str]) -> Iterator[UsageError]:
    """Which fields of `--agg` the newest events have, with values that are all no numbers.

    Args:
        engine: has the events.
        names: of fields of which no number was found.
    """
    sample = _Sample(engine, Query()) if names else None
    for name in dict.fromkeys(names):
        if sample is not None and (values := sample.values(name)) and not any(map(_is_number, values)):
            yield UsageError.of("SL519.agg", name, values=_some(values))


def group_reasons(engine: Engine, wanted: GroupFilter, now: int) -> Iterator[UsageError]:
    """What of a question about error groups can match none.

    Args:
        engine: knows the groups.
        wanted: what was asked for.
        now: as in `Engine.groups`.
    """
    yield from _empty_span(wanted.since, wanted.until)
    terms = [Term("category", "=", name) for name in wanted.categories]
    yield from _unknown_groups(engine, terms)
    for service in wanted.services:
        if not engine.groups(GroupFilter(services=(service,)), now, limit=1, trends=False):
            services = (group.service for group in engine.groups(GroupFilter(), now, trends=False))
            known = sorted({name for name in services if name})
            yield UsageError.of("SL519.service", service, near=nearest(service, known), known=_listed(known))


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'shop'?` with the known name that is most like this one; empty where none is."""
    import difflib  # noqa: PLC0415 - only a mistake pays for it

    names = {one: _folded(one) for one in known}
    folded, inner = _folded(name), f".{name.casefold()}"
    near = next((one for one, other in names.items() if other == folded), None)
    near = near or next((one for one in names if one.casefold().endswith(inner)), None)
    near = near or min((one for one in names if _has_parts(one, name)), key=len, default=None)
    if near is None:
        best = difflib.get_close_matches(folded, list(names.values()), n=1, cutoff=0.6)
        near = next((one for one, other in names.items() if best and other == best[0]), None)
    return "" if near is None or near == name else f"; did you mean {near!r}?"


def _has_parts(name: str, asked: str) -> bool:
    """Whether a name has all parts of another, in order: `http.response.status_code` has those of `http.status`."""
    parts = iter(_PARTS.split(name.casefold()))
    return all(part in parts for part in _PARTS.split(asked.casefold()))


def _folded(name: str) -> str:
    return name.casefold().translate(_SEPARATORS)


def _empty_span(since: int | None, until: int | None) -> Iterator[UsageError]:
    if since is not None and until is not None and since >= until:
        yield UsageError.of("SL519.span", format_utc(since), until=format_utc(until))


def _listed(known: Sequence[str]) -> str:
    return ", ".join(known[:_LISTED]) + (", …" if len(known) > _LISTED else "") or "none"


def _terms(conditions: Conjunction) -> Iterator[Term]:
    """The terms that ask for something to be there, those of branches too."""
    return (term for term in terms_of(conditions) if term.negated == (term.operator == "!="))


# ---------------------------------------------------------------- what is wrong without any event


def _contradictions(query: Query, terms: Sequence[Term]) -> Iterator[UsageError]:
    if not query.analysis.severities:
        yield UsageError.of("SL519.severity", " ".join(map(str, query.terms)))
    for term in terms:
        if term.field == "state" and not any(map(_accepts(term, "state"), STATES)):
            yield UsageError.of("SL519.state", term.value, near=nearest(term.value, STATES), states=", ".join(STATES))
        elif term.field is None and term.value in _WORDS and len(terms) > 1:
            yield UsageError.of("SL519.word", term.value)
        elif word := next((word for word in _WORDS[:2] if word in term.value.split(" ") and term.value != word), None):
            yield UsageError.of("SL519.phrase", term.value, word=word)
        elif term.field is None and term.value.endswith("*") and not term.value.startswith("*"):
            yield UsageError.of("SL519.star", term.value, word=term.value.rstrip("*"))


def _accepts(term: Term, field: str) -> Any:
    """Whether a value of a field satisfies a term on it."""
    from types import SimpleNamespace  # noqa: PLC0415

    check = compile_term(term)
    if field in _OF_FILES:
        return lambda value: check(cast("Matchable", SimpleNamespace(**{field: value})), {})
    group = cast("Matchable", SimpleNamespace(group=1))
    return lambda value: check(group, {1: cast("Any", SimpleNamespace(**{field: value}))})


def _unknown_logs(query: Query, terms: Sequence[Term], logs: Collection[LogName]) -> Iterator[UsageError]:
    found = False
    for field in _OF_FILES:
        known = sorted({getattr(log, field) for log in logs if getattr(log, field)})
        for term in terms:
            if term.field == field and not any(map(_accepts(term, field), known)):
                found = True
                shown = term.value + "*" * term.prefix
                yield UsageError.of(f"SL519.{field}", shown, near=nearest(term.value, known), known=_listed(known))
    if not found and not any(query.analysis.accepts_file(cast("Any", log)) for log in logs):
        asked = " ".join(str(part) for part in query.terms if not isinstance(part, Term) or part.field in _OF_FILES)
        yield UsageError.of("SL519.files", asked)


def _unknown_groups(engine: Engine, terms: Sequence[Term]) -> Iterator[UsageError]:
    for term in terms:
        known = engine.categories
        if term.field == "group" and term.is_equality:
            value = number(term.value)
            if value is None or value != int(value) or known.get(int(value)) is None:
                yield UsageError.of("SL519.group", term.value)
        elif term.field == "category":
            from agent.group.kinds import SUGGESTIONS  # noqa: PLC0415 - it knows all of them, with much beside

            known.get(0)  # reads those of groups, which another version may have found
            names = sorted({*SUGGESTIONS, *(traits.category for traits in known.values())})
            if not any(map(_accepts(term, "category"), names)):
                near = nearest(term.value, names)
                yield UsageError.of("SL519.category", term.value, near=near, known=", ".join(names))


# ---------------------------------------------------------------- what events show


class _Sample:
    """The newest events of a query, among those that can be searched quickly."""

    def __init__(self, engine: Engine, query: Query) -> None:
        self._engine = engine
        self._query = query
        span = _EVER
        if engine.can_follow and (newest := next(engine.events(Selection(Query()), 1), None)) is not None:
            span = engine.near(newest, _EVER)
        self._span = span
        self.events = list(engine.events(Selection(query, *span), SAMPLED_EVENTS, newest_first=True))

    def values(self, field: str) -> list[Any]:
        """All values that they have in a field."""
        get = getter(field)
        return [value for event in self.events for value in get(event, self._engine.categories)]

    def has(self, field: str) -> bool:
        """Whether one of them has a field, or one of the many before them that can be searched quickly."""
        if self.values(field):
            return True
        if not self._engine.can_follow or len(self.events) < SAMPLED_EVENTS:
            return False
        selection = Selection(self._query & Query((Term(field, "=", "", prefix=True),)), *self._span)
        return next(self._engine.events(selection, 1, newest_first=True), None) is not None

    def unknown(self, field: str) -> UsageError:
        """That none of them has it."""
        names = dict.fromkeys((*NAMED_FIELDS, *chain.from_iterable(map(_names, self.events)), *BUILT_IN))
        which = f" with {self._query}" if self._query.terms else ""
        near = nearest(field, names)
        return UsageError.of("SL519.field", field, events=counted(len(self.events), "event"), which=which, near=near)


def _names(event: StoredEvent) -> Iterator[str]:
    """The names of an event's fields, and of the labels of its log."""
    yield from _inner_names("", event.fields, _DEPTH)
    yield from event.resource


def _inner_names(prefix: str, value: Any, depth: int) -> Iterator[str]:
    if type(value) is dict and depth:
        for key, inner in value.items():
            yield prefix + key
            yield from _inner_names(f"{prefix}{key}.", inner, depth - 1)
    elif type(value) is list and depth:
        for element in value[:_LISTED]:
            yield from _inner_names(prefix, element, depth - 1)


def _fields(sample: _Sample, terms: Sequence[Term]) -> Iterator[UsageError]:
    """Fields that no event has, and values that none of theirs can be compared with."""
    if not sample.events:
        return
    for field in dict.fromkeys(term.field for term in terms):
        assert field is not None
        if field not in NAMED_FIELDS and field not in BUILT_IN and not sample.has(field):
            yield sample.unknown(field)
            continue
        for term in terms:
            if term.field == field and term.operator in _ORDERING and (values := sample.values(field)):
                yield from _incomparable(term, values)


def _is_number(value: Any) -> bool:
    """Whether `--agg` takes a value: a number, or a text that is one."""
    return type(value) in (int, float) or (type(value) is str and number(value) is not None)


def _some(values: Sequence[Any]) -> str:
    return ", ".join(dict.fromkeys(_shown(value) for value in values[:3]))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _is_of_files(part: Term | Parentheses) -> bool:
    return isinstance(part, Term) and part.field in _OF_FILES


def _incomparable(term: Term, values: Sequence[Any]) -> Iterator[UsageError]:
    """Texts compare with texts, numbers with numbers, also with one in quotes."""
    is_number = number(term.value) is not None
    for value in values:
        if type(value) is str and (not is_number or number(value) is not None):
            return
        if is_number and type(value) in (int, float):
            return
    shown = _some(values)
    key = "SL519.text" if is_number else "SL519.number"
    yield UsageError.of(key, term.value, field=term.field, symbol=term.operator, values=shown)
