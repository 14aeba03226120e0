"""What alert rules cost, how fast a replay is, how soon a hook runs, and that no hook slows taking logs in.

    python -m benchmarks alerting
    python -m benchmarks.alerting [--repeat 3] [--trials 30]

Rules and replay are measured in a process of their own. Events are JSON lines of some 330 bytes, two in a hundred of
them errors, in transactions of 6,000; rules are a mixture of four kinds: by service, by status and service, by a word,
and all errors. What is stored of their states is part of it. Hooks are measured on real agents: `benchmarks.hooks`.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sqlite3
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import common, hooks
from benchmarks.common import MIB, Row

if TYPE_CHECKING:
    from agent.config import RuleConfig
    from agent.core.model import StoredBatch

START = 1_795_000_000 * 10**9
EVENTS, BATCHES = 6_000, 30
REPLAYED_BATCHES = 30
ERROR_SHARE = 0.02
COUNTS = (1, 20, 200)
GOAL_COST_MICROS, GOAL_REPLAY, GOAL_KEYS = 0.3, 100_000, 10_000
SERVICES = [f"svc-{number}" for number in range(50)]
KINDS = (
    lambda n: (f"severity>=error service=svc-{n % 50}", {"count": 50}, []),
    lambda n: (f"severity>=error http.status={500 + n % 10}", {"rate": 5.0}, ["service"]),
    lambda n: (f"severity>=error timeout{n % 20}", {"count": 10}, []),
    lambda n: ("severity>=error", {"count": 10**6 + n}, []),
)


def batch(number: int, share: float = ERROR_SHARE) -> StoredBatch:
    """One transaction's events of a file."""
    from agent.core.fields import Profile
    from agent.core.model import EventBatch, FileGeneration, StoredBatch

    chance = random.Random(number)
    now = START + number * 10**8
    events = EventBatch(end=(number + 1) * EVENTS)
    for row in range(EVENTS):
        error = chance.random() < share
        record = {
            "timestamp": "2026-11-22T03:04:05.678901Z",
            "level": "error" if error else "info",
            "message": f"payment failed for order {chance.randrange(10**6)}: timeout",
            "service": chance.choice(SERVICES),
            "logger": "shop.http",
            "http": {"status": chance.choice([200, 500, 503]), "method": "POST", "path": "/api/v1/orders/confirm"},
            "request_id": f"{chance.getrandbits(64):016x}",
            "user": f"u{chance.randrange(1000)}",
        }
        events.timestamps.append(now + row * 1000)
        events.severities.append(17 if error else 9)
        events.offsets.append(number * EVENTS + row)
        events.records.append(json.dumps(record))
        events.loggers.append("shop.http")
    paths = {role: (role,) for role in ("timestamp", "message", "logger", "service")}
    profile = Profile(format="json", severity=("level",), **paths).to_json()
    file = FileGeneration(1, "app", "/var/log/app.log", 1, 1, 0)
    return StoredBatch(file, events, 0, b"", now, {}, profile)


def rules(count: int) -> list[RuleConfig]:
    """So many rules, a quarter of each kind."""
    from agent.config import RuleConfig, WhenConfig

    found = []
    for number in range(count):
        match, when, per = KINDS[number % len(KINDS)](number)
        found.append(RuleConfig(name=f"r{number}", match=match, when=WhenConfig(**when), per=per))
    return found


class Judge:
    """Rules at work on transactions, with a store in memory."""

    def __init__(self, count: int) -> None:
        from agent.alert.counting import EventCounter
        from agent.alert.rules import compile_rule
        from agent.alert.shared import SharedRuleEngine
        from agent.store import schema

        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        schema.migrate(self.connection)
        configs = rules(count)
        compiled = {config.name: compile_rule(config) for config in configs}
        self.counting = EventCounter(self.connection, configs, compiled)
        self.engine = SharedRuleEngine(compiled.values())

    def look(self, one: StoredBatch, first_id: int) -> float:
        """CPU µs per event of looking at a transaction."""
        from agent.core.model import Stored, StoredRange
        from agent.core.outbox import AlertWrites
        from agent.store import alerts

        stored = Stored([StoredRange(one, first_id)])
        began = time.process_time()
        now = one.observed_timestamp + 10**7
        for target, key, hits, totals in self.counting.count(stored, now):
            self.engine.observe(target, key, hits, now, totals)
        self.engine.tick(now)
        alerts.save(self.connection, AlertWrites(saved=self.engine.take_saved(), gone=self.engine.take_gone()))
        self.engine.take_changes()
        return (time.process_time() - began) / EVENTS * 1e6


