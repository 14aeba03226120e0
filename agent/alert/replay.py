"""Stored events through the engine of the live rules: when would a rule have fired, and why, or why not?

The events come from whatever engine answers for the store: those that have left it out of the archives, too.
"""

from __future__ import annotations

import heapq
from collections import Counter
from contextlib import closing
from itertools import groupby
from typing import TYPE_CHECKING

import msgspec

from agent.alert.counting import group_key
from agent.alert.engine import RuleEngine
from agent.alert.event import Keys
from agent.alert.matching import RuleMatch
from agent.alert.rules import AlertRule, compile_rule
from agent.alert.state import RuleHit, StateChange
from agent.core.groups import GroupFilter
from agent.core.times import DAY_NS
from agent.query.language import Grouping, Query, Selection, all_equal
from agent.query.terms import NOT_IGNORED, Term

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from agent.config import RuleConfig
    from agent.query.engine import Engine as EventEngine

NEARBY = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)  # thresholds that are tried beside the rule's own
_TUNABLE = ("count", "rate", "ratio", "spike")
_CHUNK_EVENTS = 2_000
_KEYS_SHOWN = 5

Keyed = tuple[str, RuleHit]


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
    store: EventEngine,
    config: RuleConfig,
    since: int,
    until: int,
    *,
    nearby: bool = False,
    moments: Sequence[int] = (),
    threshold: float | None = None,
) -> Replay:
    """Let a rule see the stored events of [since, until), and what filled its window before.

    Args:
        store: has the events.
        config: the rule.
        since: Unix ns.
        until: Unix ns.
        nearby: also count how often it would have fired with other thresholds.
        moments: instants at which to look into the windows, ascending.
        threshold: in place of the rule's own, where its form has one.
    """
    rule = compile_rule(config)
    if threshold is not None and has_threshold(rule):
        rule = rule.with_threshold(threshold)
    factors = NEARBY if nearby and has_threshold(rule) else (1.0,)
    variants = {factor: _variant(rule, factor) for factor in factors}
    engine = RuleEngine([msgspec.structs.replace(one, inhibited_by=()) for one in variants.values()])
    start = since - (DAY_NS if rule.has_day else rule.window_ns * (2 if rule.form == "spike" else 1))
    source = _Source(store, config, rule, (start, until))
    found = Replay()
    engine.begin(start, 0)
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


def has_threshold(rule: AlertRule) -> bool:
    """Whether a rule's form has a threshold that could be another."""
    return rule.form in _TUNABLE


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
        elif change.state in ("resolved", "ok") and change.key in open_:
            open_.pop(change.key).ended_at = change.at
    return [one for one in found if one.started_at < until and (one.ended_at is None or one.ended_at >= since)]


class _Source:
    """The events that a rule counts, in the order of their instants."""

    def __init__(self, store: EventEngine, config: RuleConfig, rule: AlertRule, span: tuple[int, int]) -> None:
        self._store = store
        self._rule = rule
        self._match = RuleMatch.of(config.match)
        self._query = self._match.query
        if not self._match.sees_ignored:
            self._query &= Query(NOT_IGNORED)
        self._keys = Keys(config.per)
        self._start, self._until = span

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
        if self._rule.about_groups:
            return self._group_hits()
        ahead = sorted(self._future(), key=lambda keyed: keyed[1].at)
        now = self._keyed()
        return heapq.merge(now, ahead, key=lambda keyed: keyed[1].at) if ahead else now

    def _keyed(self) -> Iterator[Keyed]:
        """What matches between start and end, with its keys, in the order of time."""
        selection = Selection(self._query, self._start, self._until)
        if not self._keys.fields:
            return (("{}", RuleHit(*key)) for key in self._store.keys(selection))
        key, categories = self._keys.key, self._store.categories
        events = self._store.events(selection)
        return ((key(event, categories), RuleHit(event.timestamp, event.id, event.group)) for event in events)

    def _future(self) -> Iterator[Keyed]:
        """Events whose own time is later than the end: they counted when they came."""
        selection = Selection(self._query, self._until)
        for event in self._store.events(selection, observed=(self._start, self._until)):
            key = self._keys.key(event, self._store.categories)
            yield key, RuleHit(event.observed_timestamp, event.id, event.group)

    def _group_hits(self) -> Iterator[Keyed]:
        """The first event of each new group, or the one with which a group came back."""
        found: list[tuple[int, int]] = []
        for group in self._store.groups(GroupFilter(), self._until, trends=False):
            if self._rule.form == "new_group":
                found.append((group.first_seen, group.id))
            elif group.state == "regressed":
                found.append((group.state_changed, group.id))
        for at, number in sorted(found):
            if self._start <= at < self._until:
                query = self._query & Query((Term("group", "=", str(number)),))
                with closing(self._store.events(Selection(query, at, at + 1))) as events:
                    event = next(events, None)
                if event is not None:
                    yield group_key(self._keys, event, self._store.categories), RuleHit(at, event.id, number)

    # ------------------------------------------------------------ ratios

    def _buckets(self) -> Iterator[tuple[list[Keyed], dict[str, Counter[int]], int]]:
        """Bucket by bucket: a ratio is judged once for each, by all events in it."""
        grain = self._rule.grain_ns
        totals: dict[int, dict[str, Counter[int]]] = {}
        for (key, bucket), count in self._totals(grain).items():
            totals.setdefault(bucket, {})[key] = Counter({bucket: count})
        by_bucket = groupby(self._keyed(), lambda keyed: keyed[1].at // grain)
        found, hits = next(by_bucket, (None, iter(())))
        for bucket in sorted(totals):
            if found is not None and found < bucket:  # stored, or deleted, between one look and the other
                found, hits = next((one for one in by_bucket if one[0] >= bucket), (None, iter(())))
            members = list(hits) if found == bucket else []
            yield members, totals[bucket], (bucket + 1) * grain - 1

    def _totals(self, grain: int) -> Counter[tuple[str, int]]:
        sources = self._match.sources or ()
        selection = Selection(all_equal("source", sorted(sources)), self._start, self._until)
        counts: Counter[tuple[str, int]] = Counter()
        if self._rule.keyless:
            for part in self._store.counts(selection, Grouping((), grain)):
                for (bucket, _), count in part.items():
                    counts["{}", bucket or 0] += count
            return counts
        for event in self._store.events(selection):
            counts[self._keys.key(event, self._store.categories), event.timestamp // grain] += 1
        return counts


def around(instant: int, rule_window_ns: int, end: int, steps: int = 20) -> list[int]:
    """Instants from one window before an instant to one after, none after `end`: nothing is known of what is later."""
    return sorted({min(end, instant + rule_window_ns * step // steps) for step in range(-steps, steps + 1)})
