r"""From a query to the SQL that finds its candidates.

The plan never drops a match; it may let other events through, which `residual` says: those go through the query's
predicate. A condition on the text becomes a prefilter on `record` only where neither an escape nor the folding of
case can hide a match: a record with a backslash always passes, LIKE folds ASCII alone and so does the predicate for
ASCII terms. Numbers are not searched for (500 may be written 5e2), but the key that they stand under is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.stored import FileInfo, resource_service
from agent.core.values import lookup, number
from agent.query.predicate import BUILT_IN, compile_term, is_exact_case, severity_numbers
from agent.query.severity import ERRORS_FROM, HIGHEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent.query.language import Term
    from agent.query.selection import Selection
    from agent.store.events import Files

_PATTERN_BYTES = 10_000  # SQLite refuses LIKE patterns over 50,000 bytes
_MOST_LISTED_FILES = 5_000  # a longer list of ids in a statement costs more than it saves
# GLOB '*x*' skips to each x by strcspn: 0.3 µs on a line of 300 bytes, where instr() takes 1.2.
_ESCAPED = "e.record GLOB '*\\*'"  # the record has an escape: anything may be in it
_TEMPLATE = "e.record GLOB '*\"@mt\"*'"  # the message is composed from a template and fields

BY_TIME = "events_by_time"
ERRORS_BY_TIME = "errors_by_time"


class Clause(msgspec.Struct, frozen=True):
    """A condition in SQL over `events e`; `exact` when it says all that the query's condition says."""

    sql: str
    parameters: tuple[Any, ...] = ()
    exact: bool = False
    errors_only: bool = False  # it accepts only events that have an error group


class Plan(msgspec.Struct, frozen=True):
    """What to put into a statement: the index to walk, and clauses besides those on time and id."""

    index: str
    sql: str  # begins with " AND " where there is anything
    parameters: tuple[Any, ...]
    residual: bool  # rows must also pass the predicate
    selective: bool  # rows of the index may fail the clauses
    empty: bool = False  # nothing can match


def make_plan(selection: Selection, files: Files) -> Plan:
    """Plan a selection over the files known now."""
    severities = frozenset(range(HIGHEST + 1))
    file_ids: frozenset[int] | None = None
    clauses: list[Clause] = []
    residual = False
    for condition in selection.query.conditions:
        fields = {term.field for term in condition}
        if fields == {"severity"}:
            severities &= frozenset().union(*map(severity_numbers, condition))
        elif fields <= {"source", "path"}:
            accepted = _files_where(files.values(), condition)
            file_ids = accepted if file_ids is None else file_ids & accepted
        else:
            clause = _alternatives(condition, files)
            residual = residual or clause is None or not clause.exact
            if clause is not None:
                clauses.append(clause)
    if file_ids is not None and len(file_ids) < len(files):
        if len(file_ids) <= _MOST_LISTED_FILES:
            clauses.append(Clause(_in_files(file_ids), exact=True))
        else:
            residual = True
    errors_only = any(clause.errors_only for clause in clauses)
    if errors_only:
        severities &= frozenset(range(ERRORS_FROM, HIGHEST + 1))
    return _assemble(severities, clauses, residual=residual, empty=not severities or file_ids == frozenset())


def _assemble(severities: frozenset[int], clauses: list[Clause], *, residual: bool, empty: bool) -> Plan:
    errors = min(severities, default=0) >= ERRORS_FROM
    parts = []
    if errors:
        # The literal that the partial index has: SQLite uses it only where the statement implies its WHERE.
        parts.append(f"e.severity_number >= {ERRORS_FROM}")
    every = HIGHEST + 1 - (ERRORS_FROM if errors else 0)
    if len(severities) < every:
        parts.append(f"e.severity_number IN ({','.join(map(str, sorted(severities)))})")
    selective = bool(clauses) or len(severities) < every
    parts += [clause.sql for clause in clauses]
    return Plan(
        index=ERRORS_BY_TIME if errors else BY_TIME,
        sql="".join(f" AND {part}" for part in parts),
        parameters=tuple(value for clause in clauses for value in clause.parameters),
        residual=residual,
        selective=selective,
        empty=empty,
    )


def _files_where(files: Iterable[FileInfo], condition: tuple[Term, ...]) -> frozenset[int]:
    checks = [compile_term(term) for term in condition]
    return frozenset(file.id for file in files if any(check(file, {}) for check in checks))  # type: ignore[arg-type]


