"""The proof on one's own disk: an agent that is killed again and again while lines are written and files rotated.

The lines follow from the seed and their number alone, so that nothing has to be remembered to judge the store.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec
import orjson

from agent.core.errors import SidelogError
from agent.core.patterns import lazy
from agent.core.text import counted
from agent.store.lock import owner
from agent.store.reader import open_reader
from agent.store.statistics import stored_records

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_SPACE_BYTES = 256 * 2**20  # a run of 1,000 kills takes less
_START_TIMEOUT_S = 30.0
_RUN_S = (0.02, 0.3)  # after the agent has taken its store
_EARLY = 0.15  # the share of kills that come before that time, while it still starts
_SEQ = lazy(r'\{"seq":(\d+),')


class Verdict(msgspec.Struct):
    """What the kill loop has shown."""

    seed: int
    kills: int = 0
    lines: int = 0
    rotations: int = 0
    lost: int = 0
    doubled: int = 0
    altered: int = 0
    seconds: float = 0.0
    examples: list[str] = []

    @property
    def passed(self) -> bool:
        """Whether every line is stored exactly once, as it was written."""
        return not (self.lost or self.doubled or self.altered)


def line(seed: int, number: int) -> str:
    """Line `number` of a run; from 90 to 1,400 bytes."""
    digest = blake2b(b"%d:%d" % (seed, number), digest_size=16).hexdigest()
    return (
        f'{{"seq":{number},"level":"info","logger":"selftest","message":"{digest * (1 + int(digest[:2], 16) % 42)}"}}'
    )


class LogWriter(threading.Thread):
    """An application: appends lines in bursts that end anywhere within a line, and rotates its file by renaming.

    Args:
        path: of the log file.
        seed: of lines, bursts and rotations.
        rotate_s: between which bounds the time until the next rotation is.
    """

    def __init__(self, path: Path, seed: int, *, rotate_s: tuple[float, float] = (0.3, 2.0)) -> None:
        super().__init__(name="selftest-writer", daemon=True)
        self._path = path
        self._seed = seed
        self._rotate_s = rotate_s
        self._random = random.Random(seed)  # noqa: S311  repeatable, not secret
        self._ended = threading.Event()
        self.lines = 0
        self.rotations = 0
        self.failure: OSError | None = None

    def run(self) -> None:
        """Write until `finish`."""
        try:
            while not self._ended.is_set():
                self._fill(time.monotonic() + self._random.uniform(*self._rotate_s))
                if not self._ended.is_set():
                    self.rotations += 1
                    self._path.rename(f"{self._path}.{self.rotations}")
        except OSError as error:
            self.failure = error

    def _fill(self, until: float) -> None:
        """One file, with whole lines at its end."""
        rest = b""
        with self._path.open("ab", buffering=0) as file:
            while time.monotonic() < until and not self._ended.wait(self._random.uniform(0.001, 0.02)):
                count = self._random.randint(1, 50)
                lines = [line(self._seed, self.lines + number).encode() for number in range(count)]
                self.lines += count
                data = rest + b"\n".join([*lines, b""])
                cut = len(data) - self._random.choice((0, self._random.randint(0, 90)))
                file.write(data[:cut])
                rest = data[cut:]
            file.write(rest)

    def finish(self) -> None:
        """End the current line and stop."""
        self._ended.set()
        self.join()
        if self.failure is not None:
            raise SidelogError.of("SL550", self._path.parent, why=self.failure) from None


class Launcher:
    """Agents as processes, see `launch_agents`.

    Args:
        config: their configuration file.
        log: where their output goes.
    """

    def __init__(self, config: Path, log: Path) -> None:
        self._log = log
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SIDELOG_", "NOTIFY_SOCKET", "WATCHDOG_"))}
        package = str(Path(__file__).parents[2])
        clean["PYTHONPATH"] = os.pathsep.join(filter(None, (package, clean.get("PYTHONPATH"))))
        self._process = subprocess.Popen(  # noqa: S603  this program itself
            [sys.executable, "-m", "agent.cli.killloop", str(config), str(log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=config.parent,
            env=clean,
            text=True,
        )

    def ask(self, command: str) -> int:
        """Give a command, wait for its answer."""
        assert self._process.stdin
        assert self._process.stdout
        answer = ""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer:
            raise self.died("the launcher of the agents has ended")
        return int(answer)

    def died(self, what: str) -> SidelogError:
        """The error for an agent that did something else than running until it was killed."""
        last = ""
        with contextlib.suppress(OSError):
            last = (deque(self._log.read_text(errors="replace").splitlines(), maxlen=1) or [""])[0]
        return SidelogError.of("SL551", self._log, what=what, last=last or "nothing")

    def close(self) -> None:
        """End the launcher and whatever it has started."""
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class KillLoop:
    """One run in a temporary directory, which is gone afterwards unless the verdict is bad.

    Args:
        directory: on the file system to be tested.
        kills: how many.
        seed: of everything random.

    Raises:
        SidelogError: SL550, the directory cannot be used; SL551, an agent ended by itself.
    """

    def __init__(self, directory: Path, kills: int, seed: int) -> None:
        try:
            self.root = Path(tempfile.mkdtemp(prefix="sidelog-selftest-", dir=directory))
            free = shutil.disk_usage(self.root).free
        except OSError as error:
            raise SidelogError.of("SL550", directory, why=error) from None
        self.keep = False
        if free < _SPACE_BYTES:
            self._remove()
            raise SidelogError.of("SL550.space", directory, free=free >> 20, needed=_SPACE_BYTES >> 20)
        self._kills = kills
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311  repeatable, not secret
        self.store = self.root / "sidelog.db"
        self.log = self.root / "agent.log"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.keep and not (isinstance(error, SidelogError) and error.code == "SL551"):
            self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    def run(self, progress: Callable[[int, int, str], None]) -> Verdict:
        """Kill, finish, judge.

        Args:
            progress: called with the kills done, the kills to do, and a note.
        """
        began = time.monotonic()
        logs = self.root / "logs"
        logs.mkdir()
        config = self.root / "sidelog.json"
        document = {
            "store": {"path": str(self.store), "min_free": "1MiB"},
            "sources": [{"name": "selftest", "include": [f"{logs}/app.log*"]}],
        }
        config.write_bytes(orjson.dumps(document))
        writer = LogWriter(logs / "app.log", self._seed)
        launcher = Launcher(config, self.log)
        try:
            writer.start()
            for kill in range(self._kills):
                self._kill_one(launcher)
                progress(kill + 1, self._kills, f"{writer.lines:,} lines")
            writer.finish()
            progress(self._kills, self._kills, "reading the rest")
            launcher.ask("once")
            if code := launcher.ask("wait"):
                raise launcher.died(f"the agent that was to read the rest ended with exit code {code}")
        finally:
            writer.finish()
            launcher.close()
        verdict = Verdict(self._seed, self._kills, writer.lines, writer.rotations)
        self._judge(verdict)
        verdict.seconds = time.monotonic() - began
        self.keep = not verdict.passed
        return verdict

    def _kill_one(self, launcher: Launcher) -> None:
        """Start an agent, let it take the store, and kill it some time later."""
        pid = launcher.ask("start")
        end = time.monotonic() + _START_TIMEOUT_S
        while (held := owner(self.store)) is None or held.pid != pid:
            if time.monotonic() > end or not _runs(pid):
                break
            time.sleep(0.001)
        time.sleep(
            self._random.uniform(0, _RUN_S[0]) if self._random.random() < _EARLY else self._random.uniform(*_RUN_S)
        )
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        code = launcher.ask("wait")
        if code != -signal.SIGKILL:
            raise launcher.died(f"an agent ended by itself with exit code {code}")

    def _judge(self, verdict: Verdict) -> None:
        """Count lines that are not there, there more than once, or not as they were written."""
        seen = bytearray(verdict.lines)
        connection = open_reader(self.store)
        try:
            for record in stored_records(connection):
                match = _SEQ.match(record)
                number = int(match[1]) if match else -1
                if not 0 <= number < verdict.lines or record != line(self._seed, number):
                    verdict.altered += 1
                    self._note(verdict, f"altered: {record[:100]}")
                elif seen[number]:
                    verdict.doubled += 1
                    self._note(verdict, f"doubled: line {number}")
                if 0 <= number < verdict.lines:
                    seen[number] = 1
        finally:
            connection.close()
        verdict.lost = seen.count(0)
        if verdict.lost:
            others = f" and {counted(verdict.lost - 1, 'other')}" if verdict.lost > 1 else ""
            self._note(verdict, f"lost: line {seen.index(0)}{others}")

    def _note(self, verdict: Verdict, what: str) -> None:
        if len(verdict.examples) < 10:  # noqa: PLR2004  enough to look for the reason
            verdict.examples.append(what)


def _runs(pid: int) -> bool:
    """Whether the process still works; one that has ended stays a zombie until it is waited for."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


