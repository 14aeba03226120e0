"""Every write-class system call of a scripted run, each in turn the last one (SIGKILL) or the one that fails.

The script has four phases: an empty store, a restart over rotated files, a restart over recreated ones, and a live
agent whose files are rotated under it. A point is (phase, thread, system call, how many-th): phases before it run
undisturbed, its own is hit, and what the script has left is done after a restart without faults. Then the oracle
judges.
"""

from __future__ import annotations

import random
import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, NamedTuple

from tests.crash.generator import Op
from tests.crash.rig import HarnessError, Rig, Trace, Zygote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.crash.oracle import Verdict

CALLS = (
    "write", "pwrite64", "fdatasync", "fsync", "rename", "renameat", "renameat2", "unlink", "unlinkat", "ftruncate",
)  # fmt: skip
ROLES = ("main", "writer")
FAULTS = ("KILL", "ENOSPC", "EIO")
_CALL = re.compile(r"^(?:\d+ +)?([a-z0-9_]+)\(([^,)]*)", re.MULTILINE)  # name and first argument


Counts = dict[tuple[int, str, str], int]  # (phase, thread, system call) -> how often


class Phase(NamedTuple):
    """What the source does before an agent starts, and, for a live agent, while it runs."""

    name: str
    before: tuple[Op, ...]
    live: tuple[Op, ...] = ()


PHASES = (
    Phase("new store", (Op("write", "a", 12), Op("write", "b", 5))),
    Phase(
        "rotated while down",
        (
            Op("write", "a", 6), Op("rename", "a", 2), Op("write", "a", 5),
            Op("write", "b", 4), Op("copytruncate", "b"), Op("write", "b", 3),
            Op("dateext", "a"), Op("write", "c", 4),
        ),
    ),
    Phase(
        "recreated while down",
        (Op("recreate", "c"), Op("write", "c", 9), Op("rename", "b"), Op("gzip", "a"), Op("write", "a", 3)),
    ),
    Phase(
        "live",
        (Op("write", "a", 3),),
        (
            Op("write", "b", 5), Op("rename", "b", 1), Op("write", "b", 2), Op("fragment", "a", 40),
            Op("copytruncate", "a"), Op("write", "a", 9), Op("gzip", "b"), Op("recreate", "c"), Op("write", "c", 3),
        ),
    ),
)  # fmt: skip


class Point(NamedTuple):
    """One call of one thread in one phase, and what happens to it."""

    phase: int
    role: str
    call: str
    number: int
    fault: str

    def __str__(self) -> str:
        return (
            f"{self.fault} at {self.call} {self.number} of the {self.role} thread in phase '{PHASES[self.phase].name}'"
        )


@dataclass(slots=True)
class Outcome:
    """What became of a point."""

    point: Point
    fired: bool
    verdict: Verdict | None = None
    ended: bool = False  # the agent did not survive an error and was started again
    seconds: float = 0.0  # that the phase took, with the agent's own recovery
    problem: str = ""

    @property
    def green(self) -> bool:
        """Nothing is wrong."""
        return not self.problem and self.verdict is not None and self.verdict.green


