"""Writing a configuration and installing the service: complete, never over what is there."""

from __future__ import annotations

import re
import subprocess

import pytest

from agent.cli import init
from tests.needs import needs

UNIT = "etc/systemd/system/sidelog.service"


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
    assert "file/a.yaml cannot be written: File exists" in said.err


@pytest.mark.parametrize("arguments", [["--system", "x.yaml"], ["--root", "/x"]])
def test_options_that_exclude_each_other(sidelog, arguments):
    said = sidelog("init", *arguments)
    assert said.code == 2
    assert "error[SL501]" in said.err


def test_the_service_is_installed_whole(sidelog, tmp_path, monkeypatch):
    monkeypatch.setattr(init, "this_program", lambda: ["/opt/side log/bin/sidelog"])
    said = sidelog("init", "--system", "--root", tmp_path / "root")
    assert said.code == 0
    written = sorted(
        str(file.relative_to(tmp_path / "root")) for file in (tmp_path / "root").rglob("*") if file.is_file()
    )
    assert written == ["etc/sidelog/sidelog.yaml", UNIT, "etc/sysusers.d/sidelog.conf", "etc/tmpfiles.d/sidelog.conf"]
    unit = (tmp_path / "root" / UNIT).read_text()
    assert 'ExecStart="/opt/side log/bin/sidelog" run\n' in unit
    assert 'ExecReload="/opt/side log/bin/sidelog" check\n' in unit
    assert init.UNIT_PROGRAM not in re.sub(r"#.*", "", unit)
    assert "\n  path: /var/lib/sidelog/sidelog.db\n" in (tmp_path / "root/etc/sidelog/sidelog.yaml").read_text()
    assert "systemctl enable --now sidelog" in said.err


def test_an_installed_service_is_left_alone(sidelog, tmp_path):
    assert sidelog("init", "--system", "--root", tmp_path).code == 0
    unit = tmp_path / UNIT
    unit.write_text("mine")
    said = sidelog("init", "--system", "--root", tmp_path)
    assert (said.code, unit.read_text()) == (0, "mine")
    assert said.err.count("kept ") == 4
    assert sidelog("init", "--system", "--root", tmp_path, "--force").code == 0
    assert unit.with_name("sidelog.service.old").read_text() == "mine"
    assert not (tmp_path / "etc/sidelog/sidelog.yaml.old").exists(), "what is the same needs no copy"


def test_a_program_that_the_sandbox_hides_is_said(sidelog, tmp_path, monkeypatch):
    monkeypatch.setattr(init, "this_program", lambda: ["/home/ann/.local/bin/sidelog"])
    said = sidelog("init", "--system", "--root", tmp_path)
    assert "warning: the service cannot see /home/ann/.local/bin/sidelog" in said.err
    assert sidelog("-q", "init", "--system", "--root", tmp_path).err.count("\n") == 1


def test_this_program_is_the_command_or_python(tmp_path, monkeypatch):
    command = tmp_path / "sidelog"
    command.touch(0o755)
    command.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(command)])
    assert init.this_program() == [str(command)]
    monkeypatch.setattr("sys.argv", ["-m"])
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert init.this_program() == [str(command)]
    command.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert init.this_program() == [str(tmp_path / "python"), "-m", "agent"]


def test_words_of_a_unit_are_quoted():
    assert init.unit_words(["/a/b", "-m", "agent"]) == "/a/b -m agent"
    assert init.unit_words(["/a b/50%$x", '"\\']) == '"/a b/50%%$x" "\\"\\\\"'


@needs("systemd")
def test_systemd_accepts_the_installed_unit(sidelog, tmp_path, monkeypatch):
    monkeypatch.setattr(init, "this_program", lambda: ["/bin/true"])
    assert sidelog("init", "--system", "--root", tmp_path).code == 0
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / UNIT], capture_output=True, text=True, timeout=50, check=False
    )
    assert "sidelog.service" not in done.stderr, done.stderr
