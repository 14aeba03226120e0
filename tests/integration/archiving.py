"""A box that archives, and what must hold of logs and archives."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import time
from typing import TYPE_CHECKING

from agent.cli.main import run_command_line
from tests.integration.harness import SIDELOG, Box

if TYPE_CHECKING:
    from pathlib import Path

_HERE = ("archive", "backup", "restore", "status", "verify")  # the others fork, or take signals and threads


class QuickBox(Box):
    """A box whose commands about archives, copies and the state run in the test's own process: a start of Python takes
    longer than most of them, and what they do counts for coverage.
    """

    def __init__(self, root: Path, capfd, monkeypatch) -> None:
        super().__init__(root)
        self._capfd = capfd
        for name in set(os.environ) - set(self.env):
            monkeypatch.delenv(name)
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(root)

    def run(self, *arguments: object, **popen) -> subprocess.CompletedProcess:
        command, *rest = map(str, arguments)
        if command not in _HERE or popen:
            return super().run(*arguments, **popen)
        self._capfd.readouterr()
        code = run_command_line([command, "-c", str(self.config), *rest])
        out, err = self._capfd.readouterr()
        return subprocess.CompletedProcess([*SIDELOG, command, *rest], code, out, err)


def configure(box: Box, source: dict | None = None, **archive) -> None:
    """Archiving without waiting."""
    document = json.loads(box.config.read_text())
    document["archive"] = {"quiet": "0s", **archive}
    document["sources"][0].update(source or {})
    box.config.write_text(json.dumps(document))


def archives(box: Box) -> list[Path]:
    """Oldest first: their numbers are the ends of their names."""
    found = (box.store.parent / "archive").glob("*/*.zst")
    return sorted(found, key=lambda path: int(path.name.split("-")[-1].split(".")[0]))


def content(box: Box) -> list[bytes]:
    """What `zstd` gives of each archive, oldest first."""
    return [unpacked(path) for path in archives(box)]


def unpacked(path: Path) -> bytes:
    """What `zstd` gives of an archive."""
    return subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout


def age(path: Path, seconds: float = 3600) -> None:
    """As if it had last been written so long ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def tells_writers(folder: Path) -> bool:
    """Whether the kernel tells here that a file is open for writing (fcntl(2), leases)."""
    path = folder / "probe"
    with path.open("wb") as file, path.open("rb") as reader:
        file.write(b"x")
        try:
            fcntl.fcntl(reader, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except (AttributeError, OSError) as error:
            return getattr(error, "errno", None) == errno.EAGAIN
        finally:
            path.unlink()
    return False


def run(box: Box, *arguments: str, code: int = 0) -> dict:
    """`archive run`, and its summary."""
    done = box.run("archive", "run", "--json", *arguments)
    assert done.returncode == code, done.stderr.decode()
    return json.loads(done.stdout)


def leftovers(box: Box) -> list[Path]:
    files = [path for path in (box.store.parent / "archive").rglob("*") if path.is_file()]
    return [path for path in files if path.suffix not in (".zst", ".lock")]
