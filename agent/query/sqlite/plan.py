"""From the analysis of a query to the SQL that finds its candidates.

As the analysis, the plan never drops a match; `residual` says whether it lets other events through. A text that a
record must hold is a prefilter on `record`: a record with a backslash always passes it, and LIKE folds ASCII alone, as
the predicate does for ASCII terms. Numbers are not searched for (500 may be written 5e2), but the key that they stand
under is.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.groups import NEW_FOR_NS
from agent.core.severity import ERRORS_FROM, HIGHEST
from agent.core.values import number
from agent.query.searched import hiding_escape, like_pattern, line_clause
from agent.query.terms import NOT_IGNORED, Term

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.query.analysis import Analysis, Condition, RequiredText
    from agent.query.language import Selection
    from agent.store.events import Files

_PATTERN_BYTES = 10_000  # SQLite refuses LIKE patterns over 50,000 bytes
_MOST_LISTED_FILES = 5_000  # a longer list of ids in a statement costs more than it saves
# GLOB '*x*' skips to each x by strcspn: 0.3 µs on a line of 300 bytes, where instr() takes 1.2.
_TEMPLATE = "e.record GLOB '*\"@mt\"*'"  # the message is composed from a template and fields

_STATE = "iif(state = 'new' AND first_seen < ?, 'ongoing', state)"  # as `core.groups.state_at`

_ANY_GROUP = (Term("group", "=", "", prefix=True),)

BY_TIME = "events_by_time"
ERRORS_BY_TIME = "errors_by_time"


class Clause(msgspec.Struct, frozen=True):
    """A condition in SQL over `events e`; `exact` when it says all that the query's condition says."""

    sql: str
    parameters: tuple[Any, ...] = ()
    exact: bool = False


ALL = Clause("", exact=True)
NOTHING = Clause("e.group_id < 0", exact=True)  # SQLite finds no plan for a literal 0


class SqlPlan(msgspec.Struct, frozen=True):
    """What to put into a statement: the index to walk, and clauses besides those on time and id."""

    index: str
    sql: str  # begins with " AND " where there is anything
    parameters: tuple[Any, ...]
    residual: bool  # rows must also pass the query's predicate
    selective: bool  # rows of the index may fail the clauses
    empty: bool = False  # nothing can match


def make_plan(selection: Selection, files: Files) -> SqlPlan:
    """Plan a selection over the files known now."""
    return plan_of(selection.query.analysis, files)


def plan_of(analysis: Analysis, files: Files) -> SqlPlan:
    """Plan what a query, or a branch of it, can match."""
    clauses: list[Clause] = []
    residual = False
    for condition in analysis.conditions:
        clause = clause_of(condition, files)
        residual = residual or clause is None or not clause.exact
        if clause is not None:
            clauses.append(clause)
    of_files = file_clause(analysis, files)
    if of_files is not None:
        clauses.append(of_files)
    return assemble(analysis.severities, clauses, residual=residual or of_files is None)


def file_clause(analysis: Analysis, files: Files) -> Clause | None:
    """What a query says of the events' files, in full; None where that would be too long a list."""
    if not analysis.narrows_files:
        return ALL
    file_ids = [file.id for file in files.values() if analysis.accepts_file(file)]
    if not file_ids:
        return NOTHING
    if len(file_ids) == len(files):
        return ALL
    return None if len(file_ids) > _MOST_LISTED_FILES else Clause(_in_files(file_ids), exact=True)


def assemble(severities: frozenset[int], clauses: Sequence[Clause], *, residual: bool) -> SqlPlan:
    """A plan of clauses that must all hold.

    Args:
        severities: of which an event must have one.
        clauses: about anything else.
        residual: as `SqlPlan.residual`.
    """
    clauses = [clause for clause in clauses if clause.sql]
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
    return SqlPlan(
        index=ERRORS_BY_TIME if errors else BY_TIME,
        sql="".join(f" AND {part}" for part in parts),
        parameters=tuple(value for clause in clauses for value in clause.parameters),
        residual=residual,
        selective=selective,
        empty=not severities or NOTHING in clauses,
    )


