"""`sidelog errors`: groups of errors, shown and managed."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import (
    Context,
    Group,
    echo_json,
    json_option,
    paint,
    print_errors,
    print_warnings,
    safe_text,
    use_color,
    with_context,
)
from agent.core.errors import EXIT_DONE, EXIT_FAILED, SidelogError
from agent.core.groups import STATES, GroupFilter
from agent.core.times import parse_duration, parse_time
from agent.query import open_engine
from agent.store.edit import editing, set_group_state
from agent.views import iso
from agent.views.errors import group_document, view_document, view_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.shell_completion import CompletionItem

    from agent.core.groups import ErrorGroup
    from agent.core.stored import StoredEvent
    from agent.query.engine import Engine
    from agent.views.errors import GroupView

SORTS = ("last-seen", "first-seen", "count", "trend")  # agent.store.groups.SORTS, without importing it for a help text
_GROUP_ID = click.IntRange(1, 2**63 - 1)  # what SQLite can hold
_LAST_NS = 2**63 - 1  # the year 2262


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
    """What answers: the store, and its archives if so.

    Raises:
        StoreError: the store cannot be opened.
    """
    config = context.config()
    return contextlib.closing(open_engine(config.store.path, config.archive_directory, archived=archived))


@click.group(cls=_Commands)
@json_option("One JSON array.")
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
@with_context
def show(context: Context, *, group: int, as_json: bool) -> int:
    """Show one group. What to do, stack trace, trends, services, sample events, and the latest one's trace."""
    with _engine(context, archived=True) as engine:
        view = view_group(engine, group, time.time_ns())
        if as_json:  # while the store is open: an archived event's group is found when it is asked for
            echo_json(view_document(view))
        else:
            print_group(view)
        print_errors(errors := engine.errors)
    return EXIT_FAILED if errors else EXIT_DONE


def _change(context: Context, group: int, state: str, **limits: int | None) -> None:
    with editing(context.config().store.path) as connection:
        if not set_group_state(connection, group, state, time.time_ns(), **limits):
            raise SidelogError.of("SL540", group)


def _state_command(name: str, state: str, text: str) -> None:
    @command.command(name, help=text)
    @click.argument("group", type=_GROUP_ID, metavar="ID")
    @with_context
    def change(context: Context, group: int) -> int:
        _change(context, group, state)
        click.echo(f"group {group} is {state}", err=True)
        return 0


_state_command("resolve", "resolved", "Mark a group as resolved. A later event brings it back as regressed.")
_state_command("reopen", "ongoing", "Make a resolved or ignored group ongoing again.")


@command.command("ignore")
@click.argument("group", type=_GROUP_ID, metavar="ID")
@click.option("--until-count", type=click.IntRange(1, 2**62), metavar="N", help="Until N more events have come.")
@click.option("--for", "duration", metavar="DURATION", help="Until it comes back after this time: 12h, 2d.")
@with_context
def ignore(context: Context, *, group: int, until_count: int | None, duration: str | None) -> int:
    """Ignore a group. With an option until it comes back as regressed, with both until what happens first."""
    until = None if duration is None else min(time.time_ns() + parse_duration(duration), _LAST_NS)
    _change(context, group, "ignored", until=until, until_count=until_count)
    ends = []
    if until_count:
        ends.append(f"{until_count:,} more events have come" if until_count > 1 else "1 more event has come")
    if until is not None:
        ends.append(f"it comes back after {iso(until)}")
    click.echo(f"group {group} is ignored{' until ' * bool(ends)}{' or '.join(ends)}", err=True)
    return 0


# ---------------------------------------------------------------- groups for people


_SEVERITY_COLORS = {"ERROR": "red", "FATAL": "magenta"}
_STATE_COLORS = {"new": "yellow", "regressed": "bright_red", "resolved": "green", "ignored": "bright_black"}
_NO_SERVICE = "(none)"
_FIXED_COLUMNS = 26  # id, severity, state, and the blanks between all


