"""Questions to a real ClickHouse with 10 M events, and how large an event is there.

    python -m benchmarks.fleet [--events 1000000] [--repeat 5]

So many lines are taken in and forwarded by `sidelog run --once`; the server copies them nine times, each copy earlier
than the one before. "Whole command" is a new process each time. It takes the library that `make test-parts` brings, or
the one that $SIDELOG_LIBCHDB names.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import common
from benchmarks.common import Row
from benchmarks.generate import write

if TYPE_CHECKING:
    from tests.fleet.servers import Modern

COPIES = 10
GOAL_HOUR_MS, GOAL_RARE_MS, GOAL_COMMAND_MS, GOAL_BYTES = 100, 300, 400, 60
RARE = "zyzzogeton"
_DATABASE = "bench_logs"
_HOUR_NS = 3_600 * 10**9
ROOT = Path(__file__).resolve().parents[1]


def measure(options: argparse.Namespace) -> list[Row]:
    """The rows."""
    sys.path.insert(0, str(ROOT))
    from tests.fleet.servers import Modern

    with tempfile.TemporaryDirectory(dir=common.cache()) as place:
        folder = Path(place)
        (folder / "server").mkdir()
        with Modern(folder / "server") as server:
            _forward(folder, server.url, options.events)
            _multiply(server)
            return [*_sizes(server), *_times(server, folder, options.repeat)]


def _forward(folder: Path, url: str, events: int) -> None:
    """Lines, the newest from about now, in a store and from there in ClickHouse."""
    start = time.time_ns() - events * 1_000_000
    write(folder / "app.log", events, start_ns=start)
    with (folder / "app.log").open("a") as log:
        log.write(json.dumps({"timestamp": start, "level": "info", "message": f"a {RARE} was seen"}) + "\n")
    (folder / "sidelog.yaml").write_text(
        f"store: {{path: {folder}/s.db, retention: {{age: null, size: null}}}}\n"
        f"sources: [{{name: app, include: [{folder}/app.log]}}]\n"
        f"forward: [{{name: central, clickhouse: '{url}', database: {_DATABASE}}}]\n"
    )
    for words in (["forward", "schema"], ["run", "--once"]):
        common.run([common.sidelog(), *words, "-c", folder / "sidelog.yaml"], cwd=folder)


def _multiply(server: Modern) -> None:
    """So many copies of all events, the same again but for number and time."""
    table = f"{_DATABASE}.events"
    ((count, top, first, last),) = server.rows(
        f"SELECT count(), max(seq), min(timestamp), max(timestamp) FROM {table} FINAL"
    )
    names = [
        name
        for (name,) in server.rows(
            f"SELECT name FROM system.columns WHERE database = '{_DATABASE}' AND table = 'events'"
            " AND default_kind = '' ORDER BY position"
        )
    ]
    columns = ", ".join(f"`{name}`" for name in names)
    for copy in range(1, COPIES):
        shifted = {"seq": f"seq + {copy * top}", "timestamp": f"timestamp - {copy * (last - first + 1)}"}
        selected = ", ".join(shifted.get(name, f"`{name}`") for name in names)
        server.ask(
            f"INSERT INTO {table} ({columns}) SELECT {selected} FROM {table} FINAL WHERE seq <= {top}",
            max_execution_time=0,
            timeout_s=600.0,
        )
    ((there,),) = server.rows(f"SELECT count() FROM {table} FINAL")
    if there != COPIES * count:
        sys.exit(f"{there:,} events in ClickHouse instead of {COPIES * count:,}")


def _sizes(server: Modern) -> list[Row]:
    ((events, size),) = server.rows(
        "SELECT sum(rows), sum(bytes_on_disk) FROM system.parts"
        f" WHERE database = '{_DATABASE}' AND table = 'events' AND active"
    )
    return [Row(f"{events / 1e6:.0f} M events in ClickHouse: on disk", size / events, "bytes/event", GOAL_BYTES)]


def _times(server: Modern, folder: Path, repeat: int) -> list[Row]:
    ((newest,),) = server.rows(f"SELECT max(timestamp) FROM {_DATABASE}.events")
    hour = f"@{(newest - _HOUR_NS) // 10**9}"
    asked = {
        "errors by logger in the last hour": (["-p", "error", "-S", hour, "--by", "logger"], GOAL_HOUR_MS),
        "newest 100 with a rare word": ([RARE], GOAL_RARE_MS),
        "newest 100 errors": (["-p", "error"], None),
        "newest 100": ([], None),
        "everything by severity and service": (["--by", "severity,service"], None),
    }
    place = ["--engine", f"{server.url}?database={_DATABASE}"]
    rows = []
    for name, (words, goal) in asked.items():
        command = ["query", *words, *place]
        alone = common.run_module("fleet", json.dumps(command), str(repeat), cwd=folder)
        runs = [common.run([common.sidelog(), *command], cwd=folder) for _ in range(repeat)]
        rows.append(Row(f"ClickHouse: {name}", alone["p50"], "ms", goal))
        whole = common.median([run.wall_seconds for run in runs]) * 1e3
        rows.append(Row(f"ClickHouse: {name}, whole command", whole, "ms", GOAL_COMMAND_MS))
    return rows


def child() -> None:
    """Call one command again and again in this process: COMMAND REPEAT; prints JSON."""
    command, repeat = json.loads(sys.argv[1]), int(sys.argv[2])
    from agent.cli.main import run_command_line

    times = []
    for _ in range(repeat + 1):
        output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        began = time.perf_counter()
        with contextlib.redirect_stdout(output):
            code = run_command_line(command)
        times.append((time.perf_counter() - began) * 1e3)
        if code:
            sys.exit(f"{command} ended with {code}")
    print(json.dumps({"p50": common.median(times[1:])}))  # the first one imports


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    print(common.HEADER)
    print(*(row.markdown() for row in measure(parser.parse_args())), sep="\n")
