"""`sidelog check` by root for another user: in that user's place, in the sandbox of the unit, and healed."""

from __future__ import annotations

import grp
import json
import os
import pwd
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agent.core import catalogue
from agent.store import schema
from tests.needs import needs

pytestmark = needs("root")

USER = "nobody"
GROUP = grp.getgrgid(pwd.getpwnam(USER).pw_gid).gr_name
PLAIN = ("User=nobody", "ExecStart=/bin/true")


@pytest.fixture
def place():
    """A directory that every user reaches: those of pytest are its user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "logs").mkdir()
        (Path(folder) / "state").mkdir()
        os.chown(Path(folder) / "state", 65_534, -1)
        yield Path(folder)


class Machine:
    """A unit, a configuration, and the look at them."""

    def __init__(self, sidelog, place):
        self.sidelog, self.place = sidelog, place
        self.log = place / "logs" / "a.log"
        self.log.write_text("x\n")
        self.file = place / "units" / "sidelog.service"
        self.file.parent.mkdir()
        self.unit(*PLAIN)
        self.config()

    def unit(self, *lines):
        self.file.write_text("\n".join(("[Service]", *lines, "")))

    def config(self, **sections):
        document = {
            "store": {"path": str(self.place / "state/s.db"), "retention": {"size": "64KiB"}, "min_free": "0B"},
            "sources": [{"name": "app", "include": [f"{self.place}/logs/*.log"]}],
        }
        (self.place / "sidelog.json").write_text(json.dumps(document | sections))

    def check(self, *arguments):
        wish = () if "--as-user" in arguments else ("--unit", self.file)
        said = self.sidelog("check", "-c", self.place / "sidelog.json", "--json", *wish, *arguments)
        assert "SL999" not in said.err, said.err
        document = json.loads(said.out)
        assert document["ok"] == (said.code == 0)
        return said.code, document

    def problems(self, *arguments):
        _, document = self.check(*arguments)
        return {(one["code"], one["place"]): one for one in document["findings"] if one["level"] != "ok"}

    def heals(self):
        """The findings vanish when they are healed, and nothing is left to do."""
        code, document = self.check("--fix", "--yes")
        assert (code, [one for one in document["findings"] if one["level"] == "error"]) == (0, [])


@pytest.fixture
def machine(sidelog, place):
    return Machine(sidelog, place)


def test_whose_rights_counted_is_said_first(machine, sidelog):
    code, document = machine.check()
    assert (code, document["user"], document["unit"]) == (0, USER, str(machine.file))
    assert document["findings"][1]["sentence"].startswith(f"judged for the user nobody (groups {GROUP})")
    code, document = machine.check("--as-user", "root")
    assert (code, document["user"], document["unit"]) == (0, "root", None)


def test_an_installed_unit_is_found_by_itself_with_its_configuration(machine, sidelog, monkeypatch):
    monkeypatch.setattr("agent.service.unit.DIRECTORIES", (str(machine.file.parent),))
    option = ("User=nobody", f"ExecStart=/bin/true run -c {machine.place}/sidelog.json")
    for lines in ((*PLAIN, f"Environment=SIDELOG_CONFIG={machine.place}/sidelog.json"), option):
        machine.unit(*lines)
        document = json.loads(sidelog("check", "--json").out)
        assert (document["user"], document["config"]) == (USER, str(machine.place / "sidelog.json"))


def test_a_user_who_cannot_read_this_program_finds_all_the_same(machine):
    """What the look needs is imported before: everything that a configuration can ask for."""
    shop = {
        "name": "shop",
        "include": [f"{machine.place}/logs/*.log"],
        "format": [{"include": "postgresql"}, {"pattern": "^(?P<message>.*x)"}],
        "timezone": "Europe/Vienna",
        "redact": ["password"],
        "rotate": {"size": "1MiB", "command": ["/bin/true"]},
    }
    rule = {"name": "r", "match": "levl=error message~a+b", "when": {"count": 1}, "per": ["servce"], "hooks": ["page"]}
    machine.config(
        sources=[shop, {"name": "j", "journal": {"directory": str(machine.place / "none")}}],
        archive={"directory": str(machine.place / "state/archive")},
        alerts=[rule],
        hooks={"page": {"webhook": "https://none.invalid/x", "headers": {"A": {"env": "NOT_SET"}}}},
    )
    machine.unit(*PLAIN, "IPAddressDeny=192.0.2.0/24")
    store = sqlite3.connect(machine.place / "state/s.db", isolation_level=None)
    schema.prepare_file(store)
    schema.migrate(store)
    store.close()
    os.chown(machine.place / "state/s.db", 65_534, -1)
    command = [sys.executable, "-m", "agent", "check", "--json", "-c", machine.place / "sidelog.json"]
    environ = {name: text for name, text in os.environ.items() if not name.startswith("SIDELOG_")}
    done = subprocess.run(
        [*command, "--unit", machine.file], capture_output=True, env=environ, text=True, timeout=50, check=False
    )
    assert done.returncode == 78, done.stderr
    codes = {one["code"] for one in json.loads(done.stdout)["findings"]}
    assert {"SL110", "SL144"} <= codes
    assert codes & {"SL145", "SL999"} == set()


@pytest.mark.parametrize(
    ("closed", "mode", "named"),
    [("logs/a.log", 0o600, "logs/a.log"), ("logs", 0o700, "logs"), ("logs", 0o711, "logs"), (".", 0o700, "")],
)
def test_what_the_user_may_not_read_or_pass_is_named_and_healed(machine, closed, mode, named):
    (machine.place / closed).chmod(mode)
    if closed == ".":  # nothing of it can be seen, not even the configuration
        (found,) = (one for (code, _), one in machine.problems().items() if code == "SL101")
        assert found["fix"][0].endswith(str(machine.place))
    else:
        (found,) = (one for (code, _), one in machine.problems().items() if code == "SL112")
        assert "by the user nobody" in found["sentence"]
        assert found["fix"][-1].startswith("chmod g+r")
        assert found["fix"][-1].endswith(named)
        assert found["fix"][0] in found["hint"]
    machine.heals()


def test_what_lies_in_a_closed_directory_hides_no_other_finding(machine):
    (machine.place / "closed/app/logs").mkdir(parents=True)
    (machine.place / "closed/app/logs/a.log").write_text("x\n")
    (machine.place / "closed").chmod(0o700)
    (machine.place / "logs").chmod(0o700)
    patterns = [f"{machine.place}/closed/app/logs/*.log", f"{machine.place}/closed/*/logs/*.log"]
    own = {"name": "app", "include": [f"{machine.place}/logs/*.log"]}
    machine.config(sources=[{"name": "far", "include": patterns}, own], archive={"delete_source": False})
    found = machine.problems()
    assert {code for code, _ in found} == {"SL112"}
    assert all(name in str(found) for name in (f"{machine.place}/closed", f"{machine.place}/logs"))
    machine.heals()


def test_rotated_logs_that_are_closed_are_named_where_they_are_to_be_archived(machine):
    for name in ("a.log.1", "a.log-20261120.gz", "other.txt", "a.log.left"):
        (machine.place / "logs" / name).write_text("x\n")
        (machine.place / "logs" / name).chmod(0o600)
    left = {"name": "app", "include": [f"{machine.place}/logs/*.log"], "exclude": ["*.left"]}
    machine.config(sources=[left])
    assert machine.problems() == {}
    machine.config(sources=[left], archive={"delete_source": False})
    found = machine.problems()["SL112", "sources[0] app"]
    assert found["sentence"].startswith("2 rotated logs cannot be read by the user nobody: ")
    machine.heals()


def test_a_group_that_may_read_is_joined(machine):
    (machine.place / "logs").chmod(0o750)
    os.chown(machine.place / "logs", 0, grp.getgrnam("adm").gr_gid)
    (found,) = machine.problems().values()
    assert (found["code"], found["fix"]) == ("SL112", ["SupplementaryGroups=adm"])
    machine.heals()
    assert "SupplementaryGroups=adm" in (machine.file.parent / "sidelog.service.d/check.conf").read_text()


def test_the_capability_of_a_drop_in_counts(machine):
    machine.log.chmod(0o600)
    machine.unit(*PLAIN, "AmbientCapabilities=CAP_DAC_READ_SEARCH")
    assert machine.problems() == {}
    machine.unit(*PLAIN, "AmbientCapabilities=CAP_DAC_READ_SEARCH", "PrivateUsers=yes")
    assert [code for code, _ in machine.problems()] == ["SL112"]
    machine.unit("User=root", "ExecStart=/bin/true", "CapabilityBoundingSet=")
    os.chown(machine.log, 65_534, 65_534)
    assert ("SL112", "sources[0] app") in machine.problems()


def test_what_the_sandbox_hides_is_an_error_and_healed(machine):
    machine.unit(*PLAIN, "PrivateTmp=yes", "ProtectHome=yes", "InaccessiblePaths=/srv/closed /srv/other")
    machine.config(
        sources=[
            {"name": "app", "include": [f"{machine.place}/logs/*.log"]},
            {"name": "home", "include": ["/home/*/logs/*.log"]},
            {"name": "srv", "include": ["/srv/closed/a.log"]},
            {"name": "fine", "include": ["/var/log/none-of-it/*.log"]},
        ],
    )
    found = machine.problems()
    assert "PrivateTmp=yes" in found["SL140", "sources[0] app"]["sentence"]
    assert found["SL140", "sources[1] home"]["fix"] == ["ProtectHome=read-only"]
    assert found["SL140", "sources[2] srv"]["fix"] == ["InaccessiblePaths=", "InaccessiblePaths=/srv/other"]
    assert ("SL140", "sources[3] fine") not in found
    assert ("SL113", "store.path") in found, "the store lies below /tmp too"
    machine.heals()


def test_logs_that_cannot_be_deleted(machine):
    machine.unit(*PLAIN, "ProtectSystem=strict", f"ReadWritePaths={machine.place}/state")
    machine.config(archive={})
    found = machine.problems()["SL144", "sources[0] app"]
    assert found["fix"] == [
        f"chgrp {GROUP} {machine.place}/logs",
        f"chmod g+wx {machine.place}/logs",
        f"ReadWritePaths={machine.place}/logs",
    ]
    machine.config(archive={"delete_source": False})
    assert machine.problems() == {}
    machine.config(archive={})
    machine.heals()
    (machine.place / "logs").chmod(0o1777)
    assert "sticky" in machine.problems()["SL144", "sources[0] app"]["sentence"]
    (machine.place / "logs").chmod(0o750)
    os.chown(machine.place / "logs", 0, grp.getgrnam("adm").gr_gid)
    machine.unit(*PLAIN, "SupplementaryGroups=adm")
    found = machine.problems()["SL144", "sources[0] app"]
    assert found["fix"] == [f"setfacl -m u:nobody:rwx {machine.place}/logs"], (
        "not for all of adm; and it goes on reading"
    )


def test_directories_of_the_agents_own_are_made_for_it(machine):
    (machine.place / "closed").mkdir()
    machine.unit(*PLAIN, "ProtectSystem=strict", f"ReadWritePaths={machine.place}/state")
    machine.config(
        store={"path": str(machine.place / "state/s.db"), "min_free": "0B", "retention": {"size": "64KiB"}},
        archive={"directory": str(machine.place / "closed/a/archive"), "delete_source": False},
    )
    found = machine.problems()["SL118", "archive.directory"]
    made = f"install -d -m 0700 -o nobody -g {GROUP} {machine.place}/closed/a/archive"
    assert found["fix"] == [made, f"ReadWritePaths={machine.place}/closed/a/archive"]
    machine.heals()
    assert (machine.place / "closed/a/archive").stat().st_uid == 65_534
    machine.unit(*PLAIN, "StateDirectory=sidelog-of-a-test")
    machine.config(store={"path": "/var/lib/sidelog-of-a-test/s.db", "min_free": "0B"})
    assert [code for code, _ in machine.problems() if code.startswith("SL113")] == [], "systemd makes it"


def test_a_store_of_another_user_is_a_finding_and_healed(machine):
    (machine.place / "state").chmod(0o700)
    os.chown(machine.place / "state", 0, 0)
    (machine.place / "state" / "s.db").touch(0o600)
    code, document = machine.check()
    assert code == 1
    assert {one["code"] for one in document["findings"]} & {"SL113", "SL406"}
    (machine.place / "state" / "s.db").unlink()
    machine.heals()


@pytest.mark.parametrize("owner", [0, 1], ids=["root", "daemon"])
def test_a_store_that_another_user_has_left_is_opened_with_all_its_files(machine, owner):
    store = sqlite3.connect(machine.place / "state/s.db", isolation_level=None)
    schema.prepare_file(store)
    schema.migrate(store)
    store.close()
    (machine.place / "state/s.db.lock").touch()
    for path in (machine.place / "state", *(machine.place / "state").iterdir()):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.chown(path, owner, owner)
    assert machine.problems()["SL113", "store.path"]["fix"] != []
    machine.heals()


def hook(machine, text="#!/bin/sh\n", mode=0o755, name="page.sh"):
    script = machine.place / "hooks" / name
    script.parent.mkdir(exist_ok=True)
    script.write_text(text)
    script.chmod(mode)
    machine.config(hooks={"page": {"exec": [str(script)]}})
    return script


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("#!/bin/sh\n", 0o700, "is not executable"),
        ("#!/bin/sh\n", 0o755, ""),
        ("#!/bin/sh\n", 0o711, "cannot be read by the user nobody"),
        ("#!/opt/none/bin/python\n", 0o755, "its interpreter '/opt/none/bin/python' is not there"),
        ("#!/usr/bin/env -S none-such --x\n", 0o755, "its interpreter 'none-such' is not there"),
        ("#!/usr/bin/env sh\n", 0o755, ""),
    ],
)
def test_hooks_that_the_user_cannot_run(machine, text, mode, said):
    hook(machine, text, mode)
    found = [one["sentence"] for one in machine.problems().values()]
    assert (len(found), all(said in one for one in found)) == (bool(said), True)
    if mode != 0o755:
        machine.heals()


def test_hooks_that_the_sandbox_or_a_directory_stops(machine):
    script = hook(machine)
    script.parent.chmod(0o700)
    assert "may not pass" in machine.problems()["SL117", "hooks.page.exec"]["sentence"]
    machine.heals()
    machine.unit(*PLAIN, f"InaccessiblePaths={script.parent}")
    assert "InaccessiblePaths" in machine.problems()["SL117", "hooks.page.exec"]["sentence"]
    machine.unit(*PLAIN, f"NoExecPaths={script.parent}")
    assert "NoExecPaths" in machine.problems()["SL117", "hooks.page.exec"]["sentence"]
    machine.heals()
    os.chown(script, 1, 1)
    assert "belongs to another user" in machine.problems()["SL117", "hooks.page.exec"]["sentence"]
    machine.heals()


@needs("mount")
def test_a_hook_on_a_file_system_that_runs_no_programs(machine):
    (machine.place / "hooks").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec,mode=755", "tmpfs", machine.place / "hooks"], check=True)
    try:
        hook(machine)
        assert "noexec" in machine.problems()["SL117", "hooks.page.exec"]["sentence"]
        subprocess.run(["mount", "-o", "remount,exec", machine.place / "hooks"], check=True)
        assert machine.problems() == {}
    finally:
        subprocess.run(["umount", machine.place / "hooks"], check=True)


def test_a_journal_that_the_sandbox_hides(machine):
    (machine.place / "journal").mkdir()
    machine.config(sources=[{"name": "j", "journal": {"directory": str(machine.place / "journal")}}])
    machine.unit(*PLAIN, f"InaccessiblePaths={machine.place}/journal")
    assert ("SL140", "sources[0] j") in machine.problems()
    machine.check("--fix", "--yes")
    assert ("SL140", "sources[0] j") not in machine.problems()


def test_a_webhook_that_the_unit_blocks(machine):
    """Also one that is a secret in the unit's environment, whose text is not shown."""
    (machine.place / "env").write_text("HOOK=https://chat.example/s3cret\n")
    (machine.place / "env").chmod(0o600)
    machine.unit(*PLAIN, "IPAddressDeny=any", "IPAddressAllow=localhost", f"EnvironmentFile={machine.place}/env")
    machine.config(hooks={"chat": {"webhook": {"env": "HOOK"}}, "here": {"webhook": "http://127.0.0.1:9/x"}})
    found = machine.problems()
    assert list(found) == [("SL147", "hooks.chat.webhook")]
    assert "s3cret" not in str(found)
    assert "chat.example" not in str(found)
    machine.heals()
    machine.unit(*PLAIN, "RestrictAddressFamilies=AF_UNIX", f"EnvironmentFile={machine.place}/env")
    assert len(machine.problems()) == 2
    machine.heals()


