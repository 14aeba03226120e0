"""Error groups of a fleet: those of all agents that have the same fingerprint are one.

Each agent sends what its store knows of its groups; here that is added up. The state of a group is the most urgent that
any agent says. How many events there were when is counted from the events.
"""

# ruff: noqa: S608 - statements are built from this package's own words; every value is a literal of `sql`

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from agent.clickhouse.native import read_text
from agent.core.event import severity_text
from agent.core.groups import TREND_HOURS, ErrorGroup, GroupHistory, GroupTraits, state_at
from agent.core.times import MINUTE_NS
from agent.query.clickhouse.sql import one_of
from agent.query.clickhouse.table import in_time
from agent.query.language import bounded
from agent.store.groups import SORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agent.core.groups import GroupFilter
    from agent.query.clickhouse.table import FleetTable

URGENCY = ("regressed", "new", "ongoing", "ignored", "resolved")  # the first that any agent says is the state
_HOUR_NS = 60 * MINUTE_NS
_FIELDS = (
    *("`group`", "title", "culprit", "severity_number", "category", "state", "state_changed", "first_seen"),
    *("last_seen", "count", "service", "exception_type", "ignored_until", "ignored_until_count"),
)


class FleetGroups(Mapping[int, GroupTraits]):
    """Category and state of each group, read when first needed and again for a group that it did not have.

    Args:
        clock: Unix ns; what is new to it.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._table: FleetTable | None = None
        self._known: dict[int, GroupTraits] | None = None
        self._missed: set[int] = set()

    def use(self, table: FleetTable) -> None:
        """The table beside which the groups are."""
        self._table = table

    def read_again(self) -> None:
        """Read them when they are next needed."""
        self._known = None
        self._missed.clear()

    @property
    def _all(self) -> dict[int, GroupTraits]:
        if self._known is None:
            found = read_groups(self._table, self._clock()) if self._table is not None else []
            self._known = {group.id: GroupTraits(group.category, group.state) for group in found}
        return self._known

    def __getitem__(self, group: int) -> GroupTraits:
        if group not in self._all and group not in self._missed:
            self._known = None
            if group not in self._all:
                self._missed.add(group)
        return self._all[group]

    def __iter__(self) -> Iterator[int]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


def read_groups(table: FleetTable, now: int) -> list[ErrorGroup]:
    """All groups, by their numbers; without trends."""
    name = table.client.address.table("groups")
    sql = f"SELECT {', '.join(_FIELDS)} FROM {name} FINAL ORDER BY `group`, last_seen, agent"
    found: dict[int, ErrorGroup] = {}
    severities: dict[int, int] = {}
    for row in table.rows(sql):
        group = _group(row, now)
        severities[group.id] = max(row[3], severities.get(group.id, 0))
        if group.id in found:
            group = _joined(found[group.id], group)
        group.severity = severity_text(severities[group.id])
        found[group.id] = group
    return list(found.values())


def _group(row: tuple[Any, ...], now: int) -> ErrorGroup:
    cells: list[Any] = [read_text(cell) if isinstance(cell, bytes) else cell for cell in row]
    number, title, culprit, severity, category, state, changed, first, last, count, service, kind, until, full = cells
    return ErrorGroup(
        id=number,
        title=title,
        culprit=culprit or None,
        severity=severity_text(severity),
        category=category,
        state=state_at(state, first, now),
        state_changed=changed,
        first_seen=first,
        last_seen=last,
        count=count,
        service=service or None,
        exception_type=kind or None,
        ignored_until=until or None,
        ignored_events_left=full - count if full else None,
        trend=[0] * TREND_HOURS,
    )


def _joined(one: ErrorGroup, later: ErrorGroup) -> ErrorGroup:
    """Two agents' knowledge of one group, of whom the second saw it last."""
    urgent = min(one, later, key=lambda group: URGENCY.index(group.state))
    later.state, later.state_changed = (
        urgent.state,
        max(group.state_changed for group in (one, later) if group.state == urgent.state),
    )
    later.ignored_until, later.ignored_events_left = urgent.ignored_until, urgent.ignored_events_left
    later.first_seen = min(one.first_seen, later.first_seen)
    later.count += one.count
    return later


