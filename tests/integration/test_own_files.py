"""The agent never follows what it writes itself, even where a pattern matches it."""

import subprocess

from tests.integration.harness import SIDELOG
from tests.integration.oracle import Scribe, nudge, settled


def test_the_own_store_and_log_are_not_followed_although_the_pattern_matches_everything(box):
    """With `**/*` over the store's directory, the own log (stderr) and the configuration: no loop, no store rows."""
    box.configure(include=[f"{box.root}/**/*"], exclude=["*.json"])
    scribe = Scribe()
    scribe.append(box.log, 10)
    box.start()
    box.wait_count(10)
    for _ in range(3):
        nudge(box, scribe, box.log)  # every commit changes the store's files
    settled(box, scribe)
    paths = [path for (path,) in box.sql("SELECT path FROM files")]
    assert paths == [str(box.log)]


def test_the_own_log_is_not_followed_under_another_name(box):
    """A hard link to the file that stderr goes to."""
    box.stderr.touch()
    (box.logs / "agent.log").hardlink_to(box.stderr)
    scribe = Scribe()
    scribe.append(box.log, 3)
    box.start()
    nudge(box, scribe, box.log)
    settled(box, scribe)


def test_the_own_log_on_stdout_is_not_followed(box):
    """`sidelog run >> agent.log 2>&1` and only stdout into the pattern's directory: neither feeds itself."""
    scribe = Scribe()
    scribe.append(box.log, 3)
    with (box.logs / "out.log").open("ab") as out:
        box.process = subprocess.Popen(
            [*SIDELOG, "run", "-c", str(box.config)], cwd=box.root, env=box.env, stdout=out, stderr=subprocess.STDOUT
        )
        nudge(box, scribe, box.log)
    settled(box, scribe)
    box.stop()
