"""On a machine that was just started, the monotonic clock begins at 0: nothing may rely on more than that."""

import subprocess
import sys

from tests.integration.harness import append, events

# Python code, then the command line: the clock of this process begins where the process does.
JUST_BOOTED = """
import time
real, start = time.monotonic, time.monotonic()
time.monotonic = lambda: real() - start
from agent.__main__ import main
main()
"""
TRACE = b"""ERROR it broke
Traceback (most recent call last):
  File "cart.py", line 3, in add
ValueError: bad
"""


def test_an_agent_reads_groups_and_expires_from_the_first_second_on(box):
    box.configure(store={"retention": {"size": "64MiB"}})
    append(box.log, events(0, 20))
    append(box.logs / "text.log", TRACE)
    for count in (21, 41):
        done = subprocess.run(
            [sys.executable, "-c", JUST_BOOTED, "run", "--once", "-c", str(box.config)],
            cwd=box.root,
            env=box.env | {"PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert box.count() == count
        append(box.log, events(20, 20))
    assert box.sql("SELECT title FROM error_groups") == [("ValueError: bad",)]
    assert box.books_balance()
