"""What the events in the store cost, by their number (`benchmarks.scale`).

A store of 50,000 events is taken in; larger ones are it, repeated: `INSERT … SELECT` of its own rows with later ids
and instants, and its rollups with later minutes. Ids within the lines repeat with it, and so do the error groups.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from typing import TYPE_CHECKING

from benchmarks import common, generate
from benchmarks.common import MIB
from benchmarks.scale_points import Cost, Costs, cheapest, configured

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TARGET = 145_000_000  # 50 GB
SEED_EVENTS = 50_000
MORE_EVENTS = 100_000  # taken into a store of each size
HOUR_NS = 3_600_000_000_000
BATCH = 5  # copies a transaction
_COPY = """
INSERT INTO events (timestamp, observed_timestamp, severity_number, file_id, "offset", group_id, record, raw,
  parse_error) SELECT timestamp + ?1, observed_timestamp, severity_number, file_id, "offset" + ?2, group_id, record,
  raw, parse_error FROM events WHERE id <= ?3 ORDER BY id
"""


def costs(sizes: Sequence[int]) -> list[Cost]:
    """Questions, taking in, retention and opening at each size."""
    found = Costs("events", TARGET)
    with common.scratch() as folder:
        (folder / "logs").mkdir()
        log = folder / "logs" / "app.log"
        seed = min(sizes[0], SEED_EVENTS)
        generate.write(log, seed, start_ns=time.time_ns() - sizes[-1] * 10**6)
        config = configured(folder, {"sources": [{"name": "app", "include": [str(log)]}]})
        common.run([common.sidelog(), "run", "--once", "-q", "-c", config], cwd=folder)
        for size in sizes:
            grow(folder / "s.db", seed, size)
            _ask(found, folder, config, size)
            _change(found, folder, size)
    return found.all()


def grow(store: Path, seed: int, size: int) -> None:
    """Repeat the first `seed` events of a store until it has `size`."""
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as connection:
        held = connection.execute("SELECT max(id) FROM events").fetchone()[0]
        columns = [row[1] for row in connection.execute("PRAGMA table_info(rollups)")]
        later = ", ".join("minute + ?1" if name == "minute" else f'"{name}"' for name in columns)
        first, last = connection.execute("SELECT min(minute), max(minute) FROM rollups").fetchone()
        step = last - first + 1
        connection.execute("CREATE TEMP TABLE seed AS SELECT * FROM rollups WHERE minute < ?", (first + step,))
        for copies in range(held // seed, size // seed, BATCH):
            connection.execute("BEGIN")
            for copy in range(copies, min(copies + BATCH, size // seed)):
                shift = copy * _minutes(seed)
                connection.execute(_COPY, (shift * 60 * 10**9, copy * seed * 400, seed))
                connection.execute(f"INSERT OR IGNORE INTO rollups SELECT {later} FROM temp.seed", (shift,))
            connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _minutes(seed: int) -> int:
    """How many minutes the first events last, and so how much later each copy is."""
    return seed // 60_000 + 2


def _ask(found: Costs, folder: Path, config: Path, size: int) -> None:
    store = folder / "s.db"
    with contextlib.closing(common.reader(store)) as connection:
        newest = connection.execute("SELECT max(timestamp) FROM events").fetchone()[0]
    hour = f"@{(newest - HOUR_NS) // 10**9}"
    asked = {
        "newest 100 errors": ["query", "-p", "error", "-n", "100"],
        "last hour by severity": ["query", "-S", hour, "--by", "severity"],
        "a word that is nowhere": ["query", "nosuchword", "--count"],
        "`status`": ["status"],
    }
    for name, arguments in asked.items():
        run = cheapest(folder, [*arguments, "-c", config], 1 if size >= 10**6 else 2)
        found.add(size, f"store: {name}, CPU", run.cpu_seconds * 1e3, "ms")
        if name.startswith("a word"):
            found.add(size, "store: peak memory of that", run.peak_bytes / MIB, "MB")
    counted = ["query", "--by", "http.status", "-c", config]
    read = common.run([common.sidelog(), *counted], cwd=folder)
    found.add(size, "store: counting fields beforehand, CPU per event", _learn(store) / size * 1e6, "µs")
    run = cheapest(folder, counted, 2)
    name = "store: `--by http.status`, counted beforehand, CPU"
    found.add(size, name, run.cpu_seconds * 1e3, "ms")
    found.floors[name] = f"not counted {common.number(read.cpu_seconds * 1e3)} ms"
    began = time.process_time()
    with contextlib.closing(common.reader(store)) as connection:
        connection.execute("SELECT count(*) FROM events WHERE record LIKE '%nosuchword%'").fetchone()
    spent = (time.process_time() - began) * 1e3
    found.floors["store: a word that is nowhere, CPU"] = f"SQLite's LIKE on {size:,}: {common.number(spent)} ms"


def _learn(store: Path) -> float:
    """CPU seconds of counting what an agent counts in idle moments."""
    from agent.query.sqlite.learning import Learner
    from agent.store.opening import open_store

    opened = open_store(store, min_free_bytes=0)
    began = time.process_time()
    learner = Learner(opened.writer)
    while learner.step():
        pass
    spent = time.process_time() - began
    opened.close()
    return spent


def _change(found: Costs, folder: Path, size: int) -> None:
    """Retention and opening in this process, rolled back or undone; then lines from another directory."""
    with common.scratch() as other:
        common.run(["cp", "--reflink=auto", folder / "s.db", other / "s.db"], cwd=other)
        (other / "logs").mkdir()
        config = configured(other, {"sources": [{"name": "app", "include": [str(other / "logs" / "*.log")]}]})
        empty = cheapest(other, ["run", "--once", "-q", "-c", config], 2)
        found.add(size, "store: `run --once` with nothing to read, CPU", empty.cpu_seconds * 1e3, "ms")
        generate.write(other / "logs" / "more.log", MORE_EVENTS, seed=2, start_ns=time.time_ns())
        run = common.run([common.sidelog(), "run", "--once", "-q", "-c", config], cwd=other)
        spent = (run.cpu_seconds - empty.cpu_seconds) / MORE_EVENTS * 1e6
        found.add(size, "store: ingest into it, CPU per event", spent, "µs")
        found.add(size, "store: a retention step of 2,000 events, CPU", _expire(other / "s.db"), "ms")
        shutil.rmtree(other / "logs")


def _expire(store: Path) -> float:
    """CPU ms of deleting a portion of the oldest events, its median."""
    from agent.store.maintenance import Retention
    from agent.store.opening import open_store

    opened = open_store(store, min_free_bytes=0)
    retention = Retention(opened.writer, age_ns=None, size_bytes=0)
    times = []
    for _ in range(10):
        began = time.process_time()
        retention.step(None)
        times.append((time.process_time() - began) * 1e3)
    opened.close()
    return common.median(times)
