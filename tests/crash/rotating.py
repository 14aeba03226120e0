"""Every write-class system call of a rotation, in turn the last one: of one log by renaming, with a command that tells
the application, and of one by copying and truncating.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from tests.crash import strace
from tests.integration.harness import Box
from tests.integration.oracle import Scribe, verify

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crash.strace import Outcome, Point

CALLS = (
    "pwrite64", "fsync", "fdatasync", "renameat2", "unlink", "unlinkat", "write", "ftruncate", "fchmod",
)  # fmt: skip


class Scene:
    """Two logs with lines that are not read yet, and rotated ones beside them whose numbers are to be shifted."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.box = Box(root)
        script = root / "reopen.sh"
        script.write_text(f"#!/bin/sh\ncat >> {root}/told\n")
        script.chmod(0o755)
        logs = self.box.logs
        self.renamed, self.copied = logs / "app.log", logs / "copied.log"
        rotate = {"size": "1KiB", "keep": 9}
        document = {
            "store": {"path": str(self.box.store), "flush_interval": "50ms", "min_free": "1MiB"},
            "sources": [
                {"name": "a", "include": [str(self.renamed)], "rotate": {**rotate, "command": [str(script)]}},
                {"name": "b", "include": [f"{self.copied}*"], "rotate": {**rotate, "method": "copytruncate"}},
            ],
        }
        self.box.config.write_text(json.dumps(document))
        self.scribes = {path: Scribe(path.name) for path in (self.renamed, self.copied)}
        for path, scribe in self.scribes.items():
            scribe.append(path, 5)
        self.box.once()
        # What is rotated already: of one log nobody follows it, of the other it is read.
        self.renamed.with_name("app.log.1").write_bytes(b"from before\n")
        self.scribes[self.copied].append(self.copied.with_name("copied.log.1"), 3)
        for path, scribe in self.scribes.items():
            scribe.append(path, 10)

    def command(self) -> list[str]:
        """`archive run`, which rotates first."""
        return [sys.executable, "-m", "agent", "archive", "run", "-c", str(self.box.config)]

    def env(self) -> dict[str, str]:
        """Its environment."""
        return strace.uncovered(self.box)

    def problems(self) -> list[str]:
        """What is wrong now that both logs should be rotated."""
        found = []
        for path, scribe in self.scribes.items():
            scribe.append(path, 2)  # the applications go on
        self.box.once()
        try:
            verify(self.box, *self.scribes.values())
        except AssertionError as error:
            found.append(str(error))
        names = sorted(path.name for path in self.box.logs.iterdir())
        wanted = ["app.log", "app.log.1", "app.log.2", "copied.log", "copied.log.1", "copied.log.2"]
        if names not in (wanted, [name.replace("copied.log.2", "copied.log.3") for name in wanted]):
            found.append(f"files: {names}")
        if (self.box.logs / "app.log.2").read_bytes() != b"from before\n":
            found.append("a rotated log is not what it was")
        if not (self.box.root / "told").exists():
            found.append("the application was not told")
        return found


def count(root: Path) -> list[Point]:
    """All points. Those of the command that tells the application are among them, which come later than any here."""
    return strace.count(Scene(root), CALLS)


def crash(root: Path, point: Point) -> Outcome:
    """Kill the rotating process at a point, rotate again, and judge."""
    return strace.crash(Scene(root), point, children=False)
