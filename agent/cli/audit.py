"""`sidelog audit`: the books of every file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import config_options, echo_json, open_store, safe_text
from agent.errors import EXIT_DONE, EXIT_FAILED

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@config_options
def command(
    as_json: bool,
    config_path: Path | None,
    store: Path | None,
    overrides: tuple[str, ...],
) -> int:
    """Prove, per file, that bytes read = events + blank lines + gaps. Exits 1 on any difference."""
    from agent.store.audit import balance

    connection, _ = open_store(config_path, store, overrides)
    rows = balance(connection)
    connection.close()
    wrong = [row for row in rows if not row["complete"]]
    if as_json:
        echo_json(rows)
    else:
        for row in rows:
            click.echo(
                f"{_verdict(row)} {safe_text(row['path'])}: {row['offset'] - row['start_offset']} bytes read ="
                f" {row['event_bytes']} in {row['events']} events + {row['blank_bytes']} blank"
                f" + {row['gap_bytes']} in {row['gaps']} gaps"
            )
    return EXIT_FAILED if wrong else EXIT_DONE


def _verdict(row: dict[str, Any]) -> str:
    if row["complete"]:
        return "ok "
    if row["difference"]:
        return f"{row['difference']} bytes unaccounted for:"
    return "gaps without their bytes:"
