"""`sidelog archive`: the archived logs."""

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
    """Show the archives."""
    context.default_map = {name: {"as_json": as_json} for name in command.commands}  # `--json` before its command
    if context.invoked_subcommand is None:
        return context.invoke(list_archives, as_json=as_json)
    return 0


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_options
def list_archives(
    config_path: Path | None,
    store: Path | None,
    overrides: tuple[str, ...],
    as_json: bool = False,
) -> int:
    """List the archives, oldest first."""
    from agent.health import iso

    connection, _ = open_store(config_path, store, overrides)
    rows = [
        {
            "path": path,
            "source": source,
            "bytes": size,
            "raw_bytes": raw,
            "lines": lines,
            "first": iso(first),
            "last": iso(last),
        }
        for path, source, size, raw, lines, first, last in connection.execute(
            "SELECT path, source, bytes, raw_bytes, lines, min_timestamp, max_timestamp FROM archives ORDER BY id"
        )
    ]
    connection.close()
    if as_json:
        echo_json(rows)
    for row in rows if not as_json else []:
        click.echo(f"{safe_text(row['path'])} {row['bytes']:,} bytes of {row['raw_bytes']:,}, {row['lines']:,} lines")
    return 0
