"""The wall clock jumps: nothing waits by it, and events stay in the order of reading."""

from pathlib import Path

import pytest

from tests.integration.harness import wait_until
from tests.integration.oracle import Scribe, nudge, settled
from tests.needs import needs

LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
pytestmark = needs("faketime")


@pytest.mark.parametrize("jump", ["+1h", "-1h", "+1y", "-1y"])
def test_a_clock_that_jumps_over_a_restart_neither_loses_nor_reorders(box, jump):
    scribe = Scribe()
    scribe.append(box.log, 20)
    box.start()
    box.wait_count(20)
    box.kill()
    scribe.append(box.log, 20)
    box.start("env", f"LD_PRELOAD={LIBRARY}", f"FAKETIME={jump}", "FAKETIME_DONT_FAKE_MONOTONIC=1")
    box.wait_count(40)
    box.log.rename(box.logs / "app.log.1")
    nudge(box, scribe, box.log)
    box.kill()
    scribe.append(box.log, 20)
    box.start()
    settled(box, scribe)


def test_a_clock_that_jumps_under_a_running_agent_stops_nothing(box):
    """Time of day from a file that the test rewrites: an hour and a year, forth and back; the monotonic clock, by
    which everything waits, goes on as it is.
    """
    clock = box.root / "clock"
    clock.write_text("+0")
    settings = [f"LD_PRELOAD={LIBRARY}", f"FAKETIME_TIMESTAMP_FILE={clock}", "FAKETIME_NO_CACHE=1"]
    scribe = Scribe()
    scribe.append(box.log, 5)
    box.start("env", *settings, "FAKETIME_DONT_FAKE_MONOTONIC=1")
    box.wait_count(5)
    for jump in ("+3600", "-3600", "+31536000", "-31536000", "+0"):
        clock.write_text(jump)
        nudge(box, scribe, box.log)
        box.log.rename(box.logs / f"app.log{jump}")
        nudge(box, scribe, box.log)
    settled(box, scribe)
    assert box.stop() == 0
    wait_until(lambda: not box.status()["agent"]["running"])
