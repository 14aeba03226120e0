"""What `make run` starts: the agent, and without LOGS a demo service beside it. Says what to type next.

    python etc/demo/run.py --sidelog .venv/bin/sidelog [--logs '/var/log/shop/*.log …']

Both run until Ctrl-C or SIGTERM, or until the agent ends by itself; its exit code is passed on.
"""

# ruff: noqa: INP001  (a script, not a package)

from __future__ import annotations

import argparse
import shlex
import signal
import subprocess
import sys
from pathlib import Path

STOP_TIMEOUT_SECONDS = 10  # the agent promises 5

HINTS = """\
{what}

Type in another terminal, in any directory:

  {sidelog} query -f                follow the events
  {sidelog} query -p error -n 5     the newest errors
  {sidelog} errors                  errors of the same kind together
  {sidelog} query --by severity     how many of each
  {sidelog} status                  files, lag, store

Ctrl-C here stops {stops}.
"""


def show(command: list[str]) -> str:
    """The command as a person would type it."""
    return shlex.join(command)


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """Ask all to end, in order, and wait; a second Ctrl-C or the timeout kills."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
            process.wait()


def interrupt(*_: object) -> None:
    """SIGTERM ends us as Ctrl-C does."""
    raise KeyboardInterrupt


def main() -> int:
    """Start, wait, stop; returns the agent's exit code, 0 after Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sidelog", required=True, help="the sidelog command")
    parser.add_argument("--logs", default="", help="patterns to follow; empty: the demo service's log")
    options = parser.parse_args()
    here = Path(__file__).resolve().parent
    patterns = shlex.split(options.logs)
    writers = []
    if patterns:
        what, stops = f"sidelog follows {' '.join(patterns)}", "it"
    else:
        logs = Path.cwd() / "demo-logs"
        logs.mkdir(exist_ok=True)
        patterns = [str(logs / "*.log")]
        writers = [[sys.executable, str(here / "shop.py"), str(logs)]]
        what, stops = f"sidelog follows {patterns[0]}, where a small demo shop logs", "both"
    sys.stdout.write(HINTS.format(what=what, sidelog=show([options.sidelog]), stops=stops))
    sys.stdout.flush()

    signal.signal(signal.SIGTERM, interrupt)
    # Own process groups: Ctrl-C reaches only this process, which stops the writer first and the agent after it, so
    # that the agent has everything stored when it ends.
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.extend(subprocess.Popen(command, process_group=0) for command in writers)  # noqa: S603
        agent = subprocess.Popen([options.sidelog, "run", *patterns], process_group=0)  # noqa: S603
        started.append(agent)
        return agent.wait()
    except KeyboardInterrupt:
        sys.stdout.write("\nstopping\n")
        return 0
    finally:
        stop(started)


if __name__ == "__main__":
    sys.exit(main())
