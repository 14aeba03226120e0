"""`sidelog alerts run`: rules over all agents of a fleet, judged by one of several processes.

Who holds the lease judges; the others wait. States, and deliveries as an outbox, are in the ClickHouse that is asked,
so that whoever follows goes on where the one before it has ended: it neither fires again nor forgets to resolve. A hook
is started only while the lease is held, under a delivery id that is the same whoever makes the delivery.
"""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import structlog

from agent.alert.document import DeliveryBuilder
from agent.alert.fleettable import AlertRow, FleetAlertTable
from agent.alert.live import history_row, hooks_of, pages
from agent.alert.polled import EngineEvidence, PolledRuleEngine, RuleReader
from agent.alert.rules import GROUP_FORMS, compile_rule, facts_of
from agent.alert.state import StateChange
from agent.clickhouse.client import ClickHouseClient
from agent.core.outbox import Delivery, SavedState
from agent.core.times import parse_hours

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent.alert.rules import AlertRule, Facts
    from agent.clickhouse.address import ClickHouseAddress
    from agent.clickhouse.leases import Lease
    from agent.config import Config
    from agent.core.outbox import DeliveryOutcome
    from agent.query.engine import Engine as EventEngine

NAME = "alerts"
INTERVAL_S = 10.0
_SKEW_S = 2  # by which this machine's clock may be off the server's, whose seconds are whole
_BLIND_S = 60.0  # so long without a look, and absence proves nothing
_NEWS_NS = 24 * 3600 * 10**9  # so much longer than it could be told again it is remembered that a group was told

log = structlog.get_logger("sidelog")


class FleetSettings(NamedTuple):
    """How the rules of a fleet are run."""

    name: str = NAME  # of the lease and the states: those who share it are one
    engine: str = ""  # as `--engine` has it, for the command that pages show
    interval_s: float = INTERVAL_S


