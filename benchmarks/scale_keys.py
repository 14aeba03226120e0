"""What the keys of rules cost, by their number (`benchmarks.scale`): each in a process of its own, with its states."""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from typing import TYPE_CHECKING

from benchmarks import alerting, common
from benchmarks.common import MIB
from benchmarks.scale_points import Cost, Costs

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCHES = 30
ERROR_SHARE = 0.2  # so that 5,000 keys are seen within these transactions


def costs(sizes: Sequence[int], target: int) -> list[Cost]:
    """One rule on errors with a key for each value of a field that has so many."""
    found = Costs("keys", target)
    with common.scratch() as folder:
        for size in sizes:
            one = common.run_module("scale_keys", str(size), cwd=folder)
            found.add(size, "keys: judging, CPU per event", one["judging"], "µs")
            found.add(size, "keys: memory of their states", one["memory"] / MIB, "MB")
            found.add(size, "keys: rows of their windows in the store", one["rows"], "")
            floor = f"{one['states']:,.0f} states; decoding the errors alone {one['decoding']:.2f} µs"
            found.floors["keys: judging, CPU per event"] = floor
    return found.all()


def child() -> None:
    """Judge transactions whose errors have so many keys; prints JSON."""
    keys = int(sys.argv[1])
    from agent.config import RuleConfig, WhenConfig
    from agent.core.fields import decode_record

    rule = RuleConfig(name="r", match="severity>=error", when=WhenConfig(count=10**6), per=["user"])
    alerting.rules = lambda _count: [rule]
    chance = random.Random(1)
    alerting.Judge(1).look(alerting.batch(0, share=ERROR_SHARE), 1)  # imports, and what is made once
    judge = alerting.Judge(1)
    gc.collect()
    before = common.resident_bytes(0)
    judging, decoding = [], []
    for number in range(BATCHES):
        one = alerting.batch(number, share=ERROR_SHARE)
        one.events.records = [
            record.replace('"user": "u', f'"user": "{chance.randrange(keys)}","was": "')
            for record in one.events.records
        ]
        judging.append(judge.look(one, number * alerting.EVENTS + 1))
        began = time.process_time()
        for record, severity in zip(one.events.records, one.events.severities, strict=True):
            if severity > 9:
                decode_record(record)
        decoding.append((time.process_time() - began) / alerting.EVENTS * 1e6)
    del one
    gc.collect()
    print(
        json.dumps(
            {
                "judging": common.median(judging[1:]),
                "decoding": common.median(decoding),
                "memory": max(common.resident_bytes(0) - before, 1),
                "states": sum(map(len, judge.engine.states.values())),
                "rows": judge.connection.execute("SELECT count(*) FROM alert_windows").fetchone()[0],
            }
        )
    )
