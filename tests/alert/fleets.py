"""Events of many agents in a ClickHouse, put there as forwarding does, and processes of `sidelog alerts run`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.clickhouse import columns, schema
from agent.clickhouse.address import ClickHouseAddress

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fleet.servers import Database

ROOT = Path(__file__).parents[2]
PAGE = """#!/bin/sh
# A page of its own for each run, whole when it has its name.
cd "{folder}" && cat > "$SIDELOG_DELIVERY_ID.$$.tmp" && mv "$SIDELOG_DELIVERY_ID.$$.tmp" "$SIDELOG_DELIVERY_ID.$$.json"
"""


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    """What a condition gives, once that is true.

    Raises:
        TimeoutError: it is not.
    """
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.05)
    return found


class Fleet:
    """A database with the tables of sidelog, to which agents forward."""

    def __init__(self, database: Database, urls: tuple[str, ...] = (), *, cluster: str | None = None) -> None:
        self.database = database
        self.address = ClickHouseAddress(urls or (database.url,), database.name)
        schema.make(self.address, cluster, replicated=database.is_old and cluster is not None, ttl_days=None)
        self._seq = 0

    @property
    def engine(self) -> str:
        return f"{self.database.url}?database={self.database.name}"

    def add(self, count: int = 1, *, agent: str = "a", ago_s: float = 0.0, group: int = 0, **more: Any) -> None:
        """Events of one agent, at one instant before now."""
        at = time.time_ns() - round(ago_s * 1e9)
        rows = []
        for _ in range(count):
            self._seq += 1
            record = {"message": "order lost", "logger": "shop.db", **more.get("record", {})}
            facts = {
                "agent": agent * 32,
                "seq": self._seq,
                "timestamp": at + self._seq,
                "observed_timestamp": at,
                "severity_number": more.get("severity", 17),
                "source": more.get("source", "shop"),
                "path": "/var/log/shop/app.log",
                "offset": self._seq * 100,
                "service": more.get("service", ""),
                "logger": "shop.db",
                "message": record["message"],
                "group": group,
                "record": json.dumps(record),
                "resource": json.dumps({"host.name": f"host-{agent}", "service.name": more.get("service", "")}),
            }
            rows.append(facts)
        self._insert("events", rows)

    def add_group(self, number: int, *, agent: str = "a", state: str = "new", ago_s: float = 0.0) -> None:
        """An error group, and its first event."""
        at = time.time_ns() - round(ago_s * 1e9)
        facts = {
            "agent": agent * 32,
            "group": number,
            "id": number,
            "fingerprint": f"{number:x}",
            "fingerprint_version": 1,
            "title": f"ValueError: {number}",
            "severity_number": 17,
            "category": "code",
            "state": state,
            "state_changed": at,
            "first_seen": at,
            "last_seen": at,
            "count": 1,
            "ver": at,
        }
        self._insert("groups", [facts])
        self.add(agent=agent, ago_s=ago_s, group=number)

    def _insert(self, table: str, rows: list[dict[str, Any]]) -> None:
        names = [name for name in columns.names(columns.TABLES[table]) if name in rows[0]]
        body = "\n".join(json.dumps(row) for row in rows)
        listed = ", ".join(f"`{name}`" for name in names)
        self.database.ask(f"INSERT INTO {table} ({listed}) FORMAT JSONEachRow", body, insert_distributed_sync=1)


class Judges:
    """Processes that judge the same rules, and the pages of their hooks."""

    def __init__(self, folder: Path, fleet: Fleet, rules: list[dict[str, Any]]) -> None:
        self._folder, self.fleet = folder, fleet
        self._pages = folder / "pages"
        self._pages.mkdir()
        hook = folder / "page.sh"
        hook.write_text(PAGE.format(folder=self._pages))
        hook.chmod(0o755)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.use(rules)

    def use(self, rules: list[dict[str, Any]]) -> None:
        """Write the configuration; for processes that are started from now on."""
        hooks = {"page": {"exec": [str(self._folder / "page.sh")]}}
        document = {"alerts": [{"hooks": ["page"], **rule} for rule in rules], "hooks": hooks}
        (self._folder / "alerts.json").write_text(json.dumps(document))

    def start(self, *more: str, clock: str = "") -> subprocess.Popen[bytes]:
        """Another one, with its clock off by so much (libfaketime's words) if any."""
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1") if clock else ("",)
        fake = {"LD_PRELOAD": str(library), "FAKETIME": clock, "FAKETIME_DONT_FAKE_MONOTONIC": "1"} if clock else {}
        log = (self._folder / f"log.{len(self.processes)}").open("wb")
        with log:
            one = subprocess.Popen(
                [
                    *(sys.executable, "-m", "agent", "alerts", "run", "-c", str(self._folder / "alerts.json")),
                    *("--engine", self.fleet.engine, "--interval", "200ms", "--lease", "3s", *more),
                ],
                cwd=ROOT,
                env=os.environ | {"TZ": "UTC", "NO_COLOR": "1"} | fake,
                stdout=log,
                stderr=log,
            )
        self.processes.append(one)
        return one

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `sidelog alerts` for them."""
        where = ("-c", str(self._folder / "alerts.json"), "--engine", self.fleet.engine)
        line = [sys.executable, "-m", "agent", "alerts", *words, *where]
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)

    def end(self) -> None:
        """Kill whatever runs."""
        for one in self.processes:
            if one.poll() is None:
                one.kill()
            one.wait(10)

    def holder(self) -> str:
        """Who has the lease; empty where nobody has."""
        rows = self.fleet.database.rows(
            "SELECT holder FROM leases FINAL WHERE until > toInt64(toUnixTimestamp(now())) * 1000000000"
        )
        return rows[0][0] if rows else ""

    def leader(self) -> subprocess.Popen[bytes]:
        """The process that has the lease."""

        def find() -> subprocess.Popen[bytes] | None:
            pid = self.holder().split("/")[1:2]
            return next((one for one in self.processes if [str(one.pid)] == pid and one.poll() is None), None)

        return wait_until(find, "a leader")

    def pages(self) -> list[dict[str, Any]]:
        """What hooks were told, in order; one document for each run."""
        found = [json.loads(path.read_text()) for path in self._pages.glob("*.json")]
        return sorted(found, key=lambda page: (page["started_at"], page["state"] != "firing", page["ended_at"] or ""))

    def told(self) -> list[tuple[str, str]]:
        """Rule and state of each page."""
        return [(page["rule"], page["state"]) for page in self.pages()]

    def wait_for(self, count: int, timeout_s: float = 60.0) -> list[dict[str, Any]]:
        """The pages, once there are so many."""
        try:
            wait_until(lambda: len(self.pages()) >= count, f"{count} pages", timeout_s)
        except TimeoutError:
            raise TimeoutError(f"{self.told()}: {self.logs()}") from None
        return self.pages()

    def waiting(self) -> list[tuple[str, str]]:
        """Ids and documents of the deliveries that are not known to be made."""
        return self.fleet.database.rows(
            "SELECT key, document FROM alerts FINAL WHERE kind = 'delivery' AND document != ''"
        )

    def wait_until_noted(self) -> None:
        """Until it is written down that every page was sent: a kill before that sends it again, under the same id."""
        wait_until(lambda: not self.waiting(), "the end of the deliveries")

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self._folder.glob("log.*")))

    def stop(self, one: subprocess.Popen[bytes]) -> int:
        """End one as systemd does."""
        one.send_signal(signal.SIGTERM)
        return one.wait(30)
