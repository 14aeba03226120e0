"""The query that `-p` makes of a level or a range of levels."""

from __future__ import annotations

from agent.core.severity import ERRORS_FROM, HIGHEST, level_range, number_range
from agent.query.language import Query, Term

__all__ = ["ERRORS_FROM", "HIGHEST", "level_range", "number_range", "severity_query"]


def severity_query(text: str) -> Query:
    """The query of `-p`, as `number_range` reads it.

    Raises:
        UsageError: SL512, a level is unknown or the range is empty.
    """
    number_range(text)
    low, _, high = text.partition("..")
    terms = [Term("severity", operator, level.strip()) for operator, level in ((">=", low), ("<=", high)) if level]
    return Query(tuple(terms))
