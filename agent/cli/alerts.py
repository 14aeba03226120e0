"""`sidelog alerts`: alert rules, what became of them, and what a person does about them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import (
    config_options,
    echo_json,
    load_config,
    open_store,
    paint,
    print_errors,
    safe_text,
    use_color,
)
from agent.core.errors import EXIT_DONE, EXIT_FAILED, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent.config import Config, RuleConfig

_COLORS = {"ok": "green", "resolved": "green", "pending": "yellow", "repeat": "red", "firing": "red"}
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
_NS = 1_000_000_000


@click.group(invoke_without_command=True)
@_JSON
@config_options
@click.pass_context
def command(context: click.Context, /, *, as_json: bool, **_: Any) -> Any:
    """Show, test and silence alert rules."""
    with_json = ("list", "history", "test")
    context.default_map = {name: {"as_json": as_json} for name in with_json}  # `--json` before its command
    if context.invoked_subcommand is None:
        return context.invoke(list_rules, as_json=as_json)
    return 0


@command.command("list")
@_JSON
@config_options
def list_rules(config_path: Path | None, store: Path | None, overrides: tuple[str, ...], as_json: bool = False) -> int:
    """Show the rules with their live state."""
    from agent.views.alerts import list_states

    connection, config = open_store(config_path, store, overrides)
    rows = list_states(connection, time.time_ns(), config.alerts)
    connection.close()
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
        parts.append(f"since {row['since']}")
    if row["silenced"]:
        held = row["silenced"]
        parts.append(f"silenced until {held['until']} by {safe_text(held['author'])}: {safe_text(held['comment'])}")
    elif row["quiet"]:
        parts.append(row["quiet"])
    return "  ".join(parts)


def _key_text(key: dict[str, str | None]) -> str:
    from agent.alert.rules import shown_key

    return safe_text(shown_key(key))


@command.command("history")
@_JSON
@config_options
def history(as_json: bool, config_path: Path | None, store: Path | None, overrides: tuple[str, ...]) -> int:
    """Show when alerts fired and resolved, newest last."""
    from agent.views.status import iso

    connection, _ = open_store(config_path, store, overrides)
    rows = [
        {"rule": rule, "key": key, "state": state, "time": iso(at), "value": value, "threshold": threshold}
        for rule, key, state, at, value, threshold in connection.execute(
            'SELECT rule, "key", state, time, value, threshold FROM alert_history ORDER BY id'
        )
    ]
    connection.close()
    if as_json:
        echo_json(rows)
    for row in rows if not as_json else []:
        click.echo(f"{row['time']} {safe_text(str(row['rule']))} {safe_text(str(row['key']))} {row['state']}")
    return EXIT_DONE


# ------------------------------------------------------------ silences


@command.command("silence")
@click.argument("rule")
@click.option("--for", "duration", required=True, metavar="DURATION", help="How long: 30m, 2h, 1d.")
@click.option("--comment", default="", help="Why; shown by `alerts list`.")
@click.option("--author", default=None, help="Who (default: the user's name).")
@config_options
def silence(
    rule: str,
    *,
    duration: str,
    comment: str,
    author: str | None,
    config_path: Path | None,
    store: Path | None,
    overrides: tuple[str, ...],
) -> int:
    """Tell nobody that a rule fires, for a while. One that fires still when the silence ends is told then."""
    from agent.core.times import parse_duration
    from agent.store import alerts as tables
    from agent.store.edit import editing
    from agent.views.status import iso

    config = load_config(config_path, store, overrides)
    now = time.time_ns()
    until = now + parse_duration(duration)
    with editing(config.store.path) as connection:
        _known_rule(rule, [*tables.load_rules(connection), *_names(config)])
        tables.silence(connection, rule, created=now, until=until, author=author or _user(), comment=comment.strip())
    click.echo(f"{safe_text(rule)} is silenced until {iso(until)}", err=True)
    return EXIT_DONE


@command.command("unsilence")
@click.argument("rule")
@config_options
def unsilence(rule: str, config_path: Path | None, store: Path | None, overrides: tuple[str, ...]) -> int:
    """End a rule's silence."""
    from agent.store import alerts as tables
    from agent.store.edit import editing

    config = load_config(config_path, store, overrides)
    with editing(config.store.path) as connection:
        ended = tables.unsilence(connection, rule, time.time_ns())
        if not ended:
            _known_rule(rule, [*tables.load_rules(connection), *_names(config)])
    click.echo(f"{safe_text(rule)} {'is no longer silenced' if ended else 'was not silenced'}", err=True)
    return EXIT_DONE


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name
        return "unknown"


def _names(config: Config) -> list[str]:
    return [rule.name for rule in config.alerts]


def _known_rule(name: str, names: Sequence[str]) -> None:
    if name in names:
        return
    hint = f"the rules are {', '.join(sorted(set(names)))}" if names else "there are no alert rules"
    raise UsageError("SL710", "find the rule", name, f"there is no alert rule {name!r}", hint=hint)


# ------------------------------------------------------------ hooks


