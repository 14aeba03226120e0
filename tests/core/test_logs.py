"""The agent's own log: JSON lines for machines, readable and harmless lines on a terminal."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEAK = """
import sys, structlog
from agent.core.logs import configure
configure(int(sys.argv[1]))
log = structlog.get_logger("sidelog")
log.debug("fine", n=1)
log.info("started", path="/var/log/\\x1b]0;gone\\x07\\u202eevil", nothing=None, empty="", zero=0)
log.warning("low\\x1b[2J", code="SL410")
log.error("failed")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broken")
"""


def lines(verbosity):
    done = subprocess.run(
        [sys.executable, "-c", SPEAK, str(verbosity)], cwd=ROOT, capture_output=True, check=True, timeout=30
    )
    assert done.stdout == b"", "chatter goes to stderr"
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("verbosity", "events"),
    [
        (-2, ["failed", "broken"]),
        (-1, ["failed", "broken"]),
        (0, ["started", "low\x1b[2J", "failed", "broken"]),
        (1, ["fine", "started", "low\x1b[2J", "failed", "broken"]),
        (3, ["fine", "started", "low\x1b[2J", "failed", "broken"]),
    ],
)
def test_levels_by_verbosity(verbosity, events):
    assert [line["event"] for line in lines(verbosity)] == events


def test_json_lines_say_level_and_instant_and_leave_out_what_is_empty():
    started, *_, broken = lines(0)
    assert started["level"] == "info"
    assert started["timestamp"].endswith("Z")
    assert started["zero"] == 0
    assert "nothing" not in started
    assert "empty" not in started
    assert "ZeroDivisionError" in broken["exception"]


def test_on_a_terminal_nothing_in_a_message_can_drive_it():
    controller, terminal = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "NO_COLOR": "", "PYTHONPATH": str(ROOT), "TZ": "Asia/Kathmandu"}
    began = time.time()
    process = subprocess.Popen([sys.executable, "-c", SPEAK, "0"], cwd=ROOT, stderr=terminal, env=environ)
    os.close(terminal)
    said = b""
    try:
        while part := os.read(controller, 65_536):
            said += part
    except OSError:
        pass  # how a pty says that the other side is gone
    finally:
        os.close(controller)
    assert process.wait(30) == 0
    text = said.decode()
    assert "started" in text
    found = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}(?!\d|Z)", text)
    there = datetime.fromisoformat(f"{found[0]}+05:45").timestamp()
    assert began - 1 <= there <= time.time(), "local time, with milliseconds"
    assert "\\x1b]0;gone\\x07\\u202eevil" in text
    assert "low\\x1b[2J" in text
    for control in ("\x1b]0", "\x07", "\u202e", "\x1b[2J"):
        assert control not in text
    assert not text.startswith("{")


def test_a_closed_stderr_is_borne():
    code = "import sys, structlog\nfrom agent.core.logs import configure\nconfigure(0)\nsys.stderr.close()\n"
    code += "structlog.get_logger('sidelog').warning('low')\nprint('on')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, timeout=30)
    assert done.stdout == b"on\n"
