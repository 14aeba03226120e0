"""What `make run` starts: the agent, and without LOGS a demo service beside it. Says what to type next.

    python etc/demo/run.py --sidelog .venv/bin/sidelog [--logs '/var/log/shop/*.log …']

The demo has a directory of its own, `demo-logs`, with its logs, its configuration, its store and its archives: nothing
of it gets among the events of somebody's real logs. Both run until Ctrl-C or another signal, until the terminal is
closed, or until the agent ends by itself; its exit code is passed on.
"""

# ruff: noqa: INP001  (a script, not a package)

from __future__ import annotations

import argparse
import fcntl
import glob
import json
import os
import select
import shlex
import signal
import subprocess
import sys
from pathlib import Path

STOP_TIMEOUT_SECONDS = 10  # the agent promises 5
LOOK_SECONDS = 0.5  # between two looks at whether the agent and the terminal are still there
ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)  # they end us as Ctrl-C does

HINTS = """\
{what}

Type in another terminal, in any directory, first

  alias {name}={command}

and then

  {name} query -f                 follows the events
  {name} query -p error -n 5      the newest errors
  {name} errors                   errors of the same kind together
  {name} query --by severity      how many of each
  {name} status                   files, lag, store
{more}
Ctrl-C here stops {stops}.
"""

DEMO_HINTS = """\
  {name} alerts                   the rules; {rule} fires after {count} errors in a minute
  {name} archive                  rotated logs as archives; the first is of yesterday
  {name} query -U 20h -p error    yesterday's errors, found in the archive alone

The page, what the rule's hook was told (its beginning, the rest is groups and lines):

  {page}

All of it is configured in {config}; `make clean` takes it away.
"""
RULE, RULE_COUNT = "shop-errors", 3
YESTERDAY_EVENTS = 400
ROTATE_AFTER = 200  # events, so that a newcomer sees a rotated log become an archive within half a minute


