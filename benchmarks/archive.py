"""Archiving and searching archives, beside zstd, zstdgrep, ripgrep and DuckDB on the same data.

    python -m benchmarks.archive [--events 10000000] [--jwt-events 2000000] [--repeat 3] [--fresh]

The logs are generated once and archived by `sidelog archive run`, in files of 1 M lines of some 320 bytes, and kept in
a folder of the temporary directory. Times are those of whole commands; the files lie in the page cache as far as there
is room. Peers that are not installed are left out; DUCKDB_PYTHON names a Python that has DuckDB.
"""

from __future__ import annotations

import argparse
import base64
import json
import math
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import common, generate
from benchmarks.common import Row

if TYPE_CHECKING:
    from collections.abc import Sequence

EVENTS_PER_FILE = 1_000_000
GOAL_ARCHIVE_MB_S = 70
GOAL_SIZE_PERCENT = 3
GOAL_SCAN_GB_S = 1.5
GOAL_ID_MS = 500
GOAL_RANGE_MS = 200
GOAL_MEMORY_MB = 100
GOAL_SLOWER_PERCENT = 10
MB = 1_000_000
LONG_S = 10.0  # what takes longer is run once
SMALL_ARCHIVES, SMALL_LINES = 212, 2_000
BESIDE_LINES = 600_000  # that an agent takes in while it archives
WHOLE_LINES = (
    "read_csv({files}, columns={{'line': 'VARCHAR'}}, delim='\\x01', quote='', escape='', header=false,"
    " auto_detect=false, max_line_size=4000000)"
)


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
    return folder, _archive(folder)


def _archive(folder: Path, *, delete_source: bool = False) -> common.Usage:
    """Archive the logs in a folder."""
    document = {
        "store": {"path": str(folder / "s.db"), "min_free": "1MiB"},
        "sources": [{"name": "app", "include": [str(folder / "logs" / "*.log")]}],
        "archive": {"quiet": "0s", "delete_source": delete_source},
    }
    (folder / "c.json").write_text(json.dumps(document))
    usage = common.run([common.sidelog(), "archive", "run", "-q", "-c", folder / "c.json"], cwd=folder)
    (folder / "done").touch()
    return usage


def measure(options: argparse.Namespace) -> list[Row]:
    folder, made = build(options.events, fresh=options.fresh)
    logs = sorted((folder / "logs").glob("app.log.*"))
    archives = sorted((folder / "archive" / "app").glob("*.zst"))
    raw = sum(path.stat().st_size for path in logs)
    packed = sum(path.stat().st_size for path in archives)
    rows = []
    if made is not None:
        rate = raw / MB / made.cpu_seconds
        rows.append(Row("archiving, verified and indexed, per core", rate, "MB/s", GOAL_ARCHIVE_MB_S, at_least=True))
        rows.append(Row("memory of archiving", made.peak_bytes / MB, "MB"))
    plain, floor_s = _plain(logs[0])
    first = next(path for path in archives if path.name.endswith("-1.log.zst")).stat().st_size
    whole = logs[0].stat().st_size
    beside = f"{raw / packed:.2f} : 1; `zstd -3` and `zstd -t` alone: {whole / MB / floor_s:.0f} MB/s"
    rows.append(Row("size over plain `zstd -3`", (first / plain - 1) * 100, "%", GOAL_SIZE_PERCENT, beside=beside))
    with closing(sqlite3.connect(folder / "s.db")) as connection:
        filters = connection.execute("SELECT sum(length(blocks)) FROM archive_filters").fetchone()[0]
    rows.append(Row("filters of tokens", filters / options.events, "bytes per event", 4))
    rows += _searches(folder, logs, archives, raw, options)
    return [*rows, _beside_tokens(options), _small(options), _beside(options.repeat)]


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
    gigabytes = raw / 1e9
    rows = []
    for name, needle in (("a substring", "Zno such text anywhere"), ("one in any case", "no such text anywhere")):
        scan = _timed(folder, ["--count", needle], options.repeat)
        flags = "-ciF" if needle.islower() else "-cF"
        grep = _other(["zstdgrep", flags, needle, *archives], folder, options.repeat)
        ripgrep = _other(["rg", flags, needle, *logs], folder, options.repeat)
        duck = _duckdb(folder, f"SELECT count(*) FROM {WHOLE_LINES} WHERE contains(line, '{needle}')")
        beside = _list(("zstdgrep", gigabytes / grep), ("ripgrep on the raw logs", gigabytes / ripgrep),
                       ("DuckDB", gigabytes / duck))  # fmt: skip
        rate = gigabytes / scan.wall_seconds
        rows.append(Row(f"{name} in all of it", rate, "GB/s of log", GOAL_SCAN_GB_S, at_least=True, beside=beside))
    found = _timed(folder, [trace, "-o", "raw"], options.repeat)
    assert trace.encode() in found.output
    grep = _other(["zstdgrep", "-hF", trace, *archives], folder, options.repeat)
    json_lines = "read_ndjson({files}, columns={{'trace_id': 'VARCHAR', 'timestamp': 'TIMESTAMP'}})"
    duck = _duckdb(folder, f"SELECT count(*) FROM {json_lines} WHERE trace_id = '{trace}'")
    rows.append(Row(f"one trace id in {gigabytes:.1f} GB", found.wall_seconds * 1000, "ms", GOAL_ID_MS,
                    beside=_list(("zstdgrep", grep * 1000), ("DuckDB", duck * 1000))))  # fmt: skip
    by_field = _timed(folder, [f"request_id={request}", "-o", "raw"], options.repeat)
    assert request.encode() in by_field.output
    rows.append(Row("one request id, by its field", by_field.wall_seconds * 1000, "ms", GOAL_ID_MS))
    screen = _timed(folder, [*span, "-n", "40"], options.repeat)
    between = f"make_timestamp({start // 1000}) AND make_timestamp({start // 1000 + 3_600_000_000})"
    order = "ORDER BY timestamp DESC LIMIT 40"
    duck = _duckdb(folder, f"SELECT timestamp FROM {json_lines} WHERE timestamp BETWEEN {between} {order}")
    rows.append(Row("an hour, first screen", screen.wall_seconds * 1000, "ms", GOAL_RANGE_MS,
                    beside=_list(("DuckDB", duck * 1000))))  # fmt: skip
    counted = _timed(folder, ["--by", "severity"], options.repeat)
    rows.append(Row("counts by severity", counted.wall_seconds * 1000, "ms"))
    memory = _memory(folder, ["--count", "Zno such text anywhere"]) / MB
    return [*rows, Row("memory of a search, all processes", memory, "MB", GOAL_MEMORY_MB)]


