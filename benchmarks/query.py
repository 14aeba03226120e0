"""Questions on stores of 1 M and 10 M events: what the whole command costs, and what the question alone takes.

    python -m benchmarks.query [--sizes 1000000,10000000] [--repeat 9]

The stores are built once by `sidelog run --once` and kept in a folder of the temporary directory (10 M events: about
two minutes, 5 GB); `--fresh` builds them again. "Whole command" is a new process each time; the other figures are the
same command called again and again in one process, so that the interpreter's start is not in them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import common
from benchmarks.common import Row

EVENTS_PER_FILE = 1_000_000
HOUR_NS = 3_600_000_000_000
GOAL_COMMAND_CPU_MS = 250
GOAL_QUESTION_MS = 50
ROOT = Path(__file__).resolve().parents[1]


def build(events: int, *, fresh: bool) -> Path:
    """The store of `events` events; ingested in files of a million lines, the next being written meanwhile."""
    folder = common.cache() / f"query-{events}"
    store = folder / "sidelog.db"
    if not fresh and store.exists() and common.stored(store) == events:
        return store
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "logs").mkdir(parents=True)
    start = time.time_ns() - events * 1_000_000  # 1 ms apart: the newest event is about now
    left, seed, pending = events, 0, None
    while left or pending:
        ready, pending = pending, None
        if left:
            count = min(left, EVENTS_PER_FILE)
            pending = _generate(folder / "logs" / f"app-{seed}.log", count, seed, start)
            left, seed, start = left - count, seed + 1, start + count * 1_000_000
        if ready:
            log, process = ready
            if process.wait():
                sys.exit("the generator failed")
            limits = ["--set", "store.retention.size=1TiB", "--set", "store.retention.age=3650d"]
            common.run([common.sidelog(), "run", "--once", log, "--store", store, *limits], cwd=folder)
            log.unlink()
    if common.stored(store) != events:
        sys.exit(f"{common.stored(store):,} events in the store instead of {events:,}")
    return store


def _generate(path: Path, count: int, seed: int, start: int) -> tuple[Path, subprocess.Popen[bytes]]:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
        "from pathlib import Path; from benchmarks.generate import write; "
        f"write(Path({str(path)!r}), {count}, seed={seed}, start_ns={start})"
    )
    return path, subprocess.Popen([sys.executable, "-c", code])


def questions(store: Path) -> dict[str, list[str]]:
    """Command lines by name; the last hour is that of the newest event."""
    with contextlib.closing(common.reader(store)) as connection:
        newest = connection.execute("SELECT max(timestamp) FROM events").fetchone()[0]
        needle = json.loads(connection.execute("SELECT record FROM events ORDER BY id LIMIT 1").fetchone()[0])[
            "trace_id"
        ]
    hour = f"@{(newest - HOUR_NS) // 10**9}"
    return {
        "newest 100 errors": ["query", "-p", "error", "-n", "100"],
        "last hour by severity and logger": ["query", "-S", hour, "--by", "severity,logger"],
        "one trace id in everything (substring scan)": ["query", "-n", "100", needle],
    }


def child() -> None:
    """Call one command again and again in this process: STORE REPEAT ARGUMENT…; prints JSON."""
    store, repeat, *arguments = sys.argv[1:]
    from agent.cli.main import run_command_line

    times = []
    for _ in range(int(repeat) + 1):
        output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        began = time.perf_counter()
        with contextlib.redirect_stdout(output):
            code = run_command_line([*arguments, "--store", store])
        times.append((time.perf_counter() - began) * 1e3)
        written = output.buffer.tell()
        if code or not written:
            sys.exit(f"{arguments} ended with {code} and {written} bytes")
    times = times[1:]  # the first one imports
    print(json.dumps({"p50": common.median(times), "p95": common.percentile(times, 0.95)}))


def whole(store: Path, arguments: list[str], repeat: int) -> tuple[float, float]:
    """Median CPU and wall milliseconds of the whole command."""
    runs = [common.run([common.sidelog(), *arguments, "--store", store], cwd=store.parent) for _ in range(repeat)]
    return tuple(common.median([getattr(run, key) for run in runs]) * 1e3 for key in ("cpu_seconds", "wall_seconds"))  # type: ignore[return-value]


def measure(options: argparse.Namespace) -> list[Row]:
    """The rows of every size."""
    rows = []
    sizes = [int(size) for size in options.sizes.split(",")]
    for size in sizes:
        store = build(size, fresh=options.fresh)
        asked = questions(store)
        largest = size == max(sizes)
        cpu, wall = whole(store, asked["newest 100 errors"], options.repeat)
        name = f"`sidelog query -p error -n 100`, whole command, {size:,} events"
        rows.append(Row(name, cpu, "ms CPU", GOAL_COMMAND_CPU_MS if largest else None, beside=f"{wall:.0f} ms wall"))
        for question, arguments in asked.items():
            scan = "scan" in question
            repeat = 1 if scan else 40
            took = common.run_module("query", store, str(repeat), *arguments, cwd=store.parent)
            goal = GOAL_QUESTION_MS if largest and not scan else None
            rows.append(
                Row(f"{question}, {size:,} events", took["p95"], "ms (p95)", goal, beside=f"p50 {took['p50']:.1f} ms")
            )
    usage = [common.run([common.sidelog(), "--help"], cwd=ROOT) for _ in range(options.repeat)]
    rows.append(Row("`sidelog --help`", common.median([run.cpu_seconds for run in usage]) * 1e3, "ms CPU", 150))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000000,10000000")
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--fresh", action="store_true")
    common.report(measure, parser)


if __name__ == "__main__":
    main()
