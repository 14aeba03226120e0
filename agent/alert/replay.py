"""Stored events through the engine of the live rules: when would a rule have fired, and why, or why not?

Events that have left the store come out of the archives, merged in the order of time, as if they were still there.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from itertools import chain, groupby
from typing import TYPE_CHECKING, Protocol

import msgspec

from agent.alert.counting import group_key
from agent.alert.engine import RuleEngine
from agent.alert.event import Keys
from agent.alert.matching import Plan
from agent.alert.rules import DAY_NS, AlertRule, compile_rule
from agent.alert.state import RuleHit, StateChange
from agent.query.language import Grouping, Query, Term
from agent.query.selection import Selection
from agent.query.sqlite.scan import Scan

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from agent.config import RuleConfig
    from agent.query.aggregate import Counts
    from agent.query.events import Categories, StoredEvent

NEARBY = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)  # thresholds that are tried beside the rule's own
_TUNABLE = ("count", "rate", "ratio", "spike")
_CHUNK_EVENTS = 2_000
_PAGE_ROWS = 20_000  # read at a time: 10 ms in which the store's WAL cannot begin anew
_KEYS_SHOWN = 5

Keyed = tuple[str, RuleHit]


class Elsewhere(Protocol):
    """Where the events are that are not in the store any more, or never were."""

    def events(self, selection: Selection, *, observed: tuple[int, int] | None = None) -> Iterator[StoredEvent]:
        """Those that match, in the order of time; `observed`: only such as came in this span, [since, until)."""

    def counts(self, selection: Selection, grouping: Grouping) -> Counts:
        """How many match."""


class Firing(msgspec.Struct):
    """One time that a rule would have fired; instants are Unix ns."""

    key: str
    started_at: int
    value: float
    ended_at: int | None = None


class Moment(msgspec.Struct):
    """The values of a rule's windows at one instant, of the keys with the highest."""

    at: int
    values: list[tuple[str, float, str]]  # key, value, phase


class Replay(msgspec.Struct):
    """What a replay has found."""

    firings: list[Firing] = []
    nearby: list[tuple[float, int]] = []  # threshold, how often it would have fired
    moments: list[Moment] = []
    events: int = 0  # that matched


def replay(
    connection: sqlite3.Connection,
    config: RuleConfig,
    since: int,
    until: int,
    *,
    nearby: bool = False,
    moments: Sequence[int] = (),
    elsewhere: Elsewhere | None = None,
) -> Replay:
    """Let a rule see the stored events of [since, until), and what filled its window before.

    Args:
        connection: read-only.
        config: the rule.
        since: Unix ns.
        until: Unix ns.
        nearby: also count how often it would have fired with other thresholds.
        moments: instants at which to look into the windows, ascending.
        elsewhere: the events that are not in the store.
    """
    rule = compile_rule(config)
    factors = NEARBY if nearby and rule.form in _TUNABLE else (1.0,)
    variants = {factor: _variant(rule, factor) for factor in factors}
    engine = RuleEngine([msgspec.structs.replace(one, inhibited_by=()) for one in variants.values()])
    start = since - (DAY_NS if rule.has_day else rule.window_ns * (2 if rule.form == "spike" else 1))
    source = _Source(connection, config, rule, (start, until), elsewhere)
    found = Replay()
    engine.begin(start)
    pending = list(moments)
    for chunk, totals, upto in source.chunks(pending):
        found.events += len(chunk)
        _feed(engine, chunk, totals)
        while pending and pending[0] <= upto:
            found.moments.append(_look(engine, variants[1.0], pending.pop(0)))
        engine.tick(upto)
    found.moments += [_look(engine, variants[1.0], at) for at in pending]
    engine.tick(until)
    changes = engine.take_changes()
    for factor, one in variants.items():
        firings = _firings([change for change in changes if change.rule == one.name], since, until)
        if factor == 1.0:
            found.firings = firings
        if (one.threshold, len(firings)) not in found.nearby:
            found.nearby.append((one.threshold, len(firings)))
    return found


def _variant(rule: AlertRule, factor: float) -> AlertRule:
    threshold = rule.threshold * factor
    if rule.form == "count":
        threshold = float(max(1, round(threshold)))
    return msgspec.structs.replace(rule.with_threshold(threshold), name=f"{factor}")


