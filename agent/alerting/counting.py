"""From what a transaction has stored to what its rules count."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.alert.engine import LATENESS_NS
from agent.alert.state import Hit
from agent.alert.window import BUCKETS
from agent.alerting.matching import GROUP_FORMS, Keys, Lane, LiveEvent, Matcher, key_text
from agent.profile import Profile
from agent.query.events import Categories, FileInfo

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence

    from agent.alert.rules import Rule
    from agent.config import RuleConfig
    from agent.model import JoinedEvent, Stored, StoredRange, TailedFile
    from agent.query.events import StoredEvent

_MOST_FILES = 1_000  # remembered; no more are read at a time


@dataclass(slots=True)
class _Found:
    """What one transaction holds for the rules."""

    now: int
    news: dict[int, str]
    categories: Categories
    by_lane: dict[int, dict[str, list[Hit]]] = field(default_factory=dict)  # id of the lane -> key -> hits
    by_rule: dict[str, dict[str, list[Hit]]] = field(default_factory=dict)  # of rules about error groups
    totals: dict[str, dict[str, Counter[int]]] = field(default_factory=dict)  # rule -> key -> bucket -> events
    told: set[tuple[str, int]] = field(default_factory=set)  # rule and group: one event is news enough


class Counting:
    """Finds the events that rules count.

    Args:
        connection: sees the transaction.
        configs: the rules, in the order in which they are to be judged.
        rules: the same, compiled.
        resources: the resource attributes of each source's files.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        configs: Sequence[RuleConfig],
        rules: Mapping[str, Rule],
        resources: Mapping[str, dict[str, object]],
    ) -> None:
        self._connection = connection
        self._rules = rules
        self._resources = resources
        self._matcher = Matcher(configs)
        self._ratios = [rule for rule in rules.values() if rule.form == "ratio"]
        self._horizon = max((rule.window_ns for rule in rules.values()), default=0) + LATENESS_NS
        self._files: dict[int, _LiveFile] = {}

    def count(self, stored: Stored, now: int) -> Iterator[tuple[str, str, list[Hit], Counter[int] | None]]:
        """Rule, key, hits ascending in time, and for a ratio all events per bucket."""
        if not self._rules:
            return
        found = _Found(now, self._fresh_news(stored.news, now), Categories(self._connection))
        for part in stored.ranges:
            self._range(part, found)
        for joined in stored.joined:
            if joined.timestamp > now - self._horizon:
                self._joined(joined, found)
        for keys in (*found.by_lane.values(), *found.by_rule.values()):
            for hits in keys.values():
                hits.sort()
        for rule in self._rules:
            if self._rules[rule].form in GROUP_FORMS:
                by_key = found.by_rule.get(rule, {})
            else:
                by_key = found.by_lane.get(id(self._matcher.lane_of[rule]), {})
            totals = found.totals.get(rule, {})
            for key in {**by_key, **totals}:
                yield rule, key, by_key.get(key, []), totals.get(key)

    def _range(self, part: StoredRange, found: _Found) -> None:
        events = part.batch.events
        oldest = found.now - self._horizon
        self._totals(part, found)
        for row in self._matcher.rows(part.batch.file.source, events.severities):
            if events.timestamps[row] > oldest:
                self._hit(self._event(part, row), found)

    def _fresh_news(self, news: Mapping[int, str], now: int) -> dict[int, str]:
        """Without groups whose first event came with a backfill, though the store has not had them before."""
        found = dict(news)
        for group in [group for group, what in news.items() if what == "new"]:
            row = self._connection.execute("SELECT first_seen FROM error_groups WHERE id = ?", (group,)).fetchone()
            if row is not None and row[0] <= now - self._horizon:
                del found[group]
        return found

    def _hit(self, event: LiveEvent, found: _Found, before: LiveEvent | None = None) -> None:
        """Give an event to all the rules that match it; `before`: but not to those that have counted it already."""
        counted = self._matcher.matching(before, found.categories) if before is not None else ()
        hit = Hit(min(event.timestamp, found.now), event.id, event.group)
        news = found.news.get(event.group or 0)
        for plan in self._matcher.matching(event, found.categories):
            for lane in plan.lanes.values():
                if lane.rules and plan not in counted:
                    key = lane.keys.key(event, found.categories)
                    found.by_lane.setdefault(id(lane), {}).setdefault(key, []).append(hit)
                if news is not None and lane.group_rules:
                    self._news(event, hit, lane, news, found)

    def _news(self, event: LiveEvent, hit: Hit, lane: Lane, news: str, found: _Found) -> None:
        """The event of a group that is new or has come back, for the rules that ask for that."""
        for name in lane.group_rules:
            mark = (name, event.group or 0)
            if GROUP_FORMS[self._rules[name].form] == news and mark not in found.told:
                found.told.add(mark)
                key = group_key(lane.keys, event, found.categories)
                found.by_rule.setdefault(name, {}).setdefault(key, []).append(hit)

    def _joined(self, joined: JoinedEvent, found: _Found) -> None:
        """An event that later lines have changed: it may match now, or belong to a new group."""
        info = self._info(joined.file)

        def event(severity: int, group: int | None, record: str) -> LiveEvent:
            head = (joined.id, joined.timestamp, joined.observed_timestamp, severity, joined.file.id, joined.offset)
            return LiveEvent((*head, group, record, None, None), info)

        self._hit(event(*joined.after), found, before=event(*joined.before))

    def _totals(self, part: StoredRange, found: _Found) -> None:
        """All events, matching or not, per bucket: what a ratio is a share of."""
        for rule in self._ratios:
            if not self._matcher.plan_of[rule.name].wants_source(part.batch.file.source):
                continue
            grain = rule.grain_ns
            buckets = list(map(grain.__rfloordiv__, part.batch.events.timestamps))
            if rule.keyless:
                found.totals.setdefault(rule.name, {}).setdefault("{}", Counter()).update(buckets)
                continue
            edge = found.now // grain - BUCKETS
            for row, bucket in enumerate(buckets):
                if bucket > edge:
                    key = self._matcher.lane_of[rule.name].keys.key(self._event(part, row), found.categories)
                    found.totals.setdefault(rule.name, {}).setdefault(key, Counter())[bucket] += 1

    def _event(self, part: StoredRange, row: int) -> LiveEvent:
        batch = part.batch
        events = batch.events
        return LiveEvent(
            (
                part.first_id + row,
                events.timestamps[row],
                batch.observed_timestamp,
                events.severities[row],
                batch.file.id,
                events.offsets[row],
                batch.group_ids.get(row),
                events.records[row],
                None,
                events.parse_errors.get(row),
            ),
            self._info(batch.file),
        )

    def _info(self, file: TailedFile) -> _LiveFile:
        info = self._files.get(file.id)
        if info is None or info.profile_text != file.profile:
            if len(self._files) > _MOST_FILES:
                self._files.clear()
            info = self._files[file.id] = _LiveFile(file, self._resources.get(file.source, {}))
        return info


class _LiveFile(FileInfo):
    """What predicates read of a followed file."""

    def __init__(self, file: TailedFile, resource: dict[str, object]) -> None:
        profile = Profile.from_json(file.profile) if file.profile else None
        super().__init__(file.id, file.source, file.path, resource, profile, (0, 0, 0), file.offset)
        self.profile_text = file.profile


def group_key(keys: Keys, event: StoredEvent, categories: Categories) -> str:
    """The key of a rule about error groups: its fields and the group."""
    fields = json.loads(keys.key(event, categories))
    return key_text({**fields, "group": str(event.group)})
