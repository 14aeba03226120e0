"""The crash harness: prints what it did to the agent, and what was lost or doubled by it.

    python -m tests.crash --all                 everything, about an hour on two cores
    python -m tests.crash --points --rotate --kills 1000 --power 50 --archive-power 60 --rotations 2000
        --recreations 1000 --alerts 100 --changes 500 [--seed S]

Ends with 1 as soon as anything was lost, doubled or altered. A failure prints its seed; a random program is shrunk to
the operations that still fail.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tests.crash import alerts, archive_power, changes, kills, points, power, rotating, rotations
from tests.crash.rig import Zygote, strace_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.crash.strace import Outcome

ALL = {
    "kills": 1000, "power": 50, "archive_power": 60, "rotations": 2000, "recreations": 1000, "alerts": 100,
    "changes": 500,
}  # fmt: skip


@click.command()
@click.option("--points", "with_points", is_flag=True, help="Every write-class system call: SIGKILL, ENOSPC, EIO.")
@click.option("--sample", default=0, help="Of those points only so many, chosen by the seed.")
@click.option("--rotate", "with_rotate", is_flag=True, help="Every write-class system call of a rotation by the agent.")
@click.option("--kills", "kill_count", default=0, help="So many SIGKILLs at random moments, with rotations.")
@click.option("--power", "cut_count", default=0, help="So many simulated power cuts; takes root.")
@click.option("--archive-power", "archive_cut_count", default=0, help="So many power cuts while logs are archived.")
@click.option("--rotations", "rotation_count", default=0, help="So many rotations under load.")
@click.option("--recreations", "recreation_count", default=0, help="So many files recreated with the same inode.")
@click.option("--alerts", "alert_count", default=0, help="So many SIGKILLs while rules fire and resolve.")
@click.option("--changes", "change_count", default=0, help="So many sequences of changed settings, restores, moves.")
@click.option("--all", "everything", is_flag=True, help="All of these.")
@click.option("--seed", default=1, show_default=True)
@click.option("--parallel", default=3, show_default=True, help="Agents at a time.")
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Scratch directory; best on a real disk.")
def main(
    *,
    with_points: bool,
    sample: int,
    with_rotate: bool,
    kill_count: int,
    cut_count: int,
    archive_cut_count: int,
    rotation_count: int,
    recreation_count: int,
    alert_count: int,
    change_count: int,
    everything: bool,
    seed: int,
    parallel: int,
    folder: Path | None,
) -> None:
    """Kill, starve and cut off the agent; count what was lost or doubled."""
    if everything:
        with_points = with_rotate = True
        kill_count, cut_count, archive_cut_count, rotation_count, recreation_count, alert_count, change_count = (
            ALL.values()
        )
    parts: list[tuple[int, Callable[[Path], bool]]] = [
        (with_points, lambda root: _points(root, seed, parallel, sample)),
        (with_rotate, lambda root: _rotate(root, seed, parallel, sample)),
        (kill_count, lambda root: _kills(root, seed, parallel, kill_count)),
        (cut_count, lambda root: _power(root, seed, cut_count)),
        (archive_cut_count, lambda root: _archive_power(root, seed, archive_cut_count)),
        (rotation_count, lambda root: _rotations("rotations under load", rotations.rotate, root, seed, rotation_count)),
        (recreation_count, lambda root: _rotations("recreations", rotations.recreate, root, seed, recreation_count)),
        (alert_count, lambda root: _alerts(root, seed, parallel, alert_count)),
        (change_count, lambda root: _changes(root, seed, parallel, change_count)),
    ]
    with tempfile.TemporaryDirectory(prefix="sidelog-crash-", dir=_made(folder)) as scratch:
        outcomes = [part(Path(scratch)) for wanted, part in parts if wanted]
    raise SystemExit(0 if all(outcomes) else 1)


def _table(title: str, rows: Iterable[tuple[str, object]]) -> None:
    click.echo(f"\n{title}")
    for name, value in rows:
        click.echo(f"  {name:<44} {value}")


def _made(folder: Path | None) -> Path | None:
    """A directory, made if it is not there."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _points(root: Path, seed: int, parallel: int, number: int) -> bool:
    if problem := strace_problem():
        click.echo(f"crash points: left out, {problem}")
        return True
    began = time.monotonic()
    enumerator = points.Enumerator(root, seed, parallel=parallel)
    try:
        chosen = enumerator.points()
        if number:
            chosen = points.sample(chosen, number, seed)
        outcomes = enumerator.run(chosen, _tell_red)
    finally:
        enumerator.close()
    for fault in points.FAULTS:
        hit = [outcome for outcome in outcomes if outcome.point.fault == fault and outcome.fired]
        verdicts = [outcome.verdict for outcome in hit if outcome.verdict]
        rows: list[tuple[str, object]] = [
            ("points hit", len(hit)),
            ("lost", sum(len(verdict.lost) for verdict in verdicts)),
            ("doubled", sum(len(verdict.doubled) for verdict in verdicts)),
            ("otherwise wrong", sum(not outcome.green for outcome in hit)),
        ]
        if fault != "KILL":
            rows.append(("ended instead of going on", sum(outcome.ended for outcome in hit)))
            rows.append(("slowest phase with its recovery, s", f"{max((o.seconds for o in hit), default=0):.1f}"))
        _table(f"enumerated crash points, {fault}", rows)
    counted = Counter(outcome.point.call for outcome in outcomes if outcome.fired)
    click.echo(f"  ({', '.join(f'{call} {times}' for call, times in counted.most_common())})")
    click.echo(f"  {time.monotonic() - began:.0f} s")
    return all(outcome.green for outcome in outcomes)


