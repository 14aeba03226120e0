"""Alert rules beside the writer: every event on its way into the store goes past them, in the same transaction.

Events, states and deliveries are of one moment: after a crash none of them knows more than the others. What a
transaction leads to is worked out once; a commit that fails is tried again with the same result.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING

import structlog

from agent.alert.counting import EventCounter
from agent.alert.document import DeliveryBuilder, StoreEvidence
from agent.alert.engine import MAX_KEYS
from agent.alert.rules import DAY_GRAIN_NS, GROUP_FORMS, compile_rule, facts_of
from agent.alert.shared import SharedRuleEngine
from agent.alert.state import StateChange
from agent.alert.window import BUCKETS
from agent.core.conditions import PassingConditions
from agent.core.errors import SidelogError, StoreError
from agent.core.outbox import AlertWrites, Delivery, DeliveryOutcome, HistoryRow
from agent.core.times import Hours, parse_hours, since_boot_ns
from agent.store import alerts as tables
from agent.store import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent.alert.rules import AlertRule, Facts
    from agent.config import Config
    from agent.core.model import Stored, Transaction

SEPARATE = 10  # pages of one rule at one moment; what is beyond shares the last of them ("and 37 more")
_JUMP_NS = 2 * 10**9  # the wall clock against the time that has passed: more is a jump, less is its correction
_EXPIRE_NS = 60 * 10**9
_BLIND_NS = 10 * 10**9  # so long without a look at the clock: absence in that time proves nothing

log = structlog.get_logger("sidelog")


class LiveAlerts:
    """The rules of a running agent. All methods but `finished` belong to the writer thread.

    Args:
        config: validated; its matches can be compiled.
        connection: of the writer, which is to show its transactions to these rules.
        host: this machine's name.
        report: notes own errors.
        deliver: called after a commit with the deliveries that it made.
        seen_until: Unix ns, when the rules were judged for the last time before this start; 0 where they never were.
        clock: Unix ns.
        elapsed: ns since any fixed moment, time of sleep included; never jumps.
    """

    def __init__(
        self,
        config: Config,
        connection: sqlite3.Connection,
        *,
        host: str,
        report: Callable[[SidelogError, bool], None],
        deliver: Callable[[list[Delivery]], None],
        seen_until: int = 0,
        clock: Callable[[], int] = time.time_ns,
        elapsed: Callable[[], int] = since_boot_ns,
    ) -> None:
        self._connection = connection
        self._host = host
        self._report = report
        self._undecided = PassingConditions(report)
        self._deliver = deliver
        self._clock = clock
        self._elapsed = elapsed
        self._outcomes: deque[DeliveryOutcome] = deque()
        self._hooks: deque[tuple[str, str]] = deque()  # name, and what is to be stored of it
        self._worked_out: tuple[Transaction, AlertWrites] | None = None
        self._version = -1
        self._silences: dict[str, int] = {}
        self._evictions = 0
        self._reloads: deque[Config] = deque()
        self._expired_at = 0
        self._unseen_ns: int | None = clock() - seen_until
        self._now = (clock(), elapsed())
        self.firing: dict[str, int] = {}  # rule -> for how many keys; a new value with each change, for other threads
        self.rules: dict[str, AlertRule] = {}
        self.engine = SharedRuleEngine(())
        self.use(config)

    def reload(self, config: Config) -> None:
        """Let the writer thread go over to other rules at its next turn. From any thread."""
        self._reloads.append(config)

    def turn(self) -> None:
        """To be called between transactions."""
        self._undecided.settle()
        while self._reloads:
            try:
                self.use(self._reloads[0])
            except StoreError as error:  # it is tried again, as every write is
                self._report(error, True)  # noqa: FBT003
                return
            self._reloads.popleft()

    def use(self, config: Config) -> None:
        """Begin with these rules, going on where they stand: at the start as the store says it, which remembers less
        of a state than a running engine has. Rules that are gone, or count something else now, are resolved if
        somebody was told that they fire. Nothing has changed where the store refuses.

        Raises:
            StoreError: as `faults.changing`.
        """
        now = self._clock()
        configs = sorted(config.alerts, key=lambda rule: len(rule.inhibited_by))  # what inhibits is judged first
        rules = {one.name: compile_rule(one) for one in configs}
        facts = {one.name: facts_of(one, rules[one.name]) for one in configs}
        hook_names = frozenset(config.hooks)
        engine = SharedRuleEngine(rules.values(), max_keys=MAX_KEYS, quiet=self._quiet)
        with faults.changing(self._connection):
            self._orphans(now, rules, hook_names)
            tables.save_rules(
                self._connection,
                {name: (rules[name].shape, one) for name, one in facts.items()},
                [counter.name for counter in engine.counters],
            )
            saved = [] if self._unseen_ns is None else tables.load_states(self._connection)
        self.rules, self.facts, self._hook_names = rules, facts, hook_names
        self._undecided.keep(rules)
        self._mute: dict[str, list[Hours]] = {one.name: [parse_hours(text) for text in one.mute] for one in configs}
        self._counting = EventCounter(self._connection, configs, rules)
        self.wants_group_news = any(rule.about_groups for rule in self.rules.values())
        if self._unseen_ns is None:
            engine.take_over(self.engine)
            engine.begin_absence(now)
        else:
            engine.restore(saved, now)
            engine.begin(now, self._unseen_ns if self._unseen_ns > _BLIND_NS else 0)
        self._unseen_ns = None
        self.engine = engine
        self.firing = {name: engine.firing(name) for name in rules}
        self._evictions = sum(engine.evicted.values())
        self._version = -1
        self._look()

    def _orphans(self, now: int, rules: Mapping[str, AlertRule], hook_names: frozenset[str]) -> None:
        old = tables.load_rules(self._connection)
        builder = DeliveryBuilder(StoreEvidence(self._connection), self._host)
        writes = AlertWrites()
        for state in tables.load_states(self._connection):
            facts = old.get(state.rule)
            rule = rules.get(state.rule)
            if state.phase != "firing" or facts is None or (rule is not None and rule.shape == facts["shape"]):
                continue
            news = facts["form"] in GROUP_FORMS
            over = "ok" if news else "resolved"
            told = state.notified and not news
            change = StateChange(state.rule, state.key, over, now, state.value, state.started_at, told)
            writes.history.append(history_row(change, facts))
            if told:
                writes.deliveries += builder.deliveries(facts, change, hooks_of(facts, hook_names), now)
        tables.save(self._connection, writes)

    # ------------------------------------------------------------ the clock

    def now(self) -> int:
        """The clock, Unix ns. When it has jumped, the states are moved with it: an hour that did not pass empties no
        window.
        """
        now, elapsed = self._clock(), self._elapsed()
        before, elapsed_before = self._now
        passed = elapsed - elapsed_before
        jump = (now - before) - passed
        self._now = (now, elapsed)
        if abs(jump) > _JUMP_NS:
            log.warning("the clock has jumped; alert windows are moved with it", seconds=round(jump / 1e9, 1))
            self.engine.shift(jump)
        if passed > _BLIND_NS:
            self.engine.begin(now, passed)
        return now

    def wait_s(self) -> float:
        """How long nothing is due, in seconds."""
        if self._outcomes or self._hooks or self._reloads:
            return 0.0
        return max(0.0, (self.engine.next_due - self._clock()) / 1e9)

    def is_due(self) -> bool:
        """Whether a transaction is to be made although no event waits for one."""
        self._look()
        return bool(self._outcomes or self._hooks) or self.engine.next_due <= self.now()

    def _look(self) -> None:
        """Take over what commands have changed in the store: silences, deliveries to be tried anew."""
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version or self._outcomes:  # first store what has ended: the store still calls it waiting
            return
        self._version = version
        silences = tables.load_silences(self._connection, self._clock())
        self._silences = {rule: held["until"] for rule, held in silences.items()}
        self._deliver(tables.load_deliveries(self._connection))

    def _quiet(self, rule: str, _key: str, at: int) -> str:
        if at < self._silences.get(rule, 0):
            return "silenced"
        return "muted" if any(hours.hold(at) for hours in self._mute[rule]) else ""

    # ------------------------------------------------------------ the transaction

    def finished(self, outcome: DeliveryOutcome) -> None:
        """Note how an attempt at a delivery ended. From any thread."""
        self._outcomes.append(outcome)

    def hook_changed(self, hook: str, facts: Mapping[str, object]) -> None:
        """Note the state of a hook's circuit. From any thread."""
        self._hooks.append((hook, json.dumps(facts)))

    def before_commit(self, connection: sqlite3.Connection, transaction: Transaction, stored: Stored) -> None:
        """Look at what a transaction has stored and add what follows from it; called inside the transaction."""
        if self._worked_out is None or self._worked_out[0] is not transaction:
            now = self.now()
            self._look()  # a silence that was made before these events came counts for them
            try:
                for rule, key, hits, totals in self._counting.count(stored, now):
                    self.engine.observe(rule, key, hits, now, totals)
                for rule, match in self._counting.undecided():
                    self._undecided.meet("SL708", rule, match.undecided, "event", last=match.last_undecided)
                self.engine.tick(now)
                writes = self._writes(now)
            except sqlite3.Error:
                raise
            except Exception as error:
                log.exception("alert rules could not be judged")
                self._report(SidelogError.of("SL707", "alerts", kind=type(error).__name__, why=str(error)), True)  # noqa: FBT003
                writes = AlertWrites()
            self._take_outcomes(writes)
            self._worked_out = (transaction, writes)
        tables.save(connection, self._worked_out[1])

    def _take_outcomes(self, writes: AlertWrites) -> None:
        writes.hooks = dict(self._hooks.popleft() for _ in range(len(self._hooks)))
        writes.outcomes = [self._outcomes.popleft() for _ in range(len(self._outcomes))]

    def save_outcomes(self) -> None:
        """Store how deliveries ended, when no transaction will follow.

        Raises:
            StoreError: as `faults.changing`.
        """
        writes = AlertWrites()
        self._take_outcomes(writes)
        if writes:
            with faults.changing(self._connection):
                tables.save(self._connection, writes)

    def after_commit(self, make_durable: Callable[[], None]) -> None:
        """Give the deliveries that the last transaction made to the hooks.

        Args:
            make_durable: a power cut must not take back what a hook is told; called where one is told something.
        """
        if self._worked_out is None:
            return
        made = [delivery for delivery in self._worked_out[1].deliveries if delivery.id]
        self._worked_out = None
        if made:
            make_durable()
            self._deliver(made)

    # ------------------------------------------------------------ what follows

    def _writes(self, now: int) -> AlertWrites:
        engine = self.engine
        changes = engine.take_changes()
        if changes:
            self.firing = self.firing | {name: engine.firing(name) for name in {change.rule for change in changes}}
        writes = AlertWrites(saved=engine.take_saved(), gone=engine.take_gone())
        writes.history = [history_row(change, self.facts[change.rule]) for change in changes]
        told = [change for change in changes if change.notify]
        if told:
            builder = DeliveryBuilder(StoreEvidence(self._connection), self._host)
            for change, more in pages(told, self.rules):
                facts = self.facts[change.rule]
                writes.deliveries += builder.deliveries(facts, change, hooks_of(facts, self._hook_names), now, more)
        if sum(engine.evicted.values()) > self._evictions:
            self._evictions = sum(engine.evicted.values())
            writes.evicted = engine.evictions()
            for name, count in writes.evicted.items():
                self._report(SidelogError.of("SL706", name, MAX_KEYS=MAX_KEYS, count=count), True)  # noqa: FBT003
        if now - self._expired_at > _EXPIRE_NS:
            self._expired_at = now
            rules = engine.rules.values()
            writes.expired = [(rule.name, 0, now // rule.grain_ns - 2 * BUCKETS) for rule in rules]
            writes.expired += [(rule.name, BUCKETS - 1 - now // DAY_GRAIN_NS, -1) for rule in rules if rule.has_day]
        return writes


def hooks_of(facts: Facts, names: frozenset[str]) -> list[str]:
    """The hooks of a rule, without those that the configuration does not have any more."""
    return [hook for hook in facts["hooks"] if hook in names]


def history_row(change: StateChange, facts: Facts) -> HistoryRow:
    """A change as the history has it."""
    return HistoryRow(change.rule, change.key, change.state, change.at, change.value, facts["threshold"], change.quiet)


def pages(
    changes: Sequence[StateChange], rules: Mapping[str, AlertRule]
) -> list[tuple[StateChange, list[StateChange]]]:
    """Changes as pages: of one rule and kind each by itself up to SEPARATE, the rest with the last of them; all on
    one where the rule waits for company (`group_wait`).
    """
    found: list[tuple[StateChange, list[StateChange]]] = []
    ordered = sorted(changes, key=lambda change: (change.rule, change.state))  # stable: by time within
    for (name, _), same in groupby(ordered, lambda change: (change.rule, change.state)):
        members = list(same)
        separate = 1 if rules[name].group_wait_ns else SEPARATE
        alone = members if len(members) <= separate else members[: separate - 1]
        found += [(change, []) for change in alone]
        if len(alone) < len(members):
            rest = sorted(members[len(alone) :], key=lambda change: -change.value)
            found.append((rest[0], rest[1:]))
    return sorted(found, key=lambda page: page[0].at)