def _in_files(ids: Iterable[int]) -> str:
    return f"e.file_id IN ({','.join(map(str, sorted(ids)))})"


def _alternatives(condition: tuple[Term, ...], files: Files) -> Clause | None:
    found = []
    for term in condition:
        clause = _clause(term, files)
        if clause is None:
            return None
        found.append(clause)
    if len(found) == 1:
        return found[0]
    return Clause(
        f"({' OR '.join(clause.sql for clause in found)})",
        tuple(value for clause in found for value in clause.parameters),
        exact=all(clause.exact for clause in found),
        errors_only=all(clause.errors_only for clause in found),
    )


def _clause(term: Term, files: Files) -> Clause | None:
    """The prefilter of one term, None where none is sound."""
    if term.negated or term.operator == "!=" or not _storable(term.value):
        return None
    if term.field is None:
        return _text_clause(term.value)
    if term.field in ("group", "category"):
        return _group_clause(term)
    if term.field in ("logger", "trace_id", "span_id", "message", "service"):
        return _named_clause(term, files)
    return _path_clause(term, files)


def _storable(text: str) -> bool:
    if "\0" in text or len(text) > _PATTERN_BYTES:
        return False
    try:
        return len(text.encode()) <= _PATTERN_BYTES
    except UnicodeEncodeError:
        return False


def _containing(text: str) -> str:
    """The GLOB pattern for a text anywhere; it has no escape but a set of one character."""
    return "*" + re.sub(r"[*?[]", r"[\g<0>]", text) + "*"


def _text_clause(text: str) -> Clause | None:
    if is_exact_case(text):
        return Clause(f"(e.record GLOB ? OR {_ESCAPED})", (_containing(text),))
    if not text.isascii():
        return None
    escaped = text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return Clause(f"(e.record LIKE ? ESCAPE '!' OR {_ESCAPED})", (f"%{escaped}%",))


def _group_clause(term: Term) -> Clause | None:
    if term.operator != "=":
        return None
    if term.field == "category":
        sql = "e.group_id IN (SELECT id FROM error_groups WHERE category = ?)"
        return Clause(sql, (term.value,), exact=True, errors_only=True)
    wanted = number(term.value)
    if wanted is None or wanted != int(wanted) or not 0 < wanted < 2**63:
        return Clause("e.group_id < 0", exact=True, errors_only=True)  # SQLite finds no plan for a literal 0
    return Clause("e.group_id = ?", (int(wanted),), exact=True, errors_only=True)


def _named_clause(term: Term, files: Files) -> Clause | None:
    """A value that must stand in the record as it is. A message may be composed or be a number, so that counts."""
    if term.operator != "=" or not term.value or term.value[0] in "[{":
        return None
    if term.field != "service" and number(term.value) is not None:
        return None
    sql = f"e.record GLOB ? OR {_ESCAPED}"
    if term.field == "message":
        sql += f" OR {_TEMPLATE}"
    return _or_labelled(sql, (_containing(term.value),), term, files, lambda file: [resource_service(file.resource)])


def _path_clause(term: Term, files: Files) -> Clause | None:
    if term.field is None or term.field in BUILT_IN or not _storable(term.field):
        return None
    parts = tuple(term.field.split("."))
    if term.operator == "=" and term.value and number(term.value) is None:
        wanted = term.value
    elif parts[-1] and not parts[-1].isdigit():
        wanted = f'{parts[-1]}"'  # the key's end, whether it is a literal dotted one or the innermost
    else:
        return None
    sql = f"e.record GLOB ? OR {_ESCAPED}"
    return _or_labelled(sql, (_containing(wanted),), term, files, lambda file: lookup(file.resource, parts))


def _or_labelled(
    sql: str, parameters: tuple[Any, ...], term: Term, files: Files, labels: Callable[[FileInfo], list[Any]]
) -> Clause | None:
    """The clause, or a file with a label under the field's name: its events have the value without holding it."""
    if term.field in ("logger", "trace_id", "span_id", "message"):
        return Clause(f"({sql})", parameters)
    labelled = [file.id for file in files.values() if any(value is not None for value in labels(file))]
    if len(labelled) > _MOST_LISTED_FILES:
        return None
    if labelled and term.field == "service":
        labelled = [id_ for id_ in labelled if resource_service(files[id_].resource) == term.value]
    return Clause(f"({sql} OR {_in_files(labelled)})" if labelled else f"({sql})", parameters)
