"""`sidelog selftest`: kills an agent again and again on one's own disk, and counts the lines afterwards."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from agent.cli.common import PATH, Bar, Command, Context, echo_json, json_option, safe_text, with_context
from agent.cli.killloop import KillLoop, Verdict
from agent.core.errors import EXIT_DONE, EXIT_FAILED
from agent.core.text import counted


@click.command(cls=Command)
@click.option(
    "--kill9", "kills", type=click.IntRange(1, 100_000), default=100, metavar="N", help="How many kills (100)."
)
@click.option("--dir", "directory", type=PATH, help="Where to test (default: beside the store).")
@click.option("--seed", type=click.IntRange(0), help="Repeat a run's lines, bursts, rotations and waits.")
@json_option()
@with_context
def command(context: Context, *, kills: int, directory: Path | None, seed: int | None, as_json: bool) -> int:
    """Prove on this machine's own disk that nothing is lost and nothing stored twice.

    A program writes numbered lines and rotates its file, while the agent that follows it is killed (SIGKILL) N times
    at random moments. Then every line must be stored exactly once, as it was written. Everything happens in a
    temporary directory, which is removed; your store is not touched. Exits 1 when a line is missing.
    """
    directory = directory or _beside(context.config().store.path)
    with KillLoop(directory, kills, secrets.randbelow(2**31) if seed is None else seed) as loop:
        with Bar("killing") as bar:
            verdict = loop.run(bar.step)
        kept = str(loop.root) if loop.keep else None
    if as_json:
        echo_json(_document(verdict, kept))
    else:
        click.echo(
            f"selftest: {counted(verdict.kills, 'kill')}, {counted(verdict.lines, 'line')},"
            f" {counted(verdict.rotations, 'rotation')}:"
            f" lost {verdict.lost:,}, doubled {verdict.doubled:,}, altered {verdict.altered:,}"
            f" ({verdict.seconds:.0f} s)"
        )
        for example in verdict.examples:
            click.echo(f"  {safe_text(example)}", err=True)
        if kept:
            click.echo(f"  kept for a look: {safe_text(kept)} (--seed {verdict.seed})", err=True)
    return EXIT_DONE if verdict.passed else EXIT_FAILED


def _beside(store: Path) -> Path:
    """The store's directory, or the nearest one above it that exists: both are on its file system."""
    return next((parent for parent in store.absolute().parents if parent.is_dir()), Path.cwd())


def _document(verdict: Verdict, kept: str | None) -> dict[str, object]:
    return {
        "passed": verdict.passed,
        "kills": verdict.kills,
        "lines": verdict.lines,
        "rotations": verdict.rotations,
        "lost": verdict.lost,
        "doubled": verdict.doubled,
        "altered": verdict.altered,
        "seconds": round(verdict.seconds, 3),
        "seed": verdict.seed,
        "examples": verdict.examples,
        "kept": kept,
    }
