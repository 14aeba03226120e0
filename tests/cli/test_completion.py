"""Completion: what is offered at a Tab, and that the scripts bring it to real shells."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from agent.cli.main import cli, run_command_line
from agent.cli.offers import OFFERS
from tests.cli.stores import error_batch, make, tailed
from tests.command_tree import entries
from tests.needs import needs

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "etc" / "completion"
WORDBREAKS = " \t\n\"'@><=;|&(:"  # bash's own
SHELL_CODE = [
    "x;id",
    "$(id)",
    "`id`",
    "a b",
    "~root",
    "a'b",
    'a"b',
    "{a,b}",
    "a*",
    "!!",
    "a\\b",
    "a\nb",
    "\x1b[2J",
    "a&b",
]
READ_S = 60  # a machine may be slow


@pytest.fixture
def shop(sidelog, tmp_path, monkeypatch):
    """A configuration with rules, hooks and archives, and a store with two groups of errors."""
    path = tmp_path / "s.db"
    lines = [
        {
            "message": "no item",
            "logger": "shop.cart",
            "exc_type": "ValueError",
            "service": "till",
            "http": {"status": 500},
        },
        {"message": "it is late", "logger": "shop.clock", "exc_type": "TimeoutError", "service": "web", "user": "ann"},
    ]
    lines += [{"message": "hostile", "exc_type": "ValueError", "service": text, "user": text} for text in SHELL_CODE]
    batch, groups = error_batch(lines, file=tailed(path="/var/log/shop/app.log"))
    make(path, batches=[batch], groups=groups)
    (tmp_path / "archive" / "app").mkdir(parents=True)
    (tmp_path / "archive" / "app" / "app-20261122T030405Z-7.log.zst").touch()
    document = {
        "store": {"path": str(path)},
        "sources": [{"name": "later", "include": ["/var/log/later/*.log"]}],
        "alerts": [{"name": "error-rate", "match": "severity>=error", "when": {"count": 5}, "hooks": ["page"]}],
        "hooks": {"page": {"exec": ["/bin/true"]}, "chat": {"exec": ["/bin/true"]}},
    }
    (tmp_path / "sidelog.json").write_text(json.dumps(document))
    monkeypatch.setenv("SIDELOG_CONFIG", str(tmp_path / "sidelog.json"))
    return sidelog


@pytest.fixture
def offered(monkeypatch, capfd):
    """The words that a shell gets for a line, with their kinds in front unless they are plain."""

    def ask(line, shell="zsh"):
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_WORDBREAKS", WORDBREAKS)
        monkeypatch.setenv("_SIDELOG_COMPLETE", shell)
        capfd.readouterr()
        run_command_line([])
        said = capfd.readouterr()
        assert said.err == ""
        monkeypatch.delenv("_SIDELOG_COMPLETE")
        rows = [row.split("\t") for row in said.out.splitlines()]
        return [word if kind == "plain" else f"{kind} {word}" for kind, word, _ in rows]

    return ask


OFFERED = {
    "sidelog que": ["query"],
    "sidelog errors s": ["show"],
    "sidelog errors --so": ["--sort"],
    "sidelog errors --sort c": ["count"],
    "sidelog query -p err": ["error"],
    "sidelog query --severity=w": ["--severity=warn"],
    "sidelog query -s ": ["app", "later"],
    "sidelog query serv": ["open service="],
    "sidelog query http": ["open http.status="],
    "sidelog query service=": ["service=till", "service=web"],
    "sidelog query '!service=t": ["!service=till"],
    "sidelog query '(user=": ["(user=ann"],
    "sidelog query 'http.status>=": ["http.status>=500"],
    "sidelog query logger=shop.c": ["logger=shop.cart", "logger=shop.clock"],
    "sidelog query 'severity>=f": ["severity>=fatal"],
    "sidelog query state=re": ["state=regressed", "state=resolved"],
    "sidelog query path=": ["path=/var/log/shop/app.log"],
    "sidelog query group=1": ["group=1"],
    "sidelog query --by service,logg": ["service,logger"],
    "sidelog query --fields us": ["user"],
    "sidelog query --agg p9": ["open p95:", "open p99:"],
    "sidelog query --agg max:http": ["max:http.status"],
    "sidelog errors show ": ["1", "2", "3"],
    "sidelog errors reopen ": [],
    "sidelog errors list --category va": ["validation"],
    "sidelog errors list --service ": ["till", "web"],
    "sidelog alerts test err": ["error-rate"],
    "sidelog alerts silence ": ["error-rate"],
    "sidelog alerts send-test ": ["page", "chat"],
    "sidelog archive cat ": ["app-20261122T030405Z-7.log.zst"],
    "sidelog parse --format postg": ["postgresql"],
    "sidelog parse --source ": ["later"],
    "sidelog explain SL40": [f"SL40{n}" for n in range(1, 10)],
    "sidelog completion ": ["bash", "zsh", "fish"],
    "sidelog run /var/l": ["file /var/l"],
    "sidelog -c ": ["file "],
    "sidelog query -S 1h -p error 'ser": ["open service="],
}


def test_what_is_offered(shop, offered):
    found = {line: offered(line) for line in OFFERED}
    found["sidelog errors show "].sort()  # they are of about the same instant
    assert found == OFFERED


def test_options_of_the_line_count(shop, offered, tmp_path):
    (tmp_path / "other.json").write_text(json.dumps({"hooks": {"other": {"exec": ["/bin/true"]}}}))
    assert offered(f"sidelog -c {tmp_path}/other.json alerts send-test ") == ["other"]
    assert offered(f"sidelog query --store {tmp_path}/none.db -s ") == ["later"]


def test_what_a_shell_would_not_take_as_it_stands_is_not_offered(shop, offered):
    """Others may have written it into a log."""
    for rest in ("query service=", "query user=", "query '!user=", "errors list --service "):
        assert [word for word in offered(f"sidelog {rest}") if not re.fullmatch(r"[\w=!]+", word)] == []


REPLACED = {
    "sidelog query service=t": ["till"],
    "sidelog query service=": ["till", "web"],
    "sidelog query 'service=t": ["service=till"],
    "sidelog query --severity=w": ["warn"],
    "sidelog query --agg max:http": ["http.status"],
    "sidelog query --by service,logg": ["service,logger"],
}


def test_bash_gets_what_it_replaces(shop, offered):
    """It takes a word apart at `=` and `:`, unless it began with a quote."""
    assert {line: offered(line, "bash") for line in REPLACED} == REPLACED


@pytest.mark.parametrize("problem", ["no store", "no database", "no configuration", "a wrong configuration"])
def test_nothing_is_said_of_what_goes_wrong(sidelog, offered, tmp_path, monkeypatch, problem):
    document = {"store": {"path": str(tmp_path / "s.db")}}
    if problem == "a wrong configuration":
        document["stroe"] = {}
    if problem == "no database":
        (tmp_path / "s.db").write_bytes(b"nothing" * 1000)
    if problem != "no configuration":
        (tmp_path / "sidelog.json").write_text(json.dumps(document))
    monkeypatch.setenv("SIDELOG_CONFIG", str(tmp_path / "sidelog.json"))
    for rest in ("query user=", "errors show ", "alerts test ", "archive cat ", "q\\"):
        assert offered(f"sidelog {rest}") == []


WORDS = {"--set", "-g", "-S", "-U", "--every", "--for", "--comment", "--author", "--cluster"}  # of a person
FREE = {  # texts and times that nobody knows before
    ("alerts test", "explain"),
    ("check", "as_user"),
    ("check", "unit"),
    ("errors diff", "after"),
    ("errors diff", "against"),
    ("errors diff", "at"),
    ("errors diff", "before"),
    ("errors diff", "label"),
    ("parse", "patterns"),
    ("restore", "at"),
    ("sql", "statement"),
    ("token create", "expires"),
    ("alerts run", "interval"),
    ("alerts run", "lease"),
    *((f"alerts {name}", "name") for name in ("run", "silence", "unsilence")),
    ("token create", "name"),
    ("version", "url"),
    ("web", "listen"),
}


def test_every_offer_is_of_a_parameter_and_every_name_has_its_offer():
    free = {
        (entry.path, parameter.name)
        for entry in entries()
        for parameter in entry.command.params
        if isinstance(parameter.type, click.types.StringParamType | type(None))
        and not getattr(parameter, "is_flag", False)
        and parameter.opts[0]
        not in {"--set", "-g", "-S", "-U", "--every", "--for", "--comment", "--author", "--cluster"}
    }
    known = {(entry.path, parameter.name) for entry in entries() for parameter in entry.command.params}
    assert OFFERS.keys() <= known
    assert free - OFFERS.keys() == FREE


def test_the_command_prints_the_script(sidelog):
    for shell, file in (("bash", "sidelog.bash"), ("zsh", "_sidelog"), ("fish", "sidelog.fish")):
        said = sidelog("completion", shell)
        assert (said.code, said.out, said.err) == (0, (SCRIPTS / file).read_text(), "")


def test_only_what_is_named_is_imported():
    """A Tab behind `sidelog` costs no command's imports."""
    code = "import sys\nfrom agent.cli.main import run_command_line\nrun_command_line([])\n"
    code += "print(sorted(name for name in sys.modules if name.startswith('agent.')), file=sys.stderr)\n"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environ |= {"COMP_WORDS": "sidelog ", "_SIDELOG_COMPLETE": "bash", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environ, timeout=50, check=True)
    assert len(done.stdout.splitlines()) == len(cli.list_commands(click.Context(cli)))
    assert b"agent.cli.query" not in done.stderr


