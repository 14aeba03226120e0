"""The container image and the Debian package, as far as they can be judged without building them whole."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent import __version__
from agent.cli.main import COMMANDS
from tests.needs import needs

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "Containerfile"


@pytest.fixture(scope="module")
def stages():
    """The instructions of each stage of the image: (word, rest)."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: list[list[tuple[str, str]]] = []
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            found.append([])
        if word:
            found[-1].append((word, rest.strip()))
    return found


def only(stage, word):
    rests = [rest for name, rest in stage if name == word]
    assert len(rests) == 1, word
    return rests[0]


def test_the_image_is_made_in_stages_of_one_base_that_is_pinned(stages):
    build, image = stages
    base = only(build, "FROM").partition(" AS ")[0]
    assert re.fullmatch(r"python:3\.1[1-4]-slim-\w+", base), "no registry, no `latest`"
    assert only(image, "FROM") == base, "an environment moves to the very same Python alone"
    assert not [rest for word, rest in image if word == "COPY" and "--from=build" not in rest]
    assert not any(word in ("ADD", "ARG") for stage in stages for word, _ in stage)


def test_the_image_runs_as_nobody_special(stages):
    _, image = stages
    user = only(image, "USER")
    assert re.fullmatch(r"[1-9]\d{3,}", user), "a number, so that a cluster can tell that it is not root"
    words = [word for word, _ in image]
    assert words.index("USER") > max(at for at, word in enumerate(words) if word in ("RUN", "COPY"))
    made = " ".join(rest for word, rest in image if word == "RUN")
    assert f"--uid {user} " in made
    assert f"install -d -o {user} -g {user} -m 0700 {only(image, 'VOLUME')}" in made


def test_its_root_may_be_read_only(stages):
    """What is written lies in the volume; nothing is compiled at run time."""
    _, image = stages
    env = dict(re.findall(r"(\w+)=(\S+)", only(image, "ENV")))
    assert env["STATE_DIRECTORY"] == only(image, "VOLUME") == only(image, "WORKDIR")
    assert env["PYTHONDONTWRITEBYTECODE"] == "1"
    assert "compileall" in " ".join(rest for word, rest in stages[0] if word == "RUN")
    assert env["PATH"].startswith("/opt/sidelog/bin:")


def test_its_commands_are_there(stages):
    _, image = stages
    commands = {name for section in COMMANDS.values() for name in section}
    assert only(image, "ENTRYPOINT") == '["sidelog"]'
    health = only(image, "HEALTHCHECK")
    assert health.endswith('CMD ["sidelog", "--quiet", "status"]')
    assert {"status", re.match(r'\["(\w+)"', only(image, "CMD"))[1]} <= commands


def test_what_the_image_copies_is_there_and_what_it_needs_is_copied(stages):
    copied = " ".join(rest for word, rest in stages[0] if word == "COPY").split()
    names = {name for name in copied if name != "./"}
    assert all((ROOT / name).exists() for name in names)
    ignored = (ROOT / ".containerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == names


def test_what_the_image_copies_is_enough_to_build_the_wheel(stages, tmp_path):
    """As `pip install .` does there, with the tools of this environment."""
    copies = [rest.split() for word, rest in stages[0] if word == "COPY"]
    for *names, target in copies:
        for name in names:
            place = tmp_path / "source" / (name if target == "./" else target)
            place.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, place)
    build = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", tmp_path]
    done = subprocess.run([*build, tmp_path / "source"], capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stderr
    assert [file.name.startswith(f"sidelog-{__version__}-") for file in tmp_path.glob("*.whl")] == [True]


@needs("debian")
def test_the_package_is_built_and_lintian_is_content(tmp_path):
    """Without the libraries: these are as their wheels have them."""
    done = subprocess.run(["etc/deb.sh", tmp_path], cwd=ROOT, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    made = ROOT / done.stdout.splitlines()[-1]
    assert made.name.startswith(f"sidelog_{__version__}_")
    said = subprocess.run(["dpkg-deb", "--contents", made], capture_output=True, text=True, check=True).stdout
    modes = {line.split()[5]: line[:10] for line in said.splitlines()}
    unit = next(name for name in modes if name.endswith("/systemd/system/sidelog.service"))
    assert modes["./usr/bin/sidelog"] == "-rwxr-xr-x"
    assert "./usr/lib/sidelog/agent/_share/etc/hooks/slack.sh" in modes
    assert "./usr/share/sidelog/drop-ins/journal.conf" in modes
    assert "./usr/lib/sidelog/agent/_share/etc/completion/_sidelog" in modes
    helps = ("man/man1/sidelog-query.1.gz", "bash-completion/completions/sidelog", "zsh/vendor-completions/_sidelog")
    assert {f"./usr/share/{name}" for name in (*helps, "fish/vendor_completions.d/sidelog.fish")} <= modes.keys()
    text = subprocess.run(
        ["sh", "-c", f'dpkg-deb --fsys-tarfile "$1" | tar -xO "{unit}"', "sh", made],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "\nExecStart=/usr/bin/sidelog run\n" in text
    assert "/usr/local/" not in text
