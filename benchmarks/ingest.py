"""Taking logs in: `sidelog run --once` as a whole process, start and final checkpoint included.

    python -m benchmarks.ingest [--events 1000000] [--repeat 3]

Prints CPU µs per event beside the floors of the same run (benchmarks.floors), events per second, peak memory; and
the rate of a burst in which every line is an error with a stack trace.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from benchmarks import common, generate
from benchmarks.common import MIB, Row
from benchmarks.floors import floors

if TYPE_CHECKING:
    from pathlib import Path


def once(folder: Path, log: Path, events: int) -> common.Usage:
    """One run into a fresh store; ends the benchmark when the count is wrong."""
    store = folder / "store" / "sidelog.db"
    usage = common.run([common.sidelog(), "run", "--once", log, "--store", store], cwd=folder)
    count = common.stored(store)
    if count != events:
        sys.exit(f"{count:,} events in the store, {events:,} lines in the file")
    for file in store.parent.iterdir():
        file.unlink()
    return usage


def measure(options: argparse.Namespace) -> list[Row]:
    """The rows of ingest, its floors, and the burst."""
    with common.scratch() as folder:
        log = folder / "logs" / "app.log"
        log.parent.mkdir()
        size = generate.write(log, options.events)
        runs = [once(folder, log, options.events) for _ in range(options.repeat)]
        base = floors(log, folder, options.repeat)
        burst_events = max(options.events // 4, 1)
        generate.write(log, burst_events, errors=1.0, seed=2)
        bursts = [once(folder, log, burst_events) for _ in range(options.repeat)]
    cpu = common.median([run.cpu_seconds for run in runs]) / options.events * 1e6
    total = sum(base.values())
    wall = common.median([run.wall_seconds for run in runs])
    parts = ", ".join(f"{name} {micros:.2f}" for name, micros in base.items())
    burst = common.median([run.wall_seconds for run in bursts])
    burst_cpu = common.median([run.cpu_seconds for run in bursts]) / burst_events * 1e6
    return [
        Row(
            f"ingest, CPU per event ({size / options.events:.0f} bytes a line)",
            cpu,
            "µs",
            3.0,
            beside=f"floors: {parts}",
        ),
        Row("ingest, times the sum of its floors", cpu / total, "×", 2.0, beside=f"sum {total:.2f} µs"),
        Row("ingest, rate", options.events / wall, "events/s", beside="whole process, committed"),
        Row(
            f"ingest, peak memory over {options.events:,} events",
            common.median([run.peak_bytes for run in runs]) / MIB,
            "MB",
            64,
        ),
        Row(
            "burst, every line an error with a stack trace",
            burst_events / burst,
            "events/s",
            40_000,
            at_least=True,
            beside=f"{burst_cpu:.1f} µs CPU per event",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    common.report(measure, parser)


if __name__ == "__main__":
    main()
