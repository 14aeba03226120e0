"""Clauses of conditions in the SQL of both lines of servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agent.clickhouse.client import literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class SqlClause(msgspec.Struct, frozen=True):
    """A condition over the columns of `events`; `exact` when it says all that the query's condition says."""

    sql: str  # empty: it says nothing
    exact: bool = True


ALL = SqlClause("")
NOTHING = SqlClause("0")


def any_of(clauses: Sequence[SqlClause]) -> SqlClause:
    """One of these must hold."""
    there = [clause for clause in clauses if clause != NOTHING]
    if not there:
        return NOTHING
    exact = all(clause.exact for clause in there)
    if any(not clause.sql for clause in there):
        return SqlClause("", exact)
    return there[0] if len(there) == 1 else SqlClause(f"({' OR '.join(one.sql for one in there)})", exact)


def negated(clause: SqlClause) -> SqlClause | None:
    """What holds where an exact clause does not; None: nothing can be said."""
    if not clause.exact:
        return None
    if not clause.sql:
        return NOTHING
    return ALL if clause == NOTHING else SqlClause(f"NOT ({clause.sql})")


def one_of(column: str, values: Iterable[int] | Iterable[str]) -> SqlClause:
    """A column has one of some values."""
    written = [literal(value) if isinstance(value, str) else str(value) for value in values]
    if not written:
        return NOTHING
    return SqlClause(f"{column} = {written[0]}" if len(written) == 1 else f"{column} IN ({', '.join(written)})")
