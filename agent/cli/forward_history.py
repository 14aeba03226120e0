"""`sidelog forward backfill` and `forward verify`: what a target lacks of the past, and whether it has the rest."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import click
import msgspec

from agent.cli.common import Command, Context, echo_json, json_option, print_error, safe_text, with_context
from agent.core.errors import EXIT_DONE, EXIT_FAILED, SidelogError
from agent.core.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.clickhouse.client import ClickHouseClient
    from agent.config import Config, ForwardConfig
    from agent.forward.settings import TargetPlace
    from agent.forward.verify import HourDifference, VerifyReport

_SHOWN_HOURS = 20
_TARGET: Callable[[Any], Any] = click.option("--target", metavar="NAME", help="This target alone.")


@click.command("backfill", cls=Command)
@_TARGET
@click.option("-S", "--since", metavar="TIME", help="Only events from this time on.")
@click.option("-U", "--until", metavar="TIME", help="Only events before this time.")
@json_option()
@with_context
def backfill(context: Context, *, target: str | None, since: str | None, until: str | None, as_json: bool) -> int:
    """Send what archives hold and a target never got.

    Logs that were archived without being stored, and what left the store before the target was there. Each event goes
    once, however often this is run or ended. What is in the store is left to the agent.
    """
    from agent.core.times import parse_time
    from agent.forward.backfill import Backfill

    config, now = context.config(), time.time_ns()
    first, end = (None if text is None else parse_time(text, now) for text in (since, until))
    reports = []
    for place in _places(config, target):
        task = Backfill(place, (first, end))
        report = task.run()
        reports.append(report)
        for error in [*([task.renewed] if task.renewed else []), *task.failures]:
            print_error(error)
        if not as_json:
            sent = f"{counted(report.events, 'event')} of {counted(report.archives, 'archive')} sent"
            said = sent if report.events else "nothing was left to be sent"
            click.echo(f"{safe_text(place.target)}: {said}", err=True)
    if as_json:
        echo_json(msgspec.to_builtins(reports))
    return EXIT_FAILED if any(report.errors for report in reports) else EXIT_DONE


@click.command("verify", cls=Command)
@_TARGET
@click.option("-S", "--since", metavar="TIME", help="Only hours from this time on.")
@click.option("--repair", is_flag=True, help="Send what is missing, take out what is there twice, and compare again.")
@json_option()
@with_context
def verify(context: Context, *, target: str | None, since: str | None, repair: bool, as_json: bool) -> int:
    """Compare what targets have with the store: counts and checksums by agent id and hour. Exit 1 if they differ."""
    from agent.core.times import parse_time

    config = context.config()
    first = None if since is None else parse_time(since, time.time_ns())
    reports = [_verified(place, first, mend=repair) for place in _places(config, target)]
    if as_json:
        echo_json(msgspec.to_builtins(reports))
    for report in reports:
        if not as_json:
            _print(report)
        if not report.is_whole:
            print_error(SidelogError.of("SL663", report.target, what=_what(report)))
    return EXIT_DONE if all(report.is_whole for report in reports) else EXIT_FAILED


def _verified(place: TargetPlace, since: int | None, *, mend: bool) -> VerifyReport:
    from agent.forward.repair import repair
    from agent.forward.verify import Comparison

    task = Comparison(place, since)
    report = task.run()
    if not report.is_whole:  # what an agent that runs has sent meanwhile is the same at the second look
        task = Comparison(place, since)
        report = task.run()
    if not mend or report.is_whole:
        return report
    done = repair(place, task.found)
    report = Comparison(place, since).run()
    report.repaired = done
    return report


@contextmanager
def _connected(target: ForwardConfig) -> Iterator[ClickHouseClient]:
    from agent.clickhouse.address import ClickHouseAddress
    from agent.clickhouse.client import ClickHouseClient
    from agent.clickhouse.schema import check

    with closing(ClickHouseClient(ClickHouseAddress.of(target))) as client:
        check(client)
        yield client


def _places(config: Config, wanted: str | None) -> Iterator[TargetPlace]:
    """The store and each of the targets that are meant, which it knows.

    Raises:
        UsageError: SL657, there is none.
        ClickHouseError: one cannot be asked.
    """
    from agent.clickhouse.targets import find_targets
    from agent.forward.settings import TargetPlace, target_settings
    from agent.store import forwarding
    from agent.store.edit import editing

    found = find_targets(config, wanted)
    with editing(config.store.path) as connection:
        forwarding.save_targets(connection, target_settings(config), time.time_ns())
    for target in found:
        with _connected(target) as client:
            yield TargetPlace(config.store.path, config.archive_directory, target.name, client, target.match)


def _print(report: VerifyReport) -> None:
    name = safe_text(report.target)
    repaired = report.repaired
    if repaired:
        done = f"{counted(repaired['sent'], 'event')} sent again, {counted(repaired['removed'], 'row')} taken out"
        click.echo(f"{name}: {done}", err=True)
    for one in report.differences[:_SHOWN_HOURS]:
        click.echo(f"{name}: {_hour(one)}")
    if len(report.differences) > _SHOWN_HOURS:
        click.echo(f"{name}: and {counted(len(report.differences) - _SHOWN_HOURS, 'more hour')}")
    if report.is_whole:
        same = f"{counted(report.events, 'event')} of {counted(report.hours, 'hour')} are the same here and there"
        click.echo(f"{name}: {same}", err=True)
    for number, words in (
        (report.pending, "not forwarded yet"),
        (report.gaps, "never sent: retention was first, or the server refused them (forward status)"),
        (report.expired, "there and no more in the store: they cannot be compared"),
        (report.lost, "there under an earlier id and not here: the server alone has them"),
    ):
        if number:
            click.echo(f"{name}: {counted(number, 'event')} {words}", err=True)
    for path in report.unreadable:
        click.echo(f"{name}: {safe_text(path)} cannot be read: sidelog archive verify", err=True)


def _hour(one: HourDifference) -> str:
    parts = []
    for kind, number in one.counts.items():
        ids = ", ".join(map(str, getattr(one, kind)))
        parts.append(f"{number:,} {kind} ({ids}{', …' if number > len(getattr(one, kind)) else ''})")
    return f"{one.hour} {one.agent}: {one.local:,} here, {one.central:,} there: {'; '.join(parts)}"


def _what(report: VerifyReport) -> str:
    kinds = ("missing", "different", "extra", "twice")
    return ", ".join(f"{report.total(kind):,} {kind}" for kind in kinds if report.total(kind))
