"""`sidelog alerts`: alert rules, what became of them, and what a person does about them."""

from __future__ import annotations

import json
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import click

from agent.alert import operations
from agent.alert.rules import compile_rule, shown_key, shown_value
from agent.cli.common import (
    Context,
    Group,
    echo_json,
    engine_option,
    json_option,
    paint,
    print_errors,
    print_warnings,
    safe_text,
    shown_time,
    use_color,
    user_name,
    utc_option,
    with_context,
)
from agent.core.errors import EXIT_DONE, EXIT_FAILED, SidelogError, UsageError
from agent.core.text import counted
from agent.core.times import parse_past_time, parse_time
from agent.core.units import format_duration
from agent.views import alerts as views

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.alert.replay import Replay
    from agent.config import RuleConfig

_COLORS = {"ok": "green", "resolved": "green", "pending": "yellow", "repeat": "red", "firing": "red"}
_NS = 1_000_000_000


def fleet_option(command: Callable[..., int]) -> Callable[..., int]:
    """The options that say which `alerts run` is meant, in place of the agent of this machine."""
    name = click.option(
        "--name", default="alerts", metavar="NAME", help="With --engine: which, as `alerts run` has it."
    )
    which = click.option("--engine", metavar="NAME|URL", help="Of `alerts run` over this ClickHouse.")
    return which(name(command))


@click.group(cls=Group, invoke_without_command=True)
@json_option()
@utc_option
@with_context
def command(_: Context, *, as_json: bool) -> Any:
    """Show, test and silence alert rules."""
    running = click.get_current_context()
    if running.invoked_subcommand is None:
        return running.invoke(list_rules, as_json=as_json)
    return EXIT_DONE


@command.command("list")
@json_option()
@utc_option
@with_context
def list_rules(context: Context, *, as_json: bool = False) -> int:
    """Show the rules with their live state."""
    connection, config = context.open_store()
    rows = views.list_states(connection, time.time_ns(), config.alerts)
    if as_json:
        echo_json(rows)
        return EXIT_DONE
    for row in rows:
        click.echo(_state_line(row))
    if not rows:
        click.echo("no alert rules", err=True)
    return EXIT_DONE


def _state_line(row: dict[str, Any]) -> str:
    state = paint(f"{row['state']:8}", _COLORS[row["state"]], enabled=use_color())
    parts = [state, safe_text(row["rule"]), f"{row['value']:g} of {row['threshold']:g}"]
    if row["key"]:
        parts.insert(2, _key_text(row["key"]))
    if row["since"]:
        parts.append(f"since {shown_time(row['since'])}")
    if row["silenced"]:
        held = row["silenced"]
        until = shown_time(held["until"])
        why = f": {safe_text(held['comment'])}" if held["comment"] else ""
        parts.append(f"silenced until {until} by {safe_text(held['author'])}{why}")
    elif row["quiet"]:
        parts.append(row["quiet"])
    return "  ".join(parts)


def _key_text(key: dict[str, str | None]) -> str:
    return safe_text(shown_key(key))


@command.command("history")
@json_option()
@utc_option
@with_context
def history(context: Context, *, as_json: bool) -> int:
    """Show when alerts fired and resolved, newest last."""
    connection, _ = context.open_store()
    rows = views.history(connection)
    if as_json:
        echo_json(rows)
    for row in rows if not as_json else []:
        parts = [
            shown_time(row["time"], 3),
            safe_text(str(row["rule"])),
            _key_text(json.loads(row["key"])),
            row["state"],
        ]
        click.echo(" ".join(part for part in parts if part))
    if not rows and not as_json:
        click.echo("no alert has fired yet", err=True)
    return EXIT_DONE


# ------------------------------------------------------------ silences


@command.command("silence")
@click.argument("rule")
@click.option("--for", "duration", required=True, metavar="DURATION", help="How long: 30m, 2h, 1d.")
@click.option("--comment", default="", help="Why; shown by `alerts list`.")
@click.option("--author", default=None, help="Who (default: the user's name).")
@fleet_option
@utc_option
@with_context
def silence(
    context: Context, rule: str, *, duration: str, comment: str, author: str | None, engine: str | None, name: str
) -> int:
    """Tell nobody that a rule fires, for a while. One that fires still when the silence ends is told then."""
    config = context.config()
    facts: dict[str, Any] = {
        "now": time.time_ns(),
        "duration": duration,
        "author": author or user_name(),
        "comment": comment,
    }
    if engine is None:
        until = operations.silence(config.store.path, config.alerts, rule, **facts)
    else:
        from agent.cli import fleet

        until = fleet.silence(config, engine, name, rule, **facts)
    click.echo(f"{safe_text(rule)} is silenced until {shown_time(until)}", err=True)
    return EXIT_DONE


@command.command("unsilence")
@click.argument("rule")
@fleet_option
@with_context
def unsilence(context: Context, rule: str, *, engine: str | None, name: str) -> int:
    """End a rule's silence."""
    config = context.config()
    if engine is None:
        ended = operations.unsilence(config.store.path, config.alerts, rule, time.time_ns(), user_name())
    else:
        from agent.cli import fleet

        ended = fleet.unsilence(config, engine, name, rule)
    click.echo(f"{safe_text(rule)} {'is no longer silenced' if ended else 'was not silenced'}", err=True)
    return EXIT_DONE


# ------------------------------------------------------------ hooks


