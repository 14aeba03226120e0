"""One scratch directory with log files, a store, and real agents that are started, killed, stopped and traced."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.crash import oracle
from tests.crash.generator import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.crash.oracle import Verdict

_ROOT = Path(__file__).parents[2]
_TIMEOUT_S = 30.0


class HarnessError(Exception):
    """The harness itself, or an agent that should have ended or gone on, did not."""


def wait_until(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Poll a condition.

    Raises:
        HarnessError: it did not come in time.
    """
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= end:
            raise HarnessError(f"{what} did not come within {timeout_s:g} s")
        time.sleep(0.003)


class Zygote:
    """The process that agents are forked from; see `zygote`."""

    def __init__(self) -> None:
        # Without coverage's start-up file in the children: its own writes would be counted as crash points.
        env = {k: v for k, v in os.environ.items() if not k.startswith(("SIDELOG_", "XDG_", "NOTIFY_", "COV"))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote"],
            cwd=_ROOT,
            env=env | {"TZ": "UTC", "NO_COLOR": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self._exits: dict[int, int] = {}
        self._started: list[int] = []
        self._partial = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def start(self, request: dict) -> int:
        """Fork an agent; its pid."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        wait_until(lambda: self._listen(0.05) or self._started, _TIMEOUT_S, "a forked process")
        return self._started.pop()

    def exit_code(self, pid: int, timeout_s: float = 0.0) -> int | None:
        """How the process ended (minus the signal), waiting for it at most so long; None while it runs."""
        end = time.monotonic() + timeout_s
        self._listen(0)
        while pid not in self._exits and (left := end - time.monotonic()) > 0:
            self._listen(min(left, 0.5))
        return self._exits.get(pid)

    def _listen(self, timeout_s: float) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        if not select.select([stdout], [], [], timeout_s)[0]:
            return
        data = os.read(stdout.fileno(), 65536)
        if not data:
            raise HarnessError("the process that agents are forked from has ended")
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            answer = json.loads(line)
            if "pid" in answer:
                self._exits.pop(answer["pid"], None)  # of an earlier process: within an hour numbers come again
                self._started.append(answer["pid"])
            else:
                self._exits[answer["exit"]] = answer["code"]


class Agent:
    """A forked agent."""

    def __init__(self, zygote: Zygote, pid: int) -> None:
        self.pid = pid
        self._zygote = zygote

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._zygote.exit_code(self.pid) is None

    def wait(self, timeout_s: float = _TIMEOUT_S) -> int:
        """Its exit code."""
        code = self._zygote.exit_code(self.pid, timeout_s)
        if code is None:
            self.send(signal.SIGKILL)
            raise HarnessError(f"the agent did not end within {timeout_s:g} s")
        return code

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.running:
                os.kill(self.pid, number)

    def holds(self, inode: int) -> bool:
        """Whether it has this file open."""
        with contextlib.suppress(OSError):
            for link in Path(f"/proc/{self.pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if link.stat().st_ino == inode:
                        return True
        return False


class Rig:
    """A scratch directory: `logs` with a generator at work, `state` with the store, and at most one agent.

    Args:
        root: is made, and removed at the end unless `keep`.
        zygote: where agents come from.
        seed: of the generator.
        mutants: bugs that are switched on in all agents of this rig.
        include: the pattern that is followed.
        store: another place for the store.
        header: as for World.
    """

    def __init__(
        self,
        root: Path,
        zygote: Zygote,
        seed: int,
        *,
        mutants: Sequence[str] = (),
        include: str = "*.log*",
        store: Path | None = None,
        header: int = 0,
    ) -> None:
        self.root = root
        self.logs = root / "logs"
        self.logs.mkdir(parents=True)
        self.store = store or root / "state" / "sidelog.db"
        self.output = root / "agent.err"
        self.agent: Agent | None = None
        self.mutants = list(mutants)
        self.world = World(
            self.logs,
            seed,
            stored=lambda: oracle.stored_lines(self.store),
            held=lambda inode: self.agent is not None and self.agent.holds(inode),
            header=header,
        )
        self._zygote = zygote
        self._config = root / "sidelog.json"
        self._include = include
        self._flush_interval = "50ms" if seed % 2 else "250ms"  # the latter: few lines wait, unread and uncommitted
        self.configure()

    def configure(self) -> None:
        """Write the configuration."""
        store = {"path": str(self.store), "flush_interval": self._flush_interval, "min_free": "0B"}
        sources = [{"name": "app", "include": [f"{self.logs}/{self._include}"]}]
        self._config.write_text(json.dumps({"store": store, "sources": sources}), encoding="utf-8")

    def remove(self) -> None:
        """End the agent, close the logs and remove the directory."""
        self.kill()
        self.world.close()
        shutil.rmtree(self.root, ignore_errors=True)

    # ------------------------------------------------------------ agents

    def start(self, *options: str, trace: Trace | None = None) -> Agent:
        """Start `sidelog run` without waiting for anything."""
        request = {
            "argv": ["run", "-c", str(self._config), *options],
            "cwd": str(self.root),
            "output": str(self.output),
            "mutants": self.mutants,
        }
        if trace is not None:
            request |= trace.prepare(self.root)
        self.agent = Agent(self._zygote, self._zygote.start(request))
        if trace is not None:
            trace.attach(self.agent)
        return self.agent

    def once(self, *, trace: Trace | None = None) -> int:
        """`sidelog run --once`: its exit code."""
        code = self.start("--once", trace=trace).wait()
        self.ended()
        if trace is not None:
            trace.finish()
        return code

    def ended(self) -> None:
        """The agent is gone: what it alone could still have read is nobody's fault any more."""
        self.agent = None
        self.world.agent_ended()

    def kill(self) -> int | None:
        """SIGKILL; the exit code, -9 unless the agent had ended before, or None if there is none."""
        if self.agent is None:
            return None
        self.agent.send(signal.SIGKILL)
        code = self.agent.wait()
        self.ended()
        return code

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.agent is not None
        self.agent.send(signal.SIGTERM)
        code = self.agent.wait()
        self.ended()
        return code

    def wait_stored(self, timeout_s: float = _TIMEOUT_S, *, least: int | None = None) -> None:
        """Wait until the store has as many events as lines must be there, or the agent has ended."""
        wanted = self.world.readable() if least is None else least
        wait_until(
            lambda: oracle.count_events(self.store) >= wanted or self.agent is None or not self.agent.running,
            timeout_s,
            f"event {wanted}",
        )

    def finish(self) -> None:
        """Let an undisturbed agent read everything to its end.

        Raises:
            HarnessError: it fails.
        """
        self.world.complete()
        code = self.once()
        if code:
            raise HarnessError(f"run --once ended with {code}: {self.said()[-500:]}")

    def verdict(self) -> Verdict:
        """What the store says against what was written."""
        return oracle.judge(self.store, self.world.manifest)

    def audit(self) -> int:
        """The exit code of the product's own `sidelog audit`."""
        request = {"argv": ["audit", "-c", str(self._config)], "cwd": str(self.root), "output": str(self.output)}
        return Agent(self._zygote, self._zygote.start(request)).wait()

    def said(self) -> str:
        """What the agents have written to stderr."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""


class Trace:
    """strace on one thread of an agent, `main` or `writer`: strace counts per thread, so each is counted alone.

    Args:
        role: which thread.
        calls: system calls to trace; of `write` alone only those to the agent's own log, for the others wake its
            event loop through a socket, which no disk fills.
        inject: what strace is to do at which of them, as in `-e inject=`; nothing to only count.
    """

    def __init__(self, role: str, calls: str, inject: str = "") -> None:
        self._role = role
        self._calls = calls
        self._inject = inject
        self._gate = self._output = Path()
        self._paths: list[str] = []
        self._process: subprocess.Popen | None = None

    def prepare(self, root: Path) -> dict:
        """What the request for the agent needs."""
        self._gate = root / "gate"
        self._paths = ["-P", str(root / "agent.err")] if self._calls == "write" else []
        self._output = root / "strace.out"
        for path in (self._gate, self._gate.with_name("gate.tid"), self._output):
            path.unlink(missing_ok=True)
        os.mkfifo(self._gate)
        return {"role": self._role, "gate": str(self._gate)}

    def attach(self, agent: Agent) -> None:
        """Wait until the thread has come to its gate, trace it, and let it go on.

        Raises:
            HarnessError: strace is not allowed to.
        """
        announced = self._gate.with_name("gate.tid")
        wait_until(lambda: announced.exists() or not agent.running, _TIMEOUT_S, "the thread to trace")
        if not announced.exists():
            return  # it ended before it had this thread
        thread = announced.read_text()
        inject = ["-e", f"inject={self._inject}"] if self._inject else []
        command = [
            "strace",
            "-qq",
            "-y",  # the path of each descriptor
            "-e",
            f"trace={self._calls}",
            *inject,
            *self._paths,
            "-o",
            str(self._output),
            "-p",
            thread,
        ]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE)
        status = Path(f"/proc/{agent.pid}/task/{thread}/status")
        wait_until(lambda: _is_traced(status) or self._failed(), _TIMEOUT_S, "the tracer")
        with self._gate.open("wb"):
            pass

    def _failed(self) -> bool:
        assert self._process is not None
        assert self._process.stderr is not None
        if self._process.poll() is None:
            return False
        raise HarnessError(f"strace: {self._process.stderr.read().decode()}")

    def finish(self) -> None:
        """Wait for strace after the agent has ended.

        Raises:
            HarnessError: it goes on.
        """
        if self._process is not None:
            try:
                self._process.communicate(timeout=_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()
                raise HarnessError("strace did not end after the thread that it traced") from None

    def fired(self) -> bool:
        """Whether an error was injected."""
        return "(INJECTED)" in self.lines()

    def lines(self) -> str:
        """What strace has written."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""


def _is_traced(status: Path) -> bool:
    try:
        return "TracerPid:\t0\n" not in status.read_text()
    except OSError:
        return True  # it is gone; so is the need to wait


def strace_problem() -> str:
    """Why strace cannot be used here; empty where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    target = subprocess.Popen(["sleep", "30"])
    try:
        command = ["strace", "-qq", "-e", "trace=none", "-p", str(target.pid)]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE)
        status = Path(f"/proc/{target.pid}/status")
        wait_until(lambda: tracer.poll() is not None or "TracerPid:\t0\n" not in status.read_text(), 10, "strace")
        if tracer.poll() is None:
            tracer.terminate()
            tracer.communicate()
            return ""
        return f"strace may not trace: {tracer.communicate()[1].decode().strip()}"
    finally:
        target.kill()
        target.wait()
