"""What `make run` starts: the agent, and without LOGS a demo service beside it. Says what to type next.

    python etc/demo/run.py --sidelog .venv/bin/sidelog [--logs '/var/log/shop/*.log …']

Both run until Ctrl-C or SIGTERM, or until the agent ends by itself; its exit code is passed on.
"""

# ruff: noqa: INP001  (a script, not a package)

from __future__ import annotations

import argparse
import json
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
{more}
Ctrl-C here stops {stops}.
"""

DEMO_HINTS = """\
  {sidelog} alerts                  the rules; {rule} fires after {count} errors in a minute
  cat {pages}

The last one shows what the rule's hook was told. All of it is configured in {config}.
"""
RULE, RULE_COUNT = "shop-errors", 3


def demo_config(logs: Path) -> dict[str, object]:
    """Follow the demo's logs, and tell a hook about its errors: `tee`, as any program that reads its input would do."""
    return {
        "sources": [{"name": logs.name, "include": [f"{logs}/*.log"]}],
        "alerts": [
            {
                "name": RULE,
                "match": "severity>=error",
                "when": {"count": RULE_COUNT},
                "window": "1m",
                "hooks": ["page"],
            }
        ],
        "hooks": {"page": {"exec": ["tee", "-a", f"{logs}/pages.json"]}},
    }


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
    parser.add_argument("--rate", default="8", help="events per second that the demo service writes (default: 8)")
    options = parser.parse_args()
    here = Path(__file__).resolve().parent
    patterns = shlex.split(options.logs)
    writers = []
    sidelog = show([options.sidelog])
    if patterns:
        follow, more = patterns, ""
        what, stops = f"sidelog follows {' '.join(patterns)}", "it"
    else:
        logs = Path.cwd() / "demo-logs"
        logs.mkdir(exist_ok=True)
        config = logs / "sidelog.json"
        config.write_text(json.dumps(demo_config(logs), indent=2) + "\n")
        follow = ["-c", str(config)]
        writers = [[sys.executable, str(here / "shop.py"), str(logs), "--rate", options.rate]]
        what, stops = f"sidelog follows {logs}/*.log, where a small demo shop logs", "both"
        pages = show([str(logs / "pages.json")])
        more = DEMO_HINTS.format(sidelog=sidelog, rule=RULE, count=RULE_COUNT, pages=pages, config=config)
    sys.stdout.write(HINTS.format(what=what, sidelog=sidelog, stops=stops, more=more))
    sys.stdout.flush()

    signal.signal(signal.SIGTERM, interrupt)
    # Own process groups: Ctrl-C reaches only this process, which stops the writer first and the agent after it, so
    # that the agent has everything stored when it ends.
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.extend(subprocess.Popen(command, process_group=0) for command in writers)  # noqa: S603
        agent = subprocess.Popen([options.sidelog, "run", *follow], process_group=0)  # noqa: S603
        started.append(agent)
        return agent.wait()
    except KeyboardInterrupt:
        sys.stdout.write("\nstopping\n")
        return 0
    finally:
        stop(started)


if __name__ == "__main__":
    sys.exit(main())
