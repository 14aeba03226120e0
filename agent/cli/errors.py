"""`sidelog errors`: groups of errors."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import config_options, echo_json, open_store, paint, safe_text, use_color
from agent.errors import SidelogError

if TYPE_CHECKING:
    from pathlib import Path

STATES = ("new", "ongoing", "regressed", "resolved", "ignored")
_GROUP_ID = click.IntRange(1, 2**63 - 1)  # what SQLite can hold
_SAMPLES = 5
_TREND_MARKS = " ▁▂▃▄▅▆▇█"
_SEVERITY_COLORS = {"ERROR": "red", "FATAL": "magenta"}


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_options
@click.pass_context
def command(context: click.Context, /, *, as_json: bool, **_: Any) -> Any:
    """Show groups of errors and manage their state."""
    context.default_map = {name: {"as_json": as_json} for name in command.commands}  # `--json` before its command
    if context.invoked_subcommand is None:
        return context.invoke(list_errors, as_json=as_json)
    return 0


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only groups in this state.")
@config_options
def list_errors(
    config_path: Path | None,
    store: Path | None,
    overrides: tuple[str, ...],
    as_json: bool = False,
    states: tuple[str, ...] = (),
) -> int:
    """List the groups, the last seen first."""
    from agent.store.groups import list_groups

    connection, _ = open_store(config_path, store, overrides)
    rows = [row for row in list_groups(connection) if not states or row["state"] in states]
    connection.close()
    if as_json:
        echo_json([_document(row) for row in rows])
        return 0
    color = use_color()
    for row in rows:
        severity = paint(f"{row['severity']:5}", _SEVERITY_COLORS.get(row["severity"], "red"), enabled=color)
        click.echo(
            f"{row['id']:>5} {severity} {row['state']:9} {row['count']:>7,} × {_trend(row['trend'])}"
            f" {_ago(row['last_seen']):>8}  {safe_text(row['title'])}"
        )
    if not rows:
        click.echo("no errors", err=True)
    return 0


@command.command("show")
@click.argument("group", type=_GROUP_ID, metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@config_options
def show(
    group: int,
    as_json: bool,
    config_path: Path | None,
    store: Path | None,
    overrides: tuple[str, ...],
) -> int:
    """Show one group with its last stack trace and last events."""
    import orjson

    from agent.group.classify import suggestion
    from agent.parse.exceptions import of_record
    from agent.query.events import COLUMNS, Files, StoredEvent
    from agent.query.fragments import encode
    from agent.query.render import document
    from agent.store.groups import list_groups

    connection, _ = open_store(config_path, store, overrides)
    rows = list_groups(connection, group=group)
    if not rows:
        raise _no_group(group)
    files = Files(connection)
    samples = [
        StoredEvent(row, files[row[4]])
        for row in connection.execute(
            f"SELECT {COLUMNS} FROM events e WHERE e.severity_number >= 17 AND e.group_id = ?"  # noqa: S608  constants
            " ORDER BY e.timestamp DESC, e.id DESC LIMIT ?",
            (group, _SAMPLES),
        )
    ]
    connection.close()
    row, kind = rows[0], rows[0]["exception_type"]
    row["suggestion"] = suggestion(kind, row["title"].removeprefix(f"{kind}: "))
    trace = next((found for event in samples if (found := of_record(event.fields).stacktrace)), None)
    if as_json:
        shown = [orjson.Fragment(encode(document(event))) for event in samples]
        echo_json({**_document(row), "stacktrace": _sayable(trace), "samples": shown})
    else:
        _print_group(row, trace, samples)
    return 0


def _print_group(row: dict[str, Any], trace: str | None, samples: list[Any]) -> None:
    color = use_color()
    click.echo(paint(safe_text(row["title"]), "red", enabled=color, bold=True))
    click.echo(f"group {row['id']}, {row['state']}, {row['severity']}, category {row['category']}")
    click.echo(row["suggestion"])
    if row["culprit"]:
        click.echo(f"culprit {safe_text(row['culprit'])}")
    click.echo(f"{row['count']:,} events, first {_iso(row['first_seen'])}, last {_iso(row['last_seen'])}")
    click.echo(f"last 24 hours {_trend(row['trend'])}")
    if trace:
        click.echo("\n" + safe_text(trace.rstrip("\n"), keep="\n"))
    click.echo("\nlast events")
    for event in samples:
        click.echo(f"  {_iso(event.timestamp)} {safe_text(event.source)} {safe_text(event.body)}")


def _state_command(name: str, state: str, text: str) -> None:
    @command.command(name, help=text)
    @click.argument("group", type=_GROUP_ID, metavar="ID")
    @config_options
    def change(group: int, config_path: Path | None, store: Path | None, overrides: tuple[str, ...]) -> int:
        from agent.cli.common import load_config
        from agent.store.edit import editing, set_group_state

        with editing(load_config(config_path, store, overrides).store.path) as connection:
            if not set_group_state(connection, group, state, time.time_ns()):
                raise _no_group(group)
        click.echo(f"group {group} is {state}", err=True)
        return 0


_state_command("resolve", "resolved", "Mark a group as resolved; it comes back as regressed.")
_state_command("ignore", "ignored", "Ignore a group from now on.")
_state_command("reopen", "ongoing", "Make a resolved or ignored group ongoing again.")


def _no_group(group: int) -> SidelogError:
    return SidelogError(
        "SL540", "show errors", str(group), f"there is no error group {group}", hint="`sidelog errors` lists them"
    )


def _document(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "first_seen": _iso(row["first_seen"]), "last_seen": _iso(row["last_seen"])}


def _sayable(text: str | None) -> str | None:
    """Without lone surrogates, which JSON's UTF-8 has no form for."""
    return text and text.encode("utf-8", "backslashreplace").decode()


def _iso(instant: int) -> str | None:
    from agent.health import iso

    return iso(instant)


def _trend(counts: list[int]) -> str:
    """One mark per hour, as high as its share of the busiest hour."""
    top = max(counts, default=0) or 1
    steps = len(_TREND_MARKS) - 1
    return "".join(_TREND_MARKS[-(-count * steps // top)] for count in counts)


def _ago(instant: int) -> str:
    seconds = max(0, (time.time_ns() - instant) // 10**9)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit} ago"
    return f"{seconds}s ago"
