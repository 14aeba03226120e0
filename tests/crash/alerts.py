"""Agents that are killed while rules fire and resolve: is each page told, and each resolve, under one id?

Lines for a new key are written every moment, three at a time, which is what the rule asks for. So each key must be told
to fire and then to be over, whatever happens to the agent; a page that is told twice must have the same delivery id.
Hooks are real scripts that note what they get; one in ten runs fails and is made again.
"""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.crash.rig import HarnessError, Rig, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.crash.rig import Zygote

KILLS_PER_PROGRAM = 10
_LIFE_S = 0.7  # a start takes about 0.15, a key is over after a second
_TARGETED = 0.5  # of the kills come as soon as a hook is to be told
_STOPPED = 0.1  # of the agents end by SIGTERM
_LINES = 3
_END_S = 90.0
_SCRIPT = """#!/bin/bash
me="{notes}/$EPOCHREALTIME-$$"
/bin/cat > "$me.tmp"
/bin/mv "$me.tmp" "$me.json"
[ $((RANDOM % 10)) -gt 0 ]
"""


@dataclass(slots=True)
class Result:
    """What became of a program."""

    seed: int
    kills: int = 0
    busy_kills: int = 0  # while something fired or was to be told
    keys: int = 0
    runs: int = 0  # of the hook
    repeats: int = 0  # of them that told an id again
    unheard: list[str] = field(default_factory=list)  # keys nobody was paged for
    unresolved: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)  # told under two ids
    disordered: list[str] = field(default_factory=list)  # told to be over first
    problem: str = ""

    @property
    def green(self) -> bool:
        """Nothing is wrong."""
        return not (self.unheard or self.unresolved or self.doubled or self.disordered or self.problem)


class AlertRig(Rig):
    """A rig whose agents have a rule and a hook."""

    def configure(self) -> None:
        """Write the configuration and the hook."""
        self.notes = self.root / "notes"
        self.notes.mkdir()
        script = self.root / "hook.sh"
        script.write_text(_SCRIPT.format(notes=self.notes))
        script.chmod(0o700)
        document = {
            "store": {"path": str(self.store), "flush_interval": "50ms", "min_free": "0B"},
            "sources": [{"name": "app", "include": [f"{self.logs}/*.log"]}],
            "alerts": [
                {"name": "r", "match": "key!=none", "when": {"count": _LINES}, "window": "1s", "per": ["key"],
                 "hooks": ["note"]},
            ],
            "hooks": {"note": {"exec": [str(script)], "retries": 100, "concurrency": 4}},
        }  # fmt: skip
        (self.root / "sidelog.json").write_text(json.dumps(document), encoding="utf-8")
        self.write("none", 1)

    def write(self, key: str, count: int) -> None:
        """Append lines with a key."""
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line = json.dumps({"timestamp": stamp, "level": "error", "message": f"no {key}", "key": key}) + "\n"
        with (self.logs / "app.log").open("a") as log:
            log.write(line * count)

    def ask(self, statement: str) -> int:
        """A number out of the store, 0 while there is none."""
        with contextlib.suppress(sqlite3.OperationalError):
            connection = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=30)
            with contextlib.closing(connection):
                return int(connection.execute(statement).fetchone()[0])
        return 0

    def waiting(self) -> int:
        """Deliveries that are to be made."""
        return self.ask("SELECT count(*) FROM deliveries WHERE state = 'waiting'")

    def busy(self) -> int:
        """States that fire, and deliveries that are to be made."""
        return self.waiting() + self.ask("SELECT count(*) FROM alert_states")


def run_program(
    seed: int, root: Path, zygote: Zygote, kills: int = KILLS_PER_PROGRAM, *, mutants: Sequence[str] = ()
) -> Result:
    """Kill so many agents in the directory `root`, which is removed afterwards, and let an undisturbed one finish."""
    choice = random.Random(seed)
    rig = AlertRig(root, zygote, seed, mutants=mutants)
    result = Result(seed)
    try:
        while result.kills < kills:
            rig.start()
            _live(rig, result, choice)
            if choice.random() < _STOPPED:
                rig.stop()
                continue
            result.busy_kills += rig.busy() > 0
            code = rig.kill()
            if code != -9:
                result.problem = f"the agent ended by itself with {code}: {rig.said()[-800:]}"
                return result
            result.kills += 1
        rig.start()
        lines = 1 + _LINES * result.keys
        wait_until(lambda: rig.ask("SELECT count(*) FROM events") == lines, _END_S, f"{lines} events")
        wait_until(lambda: not rig.busy(), _END_S, "the end of all alerts")
        rig.stop()
        _judge(rig, result)
    except HarnessError as error:
        result.problem = f"{error}: {rig.said()[-800:]}"
    finally:
        rig.remove()
    return result


def _live(rig: AlertRig, result: Result, choice: random.Random) -> None:
    """Write on for as long as an agent lives."""
    end = time.monotonic() + choice.uniform(0, _LIFE_S)
    targeted = choice.random() < _TARGETED
    while time.monotonic() < end:
        rig.write(f"k{result.keys}", _LINES)
        result.keys += 1
        time.sleep(choice.uniform(0, 0.2))
    if targeted:
        with contextlib.suppress(HarnessError):  # nothing is to be told: then any moment will do
            wait_until(rig.waiting, 1.0, "a delivery")


def _judge(rig: AlertRig, result: Result) -> None:
    told: dict[str, list[tuple[str, str]]] = {}
    seen: Counter[str] = Counter()
    for path in sorted(rig.notes.glob("*.json")):
        page = json.loads(path.read_bytes())
        seen[page["delivery_id"]] += 1
        for key in page.get("keys", [page["key"]]):
            told.setdefault(key["key"], []).append((page["state"], page["delivery_id"]))
    result.runs, result.repeats = seen.total(), seen.total() - len(seen)
    for key in (f"k{number}" for number in range(result.keys)):
        pages = told.get(key, [])
        ids = {state: {number for what, number in pages if what == state} for state in ("firing", "resolved")}
        if not ids["firing"]:
            result.unheard.append(key)
        if not ids["resolved"]:
            result.unresolved.append(key)
        if any(len(numbers) > 1 for numbers in ids.values()):
            result.doubled.append(key)
        if pages and pages[0][0] != "firing":
            result.disordered.append(key)
