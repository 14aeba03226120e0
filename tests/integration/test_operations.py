"""The recipes of docs/operations.md, followed to the letter: its configurations, its commands, in its order. And the
commands of other pages.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.main import run_command_line
from tests.integration.archiving import unpacked
from tests.integration.harness import append, event, wait_until

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/operations.md"
BLOCK = re.compile(r"```(yaml|sh)\n(.*?)```", re.DOTALL)
PLACES = ("/etc/sidelog", "/var/lib/sidelog", "/var/log/shop", "/var/backups", "/srv")
SYSTEMCTL = """#!/bin/sh
set -eu
err={root}/agent.err
started() {{ grep -c "$1" $err || true; }}
case "$1" in
stop)
    kill -TERM $(cat {root}/pid) 2>/dev/null || exit 0
    while kill -0 $(cat {root}/pid) 2>/dev/null; do sleep 0.02; done ;;
start)
    before=$(started "agent started")
    setsid sidelog run 2>>$err >/dev/null </dev/null &
    echo $! > {root}/pid
    while [ "$(started "agent started")" = "$before" ]; do sleep 0.02; done ;;
reload)
    sidelog check >/dev/null
    before=$(started "configuration reloaded")
    kill -HUP $(cat {root}/pid)
    while [ "$(started "configuration reloaded")" = "$before" ]; do sleep 0.02; done ;;
esac
"""


def recipes(page=PAGE):
    """Title -> its blocks: (language, text); the first entry is the page's beginning."""
    title, *sections = re.split(r"^## ", page.read_text(), flags=re.MULTILINE)
    parts = {"": title} | {section.splitlines()[0]: section for section in sections}
    return {name: BLOCK.findall(text) for name, text in parts.items()}


def plain(line):
    """The words of a line that needs no shell; None where it does, or where it starts an agent."""
    words = shlex.split(line, comments=True)
    if words[-2:] == ["||", "true"]:
        del words[-2:]
    needs_shell = set(line) & set("$`;") or {"|", "||", "&&", ">"} & {*words}
    return None if needs_shell or words[0] not in ("sidelog", "cd") or words[1] == "run" else words


class Machine:
    """A root file system of its own for the page's paths, and the two commands that the page uses."""

    def __init__(self, root, capfd):
        self.root = self.cwd = root
        self._capfd = capfd
        for place in PLACES:
            self.path(place).mkdir(parents=True)
        tools = root / "bin"
        tools.mkdir()
        (tools / "sidelog").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m agent "$@"\n')
        (tools / "systemctl").write_text(SYSTEMCTL.format(root=root))
        for tool in tools.iterdir():
            tool.chmod(0o755)
        (root / "agent.err").touch()
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("SIDELOG_", "XDG_"))}
        self.env = keep | {"PATH": f"{tools}:{os.environ['PATH']}", "TZ": "UTC", "HOME": str(root)}
        self.env["SIDELOG_CONFIG"] = str(self.path("/etc/sidelog/sidelog.yaml"))
        self.written = 0

    def path(self, path):
        return self.root / path.lstrip("/")

    def follow(self, blocks):
        """Write the configurations and execute the commands of a recipe."""
        for language, text in blocks:
            own = re.sub(r"(?<![\w.])/(?=etc/|var/|srv)", f"{self.root}/", text)
            if language == "yaml":
                # So that a rotated log is archived at once.
                Path(self.env["SIDELOG_CONFIG"]).write_text(own + "  quiet: 0s\n")
            else:
                self.sh(own)

    def sh(self, commands):
        """Execute lines of shell, and give what they print. Those that only call sidelog run in this process: a start
        of Python takes longer than most commands.
        """
        said = ""
        for line in filter(None, map(str.strip, commands.splitlines())):
            words = plain(line)
            if words is None:
                script = ["sh", "-eu", "-c", line]
                done = subprocess.run(script, env=self.env, cwd=self.cwd, capture_output=True, check=False, timeout=120)
                code, out, err = done.returncode, done.stdout.decode(), done.stderr.decode()
            elif words[0] == "cd":
                self.cwd, code, out, err = Path(words[1]), 0, "", ""
            else:
                code, out, err = self.here(words[1:])
            assert code == 0 or line.endswith("|| true"), f"{line}\n{out}\n{err}"
            said += out
        return said

    def here(self, words):
        with pytest.MonkeyPatch.context() as patch:
            for name in set(os.environ) - set(self.env):
                patch.delenv(name)
            for name, value in self.env.items():
                patch.setenv(name, value)
            patch.chdir(self.cwd)
            self._capfd.readouterr()
            return run_command_line(words), *self._capfd.readouterr()

    def write(self, folder="/var/log/shop", **fields):
        """One more line in each of the two logs; until they are found."""
        for name in ("web", "worker"):
            append(self.path(f"{folder}/{name}.log"), event(self.written, log=name, **fields))
            self.written += 1
        self.wait()

    def wait(self):
        wait_until(lambda: len(self.rows()) >= self.written, 40, f"{self.written} lines")

    def rows(self):
        found = map(json.loads, self.sh("sidelog query -n all -o json").splitlines())
        return sorted(found, key=lambda row: row["attributes"]["n"])

    def rotate(self):
        """logrotate comes by, and the rotated logs are archived."""
        folder = self.path("/var/log/shop")
        for name in ("web", "worker"):
            (folder / f"{name}.log").rename(folder / f"{name}.log.1")
            (folder / f"{name}.log").touch()
        self.sh("systemctl stop sidelog\nsidelog run --once\nsidelog archive run\nsystemctl start sidelog")
        assert not (folder / "web.log.1").exists()


