"""The Debian package as one installs it: by a real dpkg, renewed, removed and purged, on a machine made of overlays."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from agent import __version__
from agent.install import layout
from agent.install.layout import shared_names
from tests.install.wheelhouse import make_wheels, offline
from tests.needs import limited, needs

ROOT = Path(__file__).parents[2]
UNITS = "/usr/lib/systemd/system"
# The libraries are those of the tests, so their Python takes the place of Debian's, where it is another one.
WRAPPER = r'#!/bin/sh\nLD_LIBRARY_PATH=/opt/python/lib exec /opt/python/bin/python3 "$@"\n'
WRAPPED = f"rm /usr/bin/python3; printf '{WRAPPER}' >/usr/bin/python3; chmod 755 /usr/bin/python3"
PYTHON = "rm -r /run/systemd" + (f"; {WRAPPED}" if sys.base_prefix != "/usr" else "")
DPKG = "dpkg --force-unsafe-io --force-depends --no-triggers"

pytestmark = [needs("debian", "mount", "root", "systemd", "util-linux"), pytest.mark.timeout(600)]


class Package(NamedTuple):
    """A package, and the wheel of the same checkout."""

    deb: Path
    wheel: Path


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """With the libraries, as `make deb` makes it."""
    folder = tmp_path_factory.mktemp("package")
    wheel = make_wheels(folder / "wheels")
    libraries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", folder / "site"]
    subprocess.run(
        [*install, *libraries],
        env=os.environ | offline(folder / "wheels"),
        check=True,
        capture_output=True,
        timeout=200,
    )
    made = subprocess.run(
        ["etc/deb.sh", folder / "site", folder / "made"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    return Package(Path(made.stdout.splitlines()[-1]), wheel)


@pytest.fixture
def done(tmp_path):
    """Does commands, one after the other, on a machine whose /usr is a layer too; what each said."""

    def do(*steps: str) -> list[str]:
        (tmp_path / "steps").write_text("".join(f"{step}\n" for step in (PYTHON, *steps)))
        for name in ("upper", "work"):
            (tmp_path / "usr" / name).mkdir(parents=True)
        layers = f"lowerdir=/usr,upperdir={tmp_path}/usr/upper,workdir={tmp_path}/usr/work"
        first = f"mount --make-rprivate / && mount -t overlay overlay /usr -o {layers} || exit 77"
        script = f'{first}; exec sh {ROOT}/tests/install/recipe.sh "$@"'
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh"]
        env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path)}
        ran = subprocess.run(
            [*unshare, tmp_path, ROOT, sys.base_prefix],
            env=env | {"NO_COLOR": "1", "LC_ALL": "C", "PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True, check=False, timeout=500,
        )  # fmt: skip
        if ran.returncode == 77:
            limited("overlayfs", ran.stderr)
        said = []
        for number, step in enumerate((PYTHON, *steps), 1):
            out = tmp_path / f"{number}.out"
            assert out.exists(), f"{step} was not reached:\n{said[-1:]}\n{ran.stderr}"
            said.append(out.read_text())
            assert said[-1].endswith("exit 0\n"), f"{step}\n{said[-1]}"
        return said[1:]

    nginx = tmp_path / "var/log/nginx"
    nginx.mkdir(parents=True)
    line = '203.0.113.9 - ann [22/Nov/2026:06:29:31 +0000] "GET / HTTP/1.1" 500 12 "-" "curl/8"\n'
    (nginx / "access.log").write_text(line * 3)
    return do


def test_it_is_small(package):
    """docs/benchmarks.md, "What an install takes"."""
    shown = ["dpkg-deb", "--show", "--showformat", "${Installed-Size}", package.deb]
    assert int(subprocess.run(shown, capture_output=True, text=True, check=True).stdout) < 16_000  # KiB


def test_it_has_what_the_wheel_has_and_what_an_installation_makes(package):
    said = subprocess.run(["dpkg-deb", "--contents", package.deb], capture_output=True, text=True, check=True).stdout
    names = {
        line.split()[5].removeprefix(".").replace("/lib/systemd", "/usr/lib/systemd") for line in said.splitlines()
    }
    names = {name.replace("/usr/usr/", "/usr/") for name in names}
    for name in zipfile.ZipFile(package.wheel).namelist():
        directory, _, file = name.rpartition("/")
        if name.startswith("agent/"):
            assert f"/usr/lib/sidelog/{name}" in names
        elif directory.endswith("/man1"):
            assert f"/usr/share/man/man1/{file}.gz" in names
        elif ".data/" in name:
            assert [where for where in names if where.endswith(f"/{file}") and where.startswith("/usr/share/")], name
    for unit in (layout.UNIT, *layout.BACKUP_UNITS):
        assert f"{UNITS}/{Path(unit).name}" in names
    assert {"/usr/lib/sysusers.d/sidelog.conf", "/usr/lib/tmpfiles.d/sidelog.conf", "/usr/bin/sidelog"} <= names
    for drop_in in shared_names("systemd/examples", "*.conf"):
        assert f"/usr/share/sidelog/drop-ins/{Path(drop_in).name}" in names


def test_it_is_installed_renewed_removed_with_all_data_left_and_purged(package, done):
    install = f"{DPKG} --install {package.deb}"
    as_service = "setpriv --reuid=sidelog --regid=sidelog --init-groups sidelog"
    use = f"{as_service} run --once && {as_service} query -s nginx --count"
    stored = "ls -d /var/lib/sidelog/* /etc/sidelog/sidelog.yaml /etc/sidelog/hooks/slack.sh /var/backups/sidelog"
    installed, version, checked, ran, _, renewed, removed, left, again, purged, gone = done(
        install,
        "sidelog version",
        "sidelog check",
        f"{use} && {as_service} backup /var/backups/sidelog --keep 1",
        "echo '# mine' >>/etc/sidelog/sidelog.yaml; systemctl enable --quiet sidelog-backup.timer",
        f"{install}; tail -1 /etc/sidelog/sidelog.yaml",
        f"{DPKG} --remove sidelog",
        f"{stored}; ls /usr/lib/sidelog /usr/bin/sidelog 2>&1 || :",
        f"{install}; {as_service} query -s nginx --count",
        f"{DPKG} --purge sidelog",
        "find /etc /usr /var/lib /var/backups -name '*sidelog*' -prune; getent passwd sidelog || :",
    )
    assert "follows nginx" in installed
    assert f"sidelog {__version__}\n" in version
    assert f"in the sandbox of {UNITS}/sidelog.service" in checked
    assert "\n3\n" in ran
    assert "# mine\n" in renewed
    assert removed.index("What was stored stays in /var/lib/sidelog, archives included") < removed.index("exit 0")
    for name in ("/var/lib/sidelog/sidelog.db\n", "/etc/sidelog/sidelog.yaml\n", "/var/backups/sidelog\n"):
        assert name in left
    assert "cannot access '/usr/lib/sidelog'" in left
    assert "cannot access '/usr/bin/sidelog'" in left
    assert again.endswith("\n3\nexit 0\n")
    assert "Deleting /var/lib/sidelog, " in purged
    assert "The backups in /var/backups/sidelog stay" in purged
    assert gone == "/var/backups/sidelog\nexit 0\n"
