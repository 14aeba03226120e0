"""The command line as a function, in a directory of its own and without this machine's environment."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from agent.cli.main import run_command_line


@dataclass
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def sidelog(tmp_path, monkeypatch, capfd):
    """Runs a command line in this process: `sidelog("check", "-c", file)`."""
    monkeypatch.chdir(tmp_path)
    for name in [*os.environ]:
        if name.startswith(("SIDELOG_", "_SIDELOG", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("agent.config.loader.SYSTEM_FILE", tmp_path / "etc" / "sidelog.yaml")
    monkeypatch.setattr("agent.service.unit.DIRECTORIES", (str(tmp_path / "etc" / "systemd"),))

    def run(*arguments):
        capfd.readouterr()
        code = run_command_line([str(argument) for argument in arguments])
        said = capfd.readouterr()
        assert "Traceback" not in said.err or "-vv" in arguments
        return Said(code, said.out, said.err)

    return run
