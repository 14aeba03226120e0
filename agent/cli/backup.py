"""`sidelog backup`: a consistent copy of the store, also while the agent writes it."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.common import Bar, config_options, echo_json, load_config, safe_text, verbosity
from agent.core.errors import EXIT_DONE


@click.command()
@click.argument("destination", metavar="DEST", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@config_options
def command(
    destination: Path,
    as_json: bool,
    config_path: Path | None,
    store: Path | None,
    overrides: tuple[str, ...],
) -> int:
    """Copy the store to DEST, a file that does not exist yet.

    The copy is of one moment, complete, checked, flushed to the disk, and readable by its owner only. The agent goes
    on meanwhile. `sidelog restore` brings it back.
    """
    from agent.store.backup import back_up

    path = load_config(config_path, store, overrides).store.path
    with Bar("copying") as bar:
        size = back_up(path, destination, bar.step)
    if as_json:
        echo_json({"store": str(path), "backup": str(destination), "bytes": size})
    elif verbosity() >= 0:
        click.echo(f"backup: {safe_text(str(destination))}, {size:,} bytes, checked", err=True)
    return EXIT_DONE
