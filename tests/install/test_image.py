"""The image of `Containerfile`, built by a real builder and run with a root file system that is read-only.

No registry is asked: the base is an empty one, and the machine's /usr and the Python of the tests lie in it while the
image is built and run. So what the image adds to its base is all that it has.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from agent import __version__
from tests.install.wheelhouse import make_wheels
from tests.needs import needs

ROOT = Path(__file__).parents[2]
MOST_BYTES = 26_000_000  # of what it adds: docs/benchmarks.md, "What an install takes"

pytestmark = [needs("buildah", "mount", "root", "util-linux"), pytest.mark.timeout(600)]


class Image(NamedTuple):
    """An image that was built.

    Args:
        root: its file system.
        config: what an engine sees.
    """

    root: Path
    config: dict


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Built once; the storage of its builder goes when the tests are over."""
    folder = tmp_path_factory.mktemp("image")
    storage = ["--root", folder / "store", "--runroot", folder / "run", "--storage-driver", "vfs"]

    def buildah(*words):
        command, env = ["buildah", *storage, *words], os.environ | {"TMPDIR": str(folder)}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=500, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    try:
        make_wheels(folder / "wheels")
        base = buildah("from", "scratch")
        buildah("add", "--quiet", base, skeleton(folder / "base"), "/")
        library = ["--env", "LD_LIBRARY_PATH=/opt/python/lib"]
        index = ["--env", "PIP_NO_INDEX=1", "--env", "PIP_FIND_LINKS=/wheels"]
        buildah("config", "--env", "PATH=/opt/python/bin:/usr/sbin:/usr/bin", *library, *index, base)
        buildah("commit", "--quiet", "--rm", base, "localhost/base:1")
        mounts = {"/usr": "/usr", "/opt/python": sys.base_prefix, "/wheels": folder / "wheels"}
        volumes = [f"--volume={here}:{there}:ro" for there, here in mounts.items()]
        how = ["--format", "docker", "--isolation", "chroot", "--layers=false", "--build-arg", "BASE=localhost/base:1"]
        buildah("build", *how, "--tag", "localhost/sidelog:1", *volumes, ".")
        container = buildah("from", "localhost/sidelog:1")
        config = json.loads(buildah("inspect", "--type", "image", "localhost/sidelog:1"))["Docker"]["config"]
        yield Image(Path(buildah("mount", container)), config)
    finally:
        shutil.rmtree(folder)


def skeleton(folder):
    """A base without programs: only where they are to be, and what tells them who is who."""
    for name in ("usr", "etc", "tmp", "proc", "dev", "run", "opt/python", "wheels", "var/lib"):
        (folder / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        if (link := Path("/", name)).is_symlink():
            (folder / name).symlink_to(link.readlink())
    for name in ("ld.so.cache", "login.defs"):
        shutil.copy(Path("/etc", name), folder / "etc")
    shutil.copytree("/etc/alternatives", folder / "etc/alternatives", symlinks=True)
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\nadm:x:4:\n")
    return folder


@pytest.fixture
def ran(image, tmp_path):
    """Runs commands in a container, and gives what they said."""

    def run(*steps: str) -> str:
        (tmp_path / "steps").write_text("\n".join(steps))
        (tmp_path / "environment").write_text("\n".join(image.config["Env"]))
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", ROOT / "tests/install/container.sh"]
        done = subprocess.run(
            [*words, tmp_path, image.root, sys.base_prefix, image.config["User"]],
            capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (tmp_path / "state").mkdir()
    shutil.copystat(image.root / image.config["WorkingDir"].removeprefix("/"), tmp_path / "state")
    os.chown(tmp_path / "state", int(image.config["User"]), int(image.config["User"]))
    logs = tmp_path / "logs/shop"
    logs.mkdir(parents=True)
    (logs / "shop.log").write_text('{"level": "error", "message": "payment failed"}\n' * 3)
    logs.parent.chmod(0o755)
    (logs / "shop.log.1").write_text('{"level": "info", "message": "rotated away"}\n')
    (tmp_path / "sidelog.yaml").write_text(
        "sources: [{name: shop, include: [/var/log/shop/*.log]}]\narchive: {quiet: 0s, delete_source: false}\n"
    )
    return run


def test_the_image_is_small(image):
    """What a base has, the base has; this is what comes on top of it."""
    files = [path for path in image.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    assert not [path for path in files if path.suffix in (".pyi", ".c") or "pip" in path.parts[-2]]


def test_the_image_is_what_the_file_says_to_an_engine(image):
    assert image.config["User"] == "10001"
    assert image.config["Healthcheck"]["Test"] == ["CMD", "sidelog", "--quiet", "status"]
    assert list(image.config["Volumes"]) == ["/var/lib/sidelog"]
    state = (image.root / "var/lib/sidelog").stat()
    assert (state.st_uid, state.st_gid, state.st_mode & 0o777) == (10001, 10001, 0o700)


def test_it_runs_once_as_nobody_special_on_a_root_that_is_read_only(ran):
    said = ran(
        "sidelog version; id -u; id -G",
        "for place in / /opt/sidelog /etc/sidelog /var/log; do touch $place/x 2>/dev/null && echo open: $place; done",
        "sidelog check",
        "sidelog run --once",
        "sidelog archive run",
        "sidelog archive verify",
        "sidelog query rotated",
        "sidelog query --count 'severity=error' -s shop",
    ).splitlines()
    assert said[:3] == [f"sidelog {__version__}", "10001", "10001 4"]
    assert "open: " not in "\n".join(said)
    assert said[-2].endswith(" INFO  shop: rotated away")
    assert said[-1] == "3"


def test_its_health_is_that_of_the_agent_in_it(image, ran):
    """As an engine starts, asks and stops it."""
    start = shlex.join(image.config["Entrypoint"] + image.config["Cmd"])
    health = shlex.join(image.config["Healthcheck"]["Test"][1:])
    said = ran(
        f"{health} && echo healthy before it runs || :",
        f"{start} 2>/dev/null & agent=$!",
        f"until {health}; do kill -0 $agent; sleep 0.1; done",
        "echo healthy as it runs; sidelog status",
        f"kill -{image.config['StopSignal'].removeprefix('SIG')} $agent; wait $agent; echo it ended with $?",
    )
    assert "healthy before" not in said
    assert "healthy as it runs\nhealthy: agent runs as process" in said
    assert said.endswith("it ended with 0\n")
