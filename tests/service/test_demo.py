"""`make run`: the demo shop beside the agent, from the first line to Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "etc" / "demo"


@pytest.fixture
def command(tmp_path):
    path = tmp_path / "bin" / "sidelog"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m agent "$@"\n')
    path.chmod(0o755)
    return path


def typed(said, words):
    """What a line of the hints prints, typed in another directory."""
    [line] = [line for line in said.splitlines() if re.match(r"  \S", line) and line.endswith(words)]
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, cwd="/", timeout=50)
    return done.stdout if done.returncode == 0 else ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_newcomer_sees_it_all_and_ctrl_c_stops_both(tmp_path, command, number):
    """Events, a group, an alert with its page, a rotated log in the archive, by typing what the demo says; the end is
    clean, leaves no process, and nothing in the user's own store.
    """
    run = [sys.executable, str(DEMO / "run.py"), "--sidelog", str(command), "--rate", "20"]
    home = {name: value for name, value in os.environ.items() if not name.startswith(("SIDELOG_", "XDG_"))}
    with (tmp_path / "out").open("wb") as output:
        demo = subprocess.Popen(
            run, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT, env=home | {"HOME": str(tmp_path / "home")}
        )
    try:
        end = time.monotonic() + 90
        wanted = ["query -p error -n 5", "pages.json"]
        if number == signal.SIGINT:
            wanted += [" errors", " alerts", " archive", "query -U 20h -p error"]
        while wanted:
            said = (tmp_path / "out").read_text()
            assert time.monotonic() < end, f"{wanted}: {said}"
            assert demo.poll() is None, said
            time.sleep(0.05)
            if "Ctrl-C" in said and typed(said, wanted[0]):
                wanted.pop(0)
        assert "healthy" in typed(said, " status")
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        assert len(children) == 2
    finally:
        demo.send_signal(number)
        code = demo.wait(40)
    said = (tmp_path / "out").read_text()
    assert code == 0, said
    page = json.JSONDecoder().raw_decode((tmp_path / "demo-logs" / "pages.json").read_text())[0]
    assert (page["rule"], page["state"]) == ("shop-errors", "firing")
    assert page["value"] >= 3
    assert page["events"]
    assert "Traceback" not in said
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(("file", "pattern"), [("app.log", "logs/*.log"), ("messages", "logs/*")])
def test_a_directory_means_the_logs_in_it(tmp_path, file, pattern):
    command = tmp_path / "sidelog"
    command.write_text('#!/bin/sh\necho "$@"\n')
    command.chmod(0o755)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / file).touch()
    run = [sys.executable, str(DEMO / "run.py"), "--sidelog", str(command), "--logs", "logs/"]
    result = subprocess.run(run, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=50)
    assert result.stdout.splitlines()[-1] == f"run {pattern}"


def test_patterns_are_passed_on_unexpanded(tmp_path):
    """LOGS='*.log' reaches the agent as patterns, so that files born later are followed too; its code is passed on."""
    command = tmp_path / "sidelog"
    command.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\nsys.exit(78)\n")
    command.chmod(0o755)
    (tmp_path / "a.log").touch()
    run = [sys.executable, str(DEMO / "run.py"), "--sidelog", str(command), "--logs", "*.log 'with space/*.json'"]
    result = subprocess.run(run, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=50)
    assert result.returncode == 78
    assert json.loads(result.stdout.splitlines()[-1]) == ["run", "*.log", "with space/*.json"]


def test_the_shop_writes_json_lines_and_rotates(tmp_path):
    """Every line is a JSON object with the fields of structlog; rotated files are kept up to a number."""
    shop = [sys.executable, str(DEMO / "shop.py"), "logs", "--rate", "2000", "--rotate-after", "50", "--seed", "3"]
    process = subprocess.Popen(shop, cwd=tmp_path)
    try:
        end = time.monotonic() + 40
        while not (tmp_path / "logs" / "shop.log.3").exists():
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        process.terminate()
        assert process.wait(40) == 0
    assert sorted(os.listdir(tmp_path / "logs")) == ["shop.log", "shop.log.1", "shop.log.2", "shop.log.3"]  # noqa: PTH208
    lines = [line for name in (1, 2, 3) for line in (tmp_path / "logs" / f"shop.log.{name}").read_text().splitlines()]
    assert len(lines) == 150
    events = [json.loads(line) for line in lines]
    assert all({"timestamp", "level", "logger", "event"} <= set(event) for event in events)
    assert any(event["level"] == "error" and "Traceback" in event["exception"] for event in events)
