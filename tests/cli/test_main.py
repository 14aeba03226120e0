"""The shell around the commands: help, version, wrong usage, errors, broken pipes, its start-up cost."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from agent import __version__
from agent.cli import main
from agent.cli.common import Context
from agent.core.errors import StoreError

pytestmark = pytest.mark.measured

PROGRAM = [sys.executable, "-m", "agent"]


def process(*arguments, **settings):
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=50, check=False, **settings)


def add_command(monkeypatch, function, *, name="explain"):
    """Put a function in the place of a real command."""
    command = click.command()(function)
    monkeypatch.setattr(
        main.LazyGroup, "get_command", lambda _self, _context, asked: command if asked == name else None
    )


def test_help_lists_every_installed_command_by_its_purpose(sidelog):
    said = sidelog("--help")
    assert (said.code, said.err) == (0, "")
    for section in ("Collect:", "Help:", "Options:"):
        assert section in said.out
    for name in ("check", "init", "explain"):
        assert f"  {name}" in said.out
    assert sidelog("-h").out == said.out


def test_each_command_explains_itself_as_the_table_says(sidelog):
    group = main.cli
    for name in group.list_commands(click.Context(group)):
        said = sidelog(name, "--help")
        assert (said.code, said.err) == (0, ""), name
        assert f"Usage: sidelog {name}" in said.out
        assert "--color" in said.out, name


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(sidelog, option):
    assert sidelog(option).out == f"sidelog {__version__}\n"


def test_without_a_command_help_goes_to_stderr_as_wrong_usage(sidelog):
    said = sidelog()
    assert (said.code, said.out) == (2, "")
    assert "Collect:" in said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["frobnicate"], "error[SL501]: there is no command 'frobnicate'\n  hint: sidelog --help"),
        (["chek"], "there is no command 'chek', did you mean 'check'?"),
        (["check", "--frobnicate"], "no such option"),
        (["--frobnicate"], "no such option"),
        (["search"], "there is no command 'search'\n"),
        (["Query"], "there is no command 'Query', did you mean 'query'?"),
        (["errors", "shwo", "1"], "there is no command 'errors shwo', did you mean 'show'?"),
        (["archive", "verfy"], "there is no command 'archive verfy', did you mean 'verify'?"),
        (["query", "--sicne", "1h"], "no such option '--sicne', did you mean '--since'?\n  hint: sidelog query --help"),
        (["--stroe", "x", "query"], "no such option '--stroe', did you mean '--store'?"),
        (["errors", "--srot", "count"], "no such option '--srot', did you mean '--sort'?"),
        (["alerts", "test", "--sinc=1d", "r"], "no such option '--sinc', did you mean '--since'?"),
        (["query", "-N", "3"], "no such option '-N', did you mean '-n'?"),
        (["query", "--n", "3"], "no such option '--n', did you mean '-n'?"),
        (["query", "-z"], "no such option '-z'\n"),
        (["query", "--json"], "no such option '--json', did you mean '-o json'?"),
        (["query", "-json"], "no such option '-json', did you mean '-o json'?"),
        (["status", "-json"], "no such option '-json', did you mean '--json'?"),
        (["query", "\u2014since", "1h"], "'\u2014since' begins with a typeset dash, did you mean '--since'?"),
        (["query", "\u2013n", "1"], "'\u2013n' begins with a typeset dash, did you mean '-n'?"),
        (["query", "-c"], "option '-c' requires an argument\n  hint: sidelog query --help"),
        (["check", "extra"], "unexpected extra argument"),
        (["check", "--color", "pink"], "'pink' is not one of"),
        (["check", "--set"], "'--set' requires an argument"),
        (["check", "--set", "nothing"], "--set 'nothing' is not KEY=VALUE"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(sidelog, tmp_path, arguments, said):
    (tmp_path / "sidelog.yaml").write_text("sources: []\n")
    found = sidelog(*arguments)
    assert (found.code, found.out) == (2, "")
    assert said in found.err
    assert "SL501" in found.err
    assert len(found.err.splitlines()) <= 2


def test_an_error_of_the_program_is_a_sentence_and_its_own_exit_code(sidelog, monkeypatch):
    def fails():
        raise StoreError("SL401", "open", "/x\x1b", "there is no store at /x\x1b[2J", hint="begin\u202e")

    add_command(monkeypatch, fails)
    said = sidelog("explain")
    assert (said.code, said.out) == (3, "")
    assert said.err == "sidelog: error[SL401]: there is no store at /x\\x1b[2J\n  hint: begin\\u202e\n"


def test_the_unexpected_is_a_sentence_and_with_vv_a_traceback(sidelog, monkeypatch):
    def fails():
        raise ZeroDivisionError("by zero")

    add_command(monkeypatch, fails)
    said = sidelog("explain")
    assert said.code == 1
    assert "error[SL999]: something unexpected happened: ZeroDivisionError: by zero" in said.err
    assert "Traceback" not in said.err
    assert "Traceback" in sidelog("-vv", "explain").err


@pytest.mark.parametrize(
    ("raised", "code"),
    [(KeyboardInterrupt(), 130), (click.Abort(), 130), (BrokenPipeError(), 141), (click.exceptions.Exit(7), 7)],
)
def test_interruptions_are_quiet(sidelog, monkeypatch, raised, code):
    def ends():
        raise raised

    add_command(monkeypatch, ends)
    said = sidelog("explain")
    assert (said.code, said.out, said.err) == (code, "", "")


def test_what_a_command_returns_is_the_exit_code(sidelog, monkeypatch):
    add_command(monkeypatch, lambda: 5)
    assert sidelog("explain").code == 5


def test_a_reader_that_leaves_makes_no_noise():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        done = subprocess.run([*PROGRAM, "--help"], stdout=pipe, stderr=subprocess.PIPE, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_full_disk_is_said():
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*PROGRAM, "explain"], stdout=full, stderr=subprocess.PIPE, timeout=50, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"sidelog: error[SL502]: the output cannot be written: No space left on device\n")


def test_what_cannot_be_said_changes_no_exit_code(tmp_path):
    command = [*PROGRAM, "query", "--store", tmp_path / "none.db"]
    with Path("/dev/full").open("wb") as full:
        assert subprocess.run(command, stderr=full, timeout=50, check=False).returncode == 3


class Stream(io.StringIO):
    """A standard stream that fails when it is flushed. Its number is the one of a file of its own."""

    def __init__(self, error, file):
        super().__init__()
        self.error, self.file = error, file

    def flush(self):
        raise self.error

    def fileno(self):
        return self.file.fileno()


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "error[SL502]"),
        (OSError(errno.EBADF, "Bad file descriptor"), 1, "error[SL999]"),
        (ValueError("closed"), 0, ""),
    ],
)
def test_an_output_that_fails_at_the_end(tmp_path, capsys, error, code, said):
    with (tmp_path / "out").open("w") as file, contextlib.redirect_stdout(Stream(error, file)):
        codes = main._close_output(0, Context()), main._close_output(78, Context())
    assert codes == (code, 78), "the command's own failure counts more"
    assert said in capsys.readouterr().err


def test_an_error_that_nobody_can_read_keeps_its_code(tmp_path, monkeypatch):
    with (tmp_path / "err").open("w") as file:
        monkeypatch.setattr("sys.stderr", Stream(OSError(errno.EIO, "I/O error"), file))
        assert main._failed(StoreError("SL401", "open", "x", "there is none"), Context()) == 3


def test_missing_streams_are_made(monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert main.run_command_line(["frobnicate"]) == 2
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()


def test_closed_streams_are_no_fault():
    done = subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *PROGRAM, "frobnicate"], timeout=50, check=False)
    assert done.returncode == 2


def test_an_interrupted_process_ends_with_130():
    code = "import signal, os\nfrom agent.cli import check, main\n"
    code += "check.catalogue.codes = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
    code += "raise SystemExit(main.run_command_line(['explain']))\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=50, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, b"", b"")


def test_help_and_version_import_nothing_heavy():
    code = "import sys\nfrom agent.cli.main import run_command_line\nrun_command_line(['--help'])\n"
    code += "print(*sys.modules, file=sys.stderr)\n"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # it imports much
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True, env=environ
    )
    loaded = set(done.stderr.split())
    heavy = {
        "yaml",
        "msgspec",
        "orjson",
        "structlog",
        "sqlite3",
        "sqlite_utils",
        "watchdog",
        "asyncio",
        "zstandard",
    }
    assert not heavy & loaded
    assert not [name for name in loaded if name.startswith("agent.") and name not in _ALLOWED]


_ALLOWED = {
    "agent.cli",
    "agent.cli.common",
    "agent.cli.examples",
    "agent.cli.main",
    "agent.core",
    "agent.core.errors",
    "agent.core.patterns",
    "agent.core.text",
}


@pytest.mark.parametrize("file", [None, "sidelog.json", "sidelog.toml"])
def test_a_configuration_that_has_none_imports_no_yaml(tmp_path, file):
    (tmp_path / "sidelog.json").write_text("{}")
    (tmp_path / "sidelog.toml").write_text("")
    code = "import sys\nfrom pathlib import Path\nfrom agent.cli.common import Context\nimport agent.config.loader\n"
    code += "agent.config.loader.SYSTEM_FILE = Path('none.yaml')\n"  # this machine may have one
    code += "context = Context()\ncontext.store, context.overrides = Path('x.db'), ('store.min_free=1GiB',)\n"
    code += f"context.config_path = Path({file!r})\n" if file else ""
    code += "assert context.config().store.min_free == 2**30\n"
    code += "sys.exit('yaml' in sys.modules)\n"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SIDELOG_")}
    environ |= {"SIDELOG_STORE__FLUSH_INTERVAL": "1s", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environ, timeout=50, check=False)
    assert done.returncode == 0


def test_an_agent_keeps_no_memory_for_libraries_it_does_not_need(tmp_path):
    """numpy (17 MB) is the archiving process's alone, though sqlite-utils would load it; that makes new stores only."""
    logs = tmp_path / "a.log"
    logs.write_text('{"a": 1}\n')
    code = "import sys\nfrom agent.cli.main import run_command_line\n"
    code += f"run_command_line(['run', {str(logs)!r}, '--once', '--store', {str(tmp_path / 's.db')!r}])\n"
    unwanted = {"numpy", "stringzilla", "agent.archive.archiver", "agent.rotate.rotator", "sqlite_utils"}
    code += f"print(sorted({unwanted} & set(sys.modules)))\n"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    loaded = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, cwd=tmp_path, env=environ, timeout=50, check=True
        )
        for _ in range(2)
    ]
    assert [done.stdout.splitlines()[-1] for done in loaded] == [b"['sqlite_utils']", b"[]"]


def test_both_entry_points_exist():
    assert process("--version").stdout == f"sidelog {__version__}\n"


def test_completion_is_answered():
    done = process(env={**os.environ, "_SIDELOG_COMPLETE": "bash", "COMP_WORDS": "sidelog che"})
    assert done.stdout.startswith("plain\tcheck\t")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), ValueError("closed"), None])
def test_stderr_that_cannot_be_flushed_is_given_up(tmp_path, monkeypatch, error):
    with (tmp_path / "said").open("w") as file:
        stream = io.StringIO() if error is None else Stream(error, file)
        monkeypatch.setattr(sys, "stderr", stream)
        main._close_errors()
        given_up = os.fstat(file.fileno()).st_rdev == Path(os.devnull).stat().st_rdev
    monkeypatch.undo()
    assert given_up == isinstance(error, OSError)
