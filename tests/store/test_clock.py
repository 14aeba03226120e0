"""A wall clock that jumps is doubted for an hour, and only ahead."""

import pytest

from agent.store.maintenance import DOUBT_S, WallClock, known_ns
from tests.store.stores import DAY, NOW, events, stored, tailed, transaction, write

HOUR_S = 3_600.0
DAY_S = 86_400.0
START_S = 5_000.0  # since the machine was started


class Clocks:
    """A wall clock that can be set, and one that cannot."""

    def __init__(self, known=NOW, ahead_s=0.0, gap_s=DAY_S):
        self.wall, self.elapsed = NOW + int(ahead_s * 1e9), START_S
        self.jumps = []
        self.clock = WallClock(
            known, gap_s, self.jumps.append, wall_ns=lambda: self.wall, elapsed_s=lambda: self.elapsed
        )

    def pass_time(self, seconds, jump_s=0.0):
        self.elapsed += seconds
        self.wall += int((seconds + jump_s) * 1e9)
        return self.clock()


def test_a_clock_that_goes_on_is_believed():
    clocks = Clocks()
    assert clocks.clock() == NOW
    for seconds in (10.0, HOUR_S, 30 * DAY_S):
        assert clocks.pass_time(seconds) == clocks.wall
    assert clocks.pass_time(10.0, jump_s=HOUR_S / 2) == clocks.wall, "NTP may step it a little"
    assert clocks.jumps == []


@pytest.mark.parametrize("ahead_s", [2 * HOUR_S, 365 * DAY_S])
def test_a_jump_ahead_is_doubted_for_an_hour(ahead_s):
    clocks = Clocks()
    assert clocks.pass_time(10.0, jump_s=ahead_s) is None
    assert clocks.jumps == [pytest.approx(ahead_s)]
    assert clocks.pass_time(DOUBT_S - 1) is None
    assert clocks.pass_time(1) == clocks.wall, "whoever left it so for an hour means it"


def test_a_clock_that_is_put_right_is_believed_at_once():
    clocks = Clocks()
    assert clocks.pass_time(10.0, jump_s=365 * DAY_S) is None
    assert clocks.pass_time(10.0, jump_s=-365 * DAY_S) == clocks.wall
    assert clocks.pass_time(10.0, jump_s=-DAY_S) == clocks.wall, "behind, nothing becomes older than it is"
    assert len(clocks.jumps) == 1


@pytest.mark.parametrize(("gap_s", "believed"), [(DAY_S, False), (8 * DAY_S, True)])
def test_a_long_time_since_the_last_event_may_be_a_wrong_clock(gap_s, believed):
    clocks = Clocks(ahead_s=2 * DAY_S, gap_s=gap_s)
    assert (clocks.clock() is not None) == believed
    assert bool(clocks.jumps) != believed
    assert clocks.pass_time(DOUBT_S) == clocks.wall


def test_an_empty_store_knows_no_time(opened):
    assert known_ns(opened.writer.connection) == 0
    assert Clocks(known=0, ahead_s=365 * DAY_S).clock() is not None
    file = tailed()
    write(opened, transaction(stored(file, events(count=1), observed=NOW + DAY)))
    assert known_ns(opened.writer.connection) == NOW + DAY