# ---------------------------------------------------------------- real shells


class Terminal:
    """A shell that somebody types into."""

    def __init__(self, command, environ):
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, environ)  # noqa: S606 - a shell of the test's own
        self.seen = b""

    def type(self, keys, until):
        """Type, and wait for a line that the shell prints; what was printed before it does not count."""
        start = len(self.seen)
        os.write(self.file, keys.encode())
        end = time.monotonic() + READ_S
        while not (found := re.search(until, self.seen[start:])):
            ready, _, _ = select.select([self.file], [], [], end - time.monotonic())
            assert ready, self.seen[start:]
            self.seen += os.read(self.file, 65_536)
        return found

    def close(self):
        os.close(self.file)
        os.waitpid(self.pid, 0)


@pytest.fixture
def terminal(shop, tmp_path):
    """An interactive shell with the script, started as one starts it who has no settings of his own."""
    opened = []

    def start(*command, ready):
        environ = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TERM": "dumb",
            "PS1": "> ",
        }
        environ = {name: value for name, value in environ.items() if not name.startswith("COV")}
        environ |= {"HISTFILE": "/dev/null", "INPUTRC": "/dev/null", "COLUMNS": "200", "HOME": str(tmp_path)}
        found = Terminal(command, environ)
        opened.append(found)
        found.type(f"{ready}; echo rea''dy\n", rb"ready\r")
        return found

    yield start
    for one in opened:
        one.close()


