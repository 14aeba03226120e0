"""Error groups for people, for `sidelog errors`."""

from __future__ import annotations

import sys
import time
from typing import IO, TYPE_CHECKING, Any

import click

from agent.cli.common import paint, safe_text, use_color
from agent.views import iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.core.groups import ErrorGroup
    from agent.core.stored import StoredEvent
    from agent.views.errors import GroupView

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


def can_show(text: str, stream: IO[Any] | None = None) -> bool:
    """Whether a stream's encoding has these characters (default: standard output)."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "ascii"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def sparkline(counts: Sequence[int]) -> str:
    """One mark per count, as high as its share of the largest; a count above 0 is never a blank."""
    marks = BLOCKS if can_show(BLOCKS) else ASCII_BLOCKS
    top = max(counts, default=0) or 1
    steps = len(marks) - 1
    return "".join(marks[max(0, -(-count * steps // top))] for count in counts)


def times_sign() -> str:
    """What stands after a number of events."""
    return "×" if can_show("×") else "x"


def length(seconds: int) -> str:
    """A duration in its largest unit, rounded down: `3d`, `2h`, `5m`, `40s`."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    return f"{max(0, seconds) // size}{unit}"


def ago(instant: int) -> str:
    """How long ago an instant (Unix ns) was: `2h ago`; what lies ahead is now."""
    return f"{length((time.time_ns() - instant) // 10**9)} ago"
