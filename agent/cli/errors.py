"""`sidelog errors`: groups of errors, shown and managed."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import (
    Context,
    Group,
    echo_json,
    engine_option,
    json_option,
    print_errors,
    print_warnings,
    shown_time,
    user_name,
    utc_option,
    with_context,
)
from agent.cli.group_text import print_diff, print_group, print_groups
from agent.core.errors import EXIT_DONE, EXIT_FAILED, SidelogError, UsageError
from agent.core.groups import STATES, GroupFilter
from agent.core.text import counted, enumerated
from agent.core.times import parse_length, parse_past_time, parse_time
from agent.query import open_engine
from agent.views.errors import group_document, view_document, view_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from click.shell_completion import CompletionItem

    from agent.query.engine import Engine
    from agent.views.error_diff import Side

SORTS = ("last-seen", "first-seen", "count", "trend")  # agent.store.groups.SORTS, without importing it for a help text
_GROUP_ID = click.IntRange(1, 2**63 - 1)  # what SQLite can hold


class _Commands(Group):
    """`errors` and `errors --sort count` mean `errors list` and `errors list --sort count`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with `list` where options stand alone."""
        named = {*self.commands, *ctx.help_option_names} & {*args}
        alone = args[0].startswith("-") if args else not ctx.resilient_parsing  # completion: a command may follow
        if not named and alone:
            args = ["list", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """As click does, with the options of `list`."""
        of_list = self.commands["list"].shell_complete(ctx, incomplete) if incomplete.startswith("-") else []
        return [*super().shell_complete(ctx, incomplete), *of_list]


def _engine(context: Context, *, archived: bool) -> contextlib.closing[Engine]:
    """What answers: the store, and its archives if so; or a fleet.

    Raises:
        StoreError: the store cannot be opened.
        ClickHouseError: the fleet cannot be asked.
    """
    config = context.config()
    fleet = context.fleet(config)
    archived = archived or fleet is not None
    return contextlib.closing(open_engine(config.store.path, config.archive_directory, archived=archived, fleet=fleet))


@click.group(cls=_Commands)
@json_option("One JSON array.")
@utc_option
@with_context
def command(_: Context, *, as_json: bool) -> None:
    """Show groups of errors and manage their state; without a command the list."""
    del as_json  # its commands look for it


@command.command("list")
@json_option("One JSON array.")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only in this state (repeatable).")
@click.option("-p", "--severity", metavar="LEVEL", help="This level and above; error..error for that alone.")
@click.option("--category", "categories", multiple=True, metavar="NAME", help="Only of this category (repeatable).")
@click.option("--service", "services", multiple=True, metavar="NAME", help="Only seen in this service (repeatable).")
@click.option("-g", "--grep", metavar="REGEX", help="Only titles that match; case counts if it has a capital.")
@click.option("-S", "--since", metavar="TIME", help="Seen from this time on: 15m, '1h ago', today, 2026-11-22.")
@click.option("-U", "--until", metavar="TIME", help="Seen before this time.")
@click.option("--sort", type=click.Choice(SORTS), default="last-seen", help="Largest first (default last-seen).")
@click.option("-r", "--reverse", is_flag=True, help="Smallest first.")
@click.option("-n", "--limit", type=click.IntRange(1, 2**31), metavar="N", help="So many groups at the most.")
@engine_option
@with_context
def list_errors(
    context: Context,
    *,
    as_json: bool = False,
    sort: str = "last-seen",
    reverse: bool = False,
    limit: int | None = None,
    **filters: Any,
) -> int:
    """List the groups, the last seen first. `--sort trend`: what has risen most in the last six hours."""
    now = time.time_ns()
    wanted = _wanted(now, **filters)
    reasons: list[SidelogError] = []
    with _engine(context, archived=False) as engine:
        groups = engine.groups(wanted, now, sort=sort, reverse=reverse, limit=limit)
        if not groups:
            from agent.query.reasons import group_reasons

            reasons = list(group_reasons(engine, wanted, now))
    print_warnings(reasons)
    if as_json:
        echo_json([group_document(group) for group in groups])
        return 0
    print_groups(groups)
    if not groups:
        click.echo("no such errors" if any(filters.values()) else "no errors", err=True)
    return 0


def _wanted(
    now: int,
    *,
    states: tuple[str, ...] = (),
    severity: str | None = None,
    categories: tuple[str, ...] = (),
    services: tuple[str, ...] = (),
    grep: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> GroupFilter:
    """The filters of the command line.

    Raises:
        UsageError: one of them cannot be read (SL512, SL513, SL514).
    """
    severities = title = None
    if severity is not None:
        from agent.core.severity import number_range

        severities = number_range(severity)
    if grep is not None:
        from agent.query.predicate import compile_pattern, grep_pattern

        title = compile_pattern(grep_pattern(grep))
    return GroupFilter(
        states=states,
        severities=severities,
        categories=categories,
        services=services,
        title=title,
        since=_instant(since, now),
        until=_instant(until, now),
    )


def _instant(text: str | None, now: int) -> int | None:
    if text is None:
        return None
    return parse_time(text, now)


@command.command("show")
@click.argument("group", type=_GROUP_ID, metavar="ID")
@json_option("One JSON object.")
@click.option("--full", is_flag=True, help="The stack trace with all frames of libraries.")
@utc_option
@engine_option
@with_context
def show(context: Context, *, group: int, as_json: bool, full: bool) -> int:
    """Show one group. What to do, stack trace, trends, services, sample events, and the latest one's trace."""
    with _engine(context, archived=True) as engine:
        view = view_group(engine, group, time.time_ns())
        if as_json:  # while the store is open: an archived event's group is found when it is asked for
            echo_json(view_document(view))
        else:
            print_group(view, full=full)
        print_errors(errors := engine.errors)
    return EXIT_FAILED if errors else EXIT_DONE


