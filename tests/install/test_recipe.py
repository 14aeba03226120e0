"""The recipes of README and docs/service.md, command by command as they stand there, on a machine made of overlays."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from agent import __version__
from agent.install import layout
from tests.needs import limited, needs

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "docs" / "service.md"
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def section(page: Path, title: str) -> str:
    return page.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def commands(block: str) -> list[str]:
    """The commands of a block, without the prompt, sudo and what explains them."""
    block = block.replace("\\\n", " ")
    lines = [line.removeprefix("$ ").removeprefix("sudo ").partition("  #")[0].strip() for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def recipe(title: str) -> list[str]:
    return commands(SHELL.search(section(SERVICE, title))[1])


def test_readme_and_the_page_have_the_same_recipe_of_this_version():
    readme = commands(CONSOLE.search(section(ROOT / "README.md", "As a service"))[1])
    assert readme == recipe("Install")
    assert readme[0] == f"python3 -m venv /opt/sidelog/{__version__}"


def test_the_container_of_the_page_is_that_of_the_containerfile():
    """What is mounted where, and what is called in it. The image itself is built elsewhere."""
    build, run, look = (shlex.split(line) for line in recipe("In a container"))
    image = (ROOT / "Containerfile").read_text()
    volumes = [words.split(":") for option, words in itertools.pairwise(run) if option == "--volume"]
    assert {target for _, target, *_ in volumes} >= {*re.findall(r"^VOLUME (\S+)$", image, re.MULTILINE)}
    assert ["./sidelog.yaml", layout.CONFIG, "ro"] in volumes
    name = run[run.index("--name") + 1]
    assert build[-1] == "."
    assert [build[build.index("--tag") + 1], look[1:]] == [run[-1], ["exec", name, "sidelog", "status"]]
    assert {"--read-only", "--cap-drop"} <= {*run}


@pytest.fixture
def followed(tmp_path):
    """Follows commands, one after the other; what each said, and what there was of sidelog after it."""

    def follow(steps: list[str]) -> list[tuple[str, str]]:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/systemctl").symlink_to(ROOT / "tests/install/service_manager.py")
        (tmp_path / "steps").write_text("".join(f"{step}\n" for step in steps))
        site = sysconfig.get_paths()["purelib"]
        env = {
            name: value for name, value in os.environ.items() if not name.startswith(("SIDELOG_", "COVERAGE_", "PIP_"))
        }
        # The libraries are there already: no index is asked, and nothing is built apart.
        env |= {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PYTHONPATH": site}
        env |= {
            "PATH": f"{tmp_path}/bin:/opt/python/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "NO_COLOR": "1",
        }
        env |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONDONTWRITEBYTECODE": "1", "PIP_NO_COMPILE": "1"}
        script = ROOT / "tests/install/recipe.sh"
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", script, tmp_path, ROOT, sys.base_prefix],
            env=env, capture_output=True, text=True, check=False, timeout=880,
        )  # fmt: skip
        if done.returncode == 77:
            limited("overlayfs", done.stderr)
        assert done.returncode == 0, done.stderr
        said = []
        for number, step in enumerate(steps, 1):
            out = tmp_path / f"{number}.out"
            assert out.exists(), f"{step} was not reached:\n{said[-1]}"
            assert out.read_text().endswith("exit 0\n"), f"{step}\n{out.read_text()}"
            said.append((out.read_text(), (tmp_path / f"{number}.left").read_text()))
        return said

    return follow


def block(page: Path, title: str, language: str, number: int = 0) -> str:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", section(page, title), re.DOTALL)
    return found[number]


def written(path: str, text: str) -> str:
    """A command that writes a file."""
    line = text.replace("\\", r"\\").replace("\n", r"\n")
    return f"mkdir -p {Path(path).parent} && printf %b {shlex.quote(line)} >{path}"


def until(command: str, found: object) -> str:
    """A command that waits until another one prints this."""
    return f'for i in $(seq 200); do [ "$({command})" = "{found}" ] && exit 0; sleep 0.1; done; {command}; exit 1'


def team_reading() -> tuple[list[str], dict[str, str]]:
    """docs/permissions.md from its beginning to its end, and what of it is looked at: name -> command."""
    page, title = ROOT / "docs/permissions.md", "Reading by a team"
    typed = [block(page, name, "console").splitlines() for name in ("Is it ready?", "Healing")]
    (check,), (script, heal) = (commands("\n".join(line for line in lines if line[0] == "$")) for lines in typed)
    drop_in = block(page, title, "ini")
    group, restart = commands(block(page, title, "sh"))
    ann = "setpriv --reuid=ann --regid=ann --init-groups sidelog query --hot -s shop --count"
    seen = {
        "closed": f"{group} && {{ {ann} || [ $? = 3 ]; }}",
        "script": f"cd /run && {{ {script} || [ $? = 1 ]; }} && sh -n heal.sh && cat heal.sh",
        "ready": check,
        "open": ann,
    }
    steps = [
        "useradd ann",
        written("/etc/sidelog/conf.d/team.yaml", block(page, title, "yaml")),
        *(seen["closed"], seen["script"]),
        written(drop_in.splitlines()[0].removeprefix("# "), drop_in),
        heal,  # what archiving lacks
        *(restart, seen["ready"], seen["open"]),
    ]
    return steps, seen


@pytest.mark.timeout(900)  # two environments are made and filled: 20 s of CPU
@needs("root", "systemd", "util-linux", "mount")
def test_installed_used_upgraded_rolled_back_and_removed_to_the_letter(followed, tmp_path):
    logs = tmp_path / "var/log"
    (logs / "nginx").mkdir(parents=True)
    line = '203.0.113.9 - ann [22/Nov/2026:06:29:31 +0000] "GET / HTTP/1.1" 500 12 "-" "curl/8"\n'
    access = logs / "nginx/access.log"
    access.write_text(line * 3)
    access.chmod(0o640)
    shutil.chown(access, "root", "adm")
    (logs / "shop").mkdir()
    (logs / "shop/app.log").write_text('{"level":"error","message":"payment failed"}\n' * 2)
    install, upgrade, back, remove = (recipe(title) for title in ("Install", "Upgrade", "Roll back", "Remove"))
    found = "sidelog query 'http.response.status_code=500 OR http.status=500' -s nginx --count"
    shortest = block(ROOT / "README.md", "As a service", "yaml")
    team, seen = team_reading()
    status = "sidelog status --json"
    helps = "cd /usr/local/share; cat man/man1/sidelog-query.1 */*/sidelog zsh/*/_sidelog fish/*/sidelog.fish | wc -l"
    gone = "! ls -d /usr/local/share/*/*/*sidelog*"
    steps = [*install, helps, until(found, 3), written("/etc/sidelog/sidelog.yaml", shortest)]
    steps += ["systemctl restart sidelog", until("sidelog query -s shop --count", 2), status]
    check, run, look = recipe("Without systemd")
    runs = f"{look} | grep -c 'agent runs'"
    alone = f"{run} 2>/dev/null & {{ {until(runs, 1)}; }}"
    steps += ["systemctl stop sidelog", check, f"({alone}); {look}; kill $(pgrep -u sidelog -f 'sidelog run')"]
    steps += ["systemctl start sidelog", *team, *upgrade, *back, f"{status} # again", *remove, gone]
    said = dict(zip(steps, followed(steps), strict=True))
    made = said[install[2]]
    assert "follows nginx" in made[0]
    assert "sidelog status\n" in made[0].split("next:\n")[1]
    for step in (status, f"{status} # again"):
        document = json.loads(said[step][0].partition("\nexit")[0])
        assert (document["store"]["path"], document["healthy"]) == ("/var/lib/sidelog/sidelog.db", True)
    assert "error[SL406]" in said[seen["closed"]][0]
    for setting in block(ROOT / "docs/permissions.md", "Reading by a team", "ini").splitlines()[2:]:
        assert setting in said[seen["script"]][0]
    assert said[seen["open"]][0] == "2\nexit 0\n"
    assert "ok            check: judged for the user sidelog" in said[seen["ready"]][0]
    assert "ok " in said[check][0]
    assert "agent runs" in said[steps[steps.index(check) + 1]][0]
    assert "nothing is migrated" in said[upgrade[2]][0]
    assert said[upgrade[3]][1].endswith("0.2.0\n0.1.0\n")
    assert "unit and drop-ins as 0.1.0 has them" in said[back[-1]][0]
    assert said[back[-1]][1].endswith("0.1.0\n0.2.0\n")
    assert int(said[helps][0].split()[0]) > 100
    dry, removed = (said[step] for step in remove)
    assert "keep    /var/lib/sidelog" in dry[0]
    state = "/var/lib/sidelog/sidelog.db"
    left = {"/etc/sidelog/sidelog.yaml", "/etc/sidelog/conf.d", "/var/lib/sidelog/archive", state, f"{state}.lock"}
    assert {state} <= set(removed[1].split()) <= left | {f"{state}-wal", f"{state}-shm"}