def print_groups(groups: Sequence[ErrorGroup]) -> None:
    """One line per group."""
    color, sign = use_color(), times_sign()
    width = _terminal_columns()
    for group in groups:
        severity = paint(f"{group.severity:5}", _SEVERITY_COLORS.get(group.severity or "", "red"), enabled=color)
        state = paint(f"{group.state:9}", _STATE_COLORS.get(group.state, "white"), enabled=color)
        count, trend, seen = f"{group.count:>7,} {sign}", sparkline(group.trend), f"{ago(group.last_seen):>8}"
        title = safe_text(group.title)
        if width:
            title = _cut(title, width - _FIXED_COLUMNS - len(count) - len(trend) - len(seen))
        click.echo(f"{group.id:>5} {severity} {state} {count} {trend} {seen}  {title}")


def print_group(view: GroupView) -> None:
    """All about one group."""
    detail, color = view.detail, use_color()
    group, history = detail.group, detail.history
    click.echo(paint(safe_text(group.title), "red", enabled=color, bold=True))
    click.echo(f"group {group.id}, {_state(group)}, {group.severity}, category {group.category}")
    click.echo(view.suggestion)
    if group.culprit:
        click.echo(f"culprit {safe_text(group.culprit)}")
    if history.services:
        click.echo(f"services {', '.join(f'{safe_text(name) or _NO_SERVICE} {n:,}' for name, n in history.services)}")
    click.echo(
        f"{group.count:,} events, first {iso(group.first_seen)} ({ago(group.first_seen)}),"
        f" last {iso(group.last_seen)} ({ago(group.last_seen)})"
    )
    click.echo(_trend_line("last 24 hours", group.trend, "hour"))
    click.echo(_trend_line("last 30 days", history.counts, "day"))
    if view.stacktrace:
        click.echo("\n" + safe_text(view.stacktrace.rstrip("\n"), keep="\n"))
    if detail.samples:
        click.echo("\nsample events: the latest, some between, the first")
        _print_events(detail.samples)
    if detail.trace:
        click.echo(f"\nlast events of trace {safe_text(detail.trace[0].trace_id or '')}")
        _print_events(detail.trace)


def _print_events(events: Sequence[StoredEvent]) -> None:
    from agent.query.fragments import severity_name

    for event in events:
        level = severity_name(event) or "-"
        click.echo(f"  {iso(event.timestamp)} {level:5} {safe_text(event.source)} {safe_text(event.body)}")


def _trend_line(name: str, counts: Sequence[int], unit: str) -> str:
    most = f", at most {max(counts):,} in one {unit}" if sum(counts) else ""
    return f"{name:13} [{sparkline(counts)}] {sum(counts):,} events{most}"


def _state(group: ErrorGroup) -> str:
    """The state, with what ends it."""
    if group.state != "ignored":
        return group.state
    ends = []
    if group.ignored_events_left is not None:
        ends.append(f"for {group.ignored_events_left:,} more events")
    if (until := group.ignored_until) is not None:
        left = (until - time.time_ns()) // 10**9
        ends.append(f"until {iso(until)} ({f'{length(left)} left' if left > 0 else 'over: it comes back'})")
    return f"ignored {' or '.join(ends)}" if ends else "ignored"


def _terminal_columns() -> int | None:
    """The width of the terminal; None where the output goes elsewhere, and is not to be cut."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def _cut(text: str, width: int) -> str:
    return text if len(text) <= max(width, 20) else text[: max(width, 20) - 3] + "..."


# ---------------------------------------------------------------- numbers over time


BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII_BLOCKS = " .:-=+*#@"
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def _can_show(text: str) -> bool:
    """Whether the encoding of standard output has these characters."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def sparkline(counts: Sequence[int]) -> str:
    """One mark per count, as high as its share of the largest; a count above 0 is never a blank."""
    marks = BLOCKS if _can_show(BLOCKS) else ASCII_BLOCKS
    top = max(counts, default=0) or 1
    steps = len(marks) - 1
    return "".join(marks[max(0, -(-count * steps // top))] for count in counts)


def times_sign() -> str:
    """What stands after a number of events."""
    return "×" if _can_show("×") else "x"


def length(seconds: int) -> str:
    """A duration in its largest unit, rounded down: `3d`, `2h`, `5m`, `40s`."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    return f"{max(0, seconds) // size}{unit}"


def ago(instant: int) -> str:
    """How long ago an instant (Unix ns) was: `2h ago`; what lies ahead is now."""
    return f"{length((time.time_ns() - instant) // 10**9)} ago"