# ---------------------------------------------------------------- lists


def list_groups(
    table: FleetTable, now: int, wanted: GroupFilter, *, sort: str, reverse: bool, limit: int | None, trends: bool
) -> list[ErrorGroup]:
    """As `Engine.groups`."""
    found = [group for group in read_groups(table, now) if _fits(group, wanted)]
    if wanted.services:
        seen = _groups_where(table, one_of("service", wanted.services).sql)
        found = [group for group in found if group.service in wanted.services or group.id in seen]
    if wanted.since is not None or wanted.until is not None:
        seen = _groups_where(table, in_time(*_whole_minutes(wanted.since, wanted.until)))
        found = [group for group in found if group.id in seen]
    if sort == "trend":
        _add_trends(table, found, now)
    key = SORTS[sort]
    found.sort(key=key if reverse else lambda group: -key(group))
    found = found[:limit]
    if trends and sort != "trend":
        _add_trends(table, found, now)
    return found


def _fits(group: ErrorGroup, wanted: GroupFilter) -> bool:
    """Whether a group is asked for, as far as it says that itself."""
    numbers = wanted.severities
    return (
        wanted.group in (None, group.id)
        and (not wanted.states or group.state in wanted.states)
        and (not wanted.categories or group.category in wanted.categories)
        and (numbers is None or any(severity_text(n) == group.severity for n in range(numbers[0], numbers[1] + 1)))
        and (wanted.title is None or bool(wanted.title.search(group.title)))
        and (wanted.since is None or group.last_seen >= wanted.since)
        and (wanted.until is None or group.first_seen < wanted.until)
    )


def _whole_minutes(since: int | None, until: int | None) -> tuple[int, int]:
    """The span of the minutes in which a span begins and ends."""
    first = None if since is None else since // MINUTE_NS * MINUTE_NS
    last = None if until is None else ((until - 1) // MINUTE_NS + 1) * MINUTE_NS
    return bounded(first, last)


def _groups_where(table: FleetTable, where: str) -> set[int]:
    """The groups of events of which something is true."""
    sql = f"SELECT DISTINCT `group` FROM {table.name} FINAL WHERE gone = 0 AND `group` != 0 AND {where}"
    return {group for (group,) in table.rows(sql)}


def _add_trends(table: FleetTable, groups: Sequence[ErrorGroup], now: int) -> None:
    """Fill in how many events each had in each of the last hours."""
    by_id = {group.id: group for group in groups}
    first = now // _HOUR_NS - TREND_HOURS + 1
    span = in_time(first * _HOUR_NS, (first + TREND_HOURS) * _HOUR_NS)
    sql = f"SELECT `group`, intDiv(timestamp, {_HOUR_NS}) AS hour, count() FROM {table.name} FINAL"
    for number, hour, count in table.rows(f"{sql} WHERE gone = 0 AND `group` != 0 AND {span} GROUP BY `group`, hour"):
        if number in by_id:
            by_id[number].trend[hour - first] = count


def history_of(table: FleetTable, group: int, instants: Sequence[int]) -> GroupHistory:
    """As `Engine.group_history`."""
    spans = [(a // MINUTE_NS * MINUTE_NS, b // MINUTE_NS * MINUTE_NS) for a, b in pairwise(instants)]
    where = f"FROM {table.name} FINAL WHERE gone = 0 AND `group` = {group}"
    counts: list[int] = []
    if spans:
        columns = ", ".join(f"countIf({in_time(*span)})" for span in spans)
        counts = list(table.row(f"SELECT {columns} {where} AND {in_time(spans[0][0], spans[-1][1])}"))
    rows = table.rows(f"SELECT service, count() AS n {where} GROUP BY service ORDER BY n DESC, service")
    return GroupHistory(counts or [0] * len(spans), [(read_text(service), count) for service, count in rows])