def _beside_tokens(options: argparse.Namespace) -> Row:
    """A bare trace id in lines of 860 bytes that hold a JWT each."""
    folder = common.cache() / f"archive-jwt-{options.jwt_events}"
    if options.fresh or not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "logs").mkdir(parents=True)
        (folder / "logs" / "app.log").touch()
        for number, first in enumerate(range(0, options.jwt_events, EVENTS_PER_FILE), start=1):
            count = min(EVENTS_PER_FILE, options.jwt_events - first)
            _write_with_tokens(folder / "logs" / f"app.log.{number}", count, number)
        _archive(folder, delete_source=True)
    with closing(sqlite3.connect(folder / "s.db")) as connection:
        raw = connection.execute("SELECT sum(raw_bytes) FROM archives").fetchone()[0]
    [trace] = random.Random(options.jwt_events).choices((folder / "traces").read_text().split())
    found = _timed(folder, [trace, "-o", "raw"], options.repeat)
    assert trace.encode() in found.output
    archives = sorted((folder / "archive" / "app").glob("*.zst"))
    grep = _other(["zstdgrep", "-hF", trace, *archives], folder, 1)
    name = f"one trace id in {raw / 1e9:.1f} GB of lines with a JWT each"
    return Row(name, found.wall_seconds * 1000, "ms", GOAL_ID_MS, beside=_list(("zstdgrep", grep * 1000)))


def _write_with_tokens(path: Path, count: int, seed: int) -> None:
    """A log, and a trace id of it in a file beside the logs."""
    choice = random.Random(seed)
    encode = base64.urlsafe_b64encode
    with path.open("wb") as out:
        for block in generate.blocks(count, seed=seed, start_ns=generate.DEFAULT_START_NS + seed * 10**12):
            for line in block.splitlines():
                token = b"%b.%b" % (encode(choice.randbytes(150)), encode(choice.randbytes(240)))
                out.write(line[:-1] + b',"authorization":"Bearer eyJhbGciOiJSUzI1NiJ9.' + token + b'"}\n')
    with (path.parent.parent / "traces").open("a") as traces:
        print(json.loads(line)["trace_id"], file=traces)


def _small(options: argparse.Namespace) -> Row:
    """A word that stands in a line of a hundred, in small archives of text."""
    folder = common.cache() / "archive-small"
    if options.fresh or not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "logs").mkdir(parents=True)
        (folder / "logs" / "app.log").touch()
        for number in range(SMALL_ARCHIVES):
            _write_text(folder / "logs" / f"app.log.{number + 1}", generate.DEFAULT_START_NS // 10**9 + number * 86_400)
        _archive(folder, delete_source=True)
    found = _timed(folder, ["--count", "needle"], options.repeat)
    assert int(found.output) == SMALL_ARCHIVES * SMALL_LINES // 100
    grep = _other(["zstdgrep", "-ciF", "needle", *sorted((folder / "archive" / "app").glob("*.zst"))], folder, 1)
    name = f"a word in {SMALL_ARCHIVES} archives of {SMALL_LINES:,} lines of text"
    return Row(name, found.wall_seconds * 1000, "ms", GOAL_ID_MS, beside=_list(("zstdgrep", grep * 1000)))


def _write_text(path: Path, start: int) -> None:
    with path.open("w") as out:
        for number in range(SMALL_LINES):
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(start + number * 40))
            word = "needle" if number % 100 == 0 else "straw"
            out.write(f"{when},{number % 1000:03d} INFO shop.cart: {word} number {start ^ number} was handled\n")