def _rotate(root: Path, seed: int, parallel: int, number: int) -> bool:
    if problem := strace_problem():
        click.echo(f"crash points of rotation: left out, {problem}")
        return True
    began = time.monotonic()
    chosen = rotating.count(root / "rotate-count")
    if number:
        chosen = random.Random(seed).sample(chosen, min(number, len(chosen)))

    def work(place: int) -> Outcome:
        outcome = rotating.crash(root / f"rotate-{place}", chosen[place])
        if outcome.problems:
            click.echo(f"RED: {outcome}")
        return outcome

    with ThreadPoolExecutor(parallel) as pool:
        outcomes = list(pool.map(work, range(len(chosen))))
    hit = [outcome for outcome in outcomes if outcome.fired]
    _table(
        "enumerated crash points of a rotation by the agent, SIGKILL",
        [
            ("points hit", len(hit)),
            ("that left what is lost, doubled, or not told", sum(bool(outcome.problems) for outcome in outcomes)),
        ],
    )
    counted = Counter(outcome.point.call for outcome in hit)
    click.echo(f"  ({', '.join(f'{call} {times}' for call, times in counted.most_common())})")
    click.echo(f"  {time.monotonic() - began:.0f} s")
    return not any(outcome.problems for outcome in outcomes)


def _tell_red(outcome: points.Outcome) -> None:
    if not outcome.green:
        click.echo(f"RED: {outcome.point}: {outcome.problem} {outcome.verdict}")


