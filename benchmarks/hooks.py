"""How soon a hook runs after the line that makes a rule fire, and what hooks that hang or flood do to taking logs in.

    python -m benchmarks.hooks [--repeat 3] [--trials 30]

Real agents and real scripts. An agent takes in blocks of lines, in turn with and without a hook that hangs (or writes
without a pause) beside it, so that what else runs on the machine hits both alike; the figure is the median over the
pairs of the rate with the hook against that without.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import common, generate
from benchmarks.common import Row

if TYPE_CHECKING:
    import sqlite3

GOAL_START_MS, GOAL_SHARE_PERCENT = 1_000, 95
GOAL_LATER_MS = 1_000
LINES = 40_000  # of a block
PAIRS = 4  # for each repetition
# Each run notes its instant and its session, does what it is to do until somebody writes to the pipe, and ends well.
NOTE = '#!/bin/bash\necho "$EPOCHREALTIME $SIDELOG_KEY" >> {folder}/started\necho $$ >> {folder}/sessions\n'
KINDS = {
    "hung": "sleep 600 & cat {folder}/pipe; exit 0\n",
    "flooding": "yes this hook has a lot to say & cat {folder}/pipe; exit 0\n",
}

# A rule whose regular expression takes without end on such a line, and eight more beside it and the one that fires.
ENDLESS = {"name": "endless", "match": "message~^(?:(?:x|xx)+)+$", "when": {"count": 1}}
BESIDE = [ENDLESS, *({"name": f"r{n}", "match": f"message~took.{n}.*ms", "when": {"count": 1}} for n in range(8))]
POISON = json.dumps({"level": "error", "message": "x" * 60 + "!"}).encode() + b"\n"


@dataclass(slots=True)
class Block:
    """What taking in LINES lines took."""

    seconds: float
    cpu_seconds: float


@dataclass(slots=True)
class Outcome:
    """What one kind of hook did."""

    pairs: list[tuple[Block, Block]]  # without it, beside it
    zombies: int
    orphans: int


def configure(folder: Path, body: str, beside: list[dict[str, object]] | None = None) -> Path:
    """A configuration with a rule and a hook, and other rules without."""
    os.mkfifo(folder / "pipe")
    script = folder / "hook.sh"
    script.write_text((NOTE + body).format(folder=folder))
    script.chmod(0o700)
    rule = {"name": "r", "match": "alert=yes", "when": {"count": 1}, "per": ["n"], "hooks": ["h"]}
    document: dict[str, object] = {
        "store": {"path": str(folder / "s.db")},
        "sources": [{"name": "app", "include": [f"{folder}/logs/*.log"]}],
        "alerts": [rule, *(beside or [])],
        "hooks": {"h": {"exec": [str(script)], "timeout": "10m"}},
    }
    (folder / "logs").mkdir()
    file = folder / "sidelog.json"
    file.write_text(json.dumps(document))
    return file


def alarm(number: int) -> bytes:
    """A line that makes the rule fire for a key of its own."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    row = {"timestamp": stamp, "level": "error", "logger": "bench", "event": "no", "n": number, "alert": "yes"}
    return json.dumps(row).encode() + b"\n"


def append(path: Path, data: bytes) -> None:
    """Write at the end of a file."""
    with path.open("ab") as file:
        file.write(data)


def started(folder: Path) -> list[tuple[float, str]]:
    """When each run of the hook began (epoch seconds), and its key."""
    path = folder / "started"
    if not path.exists():
        return []
    return [(float(at), key) for at, _, key in (line.partition(" ") for line in path.read_text().splitlines())]


def delays_ms(trials: int, poison: int = 0) -> list[float]:
    """From the write of a line that makes a rule fire to the hook's first instruction; right behind so many lines on
    which one of ten rules takes without end.
    """
    source = random.Random(5)
    found = []
    with common.scratch() as folder:
        config, log = configure(folder, "exit 0\n", BESIDE if poison else None), folder / "logs" / "app.log"
        append(log, alarm(-1))
        with common.agent(folder, "-c", str(config)):
            common.wait_until(lambda: len(started(folder)) == 1, "the first run of the hook")
            for number in range(trials):
                time.sleep(0.3 + source.random() * 0.7)
                written = time.time()
                append(log, POISON * poison + alarm(number))
                common.wait_until(lambda number=number: len(started(folder)) == number + 2, "the hook")
                found.append((started(folder)[-1][0] - written) * 1e3)
    return found