def demo_config(folder: Path) -> dict[str, object]:
    """Follow the demo's logs, archive the rotated ones, and tell a hook about its errors: `tee`, as any program that
    reads its input would do.
    """
    logs = glob.escape(str(folder))
    return {
        "store": {"path": f"{folder}/state/sidelog.db", "retention": {"size": "64MiB"}},
        "sources": [{"name": "shop", "include": [f"{logs}/*.log"]}],
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
    was rotated away; the configuration. The directory stays locked for as long as this process lives.
    """
    folder.mkdir(exist_ok=True)
    try:
        fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"make run: the demo runs already in {folder}; Ctrl-C in its terminal stops it")
    config = folder / "sidelog.json"
    config.write_text(json.dumps(demo_config(folder), indent=2) + "\n")
    if not (folder / "shop.log").exists():
        subprocess.run([*shop, "--yesterday", str(YESTERDAY_EVENTS)], check=True)  # noqa: S603 - this project's script
    return config


def words_of(text: str) -> list[str]:
    """The patterns in LOGS, as a shell would split them. What is there as it stands, or lies in a directory that
    has a blank in its name, is one.
    """
    folder = os.path.dirname(text)  # noqa: PTH120 - a pattern is no path
    if os.path.exists(text) or (len(folder.split()) > 1 and is_directory(folder)):  # noqa: PTH110
        return [text]
    try:
        return [os.path.expanduser(word) for word in shlex.split(text)]  # noqa: PTH111
    except ValueError:
        sys.exit(f"make run: a quote in LOGS is not closed: {text}")


def is_directory(name: str) -> bool:
    """Whether it is one, and may be looked into."""
    return bool(name) and os.path.isdir(name)  # noqa: PTH112 - Path.is_dir raises where it may not look


def as_patterns(words: list[str]) -> list[str]:
    """What to follow: a directory means the logs in it, all of its files where none ends in `.log`. One that has
    brackets in its name is meant as it stands.
    """
    found = []
    for word in words:
        head, tail = os.path.split(word)
        if is_directory(word):
            folder = glob.escape(word.rstrip("/") or "/")
            try:
                named = any(name.endswith(".log") for name in os.listdir(word))  # noqa: PTH208 - names alone
            except OSError as error:
                sys.exit(f"make run: {word} cannot be read: {error.strerror}")
            found.append(f"{folder}/*.log" if named else f"{folder}/*")
        elif is_directory(head) and not os.path.exists(word):  # noqa: PTH110
            found.append(os.path.join(glob.escape(head), tail))  # noqa: PTH118
        else:
            found.append(word)
    return found


def show(command: list[str]) -> str:
    """The command as a person would type it. Variables that would lead it to another store are left out."""
    own = sorted(name for name in os.environ if name.startswith("SIDELOG_"))
    without = [word for name in own for word in ("-u", name)]
    return shlex.join(["env", *without, *command] if own else command)


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
    """Another signal ends us as Ctrl-C does."""
    raise KeyboardInterrupt


def wait(agent: subprocess.Popen[bytes]) -> int:
    """Wait until the agent ends, and return its code.

    Raises:
        KeyboardInterrupt: the terminal was closed. Where it ran `make` alone, that one waits for us without a word.
    """
    terminal = select.poll()
    if os.isatty(1):
        terminal.register(1, 0)  # a hang-up is told without being asked for
    while (code := agent.poll()) is None:
        if terminal.poll(LOOK_SECONDS * 1000):
            raise KeyboardInterrupt
    return code


def say(text: str) -> None:
    """Print, if somebody is there to read it."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:  # what is left of it would fail once more at the end, which makes an exit code of that
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def main() -> int:
    """Start, wait, stop; returns the agent's exit code, 0 after Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sidelog", required=True, help="the sidelog command")
    parser.add_argument("--logs", default="", help="patterns to follow; empty: the demo service's log")
    parser.add_argument("--rate", default="8", help="events per second that the demo service writes (default: 8)")
    options = parser.parse_args()
    here = Path(__file__).resolve().parent
    patterns = as_patterns(words_of(options.logs.strip()))
    writers = []
    environment = {**os.environ}
    if patterns:
        follow, name, command, more = patterns, "sidelog", shlex.quote(options.sidelog), ""
        what, stops = f"sidelog follows {shlex.join(patterns)}", "it"
    else:
        folder = Path.cwd() / "demo-logs"
        shop = [sys.executable, str(here / "shop.py"), str(folder)]
        try:
            config = prepare_demo(folder, shop)
        except OSError as error:
            sys.exit(f"make run: the demo cannot have {error.filename or folder}: {error.strerror}")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SIDELOG_")}
        follow, name = ["-c", str(config)], "demo"
        writers = [[*shop, "--rate", options.rate, "--rotate-after", str(ROTATE_AFTER)]]
        what, stops = f"sidelog follows {folder}/*.log, where a small demo shop logs", "both"
        command = shlex.quote(show([options.sidelog, "-c", str(config)]))
        page = shlex.join(["cut", "-c", "-600", str(folder / "pages.json")])
        more = DEMO_HINTS.format(name=name, rule=RULE, count=RULE_COUNT, page=page, config=config)
    say(HINTS.format(what=what, name=name, command=command, stops=stops, more=more))

    for number in ENDS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, interrupt)
    # Own process groups: Ctrl-C reaches only this process, which stops the writer first and the agent after it, so
    # that the agent has everything stored when it ends.
    started: list[subprocess.Popen[bytes]] = []
    try:
        commands = [*writers, [options.sidelog, "run", *follow]]
        started.extend(subprocess.Popen(one, process_group=0, env=environment) for one in commands)  # noqa: S603 - ours
        return wait(started[-1])
    except KeyboardInterrupt:
        say("\nstopping\n")
        return 0
    finally:
        stop(started)


if __name__ == "__main__":
    sys.exit(main())
