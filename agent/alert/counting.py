"""From what a transaction has stored to what its rules count."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from agent.alert.engine import LATENESS_NS
from agent.alert.event import Keys, LiveEvent, LiveFile, key_text
from agent.alert.matching import Lane, NeededText, PossibleMatches, RuleIndex, RuleMatch, SeriesKey
from agent.alert.rules import GROUP_FORMS
from agent.alert.state import RuleHit
from agent.alert.window import BUCKETS
from agent.core.event import EventRow
from agent.store.events import Categories
from agent.store.groups import first_seen, ignored_among

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence

    from agent.alert.rules import AlertRule
    from agent.config import RuleConfig
    from agent.core.groups import GroupTraits
    from agent.core.model import EventBatch, JoinedEvent, Stored, StoredBatch, StoredRange
    from agent.core.stored import StoredEvent

_MOST_FILES = 1_000  # remembered; no more are read at a time
_Step = tuple[PossibleMatches, list[NeededText]]  # and the texts of it that some event of the range may have


class _Found(msgspec.Struct):
    """What one transaction holds for the rules."""

    now: int
    news: dict[int, str]
    categories: Categories
    ignored: frozenset[int]  # those of its error groups that are
    by_lane: list[dict[str, list[RuleHit]]]  # number of the lane -> key -> hits
    by_rule: dict[str, dict[str, list[RuleHit]]] = {}  # of rules about error groups
    totals: dict[str, dict[str, Counter[int]]] = {}  # rule -> key -> bucket -> events
    told: set[tuple[str, int]] = set()  # rule and group: one event is news enough


class EventCounter:
    """Finds the events that rules count.

    Args:
        connection: sees the transaction.
        configs: the rules, in the order in which they are to be judged.
        rules: the same, compiled.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        configs: Sequence[RuleConfig],
        rules: Mapping[str, AlertRule],
    ) -> None:
        self._connection = connection
        self._rules = rules
        self._index = RuleIndex(configs)
        self._targets: dict[str, AlertRule] = {}  # counters, and rules without one, in the place of the first rule
        for rule in rules.values():
            self._targets.setdefault(rule.counter or rule.name, rule)
        self._ratios = [rule for rule in rules.values() if rule.form == "ratio"]
        self._horizon = max((rule.window_ns for rule in rules.values()), default=0) + LATENESS_NS
        self._files: dict[int, LiveFile] = {}

    def count(self, stored: Stored, now: int) -> Iterator[tuple[str, str, list[RuleHit], Counter[int] | None]]:
        """Counter or rule, key, hits ascending in time, and for a ratio all events per bucket."""
        if not self._rules:
            return
        by_lane: list[dict[str, list[RuleHit]]] = [{} for _ in self._index.lanes]
        groups = _groups_of(stored)
        ignored = ignored_among(self._connection, groups) if groups else frozenset()
        categories = Categories(self._connection, clock=lambda: now)
        found = _Found(now, self._fresh_news(stored.news, now), categories, ignored, by_lane)
        for part in stored.ranges:
            self._range(part, found)
        for joined in stored.joined:
            if joined.timestamp > now - self._horizon:
                self._joined(joined, found)
        for keys in (*found.by_lane, *found.by_rule.values()):
            for hits in keys.values():
                hits.sort()
        for target, rule in self._targets.items():
            if rule.about_groups:
                by_key = found.by_rule.get(rule.name, {})
            else:
                by_key = found.by_lane[self._index.lane_of[rule.name].number]
            totals = found.totals.get(rule.name, {})
            for key in {**by_key, **totals} if totals else by_key:
                yield target, key, by_key.get(key, []), totals.get(key)

    def undecided(self) -> Iterator[tuple[str, RuleMatch]]:
        """Rules, with their matches, of which a regular expression was not done in time since the last call."""
        found = {id(match) for match in self._index.matches if match.undecided}
        if found:
            yield from [one for one in self._index.match_of.items() if id(one[1]) in found]
            for match in self._index.matches:
                match.undecided = 0

    def _range(self, part: StoredRange, found: _Found) -> None:
        events = part.batch.events
        oldest = found.now - self._horizon
        self._totals(part, found)
        file = part.batch.file
        info = self._info(part.batch)
        rows = [r for r in self._index.rows(file.source, events.severities) if events.timestamps[r] > oldest]
        group_ids, ignored = part.batch.group_ids, found.ignored
        steps: tuple[dict[int, _Step], dict[int, _Step]] = {}, {}  # by severity: not ignored, and ignored
        for row in rows:
            severity, is_ignored = events.severities[row], ignored and group_ids.get(row) in ignored
            by_severity = steps[1 if is_ignored else 0]
            if severity not in by_severity:
                step = self._index.step(file.source, severity, ignored=bool(is_ignored))
                by_severity[severity] = step, step.present(*_texts(events, rows))
            step, needles = by_severity[severity]
            event = _event(part, row, info)
            self._hit(event, step, step.counting(event, found.categories, needles), found)

    def _fresh_news(self, news: Mapping[int, str], now: int) -> dict[int, str]:
        """Without groups whose first event came with a backfill, though the store has not had them before."""
        found = dict(news)
        for group in [group for group, what in news.items() if what == "new"]:
            began = first_seen(self._connection, group)
            if began is not None and began <= now - self._horizon:
                del found[group]
        return found

    def _hit(self, event: LiveEvent, step: PossibleMatches, places: Sequence[SeriesKey], found: _Found) -> None:
        """Give an event to the rules that count it, and to those that ask for its group where that is news."""
        hit = RuleHit(min(event.timestamp, found.now), event.id, event.group)
        for lane, key in places:
            hits = found.by_lane[lane].get(key)
            if hits is None:
                found.by_lane[lane][key] = [hit]
            else:
                hits.append(hit)
        news = found.news.get(event.group) if event.group is not None else None
        if news is not None:
            for match in step.matching(event, found.categories):
                for each in match.lanes.values():
                    self._news(event, hit, each, news, found)

    def _news(self, event: LiveEvent, hit: RuleHit, lane: Lane, news: str, found: _Found) -> None:
        """The event of a group that is new or has come back, for the rules that ask for that."""
        for name in lane.group_rules:
            mark = (name, event.group or 0)
            if GROUP_FORMS[self._rules[name].form] == news and mark not in found.told:
                found.told.add(mark)
                key = group_key(lane.keys, event, found.categories)
                found.by_rule.setdefault(name, {}).setdefault(key, []).append(hit)

    def _joined(self, joined: JoinedEvent, found: _Found) -> None:
        """An event that later lines have changed: it may match now, or belong to a new group."""
        file, info = joined.batch.file, self._info(joined.batch)

        def event(severity: int, group: int | None, record: str, raw: bytes | int | str | None) -> LiveEvent:
            head = (joined.id, joined.timestamp, joined.observed_timestamp, severity, file.id, joined.offset)
            return LiveEvent(EventRow(*head, group, record, raw), info)

        def counting(one: LiveEvent) -> tuple[PossibleMatches, Sequence[SeriesKey]]:
            step = self._index.step(file.source, one.severity_number, ignored=one.group in found.ignored)
            return step, step.counting(one, found.categories)

        after = event(*joined.after)
        counted = {lane for lane, _ in counting(event(*joined.before))[1]}
        step, places = counting(after)
        self._hit(after, step, [place for place in places if place[0] not in counted], found)

    def _totals(self, part: StoredRange, found: _Found) -> None:
        """All events, matching or not, per bucket: what a ratio is a share of."""
        for rule in self._ratios:
            if not self._index.match_of[rule.name].wants_source(part.batch.file.source):
                continue
            grain = rule.grain_ns
            buckets = list(map(grain.__rfloordiv__, part.batch.events.timestamps))
            if rule.keyless:
                found.totals.setdefault(rule.name, {}).setdefault("{}", Counter()).update(buckets)
                continue
            edge, info = found.now // grain - BUCKETS, self._info(part.batch)
            for row, bucket in enumerate(buckets):
                if bucket > edge:
                    key = self._index.lane_of[rule.name].keys.key(_event(part, row, info), found.categories)
                    found.totals.setdefault(rule.name, {}).setdefault(key, Counter())[bucket] += 1

    def _info(self, batch: StoredBatch) -> LiveFile:
        file = batch.file
        info = self._files.get(file.id)
        if info is None or info.profile_text != batch.profile or info.source != file.source:
            if len(self._files) > _MOST_FILES:
                self._files.clear()
            info = self._files[file.id] = LiveFile.of(batch, json.loads(file.resource))
        return info


def _event(part: StoredRange, row: int, info: LiveFile) -> LiveEvent:
    """One event of a range."""
    batch, events = part.batch, part.batch.events
    number, group = part.first_id + row, batch.group_ids.get(row)
    return LiveEvent(events.values(row, info.id, events.offsets[row], number, batch.observed_timestamp, group), info)


def _texts(events: EventBatch, rows: Sequence[int]) -> tuple[list[str], list[bytes]]:
    """What text terms look at in some events: their records, and lines beside them."""
    raws = [raw for row in rows if isinstance(raw := events.raws.get(row), bytes)] if events.raws else []
    return [events.records[row] for row in rows], raws


def _groups_of(stored: Stored) -> set[int]:
    """The error groups of what one transaction has stored or changed."""
    groups: set[int] = set().union(*(part.batch.group_ids.values() for part in stored.ranges))
    joined = {group for one in stored.joined for _, group, *_ in (one.before, one.after) if group is not None}
    return groups | joined


def group_key(keys: Keys, event: StoredEvent, categories: Mapping[int, GroupTraits]) -> str:
    """The key of a rule about error groups: its fields and the group."""
    fields = json.loads(keys.key(event, categories))
    return key_text({**fields, "group": str(event.group)})