def _feed(engine: RuleEngine, chunk: list[Keyed], totals: dict[str, Counter[int]]) -> None:
    by_key: dict[str, list[RuleHit]] = {key: [] for key in totals}
    for key, hit in chunk:
        by_key.setdefault(key, []).append(hit)
    for key, hits in by_key.items():
        now = hits[0].at if hits else 0
        for name, rule in engine.rules.items():
            if key in totals:  # a ratio: its chunks are buckets
                now = (max(totals[key]) + 1) * rule.grain_ns - 1
            engine.observe(name, key, hits, now, totals.get(key))


def _look(engine: RuleEngine, rule: AlertRule, at: int) -> Moment:
    engine.tick(at)
    values: list[tuple[str, float, str]] = []
    for state in engine.states[rule.name].values():
        state.advance(at // rule.grain_ns)
        values.append((state.key, state.measure(rule), state.phase))
    values.sort(key=lambda one: -one[1])
    return Moment(at, values[:_KEYS_SHOWN] or [("{}", 0.0, "ok")])


def _firings(changes: list[StateChange], since: int, until: int) -> list[Firing]:
    found: list[Firing] = []
    open_: dict[str, Firing] = {}
    for change in changes:
        if change.state == "firing" and change.key not in open_:
            open_[change.key] = Firing(change.key, change.started_at, change.value)
            found.append(open_[change.key])
        elif change.state == "resolved" and change.key in open_:
            open_.pop(change.key).ended_at = change.at
    return [one for one in found if one.started_at < until and (one.ended_at is None or one.ended_at >= since)]


class _Source:
    """The events that a rule counts, in the order of their instants."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        config: RuleConfig,
        rule: AlertRule,
        span: tuple[int, int],
        elsewhere: Elsewhere | None,
    ) -> None:
        self._connection = connection
        self._rule = rule
        self._plan = Plan.of(config.match)
        self._keys = Keys(config.per)
        self._start, self._until = span
        self._elsewhere = elsewhere

    def chunks(self, moments: Sequence[int]) -> Iterator[tuple[list[Keyed], dict[str, Counter[int]], int]]:
        """Hits with their keys, the totals of a ratio, and the instant up to which this is all. A chunk ends at each
        moment that is to be looked at.
        """
        ends = list(moments)
        if self._rule.form == "ratio":
            yield from self._buckets()
            return
        hits = iter(self._hits())
        chunk: list[Keyed] = []
        for key, hit in hits:
            while ends and hit.at > ends[0]:
                yield chunk, {}, ends.pop(0)
                chunk = []
            chunk.append((key, hit))
            if len(chunk) >= _CHUNK_EVENTS:
                yield chunk, {}, hit.at
                chunk = []
        if chunk:
            yield chunk, {}, chunk[-1][1].at

    def _hits(self) -> Iterable[Keyed]:
        if self._rule.form in ("new_group", "regressed"):
            return self._group_hits()
        ahead = sorted(self._future(), key=lambda keyed: keyed[1].at)
        now = self._keyed(self._plan.query)
        return heapq.merge(now, ahead, key=lambda keyed: keyed[1].at) if ahead else now

    def _keyed(self, query: Query) -> Iterator[Keyed]:
        """What matches between start and end, with its keys, in the order of time."""
        scan = self._scan(query, self._start, self._until)
        if self._elsewhere is None:
            return self._stored(scan)
        archived = self._with_keys(self._elsewhere.events(scan.selection), scan.categories)
        return heapq.merge(archived, self._stored(scan), key=lambda keyed: keyed[1].at)

    def _stored(self, scan: Scan) -> Iterator[Keyed]:
        if not self._keys.fields and not scan.plan.residual:
            return self._unread(scan)
        return self._with_keys(scan.by_time(), scan.categories)

    def _with_keys(self, events: Iterable[StoredEvent], categories: Categories) -> Iterator[Keyed]:
        key = self._keys.key
        for event in events:
            yield key(event, categories), RuleHit(event.timestamp, event.id, event.group)

    def _unread(self, scan: Scan) -> Iterator[Keyed]:
        """Hits of a rule whose events SQLite finds by itself and whose key needs none of their fields: 1 µs instead of
        10 for each.
        """
        place = None
        while not scan.plan.empty:
            where, parameters = scan.span(place)
            rows = self._connection.execute(
                f"SELECT e.timestamp, e.id, e.group_id FROM events e INDEXED BY {scan.plan.index}"  # noqa: S608
                f" WHERE {where}{scan.plan.sql} ORDER BY e.timestamp, e.id LIMIT {_PAGE_ROWS}",
                (*parameters, *scan.plan.parameters),
            ).fetchall()
            yield from [("{}", RuleHit(*row)) for row in rows]
            if len(rows) < _PAGE_ROWS:
                return
            place = rows[-1][:2]

    def _future(self) -> Iterator[Keyed]:
        """Events whose own time is later than the end: they counted when they came."""
        scan = self._scan(self._plan.query, self._until, None)
        archived: Iterable[StoredEvent] = ()
        if self._elsewhere is not None:
            archived = self._elsewhere.events(scan.selection, observed=(self._start, self._until))
        for event in chain(archived, scan.by_time()):
            if self._start <= event.observed_timestamp < self._until:
                yield self._keys.key(event, scan.categories), RuleHit(event.observed_timestamp, event.id, event.group)

    def _scan(self, query: Query, since: int, until: int | None) -> Scan:
        return Scan(self._connection, Selection(query, since, until))

    def _group_hits(self) -> Iterator[Keyed]:
        """The first event of each new group, or the one with which a group came back."""
        if self._rule.form == "new_group":
            column, state = "first_seen", "1"
        else:
            column, state = "state_changed", "state = 'regressed'"
        rows = self._connection.execute(
            f"SELECT id, {column} FROM error_groups WHERE {state} AND {column} >= ? AND {column} < ? ORDER BY {column}",  # noqa: S608
            (self._start, self._until),
        ).fetchall()
        for group, at in rows:
            scan = self._scan(self._plan.query, at, at + 1)
            event = next(
                (one for one in chain(scan.by_time(), self._archived(scan, group)) if one.group == group), None
            )
            if event is not None:
                yield group_key(self._keys, event, scan.categories), RuleHit(at, event.id, group)

    def _archived(self, scan: Scan, group: int) -> Iterator[StoredEvent]:
        """The matches of a scan that are events of a group and not in the store."""
        if self._elsewhere is not None:
            query = scan.selection.query & Query((Term("group", "=", str(group)),))
            yield from self._elsewhere.events(msgspec.structs.replace(scan.selection, query=query))

    # ------------------------------------------------------------ ratios

    def _buckets(self) -> Iterator[tuple[list[Keyed], dict[str, Counter[int]], int]]:
        """Bucket by bucket: a ratio is judged once for each, by all events in it."""
        grain = self._rule.grain_ns
        totals: dict[int, dict[str, Counter[int]]] = {}
        for (key, bucket), count in self._totals(grain).items():
            totals.setdefault(bucket, {})[key] = Counter({bucket: count})
        by_bucket = groupby(self._keyed(self._plan.query), lambda keyed: keyed[1].at // grain)
        found, hits = next(by_bucket, (None, iter(())))
        for bucket in sorted(totals):
            if found is not None and found < bucket:  # stored, or deleted, between one look and the other
                found, hits = next((one for one in by_bucket if one[0] >= bucket), (None, iter(())))
            members = list(hits) if found == bucket else []
            yield members, totals[bucket], (bucket + 1) * grain - 1

    def _totals(self, grain: int) -> Counter[tuple[str, int]]:
        query = Query(tuple(term for term in self._plan.query.terms if term.field == "source" and term.operator == "="))
        scan = self._scan(query, self._start, self._until)
        counts: Counter[tuple[str, int]] = Counter()
        if not self._rule.keyless:
            archived = self._elsewhere.events(scan.selection) if self._elsewhere is not None else ()
            for event in chain(archived, scan.by_time()):
                counts[self._keys.key(event, scan.categories), event.timestamp // grain] += 1
            return counts
        if self._elsewhere is not None:
            for (archived_bucket, _), count in self._elsewhere.counts(scan.selection, Grouping((), grain)).items():
                counts["{}", archived_bucket or 0] += count
        where = "" if self._plan.sources is None else " AND f.source IN (SELECT value FROM json_each(?))"
        names = () if self._plan.sources is None else (json.dumps(sorted(self._plan.sources)),)
        rows = self._connection.execute(
            "SELECT e.timestamp / ?, count(*) FROM events e JOIN files f ON f.id = e.file_id"  # noqa: S608
            f" WHERE e.timestamp >= ? AND e.timestamp < ?{where} GROUP BY 1",
            (grain, self._start, self._until, *names),
        )
        for bucket, count in rows:
            counts["{}", bucket] += count
        return counts


def around(instant: int, rule_window_ns: int, steps: int = 20) -> list[int]:
    """Instants from one window before an instant to one after."""
    return [instant + rule_window_ns * step // steps for step in range(-steps, steps + 1)]
