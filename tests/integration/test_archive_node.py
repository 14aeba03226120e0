"""The rotating transports of pino and winston themselves, each in a process of its own, beside an agent that archives.

What they do is tested without them by `test_archive_schemes`.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.archiving import archives, configure
from tests.integration.harness import wait_until
from tests.needs import NODE_MODULES, needs

LINES = 120

pytestmark = needs("node", "pino", "pino-roll", "winston", "winston-daily")


def with_content(path: Path) -> bool:
    """Whether a file is still there with anything in it, or a link: a transport whose first line comes in the second
    after the one in which it was made leaves an empty log, of which there is nothing to archive.
    """
    try:
        return path.lstat().st_size > 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("transport", "pattern", "left"),
    [
        ("pino-roll", "*.log", []),
        ("pino-roll-date", "*.log", ["current.log"]),
        ("pino-roll-extension", "*.log", []),
        ("winston-file", "*.log", []),
        ("winston-tailable", "*.log", []),
        ("winston-daily", "*.log", ["-audit.json"]),
        ("winston-daily-zipped", "*.log", ["-audit.json"]),
        ("winston-daily-size", "app*", ["-audit.json"]),
    ],
)
def test_every_line_of_a_rotating_transport_is_found_once_and_archived(box, transport, pattern, left):
    configure(box, {"include": [f"{box.logs}/{pattern}"]}, inactive="2s")
    box.start()
    command = ["node", Path(__file__).with_name("rotate.cjs"), transport, box.logs, str(LINES)]
    subprocess.run(command, env={**os.environ, "NODE_PATH": str(NODE_MODULES)}, check=True, timeout=60)
    wait_until(lambda: not any(map(with_content, box.logs.glob("app*"))), 60, "the last archive")
    assert box.stop() == 0
    assert sorted(row["attributes"]["n"] for row in box.query()) == list(range(LINES))
    assert len(archives(box)) > 2
    kept = sorted(filter(with_content, box.logs.iterdir()))
    assert [path.name[-len(end) :] for end, path in zip(left, kept, strict=True)] == left
    assert box.run("archive", "verify").returncode == 0
