"""From the analysis of a query to the SQL that finds its candidates in ClickHouse.

As that of a store (`agent.query.sqlite.plan`), the plan never drops a match; `exact` says whether it lets no other
events through. Columns say in full what a term asks of source, path, service, logger, message, trace, span, group,
agent and severity; of everything else only a text that the record must hold, or may hold in other characters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import msgspec

from agent.clickhouse.client import literal
from agent.core.patterns import lazy
from agent.core.severity import HIGHEST
from agent.core.values import number
from agent.query.clickhouse.sql import ALL, NOTHING, SqlClause, any_of, negated, one_of
from agent.query.predicate import compile_conditions, compile_term
from agent.query.searched import hiding_escape
from agent.query.terms import AGENT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from agent.core.groups import GroupTraits
    from agent.query.analysis import Analysis, Condition, RequiredText
    from agent.query.engine import LogName
    from agent.query.predicate import Matchable
    from agent.query.terms import Term

_COLUMNS = ("source", "path", "service", "logger", "message", "trace_id", "span_id", AGENT)
_MAY_BE_NONE = ("service", "logger", "trace_id", "span_id")  # where the column is empty
_MOST_LISTED = 5_000  # values; a longer list costs more than it saves
_RUN = lazy(r"[a-z]*[g-z][a-z]*")
_FEWEST_LETTERS = 4  # of a run that the index has
_RUNS = "[g-z][a-z]{3,}|[a-f][g-z][a-z]{2,}|[a-f]{2}[g-z][a-z]+|[a-f]{3,}[g-z][a-z]*"
WORDS = f"arrayStringConcat(extractAll(lower(record), '{_RUNS}'), ' ')"  # as the index `words` of the table has it


class FleetFacts(Protocol):
    """What a plan asks of what is there; each is read when it is asked for."""

    @property
    def is_current(self) -> bool:
        """Whether the server is of the current line."""

    @property
    def has_words(self) -> bool:
        """Whether the table has the index of words."""

    @property
    def categories(self) -> Mapping[int, GroupTraits]:
        """Of each error group what a query can ask of it."""

    def logs(self) -> Collection[LogName]:
        """The logs that there are."""

    def resources(self) -> Mapping[str, dict[str, object]]:
        """The resources that there are, by their texts."""


class FleetPlan(msgspec.Struct, frozen=True):
    """What to put into a statement: begins with " AND " where there is anything."""

    sql: str
    exact: bool  # else rows must also pass the query's predicate
    searches: bool = False  # for a text, which is mostly rare
    empty: bool = False  # nothing can match


def make_plan(analysis: Analysis, facts: FleetFacts) -> FleetPlan:
    """Plan what a query can match."""
    clause, searches = _clause_of_all(analysis, facts)
    sql = f" AND {clause.sql}" if clause.sql else ""
    return FleetPlan(sql, clause.exact, searches, empty=clause == NOTHING)


def _clause_of_all(analysis: Analysis, facts: FleetFacts) -> tuple[SqlClause, bool]:
    clauses = [severity_clause(analysis.severities)]
    clauses += [file_clause(condition, facts) for condition in analysis.files]
    clauses += [condition_clause(condition, facts) for condition in analysis.conditions]
    if NOTHING in clauses:
        return NOTHING, False
    searches = any(one.required for one in analysis.conditions)
    parts = [clause.sql for clause in clauses if clause.sql]
    return SqlClause(" AND ".join(parts), all(clause.exact for clause in clauses)), searches


def severity_clause(severities: frozenset[int]) -> SqlClause:
    """An event has one of these severities."""
    if len(severities) > HIGHEST:
        return ALL
    listed = sorted(severities)
    if listed and listed[-1] == HIGHEST and listed[-1] - listed[0] + 1 == len(listed):
        return SqlClause(f"severity_number >= {listed[0]}")
    return one_of("severity_number", listed)


def file_clause(condition: Condition, facts: FleetFacts) -> SqlClause:
    """What a condition says of source and path: by the columns, else by the logs that there are."""
    found = condition_clause(condition, facts)
    if found.exact:
        return found
    accepts = compile_conditions([condition.terms])
    logs = facts.logs()
    chosen = [log for log in logs if accepts(cast("Matchable", log), {})]
    if len(chosen) > _MOST_LISTED:
        return found
    if len(chosen) == len(logs):
        return ALL
    if not chosen:
        return NOTHING
    return SqlClause(f"(source, path) IN ({', '.join(f'({literal(a)}, {literal(b)})' for a, b in sorted(chosen))})")


def condition_clause(condition: Condition, facts: FleetFacts) -> SqlClause:
    """What a condition says; where it says nothing in SQL, a clause that is not exact and empty."""
    if condition.branches:
        found = [_clause_of_all(branch, facts)[0] for branch in condition.branches]
        return any_of([SqlClause(f"({one.sql})", one.exact) if " AND " in one.sql else one for one in found])
    terms = cast("tuple[Term, ...]", condition.terms)
    if condition.field == "severity":
        return ALL  # `Analysis.severities` has it
    required = condition.required if len(condition.required) == len(terms) else (None,) * len(terms)
    return any_of([term_clause(term, text, facts) for term, text in zip(terms, required, strict=True)])


def term_clause(term: Term, required: RequiredText | None, facts: FleetFacts) -> SqlClause:
    """What a term says."""
    unsaid = SqlClause("", exact=False)
    if term.field in ("category", "state"):
        return _by_traits(term, facts) or unsaid
    if term.field in (*_COLUMNS, "group"):
        plain = msgspec.structs.replace(term, negated=False)
        found = _group_clause(plain) if term.field == "group" else _column_clause(plain)
        if found is not None and term.negated:
            found = negated(found)
        if found is not None:
            return found
        if term.field == "message" and required is not None and required.is_part:
            return SqlClause(_position("message", required.text, folded=required.folded), exact=False)
        if term.field in ("source", "path", AGENT, "group", "message"):
            return unsaid
    return unsaid if required is None else text_clause(required, facts)


# ---------------------------------------------------------------- columns


def _column_clause(term: Term) -> SqlClause | None:
    """A term on a column of texts; None: SQL does not compare so."""
    column, value = str(term.field), literal(term.value)
    if term.operator in ("=", "!="):
        found = _equal(term)
        return negated(found) if term.operator == "!=" else found
    if term.operator == "~" or number(term.value) is not None:
        return None
    there = f" AND {column} != ''" if column in _MAY_BE_NONE else ""
    return SqlClause(f"({column} {term.operator} {value}{there})")


def _equal(term: Term) -> SqlClause:
    column, value = str(term.field), term.value
    if not value and column in _MAY_BE_NONE:
        # A label may say that a service is called ''.
        is_certain = column != "service"
        if term.prefix:
            return SqlClause(f"{column} != ''") if is_certain else SqlClause("", exact=False)
        return NOTHING if is_certain else SqlClause(f"{column} = ''", exact=False)
    if not term.prefix:
        return SqlClause(f"{column} = {literal(value)}")
    return SqlClause(f"startsWith({column}, {literal(value)})") if value else ALL


def _group_clause(term: Term) -> SqlClause | None:
    if term.operator not in ("=", "!="):
        return None
    if term.prefix:
        begins = f" AND startsWith(toString(`group`), {literal(term.value)})" if term.value else ""
        found = SqlClause(f"(`group` != 0{begins})")
    else:
        wanted = number(term.value)
        whole = wanted is not None and 0 < wanted < 2**63 and wanted == int(wanted)
        found = SqlClause(f"`group` = {int(wanted)}") if wanted is not None and whole else NOTHING
    return negated(found) if term.operator == "!=" else found


class _OfGroup:
    """What a term on category or state reads of an event."""

    def __init__(self, group: int | None) -> None:
        self.group = group


def _by_traits(term: Term, facts: FleetFacts) -> SqlClause | None:
    """A term on category or state, by the groups that it accepts; None: too many."""
    check = compile_term(term)
    categories = facts.categories
    accepted = {group: check(cast("Matchable", _OfGroup(group)), categories) for group in categories}
    without = check(cast("Matchable", _OfGroup(None)), categories)
    listed = sorted(group for group, accepts in accepted.items() if accepts != without)
    if len(listed) > _MOST_LISTED:
        return None
    found = one_of("`group`", listed)
    return negated(found) if without else found


# ---------------------------------------------------------------- texts


def text_clause(required: RequiredText, facts: FleetFacts) -> SqlClause:
    """The record holds the text, or has one of the ways round it."""
    value = required.text[:-1] if required.is_key else required.text
    found = record_holds(required.text, facts, folded=required.folded)
    escape = literal(hiding_escape(value))
    hidden = [f"position(record, {escape}) > 0"]
    if required.field is None:
        hidden += _beside(required, escape) if facts.is_current else ["substring(raw, 1, 1) IN ('b', 't')"]
    around = f"({' OR '.join(hidden)})"
    if facts.is_current:
        around = f"(hiding > 0 AND {around})"
    ways = [found, around]
    if required.may_be_labelled:
        labelled = [text for text, resource in facts.resources().items() if required.is_labelled(resource)]
        if len(labelled) > _MOST_LISTED:
            return SqlClause("", exact=False)
        if labelled:
            ways.append(one_of("resource", labelled).sql)
    return SqlClause(f"({' OR '.join(ways)})", exact=False)


def record_holds(text: str, facts: FleetFacts, *, folded: bool) -> str:
    """A text stands in the record as it is."""
    found = _position("record", text, folded=folded)
    run = max(_RUN.findall(text.lower()), key=len, default="")
    if not facts.has_words or len(run) < _FEWEST_LETTERS:
        return found
    words = f"{WORDS} LIKE '%{run}%'"
    # Letters alone, of either case, are in the record just where they are in one of its runs.
    return words if folded and run == text.lower() else f"({words} AND {found})"


def _position(column: str, text: str, *, folded: bool) -> str:
    """A text stands in a column. In both lines of servers case is that of ASCII, as the predicate has it."""
    function = "positionCaseInsensitive" if folded else "position"
    return f"{function}({column}, {literal(text)}) > 0"


def _beside(required: RequiredText, escape: str) -> list[str]:
    """The text stands in the line beside the record, as it is or in JSON's other characters; old servers do not look
    into Base64.
    """
    line = "tryBase64Decode(substring(raw, 2))"  # others are looked at, too, before it is known which these are
    found = []
    for kind, column in (("b", line), ("t", "raw")):
        ways = f"({_position(column, required.text, folded=required.folded)} OR position({column}, {escape}) > 0)"
        found.append(f"(substring(raw, 1, 1) = '{kind}' AND {ways})")
    return found
