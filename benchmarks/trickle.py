"""Logs in which little happens: bytes written and CPU of an agent that follows one file at 1 to 1,000 lines a second.

    python -m benchmarks.trickle [--seconds 60] [--trials 30]

Bytes are `write_bytes` of /proc/PID/io (whole pages that the process has dirtied, in the WAL and by checkpoints), CPU
is user and system time of all threads. Beside each figure stands SQLite's own least for the same rows in the same time:
one statement and one commit a line into a table with an index on time, in pages of 4 KiB. Fluent Bit tails the same
files into files where it is installed. Then bursts on a quiet file: from the write of the first line to its being seen
by another process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import common
from benchmarks.common import Row
from benchmarks.latency import Watcher

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORT_BYTES, USUAL_BYTES = 69, 348
WRITTEN = {1: 20, 10: 8}  # lines a second -> goal, kB a line
CPU = {1: 0.2, 10: 0.6, 100: 2.0, 1_000: 4.0}  # lines a second -> goal, % of a core
SETTLE_SECONDS = 8.0
BURST_LINES, BURST_PAUSE_SECONDS = 20, 0.02
BURST_GOAL_MS = 100


class Load(NamedTuple):
    """What is written into one file."""

    rate: int  # lines a second
    size: int  # bytes a line, its newline included

    @property
    def name(self) -> str:
        """As part of a path."""
        return f"{self.rate}-{self.size}"


LOADS = [*(Load(rate, SHORT_BYTES) for rate in WRITTEN), *(Load(rate, USUAL_BYTES) for rate in CPU)]


class Cost(NamedTuple):
    """What a process has used so far."""

    cpu_seconds: float
    written_bytes: int

    def __sub__(self, other: object) -> Cost:
        assert isinstance(other, Cost)
        return Cost(self.cpu_seconds - other.cpu_seconds, self.written_bytes - other.written_bytes)


def cost(pid: int) -> Cost:
    """Of a running process. Its clock (clock_getcpuclockid(3)) counts ns, where /proc/PID/stat has 10 ms."""
    facts = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return Cost(time.clock_gettime(~pid << 3 | 2), int(facts["write_bytes"]))


def line(number: int, size: int) -> bytes:
    """A line of so many bytes that carries its number and, where there is room, the instant it was written at."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03}Z"
    text = f'{{"time":"{stamp}","level":"info","msg":"{number:07}"'
    if size > SHORT_BYTES:
        text += f',"logger":"bench","written":{time.time_ns()},"path":"/orders/{number % 97}","padding":"'
        return text.encode().ljust(size - 3, b"x") + b'"}\n'
    return (text + "}").encode().ljust(size - 1) + b"\n"


def child() -> None:
    """Append to all files at their rates, in a process of its own, until standard input ends: FOLDER."""
    folder = Path(sys.argv[1])
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context((folder / load.name / "app.log").open("ab", buffering=0)) for load in LOADS]
        written = [1] * len(LOADS)
        began = time.monotonic()
        while not ended.is_set():
            due = [began + number / load.rate for load, number in zip(LOADS, written, strict=True)]
            time.sleep(max(0.0, min(due) - time.monotonic()))
            for index, load in enumerate(LOADS):
                while began + written[index] / load.rate <= time.monotonic():
                    files[index].write(line(written[index], load.size))
                    written[index] += 1
    print("{}")


def least() -> None:
    """SQLite's part alone, in a process of its own: RATE SIZE SECONDS STORE; prints its cost a second as JSON."""
    rate, size, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    lines = max(1, int(rate * seconds))
    with contextlib.closing(sqlite3.connect(sys.argv[4], isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size = 4096")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, timestamp INTEGER, record TEXT)")
        connection.execute("CREATE INDEX events_by_time ON events(timestamp)")
        before = cost(os.getpid())
        for number in range(lines):
            text = line(number, size).decode()
            connection.execute("INSERT INTO events (timestamp, record) VALUES (?, ?)", (time.time_ns(), text))
        spent = cost(os.getpid()) - before
    print(json.dumps({"cpu": spent.cpu_seconds / lines * rate, "bytes": spent.written_bytes / lines}))


def _run(function: str, *arguments: object, **options: object) -> subprocess.Popen[bytes]:
    root = Path(__file__).resolve().parents[1]
    code = f"import sys; sys.path.insert(0, {str(root)!r}); from benchmarks.trickle import {function}; {function}()"
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], **options)  # type: ignore[call-overload, no-any-return]


def _floor(load: Load, seconds: float, folder: Path) -> dict[str, float]:
    process = _run("least", load.rate, load.size, seconds, folder / f"floor-{load.name}.db", stdout=subprocess.PIPE)
    result: dict[str, float] = json.loads(process.communicate()[0])
    return result


