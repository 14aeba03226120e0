"""Runs a program until it ends, or until nobody holds the other end of standard input any more, whichever is first.

What started the keeper may be killed at any moment, and so may the keeper: the program ends with either of them.

usage: keeper.py LOG COMMAND…       the pid of the program is the first line of standard output
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def keep(log: Path, command: list[str]) -> int:
    """Run the program; its exit code."""
    libc = ctypes.CDLL(None)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # The kernel looks at the end of the thread that has started it: here the only one.
            preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509 - it has one thread
        )
    print(child.pid, flush=True)  # noqa: T201 - for who started the keeper
    ended = os.pidfd_open(child.pid)
    if ended not in select.select([0, ended], [], [])[0]:
        child.kill()
    return child.wait()


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]), sys.argv[2:]))
