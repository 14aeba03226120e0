"""What one would use instead, on one file: what it costs each to take it in, and how long it answers one question.

    python -m benchmarks.peers [--events 1000000]

Each is used where it is found and named where it is not: sqlite-utils (a dependency of ours), DuckDB (`pip install
duckdb` for the interpreter named in $DUCKDB_PYTHON, default: this one), syslog-ng with its SQL module and
libdbd-sqlite3, lnav, jq and ripgrep (Debian packages of these names).

The file has a quarter of the events; the question is the newest 100 errors. Tools without a store
answer it by reading the file again each time.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import common, generate
from benchmarks.common import Row

SYSLOG_NG = """\
@version: 3.38
source s { file("%(log)s" flags(no-parse) follow-freq(0.1) log-iw-size(10000) log-fetch-limit(10000)); };
parser p { json-parser(prefix(".j.")); };
destination d {
  sql(type(sqlite3) database("%(db)s") table("events")
      columns("timestamp text", "level text", "logger text", "record text")
      values("${.j.timestamp}", "${.j.level}", "${.j.logger}", "${MESSAGE}")
      indexes("timestamp") flags(explicit-commits) batch-lines(10000));
};
log { source(s); parser(p); destination(d); flags(flow-control); };
"""

Result = tuple[common.Usage, float | None]  # what taking in cost; milliseconds of the question
Peer = Callable[[Path, Path, int], Result | str]  # (folder, log, events) -> result, or what is missing


def sqlite_utils(folder: Path, log: Path, events: int) -> Result | str:
    """`sqlite-utils insert --nl`, one column per key, no index."""
    del events
    command = Path(sys.executable).with_name("sqlite-utils")
    if not command.exists():
        return "sqlite-utils is not installed"
    store = folder / "utils.db"
    usage = common.run([command, "insert", store, "events", log, "--nl", "--alter"], cwd=folder)
    query = "SELECT * FROM events WHERE level = 'error' ORDER BY timestamp DESC LIMIT 100"
    return usage, common.run([command, store, query], cwd=folder).wall_seconds * 1e3


def duckdb(folder: Path, log: Path, events: int) -> Result | str:
    """DuckDB's bulk load of the whole file into a table, on one thread."""
    del events
    python = os.environ.get("DUCKDB_PYTHON", sys.executable)
    found = subprocess.run([python, "-c", "import duckdb"], check=False, capture_output=True)
    if found.returncode:
        return "DuckDB is not installed (DUCKDB_PYTHON names an interpreter that has it)"
    store = folder / "duck.db"
    begin = f"import duckdb; c = duckdb.connect({str(store)!r}); c.execute('SET threads = 1'); "
    source = f"read_json('{log}', format='newline_delimited')"
    load = f'c.execute("CREATE TABLE events AS SELECT * FROM {source}"); c.close()'
    chosen = "SELECT * FROM events WHERE level = 'error' ORDER BY timestamp DESC LIMIT 100"
    ask = f"c.execute(\"COPY ({chosen}) TO '/dev/stdout' (FORMAT json)\")"
    usage = common.run([python, "-c", begin + load], cwd=folder)
    return usage, common.run([python, "-c", begin + ask], cwd=folder).wall_seconds * 1e3


def syslog_ng(folder: Path, log: Path, events: int) -> Result | str:
    """syslog-ng follows the file, parses the JSON and writes four columns to SQLite; ended once all are there."""
    command = shutil.which("syslog-ng") or shutil.which("syslog-ng", path="/usr/sbin")
    if not command:
        return "syslog-ng is not installed"
    store = folder / "syslog-ng.db"
    config = folder / "syslog-ng.conf"
    config.write_text(SYSLOG_NG % {"log": log, "db": store})
    files = [f"--{name}={folder}/syslog-ng.{name}" for name in ("persist-file", "pidfile", "control")]
    began = time.perf_counter()
    with (folder / "syslog-ng.log").open("wb") as errors:
        process = subprocess.Popen(
            [command, "--foreground", "--no-caps", "--cfgfile", str(config), *files], stdout=errors, stderr=errors
        )
    limit = time.monotonic() + events / 10_000 + 30
    count = peak = 0
    cpu = 0.0
    while count < events and time.monotonic() < limit and process.poll() is None:
        time.sleep(0.2)
        peak = max(peak, common.resident_bytes(process.pid, "VmHWM"))
        with contextlib.suppress(Exception):  # the table is not there yet, or the file is locked for a moment
            count = common.stored(store)
        cpu = common.cpu_seconds(process.pid)
    wall = time.perf_counter() - began
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    if count < events:
        said = (folder / "syslog-ng.log").read_text().strip().splitlines()[-1:] or ["nothing"]
        return f"syslog-ng stored {count:,} rows; it says: {said[0][:120]}"
    usage = common.Usage(cpu, wall, peak, 0, b"")
    began = time.perf_counter()
    with contextlib.closing(common.reader(store)) as connection:
        connection.execute("SELECT * FROM events WHERE level = 'error' ORDER BY timestamp DESC LIMIT 100").fetchall()
    return usage, (time.perf_counter() - began) * 1e3


