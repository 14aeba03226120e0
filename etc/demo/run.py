"""What `make run` starts: the agent, and without LOGS a demo service beside it. Says what to type next.

    python etc/demo/run.py --sidelog .venv/bin/sidelog [--logs '/var/log/shop/*.log …'] [--port 9880]

The demo has a directory of its own, `demo-logs`, with its logs, its configuration, its store and its archives: nothing
of it gets among the events of somebody's real logs. Both run until Ctrl-C or another signal, until the terminal is
closed, or until the agent ends by itself; its exit code is passed on. The agent serves its page at 127.0.0.1:9880, or
at another port where that is taken, and a link that opens it is printed once it answers.
"""

# ruff: noqa: INP001  (a script, not a package)

from __future__ import annotations

import argparse
import contextlib
import fcntl
import glob
import http.client
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

STOP_TIMEOUT_SECONDS = 10  # the agent promises 5
LOOK_SECONDS = 0.5  # between two looks at whether the agent and the terminal are still there
ANSWER_SECONDS = 5
PORT = 9880  # of the page, as the agent has it by default
ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)  # they end us as Ctrl-C does

HINTS = """\
{what}

Type in another terminal, in any directory, first

  alias {name}={command}

and then

  {name} query -f                     follows the events
  {name} query -p error -n 5          the newest errors
  {name} errors                       errors of the same kind together
  {name} query --by severity          how many of each
  {name} status                       files, lag, store
  {name} {link:<27}  the page, by a link that it prints
{more}
Ctrl-C here stops {stops}.
"""

PAGE = """
The page, by a link that works once, within a minute:

  {link}

Another one, at any time:

  {another}

"""

DEMO_HINTS = """\
  {name} alerts                       the rules; {rule} fires after {count} errors in a minute
  {name} archive                      rotated logs as archives; the first is of yesterday
  {name} query -U 20h -p error        yesterday's errors, found in the archive alone

What the rule's hook was told (its beginning; the rest is groups and lines):

  {told}

All of it is configured in {config}; `make clean` takes it away.
"""
LINK = ["token", "link", "--role", "operator"]
RULE, RULE_COUNT = "shop-errors", 3
YESTERDAY_EVENTS = 400
ROTATE_AFTER = 200  # events, so that a newcomer sees a rotated log become an archive within half a minute


def demo_config(folder: Path, port: int) -> dict[str, object]:
    """Follow the demo's logs, archive the rotated ones, serve the page, and tell a hook about errors: `tee`, as any
    program that reads its input would do.
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
        "http": {"listen": f"127.0.0.1:{port}"},
    }


def prepare_demo(folder: Path, shop: list[str], port: int) -> Path:
    """Make the demo's directory with its configuration and, where nothing was logged there yet, a log of yesterday that
    was rotated away; the configuration. The directory stays locked for as long as this process lives.
    """
    folder.mkdir(exist_ok=True)
    try:
        fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"make run: the demo runs already in {folder}; Ctrl-C in its terminal stops it")
    config = folder / "sidelog.json"
    config.write_text(json.dumps(demo_config(folder, port), indent=2) + "\n")
    if not (folder / "shop.log").exists():
        subprocess.run([*shop, "--yesterday", str(YESTERDAY_EVENTS)], check=True)  # noqa: S603 - this project's script
    return config


def free_port(wanted: int) -> int:
    """The port of the page: the wanted one, or any that is free where another program has that."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as listener:
            return int(listener.getsockname()[1])
    return wanted  # the agent says what is wrong with it


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