@contextlib.contextmanager
def fluent_bit(place: Path) -> Iterator[int | None]:
    """Fluent Bit that tails the same file into a file and keeps its position; its pid, None where there is none."""
    command = shutil.which("fluent-bit", path=f"{os.environ['PATH']}:/opt/fluent-bit/bin")
    if command is None:
        yield None
        return
    parsers = place / "parsers.conf"
    parsers.write_text("[PARSER]\n  Name json\n  Format json\n  Time_Key time\n  Time_Format %Y-%m-%dT%H:%M:%S.%L\n")
    tail = f"-R {parsers} -i tail -p path={place}/app.log -p db={place}/fluent.db -p parser=json"
    output = f"-o file -p path={place} -p file=fluent.out"
    process = subprocess.Popen([command, "-q", *tail.split(), *output.split()])
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _watch(folder: Path, seconds: float) -> tuple[dict[Load, Cost], dict[Load, Cost]]:
    """What agents, and Fluent Bits, take a second for each load."""
    with contextlib.ExitStack() as stack:
        pids, peers = {}, {}
        for load in LOADS:
            place = folder / load.name
            place.mkdir()
            (place / "app.log").write_bytes(line(0, load.size))
            store = place / "store" / "sidelog.db"
            pids[load] = stack.enter_context(common.agent(place, f"{place}/app.log", "--store", str(store))).pid
            peer = stack.enter_context(fluent_bit(place))
            if peer is not None:
                peers[load] = peer
            common.wait_until(lambda store=store: common.stored(store) == 1, "the first event")
        writer = _run("child", folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        time.sleep(SETTLE_SECONDS)
        before = {pid: cost(pid) for pid in (*pids.values(), *peers.values())}
        began = time.monotonic()
        time.sleep(seconds)
        spent_s = time.monotonic() - began
        spent = {pid: cost(pid) - known for pid, known in before.items()}
        writer.communicate()
    per_second = {pid: Cost(c.cpu_seconds / spent_s, round(c.written_bytes / spent_s)) for pid, c in spent.items()}
    return {load: per_second[pid] for load, pid in pids.items()}, {load: per_second[pid] for load, pid in peers.items()}


def bursts(folder: Path, trials: int) -> list[float]:
    """How long the first line of each burst took to become visible, in ms; the file was quiet for 0.5 to 1.5 s."""
    log, store = folder / "bursts" / "app.log", folder / "bursts.db"
    log.parent.mkdir()
    log.write_bytes(line(-1, USUAL_BYTES))
    source, first = random.Random(3), []
    with common.agent(log.parent, str(log), "--store", str(store)), log.open("ab", buffering=0) as file:
        common.wait_until(lambda: common.stored(store) == 1, "the first event")
        watcher = Watcher(store)
        watcher.start()
        for _ in range(trials):
            time.sleep(0.5 + source.random())
            seen = len(watcher.delays_ms)
            for number in range(BURST_LINES):
                file.write(line(number, USUAL_BYTES))
                time.sleep(BURST_PAUSE_SECONDS)
            common.wait_until(lambda seen=seen: len(watcher.delays_ms) == seen + BURST_LINES, "the burst", 20)
            first.append(watcher.delays_ms[seen])
        watcher.ended.set()
        watcher.join()
    return first


def measure(options: argparse.Namespace) -> list[Row]:
    """All loads at once, each with an agent of its own; then the bursts."""
    with common.scratch() as folder:
        spent, peers = _watch(folder, options.seconds)
        floors = {load: _floor(load, options.seconds, folder) for load in LOADS}
        first = bursts(folder, options.trials)
    rows = []
    for load in LOADS:
        own, peer, floor = spent[load], peers.get(load), floors[load]
        written = f"written a line, {load.rate:,} lines/s of {load.size} bytes"
        beside = "" if peer is None else f"; Fluent Bit {peer.written_bytes / load.rate / 1e3:.1f}"
        goal = WRITTEN[load.rate] if load.size == SHORT_BYTES else None
        least_kb = f"SQLite's least, a commit a line: {floor['bytes'] / 1e3:.1f}"
        rows.append(Row(written, own.written_bytes / load.rate / 1e3, "kB", goal, beside=least_kb + beside))
        if load.size == USUAL_BYTES:
            cpu = f"CPU, {load.rate:,} lines/s of {load.size} bytes"
            beside = "" if peer is None else f"; Fluent Bit {peer.cpu_seconds * 100:.2f}"
            least_cpu = f"SQLite's least: {floor['cpu'] * 100:.2f}"
            rows.append(Row(cpu, own.cpu_seconds * 100, "% of a core", CPU[load.rate], beside=least_cpu + beside))
    p50, p95 = (common.percentile(first, share) for share in (0.5, 0.95))
    name = "first line of a burst, append to queryable"
    rows.append(Row(name, p95, "ms (p95)", BURST_GOAL_MS, beside=f"p50 {p50:.1f}, {len(first)} bursts"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--trials", type=int, default=30)
    common.report(measure, parser)


if __name__ == "__main__":
    main()