class Enumerator:
    """Counts and tries points, several at a time.

    Args:
        folder: for scratch directories.
        seed: of the lines.
        parallel: zygotes and agents at a time.
        mutants: bugs to switch on.
        brief: leave out the phases after the one that was hit.
    """

    def __init__(
        self, folder: Path, seed: int, *, parallel: int = 2, mutants: Sequence[str] = (), brief: bool = False
    ) -> None:
        self._folder = folder
        self._seed = seed
        self._mutants = mutants
        self._brief = brief
        self._own = local()
        self._zygotes: list[Zygote] = []
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="points")

    def close(self) -> None:
        """End all processes."""
        self._pool.shutdown()
        for zygote in self._zygotes:
            zygote.__exit__()

    def count(self, *, follow: bool = False) -> Counts:
        """How often each thread makes each call in each phase; `follow` as for the points that fail."""
        counted = self._pool.map(lambda role: self._count(role, follow=follow), ROLES)
        return dict(sorted((key, number) for part in counted for key, number in part.items()))

    def run(self, points: Iterable[Point], done: Callable[[Outcome], None] = lambda _: None) -> list[Outcome]:
        """Try points; those that the run did not come to have not `fired`."""

        def one(point: Point) -> Outcome:
            outcome = self._try(point)
            done(outcome)
            return outcome

        return list(self._pool.map(one, points))

    def _zygote(self) -> Zygote:
        zygote = getattr(self._own, "zygote", None)
        if zygote is None:
            zygote = self._own.zygote = Zygote()
            self._zygotes.append(zygote)
        return zygote

    def points(self, faults: Sequence[str] = FAULTS) -> list[Point]:
        """All points of the script, as counted just now."""
        counts = {fault: self.count(follow=follow) for fault, follow in (("KILL", False), ("error", True))}
        return [
            Point(phase, role, call, number, fault)
            for fault in faults
            for (phase, role, call), most in counts["KILL" if fault == "KILL" else "error"].items()
            for number in range(1, most + 1)
        ]

    def _count(self, role: str, *, follow: bool) -> Counts:
        """One run of the whole script, each phase under its own tracer."""
        rig = Rig(Path(tempfile.mkdtemp(dir=self._folder)) / "box", self._zygote(), self._seed, mutants=self._mutants)
        counts: Counts = {}
        try:
            for phase, step in enumerate(PHASES):
                trace = Trace(role, ",".join(CALLS))
                _run_phase(rig, step, trace, follow=follow)
                trace.finish()
                for call, target in _CALL.findall(trace.lines()):
                    if call != "write" or target.endswith(f"{rig.output}>"):
                        counts[phase, role, call] = counts.get((phase, role, call), 0) + 1
        finally:
            rig.remove()
        return counts

    def _try(self, point: Point) -> Outcome:
        action = "signal=KILL" if point.fault == "KILL" else f"error={point.fault}"
        trace = Trace(point.role, point.call, f"{point.call}:{action}:when={point.number}")
        rig = Rig(Path(tempfile.mkdtemp(dir=self._folder)) / "box", self._zygote(), self._seed, mutants=self._mutants)
        outcome = Outcome(point, fired=False)
        try:
            for number, step in enumerate(PHASES[: point.phase + 1] if self._brief else PHASES):
                began = time.monotonic()
                hit = number == point.phase
                code = _run_phase(rig, step, trace if hit else None, follow=hit and point.fault != "KILL")
                if number == point.phase:
                    outcome.seconds = time.monotonic() - began
                    trace.finish()
                    outcome.fired = code == -9 if point.fault == "KILL" else trace.fired()
                    outcome.ended = bool(code)
                    if code not in (0, 3, -9):
                        outcome.problem = f"exit code {code}: {rig.said()[-800:]}"
                    if outcome.ended:
                        rig.finish()
                elif code:
                    outcome.problem = f"phase '{step.name}' ended with {code}: {rig.said()[-800:]}"
            rig.finish()
            outcome.verdict = rig.verdict()
        except HarnessError as error:
            outcome.problem = f"{error}: {rig.said()[-800:]}"
        finally:
            rig.remove()
        return outcome


def sample(points: Sequence[Point], number: int, seed: int) -> list[Point]:
    """A seeded choice of points, spread evenly over phases, threads, calls and faults."""
    choice = random.Random(seed)
    kinds: dict[tuple, list[Point]] = {}
    for point in points:
        kinds.setdefault((point.phase, point.role, point.call, point.fault), []).append(point)
    queues = list(kinds.values())
    choice.shuffle(queues)
    for queue in queues:
        choice.shuffle(queue)
    chosen: list[Point] = []
    while len(chosen) < number and any(queues):
        chosen += [queue.pop() for queue in queues if queue]
    return chosen[:number]


def _run_phase(rig: Rig, phase: Phase, trace: Trace | None, *, follow: bool = False) -> int:
    """The exit code of the agent of this phase: one that reads once, or, if it is live or with `follow`, one that
    stays, and has to get over an error by itself.
    """
    for op in phase.before:
        rig.world.do(op)
    if not (phase.live or follow):
        return rig.once(trace=trace)
    agent = rig.start(trace=trace)
    for op in phase.live:
        if rig.agent is not None and agent.running:
            rig.wait_stored()
        if rig.agent is not None and not agent.running:
            rig.ended()
        rig.world.do(op)
    rig.world.complete()
    rig.wait_stored()
    if agent.running:
        return rig.stop()
    code = agent.wait()
    rig.ended()
    return code
