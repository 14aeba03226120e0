"""What is stored of error groups: the rows of `errors list`, and what grouping goes on from after a restart."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from agent.core.event import severity_text
from agent.core.groups import TREND_HOURS, ErrorGroup, GroupFilter, GroupHistory, GroupTraits, state_at
from agent.core.times import MINUTE_NS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

_RECENT_HOURS = 6  # what is rising is compared with the hours before: one alone would be too few
_HOUR_MINUTES = 60
_FAR = 2**63 - 1
ALL_GROUPS = GroupFilter()

_NEWEST_LOOKED_AT = 10_000  # errors, some 2 ms: a storm of others must not make it longer
_NEWEST = """
SELECT id FROM (
  SELECT id, group_id FROM events INDEXED BY errors_by_time WHERE severity_number >= 17 AND timestamp >= ?
  ORDER BY timestamp DESC, id DESC LIMIT ?
) WHERE group_id = ? LIMIT ?
"""

_COLUMNS = (
    *("id", "title", "culprit", "severity_number", "category", "state", "state_changed", "first_seen", "last_seen"),
    *("count", "service", "exception_type", "ignored_until", "ignored_until_count"),
)


def _where(wanted: GroupFilter) -> tuple[str, dict[str, Any]]:
    """The condition on `error_groups` with its parameters; states and the title are looked at later."""
    low, high = wanted.severities or (None, None)
    since, until = _bounded(wanted.since), _bounded(wanted.until)
    parameters = {
        "group": wanted.group,
        "low": low,
        "high": high,
        "categories": json.dumps(wanted.categories) if wanted.categories else None,
        "services": json.dumps(wanted.services) if wanted.services else None,
        "since": since,
        "until": until,
        "first": None if since is None and until is None else (-_FAR if since is None else since) // MINUTE_NS,
        "last": ((_FAR if until is None else until) - 1) // MINUTE_NS,
    }
    conditions = [condition for name, condition in _CONDITIONS.items() if parameters[name] is not None]
    return " AND ".join(conditions) or "true", parameters


_CONDITIONS = {
    "group": "id = :group",
    "low": "severity_number >= :low",
    "high": "severity_number <= :high",
    "categories": "category IN (SELECT value FROM json_each(:categories))",
    "services": (
        "(service IN (SELECT value FROM json_each(:services)) OR EXISTS (SELECT 1 FROM group_services s"
        " WHERE s.group_id = error_groups.id AND s.service IN (SELECT value FROM json_each(:services))))"
    ),
    "since": "last_seen >= :since",
    "until": "first_seen < :until",
    "first": (
        "EXISTS (SELECT 1 FROM group_minutes m"
        " WHERE m.group_id = error_groups.id AND m.minute BETWEEN :first AND :last)"
    ),
}


def _bounded(instant: int | None) -> int | None:
    """What SQLite can hold."""
    return None if instant is None else max(-_FAR, min(instant, _FAR))


def rise(trend: Sequence[int]) -> float:
    """How many more events the last six hours had than the hours before let expect."""
    before, recent = trend[:-_RECENT_HOURS], trend[-_RECENT_HOURS:]
    return sum(recent) - sum(before) * _RECENT_HOURS / len(before)


# Largest first; groups that are equal in it come in the order of their ids.
SORTS: dict[str, Callable[[ErrorGroup], float]] = {
    "last-seen": lambda group: group.last_seen,
    "first-seen": lambda group: group.first_seen,
    "count": lambda group: group.count,
    "trend": lambda group: rise(group.trend),
}


def list_groups(
    connection: sqlite3.Connection,
    now: int,
    wanted: GroupFilter = ALL_GROUPS,
    *,
    sort: str = "last-seen",
    reverse: bool = False,
    limit: int | None = None,
    trends: bool = True,
) -> list[ErrorGroup]:
    """Error groups.

    Args:
        connection: read-only.
        now: Unix ns; the end of the trend.
        wanted: which groups.
        sort: a key of SORTS; the largest come first.
        reverse: the smallest come first.
        limit: so many at the most.
        trends: whether to fill in the trends.
    """
    where, parameters = _where(wanted)
    found = [
        _group(row, now)
        for row in connection.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM error_groups WHERE {where} ORDER BY id",  # noqa: S608  constants only
            parameters,
        )
        if wanted.title is None or wanted.title.search(row[1])
    ]
    if wanted.states:
        found = [group for group in found if group.state in wanted.states]
    if sort == "trend":
        _add_trends(connection, found, now)
    key = SORTS[sort]
    found.sort(key=key if reverse else lambda group: -key(group))
    found = found[:limit]
    if trends and sort != "trend":
        _add_trends(connection, found, now)
    return found


def first_seen(connection: sqlite3.Connection, group: int) -> int | None:
    """When a group's first event happened (Unix ns); None: there is no such group."""
    row = connection.execute("SELECT first_seen FROM error_groups WHERE id = ?", (group,)).fetchone()
    return None if row is None else int(row[0])