def answers(port: int) -> bool:
    """Whether the agent's page is there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def offer_page(plan: Plan) -> None:
    """Print a link to the page, and what prints another."""
    made = subprocess.run(  # noqa: S603 - ours
        plan.link, capture_output=True, text=True, check=False, process_group=0, env=plan.environment
    )
    if made.returncode == 0:
        say(PAGE.format(link=made.stdout.strip(), another=plan.another))
    else:
        sys.stderr.write(made.stderr)


def wait(agent: subprocess.Popen[bytes], port: int, plan: Plan) -> int:
    """Wait until the agent ends, and return its code; meanwhile offer its page, as soon as that answers.

    Raises:
        KeyboardInterrupt: the terminal was closed. Where it ran `make` alone, that one waits for us without a word.
    """
    terminal = select.poll()
    if os.isatty(1):
        terminal.register(1, 0)  # a hang-up is told without being asked for
    is_offered = False
    while (code := agent.poll()) is None:
        if not is_offered and answers(port):
            is_offered = True
            offer_page(plan)
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


class Plan(NamedTuple):
    """What is started, and what is said of it.

    Args:
        said: first.
        commands: to run beside each other; the last one is the agent.
        environment: theirs.
        link: prints a link to the page.
        another: the same, as a person types it anywhere.
    """

    said: str
    commands: list[list[str]]
    environment: dict[str, str]
    link: list[str]
    another: str


def plan_logs(sidelog: str, patterns: list[str], port: int) -> Plan:
    """Follow files of the user's own, with the store of the user's own."""
    page = ["--set", f"http.listen=127.0.0.1:{port}"]
    link = [*LINK, *page]
    said = HINTS.format(
        what=f"sidelog follows {shlex.join(patterns)}",
        name="sidelog",
        command=shlex.quote(sidelog),
        link=shlex.join(link),
        more="",
        stops="it",
    )
    commands = [[sidelog, "run", *page, *patterns]]
    return Plan(said, commands, {**os.environ}, [sidelog, *link], shlex.join([sidelog, *link]))


def plan_demo(sidelog: str, rate: str, port: int) -> Plan:
    """Follow the log of the demo shop, in a directory of its own."""
    folder = Path.cwd() / "demo-logs"
    shop = [sys.executable, str(Path(__file__).resolve().with_name("shop.py")), str(folder)]
    try:
        config = prepare_demo(folder, shop, port)
    except OSError as error:
        sys.exit(f"make run: the demo cannot have {error.filename or folder}: {error.strerror}")
    told = shlex.join(["cut", "-c", "-600", str(folder / "pages.json")])
    said = HINTS.format(
        what=f"sidelog follows {folder}/*.log, where a small demo shop logs",
        name="demo",
        command=shlex.quote(show([sidelog, "-c", str(config)])),
        link=shlex.join(LINK),
        more=DEMO_HINTS.format(name="demo", rule=RULE, count=RULE_COUNT, told=told, config=config),
        stops="both",
    )
    commands = [
        [*shop, "--rate", rate, "--rotate-after", str(ROTATE_AFTER)],
        [sidelog, "run", "-c", str(config)],
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIDELOG_")}
    link = [sidelog, *LINK, "-c", str(config)]
    return Plan(said, commands, environment, link, show(link))


def main() -> int:
    """Start, wait, stop; returns the agent's exit code, 0 after Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sidelog", required=True, help="the sidelog command")
    parser.add_argument("--logs", default="", help="patterns to follow; empty: the demo service's log")
    parser.add_argument("--rate", default="8", help="events per second that the demo service writes (default: 8)")
    parser.add_argument("--port", type=int, default=PORT, help=f"of the page, where it is free (default: {PORT})")
    options = parser.parse_args()
    patterns = as_patterns(words_of(options.logs.strip()))
    port = free_port(options.port)
    plan = plan_logs(options.sidelog, patterns, port) if patterns else plan_demo(options.sidelog, options.rate, port)
    say(plan.said)

    for number in ENDS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, interrupt)
    # Own process groups: Ctrl-C reaches only this process, which stops the writer first and the agent after it, so
    # that the agent has everything stored when it ends.
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.extend(subprocess.Popen(one, process_group=0, env=plan.environment) for one in plan.commands)  # noqa: S603 - ours
        return wait(started[-1], port, plan)
    except KeyboardInterrupt:
        say("\nstopping\n")
        return 0
    finally:
        stop(started)


if __name__ == "__main__":
    sys.exit(main())