TYPED = [
    ("sidelog que\t-n 1", "sidelog query -n 1"),
    ("sidelog query 'service=t\t", "sidelog query service=till"),
    ("sidelog query serv\tt\t", "sidelog query service=till"),
    ("sidelog alerts test e\t", "sidelog alerts test error-rate"),
]


def completed(shell):
    """The lines as they have become: each is given to `echo` instead of being run."""
    for number, (keys, line) in enumerate(TYPED):
        said = shell.type(f"{keys}\x01echo {number}: \n", rf"\n{number}: (.*?) *\r".encode())
        assert said[1].decode() == line


def test_bash(terminal):
    completed(terminal("bash", "--norc", "--noprofile", "-i", ready='eval "$(sidelog completion bash)"'))


@needs("zsh")
@pytest.mark.parametrize("installed", [False, True], ids=["eval", "file in fpath"])
def test_zsh(terminal, installed):
    begin = "bindkey -e; autoload -Uz compinit; compinit -u -D"
    ready = f"fpath=({SCRIPTS} $fpath); {begin}" if installed else f'{begin}; eval "$(sidelog completion zsh)"'
    completed(terminal("zsh", "-f", "-i", ready=ready))


@needs("fish")
@pytest.mark.parametrize("installed", [False, True], ids=["source", "file of a vendor"])
def test_fish(shop, tmp_path, installed):
    """It can be asked without a terminal."""
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    folder = tmp_path / "share/fish/vendor_completions.d"
    folder.mkdir(parents=True)
    if installed:
        (folder / "sidelog.fish").symlink_to(SCRIPTS / "sidelog.fish")
        environ |= {"XDG_DATA_DIRS": f"{tmp_path}/share:/usr/share", "HOME": str(tmp_path)}
    code = "" if installed else "sidelog completion fish | source; "
    code += 'complete -C "sidelog que"; complete -C "sidelog query service="'
    done = subprocess.run(
        ["fish", *([] if installed else ["-N"]), "-c", code],
        capture_output=True, text=True, env=environ, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["query\tSearch the events.", "service=till", "service=web"]
