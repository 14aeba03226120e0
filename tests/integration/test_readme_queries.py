"""What README.md says to ask of a store, asked of one."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
from pathlib import Path

from tests.integration.harness import SIDELOG, append, event, wait_until

README = Path(__file__).parents[2] / "README.md"
SECTION = README.read_text().split("\n## What it does\n")[1].split("\n## ")[0]
COMMANDS = [shlex.split(line, comments=True) for line in re.findall(r"^\$ sidelog (.*)$", SECTION, re.MULTILINE)]


def test_each_question_is_answered(box):
    web = {"logger": "shop", "service": "web"}
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    access = {"http": {"response": {"status_code": 502}}, "url": {"path": "/pay"}}
    append(box.log, event(0, "error", "timeout", user="ann", total=193.89, trace_id=trace, **access, **web))
    append(box.log, event(1, "info", "healthcheck", user="bob", total=3, **web))
    box.once()
    asked = [words for words in COMMANDS if "-f" not in words]
    assert len(asked) >= 7
    for words in asked:
        done = box.run(*words)
        assert done.returncode == 0, (words, done.stderr)
        nothing = "regressed" in words or "diff" in words  # no group has come back, nor was there one at that time
        assert done.stdout or nothing, (words, done.stderr)


def test_what_comes_is_followed_without_what_is_left_out(box):
    (words,) = [words for words in COMMANDS if "-f" in words]
    append(box.log, event(0))
    box.start()
    box.wait_count(1)
    out = box.root / "out"
    command = [*SIDELOG, words[0], "-c", str(box.config), *words[1:]]
    with out.open("wb") as file:
        following = subprocess.Popen(command, cwd=box.root, env=box.env, stdout=file, stdin=subprocess.DEVNULL)

    def followed():
        append(box.log, event(1, message="healthcheck") + event(2, message="order placed"))
        return "order placed" in out.read_text()

    try:
        wait_until(followed, 60, "an event")
    finally:
        following.send_signal(signal.SIGINT)
        following.wait(30)
    assert "healthcheck" not in out.read_text()
    assert box.stop() == 0
