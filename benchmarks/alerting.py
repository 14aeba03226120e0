"""What alert rules cost per event, and how fast a replay is.

    python benchmarks/alerting.py

Events are JSON lines of some 330 bytes, two in a hundred of them errors, in transactions of 6,000; rules are a mixture
of four kinds: by service, by status and service, by a word, and all errors. CPU time, beside that of decoding an error.
"""

from __future__ import annotations

import json
import random
import sqlite3
import tempfile
import time
from pathlib import Path

from agent.alert.rules import compile_rule
from agent.alert.shared import SharedEngine
from agent.alerting.counting import Counting
from agent.alerting.replay import replay
from agent.config import RuleConfig, WhenConfig
from agent.model import EventBatch, Stored, StoredBatch, StoredRange, TailedFile, Transaction
from agent.profile import Profile
from agent.query.events import decode_record
from agent.store import schema
from agent.store.opening import open_store

START = 1_795_000_000 * 10**9
EVENTS, BATCHES = 6_000, 50
ERROR_SHARE = 0.02
SERVICES = [f"svc-{number}" for number in range(50)]
PATHS = {role: (role,) for role in ("timestamp", "message", "logger", "service")}
PROFILE = Profile(format="json", severity=("level",), **PATHS).to_json()
KINDS = (
    lambda n: (f"severity>=error service=svc-{n % 50}", {"count": 50}, []),
    lambda n: (f"severity>=error http.status={500 + n % 10}", {"rate": 5.0}, ["service"]),
    lambda n: (f"severity>=error timeout{n % 20}", {"count": 10}, []),
    lambda n: ("severity>=error", {"count": 10**6 + n}, []),
)


def batch(number: int, share: float = ERROR_SHARE) -> StoredBatch:
    """One transaction's events of a file."""
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
    file = TailedFile(1, "app", "/var/log/app.log", 1, 1, 0, profile=PROFILE)
    return StoredBatch(file, events, 0, b"", now)


def rules(count: int) -> list[RuleConfig]:
    found = []
    for number in range(count):
        match, when, per = KINDS[number % len(KINDS)](number)
        found.append(RuleConfig(name=f"r{number}", match=match, when=WhenConfig(**when), per=per))
    return found


def judge(connection: sqlite3.Connection, batches: list[StoredBatch], count: int) -> float:
    """CPU seconds of looking at all these transactions."""
    configs = rules(count)
    compiled = {config.name: compile_rule(config) for config in configs}
    counting, engine = Counting(connection, configs, compiled, {}), SharedEngine(compiled.values())
    began = time.process_time()
    for number, one in enumerate(batches):
        now = one.observed_timestamp + 10**7
        for rule, key, hits, totals in counting.count(Stored([StoredRange(one, number * EVENTS + 1)]), now):
            engine.observe(rule, key, hits, now, totals)
        engine.tick(now)
        engine.take_saved()
        engine.take_changes()
    return time.process_time() - began


def replayed() -> tuple[int, float]:
    """Events and seconds of `alerts test` on a store of errors."""
    with tempfile.TemporaryDirectory() as folder:
        opened = open_store(Path(folder) / "s.db", min_free_bytes=0, resources={})
        for number in range(BATCHES):
            opened.writer.write(Transaction([batch(number, share=1.0)]), None, None)
        began = time.perf_counter()
        found = replay(opened.writer.connection, rules(4)[3], START - 10**9, START + 10**13)
        seconds = time.perf_counter() - began
        opened.close()
    return found.events, seconds


def main() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection)
    batches = [batch(number) for number in range(BATCHES)]
    total = EVENTS * BATCHES
    judge(connection, batches[:2], 4)  # what is imported when it is first needed
    errors = [
        record
        for one in batches
        for record, severity in zip(one.events.records, one.events.severities, strict=True)
        if severity == 17
    ]
    began = time.process_time()
    for record in errors:
        decode_record(record)
    decoding = (time.process_time() - began) / total * 1e6
    print(f"decoding the errors alone       {decoding:.3f} µs per event")
    for count in (0, 1, 20, 200):
        print(
            f"{count:3} rules                       {judge(connection, batches, count) / total * 1e6:.3f} µs per event"
        )
    events, seconds = replayed()
    print(f"replay of {events:,} errors      {events / seconds:,.0f} events/s")
    connection.close()


if __name__ == "__main__":
    main()
