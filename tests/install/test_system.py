"""`init --system`: everything that the service needs is there after it, and what is somebody's stays."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from agent.core.errors import SidelogError
from agent.install import layout, owners, system
from agent.install.layout import Program
from tests.install.machine import HELPS, UNIT, empty_machine, installed, logs_at, version
from tests.needs import needs

pytestmark = needs("root", "systemd")


@pytest.fixture
def place(tmp_path):
    return empty_machine(tmp_path / "machine")


@pytest.fixture
def program(place):
    return version(place, "0.1.0")


def snapshot(place):
    """Every file with its content, mode and owner."""
    return {
        str(path.relative_to(place.root)): (
            path.lstat().st_mode,
            path.lstat().st_uid,
            path.is_file() and path.read_bytes(),
        )
        for path in place.root.rglob("*")
        if path.name != ".pwd.lock"
    }


def test_all_of_it_is_there(place, program):
    logs_at(place, "/var/log/syslog")
    installed(place, program)
    owner = owners.service_owner(place)
    state = place.at(layout.STATE).stat()
    assert (state.st_uid, state.st_gid, state.st_mode & 0o777) == (*owner, 0o700)
    assert "adm:x:4:sidelog" in place.at("/etc/group").read_text()
    assert place.at(layout.COMMAND).readlink().as_posix() == "/opt/sidelog/current/bin/sidelog"
    assert place.at(layout.CURRENT).readlink().as_posix() == "0.1.0"
    assert "\nExecStart=/usr/local/bin/sidelog run\n" in place.at(layout.UNIT).read_text()
    backup, timer = (place.at(unit).read_text() for unit in layout.BACKUP_UNITS)
    assert "\nExecStart=/usr/local/bin/sidelog backup /var/backups/sidelog --keep 7\n" in backup
    assert "\n[Timer]\n" in timer
    assert "  - name: syslog\n" in place.at(layout.CONFIG).read_text()
    assert place.at(layout.ENVIRONMENT).stat().st_mode & 0o777 == 0o600
    for name in layout.shared_names("etc/hooks", "*"):
        hook = place.at(f"{layout.HOOKS}/{name.rpartition('/')[2]}")
        assert (hook.stat().st_mode & 0o777, hook.stat().st_uid) == (0o755, 0)
    for name in layout.shared_names("systemd/examples", "*.conf"):
        assert place.at(f"{layout.EXAMPLES}/{name.rpartition('/')[2]}").is_file()
    for name in ("grafana/sidelog.json", "prometheus/sidelog.rules.yaml"):
        assert place.at(f"{layout.SHARE}/{name}").read_text() == layout.shared(f"etc/{name}")


def test_man_and_the_shells_of_all_users_find_what_belongs_to_the_version(place, program):
    assert installed(place, program)["/usr/local/share/man/man1"] == "linked"
    links = [place.at(f"/usr/local/share/{name}") for name in HELPS]
    assert [str(link.readlink()) for link in links] == [f"{layout.CURRENT}/share/{name}" for name in HELPS]
    mine = place.at("/usr/local/share/zsh/site-functions/_sidelog")
    mine.unlink()
    mine.write_text("mine")
    installed(place, version(place, "0.2.0"))
    assert mine.read_text() == "mine"
    assert place.at(layout.CURRENT).joinpath("share/man/man1/sidelog.1").read_text() == "0.2.0"


def test_a_program_that_others_do_not_see_lends_nobody_its_pages(place, program):
    hidden = place.at("/home/ann/venv/share/man/man1/sidelog.1")
    hidden.parent.mkdir(parents=True)
    hidden.touch()
    installed(place, Program(["/home/ann/venv/bin/sidelog"], Path("/home/ann/venv")))
    assert not place.at("/usr/local/share/man/man1").exists()


def test_called_again_it_changes_nothing(place, program):
    installed(place, program)
    before = snapshot(place)
    assert set(installed(place, program).values()) == {"kept"}
    assert snapshot(place) == before


def test_the_unit_is_renewed_and_the_configuration_stays(place, program):
    installed(place, program)
    place.at(layout.CONFIG).write_text("mine")
    place.at(layout.ENVIRONMENT).write_text("TOKEN=mine")
    place.at(layout.UNIT).write_text("edited by somebody")
    verbs = installed(place, program)
    assert verbs[layout.UNIT] == "renewed"
    assert place.at(layout.UNIT).read_text() == system.unit_text([layout.COMMAND])
    assert place.at(f"{layout.UNIT}.old").read_text() == "edited by somebody"
    assert (place.at(layout.CONFIG).read_text(), place.at(layout.ENVIRONMENT).read_text()) == ("mine", "TOKEN=mine")


def test_a_unit_of_an_earlier_version_is_renewed_without_a_trace(place, program):
    installed(place, program)
    earlier = "# the unit of an earlier version\n"
    place.at(layout.UNIT).write_text(earlier)
    note = json.loads(place.at(layout.NOTE).read_text())
    note[layout.UNIT] = hashlib.sha256(earlier.encode()).hexdigest()
    place.at(layout.NOTE).write_text(json.dumps(note))
    assert installed(place, program)[layout.UNIT] == "renewed"
    assert not place.at(f"{layout.UNIT}.old").exists()


def test_a_hook_that_was_changed_stays(place, program):
    installed(place, program)
    hook = place.at(f"{layout.HOOKS}/slack.sh")
    shipped = hook.read_text()
    hook.write_text("#!/bin/sh\nmine\n")
    installed(place, program)
    assert hook.read_text() == "#!/bin/sh\nmine\n"
    assert hook.with_name("slack.sh.new").read_text() == shipped
    place.at(layout.CONFIG).write_text("mine")
    installed(place, program, force=True)
    assert place.at(layout.CONFIG).read_text() == "mine"
    assert (hook.read_text(), hook.with_name("slack.sh.old").read_text()) == (shipped, "#!/bin/sh\nmine\n")


def test_a_note_that_is_spoiled_is_no_obstacle(place, program):
    installed(place, program)
    place.at(layout.NOTE).write_text("[1")
    assert installed(place, program)[layout.UNIT] == "kept"


def test_a_newer_version_takes_over_and_the_one_before_is_known(place, program):
    installed(place, program)
    newer = version(place, "0.2.0")
    verbs = installed(place, newer)
    assert verbs[layout.CURRENT] == "linked"
    links = [str(place.at(link).readlink()) for link in (layout.CURRENT, layout.PREVIOUS, layout.COMMAND)]
    assert links == ["0.2.0", "0.1.0", "/opt/sidelog/current/bin/sidelog"]
    installed(place, newer)
    assert str(place.at(layout.PREVIOUS).readlink()) == "0.1.0"


def test_a_program_elsewhere_is_linked_itself(place):
    installed(place, Program(["/opt/pipx/venvs/sidelog/bin/sidelog"], place.root / "opt/pipx"))
    assert str(place.at(layout.COMMAND).readlink()) == "/opt/pipx/venvs/sidelog/bin/sidelog"
    assert not place.at(layout.CURRENT).is_symlink()


@pytest.mark.parametrize("words", [[layout.COMMAND], ["/usr/bin/python3", "-m", "agent"]])
def test_a_program_that_needs_no_link_gets_none(place, words):
    installed(place, Program(words, place.root / "usr"))
    assert not place.at(layout.COMMAND).is_symlink()
    assert f"\nExecStart={' '.join(words)} run\n" in place.at(layout.UNIT).read_text()


def test_what_is_no_link_is_not_replaced_by_one(place, program):
    command = place.at(layout.COMMAND)
    command.parent.mkdir(parents=True)
    command.write_text("another program")
    installed(place, program)
    assert command.read_text() == "another program"
    assert "\nExecStart=/opt/sidelog/current/bin/sidelog run\n" in place.at(layout.UNIT).read_text()


def test_a_store_that_root_has_made_is_the_services_again(place, program):
    installed(place, program)
    state = place.at(layout.STATE)
    (state / "archive/app").mkdir(parents=True)
    (state / "sidelog.db").touch()
    (state / "linked").touch()
    os.link(state / "linked", place.root / "elsewhere")
    (state / "out").symlink_to(place.at("/etc/passwd"))
    verbs = installed(place, program)
    assert verbs[layout.STATE] == "gave"
    owner = owners.service_owner(place)
    assert {path.stat().st_uid for path in (state / "archive/app", state / "sidelog.db")} == {owner.uid}
    assert (state / "linked").stat().st_uid == 0, "a second name may be a trap"
    assert place.at("/etc/passwd").stat().st_uid == 0


def test_a_packages_service_keeps_its_unit(place, program):
    unit = place.at(layout.PACKAGED_UNIT)
    unit.parent.mkdir(parents=True)
    unit.touch()
    installed(place, program)
    assert not place.at(layout.UNIT).exists()
    assert not place.at(layout.COMMAND).is_symlink()
    assert place.at(layout.CONFIG).is_file()


def test_what_a_tool_of_the_system_says_is_passed_on(place, program):
    place.at("/etc/group").unlink()
    place.at("/etc/group").mkdir()
    with pytest.raises(SidelogError) as caught:
        installed(place, program)
    assert caught.value.code == "SL621"
    assert "systemd-sysusers" in caught.value.message


def test_a_machine_without_systemd_is_told_so(place, program, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SidelogError, match="there is no systemd-sysusers here"):
        installed(place, program)


def test_systemd_accepts_the_installed_unit(place):
    installed(place, Program(["/bin/true"], place.root))
    unit = place.at(layout.UNIT)
    unit.write_text(unit.read_text().replace(layout.COMMAND, "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", place.root / UNIT], capture_output=True, text=True, timeout=50, check=False
    )
    assert "sidelog.service" not in done.stderr, done.stderr


def test_words_of_a_unit_are_quoted():
    assert system.unit_words(["/a/b", "-m", "agent"]) == "/a/b -m agent"
    assert system.unit_words(["/a b/50%$x", '"\\']) == '"/a b/50%%$x" "\\"\\\\"'
