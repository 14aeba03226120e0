"""One real agent in a scratch directory: log files, a configuration, the command `sidelog`, nothing simulated."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

SIDELOG = [sys.executable, "-m", "agent"]
RESCANNING = [sys.executable, str(Path(__file__).with_name("rescanning.py"))]


def wait_until(condition, timeout_s: float = 60.0, what: str = "the condition"):
    """Poll until the condition gives something true, and return that; fail when it does not come."""
    end = time.monotonic() + timeout_s
    while True:
        if found := condition():
            return found
        assert time.monotonic() < end, f"{what} did not come within {timeout_s:.0f} s"
        time.sleep(0.02)


def event(number: int, level: str = "info", message: str = "", **fields) -> bytes:
    """One JSON line with a rising number."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    row = {"timestamp": now, "level": level, "message": message or f"event {number}", "n": number, **fields}
    return json.dumps(row).encode() + b"\n"


def events(start: int, count: int, **fields) -> bytes:
    """Consecutive lines."""
    return b"".join(event(number, **fields) for number in range(start, start + count))


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


class Box:
    """Paths, configuration and at most one running agent."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.logs = root / "logs"
        self.logs.mkdir()
        self.log = self.logs / "app.log"
        self.store = root / "state" / "sidelog.db"
        self.config = root / "sidelog.json"
        self.stderr = root / "agent.err"
        self.process: subprocess.Popen | None = None
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("SIDELOG_", "XDG_", "NOTIFY_"))}
        self.env |= {"HOME": str(root), "TZ": "UTC", "NO_COLOR": "1", "COLUMNS": "200"}
        self.configure()

    def configure(self, store: dict | None = None, **source) -> None:
        """Write the configuration: one source over all *.log files, and what the test needs besides."""
        document = {
            "store": {"path": str(self.store), "flush_interval": "50ms", "min_free": "1MiB", **(store or {})},
            "sources": [{"name": "app", "include": [f"{self.logs}/*.log"], **source}],
        }
        self.config.write_text(json.dumps(document))

    def run(self, *arguments: object, timeout_s: float = 60.0, **popen) -> subprocess.CompletedProcess:
        """Any command with this box's configuration."""
        command, *rest = map(str, arguments)
        return subprocess.run(
            [*SIDELOG, command, "-c", str(self.config), *rest],
            capture_output=True,
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
            **popen,
        )

    def once(self) -> subprocess.CompletedProcess:
        done = self.run("run", "--once")
        assert done.returncode == 0, done.stderr.decode()
        return done

    def start(self, *wrap: str, rescan_s: float | None = None) -> subprocess.Popen:
        """Start the agent, with `rescan_s` one that waits so long between two looks at its directories, and not ten
        seconds; and wait until it says that it has started.
        """
        before = self.said().count("agent started")
        run = [*SIDELOG, "run", "-c", str(self.config)]
        if rescan_s is not None:
            run = [*RESCANNING, str(self.config), str(rescan_s)]
        with self.stderr.open("ab") as err:
            self.process = subprocess.Popen(
                [*wrap, *run],
                cwd=self.root,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=err,
                stderr=err,
                start_new_session=True,
            )
        wait_until(lambda: self.said().count("agent started") > before or self.process.poll() is not None, 60)
        return self.process

    def place_of(self, path: Path) -> int:
        """Up to where the agent has read a file that it has open; -1 where it has not."""
        assert self.process is not None
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if link.readlink() == path:
                    info = Path(f"/proc/{self.process.pid}/fdinfo/{link.name}").read_text()
                    return int(info.split("pos:")[1].split()[0])
        return -1

    def said(self) -> str:
        """The agent's own log so far."""
        return self.stderr.read_text(errors="replace") if self.stderr.exists() else ""

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def sql(self, statement: str, *values):
        """Read the store as any other program would."""
        if not self.store.exists():
            return []
        # The making of a store locks it for about four syncs, which take 2 s each on an overloaded disk.
        with contextlib.closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=30)) as connection:
            try:
                return connection.execute(statement, values).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error) or "unable to open" in str(error):
                    return []
                raise

    def count(self) -> int:
        rows = self.sql("SELECT count(*) FROM events")
        return rows[0][0] if rows else 0

    def wait_count(self, least: int, timeout_s: float = 60.0) -> None:
        wait_until(
            lambda: self.count() >= least or (self.process and self.process.poll() is not None),
            timeout_s,
            f"{least} events ({self.count()} so far)",
        )
        assert self.count() >= least, self.said()[-2000:]

    def numbers(self) -> list[int]:
        """The `n` of every event in storage order."""
        return [row[0] for row in self.sql("SELECT json_extract(record, '$.n') FROM events ORDER BY id")]

    def query(self, *arguments: str) -> list[dict]:
        done = self.run("query", "-n", "all", "-o", "json", *arguments)
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]

    def raw(self, *arguments: str) -> bytes:
        done = self.run("query", "-n", "all", "-o", "raw", *arguments)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def status(self) -> dict:
        return json.loads(self.run("status", "--json").stdout)

    def books_balance(self) -> bool:
        """Whether every byte of every file is accounted for, and the store is whole."""
        audit = self.run("audit", "--json")
        return audit.returncode == 0 and self.sql("PRAGMA integrity_check") == [("ok",)]
