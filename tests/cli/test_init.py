"""Writing a configuration, installing the service, removing it: what the commands say, and their exit codes."""

from __future__ import annotations

import pytest

from agent.cli.init import next_steps
from agent.install import layout
from agent.install.layout import Program
from tests.install.machine import UNIT, empty_machine, version
from tests.needs import needs


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A machine with this program in it."""
    place = empty_machine(tmp_path / "machine")
    program = version(place, "0.1.0")
    monkeypatch.setattr(layout, "this_program", lambda: program)
    return place.root


def test_a_configuration_is_written_once(sidelog, tmp_path):
    said = sidelog("init")
    assert (said.code, said.out) == (0, "")
    assert "wrote sidelog.yaml" in said.err
    file = tmp_path / "sidelog.yaml"
    assert file.stat().st_mode & 0o777 == 0o644
    assert sidelog("check", "--store", tmp_path / "s.db").code == 0
    file.write_text("mine")
    said = sidelog("init")
    assert (said.code, file.read_text()) == (1, "mine")
    assert "error[SL120]: sidelog.yaml exists already" in said.err


def test_force_keeps_the_old_file(sidelog, tmp_path):
    file = tmp_path / "new" / "a.yaml"
    assert sidelog("-q", "init", file).err == ""
    file.write_text("mine")
    assert sidelog("init", "--force", file).code == 0
    assert file.with_name("a.yaml.old").read_text() == "mine"
    assert file.read_text().startswith("# sidelog's configuration")


def test_a_place_that_cannot_be_written(sidelog, tmp_path):
    (tmp_path / "file").touch()
    said = sidelog("init", tmp_path / "file" / "a.yaml")
    assert said.code == 1
    assert "file/a.yaml cannot be written: Not a directory" in said.err


@pytest.mark.parametrize(
    "arguments", [["init", "--system", "x.yaml"], ["init", "--root", "/x"], ["remove"], ["remove", "--purge"]]
)
def test_options_that_exclude_each_other(sidelog, arguments):
    said = sidelog(*arguments)
    assert said.code == 2
    assert "error[SL501]" in said.err


@pytest.mark.parametrize("arguments", [["init", "--system"], ["remove", "--system"], ["roll-back"]])
def test_only_root_changes_the_machine(sidelog, arguments, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    said = sidelog(*arguments)
    assert said.code == 1
    assert "error[SL620]" in said.err
    assert f"hint: sudo sidelog {' '.join(arguments)}\n" in said.err


@needs("root", "systemd")
def test_the_service_is_installed_and_it_says_what_to_type_next(sidelog, root):
    said = sidelog("init", "--system", "--root", root)
    assert (said.code, said.out) == (0, "")
    assert f"wrote    /{UNIT}\n" in said.err
    assert "made     user and group sidelog\n" in said.err
    hooks = "desktop.sh, mail.sh, restart-unit.sh, slack.sh"
    assert f"wrote    /etc/sidelog/hooks: {hooks}" in said.err
    steps = said.err.split("next:\n")[1]
    assert [line.split("#")[0].strip() for line in steps.splitlines()][1:] == [
        "sidelog check",
        "systemctl enable --now sidelog",
        "sidelog status",
    ]
    again = sidelog("init", "--system", "--root", root)
    assert again.err.startswith("next:\n"), "nothing else was to be done"
    assert "kept     /etc/sidelog/sidelog.yaml\n" in sidelog("-v", "init", "--system", "--root", root).err
    assert sidelog("-q", "init", "--system", "--root", root).err == ""


def test_without_systemd_the_next_step_is_the_agent_by_hand():
    by_hand = "\n".join(next_steps(is_booted=False, is_here=True))
    assert "\n  runuser -u sidelog -- sidelog run  # systemd does not run here" in by_hand
    assert "systemctl" not in by_hand


@needs("root", "systemd")
def test_a_program_that_the_sandbox_hides_is_said(sidelog, root, monkeypatch):
    monkeypatch.setattr(layout, "this_program", lambda: Program(["/home/ann/.local/bin/sidelog"], root))
    said = sidelog("init", "--system", "--root", root)
    assert "warning: the service cannot see /home/ann/.local/bin/sidelog" in said.err
    assert sidelog("-q", "init", "--system", "--root", root).err.count("\n") == 1


@needs("root", "systemd")
def test_a_python_that_the_sandbox_hides_is_said(sidelog, root, monkeypatch):
    """An environment outside of homes whose Python lies in one, as pyenv has it."""
    python = root / "opt/environment/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/root/.pyenv/versions/3.13/bin/python")
    command = python.with_name("sidelog")
    command.write_text(f"#!{python}\n")
    monkeypatch.setattr(layout, "this_program", lambda: Program([str(command)], root))
    place = root / UNIT
    said = sidelog("init", "--system", "--root", root)
    assert "warning: the service cannot see" in said.err
    drop_in = place.with_name(f"{place.name}.d") / "homes.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nProtectHome=read-only\nPrivateTmp=no\n")
    assert "cannot see" not in sidelog("init", "--system", "--root", root).err


def test_without_rights_the_files_of_a_package_are_written(sidelog, root, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    said = sidelog("init", "--system", "--root", root)
    assert said.code == 0
    assert "left     user and group sidelog: only root can make it" in said.err
    assert (root / UNIT).is_file()


@needs("root", "systemd")
def test_a_removal_says_first_what_goes_and_what_stays(sidelog, root):
    sidelog("init", "--system", "--root", root)
    (root / "var/lib/sidelog/sidelog.db").write_text("events")
    said = sidelog("remove", "--system", "--root", root, "--dry-run")
    assert said.code == 0
    assert f"remove  {root / UNIT}\n" in said.out
    assert f"keep    {root}/var/lib/sidelog: stores, archives and notes of the service, 6 B\n" in said.out
    said = sidelog("remove", "--system", "--root", root, "--dry-run", "--purge")
    assert f"DELETE  {root}/var/lib/sidelog: " in said.out
    said = sidelog("remove", "--system", "--root", root)
    assert (said.code, (root / UNIT).exists()) == (1, True)
    assert "error[SL624]: nothing was removed: nobody has said yes" in said.err
    said = sidelog("remove", "--system", "--root", root, "--yes")
    assert (said.code, (root / UNIT).exists()) == (0, False)
    assert (root / "var/lib/sidelog/sidelog.db").read_text() == "events"
    assert said.err.index("keep ") < said.err.index("removed ")


@needs("root", "systemd")
def test_the_stores_of_the_configuration_are_known(sidelog, root, tmp_path):
    sidelog("init", "--system", "--root", root)
    (root / "srv").mkdir()
    (root / "srv/shop.db").touch()
    config = root / "etc/sidelog/sidelog.yaml"
    config.write_text("store: {path: /srv/shop.db}\nsources: [{name: a, include: [/var/log/a]}]\n")
    assert f"keep    {root}/srv/shop.db: a store" in sidelog("remove", "--system", "--root", root, "--dry-run").out
    config.write_text("not: valid")
    assert "srv/shop.db" not in sidelog("remove", "--system", "--root", root, "--dry-run").out


def test_this_program_is_the_command_or_python(tmp_path, monkeypatch):
    command = tmp_path / "sidelog"
    command.touch(0o755)
    command.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(command)])
    assert layout.this_program().words == [str(command)]
    monkeypatch.setattr("sys.argv", ["-m"])
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert layout.this_program().words == [str(command)]
    command.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert layout.this_program().words == [str(tmp_path / "python"), "-m", "agent"]


def test_a_version_is_known_by_its_directory(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.prefix", "/opt/sidelog/0.1.0")
    assert layout.this_program().version_name == "0.1.0"
    monkeypatch.setattr("sys.prefix", "/usr")
    assert layout.this_program().version_name is None


@needs("root")
def test_the_store_of_the_service_is_where_its_environment_says(sidelog, tmp_path, monkeypatch):
    """Not where a configuration in the working directory says, for what is done to the service."""
    config = tmp_path / "etc/sidelog.yaml"
    for name in ("etc", "units", "here"):
        (tmp_path / name).mkdir()
    config.write_text("sources: []\n")
    (tmp_path / "etc/default").write_text(f"SIDELOG_STORE__PATH={tmp_path}/moved.db\n")
    (tmp_path / "units/sidelog.service").write_text(
        f"[Service]\nExecStart=/bin/true run\nEnvironment=SIDELOG_CONFIG={config}\n"
        f"EnvironmentFile=-{tmp_path}/etc/default\nStateDirectory=sidelog\n"
    )
    monkeypatch.setattr("agent.service.unit.DIRECTORIES", (str(tmp_path / "units"),))
    monkeypatch.setattr(layout, "CONFIG", str(config))
    assert f"there is no store at {tmp_path}/moved.db" in sidelog("upgrade-check").out
    (tmp_path / "moved.db").touch()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here/sidelog.yaml").write_text("store: {path: other.db}\n")
    kept = sidelog("remove", "--system", "--dry-run").out
    assert f"keep    {tmp_path}/moved.db: a store" in kept
    assert "other.db" not in kept
    assert f"there is no store at {tmp_path}/here/other.db" in sidelog("upgrade-check").out
