"""No kill in the middle of a rotation loses or doubles a line, or leaves an application that was not told."""

import random
import time

import pytest

from tests.crash import rotating
from tests.crash.strace import Point
from tests.needs import needs

SEED = int(time.time()) // 86_400  # another sample every day; a failure prints it
CRITICAL = [Point("renameat2", number) for number in (1, 2, 3, 4)] + [Point("ftruncate", 1)]


pytestmark = needs("strace", "tracing")


@pytest.mark.timeout(600)
def test_nothing_is_lost_or_doubled_at_a_sampled_point(tmp_path):
    outcome = rotating.crash(tmp_path / "point", random.Random(SEED).choice(CRITICAL))
    assert (f"seed {SEED}: {outcome}", outcome.problems) == (f"seed {SEED}: {outcome}", [])
    assert outcome.fired


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_nothing_is_lost_or_doubled_at_any_point(tmp_path):
    points = rotating.count(tmp_path / "count")
    assert {point.call for point in points} >= {"pwrite64", "fsync", "renameat2", "ftruncate", "fchmod"}
    outcomes = [rotating.crash(tmp_path / f"point-{number}", point) for number, point in enumerate(points)]
    assert [str(outcome) for outcome in outcomes if outcome.problems] == []
    assert sum(outcome.fired for outcome in outcomes) >= len(points) * 3 // 4