def test_a_group_that_is_to_read_has_to_be_the_agents(machine):
    machine.config(store={"path": str(machine.place / "state/s.db"), "min_free": "0B", "group": "games"})
    plain = machine.problems("--as-user", "nobody")["SL148", "store.group"]
    assert plain["fix"] == ["usermod -aG games nobody"]
    machine.unit(*PLAIN, "PrivateUsers=yes", "SupplementaryGroups=games", f"ReadWritePaths={machine.place}/state")
    assert machine.problems()["SL148", "store.group"]["fix"] == ["Group=games", f"SupplementaryGroups={GROUP}"]
    machine.heals()
    machine.unit(*PLAIN, "StateDirectory=none-of-it", "StateDirectoryMode=0700", "Group=games")
    machine.config(store={"path": "/var/lib/none-of-it/s.db", "min_free": "0B", "group": "games"})
    assert machine.problems()["SL148", "store.group"]["fix"] == ["StateDirectoryMode=0750"]


def test_a_directory_that_the_group_cannot_pass_has_a_step(machine):
    deep = machine.place / "state/deep"
    (deep / "store").mkdir(parents=True)
    os.chown(deep / "store", 65_534, grp.getgrnam("games").gr_gid)
    deep.chmod(0o700)
    os.chown(deep, 65_534, 65_534)
    machine.config(store={"path": str(deep / "store/s.db"), "min_free": "0B", "group": "games"})
    machine.unit(*PLAIN, "Group=games")
    found = machine.problems()["SL148", "store.group"]
    assert found["fix"] == [f"setfacl -m g:games:x {deep}"]


