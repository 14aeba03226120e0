"""A command under strace: how often it makes each system call, and one of them as its last."""

from __future__ import annotations

import re
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.integration.harness import Box

_TIMEOUT_S = 60.0


class Point(NamedTuple):
    """The how-many-th call of a kind, of whichever process comes to it first."""

    call: str
    number: int


@dataclass(slots=True)
class Outcome:
    """What a kill left, after another run without one."""

    point: Point
    fired: bool
    problems: list[str] = field(default_factory=list)


class Scene(Protocol):
    """Logs on which a command works."""

    box: Box

    def command(self) -> list[str]:
        """The command."""
        ...

    def env(self) -> dict[str, str]:
        """Its environment."""
        ...

    def problems(self) -> list[str]:
        """What is wrong now that the command should have done its work."""
        ...


def uncovered(box: Box) -> dict[str, str]:
    """The environment of a box without coverage, whose writes would be counted."""
    return {name: value for name, value in box.env.items() if not name.startswith("COV")}


def run(scene: Scene, *strace: str) -> int:
    """Run the command, under strace; its exit code."""
    command = [*strace, *scene.command()]
    done = subprocess.run(
        command, cwd=scene.box.root, env=scene.env(), capture_output=True, timeout=_TIMEOUT_S, check=False
    )
    return done.returncode


def count(scene: Scene, calls: Sequence[str]) -> list[Point]:
    """All points: how often each process of the command makes each of the calls, the largest number of all."""
    output = scene.box.root / "strace.out"
    run(scene, "strace", "-ff", "--seccomp-bpf", "-qq", "-o", str(output), "-e", f"trace={','.join(calls)}")
    most: Counter[str] = Counter()
    for part in scene.box.root.glob("strace.out.*"):
        most |= Counter(re.findall(r"^([a-z0-9_]+)\(", part.read_text(errors="replace"), re.MULTILINE))
    return [Point(call, number) for call in calls for number in range(1, most[call] + 1)]


def crash(scene: Scene, point: Point, *, children: bool) -> Outcome:
    """Kill at a point, run again, and judge.

    Args:
        scene: untouched.
        point: where.
        children: whether the command's children are killed at it as well; the command fails then.
    """
    output = scene.box.root / "strace.out"
    rule = f"inject={point.call}:signal=KILL:when={point.number}"
    selection = ("-e", f"trace={point.call}", "-e", "signal=none", "-e", rule)
    code = run(scene, "strace", *(["-f"] if children else []), "-qq", "-o", str(output), *selection)
    killed = code != 0 if children else code == -signal.SIGKILL
    outcome = Outcome(point, killed or "killed by SIGKILL" in output.read_text(errors="replace"))
    if code := run(scene):
        outcome.problems.append(f"the run after it ended with {code}")
    outcome.problems += scene.problems()
    return outcome
