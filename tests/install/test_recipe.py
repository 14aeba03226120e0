"""The recipes of README and docs/service.md, command by command as they stand there, on a machine made of overlays."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from agent import __version__
from tests.needs import limited, needs

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "docs" / "service.md"
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def section(page: Path, title: str) -> str:
    return page.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def commands(block: str) -> list[str]:
    """The commands of a block, without the prompt and what explains them."""
    lines = [line.removeprefix("$ ").partition("  #")[0].strip() for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def recipe(title: str) -> list[str]:
    return commands(SHELL.search(section(SERVICE, title))[1])


def test_readme_and_the_page_have_the_same_recipe_of_this_version():
    readme = commands(CONSOLE.search(section(ROOT / "README.md", "As a service"))[1])
    assert readme == recipe("Install")
    assert readme[0] == f"python3 -m venv /opt/sidelog/{__version__}"


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


@pytest.mark.timeout(900)  # two environments are made and filled: 20 s of CPU
@needs("root", "systemd", "util-linux", "mount")
def test_installed_upgraded_rolled_back_and_removed_to_the_letter(followed, tmp_path):
    nginx = tmp_path / "var/log/nginx"
    nginx.mkdir(parents=True)
    line = '203.0.113.9 - ann [22/Nov/2026:06:29:31 +0000] "GET / HTTP/1.1" 500 12 "-" "curl/8"\n'
    (nginx / "access.log").write_text(line * 3)
    install, upgrade, back, remove = (recipe(title) for title in ("Install", "Upgrade", "Roll back", "Remove"))
    found = "sidelog query 'http.response.status_code=500 OR http.status=500' -s nginx --count"
    count = f"for i in $(seq 200); do [ $({found}) = 3 ] && exit 0; sleep 0.1; done; exit 1"
    helps = "cd /usr/local/share; cat man/man1/sidelog-query.1 */*/sidelog zsh/*/_sidelog fish/*/sidelog.fish | wc -l"
    gone = "! ls -d /usr/local/share/*/*/*sidelog*"
    steps = [*install, helps, count, *upgrade, *back, "sidelog status", *remove, gone]
    said = dict(zip(steps, followed(steps), strict=True))
    made = said[install[2]]
    assert "follows nginx" in made[0]
    assert "sidelog status\n" in made[0].split("next:\n")[1]
    assert "nothing is migrated" in said[upgrade[2]][0]
    assert said[upgrade[3]][1].endswith("0.2.0\n0.1.0\n")
    assert said[back[-1]][1].endswith("0.1.0\n0.2.0\n")
    assert int(said[helps][0].split()[0]) > 100
    dry, removed = (said[step] for step in remove)
    assert "keep    /var/lib/sidelog" in dry[0]
    state = "/var/lib/sidelog/sidelog.db"
    assert {state} <= set(removed[1].split()) <= {"/etc/sidelog/sidelog.yaml", state, f"{state}.lock"}