def test_the_document_has_what_scripts_rely_on(machine, sidelog):
    (machine.place / "logs").chmod(0o700)
    _, document = machine.check()
    assert list(document) == ["ok", "config", "user", "unit", "findings"]
    assert {tuple(one) for one in document["findings"]} == {("level", "code", "place", "sentence", "hint", "fix")}
    assert {one["level"] for one in document["findings"]} == {"ok", "error"}
    assert all((one["code"] is None) == (one["level"] == "ok") for one in document["findings"])
    (machine.place / "sidelog.json").write_text('{"sources": 1}')
    code, document = machine.check("--as-user", "nobody")
    assert (code, document["ok"], document["unit"], document["findings"][0]["level"]) == (78, False, None, "error")


def test_a_secret_that_the_user_cannot_read(machine):
    (machine.place / "token").write_text("t")
    (machine.place / "token").chmod(0o600)
    machine.config(hooks={"chat": {"webhook": "https://h", "headers": {"A": {"file": str(machine.place / "token")}}}})
    (found,) = machine.problems().values()
    assert (found["code"], found["fix"][-1]) == ("SL110", f"chmod g+r {machine.place}/token")
    machine.heals()


def test_a_unit_whose_user_or_program_is_missing(machine, monkeypatch, sidelog):
    machine.unit("User=nobody-at-all", "ExecStart=/bin/true")
    said = sidelog("check", "-c", machine.place / "sidelog.json", "--unit", machine.file)
    assert (said.code, "error[SL142]: there is no user nobody-at-all" in said.err) == (1, True)
    monkeypatch.setattr("agent.service.unit.DIRECTORIES", (str(machine.file.parent),))
    said = sidelog("check", "-c", machine.place / "sidelog.json")
    assert (said.code, "error SL142" in said.out, "is valid" in said.out) == (1, True, True)
    machine.unit("User=nobody", "ExecStart=/opt/none/sidelog run")
    assert ("SL143", "sidelog.service") in machine.problems()
    machine.log.with_name("sidelog").write_text("#!/bin/sh\n")
    machine.unit("User=nobody", f"ExecStart={machine.place}/logs/sidelog run")
    assert "cannot be started by the user nobody" in machine.problems()["SL143", "sidelog.service"]["sentence"]
    program = machine.log.with_name("sidelog")
    program.write_text(f"#!{machine.place}/hidden/python\n")
    program.chmod(0o755)
    (machine.place / "hidden").mkdir()
    (machine.place / "hidden/python").symlink_to("/bin/sh")
    assert ("SL143", "sidelog.service") not in machine.problems()
    machine.unit("User=nobody", f"ExecStart={program} run", f"InaccessiblePaths={machine.place}/hidden")
    assert "hidden/python cannot be seen" in machine.problems()["SL143", "sidelog.service"]["sentence"]


