"""Log files as applications, logrotate and people leave them: rotated, compressed, links to other places."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LOGS = ("a", "b", "c")


class Sources:
    """The log files, each with its rotations beside it: `logs/a.log`, or what that is a link to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.targets = directory.parent / "real"
        for folder in (directory, self.targets):
            folder.mkdir(parents=True)
        self._numbers = iter(range(1, 10**6))

    def path(self, log: str) -> Path:
        """Where its newest lines go."""
        return (self.directory / f"{log}.log").resolve()

    def append(self, log: str, lines: Iterable[bytes]) -> None:
        with self.path(log).open("ab") as file:
            file.write(b"".join(lines))

    def rotate(self, log: str, way: str) -> None:
        """By renaming, to a number or a date, or by copying and truncating."""
        path = self.path(log)
        if way == "dateext":
            path.rename(path.with_name(f"{path.name}-2026{next(self._numbers):04}"))
            path.touch()
            return
        numbers = sorted(int(p.suffix[1:]) for p in path.parent.glob(f"{path.name}.[0-9]*") if p.suffix[1:].isdigit())
        for number in reversed(numbers):
            path.with_name(f"{path.name}.{number}").rename(path.with_name(f"{path.name}.{number + 1}"))
        first = path.with_name(f"{path.name}.1")
        if way == "copytruncate":
            shutil.copy2(path, first)
            os.truncate(path, 0)
        else:
            path.rename(first)
            path.touch()

    def compress(self, log: str) -> bool:
        """The oldest rotation, as logrotate does it later; whether there was one."""
        path = self.path(log)
        plain = [p for p in path.parent.glob(f"{path.name}[.-]*") if p.suffix != ".gz" and p.stat().st_size]
        if not plain:
            return False
        oldest = min(plain, key=lambda p: p.stat().st_mtime_ns)
        oldest.with_name(f"{oldest.name}.gz").write_bytes(gzip.compress(oldest.read_bytes()))
        oldest.unlink()
        return True

    def link(self, log: str) -> None:
        """Let the log be a link from now on, or one to another target."""
        path = self.directory / f"{log}.log"
        target = self.targets / f"{log}-{next(self._numbers)}.log"
        if path.is_symlink():
            target.touch()
            path.unlink()
        else:
            path.rename(target)
        path.symlink_to(target)

    def is_link(self, log: str) -> bool:
        return (self.directory / f"{log}.log").is_symlink()

    def present(self) -> set[tuple[str, int]]:
        """Log and number of all lines in plain files."""
        found: set[tuple[str, int]] = set()
        for folder in (self.directory, self.targets):
            for path in folder.iterdir():
                if path.suffix != ".gz" and not path.is_symlink():
                    found |= lines_of(path)
        return found


def lines_of(path: Path) -> set[tuple[str, int]]:
    """Log and number of the lines of a file; none of one that was archived just now."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return set()
    return {(row["stream"], row["seq"]) for row in map(json.loads, data.splitlines())}
