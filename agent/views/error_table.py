"""Groups of errors as a table: each with its services and its share, what there is to choose from, page by page; and
what became of one group.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from agent.core.groups import STATES, GroupFilter
from agent.store.access import entries
from agent.views import iso
from agent.views.errors import group_document

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from agent.core.groups import ErrorGroup
    from agent.query.engine import Engine

_MOST_CHOICES = 200
_MOST_ENTRIES = 100


def table_document(
    engine: Engine, wanted: GroupFilter, now: int, *, sort: str, limit: int, offset: int
) -> dict[str, Any]:
    """Some of the groups that are asked for, and facts about all there are.

    Args:
        engine: has the groups.
        wanted: which are asked for.
        now: Unix ns.
        sort: as `Engine.groups` takes it.
        limit: so many at the most.
        offset: after so many others.

    Returns:
        `groups`: as `errors list --json` has them, with `services` (names, the largest first) and `share` (of the
        events of all groups); `matching`, `total`: groups; `events`: of all groups; `states`: groups by state;
        `categories`, `services`: names to choose from.
    """
    every = engine.groups(GroupFilter(), now, trends=False)
    events = sum(group.count for group in every)
    matching = len(engine.groups(wanted, now, trends=False))
    rows = []
    for group in engine.groups(wanted, now, sort=sort, limit=offset + limit)[offset:]:
        services = [name for name, _ in engine.group_history(group.id, ()).services if name]
        share = group.count / events if events else 0.0
        rows.append({**group_document(group), "services": services, "share": round(share, 6)})
    states = Counter(group.state for group in every)
    return {
        "groups": rows,
        "matching": matching,
        "total": len(every),
        "events": events,
        "states": {state: states[state] for state in STATES},
        "categories": _common(group.category for group in every),
        "services": _common(group.service for group in every),
    }


def _common(names: Iterable[str | None]) -> list[str]:
    return [name for name, _ in Counter(filter(None, names)).most_common(_MOST_CHOICES)]


def history_rows(connection: sqlite3.Connection, group: ErrorGroup) -> list[dict[str, Any]]:
    """What became of a group, the newest first: rows of `time, state, who, detail`.

    What people did is in the log of changes. What the agent does by itself (a group comes back) is stored as the
    group's last change alone, so that an earlier return is known no more.

    Args:
        connection: read-only.
        group: the group.
    """
    rows = [
        (entry.time, entry.action, entry.who, entry.detail)
        for entry in entries(connection, _MOST_ENTRIES, subject=f"group {group.id}")
    ]
    if group.state == "regressed":
        rows.append((group.state_changed, "regressed", "", "an event came"))
    elif group.state in ("resolved", "ignored") and all(row[0] != group.state_changed for row in rows):
        rows.append((group.state_changed, group.state, "", ""))  # before there was a log
    rows.append((group.first_seen, "new", "", "the first event"))
    rows.sort(key=lambda row: -row[0])
    return [{"time": iso(time), "state": state, "who": who, "detail": detail} for time, state, who, detail in rows]