def group_traits(connection: sqlite3.Connection, now: int) -> dict[int, GroupTraits]:
    """What queries ask of groups, of all of them by id; their states at an instant (Unix ns)."""
    rows = connection.execute("SELECT id, category, state, first_seen FROM error_groups")
    return {number: GroupTraits(category, state_at(state, seen, now)) for number, category, state, seen in rows}


def ignored_among(connection: sqlite3.Connection, groups: Iterable[int]) -> frozenset[int]:
    """Those of some groups that are ignored."""
    wanted = json.dumps(list(groups))
    sql = "SELECT id FROM error_groups WHERE id IN (SELECT value FROM json_each(?)) AND state = 'ignored'"
    return frozenset(row[0] for row in connection.execute(sql, (wanted,)))


def group_facts(connection: sqlite3.Connection, groups: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What is stored of some groups, by id; times are Unix ns, `state` as stored. Unknown ids are left out."""
    columns = ("id", "title", "culprit", "severity_number", "category", "state", "first_seen", "last_seen")
    rows = connection.execute(
        f"SELECT {', '.join(columns)} FROM error_groups WHERE id IN (SELECT value FROM json_each(?))",  # noqa: S608 - names of the schema; values are bound
        (json.dumps(groups),),
    )
    return {row[0]: dict(zip(columns, row, strict=True)) for row in rows.fetchall()}


def known_groups(
    connection: sqlite3.Connection, templates: int
) -> tuple[list[tuple[str, int, int]], list[tuple[str, str, int, int]]]:
    """Fingerprint, id and version of every group; and fingerprint, template, last_seen and version of some, the last
    seen first.

    Args:
        connection: any.
        templates: how many at the most.
    """
    groups = connection.execute("SELECT fingerprint, id, fingerprint_version FROM error_groups").fetchall()
    return groups, connection.execute(
        "SELECT fingerprint, template, last_seen, fingerprint_version FROM error_groups"
        " WHERE template IS NOT NULL ORDER BY last_seen DESC, id DESC LIMIT ?",
        (templates,),
    ).fetchall()


def history_of(connection: sqlite3.Connection, group: int, instants: Sequence[int]) -> GroupHistory:
    """How many events a group had from each instant (Unix ns, whole minutes) to the next one, and of each service."""
    minutes = [instant // MINUTE_NS for instant in instants]
    counts = [
        connection.execute(
            "SELECT coalesce(sum(count), 0) FROM group_minutes WHERE group_id = ? AND minute >= ? AND minute < ?",
            (group, start, end),
        ).fetchone()[0]
        for start, end in pairwise(minutes)
    ]
    services = connection.execute(
        "SELECT service, count FROM group_services WHERE group_id = ? ORDER BY count DESC, service", (group,)
    ).fetchall()
    return GroupHistory(counts, services)


def newest_event_ids(connection: sqlite3.Connection, group: int, since: int, most: int) -> list[int]:
    """The newest events of a group among the last errors of all, from an instant (Unix ns) on, the newest first."""
    return [row[0] for row in connection.execute(_NEWEST, (since, _NEWEST_LOOKED_AT, group, most))]


def has_events_between(connection: sqlite3.Connection, group: int, first: int, last: int) -> bool:
    """Whether a group had an event in one of the minutes from the first to the last."""
    sql = "SELECT 1 FROM group_minutes WHERE group_id = ? AND minute BETWEEN ? AND ? LIMIT 1"
    return connection.execute(sql, (group, first, last)).fetchone() is not None


def _group(row: tuple[Any, ...], now: int) -> ErrorGroup:
    column = dict(zip(_COLUMNS, row, strict=True))
    severity, full = column.pop("severity_number"), column.pop("ignored_until_count")
    column["state"] = state_at(column["state"], column["first_seen"], now)
    return ErrorGroup(
        **column,
        severity=severity_text(severity),
        ignored_events_left=None if full is None else full - column["count"],
        trend=[0] * TREND_HOURS,
    )


def _add_trends(connection: sqlite3.Connection, groups: Sequence[ErrorGroup], now: int) -> None:
    """Fill in the trends: one seek per group, for the table has the minutes of a year."""
    by_id = {group.id: group for group in groups}
    last_hour = now // MINUTE_NS // _HOUR_MINUTES
    first_hour = last_hour - TREND_HOURS + 1
    for number, hour, count in connection.execute(
        f"SELECT m.group_id, m.minute / {_HOUR_MINUTES}, sum(m.count) FROM json_each(?) g"  # noqa: S608  constants
        " CROSS JOIN group_minutes m ON m.group_id = g.value AND m.minute >= ? AND m.minute < ? GROUP BY 1, 2",
        (json.dumps(list(by_id)), first_hour * _HOUR_MINUTES, (last_hour + 1) * _HOUR_MINUTES),
    ):
        by_id[number].trend[hour - first_hour] = count