def _either(branches: Sequence[Analysis], files: Files) -> Clause | None:
    """All that one of the branches says."""
    clauses = []
    for branch in branches:
        plan = plan_of(branch, files)
        if plan.empty:
            continue
        if not plan.sql:
            return None
        sql = plan.sql.removeprefix(" AND ")
        clauses.append(Clause(f"({sql})", plan.parameters, exact=not plan.residual))
    return _any_of(clauses) if clauses else NOTHING


def _in_files(ids: Iterable[int]) -> str:
    return f"e.file_id IN ({','.join(map(str, sorted(ids)))})"


def clause_of(condition: Condition, files: Files) -> Clause | None:
    """The prefilter of a condition, None where none is sound."""
    if condition.branches:
        return _either(condition.branches, files)
    if condition.terms == NOT_IGNORED:
        return Clause(
            "(e.group_id IS NULL OR e.group_id NOT IN (SELECT id FROM error_groups WHERE state = 'ignored'))",
            exact=True,
        )
    if condition.terms == _ANY_GROUP:
        return Clause("e.group_id IS NOT NULL", exact=True)
    if condition.field in ("group", "category", "state"):
        if not condition.is_equality:
            return None
        return _any_of([_group_clause(condition.field, value) for value in condition.values])
    clauses = [_text_clause(required, files) for required in condition.required]
    sound = [clause for clause in clauses if clause is not None]
    return _any_of(sound) if sound and len(sound) == len(clauses) else None


def _any_of(clauses: list[Clause]) -> Clause:
    if len(clauses) == 1:
        return clauses[0]
    return Clause(
        f"({' OR '.join(clause.sql for clause in clauses)})",
        tuple(value for clause in clauses for value in clause.parameters),
        exact=all(clause.exact for clause in clauses),
    )


def _group_clause(field: str, value: str) -> Clause:
    if field != "group" and not is_bindable(value):  # no name that the store has
        return NOTHING
    if field == "category":
        return Clause("e.group_id IN (SELECT id FROM error_groups WHERE category = ?)", (value,), exact=True)
    if field == "state":
        oldest = time.time_ns() - NEW_FOR_NS
        sql = f"e.group_id IN (SELECT id FROM error_groups WHERE {_STATE} = ?)"  # noqa: S608  constants only
        return Clause(sql, (oldest, value), exact=True)
    wanted = number(value)
    if wanted is None or not 0 < wanted < 2**63 or wanted != int(wanted):  # int(1e999999) would take minutes
        return NOTHING
    return Clause("e.group_id = ?", (int(wanted),), exact=True)


def _text_clause(required: RequiredText, files: Files) -> Clause | None:
    """The record holds the text, or has one of the ways round it."""
    if not is_bindable(required.text):
        return None
    parameters: tuple[Any, ...]
    if required.folded:
        sql, parameters = "e.record LIKE ? ESCAPE '!'", (like_pattern(required.text),)
    else:
        sql, parameters = "e.record GLOB ?", (containing(required.text),)
    value = required.text[:-1] if required.is_key else required.text
    sql += f" OR e.record GLOB '*{hiding_escape(value)}*'"  # such an escape may stand for any of its characters
    if required.field is None:
        line, more = line_clause(required.text, folded=required.folded)
        sql, parameters = f"{sql} OR {line}", (*parameters, *more)
    if required.composed:
        sql += f" OR {_TEMPLATE}"
    if required.may_be_labelled:
        labelled = [file.id for file in files.values() if required.is_labelled(file.resource)]
        if len(labelled) > _MOST_LISTED_FILES:
            return None
        if labelled:
            sql += f" OR {_in_files(labelled)}"
    return Clause(f"({sql})", parameters)


def is_bindable(text: str) -> bool:
    """Whether SQLite can take a text as a pattern."""
    if "\0" in text or len(text) > _PATTERN_BYTES:
        return False
    try:
        return len(text.encode()) <= _PATTERN_BYTES
    except UnicodeEncodeError:
        return False


def containing(text: str) -> str:
    """The GLOB pattern for a text anywhere."""
    return f"*{glob_text(text)}*"


def glob_text(text: str) -> str:
    """A text in a GLOB pattern, which has no escape but a set of one character."""
    return re.sub(r"[*?[]", r"[\g<0>]", text)
