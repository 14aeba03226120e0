"""How long a backup and the way back take, and how large things are: the tables of docs/disaster-recovery.md and
docs/operations.md.

    python -m benchmarks.recovery [--events 1000000]

Half of the events are in the store alone, the other half in its archives too. Then all of it is lost. Times are CPU
time of the command with all its processes, the time on the wall beside it: a busy machine changes the one less than the
other.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from typing import TYPE_CHECKING

from benchmarks import common, generate
from benchmarks.common import Row, Usage

if TYPE_CHECKING:
    from pathlib import Path


class Machine:
    """A configuration, its logs, store, archives and backups, and the commands on them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state, self.backups = folder, folder / "state", folder / "backups"
        self.store, self.archive = self.state / "sidelog.db", self.state / "archive"
        self.log = folder / "app.log"
        document = {
            "store": {"path": str(self.store), "retention": {"age": None, "size": None}},
            "sources": [{"name": "app", "include": [str(self.log)]}],
            "archive": {"quiet": "0s"},
        }
        (folder / "sidelog.json").write_text(json.dumps(document))

    def sidelog(self, *words: str) -> Usage:
        """What a command costs."""
        command, *rest = words
        line = [common.sidelog(), command, "-c", str(self.folder / "sidelog.json"), *rest]
        return common.run(line, cwd=self.folder)

    def write(self, events: int, seed: int) -> None:
        """Append lines to the log."""
        with self.log.open("ab") as file:
            for block in generate.blocks(events, seed=seed):
                file.write(block)


def size(path: Path) -> int:
    """Bytes of all files below a directory, each counted once."""
    found = {file.stat().st_ino: file.stat().st_size for file in path.rglob("*") if file.is_file()}
    return sum(found.values())


def measure(options: argparse.Namespace) -> list[Row]:
    """Back up, back up again, lose everything, bring it back."""
    half = options.events // 2
    with common.scratch() as folder:
        machine = Machine(folder)
        machine.write(half, seed=1)
        raw = machine.log.stat().st_size
        machine.sidelog("run", "--once")
        machine.log.rename(folder / "app.log.1")
        os.utime(folder / "app.log.1", (1, 1))
        machine.log.touch()
        machine.sidelog("archive", "run")
        archived = size(machine.archive)
        machine.write(half, seed=2)
        machine.sidelog("run", "--once")
        if common.stored(machine.store) != 2 * half:
            raise SystemExit(f"{common.stored(machine.store)} of {2 * half} events stored")
        stored = machine.store.stat().st_size
        first = machine.sidelog("backup", str(machine.backups), "--keep", "3")
        whole = size(machine.backups)
        again = machine.sidelog("backup", str(machine.backups), "--keep", "3")
        further = size(machine.backups) - whole
        shutil.rmtree(machine.state)
        back = machine.sidelog("restore", str(machine.backups))
        machine.write(half // 10, seed=3)
        behind = machine.sidelog("run", "--once")
        if common.stored(machine.store) != 2 * half + half // 10:
            raise SystemExit(f"{common.stored(machine.store)} events after the restore")
        audit, verify = machine.sidelog("audit"), machine.sidelog("archive", "verify")
        machine.store.unlink()
        reindex = machine.sidelog("archive", "run", "--reindex")
    store_mb, archive_mb, raw_mb = stored / 1e6, archived / 1e6, raw / 1e6
    said = f"store {store_mb:,.0f} MB, archives {archive_mb:,.1f} MB of {raw_mb:,.0f} MB"
    log = f"{raw_mb:,.0f} MB of log"
    return [
        Row("store, bytes per event", stored / (2 * half), "bytes", beside=f"of lines of {raw / half:.0f}; {said}"),
        Row("archives, bytes per event", archived / half, "bytes", beside=f"{raw / archived:.1f} : 1"),
        row("first backup, checked", first, said),
        row("the next one, no new archive", again, f"{further / 1e6:,.0f} MB more on the disk"),
        row("restore of store and archives", back, said),
        row(f"reading {half // 10:,} lines that came since", behind),
        row("audit, the logs that exist", audit, log),
        row("archive verify", verify, log),
        row("archive run --reindex, into an empty store", reindex, log),
    ]


def row(name: str, cost: Usage, beside: str = "") -> Row:
    """A line of the table."""
    said = f"{cost.wall_seconds:.1f} s on the wall"
    return Row(name, cost.cpu_seconds, "s CPU", beside=f"{said}; {beside}" if beside else said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    common.report(measure, parser)


if __name__ == "__main__":
    main()
