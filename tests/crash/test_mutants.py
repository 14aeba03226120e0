"""The harness is worth something only if it finds bugs: each of these, switched on in the agent, must turn it red."""

import pytest

from tests.crash import kills, points, rotations
from tests.crash.generator import Manifest, Op
from tests.crash.mutants import MUTANTS
from tests.crash.rig import strace_problem

TRUNCATED = [Op("write", "a", 5), Op("once"), Op("copytruncate", "a"), Op("write", "a", 30), Op("once")]
PLAIN = [Op("write", "a", 40), Op("once")]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mutant", ["offset after events", "offset before events"])
def test_two_transactions_are_found_by_kills_at_every_write(tmp_path, mutant):
    if problem := strace_problem():
        pytest.skip(problem)
    where = [points.Point(0, "writer", "pwrite64", number, "KILL") for number in range(1, 25)]
    outcomes = {}
    for name, mutants in (("product", ()), ("mutant", (mutant,))):
        enumerator = points.Enumerator(tmp_path, 1, parallel=3, mutants=mutants, brief=True)
        try:
            outcomes[name] = [outcome for outcome in enumerator.run(where) if outcome.fired]
        finally:
            enumerator.close()
    assert outcomes["product"]
    assert all(outcome.green for outcome in outcomes["product"])
    red = [outcome.verdict for outcome in outcomes["mutant"] if not outcome.green]
    assert any(verdict.doubled if mutant == "offset after events" else verdict.lost for verdict in red)


@pytest.mark.parametrize(("mutant", "program"), [("truncation by size", TRUNCATED), ("splitlines", PLAIN)])
def test_a_bug_in_reading_is_found_by_a_short_program(tmp_path, zygote, mutant, program):
    assert kills.run_program(program, 2, tmp_path / "product", zygote).green
    assert not kills.run_program(program, 2, tmp_path / "mutant", zygote, mutants=[mutant]).green


def test_identity_by_inode_is_found_by_recreated_files(tmp_path, zygote):
    product = rotations.recreate(20, 1, tmp_path / "product", zygote)
    if not product.same_inode:
        pytest.skip("this file system does not give an inode again")
    assert product.green
    assert not rotations.recreate(20, 1, tmp_path / "mutant", zygote, mutants=["identity by inode"]).green


def test_every_mutant_has_a_scenario():
    assert set(MUTANTS) == {
        "offset after events", "offset before events", "truncation by size", "identity by inode", "splitlines",
    }  # fmt: skip


def test_a_program_shrinks_to_what_makes_it_fail():
    program = [Op("write", "a", number) for number in range(40)]
    wanted = {program[7], program[31]}
    assert kills.shrink(program, lambda ops: wanted <= set(ops), attempts=1) == [program[7], program[31]]


def test_what_may_be_lost_is_not_required():
    manifest = Manifest({("a", 0): b"x", ("a", 1): b"y"}, {("a", 1)})
    assert manifest.required == {("a", 0)}