@command.command("redeliver")
@click.argument("delivery", metavar="ID|all")
@config_options
def redeliver(delivery: str, config_path: Path | None, store: Path | None, overrides: tuple[str, ...]) -> int:
    """Let the agent try a dead delivery anew, by its delivery id; `all`: every dead one."""
    from agent.store import alerts as tables
    from agent.store.edit import editing

    with editing(load_config(config_path, store, overrides).store.path) as connection:
        count = tables.redeliver(connection, delivery)
        if not count and delivery != "all":
            raise UsageError(
                "SL712",
                "find the delivery",
                delivery,
                f"there is no dead delivery {delivery!r}",
                hint="sidelog sql \"SELECT delivery_id, rule, hook, result FROM deliveries WHERE state = 'dead'\"",
            )
    click.echo(f"{count} {'delivery' if count == 1 else 'deliveries'} will be tried by the running agent", err=True)
    return EXIT_DONE


@command.command("send-test")
@click.argument("hook")
@config_options
def send_test(hook: str, config_path: Path | None, store: Path | None, overrides: tuple[str, ...]) -> int:
    """Run a hook once, now, with an example; exit code 1 when it fails. Needs no agent."""
    import asyncio

    from agent.alert.document import example
    from agent.hooks.dispatch import tell

    config = load_config(config_path, store, overrides)
    if hook not in config.hooks:
        hint = f"the hooks are {', '.join(config.hooks)}" if config.hooks else "the section hooks: is empty"
        raise UsageError("SL711", "find the hook", hook, f"there is no hook {hook!r}", hint=hint)
    result = asyncio.run(tell(config.hooks[hook], example(hook)))
    if result.output:
        click.echo(safe_text(result.output.rstrip("\n"), keep="\n\t"))
    said = paint(safe_text(result.said), "green" if result.ok else "red", enabled=use_color())
    click.echo(f"{safe_text(hook)}: {said}", err=True)
    return EXIT_DONE if result.ok else EXIT_FAILED


# ------------------------------------------------------------ test


@command.command("test")
@click.argument("rule")
@click.option("-S", "--since", default="7d", metavar="TIME", help="From this time on (default: 7d ago).")
@click.option("-U", "--until", default="now", metavar="TIME", help="Up to this time.")
@click.option("--explain", metavar="TIME", help="Show the window's values around this instant: why, or why not.")
@_JSON
@config_options
def test(
    rule: str,
    *,
    since: str,
    until: str,
    explain: str | None,
    as_json: bool,
    config_path: Path | None,
    store: Path | None,
    overrides: tuple[str, ...],
) -> int:
    """Say when a rule would have fired, by the events that are stored. Nobody is told."""
    from agent.alert import replay
    from agent.alert.matching import unusable
    from agent.config import InvalidConfigError
    from agent.core.times import parse_time
    from agent.query.opening import open_engine
    from agent.views.status import iso

    config = load_config(config_path, store, overrides)
    engine = open_engine(config.store.path)
    click.get_current_context().call_on_close(engine.close)
    chosen = _rule(config, rule)
    if faults := unusable(config):
        raise InvalidConfigError(faults)
    now = time.time_ns()
    start, end = parse_time(since, now), parse_time(until, now)
    moments = [] if explain is None else replay.around(parse_time(explain, now), round(chosen.window * _NS))
    found = replay.replay(engine, chosen, start, end, nearby=not as_json, moments=moments)
    if as_json:
        document = {"rule": rule, "from": iso(start), "to": iso(end), "firing": _firing_rows(found.firings)}
        if explain is not None:
            document["values"] = _moment_rows(found.moments)
        echo_json(document)
    else:
        _print_test(chosen, found, explained=explain is not None)
    print_errors(errors := engine.errors)
    return EXIT_FAILED if errors else EXIT_DONE


def _rule(config: Config, name: str) -> RuleConfig:
    _known_rule(name, _names(config))
    return next(rule for rule in config.alerts if rule.name == name)


def _firing_rows(firings: Sequence[Any]) -> list[dict[str, Any]]:
    import json

    from agent.views.status import iso

    return [
        {
            "key": json.loads(one.key),
            "started_at": iso(one.started_at),
            "ended_at": iso(one.ended_at),
            "value": one.value,
        }
        for one in firings
    ]


def _moment_rows(moments: Sequence[Any]) -> list[dict[str, Any]]:
    import json

    from agent.views.status import iso

    return [
        {"time": iso(moment.at), "key": json.loads(key), "value": value, "state": phase}
        for moment in moments
        for key, value, phase in moment.values
    ]


def _print_test(rule: RuleConfig, found: Any, *, explained: bool) -> None:
    from agent.alert.rules import compile_rule, shown_value
    from agent.core.units import format_duration

    compiled = compile_rule(rule)
    for row, firing in zip(_firing_rows(found.firings), found.firings, strict=True):
        end = firing.ended_at
        lasted = "still firing" if end is None else f"for {format_duration(max(1, (end - firing.started_at) // _NS))}"
        key = f"  {_key_text(row['key'])}" if row["key"] else ""
        click.echo(f"{row['started_at']}  {lasted}{key}  value {shown_value(compiled.form, firing.value)}")
    click.echo(
        f"{found.events:,} events matched; {safe_text(rule.name)} would have fired {len(found.firings)} times", err=True
    )
    if len(found.nearby) > 1:
        counts = ", ".join(f"{shown_value(compiled.form, limit)}: {count}" for limit, count in found.nearby)
        click.echo(f"by threshold: {counts}", err=True)
    for moment in _moment_rows(found.moments) if explained else []:
        key = f"  {_key_text(moment['key'])}" if moment["key"] else ""
        value = shown_value(compiled.form, moment["value"])
        limit = shown_value(compiled.form, compiled.threshold)
        click.echo(f"{moment['time']}  {moment['state']:8} {value} of {limit}{key}")