@command.command("redeliver")
@click.argument("delivery", metavar="ID|all")
@with_context
def redeliver(context: Context, delivery: str) -> int:
    """Let the agent try a dead delivery anew, by its delivery id; `all`: every dead one."""
    count = operations.redeliver(context.config().store.path, delivery, time.time_ns(), user_name())
    click.echo(f"{counted(count, 'delivery', 'deliveries')} will be tried by the running agent", err=True)
    return EXIT_DONE


@command.command("send-test")
@click.argument("hook")
@with_context
def send_test(context: Context, hook: str) -> int:
    """Run a hook once, now, with an example; exit code 1 when it fails. Needs no agent."""
    import asyncio

    from agent.alert.document import example
    from agent.hooks.dispatch import tell

    config = context.config()
    if not config.hooks:
        raise UsageError.of("SL711.empty", hook)
    if hook not in config.hooks:
        raise UsageError.of("SL711", hook, hooks=", ".join(config.hooks))
    result = asyncio.run(tell(config.hooks[hook], example(hook)))
    if result.output:
        click.echo(safe_text(result.output.rstrip("\n"), keep="\n\t"))
    said = paint(safe_text(result.said), "green" if result.ok else "red", enabled=use_color())
    click.echo(f"{safe_text(hook)}: {said}", err=True)
    return EXIT_DONE if result.ok else EXIT_FAILED


# ------------------------------------------------------------ over a fleet


@command.command("run")
@click.option("--engine", metavar="NAME|URL", help="The ClickHouse to ask (default: the section `engine`).")
@click.option("--name", default="alerts", metavar="NAME", help="Of those who run the same rules: one of them judges.")
@click.option("--interval", default="10s", metavar="DURATION", help="How often the rules are judged.")
@click.option("--lease", default="15s", metavar="DURATION", help="How long the others wait for one that says nothing.")
@with_context
def run(context: Context, *, engine: str | None, name: str, interval: str, lease: str) -> int:
    """Judge the rules over all agents of a ClickHouse, and run their hooks, until it is stopped.

    It may run on several machines with the same configuration: one of them judges, another takes over when that one is
    gone. Agents go on judging their own rules; these here are best in a configuration of their own.
    """
    from agent.cli.fleet import run_alerts

    return run_alerts(context, engine, name=name, interval=interval, lease=lease)


# ------------------------------------------------------------ test


@command.command("test")
@click.argument("rule")
@click.option("-S", "--since", default="7d", metavar="TIME", help="From this time on (default: 7d ago).")
@click.option("-U", "--until", default="now", metavar="TIME", help="Up to this time.")
@click.option("--explain", metavar="TIME", help="Show the window's values around this instant: why, or why not.")
@engine_option
@json_option()
@utc_option
@with_context
def test(context: Context, rule: str, *, since: str, until: str, explain: str | None, as_json: bool) -> int:
    """Say when a rule would have fired, by the events that are stored. Nobody is told."""
    from agent.alert import replay
    from agent.alert.check import unusable
    from agent.config import InvalidConfigError
    from agent.query import open_engine
    from agent.query.language import Selection, parse_query
    from agent.query.reasons import reasons

    config = context.config()
    with closing(open_engine(config.store.path, config.archive_directory, fleet=context.fleet(config))) as engine:
        chosen = operations.find_rule(config.alerts, rule)
        if faults := unusable(config):
            raise InvalidConfigError(faults)
        now = time.time_ns()
        start, end = parse_time(since, now), parse_time(until, now)
        moments = [] if explain is None else _moments(parse_past_time(explain, now), chosen, min(end, now))
        found = replay.replay(engine, chosen, start, end, nearby=not as_json, moments=moments)
        errors = engine.errors
        if not found.events:
            with suppress(SidelogError):  # the answer stands, whatever befalls the store now
                print_warnings(reasons(engine, Selection(parse_query(chosen.match), start, end)))
    if as_json:
        echo_json(views.replay_document(rule, start, end, found, with_values=explain is not None))
    else:
        _print_test(chosen, found, explained=explain is not None)
    print_errors(errors)
    return EXIT_FAILED if errors else EXIT_DONE


def _moments(instant: int, rule: RuleConfig, end: int) -> list[int]:
    """The instants around one, none of them later than what is replayed: nothing is known of the time after it."""
    from agent.alert import replay

    if instant > end:
        raise UsageError.of("SL514.later", shown_time(instant), end=shown_time(end))
    return replay.around(instant, round(rule.window * _NS), end)


def _print_test(rule: RuleConfig, found: Replay, *, explained: bool) -> None:
    compiled = compile_rule(rule)
    for row, firing in zip(views.firing_rows(found.firings), found.firings, strict=True):
        end = firing.ended_at
        lasted = "still firing" if end is None else f"for {format_duration(max(1, (end - firing.started_at) // _NS))}"
        key = f"  {_key_text(row['key'])}" if row["key"] else ""
        click.echo(
            f"{shown_time(row['started_at'], 3)}  {lasted}{key}  value {shown_value(compiled.form, firing.value)}"
        )
    click.echo(
        f"{counted(found.events, 'event')} matched; {safe_text(rule.name)} would have fired"
        f" {counted(len(found.firings), 'time')}",
        err=True,
    )
    if len(found.nearby) > 1:
        counts = ", ".join(f"{shown_value(compiled.form, limit)}: {count}" for limit, count in found.nearby)
        click.echo(f"by threshold: {counts}", err=True)
    for moment in views.moment_rows(found.moments) if explained else []:
        key = f"  {_key_text(moment['key'])}" if moment["key"] else ""
        value = shown_value(compiled.form, moment["value"])
        limit = shown_value(compiled.form, compiled.threshold)
        click.echo(f"{shown_time(moment['time'], 3)}  {moment['state']:8} {value} of {limit}{key}")
