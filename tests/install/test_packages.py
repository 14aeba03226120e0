"""The container image and the Debian package, as far as they can be judged without building them whole.

test_image.py builds the one, test_package.py installs the other.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from agent import __version__
from agent.cli.main import COMMANDS
from tests.needs import needs

ROOT = Path(__file__).parents[2]
MONITORING = ("grafana/sidelog.json", "prometheus/sidelog.rules.yaml")
CONTAINERFILE = ROOT / "Containerfile"


@pytest.fixture(scope="module")
def stages():
    """The instructions of each stage of the image: (word, rest), with the defaults of what may be chosen."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: list[list[tuple[str, str]]] = []
    chosen = dict(re.findall(r"^ARG (\w+)=(\S+)$", text.partition("\nFROM ")[0], re.MULTILINE))
    for line in re.sub(r"^ARG .*\n", "", text, count=len(chosen), flags=re.MULTILINE).splitlines():
        word, _, rest = re.sub(r"^FROM \$(\w+)", lambda name: f"FROM {chosen[name[1]]}", line.strip()).partition(" ")
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


def test_the_recipe_builds_it_in_a_format_that_has_a_health_check():
    """podman's own, OCI, has none, and a build in it only warns."""
    recipe = (ROOT / "docs/service.md").read_text().partition("## In a container")[2]
    assert "podman build --format docker --tag sidelog .\n" in recipe
    assert "podman build --format docker --tag sidelog .\n" in CONTAINERFILE.read_text()


def test_what_the_image_copies_is_there_and_what_it_needs_is_copied(stages):
    copied = " ".join(rest for word, rest in stages[0] if word == "COPY").split()
    names = {name for name in copied if name != "./"}
    assert all((ROOT / name).exists() for name in names)
    ignored = (ROOT / ".containerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == names


def test_of_what_the_image_copies_a_wheel_can_be_built(stages, tmp_path):
    for name in {name for word, rest in stages[0] if word == "COPY" for name in rest.split()} - {"./"}:
        place = tmp_path / "source" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(ROOT / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist"]
    done = subprocess.run([*command, tmp_path / "source"], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (tmp_path / "dist").iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if name.endswith("/man1/sidelog.1")]
    assert "agent/_share/systemd/sidelog-backup.timer" in names
    assert {f"agent/_share/etc/{name}" for name in MONITORING} <= {*names}


def content(package, name):
    """The text of a file in a package."""
    words = ["sh", "-c", f'dpkg-deb --fsys-tarfile "$1" | tar -xO "{name}"', "sh", package]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


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
    assert {f"./usr/share/sidelog/{name}" for name in MONITORING} <= modes.keys()
    assert "./usr/lib/sidelog/agent/_share/etc/completion/sidelog.bash" in modes
    helps = ("man/man1/sidelog-query.1.gz", "bash-completion/completions/sidelog", "zsh/vendor-completions/_sidelog")
    assert {f"./usr/share/{name}" for name in (*helps, "fish/vendor_completions.d/sidelog.fish")} <= modes.keys()
    assert unit.replace("sidelog.service", "sidelog-backup.timer") in modes
    backup = unit.replace("sidelog.service", "sidelog-backup.service")
    assert "\nExecStart=/usr/bin/sidelog backup " in content(made, backup)
    text = content(made, unit)
    assert "\nExecStart=/usr/bin/sidelog run\n" in text
    assert "/usr/local/" not in text
