"""`sidelog run`: the agent itself."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click
import msgspec

from agent.cli.common import config_options, verbosity
from agent.core.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from agent.config import Config
    from agent.ingest import Counters
    from agent.pipeline import Summary


@click.command()
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option("--once", is_flag=True, help="Read everything that is there to its end, then stop.")
@config_options
def command(
    patterns: tuple[str, ...],
    once: bool,
    config_path: Path | None,
    store: Path | None,
    overrides: tuple[str, ...],
) -> int:
    """Follow log files and store every event.

    With PATTERNs ('/var/log/shop/*.log') and no configuration file it works at once: nothing is archived and nothing
    deleted. With both, the patterns replace the configuration's sources.
    """
    from agent.core import logs
    from agent.daemon import Agent

    def load() -> Config:
        return _load(patterns, config_path, store, overrides)

    config = load()
    logs.configure(verbosity())
    bar = _Bar() if once and sys.stderr.isatty() else None
    agent = Agent(config, once=once, load_config=load, on_progress=bar.show if bar else None)
    try:
        summary = asyncio.run(agent.run())
    finally:
        if bar:
            bar.close()
    if once and verbosity() >= 0:
        click.echo(_summary_line(summary), err=True)
    return 0


def _load(
    patterns: tuple[str, ...], config_path: Path | None, store: Path | None, overrides: tuple[str, ...]
) -> Config:
    """The configuration of this run, refused where it asks for what this version does not do."""
    from agent import config as configuration

    file = configuration.find_file(config_path)
    if file is None and not patterns:
        raise UsageError(
            "SL503",
            "run",
            "sidelog run",
            "there is nothing to follow: no PATTERN was given and no configuration file was found",
            hint="sidelog run '/var/log/app/*.log', or write a configuration with `sidelog init`",
        )
    if file is None:
        config = configuration.for_patterns(patterns, store, overrides=overrides)
    else:
        config = configuration.load(file, store=store, overrides=overrides)
        if patterns:
            config = msgspec.structs.replace(config, sources=configuration.for_patterns(patterns).sources)
    missing = configuration.unsupported(config, file)
    if config.alerts:
        from agent.alert.matching import unusable

        missing += unusable(config, file)
    if missing:
        raise configuration.InvalidConfigError(missing)
    if not config.sources:
        raise ConfigError(
            "SL121",
            "run",
            str(file),
            f"{file}: sources: there is no source, so there is nothing to follow",
            hint="add one with `name` and `include`, or name patterns: sidelog run '/var/log/app/*.log'",
        )
    return config


def _summary_line(summary: Summary) -> str:
    counted = summary.counters
    rate = counted.events / summary.seconds if summary.seconds else 0.0
    parts = [
        f"{counted.events:,} events ({counted.errors:,} errors) from {summary.files:,} files",
        f"{counted.bytes / 1e6:,.1f} MB in {summary.seconds:.1f} s ({rate:,.0f} events/s)",
    ]
    if counted.parse_errors:
        parts.append(f"{counted.parse_errors:,} events with a parse error")
    if counted.gaps:
        parts.append(f"{counted.gaps:,} gaps, see `sidelog status`")
    return "; ".join(parts)


class _Bar:
    """A progress bar on stderr, by bytes."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("reading"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[events]:,} events"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("reading", total=None, events=0)
        self._progress.start()

    def show(self, counters: Counters, total_bytes: int) -> None:
        """Draw what is done."""
        self._progress.update(self._task, total=total_bytes, completed=counters.bytes, events=counters.events)

    def close(self) -> None:
        """Remove the bar."""
        self._progress.stop()
