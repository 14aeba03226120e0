"""Forwarding to a real ClickHouse beside the agent: what an event costs, what ingest pays for it, and catching up.

    python -m benchmarks.forwarding [--events 1000000] [--repeat 3]

CPU is that of the process which forwards, from the store to the acknowledged bytes: reading, encoding, compressing,
sending, and noting in the store what is sent. The server's own is not in it. The server is that of `make test-parts`.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import common, generate
from benchmarks.common import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

DATABASE = "bench"
OUTAGE_EVENTS = 7_200_000  # an hour at 2,000 a second
_PATIENCE_S = 120.0


def child() -> None:
    """Forward all that a store has, in a process of its own; prints what that took."""
    store, url = Path(sys.argv[1]), sys.argv[2]
    from agent.config import ForwardConfig
    from agent.core.process import keep_freed_memory
    from agent.forward.worker import TargetWorker

    worker = TargetWorker(ForwardConfig(name="central", clickhouse=[url], database=DATABASE), store, 0.0, once=True)
    keep_freed_memory()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    cpu, wall = time.process_time(), time.perf_counter()
    worker.run()
    print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}))


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """A current ClickHouse without data; its address."""
    from tests.fleet.servers import Modern

    with Modern(folder / "clickhouse") as running:
        yield running.url


def configure(folder: Path, log: Path, url: str | None) -> Path:
    """The configuration of an agent on a log, forwarding to an address or not at all."""
    document: dict[str, object] = {
        "store": {"path": str(folder / "store" / "sidelog.db")},
        "sources": [{"name": "app", "include": [str(log)]}],
    }
    if url is not None:
        document["forward"] = [{"name": "central", "clickhouse": url, "database": DATABASE}]
    path = folder / "sidelog.json"
    path.write_text(json.dumps(document))
    return path


def schema(url: str, folder: Path) -> None:
    """Make the tables, empty."""
    from agent.clickhouse.address import ClickHouseAddress
    from agent.clickhouse.client import ClickHouseClient

    ClickHouseClient(ClickHouseAddress((url,))).execute(f"DROP DATABASE IF EXISTS {DATABASE}")
    target = f"{url}?database={DATABASE}"
    common.run([common.sidelog(), "forward", "schema", "--target", target], cwd=folder)


def arrived(url: str) -> int:
    """How many events the server has."""
    from agent.clickhouse.address import ClickHouseAddress
    from agent.clickhouse.client import ClickHouseClient

    return int(ClickHouseClient(ClickHouseAddress((url,))).execute(f"SELECT count() FROM {DATABASE}.events FINAL"))


def taken_in(folder: Path, log: Path, url: str | None, events: int) -> float:
    """CPU of the agent's own process while it takes a log in and, with an address, all of it is forwarded."""
    config = configure(folder, log, url)
    store = folder / "store" / "sidelog.db"
    with common.agent(folder, "-c", str(config)) as process:
        common.wait_until(lambda: common.stored(store) == events, f"{events:,} events", _PATIENCE_S)
        if url is not None:
            common.wait_until(lambda: arrived(url) == events, f"{events:,} events at the server", _PATIENCE_S)
        cpu = common.cpu_seconds(process.pid)
    for file in store.parent.iterdir():
        file.unlink()
    return cpu


def forwarded(folder: Path, url: str, events: int) -> dict[str, float]:
    """Forward a store from its beginning, in a process of its own."""
    from agent.store import forwarding
    from agent.store.edit import editing

    store = folder / "store" / "sidelog.db"
    schema(url, folder)
    with editing(store) as connection:
        forwarding.save_targets(connection, [forwarding.TargetSettings("central", "clickhouse", url)], time.time_ns())
        connection.execute("UPDATE forward_targets SET position = 0, forwarded = 0")
    found = common.run_module("forwarding", store, url, cwd=folder)
    if arrived(url) != events:
        sys.exit(f"{arrived(url):,} events at the server, {events:,} in the store")
    return found


def measure(options: argparse.Namespace) -> list[Row]:
    """The rows of forwarding."""
    with common.scratch() as folder, server(folder) as url:
        log = folder / "logs" / "app.log"
        log.parent.mkdir()
        size = generate.write(log, options.events)
        alone, beside = [], []
        for _ in range(options.repeat):
            alone.append(taken_in(folder, log, None, options.events))
            schema(url, folder)
            beside.append(taken_in(folder, log, url, options.events))
        common.run([common.sidelog(), "run", "--once", "-c", configure(folder, log, None)], cwd=folder)
        runs = [forwarded(folder, url, options.events) for _ in range(options.repeat)]
    cpu = common.median([run["cpu"] for run in runs]) / options.events
    wall = common.median([run["wall"] for run in runs]) / options.events
    more = common.median(beside) / common.median(alone) - 1
    return [
        Row(f"forwarding, CPU per event ({size / options.events:.0f} bytes a line)", cpu * 1e6, "µs", 3.0),
        Row("forwarding, rate per core", 1 / cpu, "events/s", 200_000, at_least=True, beside="of its own CPU time"),
        Row("forwarding, rate", 1 / wall, "events/s", beside="the server on the same cores, what it acknowledges"),
        Row(
            "ingest while forwarding, more CPU of the agent",
            100 * more,
            "%",
            5.0,
            beside=f"{common.median(alone) / options.events * 1e6:.2f} µs an event without",
        ),
        Row(
            "outage of an hour at 2,000 events/s, caught up in",
            OUTAGE_EVENTS * wall,
            "s",
            60.0,
            beside=f"7.2 M events at the rate of {options.events:,}",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forwarding", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    common.report(measure, parser)


if __name__ == "__main__":
    main()
