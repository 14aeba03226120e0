"""Error groups for people and as JSON, for `sidelog errors`."""

from __future__ import annotations

import sys
import time
from typing import IO, TYPE_CHECKING, Any

import click
import msgspec

from agent.cli.common import paint, safe_text, use_color

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.query.events import StoredEvent

_SEVERITY_COLORS = {"ERROR": "red", "FATAL": "magenta"}
_STATE_COLORS = {"new": "yellow", "regressed": "bright_red", "resolved": "green", "ignored": "bright_black"}
_NO_SERVICE = "(none)"
_FIXED_COLUMNS = 26  # id, severity, state, and the blanks between all


class Shown(msgspec.Struct):
    """One group with all that `errors show` says of it. Times are Unix ns."""

    row: dict[str, Any]
    stacktrace: str | None = None
    samples: Sequence[StoredEvent] = ()  # newest first
    days: Sequence[int] = ()  # events of each of the last days, today last
    services: Sequence[tuple[str, int]] = ()
    trace: Sequence[StoredEvent] = []  # with the trace id of the latest sample


def iso(instant: int | None) -> str | None:
    """RFC 3339."""
    from agent.core.times import format_utc

    return None if instant is None else format_utc(instant)


def document(row: dict[str, Any]) -> dict[str, Any]:
    """A group's row as JSON."""
    times = {name: iso(row[name]) for name in ("first_seen", "last_seen", "ignored_until")}
    return {**row, **times}


def shown_document(shown: Shown) -> dict[str, Any]:
    """A group with its trace and samples as JSON."""
    import orjson

    from agent.query.fragments import encode
    from agent.query.render import document as event_document

    def events(found: Sequence[StoredEvent]) -> list[Any]:
        return [orjson.Fragment(encode(event_document(event))) for event in found]

    return {
        **document(shown.row),
        "stacktrace": _sayable(shown.stacktrace),
        "samples": events(shown.samples),
        "trend_days": list(shown.days),
        "services": [{"service": _sayable(name) or None, "count": count} for name, count in shown.services],
        "trace_id": _sayable(shown.samples[0].trace_id) if shown.samples else None,
        "trace_events": events(shown.trace),
    }


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """One line per group."""
    color, sign = use_color(), times_sign()
    width = _terminal_columns()
    for row in rows:
        severity = paint(f"{row['severity']:5}", _SEVERITY_COLORS.get(row["severity"], "red"), enabled=color)
        state = paint(f"{row['state']:9}", _STATE_COLORS.get(row["state"], "white"), enabled=color)
        count, trend, seen = f"{row['count']:>7,} {sign}", sparkline(row["trend"]), f"{ago(row['last_seen']):>8}"
        title = safe_text(row["title"])
        if width:
            title = _cut(title, width - _FIXED_COLUMNS - len(count) - len(trend) - len(seen))
        click.echo(f"{row['id']:>5} {severity} {state} {count} {trend} {seen}  {title}")


def print_group(shown: Shown) -> None:
    """All about one group."""
    row, color = shown.row, use_color()
    click.echo(paint(safe_text(row["title"]), "red", enabled=color, bold=True))
    click.echo(f"group {row['id']}, {_state(row)}, {row['severity']}, category {row['category']}")
    click.echo(row["suggestion"])
    if row["culprit"]:
        click.echo(f"culprit {safe_text(row['culprit'])}")
    if shown.services:
        click.echo(f"services {', '.join(f'{safe_text(name) or _NO_SERVICE} {n:,}' for name, n in shown.services)}")
    click.echo(
        f"{row['count']:,} events, first {iso(row['first_seen'])} ({ago(row['first_seen'])}),"
        f" last {iso(row['last_seen'])} ({ago(row['last_seen'])})"
    )
    click.echo(_trend_line("last 24 hours", row["trend"], "hour"))
    click.echo(_trend_line("last 30 days", shown.days, "day"))
    if shown.stacktrace:
        click.echo("\n" + safe_text(shown.stacktrace.rstrip("\n"), keep="\n"))
    if shown.samples:
        click.echo("\nsample events: the latest, some between, the first")
        _print_events(shown.samples)
    if shown.trace:
        click.echo(f"\nlast events of trace {safe_text(shown.trace[0].trace_id or '')}")
        _print_events(shown.trace)


def _print_events(events: Sequence[StoredEvent]) -> None:
    from agent.query.fragments import severity_name

    for event in events:
        level = severity_name(event) or "-"
        click.echo(f"  {iso(event.timestamp)} {level:5} {safe_text(event.source)} {safe_text(event.body)}")


def _trend_line(name: str, counts: Sequence[int], unit: str) -> str:
    most = f", at most {max(counts):,} in one {unit}" if sum(counts) else ""
    return f"{name:13} [{sparkline(counts)}] {sum(counts):,} events{most}"


def _state(row: dict[str, Any]) -> str:
    """The state, with what ends it."""
    if row["state"] != "ignored":
        return str(row["state"])
    ends = []
    if row["ignored_events_left"] is not None:
        ends.append(f"for {row['ignored_events_left']:,} more events")
    if (until := row["ignored_until"]) is not None:
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


def _sayable(text: str | None) -> str | None:
    """Without lone surrogates, which JSON's UTF-8 has no form for."""
    return text and text.encode("utf-8", "backslashreplace").decode()


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
