"""From the start of the agent to the first new event in the store, with 1,000 files that it already knows.

    python -m benchmarks.restart [--repeat 3]

While the agent is down a single line is written, to a file of which it cannot tell before it has looked at them all;
then, for comparison, one line to each file.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from benchmarks import common, generate
from benchmarks.common import Row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FILES = 1_000
GOAL_SECONDS = 2


def restart(folder: Path, store: Path, written: Sequence[Path]) -> float:
    """Seconds from starting the agent until the lines that were written to these files meanwhile are stored."""
    before = common.stored(store)
    line = next(generate.blocks(1))
    for path in written:
        with path.open("ab") as file:
            file.write(line)
    began = time.perf_counter()
    with common.agent(folder, f"{folder}/logs/*.log", "--store", str(store)):
        common.wait_until(lambda: common.stored(store) == before + len(written), "what was written meanwhile")
        return time.perf_counter() - began


def measure(options: argparse.Namespace) -> list[Row]:
    """The median of several restarts."""
    with common.scratch() as folder:
        store = folder / "sidelog.db"
        (folder / "logs").mkdir()
        files = [folder / "logs" / f"app-{index}.log" for index in range(FILES)]
        line = next(generate.blocks(1))
        for path in files:
            path.write_bytes(line)
        common.run([common.sidelog(), "run", "--once", f"{folder}/logs/*.log", "--store", str(store)], cwd=folder)
        if common.stored(store) != FILES:
            raise SystemExit(f"{common.stored(store)} of {FILES} events stored")
        first = common.median([restart(folder, store, files[-1:]) for _ in range(options.repeat)])
        whole = common.median([restart(folder, store, files) for _ in range(options.repeat)])
    name = f"restart with {FILES:,} known files, until the first event is stored"
    return [Row(name, first, "s", GOAL_SECONDS, beside=f"a line of each of them: {whole:.2f} s")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    common.report(measure, parser)


if __name__ == "__main__":
    main()
