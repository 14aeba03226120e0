"""What files that are followed and sources cost, by their number (`benchmarks.scale`)."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

from benchmarks import common, generate
from benchmarks.common import MIB
from benchmarks.scale_points import Cost, Costs, cheapest, configured

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SETTLE_SECONDS, WATCH_SECONDS = 4, 8
SPREAD_EVENTS = 200_000  # over all sources
BLOCK = 100  # lines written to a source together


def files(sizes: Sequence[int], target: int) -> list[Cost]:
    """Agents that know so many files with a line each, of which one got another line while they were down."""
    costs = Costs("files", target)
    for size in sizes:
        with common.scratch() as folder:
            _files(costs, folder, size)
    return costs.all()


def _files(costs: Costs, folder: Path, size: int) -> None:
    logs = folder / "logs"
    logs.mkdir()
    line = next(generate.blocks(1))
    for number in range(size):
        (logs / f"app-{number}.log").write_bytes(line)
    config = configured(folder, {"sources": [{"name": "app", "include": [str(logs / "*.log")]}]})
    first = common.run([common.sidelog(), "run", "--once", "-q", "-c", config], cwd=folder)
    costs.add(size, "files: reading them for the first time, CPU", first.cpu_seconds, "s")
    with (logs / f"app-{size - 1}.log").open("ab") as file:
        file.write(line)
    began = time.perf_counter()
    with common.agent(folder, "-c", str(config)) as process:
        common.wait_until(lambda: common.stored(folder / "s.db") == size + 1, "what was written meanwhile", 120)
        costs.add(size, "files: start until a new line is stored", time.perf_counter() - began, "s")
        time.sleep(SETTLE_SECONDS)
        before, began = common.cpu_seconds(process.pid), time.monotonic()
        time.sleep(WATCH_SECONDS)
        share = (common.cpu_seconds(process.pid) - before) / (time.monotonic() - began) * 100
        costs.add(size, "files: CPU at rest", max(share, 0.05), "% of a core")
        costs.add(size, "files: memory", common.resident_bytes(process.pid) / MIB, "MB")
        status = cheapest(folder, ["status", "-c", config])
        costs.add(size, "files: `status`, CPU", status.cpu_seconds * 1e3, "ms")


def sources(sizes: Sequence[int], target: int) -> list[Cost]:
    """Sources with a directory and a file each, over which the same number of lines is spread."""
    costs = Costs("sources", target)
    for size in sizes:
        with common.scratch() as folder:
            _sources(costs, folder, size)
    return costs.all()


def _sources(costs: Costs, folder: Path, size: int) -> None:
    names = [f"source-{number}" for number in range(size)]
    for name in names:
        (folder / "logs" / name).mkdir(parents=True)
        (folder / "logs" / name / "app.log").touch()
    listed = [{"name": name, "include": [str(folder / "logs" / name / "*.log")]} for name in names]
    config = configured(folder, {"sources": listed})
    empty = cheapest(folder, ["run", "--once", "-q", "-c", config], 2)
    costs.add(size, "sources: `run --once` with nothing to read, CPU", empty.cpu_seconds, "s")
    turn = itertools.cycle(names)
    for block in generate.blocks(SPREAD_EVENTS):
        lines = block.splitlines(keepends=True)
        for first in range(0, len(lines), BLOCK):
            with (folder / "logs" / next(turn) / "app.log").open("ab") as file:
                file.writelines(lines[first : first + BLOCK])
    full = common.run([common.sidelog(), "run", "--once", "-q", "-c", config], cwd=folder)
    if common.stored(folder / "s.db") != SPREAD_EVENTS:
        raise SystemExit(f"{common.stored(folder / 's.db')} of {SPREAD_EVENTS} events stored")
    spent = (full.cpu_seconds - empty.cpu_seconds) / SPREAD_EVENTS * 1e6
    costs.add(size, "sources: ingest spread over all, CPU per event", spent, "µs")
    costs.add(size, "sources: peak memory of it", full.peak_bytes / MIB, "MB")
    check = cheapest(folder, ["check", "-c", config], 1)
    costs.add(size, "sources: `check`, CPU", check.cpu_seconds, "s")
