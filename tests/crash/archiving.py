"""Every write-class system call of `archive run`, in its own process and in the worker's, in turn the last one."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import sys
from collections import Counter
from typing import TYPE_CHECKING

from agent.parse.logredactor import LogRedactor
from tests.crash import strace
from tests.integration.archiving import archives, configure, content, leftovers
from tests.integration.harness import Box, append, events
from tests.sources import parsing

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crash.strace import Outcome, Point

CALLS = ("pwrite64", "fsync", "fdatasync", "rename", "unlink", "write", "fchmodat", "chmod", "mkdir")


class Scene:
    """A followed log that was rotated, a compressed one never followed, one that has grown since it was archived,
    and the one that is written now.
    """

    def __init__(self, root: Path, mutant: str = "") -> None:
        root.mkdir(exist_ok=True)
        self.box = Box(root)
        configure(self.box, delete_source=False)
        self._mutant = mutant
        self.box.log.write_bytes(events(0, 50))
        grown = self.box.logs / "app.log.3"
        grown.write_bytes(events(300, 20))
        self.box.once()
        append(grown, events(320, 5))
        configure(self.box)
        self.logs = [self.box.log.read_bytes(), events(100, 30), grown.read_bytes()]
        self.files = [self.logs[0], gzip.compress(self.logs[1]), self.logs[2]]  # as they lie there
        self.digests = [hashlib.sha256(log).hexdigest() for log in self.logs]
        self.box.log.rename(self.box.logs / "app.log.1")
        (self.box.logs / "app.log.2.gz").write_bytes(self.files[1])
        self.box.log.write_bytes(events(200, 1))

    def command(self) -> list[str]:
        """`archive run`, with the mutant."""
        program = ["-m", "agent"] if not self._mutant else ["-m", "tests.crash.archiving", "run"]
        return [sys.executable, *program, "archive", "run", "-c", str(self.box.config)]

    def env(self) -> dict[str, str]:
        """Its environment."""
        return strace.uncovered(self.box) | {_MUTANT: self._mutant}

    def problems(self) -> list[str]:
        """What is wrong now that everything should be archived."""
        found = []
        wanted, there = Counter(self.logs), Counter(content(self.box))
        if there != wanted:
            found.append(f"{(wanted - there).total()} logs lost, {(there - wanted).total()} too many")
        known = [row[0] for row in self.box.sql("SELECT path FROM archives ORDER BY id")]
        if known != [str(path) for path in archives(self.box)]:
            found.append(f"the store knows {known}")
        if rest := leftovers(self.box):
            found.append(f"left: {rest}")
        if names := sorted(path.name for path in self.box.logs.iterdir() if path.name != "app.log"):
            found.append(f"not deleted: {names}")
        if (verified := self.box.run("archive", "verify")).returncode:
            found.append(verified.stderr.decode())
        return found


class RedactionScene:
    """Two archives of logs that were kept, of one that was followed and one that was not, whose source has got `redact`
    since; they are to be made anew.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(exist_ok=True)
        self.box = Box(root)
        configure(self.box, delete_source=False)
        self.box.log.write_bytes(events(0, 50))
        self.box.once()
        self.box.log.rename(self.box.logs / "app.log.1")
        (self.box.logs / "app.log.2").write_bytes(events(100, 30))
        self.box.log.touch()
        self.box.run("archive", "run")
        redactor = LogRedactor(parsing(redact=["message"]))
        logs = [(self.box.logs / name).read_bytes() for name in ("app.log.1", "app.log.2")]
        self._wanted = Counter(redactor.feed(log) for log in logs)
        configure(self.box, {"redact": ["message"]}, delete_source=False)

    def command(self) -> list[str]:
        """`archive run --redact`."""
        return [sys.executable, "-m", "agent", "archive", "run", "--redact", "-c", str(self.box.config)]

    def env(self) -> dict[str, str]:
        """Its environment."""
        return strace.uncovered(self.box)

    def problems(self) -> list[str]:
        """What is wrong now that all archives should be redacted."""
        found = []
        if (there := Counter(content(self.box))) != self._wanted:
            found.append(f"{(self._wanted - there).total()} archives lost, {(there - self._wanted).total()} too many")
        known = [row[0] for row in self.box.sql("SELECT path FROM archives ORDER BY id")]
        if known != [str(path) for path in archives(self.box)]:
            found.append(f"the store knows {known}")
        if rest := leftovers(self.box):
            found.append(f"left: {rest}")
        if (counted := self.box.run("query", "--count").stdout) != b"80\n":
            found.append(f"events: {counted}")
        again = json.loads(self.box.run("archive", "run", "--json").stdout)
        if again["archived"] or again["failed"]:
            found.append(f"archived again: {again}")
        if (verified := self.box.run("archive", "verify")).returncode:
            found.append(verified.stderr.decode())
        return found


SCENES = {"archive": Scene, "redact": RedactionScene}


def count(root: Path, scene: str = "archive") -> list[Point]:
    """All points, of its own process and of the worker's."""
    return strace.count(SCENES[scene](root), CALLS)


def crash(root: Path, point: Point, mutant: str = "", scene: str = "archive") -> Outcome:
    """Kill at a point, run again, and judge."""
    return strace.crash(Scene(root, mutant) if mutant else SCENES[scene](root), point, children=True)


# ---------------------------------------------------------------- bugs to be found


def _delete_before_verify() -> None:
    """The log goes as soon as it is compressed, before the archive is read back and named."""
    from agent.archive import worker

    finish = worker._finish

    def mutated(order: object, log: object, *rest: object) -> object:
        os.unlink(log.path)  # noqa: PTH108
        return finish(order, log, *rest)

    worker._finish = mutated


def _flush_nothing() -> None:
    """Neither the archive nor its directory is flushed."""
    os.fsync = lambda _: None


def _index_loosely() -> None:
    """The index is not flushed before the log is deleted."""
    from agent.archive.archiver import Archiver

    init = Archiver.__init__

    def mutated(self: Archiver, config: object, change: object, report: object, **rest: object) -> None:
        init(self, config, lambda function, *, durable: change(function, durable=False), report, **rest)

    Archiver.__init__ = mutated


_MUTANT = "CRASH_MUTANT"  # in the environment, so that the worker knows it as well
MUTANTS = {
    "delete before verify": _delete_before_verify,
    "flush nothing": _flush_nothing,
    "index loosely": _index_loosely,
}


def _run() -> None:
    from agent.archive import process, worker
    from agent.cli.main import run_command_line

    mutant = os.environ[_MUTANT]
    owner = sys.argv[1:2] == ["run"]
    if mutant != "flush nothing" or not owner:  # the store is to be flushed as ever
        MUTANTS[mutant]()
    if owner:
        process.MODULE = "tests.crash.archiving"
        sys.exit(run_command_line(sys.argv[2:]))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    worker.main()


if __name__ == "__main__":
    _run()
