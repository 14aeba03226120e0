"""Random programs: writing and rotating go on while the agent is killed at any moment and started again.

A program is a list of operations made from a seed. One that fails is shrunk: operations are left out as long as what
remains still fails.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.crash.generator import Op
from tests.crash.rig import HarnessError, Rig, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.crash.oracle import Verdict
    from tests.crash.rig import Zygote

KILLS_PER_PROGRAM = 10
_STREAMS = ("a", "b", "c")
_LIFE_MS = 350  # a start takes about 150
_STOPPED = 0.1  # of the agents end by SIGTERM
_KINDS = {
    "write": 10, "fragment": 3, "rename": 3, "dateext": 2, "copytruncate": 2, "gzip": 2, "unlink": 1, "recreate": 1,
    "pause": 4,
}  # fmt: skip
_MOST = {"write": 30, "fragment": 300, "rename": 3, "dateext": 2, "copytruncate": 0, "pause": 25}


@dataclass(slots=True)
class Result:
    """What became of a program."""

    seed: int
    ops: list[Op]
    kills: int = 0
    rotations: int = 0
    verdict: Verdict | None = None
    problem: str = ""

    @property
    def green(self) -> bool:
        """Nothing is wrong."""
        return not self.problem and self.verdict is not None and self.verdict.green

    def __str__(self) -> str:
        return f"seed {self.seed}: " + "; ".join(str(part) for part in (self.problem, self.verdict) if part)


def make_program(seed: int, kills: int = KILLS_PER_PROGRAM, kinds: dict[str, int] | None = None) -> list[Op]:
    """Operations of sources and agent; an agent lives for up to 350 ms, and then the sources go on without one."""
    choice = random.Random(seed)
    weights = kinds or _KINDS
    window = choice.choice((0, 0, 3))  # lines between the copy and the truncation of a copytruncate

    def source_op() -> Op:
        kind = choice.choices(list(weights), list(weights.values()))[0]
        most = window if kind == "copytruncate" else _MOST.get(kind, 0)
        number = choice.randint(1, most) if most > 3 else choice.randint(0, most)
        return Op(kind, "" if kind == "pause" else choice.choice(_STREAMS), number)

    ops = [Op("write", stream, 3) for stream in _STREAMS]
    killed = 0
    while killed < kills:
        ops.append(Op("start"))
        ops += [source_op() for _ in range(choice.randint(0, 6))]
        ops.append(Op("pause", "", choice.randint(0, _LIFE_MS)))
        ops += [source_op() for _ in range(choice.randint(0, 3))]
        ops.append(Op("stop") if choice.random() < _STOPPED else Op("kill"))
        killed += ops[-1].kind == "kill"
        ops += [source_op() for _ in range(choice.randint(0, 4))]
    return ops


def run_program(
    ops: Sequence[Op], seed: int, root: Path, zygote: Zygote, *, mutants: Sequence[str] = (), header: int = 0
) -> Result:
    """Execute a program in the directory `root`, which is removed afterwards, and let an undisturbed agent finish:
    one that reads once, or, for odd seeds, one that follows.
    """
    rig = Rig(root, zygote, seed, mutants=mutants, header=header)
    result = Result(seed, list(ops))
    try:
        for op in ops:
            if op.kind == "start":
                if rig.agent is None:
                    rig.start()
            elif op.kind == "kill":
                _kill(rig, result)
            elif op.kind == "stop":
                _stop(rig, result)
            elif op.kind == "once":
                rig.once()
            else:
                rig.world.do(op)
        rig.kill()
        if seed % 2:
            _follow(rig, result)
        rig.finish()
        result.verdict = rig.verdict()
    except HarnessError as error:
        result.problem = f"{error}: {rig.said()[-800:]}"
    finally:
        result.rotations = rig.world.rotations
        rig.remove()
    return result


def _kill(rig: Rig, result: Result) -> None:
    code = rig.kill()
    result.kills += code == -9
    if code not in (None, -9):
        result.problem = f"the agent ended by itself with {code}: {rig.said()[-800:]}"


def _stop(rig: Rig, result: Result) -> None:
    """SIGTERM, once the agent listens: before that a start is simply over."""
    if rig.agent is None:
        return
    code = rig.stop()
    if code not in (0, -15):
        result.problem = f"after SIGTERM it ended with {code}: {rig.said()[-800:]}"


def _follow(rig: Rig, result: Result) -> None:
    """An agent that follows must come to everything too."""
    rig.world.complete()
    agent = rig.start()
    try:
        rig.wait_stored()
    except HarnessError as error:
        result.problem = f"{error}: {rig.verdict()}"
    if not agent.running:
        result.problem = f"the agent ended by itself: {rig.said()[-800:]}"
        rig.ended()
    else:
        wait_until(lambda: "agent started" in rig.said(), 10, "the agent's start")
        rig.stop()


def shrink(
    ops: Sequence[Op], fails: Callable[[list[Op]], bool], *, budget_s: float = 120.0, attempts: int = 3
) -> list[Op]:
    """Leave out operations while the rest still fails: halves first, then quarters, and so on down to single ones.

    Args:
        ops: a program that fails.
        fails: executes a program.
        budget_s: no more than this long.
        attempts: how often a program may pass before it counts as passing, because moments are random.
    """
    end = time.monotonic() + budget_s
    left = list(ops)
    size = max(1, len(left) // 2)
    while True:
        place = 0
        while place < len(left):
            if time.monotonic() >= end:
                return left
            shorter = left[:place] + left[place + size :]
            if shorter and any(fails(shorter) for _ in range(attempts)):
                left = shorter
            else:
                place += size
        if size == 1:
            return left
        size = max(1, size // 2)
