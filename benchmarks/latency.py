"""From the write of a line to its being visible to another process that reads the store with plain SQLite.

    python -m benchmarks.latency [--trials 30] [--seconds 10]

Once for a lone line on a file that was idle for 1.5 to 3 s, once at a steady 1,000 lines a second; and for the first
line of a new file: behind a link whose target is rotated, and in a directory that is new under a pattern.
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
NEW_FILE_GOAL_MS = 500
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


def first(path: Path, watcher: Watcher) -> None:
    """Write the first line of a new file and wait for it."""
    seen = len(watcher.delays_ms)
    path.write_bytes(line(seen))
    common.wait_until(lambda: len(watcher.delays_ms) > seen, "the first line of a new file", 20)
    time.sleep(0.5)


def targets(folder: Path, watcher: Watcher, trials: int) -> list[float]:
    """The target of a link is renamed and made anew."""
    before, target = len(watcher.delays_ms), folder / "real" / "0.log"
    for number in range(trials):
        target.rename(target.with_name(f"0.log.{number + 1}"))
        first(target, watcher)
    return watcher.delays_ms[before:]


def directories(folder: Path, watcher: Watcher, trials: int) -> list[float]:
    """Two new directories, one in the other, with a log in them."""
    before = len(watcher.delays_ms)
    for number in range(trials):
        log = folder / "releases" / str(number) / "log" / "app.log"
        log.parent.mkdir(parents=True)
        first(log, watcher)
    return watcher.delays_ms[before:]


def row(name: str, delays: list[float], goal_ms: float = GOAL_MS) -> Row:
    """p95 as the figure, p50 and p99 beside it."""
    p50, p95, p99 = (common.percentile(delays, share) for share in (0.5, 0.95, 0.99))
    return Row(name, p95, "ms (p95)", goal_ms, beside=f"p50 {p50:.1f}, p99 {p99:.1f} ms, {len(delays):,} lines")


def measure(options: argparse.Namespace) -> list[Row]:
    """All kinds of load on one agent."""
    with common.scratch() as folder:
        log, store = folder / "logs" / "app.log", folder / "sidelog.db"
        log.parent.mkdir()
        log.write_bytes(line(-1))
        (folder / "releases").mkdir()
        (folder / "real").mkdir()
        (folder / "real" / "0.log").write_bytes(line(-1))
        link = folder / "link.log"
        link.symlink_to("real/0.log")
        patterns = [str(log), str(link), f"{folder}/releases/*/log/*.log"]
        with common.agent(folder, *patterns, "--store", str(store)):
            common.wait_until(lambda: common.stored(store) == 2, "the first events")
            watcher = Watcher(store)
            watcher.start()
            time.sleep(0.5)
            alone = lone(log, watcher, options.trials)
            stream = steady(log, watcher, options.seconds)
            rotated, created = (make(folder, watcher, options.trials) for make in (targets, directories))
            watcher.ended.set()
            watcher.join()
    return [
        row("append to queryable, a lone line on an idle file", alone),
        row("append to queryable, at 1,000 lines/s", stream),
        row("the same, the first line behind a link whose target was rotated", rotated, NEW_FILE_GOAL_MS),
        row("the same, the first line in a new directory under a pattern", created, NEW_FILE_GOAL_MS),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=10)
    common.report(measure, parser)


if __name__ == "__main__":
    main()
