"""No kill while logs are archived loses or doubles one; an archiver that deletes too early is found out."""

import random
import time

import pytest

from tests.crash import archive_power, archiving
from tests.crash.strace import Point
from tests.needs import needs

SEED = int(time.time()) // 86_400  # another sample every day; a failure prints it
POINTS = 2


pytestmark = needs("strace", "tracing", "zstd")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scene", archiving.SCENES)
def test_nothing_is_lost_or_doubled_at_sampled_points(tmp_path, scene):
    points = archiving.count(tmp_path / "count", scene)
    assert {point.call for point in points} >= {"pwrite64", "fsync", "rename", "unlink"}
    chosen = random.Random(SEED).sample(points, POINTS)
    outcomes = [
        archiving.crash(tmp_path / f"point-{number}", point, scene=scene) for number, point in enumerate(chosen)
    ]
    assert [f"seed {SEED}: {outcome}" for outcome in outcomes if outcome.problems] == []
    assert any(outcome.fired for outcome in outcomes)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scene", archiving.SCENES)
def test_nothing_is_lost_or_doubled_at_any_point(tmp_path, scene):
    points = archiving.count(tmp_path / "count", scene)
    outcomes = [
        archiving.crash(tmp_path / f"point-{number}", point, scene=scene) for number, point in enumerate(points)
    ]
    assert [str(outcome) for outcome in outcomes if outcome.problems] == []
    assert sum(outcome.fired for outcome in outcomes) >= len(points) * 3 // 4


@pytest.mark.timeout(600)
def test_deleting_before_verifying_is_found(tmp_path):
    kill = Point("rename", 1)
    assert not archiving.crash(tmp_path / "product", kill).problems
    assert archiving.crash(tmp_path / "mutant", kill, "delete before verify").problems


@needs("root", "mount", "e2fsprogs", "block devices")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("number", "placement"), [(SEED, archive_power.PLACEMENTS[SEED % 3])], ids=["sampled"])
def test_after_a_power_cut_every_log_is_there_or_archived(tmp_path, number, placement):
    point = archive_power.choose(SEED * 10 + number)
    result = archive_power.cut(placement, point, tmp_path / "cut")
    assert result.problems == [], f"seed {SEED}: {result}"


@needs("root", "mount", "e2fsprogs", "block devices")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("placement", "point", "mutant"),
    [
        ("archive", archive_power.END, "flush nothing"),
        pytest.param("state", Point("unlink", 2), "index loosely", marks=pytest.mark.soak),
    ],
)
def test_what_is_not_flushed_is_missed_after_a_power_cut(tmp_path, placement, point, mutant):
    assert archive_power.cut(placement, point, tmp_path / "cut", mutant).problems
