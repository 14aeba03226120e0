"""logrotate itself, with configurations as they are in use, and Python's own rotating handlers, beside an agent that
archives: every line is stored once, and every line is in store and archives together.
"""

import subprocess
import sys

import pytest

from tests.integration.archiving import archives, configure
from tests.integration.harness import wait_until
from tests.integration.oracle import Scribe, verify
from tests.needs import needs

ROUNDS = 2


@pytest.fixture
def box(box):
    configure(box)
    return box


def rotated(box) -> list[str]:
    return sorted(path.name for path in box.logs.iterdir() if path.name != "app.log")


def everything_is_searchable(box, scribe: Scribe) -> None:
    """Each line once, whether the store is asked, the archives, or both."""
    found = box.raw().splitlines()
    assert sorted(found) == sorted(scribe.written)
    assert box.run("archive", "verify").returncode == 0
    archived = box.run("query", "--archives", "-n", "all", "-o", "raw").stdout.splitlines()
    assert len(archived) == len(set(archived))


def rotate_while_it_archives(box, options: str, *, gone: bool = False) -> None:
    """Some rounds of logrotate, each followed by archiving. With `gone` wait for the deletion of what is archived."""
    state, config = box.root / "lr.state", box.root / "lr.conf"
    box.logs.chmod(0o755)
    config.write_text(f"{box.log} {{\n size 1\n rotate 9\n {options}}}\n")
    config.chmod(0o644)
    scribe = Scribe()
    box.start()
    for number in range(ROUNDS):
        scribe.append(box.log, 50)
        box.wait_count(50 * (number + 1))
        done = subprocess.run(["logrotate", "-s", state, config], capture_output=True, text=True, check=False)
        wait_until(lambda number=number: len(archives(box)) == number + 1, what=f"archive {number + 1}: {done.stderr}")
    if gone:
        wait_until(lambda: not rotated(box), what="the deletion of what is archived")
    scribe.append(box.log, 3)
    box.wait_count(50 * ROUNDS + 3)
    assert box.stop() == 0
    verify(box, scribe, unchanged=False)
    everything_is_searchable(box, scribe)


@needs("logrotate")
@pytest.mark.parametrize(
    "options",
    [
        "create\n",
        "create\n compress\n",
        "create\n compress\n delaycompress\n",
        "create\n dateext\n dateformat -%Y%m%d-%s\n",
    ],
    ids=["create", "compress", "delaycompress", "dateext"],
)
def test_logrotate_and_archiving_share_a_directory(box, options):
    rotate_while_it_archives(box, f"missingok\n {options}", gone=True)


@needs("logrotate")
def test_logrotate_with_copytruncate(box):
    rotate_while_it_archives(box, "copytruncate\n")


HANDLERS = {
    "size": "logging.handlers.RotatingFileHandler(path, maxBytes=4_000, backupCount=50)",
    "seconds": "logging.handlers.TimedRotatingFileHandler(path, when='S')",
}
WRITER = """
import json, logging, logging.handlers, sys, time
path, wanted = sys.argv[1], int(sys.argv[2])
handler = {handler}
rotations, number = 0, 0
rollover = handler.doRollover
def counted():
    global rotations
    rotations += 1
    rollover()
handler.doRollover = counted
while rotations < wanted:
    line = json.dumps({{"timestamp": "2026-11-22T03:04:05Z", "message": f"line {{number}}", "n": number}})
    handler.emit(logging.LogRecord("app", 20, "", 0, line, None, None))
    number += 1
    if number % 30 == 0:
        time.sleep(0.05)  # it writes on and on until it has rotated
handler.close()
print(number)
"""


@pytest.mark.parametrize("name", HANDLERS)
def test_pythons_rotating_handlers_in_a_process_of_their_own(box, name):
    """They rename the logs under the agent's hands: to app.log.1, .2 and so on, or to app.log.2026-11-22_15-00-01."""
    box.start()
    program = WRITER.format(handler=HANDLERS[name])
    done = subprocess.run([sys.executable, "-c", program, box.log, "3"], capture_output=True, check=True)
    total = int(done.stdout)
    box.wait_count(total)
    wait_until(lambda: not rotated(box), what="the deletion of what is archived")
    assert box.stop() == 0
    assert sorted(box.numbers()) == list(range(total))
    assert len(archives(box)) >= 3
    assert sorted(row["attributes"]["n"] for row in box.query()) == list(range(total))
    assert box.run("archive", "verify").returncode == 0
