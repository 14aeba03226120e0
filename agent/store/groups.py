"""What is stored of error groups: the rows of `errors list`, and what grouping goes on from after a restart."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from agent.records import severity_text

if TYPE_CHECKING:
    import sqlite3

NEW_FOR_NS = 7 * 86_400 * 10**9  # a group is new for a week, then ongoing
TREND_HOURS = 24
_HOUR_MINUTES = 60
_MINUTE_NS = 60_000_000_000

_COLUMNS = "id, title, culprit, severity_number, category, state, first_seen, last_seen, count, service, exception_type"


def list_groups(
    connection: sqlite3.Connection, now: int | None = None, *, group: int | None = None
) -> list[dict[str, Any]]:
    """Error groups, the last seen first; times are Unix ns, `trend` the events of each of the last 24 hours.

    Args:
        connection: read-only.
        now: Unix ns; the end of the trend.
        group: only this one.
    """
    now = time.time_ns() if now is None else now
    where = "" if group is None else "WHERE id = ?"
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM error_groups {where} ORDER BY last_seen DESC, id",  # noqa: S608  constants only
        () if group is None else (group,),
    ).fetchall()
    trends = _trends(connection, now, group)
    return [_row(row, trends, now) for row in rows]


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


def _row(row: tuple[Any, ...], trends: dict[int, list[int]], now: int) -> dict[str, Any]:
    number, title, culprit, severity, category, state, first, last, count, service, exception = row
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
        "trend": trends.get(number, [0] * TREND_HOURS),
        "service": service,
        "exception_type": exception,
    }


def _trends(connection: sqlite3.Connection, now: int, group: int | None) -> dict[int, list[int]]:
    last_hour = now // _MINUTE_NS // _HOUR_MINUTES
    first_minute = (last_hour - TREND_HOURS + 1) * _HOUR_MINUTES
    where, values = ("", ()) if group is None else ("AND group_id = ?", (group,))
    trends: dict[int, list[int]] = {}
    for number, hour, count in connection.execute(
        f"SELECT group_id, minute / {_HOUR_MINUTES}, sum(count) FROM group_minutes"  # noqa: S608  constants only
        f" WHERE minute >= ? {where} GROUP BY 1, 2",
        (first_minute, *values),
    ):
        index = hour - (last_hour - TREND_HOURS + 1)
        if index < TREND_HOURS:  # later ones come from the future
            trends.setdefault(number, [0] * TREND_HOURS)[index] = count
    return trends
