"""A box whose agent has alert rules, and a hook script that takes notes of each of its runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.integration.harness import Box, append, wait_until

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """#!/bin/bash
me="{notes}/$EPOCHREALTIME-$$"
/bin/cat > "$me.tmp"
/bin/mv "$me.tmp" "$me.json"
RUNS=$(ls {notes}/*.json | wc -l)
{extra}
"""


def lines(
    count: int, level: str = "error", message: str = "payment failed", at: float | None = None, **fields
) -> bytes:
    """JSON lines with the time of now, or of `at` (epoch seconds)."""
    instant = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    stamp = instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    row = {"timestamp": stamp, "level": level, "message": message, **fields}
    return (json.dumps(row) + "\n").encode() * count


class Alerting:
    """Configuration with rules and hooks, and what the hook `page` has noted."""

    def __init__(self, box: Box, *rules: dict, extra: str = "", **hook) -> None:
        self.box = box
        self.notes: Path = box.root / "notes"
        self.notes.mkdir(exist_ok=True)
        self.script = box.root / "page.sh"
        self.write_script(extra)
        self.hook = {"exec": [str(self.script)], **hook}
        self.configure(*rules)
        append(box.log, lines(1, "info", "hello"))

    def write_script(self, extra: str) -> None:
        fresh = self.script.with_suffix(".new")
        fresh.write_text(SCRIPT.format(notes=self.notes, extra=extra))
        fresh.chmod(0o700)
        fresh.rename(self.script)

    def configure(self, *rules: dict, **hooks: dict) -> None:
        base = {"match": "severity>=error", "window": "1m", "hooks": ["page"]}
        document = json.loads(self.box.config.read_text())
        document["alerts"] = [{"name": "r", **base, **rule} for rule in rules]
        document["hooks"] = {"page": self.hook, **hooks}
        self.box.config.write_text(json.dumps(document))

    def log(self, data: bytes) -> None:
        append(self.box.log, data)

    def runs(self) -> list[dict]:
        return [json.loads(path.read_bytes()) for path in sorted(self.notes.glob("*.json"))]

    def states(self) -> list[str]:
        return [run["state"] for run in self.runs()]

    def wait(self, count: int, timeout_s: float = 60.0) -> list[dict]:
        wait_until(lambda: len(self.runs()) >= count, timeout_s, f"{count} runs of the hook ({self.states()})")
        return self.runs()

    def ask(self, *arguments: str):
        """What a command says with `--json`."""
        done = self.box.run(*arguments, "--json")
        return json.loads(done.stdout)

    def settled(self) -> bool:
        """Whether the store has every line, and nothing waits to be delivered."""
        return not self.box.sql("SELECT 1 FROM deliveries WHERE state = 'waiting'")
