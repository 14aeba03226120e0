"""Which errors came, went or changed: before and after an instant, or of one version and of others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.errors import UsageError
from agent.core.groups import GroupFilter
from agent.query.aggregate import buckets
from agent.query.language import Grouping, Query, Selection, parse_terms, severity_query
from agent.query.terms import Term
from agent.views import iso

if TYPE_CHECKING:
    from agent.core.groups import ErrorGroup
    from agent.query.engine import Engine

_ORDER = ("new", "changed", "gone", "same")


class Side(msgspec.Struct, frozen=True):
    """One of the two that are compared: the events of a query in [since, until), Unix ns."""

    query: Query
    since: int
    until: int


class GroupChange(msgspec.Struct, frozen=True):
    """A group with its events on both sides.

    `ratio` is how many times as many there are after, for as long a time or as many events; None where there were none.
    """

    group: ErrorGroup
    before: int
    after: int
    ratio: float | None

    @property
    def kind(self) -> str:
        """What became of it: `new`, `changed`, `gone` or `same`."""
        if not self.before:
            return "new"
        if not self.after:
            return "gone"
        return "same" if self.ratio == 1 else "changed"


class ErrorDiff(msgspec.Struct, frozen=True):
    """The groups of both sides, what is new first, then what has changed most; and how many errors each side has."""

    before: Side
    after: Side
    errors: tuple[int, int]
    changes: list[GroupChange]

    def document(self) -> dict[str, Any]:
        """The document of `errors diff --json`."""
        sides = zip((self.before, self.after), self.errors, strict=True)
        before, after = (
            {"since": iso(side.since), "until": iso(side.until), "query": str(side.query), "errors": count}
            for side, count in sides
        )
        return {"before": before, "after": after, "groups": [_row(change) for change in self.changes]}


def sides_in_time(at: int, before: int, after: int) -> tuple[Side, Side]:
    """So long before an instant, and so long after it."""
    return Side(Query(), at - before, at), Side(Query(), at, at + after)


def sides_of_field(field: str, value: str, against: str | None, since: int, until: int) -> tuple[Side, Side]:
    """The events without and those with a value of a field, such as a version; or with two values of it.

    Args:
        field: as the query language names it.
        value: of what is looked at.
        against: of what that is compared with; None: all else that has the field.
        since: Unix ns.
        until: Unix ns.
    """
    with_value = Query((Term(field, "=", value),))
    if against is None:
        others = Query((Term(field, "=", "", prefix=True), Term(field, "!=", value)))
    else:
        others = Query((Term(field, "=", against),))
    return Side(others.compiled(), since, until), Side(with_value.compiled(), since, until)


def compared_sides(
    now: int, at: int | None, before: int, after: int, *, label: str | None = None, against: str | None = None
) -> tuple[Side, Side]:
    """The two sides that somebody has asked for.

    Args:
        now: Unix ns.
        at: the instant between them; None: `after` ago.
        before: so long before it, ns.
        after: so long after it, until now at the most.
        label: `FIELD=VALUE`: the events of the whole time with and without it are compared.
        against: without: only those with this value.

    Raises:
        UsageError: SL541, the label, or nothing lies on a side.
    """
    moment = now - after if at is None else at
    if moment >= now:
        raise UsageError.of("SL541.future", iso(moment))
    if label is None:
        if against is not None:
            raise UsageError.of("SL541.against", against)
        return sides_in_time(moment, before, min(after, now - moment))
    terms = parse_terms([label]).terms
    if len(terms) != 1 or not isinstance(terms[0], Term) or not terms[0].is_equality or terms[0].field is None:
        raise UsageError.of("SL541", label)
    return sides_of_field(terms[0].field, terms[0].value, against, moment - before, min(now, moment + after))


def compare(engine: Engine, before: Side, after: Side, now: int) -> ErrorDiff:
    """Compare the errors of two sides.

    Sides of the same length are compared by their numbers; sides of a field by their shares of all events that it has,
    so that a version on one of ten machines is not called better for that.

    Args:
        engine: has the events.
        before: what was.
        after: what is.
        now: Unix ns.
    """
    counts = [_errors(engine, side) for side in (before, after)]
    weights = [_weight(engine, side) for side in (before, after)]
    scale = weights[0] / weights[1] if all(weights) else 1.0
    known = {group.id: group for group in engine.groups(GroupFilter(), now, trends=False)}
    changes = []
    for number in counts[0].keys() | counts[1].keys():
        first, second = (side.get(number, 0) for side in counts)
        ratio = round(second / first * scale, 6) if first else None
        if number in known:  # one that has gone meanwhile has no title any more
            changes.append(GroupChange(known[number], first, second, ratio))
    changes.sort(key=_rank)
    return ErrorDiff(before, after, (sum(counts[0].values()), sum(counts[1].values())), changes)


def _errors(engine: Engine, side: Side) -> dict[int, int]:
    grouping = Grouping(("group",))
    selection = Selection(side.query & severity_query("error"), side.since, side.until)
    rows = buckets(engine.counts(selection, grouping), grouping)
    return {int(row.values[0]): row.count for row in rows if row.values[0] is not None}


def _weight(engine: Engine, side: Side) -> float:
    """What the numbers of a side are measured by."""
    if not side.query.terms:
        return side.until - side.since
    [row] = buckets(engine.counts(Selection(side.query, side.since, side.until), Grouping()), Grouping())
    return row.count


def _rank(change: GroupChange) -> tuple[int, float, int, int]:
    """New ones by their number, changed ones by how much, the others by what they were."""
    turn = abs(math.log(change.ratio)) if change.ratio else 0.0
    return _ORDER.index(change.kind), -turn, -max(change.after, change.before), change.group.id


def _row(change: GroupChange) -> dict[str, Any]:
    group = change.group
    return {
        "id": group.id,
        "title": group.title,
        "culprit": group.culprit,
        "severity": group.severity,
        "state": group.state,
        "service": group.service,
        "first_seen": iso(group.first_seen),
        "change": change.kind,
        "before": change.before,
        "after": change.after,
        "ratio": change.ratio,
    }
