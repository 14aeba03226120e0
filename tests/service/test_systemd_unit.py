"""The unit files as systemd itself reads them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.needs import needs

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "sidelog.service"
EXAMPLES = sorted((SYSTEMD / "examples").glob("*.conf"))
DOCUMENT = Path(__file__).parents[2] / "docs" / "service.md"
BACKUP = SYSTEMD / "sidelog-backup.service"
ALERTS = SYSTEMD / "sidelog-alerts.service"


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze and keep what it says."""
    return subprocess.run(["systemd-analyze", *arguments], check=False, capture_output=True, text=True, timeout=50)


def exposure(tmp_path: Path, *drop_ins: Path, main: Path = UNIT) -> float:
    """The score of a unit with drop-ins behind it."""
    unit = tmp_path / main.name
    unit.write_text("\n".join(path.read_text() for path in (main, *drop_ins)))
    result = analyze("security", "--offline=true", "--no-pager", str(unit))
    found = re.search(r"Overall exposure level for [a-z.-]+: ([0-9.]+)", result.stdout)
    assert found, result.stdout + result.stderr
    return float(found[1])


def verified(tmp_path: Path, *drop_ins: Path, main: Path = UNIT) -> str:
    """What `systemd-analyze verify` complains about, the program being present."""
    program = tmp_path / "sidelog"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = "\n".join(path.read_text() for path in (main, *drop_ins))
    unit = tmp_path / main.name
    unit.write_text(text.replace("/usr/local/bin/sidelog", str(program)))
    result = analyze("verify", "--man=no", str(unit))
    return "\n".join(line for line in result.stderr.splitlines() if "sidelog" in line) + (
        f"\nexit {result.returncode}" if result.returncode else ""
    )


def settings(path: Path) -> dict[str, list[str]]:
    """Every `Key=value` of a unit file, in order."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


@needs("systemd")
def test_the_unit_is_valid(tmp_path: Path) -> None:
    """No unknown key, no bad value, no missing program."""
    assert verified(tmp_path) == ""


@needs("systemd")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid(tmp_path: Path, example: Path) -> None:
    """Each drop-in fits the unit."""
    assert verified(tmp_path, example) == ""


@needs("systemd")
def test_the_sandbox_reaches_its_score(tmp_path: Path) -> None:
    """The unit stays at 1.1 or better and says the score that it has."""
    score = exposure(tmp_path)
    assert score <= 1.1
    stated = re.search(r"says ([0-9.]+);", UNIT.read_text())
    assert stated
    assert float(stated[1]) == score


@needs("systemd")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_states_its_score(tmp_path: Path, example: Path) -> None:
    """A drop-in costs what its comment says, nothing where it says nothing, and never more than 1.5 in all."""
    stated = re.search(r"Exposure: (?:still )?([0-9.]+[0-9])", example.read_text())
    score = exposure(tmp_path, example)
    assert score == (float(stated[1]) if stated else exposure(tmp_path))
    assert score <= 1.5


@needs("systemd")
def test_the_backups_units_are_valid_and_in_a_sandbox(tmp_path: Path) -> None:
    """A timer, and a service that is as confined as the agent."""
    assert verified(tmp_path, main=BACKUP) == ""
    assert verified(tmp_path, main=BACKUP.with_suffix(".timer")) == ""
    assert exposure(tmp_path, main=BACKUP) <= exposure(tmp_path)


@needs("systemd")
def test_the_unit_of_a_fleets_alerts_is_valid_and_in_a_sandbox(tmp_path: Path) -> None:
    """It may reach other machines, which costs two tenths."""
    assert verified(tmp_path, main=ALERTS) == ""
    assert exposure(tmp_path, main=ALERTS) <= 1.5
    unit = settings(ALERTS)
    assert unit["ExecStart"] == ["/usr/local/bin/sidelog alerts run"]
    assert "SIDELOG_CONFIG=/etc/sidelog/fleet/alerts.yaml" in unit["Environment"]


def test_a_backup_runs_as_the_service_and_may_write_where_it_is_told_to() -> None:
    """The directory is the one that tmpfiles makes."""
    unit = settings(BACKUP)
    assert unit["User"] == settings(UNIT)["User"]
    (command,) = unit["ExecStart"]
    directory = re.fullmatch(r"/usr/local/bin/sidelog backup (\S+) --keep \d+", command)
    assert directory
    assert unit["ReadWritePaths"] == ["/var/lib/sidelog", f"-{directory[1]}"]
    made = (SYSTEMD / "sidelog.tmpfiles.conf").read_text()
    assert re.search(rf"^d +{directory[1]} +0700 +sidelog ", made, re.MULTILINE)


def test_a_backup_leaves_the_state_directory_as_the_service_has_it() -> None:
    """systemd gives a StateDirectory= the unit's group and mode at each start: a team would be locked out."""
    unit = settings(BACKUP)
    assert not [key for key in unit if key.startswith("StateDirectory")]
    assert f"STATE_DIRECTORY=/var/lib/{settings(UNIT)['StateDirectory'][0]}" in unit["Environment"]


def test_the_service_contract() -> None:
    """What the program and the documents promise is what the unit says."""
    unit = settings(UNIT)
    assert unit["Type"] == ["notify"]
    assert unit["Restart"] == ["always"]
    assert unit["RestartPreventExitStatus"] == ["2 78"]
    assert unit["StateDirectoryMode"] == ["0700"]
    assert int(unit["TimeoutStopSec"][0]) >= 5  # SIGTERM must have its 5 s
    assert int(unit["WatchdogSec"][0]) >= 10
    assert unit["User"] == unit["Group"] == ["sidelog"]
    check, hangup = unit["ExecReload"]
    assert check.endswith("sidelog check")
    assert hangup == "/bin/kill -HUP $MAINPID"


def test_every_example_tells_where_it_goes_and_stands_in_the_document() -> None:
    """A drop-in can be copied without looking anything up."""
    document = DOCUMENT.read_text()
    for example in EXAMPLES:
        assert f"/etc/systemd/system/sidelog.service.d/{example.name}" in example.read_text()
        assert example.name in document


@needs("systemd")
def test_sysusers_creates_the_user(tmp_path: Path) -> None:
    """The snippet makes the user, its group, and the membership in adm."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "group").write_text("root:x:0:\nadm:x:4:\n")
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    command = ["systemd-sysusers", f"--root={tmp_path}", str(SYSTEMD / "sidelog.sysusers.conf")]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=50)
    assert result.returncode == 0, result.stderr
    assert re.search(
        r"^sidelog:x:\d+:\d+:sidelog log agent:/var/lib/sidelog:", (tmp_path / "etc/passwd").read_text(), re.MULTILINE
    )
    assert "adm:x:4:sidelog" in (tmp_path / "etc/group").read_text()


def test_tmpfiles_keep_the_store_private() -> None:
    """The store's folder is for its user alone, the hooks' folder writable for root alone."""
    lines = [
        line.split()
        for line in (SYSTEMD / "sidelog.tmpfiles.conf").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    modes = {path: (mode, user) for _, path, mode, user, *_ in lines}
    assert modes["/var/lib/sidelog"] == ("0700", "sidelog")
    assert modes["/etc/sidelog/hooks"] == ("0755", "root")
    assert all(kind == "d" for kind, *_ in lines)