# ---------------------------------------------------------------- the launcher's process


def launch_agents(config: str, log: str) -> None:
    """Start agents without importing the program anew each time: imported once, forked for every start.

    Commands come from standard input, one a line, and each is answered with one line: `start` and `once` fork an agent
    with that configuration, whose output goes to `log`, and give its pid; `wait` waits for it and gives its exit status
    (minus the signal that ended it). At the end of its input it kills what still runs. The agents are real processes:
    importing costs 0.4 s of CPU, which for a hundred starts would be most of it.
    """
    import agent.cli.run
    import agent.daemon  # noqa: F401  with all rooms

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end of the input says when to stop
    pid = 0
    for line in iter(sys.stdin.readline, ""):
        command = line.strip()
        if command == "wait":
            _, status = os.waitpid(pid, 0)
            pid, answer = 0, os.waitstatus_to_exitcode(status)
        else:
            pid = answer = _fork(config, log, once=command == "once")
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
    if pid:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _agent(config: str, log: str, *, once: bool) -> int:
    """In the child: the command `run`."""
    from agent.cli.main import run_command_line

    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    return run_command_line(["run", "-c", config, *(["--once"] if once else [])])


def _fork(config: str, log: str, *, once: bool) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = _agent(config, log, once=once)
    finally:
        os._exit(code)


if __name__ == "__main__":
    launch_agents(*sys.argv[1:])