class FleetAlerts:
    """The rules while this process holds the lease; used from one thread, but for `finished`.

    Args:
        config: validated; its matches can be compiled.
        address: of the ClickHouse.
        engine: asks it; made anew where it has failed.
        lease: held, or this does nothing.
        settings: how.
        deliver: is given the deliveries that are to be made.
        clock: Unix ns.
    """

    def __init__(
        self,
        config: Config,
        address: ClickHouseAddress,
        engine: Callable[[], EventEngine],
        lease: Lease,
        *,
        settings: FleetSettings,
        deliver: Callable[[list[Delivery]], None],
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._client = ClickHouseClient(address)
        self._table = FleetAlertTable(self._client, settings.name)
        self._open_engine = engine
        self._engine: EventEngine | None = None
        self._lease, self._settings, self._deliver, self._clock = lease, settings, deliver, clock
        self._host = socket.gethostname()
        self._hook_names = frozenset(config.hooks)
        ordered = sorted(config.alerts, key=lambda rule: len(rule.inhibited_by))  # what inhibits is judged first
        self._rules: dict[str, AlertRule] = {one.name: compile_rule(one) for one in ordered}
        self._facts: dict[str, Facts] = {one.name: facts_of(one, self._rules[one.name]) for one in ordered}
        self._readers = {one.name: RuleReader(one, self._rules[one.name]) for one in ordered}
        self._mute = {one.name: [parse_hours(text) for text in one.mute] for one in ordered}
        self._outcomes: deque[DeliveryOutcome] = deque()
        self._rows: dict[tuple[str, str], AlertRow] = {}  # not written yet
        self._made: list[Delivery] = []  # of which the rows are not written yet
        self._waiting: dict[int, Delivery] = {}  # that hooks have
        self._delivered: set[str] = set()  # of which the rows are not written yet, whoever holds the lease
        self._silences: dict[str, int] = {}
        self._told: dict[str, dict[str, int]] = {}  # rule -> group -> when it was news
        self._rules_engine: PolledRuleEngine | None = None
        self._number = self._ver = 0
        self._looked = 0.0

    def _now(self) -> int:
        """What time it is, Unix ns: by the server where this machine's clock is wrong, so that all who judge agree."""
        own = self._clock()
        off = self._table.server_seconds() - own // 10**9
        return own + off * 10**9 if abs(off) > _SKEW_S else own

    # ------------------------------------------------------------ taking over

    @property
    def is_active(self) -> bool:
        """Whether this process has taken over."""
        return self._rules_engine is not None

    def take_over(self) -> None:
        """Go on where whoever held the lease before has ended.

        Raises:
            SidelogError: the ClickHouse cannot be asked.
        """
        found = self._table.load("rule", "state", "news", "delivery")
        # Whoever held the lease before and does not know yet that it is lost writes lower versions.
        self._ver = max(self._table.newest(), self._lease.epoch)
        self._rows.clear()
        self._made, self._waiting = [], {}
        now = self._now()
        engine = PolledRuleEngine(self._rules.values(), quiet=self._quiet)
        saved = [(one, _saved(one)) for one in found["state"].values()]
        kept = [
            (one, state)
            for one, state in saved
            if state.rule in self._rules and one["shape"] == self._rules[state.rule].shape
        ]
        engine.restore([state for _, state in kept], now)
        for one, state in kept:
            engine.restore_last(state.rule, state.key, one["last"])
        self._told = {rule: found["news"].get(rule, {}) for rule in self._rules}
        for key, one in found["delivery"].items():
            if key in self._delivered:
                self._put("delivery", key, "")
            elif one["state"] == "waiting":
                self._number += 1
                delivery = msgspec.convert(one["delivery"], Delivery)
                self._waiting[self._number] = msgspec.structs.replace(
                    delivery, delivery_id=key, id=self._number, next_attempt=0
                )
        self._forget_others(found["rule"], [state for one, state in saved if (one, state) not in kept], now)
        for name, facts in self._facts.items():
            document = json.dumps({**facts, "shape": self._rules[name].shape})
            if found["rule"].get(name) != json.loads(document):
                self._put("rule", name, document)
        self._looked = 0.0
        self._rules_engine = engine
        self._deliver(list(self._waiting.values()))
        log.info("judging the rules of the fleet", name=self._settings.name, states=len(kept))

    def _forget_others(self, old: Mapping[str, Facts], states: Sequence[SavedState], now: int) -> None:
        """Resolve what fires of rules that are gone, or count something else now, if somebody was told."""
        if not states and old.keys() <= self._rules.keys():
            return
        if self._engine is None:
            self._engine = self._open_engine()
        builder = DeliveryBuilder(EngineEvidence(self._engine, now), self._host, self._settings.engine)
        for state in states:
            self._put("state", _key(state.rule, state.key), "")
            facts = old.get(state.rule)
            if state.phase != "firing" or facts is None:
                continue
            news = facts["form"] in GROUP_FORMS
            told = state.notified and not news
            change = StateChange(
                state.rule, state.key, "ok" if news else "resolved", now, state.value, state.started_at, told
            )
            self._note(change, facts)
            if told:
                self._make(builder.deliveries(facts, change, hooks_of(facts, self._hook_names), now))
        for name in old.keys() - self._rules.keys():
            self._put("rule", name, "")
            self._put("news", name, "")

    def let_go(self) -> None:
        """Forget everything but what this process knows to be delivered: somebody else may hold the lease."""
        self._settle_all()
        if self.is_active:
            log.warning("another one judges the rules of the fleet", name=self._settings.name)
        self._rules_engine = None
        self._close_engine()

    def close(self) -> None:
        """Give back the connections."""
        self._close_engine()
        self._client.close()

    def _close_engine(self) -> None:
        if self._engine is not None:
            with suppress(Exception):
                self._engine.close()
            self._engine = None

    # ------------------------------------------------------------ a turn

    def finished(self, outcome: DeliveryOutcome) -> None:
        """Note how an attempt at a delivery ended. From any thread."""
        self._outcomes.append(outcome)

    def save_outcomes(self) -> None:
        """Write how deliveries have ended, and whatever else waits to be written.

        Raises:
            SidelogError: the ClickHouse cannot be asked; it waits on.
        """
        self._settle_all()
        self._save()

    def look(self) -> None:
        """Judge every rule by what is stored now, write what follows, and give away the deliveries.

        Raises:
            SidelogError: the ClickHouse cannot be asked; nothing was judged, or what was is written later.
        """
        rules = self._rules_engine
        assert rules is not None
        if self._engine is None:
            self._engine = self._open_engine()
        now = self._now()
        self._silences = {rule: one["until"] for rule, one in self._table.load("silence")["silence"].items()}
        try:
            read = {
                name: self._readers[name].counted(self._engine, now)
                for name, rule in self._rules.items()
                if not rule.about_groups
            }
            elapsed = time.monotonic()
            if self._looked and elapsed - self._looked > max(_BLIND_S, 3 * self._settings.interval_s):
                rules.begin(now, round((elapsed - self._looked) * 1e9))
            self._looked = elapsed
            evidence = EngineEvidence(self._engine, now)
            for name, rule in self._rules.items():
                if rule.about_groups:
                    self._look_for_news(rules, name, evidence)
                else:
                    rules.look(name, read[name], now)
            rules.tick(now)
            self._follow(rules, evidence)
        except Exception:
            self._close_engine()
            raise
        self.save_outcomes()

    def _look_for_news(self, rules: PolledRuleEngine, name: str, evidence: EngineEvidence) -> None:
        told, before, now = self._told[name], len(self._told[name]), evidence.now
        for key, hit in self._readers[name].news(evidence, {int(group) for group in told}):
            told[str(hit.group)] = now
            rules.observe(name, key, [hit], now)
        if len(told) != before:
            kept = {group: at for group, at in told.items() if at > now - self._rules[name].window_ns - _NEWS_NS}
            self._told[name] = kept
            self._put("news", name, json.dumps(kept))

    def _follow(self, rules: PolledRuleEngine, evidence: EngineEvidence) -> None:
        """What is to be written, and told, of what has changed."""
        changes = rules.take_changes()
        for change in changes:
            self._note(change, self._facts[change.rule])
            if change.notify and change.state != "resolved" and not self._rules[change.rule].about_groups:
                self._readers[change.rule].find(evidence, change)
        builder = DeliveryBuilder(evidence, self._host, self._settings.engine)
        for change, more in pages([change for change in changes if change.notify], self._rules):
            facts = self._facts[change.rule]
            hooks = hooks_of(facts, self._hook_names)
            self._make(builder.deliveries(facts, change, hooks, evidence.now, more))
        for rule, key in rules.take_gone():
            self._put("state", _key(rule, key), "")
        for one in rules.take_saved():
            gone = one.phase == "ok"
            facts = {
                **{name: getattr(one, name) for name in _STATE},
                "last": rules.newest(one.rule, one.key),
                "shape": self._rules[one.rule].shape,
            }
            if not gone or one.since:
                self._put("state", _key(one.rule, one.key), "" if gone else json.dumps(facts))

    def _quiet(self, rule: str, _key: str, at: int) -> str:
        if at < self._silences.get(rule, 0):
            return "silenced"
        return "muted" if any(hours.hold(at) for hours in self._mute[rule]) else ""

    # ------------------------------------------------------------ what is written

    def _put(self, kind: str, key: str, document: str) -> None:
        self._rows[kind, key] = AlertRow(kind, key, document)

    def _note(self, change: StateChange, facts: Facts) -> None:
        row = history_row(change, facts)
        self._put(
            "history", f"{change.at:020d} {_key(change.rule, change.key)} {change.state}", json.dumps(row._asdict())
        )

    def _make(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._number += 1
            delivery.id = self._number
            self._made.append(delivery)
            self._put("delivery", delivery.delivery_id, _delivery(delivery, "waiting"))

    def _settle_all(self) -> None:
        while self._outcomes:
            self._settle(self._outcomes.popleft())

    def _settle(self, outcome: DeliveryOutcome) -> None:
        delivery = self._waiting.get(outcome.id)
        if delivery is None:
            return
        delivery.attempts, delivery.next_attempt = outcome.attempts, outcome.next_attempt
        if outcome.state != "waiting":
            del self._waiting[outcome.id]
        if outcome.state == "delivered":
            self._delivered.add(delivery.delivery_id)
        document = "" if outcome.state == "delivered" else _delivery(delivery, outcome.state, outcome.result)
        self._put("delivery", delivery.delivery_id, document)

    def _save(self) -> None:
        """Write what waits, while the lease is held; then its deliveries may be made."""
        if self._rows and self._lease.left_s > 0:
            self._table.save(tuple(self._rows.values()), self._ver + 1)
            self._ver += 1
            self._delivered -= {row.key for row in self._rows.values()}
            self._rows.clear()
            made, self._made = self._made, []
            self._waiting.update({delivery.id: delivery for delivery in made})
            self._deliver(made)


_STATE = ("rule", "key", "phase", "since", "started_at", "value", "notified", "repeat_at", "repeats", "quiet")


def _saved(one: dict[str, Any]) -> SavedState:
    return SavedState(**{name: one[name] for name in _STATE})


def _key(rule: str, key: str) -> str:
    return json.dumps([rule, key])


def _delivery(delivery: Delivery, state: str, result: str = "") -> str:
    return json.dumps({"state": state, "result": result, "delivery": msgspec.to_builtins(delivery)})
