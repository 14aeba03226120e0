"""What archives cost, by their number (`benchmarks.scale`).

Each log of 1,000 lines is one of its own: other ids, later instants. All are archived by `sidelog archive run`.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from benchmarks import archive, common, generate
from benchmarks.scale_points import Cost, Costs, cheapest, configured

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LINES = 1_000  # a log, one frame
TARGET = 10_000  # 1 TB in logs of 100 MB; what their frames cost is `benchmarks.archive`'s
EVERY_NS = 3_600_000_000_000  # one log an hour
MB = 1_000_000


def costs(sizes: Sequence[int]) -> list[Cost]:
    """Archiving, and questions that look at few and at all archives."""
    found = Costs("archives", TARGET)
    with common.scratch() as folder:
        logs = folder / "logs"
        logs.mkdir()
        (logs / "app.log").touch()
        sections = {
            "sources": [{"name": "app", "include": [str(logs / "*.log")]}],
            "archive": {"quiet": "0s", "delete_source": True, "directory": str(folder / "archive")},
        }
        config = configured(folder, sections)
        held = 0
        for size in sizes:
            for number in range(held, size):
                start = generate.DEFAULT_START_NS + number * EVERY_NS
                generate.write(logs / f"app.log.{number + 1}", LINES, seed=number, start_ns=start)
            line = json.loads((logs / f"app.log.{size}").read_bytes().split(b"\n")[LINES // 2])
            run = common.run([common.sidelog(), "archive", "run", "-q", "-c", config], cwd=folder)
            made = size - held
            held = size
            found.add(size, "archives: archiving one, CPU", run.cpu_seconds / made * 1e3, "ms")
            _ask(found, folder, size, line["trace_id"])
        shutil.rmtree(logs)
    return found.all()


def _ask(found: Costs, folder: Path, size: int, identity: str) -> None:
    start = (generate.DEFAULT_START_NS + (size // 2) * EVERY_NS) // 10**9
    asked = {
        "one id": ["query", identity],
        "an hour": ["query", "-S", f"@{start}", "-U", f"@{start + 3600}", "-n", "100"],
        "counts by severity": ["query", "--by", "severity"],
        "`archive list`": ["archive", "list"],
        "`status`": ["status"],
    }
    for name, arguments in asked.items():
        run = cheapest(folder, [*arguments, "-c", folder / "c.json"], 2)
        if not run.output:
            raise SystemExit(f"{name} found nothing in {size} archives")
        found.add(size, f"archives: {name}, CPU", run.cpu_seconds * 1e3, "ms")
    memory = archive._memory(folder, [identity])  # noqa: SLF001 - as the archives' own benchmark measures it
    found.add(size, "archives: memory of a search for one id", memory / MB, "MB")
