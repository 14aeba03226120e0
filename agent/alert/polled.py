"""Rules over what an engine has stored, looked at now and then: the state machine of the live rules, fed by counts.

Each look counts the events of the window anew, so that it does not matter when and in which order they came: an event
that an agent forwards late counts while it is younger than the window, and nothing has to be remembered of what was
counted. A window is judged at the instants of the looks.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from itertools import count, islice
from typing import TYPE_CHECKING, Any

import msgspec

from agent.alert.counting import group_key
from agent.alert.engine import RuleEngine
from agent.alert.event import Keys, key_text
from agent.alert.matching import RuleMatch
from agent.alert.rules import DAY_GRAIN_NS
from agent.alert.state import SAMPLES, RuleHit
from agent.alert.window import BUCKETS, SlidingWindow
from agent.core.groups import GroupFilter
from agent.core.severity import level_range
from agent.core.times import DAY_NS, MINUTE_NS
from agent.core.values import text_of
from agent.query.language import Grouping, Query, Selection, all_equal
from agent.query.terms import NOT_IGNORED, Term

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.alert.rules import AlertRule
    from agent.alert.state import StateChange
    from agent.config import RuleConfig
    from agent.core.stored import StoredEvent
    from agent.query.engine import Engine as EventEngine

LATE_NS = 10 * MINUTE_NS  # by so much the first event of a group may come late, and the group be news
_FAR_NS = 2**63 - 1
_MOST_GROUPS = 100  # of which evidence is counted


class Counted(msgspec.Struct):
    """What the windows of one key hold: bucket (instant // grain) to events."""

    hits: Counter[int] = msgspec.field(default_factory=Counter)
    totals: Counter[int] = msgspec.field(default_factory=Counter)  # for a ratio: matching or not
    day: Counter[int] = msgspec.field(default_factory=Counter)  # for a spike: in buckets of DAY_GRAIN_NS


class PolledRuleEngine(RuleEngine):
    """States of all rules, whose windows are filled anew at each look."""

    def look(self, name: str, counted: dict[str, Counted], now: int) -> None:
        """Judge all states of a rule.

        Args:
            name: of the rule.
            counted: by key, those with any event.
            now: Unix ns, the end of the windows.
        """
        rule = self.rules[name]
        keys = dict.fromkeys([*self.states[name], *counted])
        if rule.form == "absent" and rule.keyless:
            keys["{}"] = None
        for key in keys:
            self._refill(rule, key, counted.get(key) or Counted(), now)

    def _refill(self, rule: AlertRule, key: str, counted: Counted, now: int) -> None:
        state = self._state(rule, key)
        head = now // rule.grain_ns
        state.window = _window(counted.hits, head, twice=rule.form == "spike")
        if state.totals is not None:
            state.totals = _window(counted.totals, head)
        if state.day is not None:
            state.day = _window(counted.day, now // DAY_GRAIN_NS)
        if counted.hits:
            newest = min(now, (max(counted.hits) + 1) * rule.grain_ns - 1)
            state.last = max(state.last, newest)
        elif not state.last:
            state.last = now
        self._machine.judge_at(rule, state, now)

    def restore_last(self, name: str, key: str, last: int) -> None:
        """Say when the newest event of a state was that has been restored."""
        state = self.states[name].get(key)
        if state is not None:
            state.last = max(state.last, last)
            self._machine.schedule(self.rules[name], state)

    def newest(self, name: str, key: str) -> int:
        """When the newest event of a state was, Unix ns; 0 where that is not known."""
        state = self.states[name].get(key)
        return 0 if state is None else state.last


def _window(counts: Counter[int], head: int, *, twice: bool = False) -> SlidingWindow:
    window = SlidingWindow(twice=twice)
    window.advance(head)
    for bucket in sorted(counts):
        window.add(min(bucket, head), counts[bucket])
    return window


class RuleReader:
    """Asks an engine what one rule counts.

    Args:
        config: the rule.
        rule: the same, compiled.
    """

    def __init__(self, config: RuleConfig, rule: AlertRule) -> None:
        match = RuleMatch.of(config.match)
        self._rule, self._per = rule, tuple(config.per)
        self._query = match.query if match.sees_ignored else match.query & Query(NOT_IGNORED)
        self._sources = sorted(match.sources or ())
        self._keys = Keys(config.per)

    def counted(self, engine: EventEngine, now: int) -> dict[str, Counted]:
        """What the rule's windows hold, by key."""
        rule, found = self._rule, dict[str, Counted]()
        reach = BUCKETS * (2 if rule.form in ("spike", "absent") else 1)
        since = (now // rule.grain_ns - reach + 1) * rule.grain_ns
        for key, bucket, events in self._counts(engine, self._query, (since, now + 1), rule.grain_ns):
            found.setdefault(key, Counted()).hits[bucket] += events
        if rule.form == "ratio":
            every = all_equal("source", self._sources)
            for key, bucket, events in self._counts(engine, every, (since, now + 1), rule.grain_ns):
                found.setdefault(key, Counted()).totals[bucket] += events
        if rule.has_day and found:
            for key, bucket, events in self._counts(engine, self._query, (now - DAY_NS, now + 1), DAY_GRAIN_NS):
                found.setdefault(key, Counted()).day[bucket] += events
        return found

    def _counts(
        self, engine: EventEngine, query: Query, span: tuple[int, int], grain_ns: int
    ) -> Iterator[tuple[str, int, int]]:
        for part in engine.counts(Selection(query, *span), Grouping(self._per, grain_ns)):
            for (bucket, values), events in part.items():
                yield self._key(values), bucket or 0, events

    def _key(self, values: Sequence[bytes | None]) -> str:
        texts = [None if value is None else text_of(msgspec.json.decode(value)) for value in values]
        return key_text(dict(zip(self._per, texts, strict=True)))

    def news(self, evidence: EngineEvidence, told: set[int]) -> Iterator[tuple[str, RuleHit]]:
        """Error groups that are news for the rule and not among `told`, with the event that is it."""
        engine, now = evidence.engine, evidence.now
        horizon = now - self._rule.window_ns - LATE_NS
        new = self._rule.form == "new_group"
        for group in engine.groups(GroupFilter(since=horizon), now, trends=False):
            at = group.first_seen if new else group.state_changed
            if group.id in told or at < horizon or (not new and group.state != "regressed"):
                continue
            query = self._query & Query((Term("group", "=", str(group.id)),))
            with closing(engine.events(Selection(query, at - MINUTE_NS, _FAR_NS))) as events:
                event = next(events, None)
            if event is not None:
                at = max(min(at, now), now - self._rule.window_ns + self._rule.grain_ns)
                yield group_key(self._keys, event, engine.categories), RuleHit(at, evidence.keep(event), group.id)

    def find(self, evidence: EngineEvidence, change: StateChange) -> None:
        """Give a change the newest events and the groups of the window that has led to it."""
        query = self._query & Query(tuple(_term(name, value) for name, value in _decode_key(change.key).items()))
        span = Selection(query, change.at - self._rule.window_ns, change.at + 1)
        with closing(evidence.engine.events(span, SAMPLES)) as events:
            change.samples = tuple(evidence.keep(event) for event in events)
        counts: Counter[int] = Counter()
        for part in evidence.engine.counts(span, Grouping(("group",))):
            for (_, (value,)), number in part.items():
                if value is not None:
                    counts[int(value)] += number
        change.groups = dict(counts.most_common(_MOST_GROUPS))


def _term(name: str, value: str | None) -> Term:
    if value is None:
        return Term(name, "=", "", negated=True, prefix=True)
    return Term(name, "=", value)


def _decode_key(text: str) -> dict[str, str | None]:
    return msgspec.json.decode(text, type=dict[str, str | None])


class EngineEvidence:
    """What an engine knows of the events and groups of the changes of one look: `document.Evidence`. Its ids of events
    are of its own: an event's id is unique only with its agent.

    Args:
        engine: is asked.
        now: Unix ns.
    """

    _numbers = count(1)  # one that another look has given means nothing here

    def __init__(self, engine: EventEngine, now: int) -> None:
        self.engine, self.now = engine, now
        self._events: dict[int, StoredEvent] = {}

    def keep(self, event: StoredEvent) -> int:
        """Remember an event; the id by which it is found again."""
        number = next(self._numbers)
        self._events[number] = event
        return number

    def events(self, ids: Sequence[int]) -> list[StoredEvent]:
        """As `Evidence.events`."""
        return [self._events[number] for number in ids if number in self._events]

    def groups(self, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """As `Evidence.groups`."""
        found: dict[int, dict[str, Any]] = {}
        for number in ids:
            for group in self.engine.groups(GroupFilter(group=number), self.now, trends=False):
                names = ("id", "title", "culprit", "category", "state", "first_seen", "last_seen")
                facts = {name: getattr(group, name) for name in names}
                found[number] = {**facts, "severity_number": level_range(group.severity)[0] if group.severity else 0}
        return found

    def since(self, group: int, began: int, samples: int) -> tuple[int, list[int]]:
        """As `Evidence.since`."""
        total = self.engine.group_history(group, [began, _FAR_NS]).counts[0]
        if not samples:
            return total, []
        with closing(self.engine.group_events(group, began, newest_first=True)) as events:
            return total, [self.keep(event) for event in islice(events, samples)]