@command.command("diff")
@click.option("--at", default=None, metavar="TIME", help="Compare before and after this time (default: --after ago).")
@click.option("--before", default="1h", metavar="DURATION", help="How long before it (default 1h).")
@click.option("--after", default="1h", metavar="DURATION", help="How long after it (default 1h).")
@click.option("--label", metavar="FIELD=VALUE", help="Compare the events with this value with all others of the time.")
@click.option("--against", metavar="VALUE", help="With --label: only with those that have this value.")
@click.option("-a", "--all", "show_all", is_flag=True, help="Also groups that are as they were.")
@json_option("One JSON object.")
@utc_option
@engine_option
@with_context
def diff(context: Context, *, as_json: bool, show_all: bool, **options: str | None) -> int:
    """Show which errors are new, gone or changed since a moment, or with a version."""
    from agent.views.error_diff import compare

    now = time.time_ns()
    before, after = _sides(now, **options)
    with _engine(context, archived=True) as engine:
        found = compare(engine, before, after, now)
        if not found.errors[1] and options["label"] is not None:
            from agent.query.language import Selection
            from agent.query.reasons import reasons

            print_warnings(reasons(engine, Selection(after.query, after.since, after.until)))
        print_errors(errors := engine.errors)
    if as_json:
        echo_json(found.document())
    else:
        print_diff(found, show_all=show_all)
    return EXIT_FAILED if errors else EXIT_DONE


def _sides(
    now: int, *, at: str | None, before: str | None, after: str | None, label: str | None, against: str | None
) -> tuple[Side, Side]:
    """What the options of `diff` compare.

    Raises:
        UsageError: SL514, SL515 a time or duration cannot be read; SL541 the label, or nothing lies on a side.
    """
    from agent.views.error_diff import compared_sides

    first, second = (parse_length(text or "", "SL541.length") for text in (before, after))
    moment = None if at is None else parse_past_time(at, now)
    return compared_sides(now, moment, first, second, label=label, against=against)


# ---------------------------------------------------------------- states


_GROUP_IDS = click.argument("groups", type=_GROUP_ID, metavar="ID...", nargs=-1, required=True)


def _own_store(context: Context) -> Path:
    """The store whose groups are changed.

    Raises:
        UsageError: SL664, a fleet is asked: a state is given where the events were stored.
    """
    config = context.config()
    fleet = context.fleet(config)
    if fleet is not None:
        raise UsageError.of("SL664", fleet.shown, what="give an error group a state")
    return config.store.path


def _change(
    context: Context, groups: Sequence[int], state: str, duration: str | None = None, until_count: int | None = None
) -> int | None:
    from agent.store.edit import change_groups

    store, now = _own_store(context), time.time_ns()
    return change_groups(store, groups, state, now=now, who=user_name(), duration=duration, until_count=until_count)


def _named(groups: Iterable[int]) -> str:
    numbers = list(dict.fromkeys(groups))
    return f"group {numbers[0]} is" if len(numbers) == 1 else f"groups {enumerated(numbers)} are"


def _state_command(name: str, state: str, text: str) -> None:
    @command.command(name, help=text)
    @_GROUP_IDS
    @engine_option
    @with_context
    def change(context: Context, groups: tuple[int, ...]) -> int:
        _change(context, groups, state)
        click.echo(f"{_named(groups)} {state}", err=True)
        return 0


_state_command("resolve", "resolved", "Mark groups as resolved. A later event brings one back as regressed.")
_state_command("reopen", "ongoing", "Make resolved or ignored groups ongoing again.")


@command.command("ignore")
@_GROUP_IDS
@click.option("--until-count", type=click.IntRange(1, 2**62), metavar="N", help="Until N more events have come.")
@click.option("--for", "duration", metavar="DURATION", help="Until it comes back after this time: 12h, 2d.")
@utc_option
@engine_option
@with_context
def ignore(context: Context, *, groups: tuple[int, ...], until_count: int | None, duration: str | None) -> int:
    """Ignore groups. With an option each until it comes back as regressed, with both until what happens first."""
    until = _change(context, groups, "ignored", duration, until_count)
    ends = []
    if until_count:
        ends.append(f"{counted(until_count, 'more event has', 'more events have')} come")
    if until is not None:
        ends.append(f"it comes back after {shown_time(until)}")
    each = ", each until " if len(set(groups)) > 1 else " until "
    click.echo(f"{_named(groups)} ignored{each * bool(ends)}{' or '.join(ends)}", err=True)
    return 0