def test_the_printed_script_heals(machine, sidelog):
    machine.log.chmod(0o600)
    machine.unit(*PLAIN, "PrivateTmp=yes")
    said = sidelog("check", "-c", machine.place / "sidelog.json", "--unit", machine.file, "--fix")
    assert said.code == 1
    assert f"# error SL140 sources[0] app: {machine.place}/logs/*.log" in said.out
    script = said.out.replace("systemctl", "true")  # not this machine's
    subprocess.run(["sh", "-eu"], input=script, text=True, check=True, timeout=50)
    machine.heals()


def test_a_link_is_not_followed_by_what_heals(machine, sidelog):
    """Who may write in the logs' directory could lead root elsewhere."""
    target = machine.place / "theirs"
    target.write_text("secret")
    target.chmod(0o600)
    os.link(target, machine.place / "logs" / "b.log")
    said = sidelog("check", "-c", machine.place / "sidelog.json", "--unit", machine.file, "--fix", "--yes")
    assert (said.code, "error[SL146]" in said.err, target.stat().st_mode & 0o777) == (1, True, 0o600)


def test_wishes_that_do_not_go(machine, sidelog):
    for arguments, words in (
        (("--as-user", "root", "--unit", "x"), "do not go together"),
        (("--yes",), "--yes goes with --fix"),
        (("--unit", "no-such-unit"), "there is no unit no-such-unit"),
        (("--as-user", "nobody-at-all"), "there is no user nobody-at-all"),
    ):
        said = sidelog("check", "-c", machine.place / "sidelog.json", *arguments)
        assert (said.code in (1, 2), words in said.err) == (True, True), arguments