def _query(folder: Path, arguments: Sequence[str]) -> list[str]:
    return [common.sidelog(), "query", "-c", str(folder / "c.json"), *arguments]


def _timed(folder: Path, arguments: Sequence[str], repeat: int) -> common.Usage:
    """The run of median duration of `sidelog query`."""
    runs = [common.run(_query(folder, arguments), cwd=folder) for _ in range(repeat)]
    return sorted(runs, key=lambda usage: usage.wall_seconds)[repeat // 2]


def _other(command: Sequence[str | Path], folder: Path, repeat: int) -> float:
    """Seconds of another program; not a number where it is not installed."""
    if shutil.which(str(command[0])) is None:
        return math.nan
    found: list[float] = []
    while len(found) < repeat and (not found or found[0] < LONG_S):
        found.append(common.run(command, cwd=folder, check=False).wall_seconds)
    return common.median(found)


def _duckdb(folder: Path, statement: str) -> float:
    """Seconds of DuckDB on the archives as they are, with as many threads as there are cores."""
    python = os.environ.get("DUCKDB_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import duckdb"], check=False, capture_output=True).returncode:
        return math.nan
    sql = statement.format(files="'archive/app/*.zst'")
    return _other([python, "-c", f"import duckdb; duckdb.sql({sql!r}).fetchall()"], folder, 1)


def _list(*figures: tuple[str, float]) -> str:
    """Those that there are, in words."""
    return ", ".join(f"{name} {common.number(value)}" for name, value in figures if not math.isnan(value))


def _memory(folder: Path, arguments: Sequence[str]) -> int:
    """The most memory that a query and its processes had together, pages that they share counted once."""
    process = subprocess.Popen(
        _query(folder, arguments), cwd=folder, env=common.environment(folder), stdout=subprocess.DEVNULL
    )
    most = 0
    while process.poll() is None:
        most = max(most, sum(map(_proportional_bytes, [process.pid, *_children(process.pid)])))
        time.sleep(0.02)
    return most


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _proportional_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _beside(repeat: int) -> Row:
    """What taking lines in costs the agent while its worker archives, against the same without archiving."""
    with common.scratch() as folder:
        (folder / "logs").mkdir()
        generate.write(folder / "new.log", BESIDE_LINES)
        generate.write(folder / "old.log", BESIDE_LINES * 2, seed=2)
        alone, beside = (
            common.median([_taken_in(folder, archive=archive) for _ in range(repeat)]) for archive in (False, True)
        )
    figures = f"{alone / BESIDE_LINES * 1e6:.1f} and {beside / BESIDE_LINES * 1e6:.1f} µs per event"
    return Row("ingest while archiving", (beside / alone - 1) * 100, "% slower", GOAL_SLOWER_PERCENT, beside=figures)


def _taken_in(folder: Path, *, archive: bool) -> float:
    """CPU seconds of an agent, without its worker, until it has taken in a log; other logs are archived meanwhile."""
    here = folder / "run"
    logs = here / "logs"
    logs.mkdir(parents=True)
    for number in range(1, 4):
        shutil.copyfile(folder / "old.log", logs / f"app.log.{number}")
    (logs / "app.log").touch()
    document = {
        "store": {"path": str(here / "s.db"), "min_free": "1MiB"},
        "sources": [{"name": "app", "include": [str(logs / "*.log")]}],
        **({"archive": {"quiet": "0s"}} if archive else {}),
    }
    (here / "c.json").write_text(json.dumps(document))
    with common.agent(here, "-c", "c.json") as process:
        if archive:
            common.wait_until(lambda: any((here / "archive" / "app").glob(".*")), "archiving to begin")
        before = common.cpu_seconds(process.pid)
        (folder / "new.log").replace(logs / "app.log")
        common.wait_until(lambda: common.stored(here / "s.db") == BESIDE_LINES, "the events", 120)
        spent = common.cpu_seconds(process.pid) - before
        if archive and not any((here / "archive" / "app").glob(".*")):
            sys.exit("the archiving was over before the lines were taken in")
        (logs / "app.log").replace(folder / "new.log")
    shutil.rmtree(here)
    return spent


def _plain(path: Path) -> tuple[int, float]:
    """What `zstd -3` makes of a file: bytes, and the CPU seconds that making and testing it take."""
    with common.scratch() as folder:
        made = common.run(["zstd", "-q", "-3", "-T1", path, "-o", folder / "z.zst"], cwd=folder)
        tested = common.run(["zstd", "-q", "-t", folder / "z.zst"], cwd=folder)
        return (folder / "z.zst").stat().st_size, made.cpu_seconds + tested.cpu_seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.archive", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--jwt-events", type=int, default=2_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--fresh", action="store_true")
    common.report(measure, parser)


if __name__ == "__main__":
    sys.exit(main())