def _kills(root: Path, seed: int, parallel: int, number: int) -> bool:
    began = time.monotonic()
    programs = -(-number // kills.KILLS_PER_PROGRAM)

    def work(lane: int) -> list[kills.Result]:
        results = []
        with Zygote() as zygote:
            for place in range(lane, programs, parallel):
                own = seed + place
                result = kills.run_program(kills.make_program(own), own, root / f"program-{own}", zygote)
                if not result.green:
                    click.echo(f"RED: {result}")
                    _shrink(result, root / f"shrink-{own}", zygote)
                results.append(result)
        return results

    with ThreadPoolExecutor(parallel) as pool:
        results = [result for part in pool.map(work, range(parallel)) for result in part]
    verdicts = [result.verdict for result in results if result.verdict]
    _table(
        "random SIGKILLs with rotations",
        [
            ("SIGKILLs", sum(result.kills for result in results)),
            ("rotations", sum(result.rotations for result in results)),
            ("lines written", sum(verdict.lines for verdict in verdicts)),
            ("lost", sum(len(verdict.lost) for verdict in verdicts)),
            ("doubled", sum(len(verdict.doubled) for verdict in verdicts)),
            ("otherwise wrong", sum(not result.green for result in results)),
            *sum((verdict.excused for verdict in verdicts), Counter()).items(),
            ("seconds", f"{time.monotonic() - began:.0f}"),
        ],
    )
    return all(result.green for result in results)


def _shrink(result: kills.Result, root: Path, zygote: Zygote) -> None:
    """Print a shorter program that fails as well, if one is found in two minutes."""
    numbers = iter(range(10**6))

    def fails(ops: list[kills.Op]) -> bool:
        return not kills.run_program(ops, result.seed, root / str(next(numbers)), zygote).green

    shorter = kills.shrink(result.ops, fails)
    click.echo(f"  {len(result.ops)} operations shrunk to {len(shorter)}: {' '.join(map(str, shorter))}")


def _power(root: Path, seed: int, number: int) -> bool:
    if problem := power.loop_problem(root):
        click.echo(f"power cuts: left out, {problem}")
        return True
    began = time.monotonic()
    results = []
    with Zygote() as zygote:
        for own in range(seed, seed + number):
            results.append(power.cut(own, root / f"cut-{own}", zygote))
            if not results[-1].green:
                click.echo(f"RED: {results[-1]}")
    books = [result.books for result in results if result.books is not None]
    verdicts = [result.verdict for result in results if result.verdict]
    _table(
        "simulated power cuts, synchronous=NORMAL",
        [
            ("cuts", len(results)),
            ("that took back committed events", sum(result.taken_back > 0 for result in results)),
            ("events taken back", sum(result.taken_back for result in results)),
            ("rows and offsets disagreed after the cut", sum(not verdict.green for verdict in books)),
            ("lost after reading again", sum(len(verdict.lost) for verdict in verdicts)),
            ("doubled after reading again", sum(len(verdict.doubled) for verdict in verdicts)),
            ("otherwise wrong", sum(not result.green for result in results)),
            ("seconds", f"{time.monotonic() - began:.0f}"),
        ],
    )
    return all(result.green for result in results)


def _archive_power(root: Path, seed: int, number: int) -> bool:
    if problem := power.loop_problem(root) or strace_problem():
        click.echo(f"power cuts while logs are archived: left out, {problem}")
        return True
    began = time.monotonic()
    results = []
    for own in range(seed, seed + number):
        placement = archive_power.PLACEMENTS[own % len(archive_power.PLACEMENTS)]
        results.append(archive_power.cut(placement, archive_power.choose(own), root / f"archive-cut-{own}"))
        if results[-1].problems:
            click.echo(f"RED: seed {own}: {results[-1]}")
    _table(
        "simulated power cuts while logs are archived",
        [
            ("cuts", len(results)),
            ("in the middle of the work", sum(result.stopped for result in results)),
            ("logs lost, doubled, or not found by the store", sum(len(result.problems) for result in results)),
            ("seconds", f"{time.monotonic() - began:.0f}"),
        ],
    )
    return not any(result.problems for result in results)


def _rotations(
    title: str, run: Callable[[int, int, Path, Zygote], rotations.Result], root: Path, seed: int, number: int
) -> bool:
    with Zygote() as zygote:
        result = run(number, seed, root / title.replace(" ", "-"), zygote)
    if not result.green:
        click.echo(f"RED: {title}, seed {seed}: {result.verdict}")
    rows: list[tuple[str, object]] = [
        (title, result.number),
        ("lines written", result.verdict.lines),
        ("lost", len(result.verdict.lost) + result.verdict.excused.total()),
        ("doubled", len(result.verdict.doubled)),
        ("seconds", f"{result.seconds:.0f}"),
    ]
    if title == "recreations":
        rows.insert(1, ("that got the same inode", result.same_inode))
    _table(title, rows)
    return result.green


def _alerts(root: Path, seed: int, parallel: int, number: int) -> bool:
    began = time.monotonic()
    programs = -(-number // alerts.KILLS_PER_PROGRAM)

    def work(lane: int) -> list[alerts.Result]:
        results = []
        with Zygote() as zygote:
            for own in range(seed + lane, seed + programs, parallel):
                results.append(alerts.run_program(own, root / f"alerts-{own}", zygote))
                if not results[-1].green:
                    click.echo(f"RED: {results[-1]}")
        return results

    with ThreadPoolExecutor(parallel) as pool:
        results = [result for part in pool.map(work, range(parallel)) for result in part]
    _table(
        "SIGKILLs while rules fire and resolve",
        [
            ("SIGKILLs", sum(result.kills for result in results)),
            ("while something fired or was to be told", sum(result.busy_kills for result in results)),
            ("keys that fired", sum(result.keys for result in results)),
            ("runs of the hook", sum(result.runs for result in results)),
            ("repeated under the same delivery id", sum(result.repeats for result in results)),
            ("missed pages", sum(len(result.unheard) for result in results)),
            ("missed resolves", sum(len(result.unresolved) for result in results)),
            ("told under two ids", sum(len(result.doubled) for result in results)),
            ("told to be over first", sum(len(result.disordered) for result in results)),
            ("otherwise wrong", sum(bool(result.problem) for result in results)),
            ("seconds", f"{time.monotonic() - began:.0f}"),
        ],
    )
    return all(result.green for result in results)


def _changes(root: Path, seed: int, parallel: int, number: int) -> bool:
    began = time.monotonic()

    def work(lane: int) -> list[changes.Result]:
        results = []
        with Zygote() as zygote:
            for own in range(seed + lane, seed + number, parallel):
                result = changes.run_sequence(changes.make_sequence(own), own, root / f"changes-{own}", zygote)
                if result.problems:
                    click.echo(f"RED: {result}")
                    _shrink_changes(result, root / f"shrink-{own}", zygote)
                results.append(result)
        return results

    with ThreadPoolExecutor(parallel) as pool:
        results = [result for part in pool.map(work, range(parallel)) for result in part]
    _table(
        "random sequences of changes",
        [
            ("sequences", len(results)),
            ("steps", sum(len(result.ops) for result in results)),
            ("lines written", sum(result.lines for result in results)),
            ("with a line lost, doubled or under a wrong name", sum(result.is_wrong for result in results)),
            ("with SL999", sum(result.has("SL999") for result in results)),
            ("with a secret in a file", sum(result.has("holds a secret") for result in results)),
            ("otherwise wrong", sum(bool(result.problems) and not result.is_wrong for result in results)),
            ("seconds", f"{time.monotonic() - began:.0f}"),
        ],
    )
    return not any(result.problems for result in results)


def _shrink_changes(result: changes.Result, root: Path, zygote: Zygote) -> None:
    numbers = iter(range(10**6))

    def fails(ops: list[kills.Op]) -> bool:
        return bool(changes.run_sequence(ops, result.seed, root / str(next(numbers)), zygote).problems)

    shorter = kills.shrink(result.ops, fails, attempts=1)
    click.echo(f"  {len(result.ops)} steps shrunk to {len(shorter)}: {' '.join(map(str, shorter))}")


if __name__ == "__main__":
    main()