def test_who_is_not_root_judges_for_themselves_and_says_so(machine, sidelog, monkeypatch):
    monkeypatch.setattr("agent.service.unit.DIRECTORIES", (str(machine.file.parent),))
    machine.unit("User=daemon", "ExecStart=/bin/true", "PrivateTmp=yes")
    monkeypatch.setattr("agent.config.loader.SYSTEM_FILE", machine.place / "sidelog.json")
    catalogue.load()  # and what is imported: that user may not be able to read this program
    sidelog("check", "-c", machine.place / "sidelog.json", "--as-user", "root")
    os.seteuid(65_534)
    try:
        said = sidelog("check")
        refused = sidelog("check", "-c", machine.place / "sidelog.json", "--fix", "--yes")
        other = sidelog("check", "-c", machine.place / "sidelog.json", "--as-user", "daemon")
    finally:
        os.seteuid(0)
    assert (said.code, "judged for the user nobody" in said.out, "warning SL142" in said.out) == (0, True, True)
    assert (refused.code, other.code) == (2, 2)


def test_the_environments_file_is_looked_at_as_systemd_reads_it(machine):
    """What it ignores is named, without what may be a secret; who else may read it too."""
    file = machine.place / "environment"
    file.write_text(
        "# a comment\n; another\n\nSIDELOG_STORE__MIN_FREE = 0B\nexport TOKEN=hidden\nhiddenhidden\n1TOKEN=hidden\n"
        'KEY=\'one\nhidden\nexport x\'\nLONG=hidden\\\nhidden\nQUOTED="a\\"b\nhidden"\nSIDELOG_LOG_LEVEL=hidden\n'
        "SIDELOG_PORT_9880_TCP=hidden\nLAST=x\n"
    )
    file.chmod(0o644)
    machine.unit(*PLAIN, f"EnvironmentFile=-{file}")
    found = {key: one for key, one in machine.problems().items() if key[0] in ("SL103", "SL149")}
    assert {place: one["sentence"] for (_, place), one in found.items()} == {
        "SIDELOG_LOG_LEVEL": "the variable SIDELOG_LOG_LEVEL is ignored: sidelog knows none of that name",
        f"{file}:5": "systemd ignores this line: export TOKEN=…",
        f"{file}:6": "systemd ignores this line: it is no NAME=VALUE",
        f"{file}:7": "systemd ignores this line: 1TOKEN=…",
        str(file): "others may read or change it (mode 644), and it is for secrets",
    }
    assert "hidden" not in json.dumps([*found.values()])
    file.write_text("TOKEN=x\nSIDELOG_STORE__MIN_FRE=0B\nSIDELOG_STORE__FLUSH_INTERVAL=soon\n")
    assert {("SL103", "SIDELOG_STORE__MIN_FRE"), ("SL104", "SIDELOG_STORE__FLUSH_INTERVAL")} <= {
        (code, place.partition(":")[0]) for code, place in machine.problems()
    }
    file.write_text("TOKEN=x\n")
    assert machine.problems()["SL149", str(file)]["fix"] == [f"chmod g-w,o-rwx {file}"]
    machine.heals()
    assert file.stat().st_mode & 0o777 == 0o640
    file.unlink()
    assert not [code for code, _ in machine.problems() if code == "SL149"]
    machine.unit(*PLAIN, f"EnvironmentFile={file}")
    assert machine.problems()["SL149", str(file)]["sentence"].endswith(
        "and it is not there: the service does not start"
    )


