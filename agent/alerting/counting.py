"""From what a transaction has stored to what its rules count."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.alert.engine import LATENESS_NS
from agent.alert.state import Hit
from agent.alert.window import BUCKETS
from agent.alerting.matching import Keys, LiveEvent, Matcher, key_text
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
_GROUP_FORMS = {"new_group": "new", "regressed": "regressed"}

Place = tuple[str, str]  # rule, key


@dataclass(slots=True)
class _Found:
    """What one transaction holds for the rules."""

    now: int
    news: dict[int, str]
    categories: Categories
    hits: dict[Place, list[Hit]] = field(default_factory=dict)
    totals: dict[Place, Counter[int]] = field(default_factory=dict)
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
        places: dict[str, list[str]] = {}
        for rule, key in {**found.hits, **found.totals}:
            places.setdefault(rule, []).append(key)
        for rule in self._rules:
            for key in places.get(rule, ()):
                place = (rule, key)
                yield rule, key, sorted(found.hits.get(place, ())), found.totals.get(place)

    def _range(self, part: StoredRange, found: _Found) -> None:
        events = part.batch.events
        oldest = found.now - self._horizon
        if max(events.timestamps, default=oldest) <= oldest:
            return  # a backfill
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
        for plan in self._matcher.matching(event, found.categories):
            for name in plan.rules:
                keys = self._matcher.keys[name]
                what = _GROUP_FORMS.get(self._rules[name].form)
                if what is not None:
                    group = event.group or 0
                    if found.news.get(group) != what or (name, group) in found.told:
                        continue
                    found.told.add((name, group))
                    key = group_key(keys, event, found.categories)
                elif plan in counted:
                    continue
                else:
                    key = keys.key(event, found.categories)
                hit = Hit(min(event.timestamp, found.now), event.id, event.group)
                found.hits.setdefault((name, key), []).append(hit)

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
                found.totals.setdefault((rule.name, "{}"), Counter()).update(buckets)
                continue
            edge = found.now // grain - BUCKETS
            for row, bucket in enumerate(buckets):
                if bucket > edge:
                    key = self._matcher.keys[rule.name].key(self._event(part, row), found.categories)
                    found.totals.setdefault((rule.name, key), Counter())[bucket] += 1

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
