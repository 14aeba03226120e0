"""What a test needs beside the agent, and what becomes of it where that is missing.

- A *part* is a program or library that `make test-parts` brings (etc/test-parts.txt). Without it a test is skipped,
  and the run ends with a line that says so; with CI=true the test fails.
- A *limit* is something a machine can or cannot do, whatever is installed: `LIMITS`. Where it cannot, the test is
  skipped.

Nothing else skips a test: `accounted` makes a failure of any other skip.
"""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "etc/test-parts.txt"
NODE_MODULES = ROOT / "build/node/node_modules"
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")

LIMITS = {
    "root": "the tests do not run as root, so they cannot mount, give files away or become another user",
    "access lists": "the file system has no POSIX access lists",
    "block devices": "no image of a file system can be mounted",
    "fuse": "no FUSE file system can be mounted",
    "history": "the history does not reach back to the version that has made this store",
    "inode reuse": "the file system does not give out the inode of a deleted file again",
    "leases": "the kernel does not tell who has a file open for writing",
    "overlayfs": "no overlay can be mounted",
    "tracing": "strace may not trace",
    "user namespaces": "no user namespace with inotify limits of its own",
    "write xor execute": "the kernel has no PR_SET_MDWE (Linux 6.3)",
}


class Part(NamedTuple):
    """A row of the table."""

    name: str
    packages: str  # "apt logrotate"
    proof: str  # a command of sh

    @property
    def is_there(self) -> bool:
        done = subprocess.run(["sh", "-c", self.proof], cwd=ROOT, capture_output=True, check=False)
        return done.returncode == 0


def read_table() -> dict[str, Part]:
    """Every part by its name."""
    rows = [line.split("|", 2) for line in TABLE.read_text().splitlines() if line.strip() and line[0] != "#"]
    return {part.name: part for part in (Part(*(cell.strip() for cell in row)) for row in rows)}


PARTS = read_table()


def needs(*names: str) -> pytest.MarkDecorator:
    """Marks a test, or with `pytestmark` a module, that takes these parts, or root."""
    return pytest.mark.needs(*names)


def limited(name: str, detail: object = "") -> NoReturn:
    """Skip the running test: it has found that the machine cannot do what `LIMITS` says under this name."""
    pytest.skip(f"limit: {LIMITS[name]}" + (f": {detail}" if detail else ""))


@functools.cache
def missing(name: str) -> bool:
    """Whether a part is not there."""
    return not PARTS[name].is_there


def look_for(item: pytest.Item) -> None:
    """Skip a test, or fail it with CI=true, whose needs are not met.

    The parts that are missing become properties of its report, which the summary reads.
    """
    names = {name: None for mark in item.iter_markers("needs") for name in mark.args}
    lacking = [name for name in names if name in PARTS and missing(name)]
    item.user_properties += [("missing part", f"{name} ({PARTS[name].packages})") for name in lacking]
    if lacking:
        said = f"missing part: {', '.join(lacking)} (make test-parts)"
        if os.environ.get("CI") == "true":
            pytest.fail(said, pytrace=False)
        pytest.skip(said)
    for name in names.keys() - PARTS.keys():
        if problem := PROBES[name]():
            limited(name, problem if problem is not True else "")


def accounted(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a failure of a skip that is neither a missing part nor one of the limits."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
        if not reason.startswith(("missing part: ", *(f"limit: {text}" for text in LIMITS.values()))):
            report.outcome = "failed"
            report.longrepr = f"{report.nodeid} was skipped for a reason that tests/needs.py does not know: {reason}"


def summary(stats: dict[str, list[pytest.TestReport]]) -> list[str]:
    """A line per missing part: how many tests lacked it, and what brings it."""
    reports = [report for outcome in ("skipped", "failed", "error") for report in stats.get(outcome, [])]
    lacking = Counter(
        value for report in reports for name, value in getattr(report, "user_properties", ()) if name == "missing part"
    )
    return [
        f"missing part: {part}, which {count} of the tests need: make test-parts brings it"
        for part, count in sorted(lacking.items())
    ]


def _no_tracing() -> str:
    from tests.crash.rig import strace_problem

    return strace_problem()


def _no_images() -> str:
    from tests.crash.power import loop_problem

    with tempfile.TemporaryDirectory() as folder:
        return loop_problem(Path(folder))


PROBES = {
    "root": lambda: os.geteuid() != 0,
    "tracing": functools.cache(_no_tracing),
    "block devices": functools.cache(_no_images),
}
