"""One state of one rule, and what the engine says and remembers about it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from agent.alert.rules import DAY_GRAIN_NS, value_of
from agent.alert.window import BUCKETS, SlidingWindow
from agent.core.outbox import NEVER, SavedBucket, SavedState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.alert.rules import AlertRule
    from agent.core.outbox import Phase

SAMPLES = 5  # events kept as evidence
_GROUPS = 100  # error groups counted per state; further ones are left out


class RuleHit(NamedTuple):
    """An event that a rule counts."""

    at: int  # Unix ns; when it arrived, where it comes from the future
    id: int
    group: int | None = None


class StateChange(msgspec.Struct):
    """A transition of one state. `notify`: somebody is to be told.

    `state` is `pending`, `ok` (pending, and over before it fired; or news of a group, and its window over), `firing`,
    `repeat` or `resolved`.
    """

    rule: str
    key: str
    state: str
    at: int
    value: float
    started_at: int
    notify: bool = False
    quiet: str = ""  # why nobody is told of a firing: silenced | muted | inhibited
    samples: tuple[int, ...] = ()
    groups: dict[int, int] = {}


class AlertState:
    """A state while the engine runs."""

    __slots__ = (
        "clock", "day", "day_dirty", "dirty", "due", "grain_ns", "groups", "key", "last", "last_ids",
        "notified", "notify_at", "phase", "quiet", "repeat_at", "repeats", "rule", "samples", "since", "started_at",
        "totals", "value", "whole", "window",
    )  # fmt: skip

    def __init__(self, rule: AlertRule, key: str) -> None:
        self.rule = rule.name
        self.key = key
        self.grain_ns = rule.grain_ns
        self.window = SlidingWindow(twice=rule.form == "spike")
        self.totals = SlidingWindow() if rule.form == "ratio" else None
        self.day = SlidingWindow() if rule.has_day else None  # in buckets of DAY_GRAIN_NS, those of the window included
        self.day_dirty: set[int] = set()
        self.phase: Phase = "ok"
        self.since = 0  # when this phase began
        self.started_at = 0  # when it fired
        self.value = 0.0  # at the last transition
        self.notified = False  # somebody was told that it fires
        self.notify_at = NEVER  # when somebody is to be told, after `group_wait` or once nothing keeps it quiet
        self.quiet = ""
        self.repeat_at = NEVER
        self.repeats = 0
        self.last = 0  # the newest event
        self.clock = 0  # the last instant that was judged
        self.due = NEVER  # the next instant at which something may change without an event
        self.samples: deque[int] = deque(maxlen=SAMPLES)
        self.groups: dict[int, int] = {}
        self.dirty: set[int] = set()  # buckets not saved yet
        self.last_ids: dict[int, int] = {}  # bucket -> event, of the dirty ones
        self.whole = False  # what the store has of its buckets is to be replaced

    @property
    def empty(self) -> bool:
        """Whether nothing is in its windows."""
        return not any(window.starts for window in (self.window, self.totals, self.day) if window is not None)

    def add(self, bucket: int, count: int) -> None:
        """Count events that match; the groups of what has left the window before are no evidence any more."""
        window = self.window
        if bucket > window.head:
            window.advance(bucket)
        if not window.total and self.groups:
            self.groups = {}
        window.add(bucket, count)
        if self.day is not None:
            self.day.add(self._day_bucket(bucket), count)
            self.day_dirty.add(self._day_bucket(bucket))

    def count_totals(self, totals: Mapping[int, int], now: int) -> None:
        """Count all events, matching or not: bucket to how many; `now` is the bucket of this moment."""
        assert self.totals is not None
        for bucket in sorted(totals):
            if bucket > now - BUCKETS:
                self.totals.add(min(bucket, now), totals[bucket])
                self.dirty.add(min(bucket, now))

    def unmoved_by(self, hits: Sequence[RuleHit], rule: AlertRule) -> bool:
        """Whether no transition can come of these events, so that they need not be judged one by one."""
        last = hits[-1].at
        if rule.form == "absent":
            return self.phase == "ok" and last < self.last + rule.window_ns
        if self.phase == "ok":
            return self.window.total + len(hits) < rule.needed
        return self.due > last  # more events end nothing

    def copy(self, other: AlertState) -> None:
        """Begin with what a state of another rule with the same windows has counted."""
        self.window.copy(other.window)
        self.last, self.clock = other.last, other.clock
        self.samples, self.groups = other.samples.copy(), other.groups.copy()

    def _day_bucket(self, bucket: int) -> int:
        return bucket * self.grain_ns // DAY_GRAIN_NS

    def note(self, hit: RuleHit, bucket: int) -> None:
        """Remember an event as evidence."""
        self.last = max(self.last, hit.at)
        self.samples.append(hit.id)
        self.dirty.add(bucket)
        self.last_ids[bucket] = hit.id
        if hit.group is not None and (hit.group in self.groups or len(self.groups) < _GROUPS):
            self.groups[hit.group] = self.groups.get(hit.group, 0) + 1

    def note_all(self, hits: Sequence[RuleHit], bucket: int, tally: Mapping[int, int]) -> None:
        """Remember the events of a bucket, ascending, as evidence; `tally`: how many of them each group has."""
        at, latest, _ = hits[-1]
        self.last = max(self.last, at)
        if len(hits) == 1:  # as with most keys
            self.samples.append(latest)
        else:
            self.samples.extend([hit.id for hit in hits[-SAMPLES:]])
        self.dirty.add(bucket)
        self.last_ids[bucket] = latest
        groups = self.groups
        for group, count in tally.items():
            if group in groups or len(groups) < _GROUPS:
                groups[group] = groups.get(group, 0) + count

    def advance(self, bucket: int) -> None:
        """Move the windows' end."""
        self.window.advance(bucket)
        if self.totals is not None:
            self.totals.advance(bucket)
        if self.day is not None:
            self.day.advance(self._day_bucket(bucket))

    def measure(self, rule: AlertRule) -> float:
        """The rule's value now, in the unit of its threshold."""
        total = 0 if self.totals is None else self.totals.total
        day = 0 if self.day is None else self.day.total
        window = self.window
        return value_of(
            rule.form, rule.minimum, rule.window_ns, window.total, total=total, before=window.previous, day=day
        )

    def next_change(self, rule: AlertRule, after: int) -> int:
        """The next instant, after one that was judged, at which something may change without an event."""
        due = NEVER
        if rule.form == "absent":
            due = self.last + rule.window_ns if self.phase == "ok" else NEVER
        elif self.phase != "ok":
            windows = (self.window,) if self.totals is None else (self.window, self.totals)
            leaves = [leaving for window in windows if (leaving := window.leaves) is not None]
            due = min(leaves) * rule.grain_ns if leaves else max(after, self.clock) + 1
        if self.phase == "pending":
            due = min(due, self.since + rule.for_ns)
        elif self.phase == "firing":
            due = min(due, self.repeat_at if self.notified else self.notify_at)
        return due

    def shift(self, delta_ns: int, grain_ns: int) -> None:
        """Move everything in time."""
        self.dirty.clear()
        self.whole = True
        if self.day is not None:
            self.day.shift(delta_ns // DAY_GRAIN_NS)
            self.day_dirty = set(self.day.starts)
        for window in (self.window, self.totals):
            if window is not None:
                window.shift(delta_ns // grain_ns)
                self.dirty.update(window.starts)
        for name in ("since", "started_at", "last", "clock"):
            setattr(self, name, getattr(self, name) + delta_ns)
        if self.repeat_at != NEVER:
            self.repeat_at += delta_ns
        if 0 < self.notify_at < NEVER:
            self.notify_at += delta_ns

    def save(self) -> SavedState:
        """What is to be remembered, with the buckets that have changed since the last time."""
        rows = [
            SavedBucket(
                b, self.window.count(b), 0 if self.totals is None else self.totals.count(b), self.last_ids.get(b, 0)
            )
            for b in sorted(self.dirty)
        ]
        rows = [row for row in rows if row.events or row.total]  # what has left its window already is not worth a row
        if self.day is not None:
            rows += [SavedBucket(-1 - b, self.day.count(b), 0, 0) for b in self.day_dirty]
            self.day_dirty.clear()
        whole, self.whole = self.whole, False
        self.dirty.clear()
        self.last_ids.clear()
        return SavedState(
            self.rule, self.key, self.phase, self.since, self.started_at, self.value, self.notified,
            self.repeat_at, self.repeats, self.quiet, rows, whole,
        )  # fmt: skip

    def restore(self, saved: SavedState, grain_ns: int) -> None:
        """Become what was saved."""
        self.phase, self.since, self.started_at, self.value = saved.phase, saved.since, saved.started_at, saved.value
        self.notified, self.repeat_at, self.repeats = saved.notified, saved.repeat_at, saved.repeats
        self.quiet = saved.quiet
        if saved.phase == "firing" and not saved.notified:
            self.notify_at = 0
        for row in sorted(saved.rows):
            if row.bucket < 0:
                if self.day is not None:
                    self.day.add(-1 - row.bucket, row.events)
                continue
            if row.events:
                self.window.add(row.bucket, row.events)
                self.last = max(self.last, row.bucket * grain_ns)
            if self.totals is not None and row.total:
                self.totals.add(row.bucket, row.total)
            if row.event_id:
                self.samples.append(row.event_id)


def tally(hits: Sequence[RuleHit]) -> dict[int, int]:
    """How many of these events each error group has."""
    counts: dict[int, int] = {}
    for _, _, group in hits:
        if group is not None:
            counts[group] = counts.get(group, 0) + 1
    return counts
