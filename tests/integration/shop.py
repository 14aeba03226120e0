"""A machine with some history, for what documentation tells to type: two sources, groups of errors, rules that have
fired, an archived log; and a shell in a directory of its own, whose paths lead into the machine.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.integration.harness import append, wait_until
from tests.integration.test_operations import Machine

if TYPE_CHECKING:
    from pathlib import Path

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"  # as the pages have it
ARCHIVES = r"app-\d{8}T\d{6}Z-\d+(\.log\.zst)?"  # names of archives in the pages
DELIVERY = "1f0c5a9be4d27a6638c0d9f1"
CONFIGURATION = """\
store: {path: /var/lib/sidelog/sidelog.db}
sources:
  - name: shop
    include: [/var/log/shop/*.log]
    labels: {service.name: shop, service.version: '1.3'}
  - name: web
    include: [/var/log/web/*.log]
archive: {directory: /var/lib/sidelog/archive, quiet: 0s}
alerts:
  - {name: error-rate, match: 'severity>=error', when: {count: 5}, window: 5m, per: [service], hooks: [page]}
  - {name: disk, match: '"disk is full"', when: {count: 1}, window: 5m, per: [logger], hooks: [chat]}
hooks:
  page: {exec: [/etc/sidelog/hooks/page.sh]}
  chat: {exec: [/etc/sidelog/hooks/page.sh]}
"""
LINE = '{"time":"2026-11-22T06:29:31Z","level":"error","message":"payment failed"}\n'
PATHS = re.compile(r"(?<![\w.~])/(?=(?:etc|var|srv|data|backup|mnt|tmp)\b)")
TYPES = [f"{name}Error" for name in ("Key", "Value", "Type", "OS", "Lookup", "Runtime", "Index", "EOF", "Name")]
TYPES += [f"{name}Error" for name in ("Attribute", "Buffer", "Import", "Memory")]  # thirteen groups
TOOLS = {  # of other machines and of the service manager
    "ssh": 'shift; exec "$@"',
    "journalctl": 'echo "2026-11-22 06:29:31 WARN till: drawer 0 is stuck"',
}


def evening() -> str:
    """A zone in which it is between 18 and 19 o'clock, so that the times of day in the pages have passed."""
    ahead = 18 - datetime.now(UTC).hour
    return f"Etc/GMT{-(ahead if ahead <= 14 else ahead - 24):+d}"  # 14: the easternmost that there is


class Shop(Machine):
    """The machine, and what the pages tell to type on it."""

    def __init__(self, root: Path, capfd) -> None:
        super().__init__(root, capfd)
        self._lines = self._pages = 0
        for place in ("/var/log/web", "/data", "/backup", "/mnt/usb", "/tmp", "/etc/sidelog/hooks", "/var/lib/shipper"):
            self.path(place).mkdir(parents=True)
        for name, line in TOOLS.items():
            self._tool(f"/bin/{name}", line)
        self._tool("/etc/sidelog/hooks/page.sh", f"cat > {root}/page.json")
        self.path("/etc/sidelog/sidelog.yaml").write_text(self.own(CONFIGURATION))
        for directory in (".local/share/bash-completion/completions", ".zfunc", ".config/fish/completions"):
            self.path(directory).mkdir(parents=True)
        self.env |= {"STATE_DIRECTORY": str(self.path("/data/state")), "PAGER": "cat", "TZ": evening()}
        self.write_history()

    def write_history(self) -> None:
        """Lines of the last minutes, of which the oldest lie in an archive."""
        log = self.path("/var/log/shop/app.log")
        self.path("/var/log/shop.log").write_text(LINE)
        self.log(40)
        self.sh("sidelog run --once")
        log.rename(log.with_name("app.log.1"))
        self.log(20, start=40)
        self.sh("sidelog run --once\nsidelog archive run")
        assert not log.with_name("app.log.1").exists()

    def log(self, count: int, *, start: int = 0, message: str = "") -> None:
        """Lines in both logs, every fourth an error."""
        now = datetime.now(UTC)
        for number in range(start, start + count):
            row = {"time": (now - timedelta(seconds=start + count - number)).isoformat(), "level": "info"}
            row |= {"message": message or f"order {number} placed", "logger": "shop.orders", "user": "ann"}
            row |= {"route": "/cart", "duration_ms": number, "http": {"status": 200}, "trace_id": TRACE}
            if number % 4 == 0:
                kind = TYPES[number // 4 % len(TYPES)]
                row |= {"level": "ERROR", "message": message or f"payment failed, {kind.lower()} timeout"}
                row |= {"exc_type": kind, "http": {"status": 500}, "logger": f"shop.{kind.lower()}"}
            append(self.path("/var/log/shop/app.log"), json.dumps(row).encode() + b"\n")
            append(self.path("/var/log/web/access.log"), json.dumps(row | {"logger": "web"}).encode() + b"\n")

    def _tool(self, place: str, line: str) -> None:
        self.path(place).write_text(f"#!/bin/sh\n{line}\n")
        self.path(place).chmod(0o755)

    def own(self, text: str) -> str:
        """A text of a page with the paths, archives and deliveries of this machine."""
        text = PATHS.sub(f"{self.root}/", text)
        if re.search(ARCHIVES, text):
            text = re.sub(ARCHIVES, self._archive(), text)
        return text.replace(DELIVERY, self._delivery()) if DELIVERY in text else text

    def _archive(self) -> str:
        [name, *_] = sorted(self.path("/var/lib/sidelog/archive/shop").glob("*.zst"))
        return name.name

    def _delivery(self) -> str:
        said = self.sh("""sidelog sql --json "SELECT delivery_id FROM deliveries WHERE state = 'dead'" """)
        return str(json.loads(said)[0]["delivery_id"])

    def lose(self, place: str) -> None:
        """Take a store away."""
        for file in self.path(place).parent.glob(f"{self.path(place).name}*"):
            file.unlink()

    def fail_a_page(self) -> None:
        """A delivery is dead; those before were made, and nobody has silenced it."""
        self.sh("sidelog alerts unsilence disk || true\nsidelog run --once")
        self._pages += 1
        self.log(1, start=self._pages * 4, message=f"the disk is full, {self._pages}")
        self.sh("sidelog run --once --set 'hooks.chat.exec=[/bin/false]' --set hooks.chat.retries=0 || true")

    def keep_a_store(self, place: str) -> None:
        """A copy of the store, where there is none."""
        if not self.path(place).exists():
            self.sh(f"sidelog backup {self.path(place)}")

    def take_over(self, capfd) -> None:
        """Go on in another test."""
        self._capfd = capfd

    def directory(self) -> Path:
        """A directory to work in, with files of the names that examples have; and nothing in /tmp."""
        for file in self.path("/tmp").iterdir():  # of the machine
            file.unlink()
        self._lines += 1
        self.cwd = self.path(f"/home/{self._lines}")
        self.cwd.mkdir(parents=True)
        for name in ("shop.log", "web.log", "till.log"):
            (self.cwd / name).write_text(LINE)
        for name in ("shop.log.1.gz", "old.log.gz"):
            (self.cwd / name).write_bytes(gzip.compress(LINE.encode()))
        return self.cwd

    def type(self, line: str) -> str:
        """Execute one line of a page; one that goes on by itself until it has done what it does."""
        own = self.own(line)
        if re.search(r"sidelog (query|-c \S+ query) .*-f\b|sidelog query -f\b", own):
            return self._until(own, lambda out, err: b"\n" in out)
        if re.search(r"sidelog (-c \S+ )?run (?!-( |$))(?!.*--once)", own):
            return self._until(own, lambda out, err: b"agent started" in err)
        return self.sh(own)

    def _until(self, line: str, done) -> str:
        out, err = self.cwd / "out", self.cwd / "err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                ["sh", "-c", f"exec {line}"], cwd=self.cwd, env=self.env, stdout=stdout, stderr=stderr,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        try:
            wait_until(lambda: process.poll() is not None or done(out.read_bytes(), err.read_bytes()), what=line)
            assert process.poll() is None, (line, err.read_text())
            process.send_signal(signal.SIGINT)
            assert process.wait(60) in (0, 130), (line, err.read_text())
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return out.read_text()
