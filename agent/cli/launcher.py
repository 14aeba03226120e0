"""Starts agents without importing the program anew each time: imported once, forked for every start.

`python -m agent.cli.launcher CONFIG LOG` reads commands from standard input, one a line, and answers each with one
line: `start` and `once` fork an agent with that configuration, whose output goes to LOG, and give its pid; `wait`
waits for it and gives its exit status (minus the signal that ended it). At the end of its input it kills what still
runs. The agents are real processes: importing costs 0.4 s of CPU, which for a hundred starts would be most of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def _agent(config: str, log: str, *, once: bool) -> int:
    """In the child: the command `run`."""
    from agent.cli.main import run_command_line

    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    return run_command_line(["run", "-c", config, *(["--once"] if once else [])])


def _fork(config: str, log: str, *, once: bool) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = _agent(config, log, once=once)
    finally:
        os._exit(code)


def main(config: str, log: str) -> None:
    """Obey the commands on standard input."""
    import agent.cli.run
    import agent.daemon  # noqa: F401  with all stages

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end of the input says when to stop
    pid = 0
    for line in iter(sys.stdin.readline, ""):
        command = line.strip()
        if command == "wait":
            _, status = os.waitpid(pid, 0)
            pid, answer = 0, os.waitstatus_to_exitcode(status)
        else:
            pid = answer = _fork(config, log, once=command == "once")
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
    if pid:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