def test_a_drop_in_with_the_last_word_does_not_undo_what_heals(machine, sidelog):
    """`systemctl edit` makes override.conf, which comes behind check.conf."""
    folder = machine.file.parent / "sidelog.service.d"
    folder.mkdir()
    (folder / "override.conf").write_text("[Service]\nPrivateTmp=yes\n")
    assert ("SL140", "sources[0] app") in machine.problems()
    machine.heals()
    assert (folder / "zz-check.conf").read_text() == "[Service]\nPrivateTmp=no\n"


def test_several_findings_about_one_list_are_healed_at_once(machine, sidelog):
    places = [machine.place / name for name in ("one", "two words", "three")]
    for place in places:
        place.mkdir()
        (place / "a.log").write_text("x\n")
    machine.unit(*PLAIN, "InaccessiblePaths=" + " ".join(f'"-{place}"' for place in (*places, machine.place / "units")))
    machine.config(sources=[{"name": place.name[:3], "include": [f"{place}/*.log"]} for place in places])
    assert len(machine.problems()) == 3
    said = sidelog("check", "-c", machine.place / "sidelog.json", "--unit", machine.file, "--fix")
    script = said.out.replace("systemctl", "true")  # not this machine's
    subprocess.run(["sh", "-eu"], input=script, text=True, check=True, timeout=50)
    assert machine.problems() == {}
    written = (machine.file.parent / "sidelog.service.d/check.conf").read_text().splitlines()
    assert written == ["[Service]", "InaccessiblePaths=", f"InaccessiblePaths=-{machine.place}/units"]


