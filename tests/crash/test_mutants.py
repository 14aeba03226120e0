"""The harness is worth something only if it finds bugs: each of these, switched on in the agent, must turn it red."""

import pytest

from tests.crash import alerts, changes, kills, points, rotations
from tests.crash.generator import DELETED, Manifest, Op
from tests.crash.mutants import CHANGES, MUTANTS
from tests.needs import limited, needs

TRUNCATED = [Op("write", "a", 5), Op("once"), Op("copytruncate", "a"), Op("write", "a", 30), Op("once")]
WRITES = 30  # 16 to 22, as the lines come into one or two transactions
PLAIN = [Op("write", "a", 40), Op("once")]


def kill_at_every_write(folder, *mutants):
    """SIGKILL at each write of the writer thread to a new store, and the first beyond the last."""
    where = [points.Point(0, "writer", "pwrite64", number, "KILL") for number in range(1, WRITES + 1)]
    enumerator = points.Enumerator(folder, 1, mutants=mutants, brief=True)
    try:
        return [outcome for outcome in enumerator.run(where) if outcome.fired]
    finally:
        enumerator.close()


@needs("strace", "tracing")
def test_no_kill_at_a_write_turns_the_product_red(tmp_path):
    outcomes = kill_at_every_write(tmp_path)
    assert outcomes
    assert [str(outcome) for outcome in outcomes if not outcome.green] == []


@needs("strace", "tracing")
@pytest.mark.parametrize(("mutant", "harm"), [("offset after events", "doubled"), ("offset before events", "lost")])
def test_two_transactions_are_found_by_kills_at_every_write(tmp_path, mutant, harm):
    red = [outcome.verdict for outcome in kill_at_every_write(tmp_path, mutant) if not outcome.green]
    assert any(getattr(verdict, harm) for verdict in red)


@pytest.mark.parametrize(("mutant", "program"), [("truncation by size", TRUNCATED), ("splitlines", PLAIN)])
def test_a_bug_in_reading_is_found_by_a_short_program(tmp_path, zygote, mutant, program):
    assert kills.run_program(program, 2, tmp_path / "product", zygote).green
    assert not kills.run_program(program, 2, tmp_path / "mutant", zygote, mutants=[mutant]).green


def test_identity_by_inode_is_found_by_recreated_files(tmp_path, zygote):
    product = rotations.recreate(20, 1, tmp_path / "product", zygote)
    if not product.same_inode:
        limited("inode reuse")
    assert product.green
    assert not rotations.recreate(20, 1, tmp_path / "mutant", zygote, mutants=["identity by inode"]).green


def test_pages_that_are_stored_after_their_states_are_missed(tmp_path, zygote):
    """Three kills find it nearly always, but where the next transaction comes at once there is nothing to find."""
    results = (
        alerts.run_program(seed, tmp_path / str(seed), zygote, 3, mutants=["pages after states"])
        for seed in range(1, 13)
    )
    assert any(result.unheard or result.unresolved for result in results)


READ = [Op("write", "a", 3), Op("start"), Op("sync")]
CHANGED = {
    "sources stay": [*READ, Op("stop"), Op("sources", "", 1), Op("write", "a", 3)],
    "labels rewrite history": [*READ, Op("stop"), Op("team", "", 9), Op("write", "a", 3)],
    "settings stay": [*READ, Op("secret"), Op("write", "a", 3), Op("sync")],
    "orphans stay": [
        *READ, Op("stop"), Op("backup"), Op("write", "a", 4_000), Op("once"), *READ, Op("kill"), Op("restore", "", 3)
    ],
    "links not followed": [
        Op("write", "a", 3), Op("link", "a"), *READ[1:], Op("kill"), Op("write", "a", 3), Op("rename", "a")
    ],
    "archives stay": [*READ, Op("stop"), Op("rename", "a"), Op("once"), Op("archive"), Op("move")],
    "archives unnamed": [*READ, Op("backup"), Op("stop"), Op("rename", "a"), Op("once"), Op("archive"), Op("restore")],
}  # fmt: skip


@pytest.mark.parametrize("mutant", CHANGES)
def test_a_bug_in_what_becomes_of_changes_is_found_by_a_short_sequence(tmp_path, zygote, mutant):
    product = changes.run_sequence(CHANGED[mutant], 1, tmp_path / "product", zygote)
    assert not product.problems, str(product)
    assert changes.run_sequence(CHANGED[mutant], 1, tmp_path / "mutant", zygote, [mutant]).problems


def test_every_mutant_has_a_scenario():
    assert set(CHANGES) == set(CHANGED)
    assert set(MUTANTS) == {
        "offset after events", "offset before events", "truncation by size", "identity by inode", "splitlines",
        "pages after states",
    }  # fmt: skip


def test_a_program_shrinks_to_what_makes_it_fail():
    program = [Op("write", "a", number) for number in range(40)]
    wanted = {program[7], program[31]}
    assert kills.shrink(program, lambda ops: wanted <= set(ops), attempts=1) == [program[7], program[31]]


def test_what_may_be_lost_is_not_required():
    manifest = Manifest({("a", 0): b"x", ("a", 1): b"y"})
    manifest.excuse([("a", 1)], DELETED)
    assert manifest.required == {("a", 0)}