def lnav(folder: Path, log: Path, events: int) -> Result | str:
    """lnav, headless, with a format for these lines; it keeps nothing, so taking in and asking are one."""
    del events
    command = shutil.which("lnav")
    if not command:
        return "lnav is not installed"
    formats = folder / ".lnav" / "formats" / "installed"
    formats.mkdir(parents=True)
    (formats / "shop.json").write_text(
        '{"shop_log": {"title": "shop", "description": "shop", "json": true, "file-pattern": ".*", '
        '"timestamp-field": "timestamp", "level-field": "level", "body-field": "event", '
        '"value": {"logger": {"kind": "string"}}, "line-format": [{"field": "timestamp"}, " ", {"field": "event"}]}}'
    )
    ask = ";SELECT log_time, log_body FROM shop_log WHERE log_level = 'error' ORDER BY log_time DESC LIMIT 100"
    usage = common.run([command, "-n", "-c", ask, "-c", ":write-json-to -", log], cwd=folder, check=False)
    if usage.code or b"log_time" not in usage.output:
        return "lnav gave no answer"
    return usage, usage.wall_seconds * 1e3


def jq(folder: Path, log: Path, events: int) -> Result | str:
    """Picking the errors out of the file with jq; `tail` would cut the newest 100."""
    del events
    command = shutil.which("jq")
    if not command:
        return "jq is not installed"
    usage = common.run([command, "-c", 'select(.level == "error")', log], cwd=folder)
    return usage, usage.wall_seconds * 1e3


def ripgrep(folder: Path, log: Path, events: int) -> Result | str:
    """Finding the lines that say so with ripgrep, which knows no JSON."""
    del events
    command = shutil.which("rg")
    if not command:
        return "ripgrep is not installed"
    usage = common.run([command, "--no-config", "-F", '"level":"error"', log], cwd=folder)
    return usage, usage.wall_seconds * 1e3


PEERS: dict[str, Peer] = {
    "sqlite-utils insert --nl": sqlite_utils,
    "DuckDB read_json into a table": duckdb,
    "syslog-ng to SQLite": syslog_ng,
    "lnav": lnav,
    "jq": jq,
    "ripgrep": ripgrep,
}


def own(folder: Path, log: Path) -> tuple[common.Usage, float]:
    """The same two things by sidelog."""
    store = folder / "own" / "sidelog.db"
    usage = common.run([common.sidelog(), "run", "--once", log, "--store", store], cwd=folder)
    asked = [
        common.run([common.sidelog(), "query", "-p", "error", "-n", "100", "--store", store], cwd=folder)
        for _ in range(5)
    ]
    return usage, common.median([run.wall_seconds for run in asked]) * 1e3


def measure(options: argparse.Namespace) -> list[Row]:
    """One row per peer, with its cost as a multiple of ours."""
    rows = []
    with common.scratch() as folder:
        log = folder / "logs" / "app.log"
        log.parent.mkdir()
        events = max(options.events // 4, 1)  # sqlite-utils alone would take a minute for a million
        generate.write(log, events)
        ours, asked = own(folder, log)
        our_us = ours.cpu_seconds / events * 1e6
        rows.append(Row("peers: sidelog", our_us, "µs CPU per event", beside=f"newest 100 errors {asked:.0f} ms"))
        for name, peer in PEERS.items():
            place = folder / peer.__name__
            place.mkdir()
            result = peer(place, log, events)
            shutil.rmtree(place, ignore_errors=True)
            if isinstance(result, str):
                print(f"{name}: {result}", file=sys.stderr)
                continue
            usage, question = result
            micros = usage.cpu_seconds / events * 1e6
            peak = usage.peak_bytes / common.MIB
            words = f"{micros / our_us:.1f} times ours; newest 100 errors {question:,.0f} ms; peak {peak:,.0f} MB"
            rows.append(Row(f"peers: {name}", micros, "µs CPU per event", beside=words))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    common.report(measure, parser)


if __name__ == "__main__":
    main()