def test_a_directory_with_a_blank_in_its_name_is_opened(machine):
    logs = machine.place / "my logs: 100%"
    logs.mkdir()
    (logs / "a.log").write_text("x\n")
    logs.chmod(0o777)
    machine.unit(*PLAIN, f"ReadOnlyPaths={machine.place}", f"ReadWritePaths={machine.place}/state")
    machine.config(sources=[{"name": "app", "include": [f"{logs}/*.log"]}], archive={})
    assert [code for code, _ in machine.problems()] == ["SL144"]
    machine.heals()
    machine.unit(*PLAIN, f"TemporaryFileSystem={machine.place}", f"BindPaths={machine.place}/state")
    machine.heals()


def test_what_a_setting_names_itself_is_opened_too(machine):
    """There the stricter of two settings counts, whichever comes last."""
    state = machine.place / "state"
    machine.unit(*PLAIN, f"ReadOnlyPaths={state} {machine.place}/logs", f"ReadWritePaths={state}")
    assert [code for code, _ in machine.problems()] == ["SL113"]
    machine.heals()
    machine.unit(*PLAIN, f"BindReadOnlyPaths={state}", f"ReadWritePaths={state}")
    assert [code for code, _ in machine.problems()] == ["SL113"]
    machine.heals()


def test_a_link_in_a_place_that_is_hidden_leads_nowhere(machine):
    (machine.place / "links").mkdir()
    (machine.place / "links/a.log").symlink_to(machine.log)
    (machine.place / "units/b.log").symlink_to(machine.place / "links/a.log")
    machine.unit(*PLAIN, f"InaccessiblePaths={machine.place}/links")
    machine.config(sources=[{"name": "app", "include": [f"{machine.place}/units/*.log"]}])
    assert [code for code, _ in machine.problems()] == ["SL140"]
    machine.heals()


def test_files_that_the_configuration_names_are_seen(machine):
    (machine.place / "keys").mkdir()
    (machine.place / "keys/token").write_text("t")
    (machine.place / "keys/pid").write_text("1")
    rotate = {"size": "1MiB", "signal": {"pidfile": str(machine.place / "keys/pid")}}
    machine.config(
        sources=[{"name": "app", "include": [f"{machine.place}/logs/*.log"], "rotate": rotate}],
        hooks={"chat": {"webhook": {"url": {"file": str(machine.place / "keys/token")}, "format": "slack"}}},
    )
    machine.unit(*PLAIN, f"InaccessiblePaths={machine.place}/keys {machine.place}/sidelog.json")
    found = {place: one["sentence"] for (code, place), one in machine.problems().items() if code == "SL140"}
    assert [text.split()[1] for text in found.values()] == ["configuration", "secret", "pidfile"]
    machine.check("--fix", "--yes")
    assert "SL140" not in {code for code, _ in machine.problems()}


def test_another_root_directory_is_told_and_the_limit_of_the_unit_counts(machine):
    machine.unit(*PLAIN, "RootDirectory=/srv/system", "LimitNOFILE=16:64")
    found = {code: one for (code, _), one in machine.problems().items()}
    assert "RootDirectory=/srv/system" in found["SL150"]["sentence"]
    assert found["SL116"]["fix"] == ["LimitNOFILE=130"]
    machine.unit(*PLAIN, "RootDirectory=/", "LimitNOFILE=infinity")
    assert machine.problems() == {}


def test_an_interpreter_that_the_user_or_the_service_cannot_start(machine):
    """A virtual environment in a home: its Python is a link to one in another place."""
    python = machine.place / "venv/bin/python"
    for place in (python.parent, machine.place / "lib"):
        place.mkdir(parents=True)
    (machine.place / "lib/python").write_bytes(Path("/bin/true").read_bytes())
    (machine.place / "lib/python").chmod(0o755)
    python.symlink_to(machine.place / "lib/python")
    hook(machine, f"#!{python}\n")
    assert machine.problems() == {}
    (machine.place / "lib").chmod(0o700)
    assert f"{machine.place}/lib is closed" in machine.problems()["SL117", "hooks.page.exec"]["sentence"]
    machine.heals()
    for line in (f"InaccessiblePaths={machine.place}/lib", f"NoExecPaths={machine.place}/lib"):
        machine.unit(*PLAIN, line)
        assert line in machine.problems()["SL117", "hooks.page.exec"]["sentence"]
        machine.heals()


