"""The ways to the program: pip, pipx and uv, of the checkout and of its wheel, as docs/service.md has them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent import __version__
from tests.install.wheelhouse import make_wheels, offline
from tests.needs import limited, needs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/service.md").read_text()
TOOLS = ROOT / "build/tools/bin"
PLACES = "/opt /usr/local/bin/sidelog /usr/local/share/sidelog /etc/sidelog /etc/systemd/system/sidelog*"
MOST_BYTES = 90_000_000  # of an environment with the program, its libraries, pip, and all of them compiled

pytestmark = pytest.mark.timeout(600)


def row(tool: str) -> tuple[str, str]:
    """How a tool installs, and how it takes away."""
    _, _, install, away, _ = next(line for line in PAGE.splitlines() if line.startswith(f"| {tool} |")).split("|")
    return install.strip(" `"), away.strip(" `")


def by_pip() -> str:
    """The first commands of the recipe, and the link that `init --system` makes."""
    made, installed = re.search(r"```sh\n(python3 -m venv .*)\n(.*)\n", PAGE).groups()
    command = installed.replace("bin/pip install .", "bin/sidelog").split()[0]
    return f"{made} && {installed} && mkdir -p /usr/local/bin && ln -s {command} /usr/local/bin/sidelog"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ways") / "wheels"
    make_wheels(folder)
    return folder


def environment(wheels, home):
    kept = {name: os.environ[name] for name in ("TZ", "LANG") if name in os.environ}
    path = f"{TOOLS}:{Path(sys.base_prefix, 'bin')}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return kept | offline(wheels) | {"PATH": path, "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}


@pytest.mark.parametrize("what", ["checkout", "wheel"])
@pytest.mark.parametrize(
    "tool", ["pip", pytest.param("pipx", marks=needs("pipx")), pytest.param("uv", marks=needs("uv"))]
)
def test_the_program_is_installed_starts_and_finds_what_came_with_it(wheels, tmp_path, tool, what):
    """In a directory in the place of /, so that nobody needs to be root."""
    [wheel] = wheels.glob("sidelog-*.whl")
    text = by_pip() if tool == "pip" else row(tool)[0]
    text = re.sub(r"(install) \.", rf"\1 {wheel if what == 'wheel' else '.'}", text)
    text = re.sub(r"(?<![\w/.])/(opt|usr)/", rf"{tmp_path}/\1/", text)
    env = environment(wheels, tmp_path)
    home = tmp_path / "empty"
    home.mkdir()

    def run(command, cwd=home):
        done = subprocess.run(
            ["sh", "-ec", command], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(text, ROOT)
    sidelog = tmp_path / "usr/local/bin/sidelog"
    assert run(f"{sidelog} version") == f"sidelog {__version__}\n"
    (home / "app.log").write_text("hello\n")
    (home / "sidelog.yaml").write_text("sources: [{name: app, include: [app.log]}]\n")
    assert "ok            sources[0] app: 1 file" in run(f"{sidelog} check")
    assert "\nsources:\n" in run(f"{sidelog} --quiet init whole.yaml && cat whole.yaml")
    run(f"{sidelog} init --system --root machine")
    assert (home / "machine/etc/systemd/system/sidelog-backup.timer").is_file()
    prefix = sidelog.resolve().parents[1]
    assert (prefix / "share/man/man1/sidelog-query.1").is_file()
    assert (prefix / "share/bash-completion/completions/sidelog").is_file()
    files = [path for path in prefix.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES


@needs("mount", "root", "systemd", "util-linux")
@pytest.mark.parametrize("tool", [pytest.param("pipx", marks=needs("pipx")), pytest.param("uv", marks=needs("uv"))])
def test_the_service_is_installed_and_taken_away_to_the_letter(wheels, tmp_path, tool):
    install, away = row(tool)
    steps = [
        f"rm -r /run/systemd; {install}",
        "sidelog init --system; grep ^ExecStart= /etc/systemd/system/sidelog.service",
        "sidelog check",
        "sidelog remove --system --dry-run",
        "sidelog remove --system --yes",
        away,
        f"find {PLACES} -path /opt/libraries -prune -o -name 'sidelog*' -print 2>/dev/null || :",
    ]
    (tmp_path / "steps").write_text("".join(f"{step}\n" for step in steps))
    logs = tmp_path / "var/log/nginx"
    logs.mkdir(parents=True)
    (logs / "access.log").touch()
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", ROOT / "tests/install/recipe.sh"]
    env = environment(wheels, tmp_path) | {"PYTHONPATH": str(tmp_path), "NO_COLOR": "1"}
    env |= dict.fromkeys(("PIPX_DEFAULT_PYTHON", "UV_PYTHON"), "/opt/python/bin/python3")  # one that the service sees
    done = subprocess.run(
        [*words, tmp_path, ROOT, sys.base_prefix], env=env, capture_output=True, text=True, check=False, timeout=500
    )
    if done.returncode == 77:
        limited("overlayfs", done.stderr)
    said = []
    for number, step in enumerate(steps, 1):
        out = tmp_path / f"{number}.out"
        said.append(out.read_text() if out.exists() else f"it was not reached: {done.stderr}")
        assert said[-1].endswith("exit 0\n"), f"{step}\n{said[-1]}"
    _, made, checked, planned, removed, _, left = said
    assert "ExecStart=/usr/local/bin/sidelog run\n" in made
    assert "ok            sources[0] nginx: " in checked
    home = Path("/opt/pipx/venvs/sidelog" if tool == "pipx" else "/opt/uv/tools/sidelog")
    for said_first in (planned, removed):
        assert f"keep    {home}: the program; {away.partition(tool)[1]}{away.partition(f' {tool}')[2]}" in said_first
        assert "keep    /var/lib/sidelog" in said_first
    assert set(left.split()) <= {"/etc/sidelog", "/etc/sidelog/sidelog.yaml", "exit", "0"}
