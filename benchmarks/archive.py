"""Archiving and searching archives, beside zstd, zstdgrep and ripgrep on the same data.

    python -m benchmarks.archive [--events 3000000] [--repeat 3] [--fresh]

The logs are generated once and archived by `sidelog archive run`, in files of 1 M lines of some 300 bytes, and kept in
a folder of the temporary directory. Times are those of whole commands; the files lie in the page cache.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from benchmarks import common, generate
from benchmarks.common import Row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EVENTS_PER_FILE = 1_000_000
GOAL_ARCHIVE_MB_S = 70
GOAL_SIZE_PERCENT = 3
GOAL_SCAN_GB_S = 1.5
GOAL_ID_MS = 500
GOAL_RANGE_MS = 200
GOAL_MEMORY_MB = 100
MB = 1_000_000


def build(events: int, *, fresh: bool) -> tuple[Path, common.Usage | None]:
    """A folder with `events` lines as rotated logs and as archives; what archiving cost, if it was done now."""
    folder = common.cache() / f"archive-{events}"
    if not fresh and (folder / "done").exists():
        return folder, None
    shutil.rmtree(folder, ignore_errors=True)
    logs = folder / "logs"
    logs.mkdir(parents=True)
    (logs / "app.log").touch()
    start = generate.DEFAULT_START_NS
    for number, first in enumerate(range(0, events, EVENTS_PER_FILE)):
        count = min(EVENTS_PER_FILE, events - first)
        generate.write(logs / f"app.log.{number + 1}", count, seed=number + 1, start_ns=start + first * 1_000_000)
    document = {
        "store": {"path": str(folder / "s.db"), "min_free": "1MiB"},
        "sources": [{"name": "app", "include": [str(logs / "*.log")]}],
        "archive": {"quiet": "0s", "delete_source": False},
    }
    (folder / "c.json").write_text(json.dumps(document))
    usage = common.run([common.sidelog(), "archive", "run", "-q", "-c", folder / "c.json"], cwd=folder)
    (folder / "done").touch()
    return folder, usage


def measure(options: argparse.Namespace) -> list[Row]:
    events = options.events
    folder, made = build(events, fresh=options.fresh)
    logs = sorted((folder / "logs").glob("app.log.*"))
    archives = sorted((folder / "archive" / "app").glob("*.zst"))
    raw = sum(path.stat().st_size for path in logs)
    packed = sum(path.stat().st_size for path in archives)
    rows = []
    if made is not None:
        rate = raw / MB / made.cpu_seconds
        rows.append(Row("archiving, verified and indexed, per core", rate, "MB/s", GOAL_ARCHIVE_MB_S, at_least=True))
        rows.append(Row("memory of archiving", made.peak_bytes / MB, "MB"))
    plain = sum(_plain_bytes(path) for path in logs)
    beside = f"{raw / packed:.2f} : 1; plain `zstd -3` {raw / plain:.2f} : 1"
    rows.append(Row("size over plain `zstd -3`", (packed / plain - 1) * 100, "%", GOAL_SIZE_PERCENT, beside=beside))
    with closing(sqlite3.connect(folder / "s.db")) as connection:
        filters = connection.execute("SELECT sum(length(blocks)) FROM archive_filters").fetchone()[0]
    rows.append(Row("filters of tokens", filters / events, "bytes per event", 4))
    return rows + _searches(folder, logs, archives, raw, options)


def _searches(
    folder: Path, logs: Sequence[Path], archives: Sequence[Path], raw: int, options: argparse.Namespace
) -> list[Row]:
    with logs[len(logs) // 2].open("rb") as log:
        log.seek(logs[len(logs) // 2].stat().st_size // 2)
        log.readline()
        line = json.loads(log.readline())
    trace, request = line["trace_id"], line["request_id"]
    start = generate.DEFAULT_START_NS + options.events // 2 * 1_000_000
    span = ["-S", f"@{start // 10**9}", "-U", f"@{start // 10**9 + 3600}"]
    needle = "Zno such text anywhere"
    scan = _timed(folder, ["--count", needle], options.repeat)
    grep = _other(["zstdgrep", "-cF", needle, *archives], folder, options.repeat)
    ripgrep = _other(["rg", "-cF", needle, *logs], folder, options.repeat)
    found = _timed(folder, [trace, "-o", "raw"], options.repeat)
    assert trace.encode() in found.output
    grep_id = _other(["zstdgrep", "-hF", trace, *archives], folder, options.repeat)
    by_field = _timed(folder, [f"request_id={request}", "-o", "raw"], options.repeat)
    assert request.encode() in by_field.output
    screen = _timed(folder, [*span, "-n", "40"], options.repeat)
    counted = _timed(folder, ["--by", "severity"], options.repeat)
    return [
        Row("substring in all of it", raw / 1e9 / scan.wall_seconds, "GB/s of log", GOAL_SCAN_GB_S, at_least=True,
            beside=f"zstdgrep {raw / 1e9 / grep:.2f}, ripgrep on the raw logs {raw / 1e9 / ripgrep:.2f}"),
        Row(f"one trace id in {raw / 1e9:.1f} GB", found.wall_seconds * 1000, "ms", GOAL_ID_MS,
            beside=f"zstdgrep {grep_id * 1000:,.0f} ms"),
        Row("one request id, by its field", by_field.wall_seconds * 1000, "ms", GOAL_ID_MS),
        Row("an hour, first screen", screen.wall_seconds * 1000, "ms", GOAL_RANGE_MS),
        Row("counts by severity", counted.wall_seconds * 1000, "ms"),
        Row("memory of a search, one process", max(scan.peak_bytes, found.peak_bytes) / MB, "MB", GOAL_MEMORY_MB),
    ]  # fmt: skip


def _timed(folder: Path, arguments: Sequence[str], repeat: int) -> common.Usage:
    """The run of median duration of `sidelog query`."""
    command = [common.sidelog(), "query", "-c", str(folder / "c.json"), *arguments]
    return sorted((common.run(command, cwd=folder) for _ in range(repeat)), key=lambda usage: usage.wall_seconds)[
        repeat // 2
    ]


def _other(command: Sequence[str | Path], folder: Path, repeat: int) -> float:
    """Seconds of another program; 0 where it is not installed."""
    if shutil.which(str(command[0])) is None:
        return float("nan")
    return common.median([common.run(command, cwd=folder, check=False).wall_seconds for _ in range(repeat)])


def _plain_bytes(path: Path) -> int:
    """What `zstd -3` makes of a file."""
    done = subprocess.run(["zstd", "-3", "-c", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return len(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.archive", description=__doc__)
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--fresh", action="store_true")
    common.report(measure, parser)


if __name__ == "__main__":
    sys.exit(main())
