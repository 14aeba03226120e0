"""`sidelog run`: the agent itself."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import click
import msgspec

from agent import config as configuration
from agent.cli.again import page_commands
from agent.cli.common import Bar, Command, Context, print_error, print_warnings, safe_text, with_context
from agent.core.errors import EXIT_DONE, EXIT_FAILED, ConfigError, SidelogError, UsageError
from agent.core.model import STDIN
from agent.core.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.config import Config
    from agent.daemon import Agent
    from agent.ingest import Counters
    from agent.pipeline import Summary
    from agent.tail.discover import DirectoryScan

_INPUT = "-"  # in place of a pattern
_UNREAD = ("SL201", "SL203", "SL207", "SL208", "SL209", "SL211", "SL212", "SL213")
_NO_FILE = "SL202"


@click.command(cls=Command)
@click.argument("patterns", nargs=-1, metavar="[PATTERN]...")
@click.option("--once", is_flag=True, help="Read everything that is there to its end, then stop.")
@with_context
def command(context: Context, *, patterns: tuple[str, ...], once: bool) -> int:
    """Follow log files and store every event.

    With PATTERNs ('/var/log/shop/*.log') and no configuration file it works at once: nothing is archived and nothing
    deleted. With both, the patterns replace the configuration's sources. `-` is standard input, which is read to its
    end. With --once the exit code is 1 where something could not be read.
    """
    from agent.core import logs  # with the pipeline 0.3 s of CPU, which `run --help` need not take
    from agent.daemon import Agent

    # A shell has expanded `*.log` to `app[1].log`: what names a file now is a name, also after its rotation.
    names = frozenset(pattern for pattern in patterns if os.path.lexists(os.path.expanduser(pattern)))  # noqa: PTH111

    def load() -> Config:
        return _load(context, patterns, names)

    stdin = _standard_input(patterns)
    config = load()
    logs.configure(context.verbosity)
    if stdin is None:
        print_warnings(_at_start(config, patterns, names, once=once))
    if once:
        with Bar("reading") as bar:

            def show(counters: Counters, total_bytes: int) -> None:
                done = f"{counters.bytes / 1e6:,.1f} of {total_bytes / 1e6:,.1f} MB"
                bar.step(counters.bytes, total_bytes, f"{done}, {counters.events:,} events")

            progress = show if bar.is_shown else None
            agent = Agent(config, once=True, stdin=stdin, load_config=load, on_progress=progress)
            summary = asyncio.run(agent.run())
    else:
        typed = page_commands(context, config)
        summary = asyncio.run(Agent(config, stdin=stdin, load_config=load, typed=typed).run())
    unread = _unread(agent, config) if once else []
    if context.verbosity >= 0 and (once or stdin is not None):
        click.echo(_summary_line(summary, len(unread)), err=True)
    elif unread:  # what failed is said with -q too
        click.echo(f"sidelog: could not be read: {safe_text(', '.join(unread))}", err=True)
    for hook, count in summary.undelivered.items() if once or stdin is not None else ():
        print_error(SidelogError.of("SL713", hook, pages=counted(count, "page is", "pages are")))
    for target in summary.unforwarded:
        if target.lag_events:
            left = counted(target.lag_events, "event")
            print_error(SidelogError.of("SL646", target.name, left=left, why=target.message or "the time was over"))
    return EXIT_FAILED if unread else EXIT_DONE


def _unread(agent: Agent, config: Config) -> list[str]:
    """What was to be read and could not: files and directories, journals, and what a pattern names that is no file."""
    named = {pattern for source in config.sources for pattern in source.include}
    found = agent.reporter.active(*_UNREAD, _NO_FILE)
    return [subject for code, subject in found if code != _NO_FILE or subject in named]


def _standard_input(patterns: tuple[str, ...]) -> int | None:
    """The descriptor of standard input, where that is what is to be read."""
    if _INPUT not in patterns:
        return None
    if patterns != (_INPUT,):
        raise UsageError.of("SL215.alone", _INPUT)
    if sys.stdin.name == os.devnull:  # given in place of one that was closed; a redirected one has no such name
        raise UsageError.of("SL215.closed", _INPUT)
    return sys.stdin.fileno()


def _at_start(
    config: Config, patterns: tuple[str, ...], names: frozenset[str], *, once: bool
) -> Iterator[SidelogError]:
    """What no file matches now: patterns of the command line each for itself, or for `--once` those of the sources;
    that an agent which finds nothing at all waits; and what rules ask for that no source or log has.
    """
    from agent.core.errors import TailError
    from agent.tail.discover import Discovery, tail_settings, unmatched

    scan = Discovery(tail_settings(config)).scan()
    for pattern in patterns:  # one may have all files of another, which is not to be said to match none
        alone = configuration.for_patterns([pattern], names=names)
        found = Discovery(tail_settings(alone)).scan()
        for source in alone.sources:
            yield from unmatched(source, found)
    for source in config.sources if once and not patterns else []:
        yield from unmatched(source, scan)
    if not (once or scan.files or any(source.journal is not None for source in config.sources)):
        yield TailError.of("SL111.waiting", "sources")
    yield from _rules_of_nothing(config, scan)


def _rules_of_nothing(config: Config, scan: DirectoryScan) -> Iterator[SidelogError]:
    """What rules ask for that no source or log has, each with its place: such a rule never fires, and never says so."""
    if not config.alerts:
        return
    from agent.alert.check import names_nowhere

    for place, error in names_nowhere(config, scan, None):
        yield UsageError(error.code, error.operation, place, f"{place}: {error.message}", hint=error.hint)


def _load(context: Context, patterns: tuple[str, ...], names: frozenset[str]) -> Config:
    """The configuration of this run, refused where it asks for what this version does not do."""
    file = context.find_config()
    if file is None and not patterns:
        raise UsageError.of("SL503", "sidelog run")
    if patterns == (_INPUT,):
        return _with_input(context, file)
    if file is None:
        config = configuration.for_patterns(patterns, context.store, overrides=context.overrides, names=names)
    else:
        config = _read(context)
        if patterns:
            config = msgspec.structs.replace(config, sources=configuration.for_patterns(patterns, names=names).sources)
    return _usable(config, file)


def _read(context: Context) -> Config:
    """The configuration of the files; where it is wrong, its rules are looked at too, so that all is told at once."""
    try:
        return context.config()
    except configuration.InvalidConfigError as error:
        from agent.alert.check import with_unusable

        raise with_unusable(error) from None


def _usable(config: Config, file: Path | None) -> Config:
    if config.alerts or any(target.match for target in config.forward):
        from agent.alert.check import unusable  # without rules an agent keeps no memory for their matching

        if found := unusable(config, file):
            raise configuration.InvalidConfigError(found)
    if not config.sources:
        raise ConfigError.of("SL121", file)
    return config


def _with_input(context: Context, file: Path | None) -> Config:
    """The configuration with standard input for its only source: as its own source of that name says, if it has one."""
    if file is None:
        config = configuration.for_patterns((), context.store, overrides=context.overrides)
    else:
        config = _read(context)
    own = [one for one in config.sources if one.name == STDIN] or [configuration.SourceConfig(name=STDIN)]
    source = msgspec.structs.replace(own[0], include=[], exclude=[], journal=None, rotate=None)
    return _usable(msgspec.structs.replace(config, sources=[source]), file)


def _amount(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else counted(count, "byte")  # noqa: PLR2004 - 0.1 MB


def _summary_line(summary: Summary, unread: int) -> str:
    done = summary.counters
    rate = done.events / summary.seconds if summary.seconds else 0.0
    parts = [
        f"{counted(done.events, 'event')} ({counted(done.errors, 'error')}) from {counted(summary.files, 'file')}",
        f"{_amount(done.bytes)} in {summary.seconds:.1f} s ({counted(round(rate), 'event')}/s)",
    ]
    if done.parse_errors:
        parts.append(f"{counted(done.parse_errors, 'event')} with a parse error")
    if done.gaps:
        parts.append(f"{counted(done.gaps, 'gap')}, see `sidelog status`")
    if unread:
        parts.append(f"{counted(unread, 'path')} could not be read, see above")
    return "; ".join(parts)
