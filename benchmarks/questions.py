"""Questions that look at all events of a store, whole commands, beside what others take for the same in the same run.

    python -m benchmarks.questions [--sizes 1000000,10000000] [--repeat 5]

The stores are those of `benchmarks.query`; peers are asked about the same records: DuckDB about a file of them and
about its own table of that file, SQLite about the store itself (`LIKE`, `json_extract`), ripgrep about the file. Each
figure is the median of whole processes, interpreter start included, with the files in the page cache. Peers that are
not installed are named and left out: `apt install ripgrep`; DUCKDB_PYTHON names a Python that has DuckDB.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from agent.store.field_counts import BLOCK_EVENTS
from benchmarks import common, query
from benchmarks.common import Row

if TYPE_CHECKING:
    from pathlib import Path

MB = 1_000_000
GOAL_MEMORY_MB = 150
GOAL_COUNTED_S = 0.1
_COUNTED = ("`--by http.status`", "`http.status>=500 --count`")
_SQLITE = "import sqlite3, sys; print(len(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall()))"


class Question(NamedTuple):
    """One question in the words of each who is asked."""

    name: str
    arguments: list[str]  # of `sidelog query`
    goal_s: float | None = None  # on 1 M events; None: what `goal_of` takes
    goal_of: str = ""
    sqlite: str = ""  # SQL on the store
    duckdb: str = ""  # SQL; {} is the file or the table
    ripgrep: tuple[str, ...] = ()


def questions(store: Path) -> list[Question]:
    """Those of a store, with values that are in it."""
    with contextlib.closing(common.reader(store)) as connection:
        middle = connection.execute("SELECT max(id) / 2 FROM events").fetchone()[0]
        record = json.loads(connection.execute("SELECT record FROM events WHERE id = ?", (middle,)).fetchone()[0])
    request, path = record["request_id"], record["http"]["path"]
    words = "nosuchword"
    return [
        Question(
            "`--by http.status`", ["--by", "http.status"], goal_of="DuckDB on the file",
            sqlite="SELECT json_extract(record, '$.http.status'), count(*) FROM events GROUP BY 1",
            duckdb="SELECT http.status, count(*) FROM {} GROUP BY 1",
        ),
        Question(
            "`--by http.path --top 3`", ["--by", "http.path", "--top", "3"],
            sqlite="SELECT json_extract(record, '$.http.path'), count(*) FROM events GROUP BY 1"
            " ORDER BY 2 DESC LIMIT 3",
            duckdb="SELECT http.path, count(*) FROM {} GROUP BY 1 ORDER BY 2 DESC LIMIT 3",
        ),
        Question(
            "`--by http.method --agg avg:latency_ms,p95:latency_ms`",
            ["--by", "http.method", "--agg", "avg:latency_ms,p95:latency_ms"],
            duckdb="SELECT http.method, avg(latency_ms), quantile_disc(latency_ms, 0.95) FROM {} GROUP BY 1",
        ),
        Question(
            "`http.status>=500 --count`", ["http.status>=500", "--count"], 0.4,
            sqlite="SELECT count(*) FROM events WHERE json_extract(record, '$.http.status') >= 500",
            duckdb="SELECT count(*) FROM {} WHERE http.status >= 500",
        ),
        Question(
            "`http.path=VALUE --count`", [f"http.path={path}", "--count"], 0.4,
            sqlite=f"SELECT count(*) FROM events WHERE json_extract(record, '$.http.path') = '{path}'",
            duckdb=f"SELECT count(*) FROM {{}} WHERE http.path = '{path}'",
        ),
        Question(
            "one request id", [request], 0.4,
            sqlite=f"SELECT * FROM events WHERE record LIKE '%{request}%'",
            duckdb=f"SELECT * FROM {{}} WHERE request_id = '{request}'",
            ripgrep=("-F", request),
        ),
        Question(
            "a rare word, `--count`", [words, "--count"], goal_of="SQLite",
            sqlite=f"SELECT count(*) FROM events WHERE record LIKE '%{words}%'",
            ripgrep=("-ciF", words),
        ),
        Question(
            "`-g '[0-9]{5} results' --count`", ["-g", "[0-9]{5} results", "--count"], 0.8,
            duckdb="SELECT count(*) FROM {} WHERE regexp_matches(event, '[0-9]{{5}} results')",
            ripgrep=("-c", '"event":"[^"]*[0-9]{5} results'),
        ),
        Question("the newest three, `-n 3`", ["-n", "3"], 0.25),
    ]  # fmt: skip


def export(store: Path) -> Path:
    """A file with the records of a store, one a line, beside it."""
    path = store.with_name("records.ndjson")
    if not path.exists():
        partial = path.with_suffix(".partial")
        with contextlib.closing(common.reader(store)) as connection, partial.open("w") as file:
            for (record,) in connection.execute("SELECT record FROM events ORDER BY id"):
                file.write(f"{record}\n")
        partial.rename(path)
    return path


class Peers:
    """Who else is asked about a store."""

    def __init__(self, store: Path, repeat: int) -> None:
        self._store, self._repeat = store, repeat
        self._file = export(store)
        self._python = os.environ.get("DUCKDB_PYTHON", sys.executable)
        imports = [self._python, "-c", "import duckdb"]
        self._has_duckdb = not subprocess.run(imports, check=False, capture_output=True).returncode
        self._ripgrep = shutil.which("rg")
        if not self._has_duckdb:
            print("DuckDB is not installed (DUCKDB_PYTHON names an interpreter that has it)", file=sys.stderr)
        if self._ripgrep is None:
            print("ripgrep is not installed", file=sys.stderr)

    def seconds(self, question: Question) -> dict[str, float]:
        """What each takes."""
        found = {}
        if question.sqlite:
            found["SQLite"] = self._time([sys.executable, "-c", _SQLITE, str(self._store), question.sqlite])
        if question.duckdb and self._has_duckdb:
            raw = f"read_ndjson('{self._file}')"
            found["DuckDB on the file"] = self._time(self._duckdb(question.duckdb.format(raw)))
            found["on its table"] = self._time(self._duckdb(question.duckdb.format("events"), self._table()))
        if question.ripgrep and self._ripgrep:
            found["ripgrep"] = self._time([self._ripgrep, "--no-config", *question.ripgrep, str(self._file)])
        return found

    def _duckdb(self, sql: str, database: Path | None = None) -> list[str]:
        opened = "duckdb.connect()" if database is None else f"duckdb.connect({str(database)!r}, read_only=True)"
        return [self._python, "-c", f"import duckdb; print(len({opened}.execute({sql!r}).fetchall()))"]

    def _table(self) -> Path:
        path = self._store.with_name("duck.db")
        if not path.exists():
            load = f"CREATE TABLE events AS SELECT * FROM read_ndjson('{self._file}')"
            code = f"import duckdb; c = duckdb.connect({str(path)!r}); c.execute({load!r}); c.close()"
            common.run([self._python, "-c", code], cwd=path.parent)
        return path

    def _time(self, command: list[str]) -> float:
        runs = [common.run(command, cwd=self._store.parent, check=False) for _ in range(self._repeat)]
        if any(run.code not in (0, 1) for run in runs):  # ripgrep ends with 1 where it finds nothing
            sys.exit(f"{command[0]} ended with {runs[0].code}")
        return common.median([run.wall_seconds for run in runs])


def ask(store: Path, question: Question, repeat: int) -> tuple[float, float, int]:
    """Seconds of wall and of CPU, and the largest memory."""
    command: list[str | Path] = [common.sidelog(), "query", *question.arguments, "--store", store]
    common.run(command, cwd=store.parent)  # into the page cache
    runs = [common.run(command, cwd=store.parent) for _ in range(repeat)]
    took, cpu = (common.median([getattr(run, key) for run in runs]) for key in ("wall_seconds", "cpu_seconds"))
    return took, cpu, max(run.peak_bytes for run in runs)


def counted(store: Path, folder: Path) -> tuple[Path, float]:
    """A copy of a store whose fields an agent without anything to read has counted, and the CPU seconds of that per
    block.
    """
    copy = folder / "sidelog.db"
    shutil.copyfile(store, copy)
    with contextlib.closing(common.reader(store)) as connection:
        blocks = (connection.execute("SELECT max(id) FROM events").fetchone()[0] + 1) // BLOCK_EVENTS

    def done() -> int:
        with contextlib.closing(common.reader(copy)) as connection:
            return int(connection.execute("SELECT count(DISTINCT block) FROM field_counts").fetchone()[0])

    keep = ["--set", "store.retention.size=1TiB", "--set", "store.retention.age=3650d"]
    with common.agent(folder, f"{folder}/logs/*.log", "--store", str(copy), *keep) as process:
        common.wait_until(lambda: done() > 0, "the first counts")
        first, started = done(), common.cpu_seconds(process.pid)
        common.wait_until(lambda: done() == blocks, "the counts", 600)
        return copy, (common.cpu_seconds(process.pid) - started) / (blocks - first)


def measure_counted(store: Path, size: int, options: argparse.Namespace) -> list[Row]:
    """Questions that are answered by what was counted beforehand, and what that takes."""
    rows = []
    with common.scratch() as folder:
        (folder / "logs").mkdir()
        copy, cpu = counted(store, folder)
        with contextlib.closing(common.reader(copy)) as connection:
            held, fields = connection.execute(
                "SELECT total(length(counts)), count(DISTINCT field) FROM field_counts"
            ).fetchone()
        for question in questions(copy):
            if question.name in _COUNTED:
                took, seconds, _ = ask(copy, question, options.repeat)
                name = f"{question.name} after idle moments, {size:,} events"
                rows.append(Row(name, took, "s", GOAL_COUNTED_S, beside=f"{seconds:.2f} s CPU"))
        beside = f"{fields} fields; {100 * held / copy.stat().st_size:.2f} % of the store, at most 3"
        rows.append(
            Row(
                f"counting {size:,} events in idle moments",
                cpu / BLOCK_EVENTS * 1e6,
                "µs per event",
                0.3,
                beside=beside,
            )
        )
    return rows


def measure(options: argparse.Namespace) -> list[Row]:
    """The rows of every size, each beside its peers in the same minute."""
    rows = []
    for size in map(int, options.sizes.split(",")):
        store = query.build(size, fresh=options.fresh)
        peers = Peers(store, options.repeat)
        peak = 0
        for question in questions(store):
            took, cpu, held = ask(store, question, options.repeat)
            peak = max(peak, held)
            others = peers.seconds(question)
            goal = others.get(question.goal_of) if question.goal_of else question.goal_s
            if goal is not None and question.goal_s is not None and "newest" not in question.name:
                goal *= size / 1_000_000
            beside = ", ".join([f"{cpu:.2f} s CPU", *(f"{name} {took:.2f}" for name, took in others.items())])
            rows.append(Row(f"{question.name}, {size:,} events", took, "s", goal, beside=beside))
        rows.append(Row(f"peak memory of these, {size:,} events", peak / MB, "MB", GOAL_MEMORY_MB))
        rows += measure_counted(store, size, options)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000000,10000000")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--fresh", action="store_true")
    common.report(measure, parser)


if __name__ == "__main__":
    main()
