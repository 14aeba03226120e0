"""A sample of what `python -m tests.crash --all` does: crash points, random kills, power cuts, rotations, alerts."""

import time

import pytest

from tests.crash import alerts, changes, kills, points, power, rotations
from tests.needs import needs

SEED = int(time.time()) // 86_400  # another sample every day; a failure prints it
POINTS = 30
PROGRAMS = 5  # with 10 kills each
CUTS = 3
ALERT_KILLS = 8
SEQUENCES = 4


@needs("strace", "tracing")
@pytest.mark.timeout(600)
def test_nothing_is_lost_or_doubled_at_sampled_crash_points(tmp_path):
    enumerator = points.Enumerator(tmp_path, SEED, brief=True)
    try:
        outcomes = enumerator.run(points.sample(enumerator.points(), POINTS, SEED))
    finally:
        enumerator.close()
    red = [f"seed {SEED}: {o.point}: {o.problem} {o.verdict}" for o in outcomes if not o.green]
    assert red == []
    assert sum(outcome.fired for outcome in outcomes) >= POINTS * 3 // 4
    ended = [str(outcome.point) for outcome in outcomes if outcome.point.fault != "KILL" and outcome.ended]
    assert ended == [], "a passing fault ended the agent"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(PROGRAMS))
def test_nothing_is_lost_or_doubled_by_random_kills(tmp_path, zygote, number):
    seed = SEED * 1000 + number
    result = kills.run_program(kills.make_program(seed), seed, tmp_path / "box", zygote)
    assert result.green, f"{result}\n{' '.join(map(str, result.ops))}"
    assert result.kills == kills.KILLS_PER_PROGRAM
    assert result.rotations


@needs("root", "mount", "e2fsprogs", "block devices")
@pytest.mark.parametrize("number", range(CUTS))
def test_rows_and_offsets_agree_after_a_power_cut_and_nothing_is_lost_or_doubled(tmp_path, zygote, number):
    result = power.cut(SEED * 1000 + number, tmp_path / "cut", zygote)
    assert result.green, str(result)


@pytest.mark.timeout(600)
def test_nothing_is_lost_or_doubled_by_rotations_under_load(tmp_path, zygote):
    result = rotations.rotate(50, SEED, tmp_path / "box", zygote)
    assert result.green, f"seed {SEED}: {result.verdict}"
    assert result.number == 50


def test_nothing_is_lost_or_doubled_by_recreated_files(tmp_path, zygote):
    result = rotations.recreate(50, SEED, tmp_path / "box", zygote)
    assert result.green, f"seed {SEED}: {result.verdict}"


@pytest.mark.timeout(600)
def test_each_page_and_each_resolve_is_told_under_one_id_whenever_the_agent_is_killed(tmp_path, zygote):
    result = alerts.run_program(SEED, tmp_path / "box", zygote, ALERT_KILLS)
    assert result.green, str(result)
    assert result.kills == ALERT_KILLS
    assert result.keys


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(SEQUENCES))
def test_nothing_is_lost_doubled_or_misnamed_whatever_changes_around_the_agent(tmp_path, zygote, number):
    seed = SEED * 1000 + number
    result = changes.run_sequence(changes.make_sequence(seed), seed, tmp_path / "box", zygote)
    assert not result.problems, str(result)
    assert result.lines
