"""Random sequences of what people do around an agent: other settings, reloads, renamed sources, labels, host names,
links, backups, restores, moves, rotations and kills, with a model of what must be stored (`changing`).

A sequence is made from a seed. One that fails is shrunk as the programs of `kills` are.
"""

from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.crash.changing import LOGS, Scene
from tests.crash.generator import Op
from tests.crash.rig import HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from tests.crash.rig import Zygote

STEPS = 16
_ALWAYS = {
    "write": 8, "rename": 3, "dateext": 2, "copytruncate": 2, "compress": 1, "sources": 4, "team": 2, "secret": 1,
    "backup": 2,
}  # fmt: skip
_RUNNING = {"sync": 6, "stop": 3, "kill": 3}
_DOWN = {"start": 8, "once": 3, "archive": 3, "restore": 3, "host": 1, "move": 1, "heal": 1}


@dataclass(slots=True)
class Result:
    """What became of a sequence."""

    seed: int
    ops: list[Op]
    lines: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_wrong(self) -> bool:
        """Whether a line is lost, found twice, or stored as what it was not."""
        return self.has("line ")

    def has(self, words: str) -> bool:
        """Whether one of the problems says so."""
        return any(words in problem for problem in self.problems)

    def __str__(self) -> str:
        return f"seed {self.seed}: {' '.join(map(str, self.ops))}\n" + "\n".join(self.problems)


def make_sequence(seed: int, steps: int = STEPS) -> list[Op]:
    """Steps of people, applications and agents; about half of them while an agent runs."""
    choice = random.Random(seed)
    running = False
    ops = [Op("write", log, 3) for log in LOGS]
    while len(ops) < steps + len(LOGS):
        weights = _ALWAYS | (_RUNNING if running else _DOWN)
        kind = choice.choices(list(weights), list(weights.values()))[0]
        running = kind == "start" or (running and kind not in {"stop", "kill"})
        ops.append(Op(kind, choice.choice(LOGS), choice.randint(1, 9)))
    return ops


def run_sequence(ops: Sequence[Op], seed: int, root: Path, zygote: Zygote, mutants: Iterable[str] = ()) -> Result:
    """Execute a sequence in the directory `root`, which is removed afterwards unless something was wrong."""
    scene = Scene(root, zygote, mutants)
    result = Result(seed, list(ops))
    try:
        for op in ops:
            _DO[op.kind](scene, op)
            if scene.agent is not None:
                scene.note()
            if scene.problems:
                break
        else:
            scene.finish()
    except HarnessError as error:
        scene.problems.append(f"{error}: {scene.said()[-1500:]}")
    result.lines, result.problems = len(scene.lines), scene.problems
    scene.remove()
    return result


def _once(scene: Scene) -> None:
    if scene.agent is None:
        scene.note()
        scene.run("run", "--once")
        scene.look()


def _archive(scene: Scene) -> None:
    if scene.agent is None and (scene.state / "sidelog.db").exists():
        scene.note()
        scene.run("archive", "run")
        scene.look()


def _host(scene: Scene, number: int) -> None:
    if scene.agent is None and os.geteuid() == 0:
        scene.host = f"host{number}"


# What makes no sense at the moment does nothing, so that a sequence stays one when steps are left out.
_DO: dict[str, Callable[[Scene, Op], None]] = {
    "write": lambda scene, op: scene.write(op.stream, op.number),
    "rename": lambda scene, op: scene.sources.rotate(op.stream, "rename"),
    "dateext": lambda scene, op: scene.sources.rotate(op.stream, "dateext"),
    "copytruncate": lambda scene, op: scene.sources.rotate(op.stream, "copytruncate"),
    "compress": lambda scene, op: scene.compress(op.stream),
    "link": lambda scene, op: scene.sources.link(op.stream),
    "sources": lambda scene, op: scene.change(op.number, "sources"),
    "team": lambda scene, op: scene.change(op.number, "team"),
    "secret": lambda scene, op: scene.change(op.number, "secret"),
    "host": lambda scene, op: _host(scene, op.number),
    "backup": lambda scene, _: scene.backup(),
    "restore": lambda scene, op: scene.restore(op.number),
    "move": lambda scene, _: scene.move(),
    "heal": lambda scene, _: scene.heal(),
    "sync": lambda scene, _: scene.sync(),
    "start": lambda scene, _: scene.start(),
    "stop": lambda scene, _: scene.end(signal.SIGTERM),
    "kill": lambda scene, _: scene.end(signal.SIGKILL),
    "once": lambda scene, _: _once(scene),
    "archive": lambda scene, _: _archive(scene),
}
