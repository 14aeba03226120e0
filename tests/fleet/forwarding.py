"""An agent that forwards: its directory, its process, and what the server has of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from agent.clickhouse import schema
from agent.clickhouse.address import ClickHouseAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.fleet.servers import Database

ROOT = Path(__file__).parents[2]
CLUSTER = "fleet"


def make_tables(database: Database) -> None:
    """sidelog's tables in a database of a test: replicated where there are replicas."""
    for server in database.servers if database.is_old else [database.server]:
        address = ClickHouseAddress((server.url,), database.name)
        schema.make(address, None, replicated=database.is_old and len(database.servers) > 1, ttl_days=None)


class ForwardingAgent:
    """An agent on one log with a target, in a folder of its own. `forward` and `store` are sections to change."""

    def __init__(self, folder: Path, urls: Sequence[str], database: str, **target: Any) -> None:
        self.folder = folder
        (folder / "logs").mkdir(parents=True)
        self.log = folder / "logs" / "app.log"
        self.log.touch()
        self.path = folder / "state" / "sidelog.db"
        batch = {"events": 1_000, "interval": "100ms"}
        self.forward: list[dict[str, Any]] = [
            {"name": "central", "clickhouse": list(urls), "database": database, "batch": batch, **target}
        ]
        self.store: dict[str, Any] = {"path": str(self.path), "min_free": "1MiB"}
        self.written = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.configure()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    # ------------------------------------------------------------ its configuration and its log

    def configure(self) -> None:
        """Write the configuration; an agent that runs is told by `reload`."""
        document = {
            "store": self.store,
            "sources": [{"name": "app", "include": [f"{self.folder}/logs/*.log"]}],
            "forward": self.forward,
        }
        (self.folder / "sidelog.json").write_text(json.dumps(document))

    def write(self, count: int, level: str = "info", **more: Any) -> None:
        """Append events, numbered on."""
        lines = []
        for _ in range(count):
            at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
            lines.append(json.dumps({"timestamp": f"{at}Z", "level": level, "message": f"n{self.written}", **more}))
            self.written += 1
        self.append("".join(f"{line}\n" for line in lines))

    def append(self, text: str) -> None:
        with self.log.open("a") as log:
            log.write(text)

    # ------------------------------------------------------------ its process

    def start(self) -> None:
        """Let it run, and wait until it owns the store."""
        with (self.folder / "agent.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent", "run", "-c", str(self.folder / "sidelog.json")],
                cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=log, stdout=log,
            )  # fmt: skip

    @property
    def said(self) -> str:
        return (self.folder / "agent.log").read_text()

    def kill(self) -> None:
        """End it at once, as a power cut would end the process."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def _end(self, sign: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(sign)
            process.wait(20)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command on its store."""
        return subprocess.run(
            [sys.executable, "-m", "agent", *words, "-c", str(self.folder / "sidelog.json")],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def targets(self) -> list[dict[str, Any]]:
        """What `forward status --json` says."""
        done = self.command("forward", "status", "--json")
        return json.loads(done.stdout) if done.stdout else []

    def target(self) -> dict[str, Any]:
        found = self.targets()
        return found[0] if found else {}


def eventually(check: Callable[[], object], most_s: float = 20.0) -> None:
    """Wait until something holds; what it says last is shown where it does not."""
    end = time.monotonic() + most_s
    while not check():
        assert time.monotonic() < end, f"{check} did not hold within {most_s} s"
        time.sleep(0.1)


def has(database: Database, count: int, where: str = "1") -> Callable[[], bool]:
    """Whether the server has so many events by now; one that cannot be asked has none."""

    def check() -> bool:
        with contextlib.suppress(Exception):
            return database.rows(f"SELECT count() FROM events FINAL WHERE gone = 0 AND {where}") == [(count,)]
        return False

    return check
