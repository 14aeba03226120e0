"""One machine with a real store, real logs and archives, and a target: what tests of the past of a fleet need."""

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys

from agent.clickhouse import schema
from agent.clickhouse.address import ClickHouseAddress
from agent.config.loader import load
from agent.forward.settings import target_settings
from agent.forward.worker import TargetWorker
from agent.store import forwarding
from agent.store.edit import editing

BEGIN = 1_764_000_000  # 2025-11-24T16:00:00Z


class Machine:
    """A machine's state below one directory. `database` is of the fixtures of servers."""

    def __init__(self, root, database, *, match="", retention="3650d"):
        self.root, self.database = root, database
        self.logs, self.store = root / "logs", root / "state" / "sidelog.db"
        self.config = root / "sidelog.yaml"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.configure(match=match, retention=retention)
        address = ClickHouseAddress((database.url,), database.name)
        schema.make(address, None, replicated=False, ttl_days=None)

    def configure(self, *, match="", retention="3650d", forward=True, followed="*.log"):
        document = {
            "store": {"path": str(self.store), "retention": {"age": retention}, "min_free": "1MiB"},
            "sources": [{"name": "app", "include": [f"{self.logs}/{followed}"]}],
            "archive": {"directory": str(self.root / "archive"), "quiet": "0s"},
        }
        if forward:
            target = {"name": "central", "clickhouse": self.database.url, "database": self.database.name}
            document["forward"] = [{**target, "match": match}]
        self.config.write_text(json.dumps(document))
        self.config = self.config.rename(self.root / "sidelog.json")

    def write(self, name, first, count, *, severity="INFO", step=1):
        with (self.logs / name).open("a") as log:
            for number in range(first, first + count):
                line = {"ts": BEGIN + number * step, "level": severity, "msg": f"event {number}", "logger": "shop"}
                log.write(json.dumps(line) + "\n")

    def sidelog(self, *arguments, check=True, **settings):
        command = [sys.executable, "-m", "agent", *arguments, "-c", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **settings)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def start(self, *arguments):
        command = [sys.executable, "-m", "agent", *arguments, "-c", str(self.config)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ingest(self):
        self.sidelog("run", "--once")

    def forward(self):
        """Forward what is stored, as the agent's process does."""
        config = load(self.config)
        with editing(self.store) as connection:
            forwarding.save_targets(connection, target_settings(config), BEGIN * 10**9)
        worker = TargetWorker(config.forward[0], self.store, 0.0, once=True)
        worker.run()
        assert not worker.report.message, worker.report

    def verify(self, *arguments):
        done = self.sidelog("forward", "verify", "--json", *arguments, check=False)
        assert done.stdout.startswith("["), done.stderr + done.stdout
        (report,) = json.loads(done.stdout)
        assert done.returncode == (1 if report["differences"] else 0), done.stderr
        return report

    def backfill(self, *arguments):
        (report,) = json.loads(self.sidelog("forward", "backfill", "--json", *arguments).stdout)
        return report["events"]

    def edit(self, statement, *values):
        with contextlib.closing(sqlite3.connect(self.store)) as connection, connection:
            connection.execute(statement, values)

    def rows(self, statement):
        with contextlib.closing(sqlite3.connect(self.store)) as connection:
            return connection.execute(statement).fetchall()

    @property
    def agent(self):
        return self.rows("SELECT id FROM agents ORDER BY number DESC LIMIT 1")[0][0]

    def central(self):
        """The messages that the target has, sorted."""
        rows = self.database.rows("SELECT message FROM events FINAL WHERE gone = 0")
        return sorted((row[0] for row in rows), key=lambda text: int(text.rpartition(" ")[2]))

    def clone(self, name):
        """The same state elsewhere. Logs keep their names, as they do on another machine."""
        other = object.__new__(Machine)
        other.root, other.database = self.root.parent / name, self.database
        shutil.copytree(self.root, other.root)
        other.logs, other.store = self.logs, other.root / "state" / "sidelog.db"
        other.config = other.root / "sidelog.json"
        text = self.config.read_text().replace(str(self.root / "state"), str(other.root / "state"))
        other.config.write_text(text.replace(str(self.root / "archive"), str(other.root / "archive")))
        return other


def messages(*ranges):
    return [f"event {number}" for first, count in ranges for number in range(first, first + count)]