def processes() -> list[tuple[int, int, str]]:
    """Parent, session and state of all processes."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            found.append((int(fields[1]), int(fields[3]), fields[0]))
    return found


class Taker:
    """Feeds an agent blocks of lines and times them."""

    def __init__(self, folder: Path, pid: int, connection: sqlite3.Connection) -> None:
        self._log = folder / "logs" / "app.log"
        self._pid = pid
        self._connection = connection
        self._lines = b"".join(generate.blocks(LINES))

    def _stored(self) -> int:
        return int(self._connection.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0])

    def block(self) -> Block:
        """Take in one block."""
        wanted = self._stored() + LINES
        cpu, began = common.cpu_seconds(self._pid), time.perf_counter()
        append(self._log, self._lines)
        while self._stored() < wanted:
            time.sleep(0.004)
        return Block(time.perf_counter() - began, common.cpu_seconds(self._pid) - cpu)

    def alarm(self, number: int) -> None:
        """Let the rule fire."""
        append(self._log, alarm(number))


def delivered(connection: sqlite3.Connection) -> int:
    """How many runs of the hook have ended well."""
    return int(connection.execute("SELECT count(*) FROM deliveries WHERE state = 'delivered'").fetchone()[0])


def beside(body: str, pairs: int) -> Outcome:
    """Take in blocks without and beside a hook."""
    with common.scratch() as folder:
        config = configure(folder, body)
        append(folder / "logs" / "app.log", next(generate.blocks(1)))
        with common.agent(folder, "-c", str(config)) as process:
            common.wait_until(lambda: common.stored(folder / "s.db") == 1, "the first event")
            found = []
            with contextlib.closing(common.reader(folder / "s.db")) as connection:
                taker = Taker(folder, process.pid, connection)
                taker.block()
                for number in range(pairs):
                    without = taker.block() if number % 2 else None
                    taker.alarm(number)
                    common.wait_until(lambda number=number: len(started(folder)) > number, "the hook to run")
                    with_ = taker.block()
                    (folder / "pipe").write_bytes(b"")
                    common.wait_until(lambda number=number: delivered(connection) > number, "the hook to end")
                    found.append((without or taker.block(), with_))
            taker.alarm(pairs)  # and one that runs when the agent is stopped
            common.wait_until(lambda: len(started(folder)) > pairs, "the last hook to run")
            zombies = sum(parent == process.pid and state == "Z" for parent, _, state in processes())
        known = set(map(int, (folder / "sessions").read_text().split()))
        orphans = sum(session in known and state != "Z" for _, session, state in processes())
        return Outcome(found, zombies, orphans)


def measure(options: argparse.Namespace) -> list[Row]:
    """The rows of hooks."""
    delays = delays_ms(options.trials)
    text = f"p50 {common.percentile(delays, 0.5):.0f} ms, {len(delays)} pages"
    late = common.percentile(delays, 0.95)
    rows = [Row("threshold line written to hook started, p95", late, "ms", GOAL_START_MS, beside=text)]
    for poison in (1, 1_000):
        delays = delays_ms(options.trials, poison)
        text = f"p50 {common.percentile(delays, 0.5):.0f} ms, first {delays[0]:.0f} ms; {late:.0f} ms without"
        name = f"the same behind {poison:,} times a line that is poison for 1 of 10 rules, the latest page"
        rows.append(Row(name, max(delays), "ms", late + GOAL_LATER_MS, beside=text))
    zombies = orphans = 0
    for kind, body in KINDS.items():
        outcome = beside(body, options.repeat * PAIRS)
        share = median([without.seconds / with_.seconds for without, with_ in outcome.pairs]) * 100
        rate = LINES / median([without.seconds for without, _ in outcome.pairs])
        cpu = sum(w.cpu_seconds for _, w in outcome.pairs) / sum(w.cpu_seconds for w, _ in outcome.pairs) * 100
        text = f"of {rate:,.0f} events/s without; CPU per event {cpu:.0f} %; {len(outcome.pairs)} pairs of blocks"
        rows.append(Row(f"ingest beside a {kind} hook", share, "%", GOAL_SHARE_PERCENT, at_least=True, beside=text))
        zombies, orphans = zombies + outcome.zombies, orphans + outcome.orphans
    text = f"{zombies} zombies, {orphans} orphans"
    return [*rows, Row("zombies and orphans of these hooks", zombies + orphans, "", 0, beside=text)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--trials", type=int, default=30)
    common.report(measure, parser)


if __name__ == "__main__":
    main()
