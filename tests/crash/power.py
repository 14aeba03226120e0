"""Power cuts: the store lies on an ext4 image, the log files outside; the agent is stopped at some moment, the image
as far as it was written is copied, and the agent goes on with the copy.

What SQLite or ext4 had not written by then is gone, as after a real cut (except that the copy is not taken at one
instant). Rows and offsets must be of one moment, and reading again must bring back exactly what was taken back.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.crash import kills, oracle
from tests.crash.generator import Op
from tests.crash.rig import HarnessError, Rig, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.crash.oracle import Verdict
    from tests.crash.rig import Zygote

_IMAGE_BYTES = 64 * 2**20
_KINDS = {"write": 12, "fragment": 3, "rename": 2, "dateext": 2, "copytruncate": 1, "pause": 5}
_SYNCS_PER_S = 1.0
_UMOUNT_S = 20.0
_COMMIT_S = (1, 5, 30)  # how often ext4 writes its journal: the less often, the more a cut takes back


@dataclass(slots=True)
class Result:
    """What became of a cut."""

    seed: int
    taken_back: int = 0  # events that were committed before the cut and not there after it
    books: Verdict | None = None  # right after the cut
    verdict: Verdict | None = None  # when everything has been read again
    problem: str = ""

    @property
    def green(self) -> bool:
        """Rows and offsets agreed, and nothing is lost or doubled."""
        judged = self.verdict is not None and self.verdict.green
        return judged and not self.problem and (self.books is None or self.books.green)

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.problem} after the cut: {self.books}; at the end: {self.verdict}"


class Disk:
    """An ext4 image, mounted at `folder`, whose journal is written every `commit_s` seconds."""

    def __init__(self, image: Path, folder: Path, commit_s: int = 5) -> None:
        self._options = f"loop,commit={commit_s}"
        self._image = image
        self._folder = folder

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        with self._image.open("wb") as file:
            file.truncate(_IMAGE_BYTES)
        _do("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", str(self._image))
        self._mount()
        return self

    def __exit__(self, *_: object) -> None:
        _do("umount", "-l", str(self._folder))

    def sync(self) -> None:
        """Let the kernel write what it has, as it does from time to time."""
        descriptor = os.open(self._folder, os.O_RDONLY)
        ctypes.CDLL(None).syncfs(descriptor)
        os.close(descriptor)

    def copy(self, target: Path) -> None:
        """The image as it is now, without what is still in memory."""
        _do("cp", "--sparse=always", str(self._image), str(target))

    def swap(self, image: Path) -> None:
        """Unmount this image and mount another one instead; its journal is replayed."""
        # The files of a process that was killed are closed a moment after it is gone.
        wait_until(lambda: _is_done("umount", str(self._folder)), _UMOUNT_S, f"the end of what uses {self._folder}")
        self._image = image
        self._mount()

    def _mount(self) -> None:
        _do("mount", "-o", self._options, str(self._image), str(self._folder))


def loop_problem(folder: Path) -> str:
    """Why images cannot be mounted here; empty where they can."""
    if os.geteuid():
        return "mounting an image takes root"
    for command in ("mkfs.ext4", "mount", "umount"):
        if shutil.which(command) is None:
            return f"{command} is not installed"
    try:
        with Disk(folder / "probe.img", folder / "probe"):
            return ""
    except HarnessError as error:
        return f"no image can be mounted: {error}"


def cut(seed: int, root: Path, zygote: Zygote, *, mutants: Sequence[str] = ("frequent checkpoints",)) -> Result:
    """One agent, one cut, and an agent that goes on.

    Args:
        seed: of what is written and of the moment.
        root: scratch directory, removed at the end.
        zygote: where agents come from.
        mutants: how the agents differ from the product.
    """
    root.mkdir(parents=True)
    result = Result(seed)
    try:
        with Disk(root / "disk.img", root / "disk", random.Random(seed).choice(_COMMIT_S)) as disk:
            rig = Rig(root / "box", zygote, seed, mutants=mutants, store=root / "disk" / "state" / "sidelog.db")
            try:
                _cut(rig, disk, root, result)
            except HarnessError as error:
                result.problem = f"{error}: {rig.said()[-800:]}"
            finally:
                rig.remove()
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return result


def _cut(rig: Rig, disk: Disk, root: Path, result: Result) -> None:
    choice = random.Random(result.seed)
    written = choice.random() < 0.8  # else the cut comes upon a store that is just being made
    if written:
        rig.world.do(Op("write", "a", 5))
        rig.finish()
        disk.sync()
    agent = rig.start()
    end = time.monotonic() + choice.uniform(0.1, 2.0)
    ops = [op for op in kills.make_program(result.seed, 40, _KINDS) if op.kind in _KINDS]
    next_sync = time.monotonic() + choice.expovariate(_SYNCS_PER_S)
    while time.monotonic() < end:
        op = choice.choice(ops)
        rig.world.do(op)
        written = written or op.kind == "write"  # nothing comes of the beginning of a line alone
        if time.monotonic() >= next_sync:
            disk.sync()
            next_sync = time.monotonic() + choice.expovariate(_SYNCS_PER_S)
        if choice.random() < 0.1 and written:
            rig.wait_stored(least=1)
    agent.send(signal.SIGSTOP)
    disk.copy(root / "cut.img")
    before = oracle.count_events(rig.store)
    rig.kill()
    disk.swap(root / "cut.img")
    if rig.store.exists():
        result.books = oracle.judge_books(rig.store, unmade=True)
        result.taken_back = before - oracle.count_events(rig.store)
    else:
        result.taken_back = before
    rig.world.do(Op("write", "b", 7))
    rig.finish()
    result.verdict = rig.verdict()


def _is_done(*command: str) -> bool:
    return not subprocess.run(command, capture_output=True, check=False).returncode


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise HarnessError(f"{' '.join(command)}: {done.stderr.decode().strip()}")