def costs() -> dict[str, float]:
    """CPU µs per event for each number of rules, and of decoding the errors alone: medians over transactions, each of
    which all look at in turn.
    """
    from agent.core.fields import decode_record

    judges = {f"{count}": Judge(count) for count in COUNTS}
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as the agent does
    found: dict[str, list[float]] = {name: [] for name in (*judges, "decoding")}
    for number in range(BATCHES):
        one = batch(number)
        for name, judge in judges.items():
            found[name].append(judge.look(one, number * EVENTS + 1))
        errors = [r for r, s in zip(one.events.records, one.events.severities, strict=True) if s > 9]
        began = time.process_time()
        for record in errors:
            decode_record(record)
        found["decoding"].append((time.process_time() - began) / EVENTS * 1e6)
    for judge in judges.values():
        judge.connection.close()
    return {name: median(values[1:]) for name, values in found.items()}


def replayed() -> dict[str, float]:
    """Events per second of `alerts test` on a store of errors: a rule without and one with `per`."""
    from agent.alert.replay import replay
    from agent.core.model import FileChange, Transaction
    from agent.store.opening import open_store

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        opened = open_store(Path(folder) / "s.db", min_free_bytes=0)
        for number in range(REPLAYED_BATCHES):
            one = batch(number, share=1.0)
            files = {one.file.id: FileChange(one.file, 0, one.profile)}
            opened.writer.write(Transaction([one], files), None, None)
        for name, rule in (("replay", rules(4)[3]), ("replay_keyed", rules(14)[13])):
            began = time.perf_counter()
            replay(opened.writer.connection, rule, START - 10**9, START + 10**13)
            found[name] = REPLAYED_BATCHES * EVENTS / (time.perf_counter() - began)
        opened.close()
    return found


def bounded() -> dict[str, float]:
    """States and bytes of a rule that sees twice as many keys as it may have, each five times."""
    from agent.alert.rules import compile_rule
    from agent.alert.shared import SharedRuleEngine
    from agent.alert.state import RuleHit
    from agent.config import RuleConfig, WhenConfig

    rule = compile_rule(RuleConfig(name="r", match="x", when=WhenConfig(count=100), per=["user"]))
    engine = SharedRuleEngine([rule])
    gc.collect()
    before = common.resident_bytes(0)
    for number in range(20_000 * 5):
        at = START + number * 10**6
        engine.observe(rule.counter, f'{{"user":"u{number % 20_000}"}}', [RuleHit(at, number, number % 7)], at)
        if number % 6_000 == 0:
            engine.take_saved()
            engine.take_gone()
    bytes_ = common.resident_bytes(0) - before
    return {"states": sum(map(len, engine.states.values())), "state_bytes": bytes_, **engine.evictions()}


def child() -> None:
    """Measure what needs no agent, and print it."""
    print(json.dumps({**bounded(), **costs(), **replayed()}))


def measure(options: argparse.Namespace) -> list[Row]:
    """The rows of rules, replay, states and hooks."""
    with common.scratch() as folder:
        found = common.run_module("alerting", cwd=folder)
    few = ", ".join(f"{count}: {found[str(count)]:.2f}" for count in COUNTS[:-1])
    beside = f"rules {few} µs; decoding the errors alone {found['decoding']:.2f} µs"
    memory = f"{found['state_bytes'] / MIB:.1f} MiB for them, {found['r']:,.0f} idle ones given up"
    return [
        Row("200 alert rules, 2 % errors, CPU per event in total", found["200"], "µs", GOAL_COST_MICROS, beside=beside),
        Row(
            "`sidelog alerts test`, a rule on all errors",
            found["replay"],
            "events/s",
            GOAL_REPLAY,
            at_least=True,
            beside=f"with `per` and another field to look at: {found['replay_keyed']:,.0f} errors/s",
        ),
        Row("states of a rule that has seen 20,000 keys", found["states"], "", GOAL_KEYS, beside=memory),
        *hooks.measure(options),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--trials", type=int, default=30)
    common.report(measure, parser)


if __name__ == "__main__":
    main()
