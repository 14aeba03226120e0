"""What of a question SQL decides in full, what it is sure of, and what is left to columns of records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from agent.core.values import number
from agent.query.columns import field_paths
from agent.query.searched import hiding_escape, is_exact_case, like_pattern
from agent.query.sqlite.plan import (
    Clause,
    SqlPlan,
    assemble,
    clause_of,
    containing,
    file_clause,
    glob_text,
    is_bindable,
)
from agent.query.terms import Either, terms_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.query.analysis import Condition
    from agent.query.sqlite.scan import EventScan
    from agent.query.terms import Conjunction, Term
    from agent.store.events import Files

_MOST_DIGITS = 9  # of a number by whose digits records are passed over


class BulkPlan(msgspec.Struct, frozen=True):
    """How events are counted in blocks."""

    candidates: SqlPlan
    sure: tuple[Clause, ...]  # of which all hold where the texts that are asked for are surely there
    fields: Conjunction  # what is left to be decided in columns
    narrow: bool  # few records have to be decoded


def bulk_plan(scan: EventScan) -> BulkPlan | None:
    """What is decided where; None where events have to be looked at one by one."""
    analysis = scan.selection.query.analysis
    of_files = file_clause(analysis, scan.files)
    if of_files is None:
        return None
    clauses, sure, fields = [of_files], [], []
    narrow = False
    for condition in analysis.conditions:
        clause = clause_of(condition, scan.files)
        exact = clause is not None and clause.exact
        if clause is not None and not any(one.is_key for one in condition.required):  # nearly all records have the key
            clauses.append(clause)
            narrow = narrow or not (exact or condition.branches)
        if exact:
            continue
        terms = tuple(terms_of((condition.terms,)))
        if all(term.field is None for term in terms) and not condition.branches:
            surely = _surely(terms)
            if surely is None:
                return None
            sure.append(surely)
            if len(terms) == 1 and terms[0].negated:
                there = _surely([replace(terms[0], negated=False)])
                clauses += [] if there is None else [Clause(f"NOT {there.sql}", there.parameters)]
        elif all(term.field is not None and field_paths(term.field, None) is not None for term in terms):
            fields.append(condition.terms)
            fails = _surely_fails(condition, scan.files)
            if fails is not None:
                clauses.append(Clause(f"NOT {fails.sql}", fails.parameters))
                narrow = True
        else:
            return None
    return BulkPlan(assemble(analysis.severities, clauses, residual=True), tuple(sure), tuple(fields), narrow)


def _surely(terms: Sequence[Term]) -> Clause | None:
    """What holds where one of some texts is surely in an event (or surely not, as each term says). None: no SQL knows.

    A record without a backslash holds a text exactly if its event does, unless the line is kept beside it.
    """
    found = []
    parameters: list[Any] = []
    for term in terms:
        folded = not is_exact_case(term.value)
        if not term.value or not is_bindable(term.value) or (folded and not term.value.isascii()):
            return None
        holds = "e.record LIKE ? ESCAPE '!'" if folded else "e.record GLOB ?"
        parameters.append(like_pattern(term.value) if folded else containing(term.value))
        found.append(f"(NOT {holds} AND typeof(e.raw) NOT IN ('blob', 'text'))" if term.negated else holds)
    return Clause(f"(({' OR '.join(found)}) AND NOT e.record GLOB '*\\*')", tuple(parameters))


def _surely_fails(condition: Condition, files: Files) -> Clause | None:
    """What holds of records that have a whole number under the key of a field, which is surely too small or too large,
    or another one than is asked for: SQL passes them over in half of the time of a column. None: nothing says so.

    Such a record has that key once, so that the number is the field's, or the field is not there at all.
    """
    if isinstance(condition.terms, Either) or len(condition.terms) != 1 or not condition.required:
        return None
    [term], [required] = condition.terms, condition.required
    wanted = number(term.value)
    if not required.is_key or type(wanted) is not int or wanted <= 0 or term.prefix:
        return None
    key = required.text.removesuffix('"')
    shape = _digits_that_fail(term.operator, str(wanted))
    if shape is None or hiding_escape(required.text[:-1]) != "\\u" or not key.isascii():
        return None
    if any(required.is_labelled(file.resource) for file in files.values()):
        return None
    name = glob_text(f'{key}"')
    patterns = [(True, f"*{name}:{shape}[,}}]*"), (False, f"*{name}*{name}*"), (False, "*\\u*")]
    if term.operator == "=":
        patterns.append((False, f"*{name}:{wanted}[,}}]*"))
    sql = " AND ".join(f"{'' if holds else 'NOT '}e.record GLOB ?" for holds, _ in patterns)
    return Clause(f"({sql})", tuple(pattern for _, pattern in patterns))


def _digits_that_fail(operator: str, wanted: str) -> str | None:
    """The pattern of as many digits as a number has, or one fewer, that stand for one which fails a comparison with it;
    of `=` also for the number itself.
    """
    first, rest = int(wanted[0]), "[0-9]" * (len(wanted) - 1)
    if len(wanted) > _MOST_DIGITS:
        return None
    if operator == "=":
        return f"[1-9]{rest}"
    if operator in (">", ">="):
        return f"[1-{first - 1}]{rest}" if first > 1 else rest and f"[1-9]{rest[5:]}"
    return f"[{first + 1}-9]{rest}" if operator in ("<", "<=") and first < 9 else None  # noqa: PLR2004 - of digits
