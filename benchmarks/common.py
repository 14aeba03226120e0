"""What every benchmark needs: starting processes and reading what they cost, medians, and the rows of the table."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

MIB = 1 << 20
TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Row:
    """One line of the table. `goal` is an upper bound unless `at_least`; `beside` is the comparison, in words."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False
    beside: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def markdown(self) -> str:
        """The row as it stands in docs/benchmarks.md."""
        sign = "≥" if self.at_least else "≤"
        goal = "" if self.goal is None else f"{sign} {number(self.goal)}"
        figure = number(self.value) if self.met is not False else f"**{number(self.value)}**"
        return f"| {self.name} | {figure} {self.unit} | {goal} | {self.beside} |"


@dataclass(slots=True)
class Usage:
    """What one process cost, its waited-for children included."""

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int
    code: int
    output: bytes


def number(value: float) -> str:
    """Three significant digits, thousands separated."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below `share` (0 to 1) of all values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def sidelog() -> str:
    """The command under test: $SIDELOG_BIN, or the one beside the interpreter that runs the benchmark."""
    command = os.environ.get("SIDELOG_BIN") or str(Path(sys.executable).with_name("sidelog"))
    if not Path(command).exists():
        sys.exit(f"no sidelog command at {command}: run `make bench`, or name it in SIDELOG_BIN")
    return command


def environment(home: Path) -> dict[str, str]:
    """An environment in which nothing of the user's configuration or store is found."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "PYTHONPATH") if name in os.environ}
    return kept | {"HOME": str(home), "XDG_STATE_HOME": str(home), "NO_COLOR": "1"}


def run(command: Sequence[str | Path], *, cwd: Path, stdin: Path | None = None, check: bool = True) -> Usage:
    """Run a command to its end and say what it cost; its standard output is kept, its errors only shown on failure.

    The peak is ru_maxrss, in which a child also counts what the starting process held: this process stays small.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors, contextlib.ExitStack() as stack:
        source = stack.enter_context(stdin.open("rb")) if stdin else subprocess.DEVNULL
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], cwd=cwd, env=environment(cwd), stdin=source, stdout=output, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if check and process.returncode:
            sys.exit(f"{command[0]} ended with {process.returncode}:\n{errors.read().decode(errors='replace')[-2000:]}")
        cpu = usage.ru_utime + usage.ru_stime
        return Usage(cpu, wall, usage.ru_maxrss * 1024, process.returncode, output.read())


def run_module(name: str, *arguments: str | Path, cwd: Path) -> dict[str, float]:
    """Run a module of this package in its own process; it prints one JSON object."""
    root = Path(__file__).resolve().parents[1]
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(root)!r}); from benchmarks.{name} import child; child()",
    ]
    result: dict[str, float] = json.loads(run([*command, *map(str, arguments)], cwd=cwd).output)
    return result


def cpu_seconds(pid: int) -> float:
    """User and system time of a running process, all threads, to 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_SECONDS


def resident_bytes(pid: int, key: str = "VmRSS") -> int:
    """Resident memory of a running process (0: this one); VmHWM for its peak."""
    for line in Path(f"/proc/{pid or 'self'}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return 0


@contextlib.contextmanager
def agent(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A running `sidelog run`; its log goes to `folder`/agent.log. It must be there at the end, and stops cleanly."""
    with (folder / "agent.log").open("wb") as log:
        process = subprocess.Popen(
            [sidelog(), "run", *arguments], cwd=folder, env=environment(folder), stdout=log, stderr=log
        )
    try:
        yield process
        if process.poll() is not None:
            sys.exit(f"the agent ended with {process.returncode}:\n{(folder / 'agent.log').read_text()[-2000:]}")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def reader(store: Path) -> sqlite3.Connection:
    """A read-only connection, as any other program would open it."""
    return sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=5)


def stored(store: Path) -> int:
    """How many events a store holds; 0 while it does not exist."""
    try:
        with contextlib.closing(reader(store)) as connection:
            return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    """Wait for a condition, looking every 20 ms."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(0.02)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A private folder that is removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="sidelog-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def cache() -> Path:
    """A private folder that stays, for stores that take minutes to build."""
    path = Path(tempfile.gettempdir()) / f"sidelog-bench-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_uid != os.getuid() or path.is_symlink():
        sys.exit(f"{path} belongs to somebody else: set TMPDIR")
    return path


def machine() -> str:
    """Cores, system and Python, without names."""
    python = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, {python}"


HEADER = "| what | figure | goal | beside |\n|---|---|---|---|"


def report(measure: Callable[[argparse.Namespace], list[Row]], parser: argparse.ArgumentParser) -> None:
    """Run one benchmark by itself and print its rows."""
    rows = measure(parser.parse_args())
    print(HEADER, *(row.markdown() for row in rows), sep="\n")
