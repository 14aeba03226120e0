"""How a state moves, and what is said of it: `(state, instant) → changes`.

    ok ──threshold──▶ pending ──held for `for`──▶ firing ──below `resolve_below`──▶ ok
                         └──below the threshold──▶ ok

A rule that tells news of error groups goes back to `ok` in silence: a group that is known now does not stop being so.
What changes without an event (a window that empties, `for`, `repeat`) does so at its own instant.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from agent.alert.state import StateChange
from agent.core.outbox import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.alert.rules import AlertRule
    from agent.alert.state import AlertState
    from agent.core.outbox import Phase

_LOOK_AGAIN_NS = 10**9  # how often a firing state that is kept quiet looks whether it still is


class AlertStateMachine:
    """The transitions of all states.

    Args:
        rules: by name.
        quiet: whether a rule's key is `silenced` or `muted` at an instant (Unix ns), or empty. Inhibition is found
            here.
    """

    def __init__(self, rules: Mapping[str, AlertRule], quiet: Callable[[str, str, int], str]) -> None:
        self.changes: list[StateChange] = []  # in their order
        self.touched: dict[int, AlertState] = {}  # by id(): those to be saved
        self._rules = rules
        self._quiet = quiet
        self._firing: dict[str, int] = dict.fromkeys(rules, 0)  # states of each rule
        self._due: list[tuple[int, int, AlertState]] = []
        self._order = 0
        self._group_due: dict[str, int] = {}  # rule -> when what waits for company (`group_wait`) is said

    @property
    def next_due(self) -> int:
        """The next instant at which `tick` may change something; NEVER where there is none."""
        return self._due[0][0] if self._due else NEVER

    def tick(self, now: int) -> None:
        """Let everything happen that is due up to `now`."""
        while self._due and self._due[0][0] <= now:
            due, _, state = heapq.heappop(self._due)
            if state.due == due:
                self.advance(self._rules[state.rule], state, due)

    def take_over(self, old: AlertStateMachine, states: Mapping[str, Mapping[str, AlertState]]) -> None:
        """Go on with states that another machine has moved."""
        self.touched = {id(one): one for one in old.touched.values() if states.get(one.rule, {}).get(one.key) is one}
        self._group_due = {name: due for name, due in old._group_due.items() if states.get(name)}
        for name, members in states.items():
            for state in members.values():
                state.due = NEVER
                self.resume(self._rules[name], state)

    def resume(self, rule: AlertRule, state: AlertState) -> None:
        """Go on with a state that was saved."""
        self._firing[rule.name] += state.phase == "firing"
        self.schedule(rule, state)

    def judge_at(self, rule: AlertRule, state: AlertState, at: int) -> None:
        """Judge a state at an instant, with all that is due before."""
        self.advance(rule, state, at)
        state.advance(at // rule.grain_ns)
        self.judge(rule, state, at)
        self.schedule(rule, state)

    def advance(self, rule: AlertRule, state: AlertState, to: int) -> None:
        """Let everything happen that is due in one state up to an instant."""
        while state.due <= to:
            at = max(state.due, state.clock)
            state.advance(at // rule.grain_ns)
            self.judge(rule, state, at)
            if state.phase == "firing":
                self._remind(rule, state, at)
            self.schedule(rule, state, after=at)

    def judge(self, rule: AlertRule, state: AlertState, at: int) -> None:
        """Judge a state by its windows, which end at this instant."""
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
                self.enter(rule, state, "pending", at)
            elif over:
                self.fire(rule, state, at, value)
        elif state.phase == "pending":
            if not over:
                state.value = value
                self.enter(rule, state, "ok", at)
            elif at >= state.since + rule.for_ns:
                self.fire(rule, state, at, value)
        elif under:
            state.value = value
            self.enter(rule, state, "ok", at)

    def fire(self, rule: AlertRule, state: AlertState, at: int, value: float) -> None:
        """Begin to fire; somebody is told at once, or with others after `group_wait`."""
        state.value, state.started_at = value, at
        state.notified, state.repeats = False, 0
        state.repeat_at = at + rule.repeat_ns
        state.notify_at = at
        if rule.group_wait_ns:
            waiting = self._group_due.get(rule.name, NEVER)
            if not at <= waiting < NEVER:
                waiting = self._group_due[rule.name] = at + rule.group_wait_ns
            state.notify_at = waiting
        self.enter(rule, state, "firing", at)

    def enter(self, rule: AlertRule, state: AlertState, phase: Phase, at: int) -> None:
        """Change the phase and say so."""
        before, state.phase, state.since = state.phase, phase, at
        self._firing[rule.name] += (phase == "firing") - (before == "firing")
        self.touched[id(state)] = state
        if phase == "firing":
            told = self._may_tell(rule, state, at)
            self._say(state, "firing", at, notify=told)
        elif before == "firing":
            over = "ok" if rule.about_groups else "resolved"
            self._say(state, over, at, notify=state.notified and not rule.about_groups)
            state.notified, state.notify_at, state.repeat_at, state.quiet, state.started_at = False, NEVER, NEVER, "", 0
        else:
            self._say(state, phase, at, notify=False)

    def schedule(self, rule: AlertRule, state: AlertState, after: int = 0) -> None:
        """Find the next instant at which this state may change without an event."""
        due = state.next_change(rule, after)
        due = max(due, after + 1)
        if due == state.due or (rule.form == "absent" and state.phase == "ok" and state.clock < state.due <= due):
            return  # a heartbeat moves the end of patience with each event: looked at when the old one is over
        state.due = due
        if due < NEVER:
            self._order += 1
            heapq.heappush(self._due, (due, self._order, state))

    def _may_tell(self, rule: AlertRule, state: AlertState, at: int) -> bool:
        """Whether somebody is told now that a state fires; otherwise when to look again."""
        if at < state.notify_at:
            return False
        quiet = self._why_quiet(rule, state, at)
        if quiet != state.quiet:
            state.quiet = quiet
            self.touched[id(state)] = state
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
                self.touched[id(state)] = state
                self._say(state, "firing", at, notify=True)
        elif at >= state.repeat_at:
            state.repeat_at = at + rule.repeat_ns
            state.repeats += 1
            state.value = state.measure(rule) if rule.form != "absent" else state.value
            self.touched[id(state)] = state
            self._say(state, "repeat", at, notify=not self._why_quiet(rule, state, at))

    def _say(self, state: AlertState, what: str, at: int, *, notify: bool) -> None:
        change = StateChange(state.rule, state.key, what, at, state.value, state.started_at, notify, state.quiet)
        change.samples, change.groups = tuple(state.samples), dict(state.groups)
        self.changes.append(change)
