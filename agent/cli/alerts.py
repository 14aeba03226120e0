"""`sidelog alerts`: alert rules and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import config_options, echo_json, open_store, safe_text

if TYPE_CHECKING:
    from pathlib import Path


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_options
@click.pass_context
def command(context: click.Context, /, *, as_json: bool, **_: Any) -> Any:
    """Show alert rules and their history."""
    context.default_map = {name: {"as_json": as_json} for name in command.commands}  # `--json` before its command
    if context.invoked_subcommand is None:
        return context.invoke(list_rules, as_json=as_json)
    return 0


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_options
def list_rules(
    config_path: Path | None,
    store: Path | None,
    overrides: tuple[str, ...],
    as_json: bool = False,
) -> int:
    """Show the rules with their live state."""
    connection, _ = open_store(config_path, store, overrides)
    connection.close()
    if as_json:
        echo_json([])
    else:
        click.echo("no alert rules", err=True)
    return 0


@command.command("history")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_options
def history(
    as_json: bool,
    config_path: Path | None,
    store: Path | None,
    overrides: tuple[str, ...],
) -> int:
    """Show when alerts fired and resolved, newest last."""
    from agent.health import iso

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
    return 0
