"""Power cuts while logs are archived: what was not flushed is gone, and every log must still be there or in an archive.

`archive run` is stopped at one of its system calls, the ext4 image is copied as far as it was written, and everything
goes on with the copy, as in `power`. What lies on the image decides what a missing flush would do:

    all      logs, store and archives: they are taken back together
    state    store and archives: the log stays deleted, whatever is taken back of what allowed that
    archive  the archives alone: the log stays deleted and the store says that it is archived
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.archive.container import ArchiveReader
from agent.core.errors import ArchiveError
from tests.crash import strace
from tests.crash.archiving import Scene
from tests.crash.power import Disk
from tests.crash.rig import wait_until
from tests.crash.strace import Point
from tests.integration.archiving import archives

if TYPE_CHECKING:
    from pathlib import Path

PLACEMENTS = ("all", "state", "archive")
_JOURNAL_S = 300  # the journal is written by no clock, so that only what was flushed is there after the cut
_TIMEOUT_S = 60.0
END = Point("", 0)
_CALLS = {"pwrite64": 45, "fdatasync": 7, "fsync": 6, "unlink": 4, "rename": 2, "chmod": 2}  # of a run, about


@dataclass(slots=True)
class Result:
    """What a cut left, at once and after another run."""

    placement: str
    point: Point
    stopped: bool = False  # else the run was over before it came to the point
    problems: list[str] = field(default_factory=list)


def choose(seed: int) -> Point:
    """A call and which one of its kind; the end of the run now and then."""
    choice = random.Random(seed)
    call = choice.choice([*_CALLS, ""])
    return Point(call, choice.randint(1, _CALLS[call])) if call else END


def cut(placement: str, point: Point, root: Path, mutant: str = "") -> Result:
    """Archive, cut, judge, and archive again.

    Args:
        placement: what is on the disk that loses its power.
        point: at which call; that of no call is the end of the run.
        root: scratch directory, removed at the end.
        mutant: how `archive run` differs from the product.
    """
    result = Result(placement, point)
    root.mkdir()
    try:
        folder = {"all": root / "disk", "state": root / "box/state", "archive": root / "box/state/archive"}[placement]
        with Disk(root / "disk.img", folder, _JOURNAL_S) as disk:
            box = folder / "box" if placement == "all" else root / "box"
            scene = Scene(box, mutant)
            disk.sync()
            result.stopped = _stop_at(scene, point, disk, root)
            disk.swap(root / "cut.img")
            result.problems = _lost(scene)
            if not mutant:
                code = strace.run(scene)
                result.problems += [f"the run after it ended with {code}"] if code else []
                result.problems += scene.problems()
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return result


def _stop_at(scene: Scene, point: Point, disk: Disk, root: Path) -> bool:
    """Run until the point, copy the disk, kill; whether the run came to the point."""
    if point == END:
        strace.run(scene)
        disk.copy(root / "cut.img")
        return False
    output = root / "strace.out"
    trace = ["strace", "-f", "-qq", "-o", str(output), "-e", f"trace={point.call}", "-e", "signal=STOP"]
    trace += ["-e", f"inject={point.call}:signal=STOP:when={point.number}"]
    process = subprocess.Popen(
        [*trace, *scene.command()], cwd=root, env=scene.env(), stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_until(lambda: process.poll() is not None or "stopped by" in _text(output), _TIMEOUT_S, f"{point}")
        stopped = process.poll() is None
        disk.copy(root / "cut.img")
    finally:
        _end(process, root)
    return stopped


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _end(process: subprocess.Popen, folder: Path) -> None:
    """End the tracer and all that it traces, which is known by its working directory."""
    process.kill()
    process.wait(_TIMEOUT_S)

    def none_is_left() -> bool:
        left = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _works_in(pid, folder)]  # noqa: PTH208
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_until(none_is_left, _TIMEOUT_S, "the end of the processes")


def _works_in(pid: int, folder: Path) -> bool:
    """Whether a process has this working directory; one that has ended has none."""
    try:
        return os.readlink(f"/proc/{pid}/cwd") == str(folder)  # noqa: PTH115
    except OSError:
        return False


def _lost(scene: Scene) -> list[str]:
    """Logs that are neither where they were nor in an archive that is whole; rows whose archive is not whole."""
    found = []
    there = {path.read_bytes() for path in scene.box.logs.iterdir()}
    archived = {content for path in archives(scene.box) if (content := _content(path)) is not None}
    for number, (content, file) in enumerate(zip(scene.logs, scene.files, strict=True)):
        if file in there:
            continue
        if content not in archived:
            found.append(f"log {number} is neither there nor archived")
        digest = scene.digests[number]
        rows = [path for [path] in scene.box.sql("SELECT path FROM archives WHERE sha256 = ?", digest)]
        if not rows:
            found.append(f"log {number} is deleted, and the store does not know its archive")
        found += [f"the row of {path} leads to nothing" for path in rows if not os.path.exists(path)]  # noqa: PTH110
    return found


def _content(path: Path) -> bytes | None:
    try:
        with ArchiveReader(path) as archive:
            archive.check()
            return b"".join(archive.contents())
    except ArchiveError:
        return None