@pytest.mark.parametrize(
    ("webhook", "lines", "stopped", "cure"),
    [
        ("https://192.0.2.7/x", ["IPAddressDeny=any"], "IPAddressDeny=any", ["IPAddressAllow=192.0.2.7"]),
        ("https://[2001:db8::7]/x", ["IPAddressDeny=2001:db8::/32"], "IPAddressDeny", ["IPAddressAllow=2001:db8::7"]),
        ("https://[2001:db8::7]/x", ["IPAddressDeny=0.0.0.0/0"], "", []),
        ("https://[2001:db8::7]/x", ["RestrictAddressFamilies=AF_UNIX AF_INET"], "AF_INET", ["AF_INET6"]),
        ("https://[::ffff:192.0.2.7]/x", ["IPAddressDeny=192.0.2.0/24"], "IPAddressDeny", ["IPAddressAllow"]),
        ("http://localhost:9/x", ["IPAddressDeny=any", "IPAddressAllow=::1"], "", []),
        ("http://localhost:9/x", ["PrivateNetwork=yes"], "PrivateNetwork=yes", ["PrivateNetwork=no"]),
        ("http://localhost:9/x", ["RestrictNetworkInterfaces=lo"], "", []),
        ("https://192.0.2.7/x", ["RestrictNetworkInterfaces=lo"], "RestrictNetworkInterfaces=lo", ["Interfaces="]),
        ("https://none.invalid/x", ["IPAddressDeny=any", "IPAddressAllow=localhost"], "IPAddressDeny", ["Deny="]),
        (
            "https://192.0.2.7/x",
            ["IPAddressDeny=any", "IPAddressAllow=::1", "Environment=https_proxy=[::1]:3128"],
            "",
            [],
        ),
        (
            "https://[::1]/x",
            ["IPAddressDeny=192.0.2.0/24", "Environment=ALL_PROXY=http://192.0.2.9:1"],
            "IPAddr",
            ["2.9"],
        ),
    ],
)
def test_webhooks_by_address_by_name_and_by_proxy(machine, webhook, lines, stopped, cure):
    machine.unit(*PLAIN, *lines)
    machine.config(hooks={"chat": {"webhook": webhook}})
    found = machine.problems().get(("SL147", "hooks.chat.webhook"))
    assert (found is not None) == bool(stopped)
    if found is not None:
        assert stopped in found["sentence"]
        assert all(any(part in line for line in found["fix"]) for part in cure), found["fix"]
        machine.heals()


def test_a_name_whose_server_is_blocked_cannot_be_found(machine, tmp_path, monkeypatch):
    resolver, hosts = tmp_path / "resolv.conf", tmp_path / "hosts"
    monkeypatch.setattr("agent.service.network._RESOLVER", resolver)
    monkeypatch.setattr("agent.views.programs._HOSTS", hosts)
    tmp_path.chmod(0o755)
    for above in tmp_path.parents:
        if str(above).startswith("/tmp/pytest"):
            above.chmod(0o755)
    resolver.write_text("# made\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\n")
    hosts.write_text("192.0.2.7 relay chat\n")
    machine.unit(*PLAIN, "IPAddressDeny=any", "IPAddressAllow=localhost 198.51.100.0/24")
    machine.config(hooks={"chat": {"webhook": "https://none.invalid/x"}})
    found = machine.problems()["SL147", "hooks.chat.webhook"]
    assert found["fix"] == ["IPAddressAllow=192.0.2.53 fe80::1"]
    machine.heals()
    machine.file.parent.joinpath("sidelog.service.d/check.conf").unlink()
    hosts.write_text("198.51.100.7 none.invalid\n")
    assert machine.problems() == {}
    hosts.unlink()
    resolver.write_text("nameserver 127.0.0.53\n")
    assert machine.problems() == {}


def test_a_home_is_not_opened_to_a_service_for_a_configuration(machine, monkeypatch):
    """Root tries one out in its own home."""
    monkeypatch.setattr("agent.service.access.HOMES", (str(machine.place),))
    machine.place.chmod(0o700)
    (found,) = (one for (code, _), one in machine.problems().items() if code == "SL101")
    assert found["fix"] == []
    assert found["hint"] == "copy it to /etc/sidelog, where nobody may read it"
