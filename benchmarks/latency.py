"""From the write of a line to its being visible to another process that reads the store with plain SQLite.

    python -m benchmarks.latency [--trials 30] [--seconds 10]

Once for a lone line on a file that was idle for 1.5 to 3 s, once at a steady 1,000 lines a second. Then the first line
of the file that takes a rotated one's place, where the log lies under its path and where its path is a link.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from benchmarks import common
from benchmarks.common import Row

GOAL_MS = 100
LINK_GOAL_MS = 500
POLL_SECONDS = 0.001
LINES_PER_SECOND = 1_000


def line(number: int) -> bytes:
    """A line that carries its number and the instant it was written at."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    fields = {
        "timestamp": stamp,
        "level": "info",
        "logger": "bench",
        "event": f"line {number}",
        "written": time.time_ns(),
    }
    return json.dumps(fields | {"n": number, "padding": "x" * 160}).encode() + b"\n"


class Watcher(threading.Thread):
    """Reads new events as they become visible and notes how long each took."""

    def __init__(self, store: Path) -> None:
        super().__init__(daemon=True)
        self.store = store
        self.delays_ms: list[float] = []
        self.ended = threading.Event()

    def run(self) -> None:
        """Poll until told to end."""
        with contextlib.closing(common.reader(self.store)) as connection:
            last = connection.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0]
            while not self.ended.is_set():
                rows = connection.execute("SELECT id, record FROM events WHERE id > ? ORDER BY id", (last,)).fetchall()
                now = time.time_ns()
                self.delays_ms.extend((now - json.loads(record)["written"]) / 1e6 for _, record in rows)
                last = rows[-1][0] if rows else last
                time.sleep(POLL_SECONDS)


def lone(log: Path, watcher: Watcher, trials: int) -> list[float]:
    """One line at a time on an idle file."""
    source = random.Random(3)
    for number in range(trials):
        time.sleep(1.5 + source.random() * 1.5)
        seen = len(watcher.delays_ms)
        with log.open("ab") as file:
            file.write(line(number))
        common.wait_until(lambda seen=seen: len(watcher.delays_ms) > seen, "the line to become visible", 20)
    return watcher.delays_ms[:]


def child() -> None:
    """Append at a steady rate in a process of its own: FILE SECONDS."""
    path, seconds = sys.argv[1:]
    with Path(path).open("ab", buffering=0) as file:
        began = time.monotonic()
        for number in range(int(float(seconds) * LINES_PER_SECOND)):
            while time.monotonic() < began + number / LINES_PER_SECOND:
                time.sleep(0.0005)
            file.write(line(number))
    print("{}")


def steady(log: Path, watcher: Watcher, seconds: float) -> list[float]:
    """A steady stream; the writer is a process of its own."""
    before = len(watcher.delays_ms)
    root = Path(__file__).resolve().parents[1]
    code = f"import sys; sys.path.insert(0, {str(root)!r}); from benchmarks.latency import child; child()"
    subprocess.run([sys.executable, "-c", code, str(log), str(seconds)], check=True, stdout=subprocess.DEVNULL)
    expected = before + int(seconds * LINES_PER_SECOND)
    common.wait_until(lambda: len(watcher.delays_ms) >= expected, "the last line to become visible", 20)
    return watcher.delays_ms[before:]


def rotated(log: Path, watcher: Watcher, trials: int) -> list[float]:
    """Rename the log, which may lie where a link leads, and write the first line of the next one."""
    source = random.Random(4)
    before = len(watcher.delays_ms)
    for number in range(trials):
        time.sleep(0.5 + source.random())
        place = log.resolve()
        place.rename(place.with_name(f"{place.name}.{number + 1}"))
        place.write_bytes(line(number))
        wanted = before + number + 1
        common.wait_until(lambda wanted=wanted: len(watcher.delays_ms) >= wanted, "the line to become visible", 20)
    return watcher.delays_ms[before:]


def row(name: str, delays: list[float], goal_ms: float = GOAL_MS) -> Row:
    """p95 as the figure, p50 and p99 beside it."""
    p50, p95, p99 = (common.percentile(delays, share) for share in (0.5, 0.95, 0.99))
    return Row(name, p95, "ms (p95)", goal_ms, beside=f"p50 {p50:.1f}, p99 {p99:.1f} ms, {len(delays):,} lines")


def measure(options: argparse.Namespace) -> list[Row]:
    """All of it on one agent."""
    with common.scratch() as folder:
        log, store = folder / "logs" / "app.log", folder / "sidelog.db"
        linked, target = folder / "logs" / "linked.log", folder / "real" / "0.log"
        log.parent.mkdir()
        target.parent.mkdir()
        linked.symlink_to(target)
        log.write_bytes(line(-1))
        target.write_bytes(line(-2))
        with common.agent(folder, str(log), str(linked), "--store", str(store)):
            common.wait_until(lambda: common.stored(store) == 2, "the first events")
            watcher = Watcher(store)
            watcher.start()
            time.sleep(0.5)
            alone = lone(log, watcher, options.trials)
            stream = steady(log, watcher, options.seconds)
            direct = rotated(log, watcher, options.trials)
            behind = rotated(linked, watcher, options.trials)
            watcher.ended.set()
            watcher.join()
    return [
        row("append to queryable, a lone line on an idle file", alone),
        row("append to queryable, at 1,000 lines/s", stream),
        row("the first line after a rotation, to queryable", direct),
        row("the same behind a link, whose target is rotated", behind, LINK_GOAL_MS),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=10)
    common.report(measure, parser)


if __name__ == "__main__":
    main()
