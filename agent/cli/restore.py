"""`sidelog restore`: puts a backup in the store's place."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.common import Bar, config_options, echo_json, load_config, safe_text, verbosity
from agent.core.errors import EXIT_DONE


@click.command()
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Move a store that is there aside.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@config_options
def command(
    *,
    source: Path,
    force: bool,
    as_json: bool,
    config_path: Path | None,
    store: Path | None,
    overrides: tuple[str, ...],
) -> int:
    """Put a copy of SRC, made by `sidelog backup`, in the store's place.

    The agent must not run. SRC is checked first and stays as it is. The next start of the agent goes on from where
    the backup was: what the log files have had since is read again.
    """
    from agent.store.backup import restore

    path = load_config(config_path, store, overrides).store.path
    with Bar("copying") as bar:
        aside = restore(source, path, force=force, progress=bar.step)
    if as_json:
        echo_json({"store": str(path), "backup": str(source), "moved_aside": str(aside) if aside else None})
    elif verbosity() >= 0:
        moved = f"; the former store is {safe_text(str(aside))}" if aside else ""
        click.echo(f"restore: {safe_text(str(path))} is what {safe_text(str(source))} was{moved}", err=True)
    return EXIT_DONE
