"""The state machine of alerts: `(events, clock) → changes`. It knows no store, no hook and no clock of its own.

    ok ──threshold──▶ pending ──held for `for`──▶ firing ──below `resolve_below`──▶ ok
                         └──below the threshold──▶ ok

Every event is judged at its own instant, and what changes without an event (a window that empties, `for`, `repeat`)
at the instant at which it does: the result does not depend on how events are cut into batches. So live rules and a
replay of stored events agree.

An event counts while it is younger than the window: that is the lateness that rules bear, and why a backfill of old
logs pages nobody. One that comes later than its window but within LATENESS_NS is judged by itself, so that a slow
disk hides no burst from a rule with a short window. One from the future counts when it arrives.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from itertools import groupby
from typing import TYPE_CHECKING

from agent.alert.state import AlertState, RuleHit, StateChange, tally
from agent.alert.window import SlidingWindow
from agent.core.outbox import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from agent.alert.rules import AlertRule
    from agent.core.outbox import SavedState

MAX_KEYS = 10_000  # states per rule; beyond, the one that was idle for longest goes
LATENESS_NS = 30 * 10**9
_LOOK_AGAIN_NS = 10**9  # how often a firing state that is kept quiet looks whether it still is
_TRY_BULK = frozenset(1 << power for power in range(24)) | {0}  # before which events of a batch the rest is looked at
_SWEEP_NS = 60 * 10**9
_NS = 1_000_000_000


class RuleEngine:
    """States of all rules.

    Args:
        rules: by name.
        max_keys: states per rule.
        quiet: whether a rule's key is `silenced` or `muted` at an instant (Unix ns), or empty. Inhibition is found
            here.
    """

    def __init__(
        self,
        rules: Iterable[AlertRule],
        *,
        max_keys: int = MAX_KEYS,
        quiet: Callable[[str, str, int], str] = lambda _rule, _key, _at: "",
    ) -> None:
        self.rules = {rule.name: rule for rule in rules}
        self.states: dict[str, OrderedDict[str, AlertState]] = {name: OrderedDict() for name in self.rules}
        self.evicted: dict[str, int] = dict.fromkeys(self.rules, 0)  # states given up since the start
        self._firing: dict[str, int] = dict.fromkeys(self.rules, 0)
        self._max_keys = max_keys
        self._quiet = quiet
        self._due: list[tuple[int, int, AlertState]] = []
        self._order, self._swept = 0, 0
        self._changes: list[StateChange] = []
        self._dirty: dict[int, AlertState] = {}
        self._gone: list[tuple[str, str]] = []
        self._batch_due: dict[str, int] = {}

    # ------------------------------------------------------------ input

    def begin(self, now: int) -> None:
        """Take note that nothing was seen before `now`: absence is measured from here on. To be called at the start
        and after any time in which events could not be read.
        """
        for rule in self.rules.values():
            if rule.form == "absent":
                if rule.keyless and not self.states[rule.name]:
                    self._state(rule, "{}")
                for state in self.states[rule.name].values():
                    state.last = max(state.last, now)
                    if state.phase == "pending":
                        self._enter(rule, state, "ok", now)
                    self._schedule(rule, state)

    def observe(
        self, name: str, key: str, hits: Sequence[RuleHit], now: int, totals: Mapping[int, int] | None = None
    ) -> None:
        """Count events.

        Args:
            name: of the rule.
            key: which of its states, as JSON text.
            hits: events that match, ascending in time, none after `now`.
            now: Unix ns.
            totals: for a ratio: bucket (instant // grain) to the number of all events, matching or not.
        """
        rule = self.rules[name]
        oldest = now - rule.window_ns
        recent = [hit for hit in hits if hit.at > oldest] if hits and hits[0].at <= oldest else hits
        late = len(recent) < len(hits) and [hit for hit in hits if hit.at <= oldest and now - hit.at <= LATENESS_NS]
        if not (recent or late or totals):
            return
        state = self._state(rule, key)
        if late:
            self._late(rule, state, late)
        if totals and state.totals is not None:
            state.count_totals(totals, now // rule.grain_ns)
        if rule.form == "ratio":
            self._count_all(rule, state, recent)
            self._judge_at(rule, state, max(state.clock, recent[-1].at if recent else min(now, _end(rule, totals))))
        else:
            self._count_each(rule, state, recent)
        self._dirty[id(state)] = state

    def count(self, rule: AlertRule, key: str, hits: Sequence[RuleHit], now: int) -> None:
        """As `observe`, for a rule that cannot fire."""
        oldest = now - rule.window_ns
        if hits[0].at <= oldest:
            hits = [hit for hit in hits if hit.at > oldest]
            if not hits:
                return
        state = self._state(rule, key)
        self._count_all(rule, state, hits)
        last = hits[-1].at
        state.clock = max(state.clock, last)
        self._dirty[id(state)] = state

    def tick(self, now: int) -> None:
        """Let everything happen that is due up to `now` without an event."""
        while self._due and self._due[0][0] <= now:
            due, _, state = heapq.heappop(self._due)
            if state.due == due:
                self._advance(self.rules[state.rule], state, due)
        if now - self._swept >= _SWEEP_NS:
            self._swept = now
            self._sweep(now)

    @property
    def next_due(self) -> int:
        """The next instant at which `tick` may change something; NEVER where there is none."""
        return self._due[0][0] if self._due else NEVER

    # ------------------------------------------------------------ output

    def take_changes(self) -> list[StateChange]:
        """The transitions since the last call, in their order."""
        changes, self._changes = self._changes, []
        return changes

    def take_saved(self) -> list[SavedState]:
        """What is to be remembered of the states that have changed since the last call."""
        dirty, self._dirty = self._dirty, {}
        return [state.save() for state in dirty.values()]

    def take_gone(self) -> list[tuple[str, str]]:
        """The rule and key of the states that were given up since the last call."""
        gone, self._gone = self._gone, []
        return gone

    def restore(self, saved: Iterable[SavedState], now: int) -> None:
        """Take over states that were saved, before anything is observed. One that knows of a time after `now` is
        moved to now: the clock was set back in between, and nothing may have to wait until it has caught up.
        """
        moved = []
        for one in saved:
            rule = self.rules.get(one.rule)
            if rule is None:
                continue
            state = self._state(rule, one.key)
            state.restore(one, rule.grain_ns)
            self._firing[rule.name] += state.phase == "firing"
            newest = max(state.since, state.last)
            if newest > now:
                state.shift(now - newest, rule.grain_ns)
                moved.append(state)
            state.clock = min(now, newest)
            self._schedule(rule, state)
        self._dirty = {id(state): state for state in moved}

    def shift(self, delta_ns: int) -> None:
        """Move all states in time: the wall clock has jumped by so much, and nothing has happened in between."""
        for name, states in self.states.items():
            for state in states.values():
                state.shift(delta_ns, self.rules[name].grain_ns)
                self._schedule(self.rules[name], state)
                self._dirty[id(state)] = state

    # ------------------------------------------------------------ counting

    def _state(self, rule: AlertRule, key: str) -> AlertState:
        states = self.states[rule.name]
        state = states.get(key)
        if state is not None:
            states.move_to_end(key)
            return state
        if len(states) >= self._max_keys:
            self._evict(rule, states)
        state = states[key] = AlertState(rule, key)
        return state

    def _evict(self, rule: AlertRule, states: OrderedDict[str, AlertState]) -> None:
        """Give up the state that was idle for longest: an `ok` one where there is one among the oldest hundred."""
        oldest = [state for _, state in zip(range(100), states.values(), strict=False)]
        self._give_up(rule, next((state for state in oldest if self._dispensable(state)), oldest[0]))
        self.evicted[rule.name] += 1

    def _dispensable(self, state: AlertState) -> bool:
        return state.phase == "ok"

    def _give_up(self, rule: AlertRule, state: AlertState) -> None:
        if state.phase == "firing":
            self._enter(rule, state, "ok", state.clock)
        self._forget(state)

    def _forget(self, state: AlertState) -> None:
        del self.states[state.rule][state.key]
        state.due = NEVER
        self._dirty.pop(id(state), None)
        self._gone.append((state.rule, state.key))

    def _sweep(self, now: int) -> None:
        """Let go of states that are ok and have nothing in their windows."""
        for rule in self.rules.values():
            if rule.form == "absent":
                continue
            bucket = now // rule.grain_ns
            for state in list(self.states[rule.name].values()):
                if state.phase == "ok":
                    state.advance(bucket)
                    if state.empty:
                        self._forget(state)

    def _count_all(self, rule: AlertRule, state: AlertState, hits: Sequence[RuleHit]) -> None:
        if not hits:
            return
        grain = rule.grain_ns
        first = hits[0].at // grain
        if hits[-1].at // grain == first:  # as nearly always: a batch is younger than a bucket is long
            state.add(first, len(hits))
            state.note_all(hits, first, tally(hits))
            return
        for bucket, same in groupby(hits, lambda hit: hit.at // grain):
            members = list(same)
            state.add(bucket, len(members))
            state.note_all(members, bucket, tally(members))

    def _count_each(self, rule: AlertRule, state: AlertState, hits: Sequence[RuleHit]) -> None:
        for number, hit in enumerate(hits):
            if number in _TRY_BULK and state.unmoved_by(rest := hits[number:] if number else hits, rule):
                self._count_all(rule, state, rest)
                state.clock = max(state.clock, rest[-1].at)
                self._schedule(rule, state)
                return
            at = max(hit.at, state.clock)
            self._advance(rule, state, at)
            bucket = hit.at // rule.grain_ns
            state.advance(at // rule.grain_ns)
            state.add(bucket, 1)
            state.note(hit, bucket)
            self._judge(rule, state, at)
            self._schedule(rule, state)

    def _late(self, rule: AlertRule, state: AlertState, hits: Sequence[RuleHit]) -> None:
        """Events that left the window before they came: would they have fired, had they come in time?"""
        if rule.form not in ("count", "rate", "new_group", "regressed") or state.phase != "ok" or rule.for_ns:
            return
        window = SlidingWindow()
        for hit in hits:
            window.add(hit.at // rule.grain_ns)
            state.note(hit, hit.at // rule.grain_ns)
            if window.total >= rule.needed:
                state.clock = max(state.clock, hit.at)
                self._fire(rule, state, hit.at, window.total * (_NS / rule.window_ns if rule.form == "rate" else 1.0))
                self._schedule(rule, state)
                return

    # ------------------------------------------------------------ judging

    def _judge_at(self, rule: AlertRule, state: AlertState, at: int) -> None:
        self._advance(rule, state, at)
        state.advance(at // rule.grain_ns)
        self._judge(rule, state, at)
        self._schedule(rule, state)

    def _advance(self, rule: AlertRule, state: AlertState, to: int) -> None:
        """Let everything happen that is due in one state up to an instant."""
        while state.due <= to:
            at = max(state.due, state.clock)
            state.advance(at // rule.grain_ns)
            self._judge(rule, state, at)
            if state.phase == "firing":
                self._remind(rule, state, at)
            self._schedule(rule, state, after=at)

    def _judge(self, rule: AlertRule, state: AlertState, at: int) -> None:
        state.clock = max(state.clock, at)
        if rule.form == "absent":
            over = at >= state.last + rule.window_ns
            value, under = float(not over), not over
        else:
            value = state.measure(rule)
            over = value >= rule.threshold
            under = value < rule.resolve_below or not state.window.total
        if state.phase == "ok":
            if over and rule.for_ns:
                state.value = value
                self._enter(rule, state, "pending", at)
            elif over:
                self._fire(rule, state, at, value)
        elif state.phase == "pending":
            if not over:
                state.value = value
                self._enter(rule, state, "ok", at)
            elif at >= state.since + rule.for_ns:
                self._fire(rule, state, at, value)
        elif under:
            state.value = value
            self._enter(rule, state, "ok", at)

    def _fire(self, rule: AlertRule, state: AlertState, at: int, value: float) -> None:
        state.value, state.started_at = value, at
        state.notified, state.repeats = False, 0
        state.repeat_at = at + rule.repeat_ns
        state.notify_at = at
        if rule.group_wait_ns:
            waiting = self._batch_due.get(rule.name, NEVER)
            if not at <= waiting < NEVER:
                waiting = self._batch_due[rule.name] = at + rule.group_wait_ns
            state.notify_at = waiting
        self._enter(rule, state, "firing", at)

    def _enter(self, rule: AlertRule, state: AlertState, phase: str, at: int) -> None:
        """Change the phase and say so."""
        before, state.phase, state.since = state.phase, phase, at  # type: ignore[assignment]
        self._firing[rule.name] += (phase == "firing") - (before == "firing")
        self._dirty[id(state)] = state
        if phase == "firing":
            told = self._may_tell(rule, state, at)
            self._say(state, "firing", at, notify=told)
        elif before == "firing":
            self._say(state, "resolved", at, notify=state.notified)
            state.notified, state.notify_at, state.repeat_at, state.quiet, state.started_at = False, NEVER, NEVER, "", 0
        else:
            self._say(state, phase, at, notify=False)

    def _may_tell(self, rule: AlertRule, state: AlertState, at: int) -> bool:
        """Whether somebody is told now that a state fires; otherwise when to look again."""
        if at < state.notify_at:
            return False
        quiet = self._why_quiet(rule, state, at)
        if quiet != state.quiet:
            state.quiet = quiet
            self._dirty[id(state)] = state
        if quiet:
            state.notify_at = at + _LOOK_AGAIN_NS
            return False
        state.notified, state.notify_at = True, NEVER
        return True

    def _why_quiet(self, rule: AlertRule, state: AlertState, at: int) -> str:
        if quiet := self._quiet(rule.name, state.key, at):
            return quiet
        return "inhibited" if any(self._firing.get(other, 0) for other in rule.inhibited_by) else ""

    def _remind(self, rule: AlertRule, state: AlertState, at: int) -> None:
        """What a firing state says again, or for the first time after it was kept quiet."""
        if not state.notified:
            if self._may_tell(rule, state, at):
                state.repeat_at = at + rule.repeat_ns
                self._dirty[id(state)] = state
                self._say(state, "firing", at, notify=True)
        elif at >= state.repeat_at:
            state.repeat_at = at + rule.repeat_ns
            state.repeats += 1
            state.value = state.measure(rule) if rule.form != "absent" else state.value
            self._dirty[id(state)] = state
            self._say(state, "repeat", at, notify=not self._why_quiet(rule, state, at))

    def _say(self, state: AlertState, what: str, at: int, *, notify: bool) -> None:
        change = StateChange(state.rule, state.key, what, at, state.value, state.started_at, notify, state.quiet)
        change.samples, change.groups = tuple(state.samples), dict(state.groups)
        self._changes.append(change)

    def _schedule(self, rule: AlertRule, state: AlertState, after: int = 0) -> None:
        """Find the next instant at which this state may change without an event."""
        due = state.next_change(rule, after)
        due = max(due, after + 1)
        if due == state.due or (rule.form == "absent" and state.phase == "ok" and state.clock < state.due <= due):
            return  # a heartbeat moves the end of patience with each event: looked at when the old one is over
        state.due = due
        if due < NEVER:
            self._order += 1
            heapq.heappush(self._due, (due, self._order, state))


def _end(rule: AlertRule, totals: Mapping[int, int] | None) -> int:
    """The last instant of the last bucket of some totals."""
    return (max(totals) + 1) * rule.grain_ns - 1 if totals else 0
