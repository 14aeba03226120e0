"""Real applications that write numbered lines and reopen their log in one way or another, or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Self

from tests.integration.harness import wait_until
from tests.integration.oracle import stored

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.harness import Box

# Lines go out with one write(2) each, into whatever the log is at that moment.
_APPLICATION = """
import json, logging, logging.handlers, os, select, signal, sys
path, how, pidfile = sys.argv[1:]

def opened():
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)

reopen = False
def asked(*_):
    global reopen
    reopen = True

signal.signal(signal.SIGUSR1, asked)
if how == "watched":
    logger = logging.getLogger("a")
    logger.setLevel("INFO")
    logger.addHandler(logging.handlers.WatchedFileHandler(path))
    write = lambda line: logger.info("%s", line)
else:
    fd = opened()
    def write(line):
        os.write(fd, line.encode() + b"\\n")
if pidfile:
    with open(pidfile + ".new", "w") as file:
        file.write(f"{os.getpid()}\\n")
    os.rename(pidfile + ".new", pidfile)
number = 0
while number % 20 or not select.select([sys.stdin], [], [], 0.02)[0]:
    if reopen:
        os.close(fd)
        fd, reopen = opened(), False
    write(json.dumps({"level": "info", "message": "x" * 60, "n": number}))
    number += 1
print(number, flush=True)
"""


class Application:
    """A process that writes lines numbered from 0, about 1,000 a second, until it is stopped."""

    def __init__(self, log: Path, how: str = "signal", *, pidfile: Path | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _APPLICATION, str(log), how, str(pidfile or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if pidfile:
            wait_until(pidfile.exists, what="the pidfile")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def stop(self) -> int:
        """Let it write no more; gives how many lines it has written."""
        return int(self.process.communicate(b"stop")[0])


def configure(box: Box, include: str = "*.log", **rotate) -> None:
    """One source whose logs sidelog rotates."""
    box.configure(include=[f"{box.logs}/{include}"], rotate=rotate)


def rotated(box: Box) -> list[str]:
    """Names of the rotated logs, the newest first."""
    names = [path.name for path in box.logs.iterdir() if path.name.startswith("app.log.")]
    return sorted(names, key=lambda name: int(name.rsplit(".", 1)[1]))


def numbers(box: Box) -> list[int]:
    """The numbers of all stored lines, in the order of their storing."""
    return [json.loads(line)["n"] for _, _, line in stored(box)]


def active(box: Box, code: str) -> bool:
    """Whether a condition with this code holds, as `status` tells it."""
    return bool(box.sql("SELECT 1 FROM own_errors WHERE code = ? AND active", code))


def rotations(box: Box) -> int:
    """How often the agent says that it has rotated a log."""
    return box.said().count('"rotated"')
