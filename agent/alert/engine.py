"""The engine of alerts: `(events, clock) → changes`. It knows no store, no hook and no clock of its own.

Every event is judged at its own instant, and what changes without an event (a window that empties, `for`, `repeat`)
at the instant at which it does: the result does not depend on how events are cut into batches. So live rules and a
replay of stored events agree.

An event counts while it is younger than the window: that is the lateness that rules bear, and why a backfill of old
logs pages nobody. One that comes later than its window but within LATENESS_NS is judged by itself, so that a slow
disk hides no burst from a rule with a short window. One from the future counts when it arrives.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import groupby
from typing import TYPE_CHECKING

from agent.alert.rules import GROUP_FORMS
from agent.alert.state import AlertState, tally
from agent.alert.transitions import AlertStateMachine
from agent.alert.window import SlidingWindow
from agent.core.outbox import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from agent.alert.rules import AlertRule
    from agent.alert.state import RuleHit, StateChange
    from agent.core.outbox import SavedState

MAX_KEYS = 10_000  # states per rule; beyond, the one that was idle for longest goes
LATENESS_NS = 30 * 10**9
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
        self._machine = AlertStateMachine(self.rules, quiet)
        self._max_keys = max_keys
        self._swept = 0
        self._gone: list[tuple[str, str]] = []

    # ------------------------------------------------------------ input

    def begin(self, now: int, unseen_ns: int) -> None:
        """Go on after a time in which nothing was judged. What was not seen of it proves no absence, and what was
        proven before stays: the clocks of absence stood still. To be called at the start and after any time in which
        events could not be read.

        Args:
            now: Unix ns.
            unseen_ns: how much of the time before `now` nobody can speak of.
        """
        self.begin_absence(now)
        for rule in self.rules.values():
            for state in self.states[rule.name].values() if rule.form == "absent" else ():
                if state.phase != "firing":  # only an event ends that
                    self._go_on(rule, state, now, unseen_ns)
                self._machine.schedule(rule, state)

    def begin_absence(self, now: int) -> None:
        """Let rules on absence that have no state yet wait for their first event from now on."""
        for rule in self.rules.values():
            if rule.form == "absent" and rule.keyless and not self.states[rule.name]:
                state = self._state(rule, "{}")
                state.last = now
                self._machine.schedule(rule, state)

    def _go_on(self, rule: AlertRule, state: AlertState, now: int, unseen_ns: int) -> None:
        ok = state.phase == "ok"
        wait_ns = rule.window_ns if ok else rule.for_ns
        if unseen_ns > 0:
            state.shift(max(0, min(unseen_ns, now - max(state.last, state.since, state.clock))), rule.grain_ns)
        began = state.last if ok else state.since
        if unseen_ns <= 0 and began + wait_ns > now:
            return
        soonest = now + min(LATENESS_NS, rule.window_ns)  # by then what was written meanwhile is read
        began = min(now, max(began, soonest - wait_ns))
        state.last, state.since = (began, state.since) if ok else (state.last, began)
        self._machine.touched[id(state)] = state

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
            last = recent[-1].at if recent else min(now, _end(rule, totals))
            self._machine.judge_at(rule, state, max(state.clock, last))
        else:
            self._count_each(rule, state, recent)
        self._machine.touched[id(state)] = state

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
        self._machine.touched[id(state)] = state

    def tick(self, now: int) -> None:
        """Let everything happen that is due up to `now` without an event."""
        self._machine.tick(now)
        if now - self._swept >= _SWEEP_NS:
            self._swept = now
            self._sweep(now)

    @property
    def next_due(self) -> int:
        """The next instant at which `tick` may change something; NEVER where there is none."""
        return self._machine.next_due

    # ------------------------------------------------------------ output

    def take_changes(self) -> list[StateChange]:
        """The transitions since the last call, in their order."""
        changes, self._machine.changes = self._machine.changes, []
        return changes

    def take_saved(self) -> list[SavedState]:
        """What is to be remembered of the states that have changed since the last call."""
        touched, self._machine.touched = self._machine.touched, {}
        return [state.save() for state in touched.values()]

    def firing(self, rule: str) -> int:
        """For how many keys a rule fires."""
        return sum(state.phase == "firing" for state in self.states[rule].values())

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
            newest = max(state.since, state.last)
            if newest > now:
                state.shift(now - newest, rule.grain_ns)
                moved.append(state)
            state.clock = min(now, newest)
            self._machine.resume(rule, state)
        self._machine.touched = {id(state): state for state in moved}

    def take_over(self, old: RuleEngine) -> None:
        """Go on with the states of another engine, which is not used any more, as far as the rules count the same;
        before anything is observed.
        """
        for name, rule in self.rules.items():
            if name in old.rules and old.rules[name].shape == rule.shape:
                self.states[name] = old.states[name]
                self.evicted[name] = old.evicted[name]
        self._gone = [gone for gone in old._gone if gone[0] in self.rules]
        self._machine.take_over(old._machine, self.states)

    def shift(self, delta_ns: int) -> None:
        """Move all states in time: the wall clock has jumped by so much, and nothing has happened in between."""
        for name, states in self.states.items():
            for state in states.values():
                state.shift(delta_ns, self.rules[name].grain_ns)
                self._machine.schedule(self.rules[name], state)
                self._machine.touched[id(state)] = state

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
            self._machine.enter(rule, state, "ok", state.clock)
        self._forget(state)

    def _forget(self, state: AlertState) -> None:
        del self.states[state.rule][state.key]
        state.due = NEVER
        self._machine.touched.pop(id(state), None)
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
        machine = self._machine
        for number, hit in enumerate(hits):
            if number in _TRY_BULK and state.unmoved_by(rest := hits[number:] if number else hits, rule):
                self._count_all(rule, state, rest)
                state.clock = max(state.clock, rest[-1].at)
                machine.schedule(rule, state)
                return
            at = max(hit.at, state.clock)
            machine.advance(rule, state, at)
            bucket = hit.at // rule.grain_ns
            state.advance(at // rule.grain_ns)
            state.add(bucket, 1)
            state.note(hit, bucket)
            machine.judge(rule, state, at)
            machine.schedule(rule, state)

    def _late(self, rule: AlertRule, state: AlertState, hits: Sequence[RuleHit]) -> None:
        """Events that left the window before they came: would they have fired, had they come in time?"""
        if rule.form not in ("count", "rate", *GROUP_FORMS) or state.phase != "ok" or rule.for_ns:
            return
        window = SlidingWindow()
        for hit in hits:
            window.add(hit.at // rule.grain_ns)
            state.note(hit, hit.at // rule.grain_ns)
            if window.total >= rule.needed:
                state.clock = max(state.clock, hit.at)
                value = window.total * (_NS / rule.window_ns if rule.form == "rate" else 1.0)
                self._machine.fire(rule, state, hit.at, value)
                self._machine.schedule(rule, state)
                return


def _end(rule: AlertRule, totals: Mapping[int, int] | None) -> int:
    """The last instant of the last bucket of some totals."""
    return (max(totals) + 1) * rule.grain_ns - 1 if totals else 0
