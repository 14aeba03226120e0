"""An agent that has nothing to do: CPU and memory with 10 and with 1,000 files that nobody writes to.

python -m benchmarks.idle [--seconds 30]
"""

from __future__ import annotations

import argparse
import contextlib
import time

from benchmarks import common, generate
from benchmarks.common import MIB, Row

SETTLE_SECONDS = 5  # polling backs off to its slowest within 2 s
GOALS = {10: 0.3, 1_000: 1.0}  # % of a core


def measure(options: argparse.Namespace) -> list[Row]:
    """Both agents are watched over the same seconds."""
    with common.scratch() as folder, contextlib.ExitStack() as stack:
        agents = {}
        for files in GOALS:
            place = folder / str(files)
            (place / "logs").mkdir(parents=True)
            line = next(generate.blocks(1))
            for index in range(files):
                (place / "logs" / f"app-{index}.log").write_bytes(line)
            store = place / "sidelog.db"
            agents[files] = stack.enter_context(common.agent(place, f"{place}/logs/*.log", "--store", str(store)))
            common.wait_until(lambda store=store, files=files: common.stored(store) == files, f"{files} events")
        time.sleep(SETTLE_SECONDS)
        before = {files: common.cpu_seconds(process.pid) for files, process in agents.items()}
        began = time.monotonic()
        time.sleep(options.seconds)
        spent = time.monotonic() - began
        rows = []
        for files, goal in GOALS.items():
            share = (common.cpu_seconds(agents[files].pid) - before[files]) / spent * 100
            rows.append(
                Row(f"at rest, CPU with {files:,} files", share, "% of a core", goal, beside=f"over {spent:.0f} s")
            )
        resident = common.resident_bytes(agents[10].pid) / MIB
        many = common.resident_bytes(agents[1_000].pid) / MIB
        rows.append(Row("at rest, memory", resident, "MB", 45, beside=f"{many:.0f} MB with 1,000 files"))
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    common.report(measure, parser)


if __name__ == "__main__":
    main()
