"""Commands of a user who may not read what they are about: the code of what cannot be read, never a wrong usage."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.config import drop_ins
from agent.core.errors import ConfigError
from agent.store.backup import back_up
from tests.needs import needs
from tests.store.stores import store_at

pytestmark = needs("util-linux")

ROOT = str(Path(__file__).parents[2])
BOUND = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
STARTED = "import sys; from agent.cli import main; from agent.config import loader; from pathlib import Path;"
STARTED += "loader.SYSTEM_FILE = Path(sys.argv.pop(1)); sys.exit(main.run_command_line(sys.argv[1:]))"


@pytest.fixture
def ordinary(tmp_path):
    """Runs a command line as somebody for whom permissions count, also where the tests run as root."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SIDELOG_")}
    environ |= {
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([ROOT, *sys.path]),
    }

    def run(*arguments, cwd=tmp_path, system="none.yaml"):
        command = [*BOUND, sys.executable, "-c", STARTED, tmp_path / system, *arguments]
        started = {"cwd": tmp_path, "env": environ, "capture_output": True, "text": True, "timeout": 50}
        if cwd != tmp_path:
            command = ["sh", "-c", 'cd "$0" && chmod 0 . && exec "$@"', cwd, *command]
        return subprocess.run(command, **started, check=False)

    return run


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["check", "-c", "closed"], 78, "error SL101   {}: the configuration {} cannot be read: Permission denied"),
        (["status", "-c", "closed"], 78, "error[SL101]: the configuration {} cannot be read: Permission denied"),
        (["status", "--store", "closed"], 3, "error[SL406]: the store {} cannot be read"),
        (["restore", "closed", "--store", "new.db"], 3, "error[SL406]: the store closed cannot be read"),
    ],
    ids=["check", "configuration", "store", "backup"],
)
def test_a_file_that_may_not_be_read_is_named_by_its_code(ordinary, tmp_path, arguments, code, said):
    (tmp_path / "closed").touch(mode=0)
    done = ordinary(*arguments)
    assert done.returncode == code
    assert said.replace("{}", str(tmp_path / "closed")) in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "--once"], "SL405"),
        (["archive", "run"], "SL405"),
        (["archive", "run", "--dry-run"], "SL406"),
        (["upgrade-check"], "SL406"),
        (["restore", "theirs/copy.db"], "SL406"),
        (["backup", "copy.db"], "SL406"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_a_store_in_a_directory_that_is_closed_is_neither_a_fault_nor_taken_for_none(
    ordinary, tmp_path, arguments, code
):
    (tmp_path / "sidelog.yaml").write_text(
        "store: {path: theirs/sidelog.db}\nsources: [{name: a, include: [a.log]}]\narchive: {}\n"
    )
    (tmp_path / "theirs").mkdir(mode=0)
    done = ordinary(*arguments)
    assert done.returncode == 3
    assert f"error[{code}]" in done.stderr
    assert "Permission denied" in done.stderr
    assert "yet" not in done.stderr + done.stdout


def test_a_working_directory_of_somebody_else_has_no_configuration(ordinary, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "sidelog.yaml").write_text("nonsense")
    (tmp_path / "system.yaml").write_text("store: {path: system.db}\n")
    said = ordinary("status", cwd=tmp_path / "theirs", system="system.yaml").stderr
    assert f"SL401]: there is no store at {tmp_path}/system.db" in said


def test_a_system_configuration_that_may_not_be_looked_for_is_not_taken_for_none(ordinary, tmp_path):
    (tmp_path / "etc").mkdir(mode=0)
    done = ordinary("status", system="etc/sidelog.yaml")
    assert done.returncode == 78
    assert f"the configuration {tmp_path}/etc/sidelog.yaml cannot be read: Permission denied" in done.stderr


def test_drop_ins_that_may_not_be_listed_are_not_taken_for_none(ordinary, tmp_path):
    (tmp_path / "sidelog.yaml").write_text("sources: []\n")
    (tmp_path / "conf.d").mkdir(mode=0)
    done = ordinary("status")
    assert done.returncode == 78
    assert f"the configuration {tmp_path}/conf.d cannot be read: Permission denied" in done.stderr


def test_where_conf_d_is_a_file_there_are_no_drop_ins(tmp_path):
    (tmp_path / "conf.d").touch()
    assert drop_ins(tmp_path / "sidelog.yaml") == []
    (tmp_path / "conf.d").unlink()
    (tmp_path / "conf.d").symlink_to("conf.d")
    with pytest.raises(ConfigError, match="cannot be read: Too many levels"):
        drop_ins(tmp_path / "sidelog.yaml")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["backup", "closed/copy.db"], 3, "error[SL553]: "),
        (["backup", "closed/copies/"], 3, "error[SL553]: "),
        (["restore", "closed/copy.db"], 3, "error[SL406]: the store closed/copy.db cannot be read: Permission denied"),
        (["restore", "copy.db", "--store", "closed/s.db"], 3, "error[SL405]: "),
        (["verify", "--store", "closed/s.db"], 3, "error[SL406]: the store {}/s.db cannot be read"),
    ],
    ids=["backup", "backups", "restore", "restore-into", "verify"],
)
def test_what_lies_in_a_closed_directory_is_said_and_no_fault_of_the_program(ordinary, tmp_path, arguments, code, said):
    """Whether it is there cannot be told, which is another thing than that it is not."""
    with store_at(tmp_path / "s.db"):
        pass
    back_up(tmp_path / "s.db", tmp_path / "copy.db")
    (tmp_path / "sidelog.yaml").write_text("store: {path: s.db}\nsources: []\n")
    (tmp_path / "closed").mkdir(mode=0)
    done = ordinary(*arguments)
    assert said.replace("{}", str(tmp_path / "closed")) in done.stderr
    assert done.returncode == code


@pytest.mark.parametrize("key", ["redact: [password]", "labels: {a: b}"])
def test_archives_of_a_store_in_a_closed_directory_are_no_trouble_of_their_own(ordinary, tmp_path, key):
    """`check` says once what is wrong with the directory."""
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "a.log").touch()
    (tmp_path / "sidelog.yaml").write_text(
        f"store: {{path: closed/s.db}}\nsources: [{{name: a, include: ['*.log'], {key}}}]\n"
        "archive: {directory: archive, retention: {event_age: 30d}}\n"
    )
    done = ordinary("check")
    assert "SL113" in done.stdout
    assert "SL145" not in done.stdout
