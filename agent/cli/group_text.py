"""Error groups for people: a line each, or all about one."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from agent.cli.common import paint, safe_text, shown_time, terminal_columns, use_color
from agent.core.text import columns, counted, cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.core.groups import ErrorGroup
    from agent.core.stored import StoredEvent
    from agent.views.error_diff import ErrorDiff, GroupChange, Side
    from agent.views.errors import GroupView

_SEVERITY_COLORS = {"ERROR": "red", "FATAL": "magenta"}
_STATE_COLORS = {"new": "yellow", "regressed": "bright_red", "resolved": "green", "ignored": "bright_black"}
_NO_SERVICE = "(none)"
_WIDE = 120  # columns from which on a line has the severity and a mark for each hour
_TREND_STEP = 3  # hours of a mark on a narrower terminal
_LEAST_TITLE = 16  # columns that the culprit leaves to the title
_LEAST_CULPRIT = 12  # columns below which its end says nothing


def print_groups(groups: Sequence[ErrorGroup]) -> None:
    """One line per group, which ends at a terminal's edge."""
    width = terminal_columns()
    if width is None or width >= _WIDE:
        for group in groups:
            severity = _painted(f"{group.severity:5}", _SEVERITY_COLORS.get(group.severity or "", "red"))
            before = f"{group.id:>5} {group.severity:5} {group.state:9} {_counts(group, 7, group.trend)}"
            text = f"{group.id:>5} {severity} {_state_word(group, 9)} {_counts(group, 7, group.trend)}"
            click.echo(f"{text}  {_what(group, width and width - columns(before) - 2)}")
        return
    places = [max((len(text(group)) for group in groups), default=0) for text in (_id, _state_of, _count)]
    for group in groups:
        trend = [sum(group.trend[at : at + _TREND_STEP]) for at in range(0, len(group.trend), _TREND_STEP)]
        counts = f"{_count(group):>{places[2]}} {sparkline(trend)} {length_since(group.last_seen):>3}"
        before = f"{group.id:>{places[0]}} {group.state:{places[1]}} {counts}"
        shown = f"{group.id:>{places[0]}} {_state_word(group, places[1])} {counts}"
        click.echo(f"{shown} {_what(group, width - columns(before) - 1)}")


def _id(group: ErrorGroup) -> str:
    return str(group.id)


def _state_of(group: ErrorGroup) -> str:
    return group.state


def _count(group: ErrorGroup) -> str:
    return f"{group.count:,}{times_sign()}"


def _counts(group: ErrorGroup, width: int, trend: Sequence[int]) -> str:
    return f"{group.count:>{width},} {times_sign()} {sparkline(trend)} {ago(group.last_seen):>8}"


def _state_word(group: ErrorGroup, width: int) -> str:
    return _painted(f"{group.state:{width}}", _STATE_COLORS.get(group.state, "white"))


def _painted(text: str, color: str) -> str:
    return paint(text, color, enabled=use_color())