@pytest.fixture
def machine(tmp_path, capfd):
    machine = Machine(tmp_path, capfd)
    machine.follow(RECIPES[""])
    machine.path("/var/log/shop").mkdir(exist_ok=True)
    for name in ("web", "worker"):
        machine.path(f"/var/log/shop/{name}.log").touch()
    machine.sh("systemctl start sidelog")
    machine.write()
    machine.rotate()
    machine.write()
    yield machine
    machine.sh("systemctl stop sidelog")


RECIPES = recipes()


def whole(machine):
    """Every line is there once, the books balance, and the archives are sound."""
    assert [row["attributes"]["n"] for row in machine.rows()] == list(range(machine.written))
    assert machine.sh("sidelog query --count").strip() == str(machine.written)
    machine.sh("sidelog audit\nsidelog verify\nsidelog archive verify")
    assert "SL999" not in (machine.root / "agent.err").read_text()


def story(machine):
    return [(row["source"], row["resource"]["team"]) for row in machine.rows()]


CONFIGURED = {
    "Rename a source": [("shop", "shop"), ("shop", "shop")],
    "Split a source, merge two": [("web", "shop"), ("worker", "shop")],
    "Change a label": [("web", "payments"), ("web", "payments")],
}


@pytest.mark.parametrize("recipe", CONFIGURED)
def test_what_is_read_after_a_change_of_the_configuration_has_it_and_nothing_else(machine, recipe):
    machine.follow(RECIPES[recipe])
    machine.write()
    assert story(machine) == [("web", "shop")] * 4 + CONFIGURED[recipe]
    machine.rotate()
    machine.write()
    assert story(machine) == [("web", "shop")] * 4 + CONFIGURED[recipe] * 2
    whole(machine)


def test_what_the_page_says_to_ask_for_is_found(machine):
    machine.follow(RECIPES["Change a label"])
    machine.write()
    assert machine.sh("sidelog query --count team=shop").strip() == "4"
    assert machine.sh("sidelog query --count team=payments").strip() == "2"
    machine.follow(RECIPES["Rename a source"])
    machine.write()
    assert machine.sh("sidelog query --count 'source=web OR source=shop'").strip() == "8"


def test_a_field_is_redacted_from_the_reload_on(machine):
    machine.write(password="*******")
    machine.rotate()
    *reload, redact = RECIPES["Begin to redact a field"]
    machine.follow(reload)
    machine.write(password="hunter2")
    whole(machine)
    machine.rotate()
    assert "SL813" in machine.sh("sidelog check")
    machine.follow([redact])
    assert "SL813" not in machine.sh("sidelog check")
    whole(machine)
    machine.sh("systemctl stop sidelog")
    kept = [path for path in machine.path("/var/lib/sidelog").rglob("*") if path.is_file()]
    assert not [path for path in kept if b"hunter2" in (unpacked(path) if path.suffix == ".zst" else path.read_bytes())]
    assert not [path for path in kept if path.suffix == ".zst" and b"*******" in unpacked(path)]
    machine.sh("systemctl start sidelog")


