"""A person at work around an agent, and what must be true afterwards: logs, settings, backups, and the model of both.

The model knows every line, and by which settings it may have been read. Once an event was seen it is pinned: what is
stored keeps its source, labels and host for ever, but where an older store takes its place the line may be read again.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.crash import oracle
from tests.crash.changing_logs import LOGS, Sources, lines_of
from tests.crash.rig import Agent, HarnessError, wait_until
from tests.integration.archiving import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.crash.rig import Zygote

SECRET = b"hunter2"
Reading = tuple[str, str, str]  # source, team and host by which a line was read


@dataclass(slots=True)
class Line:
    """A line that was written."""

    log: str
    may_be: set[Reading] = field(default_factory=set)
    pinned: Reading | None = None  # as which it was found


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of the store, and what was known of the events in it."""

    path: Path
    pins: dict[int, Reading]
    archives: frozenset[str]  # that it knows


class Scene:
    """One directory with logs, an agent, its configuration, and a model of what must be stored.

    Args:
        root: is made.
        zygote: where processes are forked from.
        mutants: bugs that are switched on in all of them.
    """

    def __init__(self, root: Path, zygote: Zygote, mutants: Iterable[str] = ()) -> None:
        self.root = root
        self.sources = Sources(root / "logs")
        self.state = root / "state"
        self.agent: Agent | None = None
        self.lines: dict[int, Line] = {}
        self.backups: list[Backup] = []
        self.host = ""
        self.redacting = False
        self.unhealed = False  # an older store was put back and the archives were not indexed since
        self.partition = [(f"s{log}", [log]) for log in LOGS]
        self.team = "t0"
        self.problems: list[str] = []
        self._zygote = zygote
        self._mutants = list(mutants)
        self._names = iter(range(1, 10**6))
        self._output = root / "agent.err"
        self._config = root / "sidelog.json"
        for log in LOGS:
            self.sources.append(log, [])
        self.write_settings()

    # ------------------------------------------------------------ settings

    def write_settings(self) -> None:
        """Write the configuration."""
        redact = {"redact": ["password"]} if self.redacting else {}
        folders = [self.sources.directory]
        sources = [
            {
                "name": name,
                "include": [f"{folder}/{log}.log*" for folder in folders for log in logs],
                "labels": {"team": self.team},
                **redact,
            }
            for name, logs in self.partition
        ]
        store = {"path": str(self.state / "sidelog.db"), "flush_interval": "50ms", "min_free": "0B"}
        document = {"store": store, "sources": sources, "archive": {"quiet": "0s"}}
        written = self._config.with_suffix(".new")
        written.write_text(json.dumps(document), encoding="utf-8")
        written.rename(self._config)  # at once: an agent may be reading it

    def change(self, seed: int, what: str) -> None:
        """Other settings, that a running agent takes by SIGHUP."""
        choice = random.Random(seed)
        if what == "sources":
            names = choice.sample(["sa", "sb", "sc", "shop", "all"], 3)
            cut = choice.randint(1, 3)
            logs = choice.sample(LOGS, 3)
            parts = [logs[:cut], *([log] for log in logs[cut:])]
            self.partition = list(zip(names, parts, strict=False))
            if choice.random() < 0.3:  # a narrow one before a wide one, which matches everything
                self.partition = [(names[0], [logs[0]]), (names[1], ["*"])]
        elif what == "team":
            self.team = f"t{choice.randint(0, 3)}"
        else:
            self.redacting = True
        self.write_settings()
        if self.agent is not None:
            wait_until(lambda: "agent started" in self.said_since_start(), 30, "the agent's start")
            before = self.said().count("configuration reloaded")
            self.agent.send(signal.SIGHUP)
            wait_until(lambda: self.said().count("configuration reloaded") > before or self.died(), 30, "the reload")

    def reading(self, log: str) -> Reading:
        """As what a line of this log is read now."""
        name = next(name for name, logs in self.partition if log in logs or "*" in logs)
        return name, self.team, self.host or os.uname().nodename

    def note(self) -> None:
        """Reading goes on by the present settings: whatever was not seen in the store yet may be read by them."""
        for line in self.lines.values():
            if line.pinned is None:
                line.may_be.add(self.reading(line.log))

    # ------------------------------------------------------------ processes

    def run(self, *argv: str, expect: Iterable[int] = (0,)) -> str:
        """A command, to its end: what it printed."""
        output = self.root / f"command-{next(self._names)}.out"
        code = self._fork(argv, output).wait()
        said = output.read_text(errors="replace") if output.exists() else ""
        if code not in expect or "SL999" in said:
            self.problems.append(f"{' '.join(argv)} ended with {code}: {said[-1500:]}")
        return said

    def start(self) -> None:
        """Start the agent, without waiting for anything."""
        if self.agent is None:
            self._before = len(self.said())
            self.agent = self._fork(["run"], self._output)

    def _fork(self, argv: Iterable[str], output: Path) -> Agent:
        command, *rest = argv
        request = {
            "argv": [command, "-c", str(self._config), *rest],
            "cwd": str(self.root),
            "output": str(output),
            "mutants": self._mutants,
            "host": self.host,
        }
        return Agent(self._zygote, self._zygote.start(request))

    def end(self, number: signal.Signals) -> None:
        """SIGTERM or SIGKILL."""
        if self.agent is None:
            return
        if number == signal.SIGTERM:
            wait_until(lambda: "agent started" in self.said_since_start() or self.died(), 30, "the agent's start")
        self.agent.send(number)
        code = self.agent.wait()
        if code != (0 if number == signal.SIGTERM else -9):
            self.problems.append(f"the agent ended with {code}: {self.said()[-1500:]}")
        self.agent = None

    def died(self) -> bool:
        return self.agent is None or not self.agent.running

    def said(self) -> str:
        """What all agents have written."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def said_since_start(self) -> str:
        return self.said()[self._before :]

    # ------------------------------------------------------------ lines

    def write(self, log: str, count: int) -> None:
        """Lines, with a secret where that is to be redacted."""
        lines = []
        for _ in range(count):
            number = len(self.lines)
            secret = {"password": SECRET.decode()} if self.redacting else {}
            now = datetime.now(UTC).isoformat()
            row = {
                "timestamp": now,
                "level": "info",
                "message": f"line {number}",
                "stream": log,
                "seq": number,
                **secret,
            }
            lines.append(json.dumps(row).encode() + b"\n")
            self.lines[number] = Line(log)
        self.sources.append(log, lines)

    def sync(self) -> None:
        """Wait until a running agent has stored what lies in the files, and look at it."""
        if self.agent is None:
            return
        store = self.state / "sidelog.db"

        def caught_up() -> bool:
            return self.died() or self.sources.present() <= oracle.stored_lines(store)

        try:
            wait_until(caught_up, 30, "the storing of all lines")
        except HarnessError:
            missing = sorted(self.sources.present() - oracle.stored_lines(store))
            self.problems.append(f"not stored within 30 s: {missing[:9]}: {self.said()[-1500:]}")
        if self.died():
            self.problems.append(f"the agent died: {self.said()[-1500:]}")
        self.look()

    def look(self, *, final: bool = False) -> None:
        """Compare what a query finds with the model, and pin it."""
        found: dict[int, Reading] = {}
        archived = (0,) if final or not self.unhealed else (0, 1)
        said = self.run("query", "-n", "all", "-o", "json", expect=archived)
        for row in map(json.loads, filter(_is_row, said.splitlines())):
            number, resource = row["attributes"].get("seq"), row["resource"]
            if number is None:
                self.problems.append(f"an event is no line: {row}")
                continue
            if number in found:
                self.problems.append(f"line {number} is found twice")
            found[number] = row["source"], resource.get("team", ""), resource.get("host.name", "")
        for number, line in self.lines.items():
            seen = found.get(number)
            if seen is None:
                if final or (line.pinned is not None and not self.unhealed):
                    self.problems.append(f"line {number} of {line.log} is lost (it was {line.pinned})")
            elif line.pinned is not None and seen != line.pinned:
                self.problems.append(f"line {number} was {line.pinned} and is {seen} now")
            elif seen not in line.may_be:
                self.problems.append(f"line {number} is {seen}, and was never to be: {sorted(line.may_be)}")
            else:
                line.pinned = seen

    def link(self, log: str) -> None:
        """Give the log another target, unless no agent has ever seen the present one: then it would be nobody's."""
        written = lines_of(self.sources.path(log))
        if not self.sources.is_link(log) or written & oracle.stored_lines(self.state / "sidelog.db"):
            self.sources.link(log)

    def compress(self, log: str) -> None:
        """Compress a rotation of which every line was seen in the store: what was not is nobody's yet."""
        self.sync()
        if all(line.pinned is not None for line in self.lines.values() if line.log == log):
            self.sources.compress(log)

    # ------------------------------------------------------------ backups

    def backup(self) -> None:
        """A copy of the store, of what was seen in it."""
        if not (self.state / "sidelog.db").exists():
            return
        self.look()
        path = self.root / f"backup-{next(self._names)}.db"
        self.run("backup", str(path))
        pins = {number: line.pinned for number, line in self.lines.items() if line.pinned is not None}
        self.backups.append(Backup(path, pins, frozenset(self._archives())))

    def restore(self, number: int) -> None:
        """Put one of the backups in the store's place, or where a store was that is gone but for its log."""
        if self.agent is not None or not self.backups:
            return
        chosen = self.backups[number % len(self.backups)]
        if number % 3 == 0:
            (self.state / "sidelog.db").unlink(missing_ok=True)
        said = self.run("restore", "--force", str(chosen.path))
        if set(self._archives()) - chosen.archives and "reindex" not in said:
            self.problems.append(f"the restore does not name archives that the store does not know: {said[-500:]}")
        self.unhealed = True
        for n, line in self.lines.items():
            pin = chosen.pins.get(n)
            if pin is None and line.pinned is not None:  # read again, or in an archive as what it was
                line.may_be |= {one.pinned for one in self.lines.values() if one.pinned and one.log == line.log}
            line.pinned = pin

    def move(self) -> None:
        """State and archives lie elsewhere from now on."""
        if self.agent is not None:
            return
        if self.state.exists():
            self.state = self.state.rename(self.root / f"state-{next(self._names)}")
        self.write_settings()

    def heal(self) -> None:
        """Let the store know all archives again."""
        if self.unhealed and self.agent is None:
            self.run("archive", "run", "--reindex")
            self.unhealed = False

    def redact(self) -> None:
        """Make archives anew that were made before something was to be redacted."""
        if self.agent is None and (self.state / "sidelog.db").exists():
            self.run("archive", "run", "--redact")

    def _archives(self) -> list[str]:
        return [path.name for path in self.state.glob("archive/*/*.zst")]

    # ------------------------------------------------------------ the end

    def finish(self) -> None:
        """Let everything be read and archived, and judge."""
        self.end(signal.SIGTERM)
        self.heal()
        self.note()
        self.run("run", "--once")
        self.run("run", "--once")
        self.note()
        self.run("archive", "run")
        self.look(final=True)
        counted = self.run("query", "--count")
        if str(len(self.lines)) != counted.strip():
            self.problems.append(f"--count says {counted.strip()} of {len(self.lines)}")
        for command in (("audit",), ("verify",), ("archive", "verify")):
            self.run(*command)
        if "SL999" in self.said():
            self.problems.append(f"SL999: {self.said()[-1500:]}")
        self.problems += [f"a store was damaged: {path.name}" for path in self.state.glob("*.damaged-*Z")]
        self._look_for_secrets()

    def _look_for_secrets(self) -> None:
        for path in self.root.rglob("*"):
            if not path.is_file() or path.parent in {self.sources.directory, self.sources.targets}:
                continue
            if SECRET in (unpacked(path) if path.suffix == ".zst" else path.read_bytes()):
                self.problems.append(f"{path.relative_to(self.root)} holds a secret")

    def remove(self) -> None:
        """End the agent and remove the directory."""
        if self.agent is not None:
            self.agent.send(signal.SIGKILL)
            self.agent.wait()
            self.agent = None
        shutil.rmtree(self.root, ignore_errors=True)


def _is_row(line: str) -> bool:
    return line.startswith("{")
