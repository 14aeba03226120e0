"""Journals for tests: real files, which Debian's systemd-journal-remote makes of the export format."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

REMOTE = "/lib/systemd/systemd-journal-remote"
BOOT, MACHINE = f"{1:032x}", f"{0xA:032x}"


def entry(message: str | bytes | None, *, at: int | None = None, **fields: object) -> bytes:
    """One entry in the export format (https://systemd.io/JOURNAL_EXPORT_FORMATS/); `at` is in µs since 1970."""
    at = time.time_ns() // 1000 if at is None else at
    known: dict[str, object] = {"_BOOT_ID": BOOT, "_MACHINE_ID": MACHINE, "_HOSTNAME": "web1", "PRIORITY": 6}
    known |= {} if message is None else {"MESSAGE": message}
    rows = [f"__REALTIME_TIMESTAMP={at}\n__MONOTONIC_TIMESTAMP={at % 10**9}\n".encode()]
    for name, value in (known | fields).items():
        data = value if isinstance(value, bytes) else str(value).encode()
        rows.append(name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n")
    return b"".join(rows) + b"\n"


class Journal:
    """A directory of journal files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self._last = 0

    def write(self, *entries: bytes, name: str = "system") -> Path:
        """Append entries to the file of this name."""
        file = self.directory / f"{name}.journal"
        done = subprocess.run(
            [REMOTE, "--output", str(file), "-"], input=b"".join(entries), capture_output=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr.decode()
        return file

    def numbered(self, start: int, count: int, *, name: str = "system", **fields: object) -> list[int]:
        """Append entries whose messages are numbers, later than all before."""
        numbers = list(range(start, start + count))
        self._last = max(self._last + 1, time.time_ns() // 1000)
        entries = [
            entry(str(number), at=self._last + place, N=number, **fields) for place, number in enumerate(numbers)
        ]
        self._last += count
        self.write(*entries, name=name)
        return numbers

    def vacuum(self, name: str = "system") -> None:
        """Delete a file, as journald does with the oldest."""
        (self.directory / f"{name}.journal").unlink()

    def entries(self, *arguments: str) -> list[dict]:
        """What journalctl shows."""
        command = ["journalctl", f"--directory={self.directory}", "--output=json", "--all", *arguments]
        done = subprocess.run(command, capture_output=True, check=True, timeout=60)
        return [json.loads(line) for line in done.stdout.splitlines()]


def stand_in(folder: Path, script: str) -> dict[str, str]:
    """An environment in which `journalctl` is a script; `$REAL` is the real one."""
    folder.mkdir(exist_ok=True)
    program = folder / "journalctl"
    program.write_text(f"#!/bin/sh\nREAL={shutil.which('journalctl')}\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}
