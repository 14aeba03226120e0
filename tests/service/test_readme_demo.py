"""`make run` as README.md says it, and the demo as README.md shows it."""

from __future__ import annotations

import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.http.served import free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
MADE, TYPED = re.findall(r"```console\n(.*?)```", README.split("\n## ")[0], re.DOTALL)
# The beginning of a line that a command of README prints, in the words of its own sample.
SHAPES = {
    "query": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (INFO |WARN |ERROR) shop: ",
    "errors": r"\d+ new +\d+×",
    "status": r"healthy: agent runs as process \d+ since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, version ",
    "alerts": r"firing +shop-errors +\d+ of 3 +since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
}


@pytest.fixture
def checkout(tmp_path):
    """A directory where `make` finds the project, and an environment that it has made before."""
    for name in ("Makefile", "pyproject.toml", "requirements-dev.txt", "etc"):
        (tmp_path / name).symlink_to(ROOT / name)
    tools = tmp_path / ".venv/bin"
    tools.mkdir(parents=True)
    for name, module in (("python", ""), ("sidelog", "-m agent")):
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        (tools / name).chmod(0o755)
    (tmp_path / ".venv/.sidelog-run").touch()
    return tmp_path


@contextmanager
def making(checkout, words):
    """`make` while the block runs; Ctrl-C ends it, and what it has started."""
    home = {name: value for name, value in os.environ.items() if not name.startswith(("SIDELOG_", "XDG_", "MAKE"))}
    home |= {"HOME": str(checkout / "home"), "PYTHONPATH": str(ROOT)}
    with (checkout / "out").open("wb") as output:
        made = subprocess.Popen(
            words, cwd=checkout, stdout=output, stderr=subprocess.STDOUT, env=home, start_new_session=True
        )
    try:
        yield home
    finally:
        os.killpg(made.pid, signal.SIGINT)  # as a terminal does
        code = made.wait(40)
    assert code == -signal.SIGINT, (checkout / "out").read_text()  # make ends by it too


def on_a_terminal(words, **popen):
    """What a command prints on one."""
    reading, writing = pty.openpty()
    with os.fdopen(reading, "rb", buffering=0) as screen, subprocess.Popen(words, stdout=writing, **popen) as process:
        os.close(writing)
        said = b""
        with suppress(OSError):  # EIO: nobody has the other side any more
            while more := screen.read(4096):
                said += more
        process.wait(50)
    return said.decode()


def wait_for(found, said):
    end = time.monotonic() + 90
    while not found():
        assert time.monotonic() < end, said()
        time.sleep(0.05)


def test_the_demo_is_what_readme_shows(checkout):
    """Its alias, its commands, and lines of the shape that it shows for them."""
    alias, *lines = TYPED.removeprefix("$ ").splitlines()
    asked = {line.removeprefix("$ "): index for index, line in enumerate(lines) if line.startswith("$ ")}
    with making(checkout, ["make", "run", f"PAGE_PORT={free_port()}"]) as env:
        for words, index in asked.items():
            shape = SHAPES[words.split()[1]]
            assert re.match(shape, lines[index + 1]), f"README has another form: {lines[index + 1]}"
            script = ["sh", "-c", f"{alias}\n{words}"]

            def answer(script=script):
                return on_a_terminal(script, cwd=checkout, env=env | {"NO_COLOR": "1"}, stderr=subprocess.DEVNULL)

            wait_for(lambda shape=shape, answer=answer: re.match(shape, answer()), answer)
    assert {words.split()[1] for words in asked} == {*SHAPES}


def test_make_run_follows_the_logs_that_readme_names(checkout):
    words = shlex.split(next(line for line in MADE.splitlines() if "LOGS=" in line).removeprefix("$ "), comments=True)
    logs = checkout / "var/log/shop"
    logs.mkdir(parents=True)
    (logs / "app.log").write_text('{"level":"error","message":"payment failed"}\n')
    words = [word.replace("/var/log/", f"{checkout}/var/log/") for word in words]
    store = str(checkout / "store.db")
    with making(checkout, [*words, f"SIDELOG_STORE__PATH={store}", f"PAGE_PORT={free_port()}"]) as env:
        asked = [sys.executable, "-m", "agent", "query", "--store", store, "--count"]

        def answer():
            return subprocess.run(asked, env=env, capture_output=True, text=True, check=False).stdout

        wait_for(lambda: answer() == "1\n", (checkout / "out").read_text)