def test_an_older_backup_is_put_back(machine):
    """Lines came since, and some of them lie in archives alone by now."""
    machine.follow(RECIPES["Upgrade"] + RECIPES["Back up the store"])
    assert machine.path("/var/backups/sidelog-1.db").exists()
    saving, restoring = RECIPES["Restore an older backup"]
    machine.follow([saving])
    machine.write()
    machine.rotate()
    machine.write()
    machine.follow([restoring])
    machine.wait()
    whole(machine)
    machine.write()
    machine.rotate()
    whole(machine)


def test_logs_that_were_moved_go_on(machine):
    machine.follow(RECIPES["Move the logs"])
    machine.write("/srv/shop-logs")
    whole(machine)


def test_the_state_is_moved(machine):
    machine.follow(RECIPES["Move the state to another directory"])
    machine.write()
    whole(machine)
    machine.rotate()
    whole(machine)


def test_another_machine_takes_over(machine):
    old, new = RECIPES["Move to another machine"]
    machine.follow([old])
    shutil.rmtree(machine.path("/var/lib/sidelog"))
    machine.follow([new])
    machine.write()
    whole(machine)
    machine.rotate()
    whole(machine)


def test_the_store_comes_back_from_a_nights_backup(machine):
    """docs/disaster-recovery.md, from its beginning to its end."""
    pages = recipes(ROOT / "docs/disaster-recovery.md")
    machine.follow(pages["Back up every night"])
    machine.write()
    machine.rotate()
    machine.path("/var/lib/sidelog/sidelog.db").write_bytes(b"the disk wrote this")
    machine.follow(pages["The store is lost or damaged"])
    machine.wait()
    whole(machine)
    machine.follow(pages["Back up every night"])
    machine.follow(pages["An earlier moment"])
    machine.wait()
    machine.follow(pages["Try it before you need it"])
    machine.sh("systemctl stop sidelog")
    shutil.rmtree(machine.path("/var/lib/sidelog"))
    machine.follow(pages["The disk is lost"])
    machine.wait()
    whole(machine)
    machine.follow(pages["There is no backup"])
    machine.wait()
    whole(machine)
    assert {title for title, blocks in pages.items() if blocks} == {
        *("Back up every night", "The store is lost or damaged", "The disk is lost", "An earlier moment"),
        *("There is no backup", "Try it before you need it"),
    }


def test_what_the_pages_for_every_day_tell_to_type_works(machine):
    machine.write(level="error", message="payment failed")
    machine.follow(recipes(ROOT / "docs/disaster-recovery.md")["Back up every night"])
    for page in ("onboarding", "runbook", "troubleshooting", "administration", "faq", "../SECURITY"):
        for blocks in recipes(ROOT / f"docs/{page}.md").values():
            machine.follow([(language, text) for language, text in blocks if language == "sh"])


def test_secrets_are_found_after_an_incident(machine):
    """Wherever in a line they stand, in the store and in the archives."""
    bearer = "Bearer abcdefghijklmnopqrstuvwxyz"
    machine.write(message="request", headers={"authorization": bearer})
    machine.rotate()
    machine.write(message=f"curl -H 'authorization: {bearer}'")
    machine.write(message="-----BEGIN RSA PRIV" + "ATE KEY-----")
    (_, search), *_ = recipes(ROOT / "SECURITY.md")["After an incident"]
    said = machine.sh(search)
    assert f"4 {bearer}" in said
    assert "2 BEGIN RSA PRIV" in said
    assert re.search(r"^ *web +4$", said, re.MULTILINE), said


def test_every_recipe_is_followed():
    tested = {*CONFIGURED, "Begin to redact a field", "Back up the store", "Restore an older backup", "Move the logs"}
    tested |= {"Move the state to another directory", "Move to another machine", "Upgrade"}
    assert {title for title, blocks in RECIPES.items() if blocks} - {""} == tested
