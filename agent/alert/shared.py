"""Rules that count the same, counted once: 200 rules of which many look at all errors cost as much as a few.

Rules on counts and rates with the same match, window and `per` have one counter, a state that never fires. A rule has
a state of its own for a key only while it is hot: from the batch with which the counter could reach its threshold
until it is `ok` again. The state begins as a copy of the counter, so that it judges as if it had always been there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agent.alert.engine import MAX_KEYS, RuleEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from agent.alert.rules import AlertRule
    from agent.alert.state import AlertState, RuleHit
    from agent.core.outbox import SavedState


class _Share(msgspec.Struct):
    """A counter and its rules, in the order in which they are to be judged."""

    counter: AlertRule
    rules: list[AlertRule] = []
    lowest: float = float("inf")  # so many events in the window may concern a rule
    hot: dict[str, set[str]] = {}  # key -> rules with a state of their own


class SharedRuleEngine(RuleEngine):
    """States of all rules, where those that count the same share a counter. `observe` takes the name of a counter
    (`AlertRule.counter`) in the place of its rules'. Arguments as of RuleEngine.
    """

    def __init__(
        self,
        rules: Iterable[AlertRule],
        *,
        max_keys: int = MAX_KEYS,
        quiet: Callable[[str, str, int], str] = lambda _rule, _key, _at: "",
    ) -> None:
        every = list(rules)
        self._shares: dict[str, _Share] = {}
        for rule in every:
            if rule.counter:
                share = self._shares.get(rule.counter)
                if share is None:
                    counter = msgspec.structs.replace(
                        rule,
                        name=rule.counter,
                        form="count",
                        threshold=float("inf"),
                        shape=rule.counter,  # its name says what it counts, whatever form the first of its rules has
                        counter="",
                    )
                    share = self._shares[rule.counter] = _Share(counter)
                share.rules.append(rule)
                share.lowest = min(share.lowest, rule.needed)
        super().__init__([*every, *(share.counter for share in self._shares.values())], max_keys=max_keys, quiet=quiet)

    @property
    def counters(self) -> list[AlertRule]:
        """The counters, as rules that never fire."""
        return [share.counter for share in self._shares.values()]

    def evictions(self) -> dict[str, int]:
        """How many states of each rule were given up since the start; rules without any are left out."""
        found = {
            rule.name: self.evicted[rule.counter or rule.name]
            for rule in self.rules.values()
            if rule.name not in self._shares
        }
        return {name: count for name, count in found.items() if count}

    def observe(
        self, name: str, key: str, hits: Sequence[RuleHit], now: int, totals: Mapping[int, int] | None = None
    ) -> None:
        """As `RuleEngine.observe`, for all rules of a counter where `name` is one."""
        share = self._shares.get(name)
        if share is None:
            super().observe(name, key, hits, now, totals)
            return
        counter = self.states[name].get(key)
        held = 0 if counter is None else counter.window.total
        if key in share.hot or held + len(hits) >= share.lowest:
            self._observe_hot(share, key, hits, now)
        else:
            self.count(share.counter, key, hits, now)

    def _observe_hot(self, share: _Share, key: str, hits: Sequence[RuleHit], now: int) -> None:
        counter = self.states[share.counter.name].get(key)
        held = 0
        if counter is not None:
            counter.advance(hits[0].at // share.counter.grain_ns)
            held = counter.window.total
        hot = share.hot.get(key, set())
        for rule in share.rules:
            if key not in self.states[rule.name]:  # not yet, or given up since
                if held + len(hits) < rule.needed:
                    continue
                hot.add(rule.name)
                state = self._state(rule, key)
                if counter is not None:
                    state.copy(counter)
            super().observe(rule.name, key, hits, now)
        self.count(share.counter, key, hits, now)
        self._cool(share, key, hot)

    def _cool(self, share: _Share, key: str, hot: set[str]) -> None:
        """Let go of the states that know no more than the counter."""
        counter = self.states[share.counter.name].get(key)
        for name in list(hot):
            state = self.states[name].get(key)
            if state is None:
                hot.discard(name)
            elif counter is not None and _knows_no_more(state, counter, self.rules[name].needed):
                self._forget(state)
                hot.discard(name)
        if hot:
            share.hot[key] = hot
        else:
            share.hot.pop(key, None)

    # ------------------------------------------------------------ what the store has

    def take_saved(self) -> list[SavedState]:
        """As `RuleEngine.take_saved`; of rules with a counter only the counter's buckets are to be remembered."""
        saved = super().take_saved()
        for one in saved:
            if self.rules[one.rule].counter:
                one.rows = []
        return saved

    def restore(self, saved: Iterable[SavedState], now: int) -> None:
        """As `RuleEngine.restore`."""
        every = list(saved)
        rows = {(one.rule, one.key): one.rows for one in every if one.rule in self._shares}
        for one in every:
            rule = self.rules.get(one.rule)
            if rule is not None and rule.counter:
                one.rows = rows.get((rule.counter, one.key), [])
                self._shares[rule.counter].hot.setdefault(one.key, set()).add(rule.name)
        super().restore(every, now)

    def take_over(self, old: RuleEngine) -> None:
        """As `RuleEngine.take_over`. A rule that has another counter now, since it is inhibited, brings along what was
        counted.
        """
        super().take_over(old)
        for name, share in self._shares.items():
            if not self.states[name]:
                for key, state in _counted(share, old):
                    self._state(share.counter, key).copy(state)
            for rule in share.rules:
                for key in self.states[rule.name]:
                    share.hot.setdefault(key, set()).add(rule.name)

    # ------------------------------------------------------------ bounds

    def _dispensable(self, state: AlertState) -> bool:
        share = self._shares.get(state.rule)
        return super()._dispensable(state) if share is None else state.key not in share.hot

    def _forget(self, state: AlertState) -> None:
        super()._forget(state)
        share = self._shares.get(state.rule)
        for name in share.hot.pop(state.key, ()) if share is not None else ():
            hot = self.states[name].get(state.key)
            if hot is not None:
                self._give_up(self.rules[name], hot)


def _counted(share: _Share, old: RuleEngine) -> list[tuple[str, AlertState]]:
    """What the counters that the rules of a counter had before have counted, by key."""
    before = [(rule, old.rules.get(rule.name)) for rule in share.rules]
    names = [was.counter for rule, was in before if was is not None and was.shape == rule.shape]
    return next((list(old.states[name].items()) for name in names if old.states[name]), [])


def _knows_no_more(state: AlertState, counter: AlertState, needed: float) -> bool:
    """Whether a state is what a copy of its counter would be, now that this has seen an event since."""
    calm = state.phase == "ok" and state.window.total < needed
    return calm and state.clock <= counter.clock and state.window.head <= counter.window.head