def _what(group: ErrorGroup, width: int | None) -> str:
    """Title, culprit and service, in so many columns; None: whole. Where not all fits, file and function are what is
    left of a culprit, as the last word of an exception's type.
    """
    title, culprit = safe_text(group.title), safe_text(group.culprit or "")
    service = f"  [{safe_text(group.service)}]" if group.service else ""
    if width is None:
        return f"{title}{f'  in {culprit}' if culprit else ''}{service}"
    kind = safe_text(group.exception_type or "")
    title = kind.rpartition(".")[2] + title.removeprefix(kind) if kind and title.startswith(kind) else title
    service = cut(service, width // 3)
    room = width - columns(service)
    if culprit and columns(title) + columns(f"  in {culprit}") > room:
        culprit = ".".join(culprit.rpartition("/")[2].split(".")[-2:])
    if culprit:  # what the title leaves, at least half of it
        most = min(max(room - columns(title), room // 2), room - _LEAST_TITLE)
        culprit = "" if most < _LEAST_CULPRIT else f"  in {cut(culprit, most - len('  in '), from_end=True)}"
    return f"{cut(title, room - columns(culprit))}{culprit}{service}"


def print_group(view: GroupView, *, full: bool) -> None:
    """All about one group.

    Args:
        view: of it.
        full: with all frames of libraries.
    """
    detail = view.detail
    group, history = detail.group, detail.history
    click.echo(paint(safe_text(group.title), "red", enabled=use_color(), bold=True))
    click.echo(f"group {group.id}, {_state(group)}, {group.severity}, category {group.category}")
    click.echo(view.suggestion)
    if group.culprit:
        click.echo(f"culprit {safe_text(group.culprit)}")
    if history.services:
        click.echo(f"services {', '.join(f'{safe_text(name) or _NO_SERVICE} {n:,}' for name, n in history.services)}")
    click.echo(
        f"{counted(group.count, 'event')}, first {shown_time(group.first_seen)} ({ago(group.first_seen)}),"
        f" last {shown_time(group.last_seen)} ({ago(group.last_seen)})"
    )
    click.echo(_trend_line("last 24 hours", group.trend, "hour"))
    click.echo(_trend_line("last 30 days", history.counts, "day"))
    if view.stacktrace:
        _print_trace(view.stacktrace, full=full)
    if detail.samples:
        click.echo("\nsample events: the latest, some between, the first")
        _print_events(detail.samples)
    if detail.trace:
        click.echo(f"\nlast events of trace {safe_text(detail.trace[0].trace_id or '')}")
        _print_events(detail.trace)


def _print_trace(trace: str, *, full: bool) -> None:
    from agent.group.folding import fold

    text, count = (trace, 0) if full else fold(trace)
    click.echo("\n" + safe_text(text.rstrip("\n"), keep="\n"))
    if count:
        click.echo(f"(without {counted(count, 'frame')} of libraries: --full shows them)")


def _print_events(events: Sequence[StoredEvent]) -> None:
    from agent.query.fragments import severity_name
    from agent.query.glance import headline
    from agent.views.errors import request_facts

    for event in events:
        level = severity_name(event) or "-"
        said = safe_text(headline(event))
        click.echo(f"  {shown_time(event.timestamp, 3)} {level:5} {safe_text(event.source)} {said}")
        facts = [f"{safe_text(name)}={safe_text(value)}" for name, value in request_facts(event)]
        click.echo("      " + " ".join([*facts, f"in {safe_text(event.path)}"]))


def _trend_line(name: str, counts: Sequence[int], unit: str) -> str:
    most = f", at most {max(counts):,} in one {unit}" if sum(counts) else ""
    return f"{name:13} [{sparkline(counts)}] {counted(sum(counts), 'event')}{most}"


def _state(group: ErrorGroup) -> str:
    """The state, with what ends it."""
    if group.state != "ignored":
        return group.state
    ends = []
    if group.ignored_events_left is not None:
        ends.append(f"for {counted(group.ignored_events_left, 'more event')}")
    if (until := group.ignored_until) is not None:
        left = (until - time.time_ns()) // 10**9
        ends.append(f"until {shown_time(until)} ({f'{length(left)} left' if left > 0 else 'over: it comes back'})")
    return f"ignored {' or '.join(ends)}" if ends else "ignored"


# ---------------------------------------------------------------- what changed


_CHANGE_COLORS = {"new": "red", "gone": "green", "changed": "yellow"}


def print_diff(diff: ErrorDiff, *, show_all: bool) -> None:
    """One line for each group that came, went or changed, and a sentence on stderr about both sides."""
    width = terminal_columns()
    shown = [change for change in diff.changes if show_all or change.kind != "same"]
    counts = [f"{change.before:,} > {change.after:,}" for change in shown]
    ratios = [_ratio(change) for change in shown]
    ids = [str(change.group.id) for change in shown]
    places = [max(map(len, column), default=0) for column in (ids, counts, ratios)]
    for change, *cells in zip(shown, ids, counts, ratios, strict=True):
        number, count, ratio = (f"{cell:>{place}}" for cell, place in zip(cells, places, strict=True))
        before = f"{number} {change.kind:7} {count} {ratio} "
        kind = _painted(f"{change.kind:7}", _CHANGE_COLORS.get(change.kind, "white"))
        click.echo(f"{number} {kind} {count} {ratio} {_what(change.group, width and width - columns(before))}")
    first, second = (
        f"{counted(count, 'error')} {_side(side)}"
        for side, count in zip((diff.before, diff.after), diff.errors, strict=True)
    )
    same = sum(change.kind == "same" for change in diff.changes)
    rest = f"; {counted(same, 'group is', 'groups are')} as before" if same and not show_all else ""
    click.echo(f"{first}, {second}{rest}", err=True)


def _side(side: Side) -> str:
    if side.query.terms:
        return f"with {safe_text(str(side.query))}"
    return f"from {shown_time(side.since)} to {shown_time(side.until)}"


def _ratio(change: GroupChange) -> str:
    if change.ratio is None or change.kind == "gone":
        return "-"
    return f"{times_sign()}{change.ratio:.3g}"


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
    return f"{length_since(instant)} ago"


def length_since(instant: int) -> str:
    """The same in one word: `2h`."""
    return length((time.time_ns() - instant) // 10**9)
