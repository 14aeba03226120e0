"""Many rotations under load with one agent that follows, and many files deleted and created anew with one inode."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.crash.generator import Op
from tests.crash.rig import HarnessError, Rig

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.crash.oracle import Verdict
    from tests.crash.rig import Zygote

_STREAMS = ("a", "b", "c", "d")
_LINES = 20  # per rotation
_KEPT = 4  # rotated files per stream; older ones are deleted, but only what was read
_TIDY = 25  # rotations between two deletions
_HEADER_BYTES = 1500  # more than the head that is hashed


@dataclass(slots=True)
class Result:
    """What became of a run."""

    number: int  # of rotations or recreations
    seconds: float
    verdict: Verdict
    same_inode: int = 0

    @property
    def green(self) -> bool:
        """Nothing is lost, doubled or excused."""
        return self.verdict.green and not self.verdict.excused


def rotate(number: int, seed: int, root: Path, zygote: Zygote) -> Result:
    """Rotate by renaming in a chain, by date, and with compression of what was read, while lines are written.

    Raises:
        HarnessError: the agent ended, or did not come to every line.
    """
    choice = random.Random(seed)
    rig = Rig(root, zygote, seed)
    began = time.monotonic()
    try:
        rig.start()
        for turn in range(number):
            stream = _STREAMS[turn % len(_STREAMS)]
            rig.world.do(Op("write", stream, choice.randint(1, 2 * _LINES)))
            rig.world.do(Op(choice.choice(("rename", "dateext")), stream, choice.randint(0, 2)))
            if turn % 3 == 0:
                rig.wait_stored()
                rig.world.do(Op("gzip", stream))
            if turn % _TIDY == _TIDY - 1:
                rig.wait_stored()
                for name in _STREAMS:
                    rig.world.forget_rotated(name, _KEPT)
        rig.world.complete()
        rig.wait_stored(60.0)
        if rig.stop():
            raise HarnessError(f"the agent failed: {rig.said()[-800:]}")
        rig.finish()
        return Result(rig.world.rotations, time.monotonic() - began, rig.verdict())
    finally:
        rig.remove()


def recreate(
    number: int, seed: int, root: Path, zygote: Zygote, *, mutants: Sequence[str] = (), streams: int = 10
) -> Result:
    """Delete files that were read and create them anew at once, all beginning with the same 1.5 kB, shorter or longer
    than before; between two rounds an agent reads once. (One that follows would keep the inode in use.)
    """
    choice = random.Random(seed)
    names = [f"f{place}" for place in range(streams)]
    rig = Rig(root, zygote, seed, mutants=mutants, header=_HEADER_BYTES)
    began = time.monotonic()
    try:
        done = 0
        while True:
            for name in names:
                rig.world.do(Op("write", name, choice.randint(1, 20)))
            rig.finish()
            if done >= number:
                break
            for name in names[: number - done]:
                rig.world.do(Op("recreate", name))
            done += min(streams, number - done)
        return Result(done, time.monotonic() - began, rig.verdict(), rig.world.same_inode)
    finally:
        rig.remove()
