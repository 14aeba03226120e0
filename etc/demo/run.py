"""What `make run` starts: the agent, and without LOGS a demo service beside it. Says what to type next.

    python etc/demo/run.py --sidelog .venv/bin/sidelog [--logs '/var/log/shop/*.log …']

The demo has a directory of its own, `demo-logs`, with its logs, its configuration, its store and its archives: nothing
of it gets among the events of somebody's real logs. Both run until Ctrl-C or SIGTERM, or until the agent ends by
itself; its exit code is passed on.
"""

# ruff: noqa: INP001  (a script, not a package)

from __future__ import annotations

import argparse
import glob
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

  {sidelog} query -f
      follows the events
  {sidelog} query -p error -n 5
      the newest errors
  {sidelog} errors
      errors of the same kind together
  {sidelog} query --by severity
      how many of each
  {sidelog} status
      files, lag, store
{more}
Ctrl-C here stops {stops}.
"""

DEMO_HINTS = """\
  {sidelog} alerts
      the rules; {rule} fires after {count} errors in a minute
  cat {pages}
      the page: what the rule's hook was told
  {sidelog} archive
      rotated logs as archives; the first is of yesterday, from before sidelog was there
  {sidelog} query -U 20h -p error
      yesterday's errors, found in the archive alone

All of it is configured in {config}.
"""
RULE, RULE_COUNT = "shop-errors", 3
YESTERDAY_EVENTS = 400
ROTATE_AFTER = 200  # events, so that a newcomer sees a rotated log become an archive within half a minute


def demo_config(folder: Path) -> dict[str, object]:
    """Follow the demo's logs, archive the rotated ones, and tell a hook about its errors: `tee`, as any program that
    reads its input would do.
    """
    return {
        "store": {"path": f"{folder}/state/sidelog.db", "retention": {"size": "64MiB"}},
        "sources": [{"name": "shop", "include": [f"{folder}/*.log"]}],
        "archive": {"quiet": "2s", "retention": {"size": "64MiB"}},
        "alerts": [
            {
                "name": RULE,
                "match": "severity>=error",
                "when": {"count": RULE_COUNT},
                "window": "1m",
                "hooks": ["page"],
            }
        ],
        "hooks": {"page": {"exec": ["tee", "-a", f"{folder}/pages.json"]}},
    }


def prepare_demo(folder: Path, shop: list[str]) -> Path:
    """Make the demo's directory with its configuration and, where nothing was logged there yet, a log of yesterday that
    was rotated away; the configuration.
    """
    folder.mkdir(exist_ok=True)
    config = folder / "sidelog.json"
    config.write_text(json.dumps(demo_config(folder), indent=2) + "\n")
    if not (folder / "shop.log").exists():
        subprocess.run([*shop, "--yesterday", str(YESTERDAY_EVENTS)], check=True)  # noqa: S603 - this project's script
    return config


def as_patterns(words: list[str]) -> list[str]:
    """What to follow: a directory means the logs in it, all of its files where none ends in `.log`."""
    found = []
    for word in words:
        if Path(word).is_dir():
            folder = glob.escape(word.rstrip("/") or "/")
            named = any(path.suffix == ".log" for path in Path(word).iterdir())
            found.append(f"{folder}/*.log" if named else f"{folder}/*")
        else:
            found.append(word)
    return found


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
    patterns = as_patterns(shlex.split(options.logs))
    writers = []
    if patterns:
        follow, sidelog, more = patterns, show([options.sidelog]), ""
        what, stops = f"sidelog follows {show(patterns)}", "it"
    else:
        folder = Path.cwd() / "demo-logs"
        shop = [sys.executable, str(here / "shop.py"), str(folder)]
        config = prepare_demo(folder, shop)
        follow = ["-c", str(config)]
        writers = [[*shop, "--rate", options.rate, "--rotate-after", str(ROTATE_AFTER)]]
        what, stops = f"sidelog follows {folder}/*.log, where a small demo shop logs", "both"
        sidelog = show([options.sidelog, "-c", str(config)])
        pages = show([str(folder / "pages.json")])
        more = DEMO_HINTS.format(sidelog=sidelog, rule=RULE, count=RULE_COUNT, pages=pages, config=config)
    sys.stdout.write(HINTS.format(what=what, sidelog=sidelog, stops=stops, more=more))
    sys.stdout.flush()

    signal.signal(signal.SIGTERM, interrupt)
    # Own process groups: Ctrl-C reaches only this process, which stops the writer first and the agent after it, so
    # that the agent has everything stored when it ends.
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.extend(subprocess.Popen(command, process_group=0) for command in writers)  # noqa: S603 - this project's script
        agent = subprocess.Popen([options.sidelog, "run", *follow], process_group=0)  # noqa: S603 - the command that was named
        started.append(agent)
        return agent.wait()
    except KeyboardInterrupt:
        sys.stdout.write("\nstopping\n")
        return 0
    finally:
        stop(started)


if __name__ == "__main__":
    sys.exit(main())
