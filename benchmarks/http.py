"""The HTTP server beside an agent: what it costs, how quickly it answers, and what twenty who scan cost ingest.

    python -m benchmarks http [--events 1000000]

Floors in the same run: the same question asked of the store by plain SQLite, an HTTP request that asks nothing.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import common, generate
from benchmarks.common import MIB, Row

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from http.client import HTTPResponse

CLIENTS = 20
PAIRS = 5  # bursts alone and beside those who scan
PORT = 9899
INDEXED = "/api/v1/query?severity=error&limit=100"
SCANNING = "/api/v1/counts?by=http.method&agg=p95:latency_ms"
BASE = f"http://127.0.0.1:{PORT}"


def tree(pid: int) -> list[int]:
    """The processes of the server that an agent has started."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, level = [], {pid}
    while level := {one for one, parent in parents.items() if parent in level}:
        found += level
    return found


def memory(pid: int) -> float:
    """MiB of the server and its workers, shared pages in parts (PSS)."""
    total = 0
    for one in tree(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def opened(path: str, token: str) -> HTTPResponse:
    """An answer of the server that this has started."""
    request = urllib.request.Request(  # noqa: S310 - BASE is http
        BASE + path, headers={"Authorization": f"Bearer {token}"}
    )
    return urllib.request.urlopen(request, timeout=60)  # noqa: S310 - as above


def ask(path: str, token: str) -> float:
    """Seconds that an answer takes, to its last byte."""
    began = time.perf_counter()
    with opened(path, token) as answer:
        answer.read()
    return time.perf_counter() - began


def many(path: str, tokens: list[str], each: int) -> list[float]:
    """Milliseconds of answers, all clients at once, each on a connection that it keeps, as browsers do."""

    def client(token: str) -> list[float]:
        connection, found = HTTPConnection("127.0.0.1", PORT, timeout=60), []
        with closing(connection):
            for _ in range(each):
                began = time.perf_counter()
                connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
                answer = connection.getresponse()
                answer.read()
                assert answer.status == HTTPStatus.OK
                found.append((time.perf_counter() - began) * 1e3)
        return found

    with ThreadPoolExecutor(len(tokens)) as pool:
        return [one for found in pool.map(client, tokens) for one in found]


def rate(log: Path, store: Path, data: bytes, lines: int) -> float:
    """Lines a second from the append of some lines to their being stored."""
    target = common.stored(store) + lines
    began = time.perf_counter()
    with log.open("ab") as file:
        file.write(data)
    common.wait_until(lambda: common.stored(store) >= target, "ingest", 300)
    return lines / (time.perf_counter() - began)


def tail_delays(log: Path, token: str, trials: int) -> list[float]:
    """Milliseconds from the append of a line to its coming in an open live tail."""
    delays = []
    with opened("/api/v1/tail?q=needle", token) as answer:
        while not answer.readline().startswith(b": watching"):
            pass
        for number in range(trials):
            time.sleep(0.3)
            began = time.perf_counter()
            with log.open("a") as file:
                file.write(json.dumps({"level": "info", "message": f"needle {number}"}) + "\n")
            while not answer.readline().startswith(b"data: {"):
                pass
            delays.append((time.perf_counter() - began) * 1e3)
    return delays


def measure(options: argparse.Namespace) -> list[Row]:
    """All of it on one agent."""
    with common.scratch() as folder:
        log, store = folder / "logs" / "app.log", folder / "sidelog.db"
        log.parent.mkdir()
        generate.write(log, options.events)
        more = folder / "more.log"
        lines = max(20_000, options.events // 5)
        generate.write(more, lines)
        data = more.read_bytes()
        config = {"store": {"path": str(store)}, "sources": [{"name": "app", "include": [str(log)]}]}
        config["http"] = {"listen": f"127.0.0.1:{PORT}"}
        (folder / "sidelog.json").write_text(json.dumps(config))
        with common.agent(folder, "-c", "sidelog.json") as process:
            common.wait_until(lambda: common.stored(store) >= options.events, "the first events", 600)
            common.wait_until(lambda: len(tree(process.pid)) >= 2, "the server")
            time.sleep(2)
            idle = memory(process.pid)
            tokens = []
            for number in range(CLIENTS):
                command = [common.sidelog(), "token", "create", f"client-{number}", "-c", "sidelog.json"]
                tokens.append(common.run(command, cwd=folder).output.decode().strip())
            ask(INDEXED, tokens[0])
            peak = [0.0]
            answers = _watched(process.pid, peak, lambda: many(INDEXED, tokens, 20))
            floor = many("/health", tokens[:1], 20)
            with closing(common.reader(store)) as connection:
                statement = "SELECT record FROM events WHERE severity_number >= 17 ORDER BY id DESC LIMIT 100"
                plain = [_timed(lambda: connection.execute(statement).fetchall()) for _ in range(20)]
            tail = tail_delays(log, tokens[0], options.trials)
            rates = []
            for _ in range(PAIRS):  # in turn: the machine is not the same for long
                alone = rate(log, store, data, lines)
                with scanning(tokens):
                    rates.append((alone, _watched(process.pid, peak, lambda: rate(log, store, data, lines))))
    p50, p95 = (common.percentile(answers, share) for share in (0.5, 0.95))
    health, sql = common.median(floor), common.median(plain)
    return [
        Row("memory of the server and its workers, idle", idle, "MiB (PSS)", 50e6 / MIB),
        Row(f"the same, {CLIENTS} clients", peak[0], "MiB (PSS)", 120e6 / MIB),
        Row(
            f"errors of {options.events:,} events, {CLIENTS} clients",
            p95,
            "ms (p95)",
            100,
            beside=f"p50 {p50:.0f} ms; plain SQLite, one after the other: {sql:.1f} ms, /health {health:.1f} ms",
        ),
        Row(
            "append to live tail",
            common.percentile(tail, 0.95),
            "ms (p95)",
            500,
            beside=f"p50 {common.median(tail):.0f} ms",
        ),
        Row(
            f"ingest beside {CLIENTS} clients that scan",
            common.median([100 * beside / alone for alone, beside in rates]),
            "% of without",
            95,
            at_least=True,
            beside=", ".join(f"{beside:,.0f} of {alone:,.0f}" for alone, beside in rates) + " lines/s",
        ),
    ]


def _timed(work) -> float:  # noqa: ANN001
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


@contextmanager
def scanning(tokens: list[str]) -> Iterator[None]:
    """Clients that scan without a pause, one for each token."""
    ended = threading.Event()
    clients = [threading.Thread(target=_scan, args=(token, ended)) for token in tokens]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        ended.set()
        for client in clients:
            client.join()


def _scan(token: str, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            ask(SCANNING, token)
        except (OSError, HTTPException):  # too many questions, or it took too long
            ended.wait(0.1)


def _watched(pid: int, peak: list[float], work):  # noqa: ANN001, ANN202
    """What some work gives; `peak` is the most memory meanwhile."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            peak[0] = max(peak[0], memory(pid))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        return work()
    finally:
        ended.set()
        watching.join()
