"""What is stored of error groups: the rows of `errors list`, and what grouping goes on from after a restart."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.event import severity_text
from agent.store.rollups import MINUTE_NS

if TYPE_CHECKING:
    import re
    import sqlite3
    from collections.abc import Callable, Sequence

NEW_FOR_NS = 7 * 86_400 * 10**9  # a group is new for a week, then ongoing
TREND_HOURS = 24
_RECENT_HOURS = 6  # what is rising is compared with the hours before: one alone would be too few
_HOUR_MINUTES = 60
_FAR = 2**63 - 1

_COLUMNS = (
    "id, title, culprit, severity_number, category, state, first_seen, last_seen, count, service, exception_type,"
    " ignored_until, ignored_until_count"
)


class Wanted(msgspec.Struct, frozen=True):
    """Which groups are asked for; what is empty or None asks for nothing."""

    group: int | None = None
    states: Sequence[str] = ()
    severities: tuple[int, int] | None = None  # lowest and highest number
    categories: Sequence[str] = ()
    services: Sequence[str] = ()
    title: re.Pattern[str] | None = None
    since: int | None = None  # Unix ns: seen then or later …
    until: int | None = None  # … and before this, to the minute

    def where(self) -> tuple[str, dict[str, Any]]:
        """The condition on `error_groups` with its parameters; states and the title are looked at later."""
        low, high = self.severities or (None, None)
        since, until = _bounded(self.since), _bounded(self.until)
        parameters = {
            "group": self.group,
            "low": low,
            "high": high,
            "categories": json.dumps(self.categories) if self.categories else None,
            "services": json.dumps(self.services) if self.services else None,
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
SORTS: dict[str, Callable[[dict[str, Any]], float]] = {
    "last-seen": lambda row: row["last_seen"],
    "first-seen": lambda row: row["first_seen"],
    "count": lambda row: row["count"],
    "trend": lambda row: rise(row["trend"]),
}


def list_groups(
    connection: sqlite3.Connection,
    now: int | None = None,
    wanted: Wanted | None = None,
    *,
    sort: str = "last-seen",
    reverse: bool = False,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Error groups; times are Unix ns, `trend` the events of each of the last 24 hours.

    Args:
        connection: read-only.
        now: Unix ns; the end of the trend.
        wanted: which groups; None: all.
        sort: a key of SORTS; the largest come first.
        reverse: the smallest come first.
        limit: so many at the most.
    """
    now = time.time_ns() if now is None else now
    wanted = wanted or Wanted()
    where, parameters = wanted.where()
    rows = [
        _row(row, now)
        for row in connection.execute(
            f"SELECT {_COLUMNS} FROM error_groups WHERE {where} ORDER BY id",  # noqa: S608  constants only
            parameters,
        )
        if wanted.title is None or wanted.title.search(row[1])
    ]
    if wanted.states:
        rows = [row for row in rows if row["state"] in wanted.states]
    if sort == "trend":
        _add_trends(connection, rows, now)
    key = SORTS[sort]
    rows.sort(key=key if reverse else lambda row: -key(row))
    rows = rows[:limit]
    if sort != "trend":
        _add_trends(connection, rows, now)
    return rows


def first_seen(connection: sqlite3.Connection, group: int) -> int | None:
    """When a group's first event happened (Unix ns); None: there is no such group."""
    row = connection.execute("SELECT first_seen FROM error_groups WHERE id = ?", (group,)).fetchone()
    return None if row is None else int(row[0])


def group_facts(connection: sqlite3.Connection, groups: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What is stored of some groups, by id; times are Unix ns, `state` as stored. Unknown ids are left out."""
    columns = ("id", "title", "culprit", "severity_number", "category", "state", "first_seen", "last_seen")
    rows = connection.execute(
        f"SELECT {', '.join(columns)} FROM error_groups WHERE id IN (SELECT value FROM json_each(?))",  # noqa: S608
        (json.dumps(groups),),
    )
    return {row[0]: dict(zip(columns, row, strict=True)) for row in rows.fetchall()}


def known_groups(
    connection: sqlite3.Connection, version: int, templates: int
) -> tuple[list[tuple[str, int]], list[tuple[str, str, int]]]:
    """Fingerprint and id of every group; and fingerprint, template and last_seen of some, the last seen first.

    Args:
        connection: any.
        version: of the algorithm; another one's templates would not be found by its messages.
        templates: how many at the most.
    """
    groups = connection.execute("SELECT fingerprint, id FROM error_groups").fetchall()
    return groups, connection.execute(
        "SELECT fingerprint, template, last_seen FROM error_groups"
        " WHERE template IS NOT NULL AND fingerprint_version = ? ORDER BY last_seen DESC, id DESC LIMIT ?",
        (version, templates),
    ).fetchall()


def services_of(connection: sqlite3.Connection, group: int) -> list[tuple[str, int]]:
    """The services of a group's events with their counts, the largest first; '' is none, or one too many to count."""
    return connection.execute(
        "SELECT service, count FROM group_services WHERE group_id = ? ORDER BY count DESC, service", (group,)
    ).fetchall()


def counts_between(connection: sqlite3.Connection, group: int, instants: Sequence[int]) -> list[int]:
    """How many events a group had from each instant (Unix ns, whole minutes) to the next one."""
    minutes = [instant // MINUTE_NS for instant in instants]
    return [
        connection.execute(
            "SELECT coalesce(sum(count), 0) FROM group_minutes WHERE group_id = ? AND minute >= ? AND minute < ?",
            (group, start, end),
        ).fetchone()[0]
        for start, end in pairwise(minutes)
    ]


def _row(row: tuple[Any, ...], now: int) -> dict[str, Any]:
    number, title, culprit, severity, category, state, first, last, count, service, exception, until, full = row
    if state == "new" and now - first > NEW_FOR_NS:
        state = "ongoing"
    return {
        "id": number,
        "title": title,
        "culprit": culprit,
        "severity": severity_text(severity),
        "category": category,
        "state": state,
        "first_seen": first,
        "last_seen": last,
        "count": count,
        "trend": [0] * TREND_HOURS,
        "service": service,
        "exception_type": exception,
        "ignored_until": until,
        "ignored_events_left": None if full is None else full - count,
    }


def _add_trends(connection: sqlite3.Connection, rows: Sequence[dict[str, Any]], now: int) -> None:
    """Fill in the trends: one seek per group, for the table has the minutes of a year."""
    by_id = {row["id"]: row for row in rows}
    last_hour = now // MINUTE_NS // _HOUR_MINUTES
    first_hour = last_hour - TREND_HOURS + 1
    for number, hour, count in connection.execute(
        f"SELECT m.group_id, m.minute / {_HOUR_MINUTES}, sum(m.count) FROM json_each(?) g"  # noqa: S608  constants
        " CROSS JOIN group_minutes m ON m.group_id = g.value AND m.minute >= ? AND m.minute < ? GROUP BY 1, 2",
        (json.dumps(list(by_id)), first_hour * _HOUR_MINUTES, (last_hour + 1) * _HOUR_MINUTES),
    ):
        by_id[number]["trend"][hour - first_hour] = count
