"""`make run`: the demo shop beside the agent, from the first line to Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "etc" / "demo"


@pytest.fixture
def command(tmp_path):
    """A sidelog command that keeps its store in the test's folder."""
    path = tmp_path / "bin" / "sidelog"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m agent "$@" --store "{tmp_path}/state/sidelog.db"\n')
    path.chmod(0o755)
    return path


def errors(store):
    """How many errors are stored by now."""
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection,
    ):
        return connection.execute(
            "SELECT count(*) FROM events WHERE severity_number >= 17 AND group_id > 0"
        ).fetchone()[0]
    return 0


def is_filled(path):
    return path.exists() and path.stat().st_size > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_newcomer_sees_an_error_and_ctrl_c_stops_both(tmp_path, command, number):
    """Without LOGS an error with its group is there within seconds, and soon an alert whose hook has run; the end is
    clean and leaves no process.
    """
    run = [sys.executable, str(DEMO / "run.py"), "--sidelog", str(command), "--rate", "100"]
    with (tmp_path / "out").open("wb") as output:
        demo = subprocess.Popen(run, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + 90
        pages = tmp_path / "demo-logs" / "pages.json"
        while errors(tmp_path / "state" / "sidelog.db") == 0 or not is_filled(pages):
            assert time.monotonic() < end, (tmp_path / "out").read_text()
            assert demo.poll() is None, (tmp_path / "out").read_text()
            time.sleep(0.05)
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        assert len(children) == 2
    finally:
        demo.send_signal(number)
        code = demo.wait(40)
    said = (tmp_path / "out").read_text()
    assert code == 0, said
    assert f"{command} query -f" in said
    assert f"cat {pages}" in said
    page = json.JSONDecoder().raw_decode(pages.read_text())[0]
    assert (page["rule"], page["state"]) == ("shop-errors", "firing")
    assert page["value"] >= 3
    assert page["events"]
    assert "Traceback" not in said
    assert not any(Path(f"/proc/{child}").exists() for child in children)


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
