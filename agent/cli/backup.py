"""`sidelog backup` and `sidelog restore`: a consistent copy of the store, and back again."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from agent.cli.common import Bar, Context, echo_json, json_option, safe_text, with_context
from agent.core.errors import EXIT_DONE, StoreError
from agent.store import backup
from agent.store.reader import open_reader

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("destination", metavar="DEST", type=_PATH)
@json_option()
@with_context
def command(context: Context, *, destination: Path, as_json: bool) -> int:
    """Copy the store to DEST, a file that does not exist yet.

    The copy is of one moment, complete, checked, flushed to the disk, and readable by its owner only. The agent goes
    on meanwhile. `sidelog restore` brings it back.
    """
    path = context.config().store.path
    with Bar("copying") as bar:
        made = backup.back_up(path, destination, bar.step)
    if as_json:
        orphans = [str(orphan) for orphan in made.orphans]
        echo_json({"store": str(path), "backup": str(destination), "bytes": made.bytes, "orphans": orphans})
    elif context.verbosity >= 0:
        click.echo(f"backup: {safe_text(str(destination))}, {made.bytes:,} bytes, checked", err=True)
        _name_orphans(made.orphans)
    return EXIT_DONE


@click.command()
@click.argument("source", metavar="SRC", type=_PATH)
@click.option("--force", is_flag=True, help="Move a store that is there aside.")
@json_option()
@with_context
def restore(context: Context, *, source: Path, force: bool, as_json: bool) -> int:
    """Put a copy of SRC, made by `sidelog backup`, in the store's place.

    The agent must not run. SRC is checked first and stays as it is. The next start of the agent goes on from where
    the backup was: what the log files have had since is read again.
    """
    path = context.config().store.path
    with Bar("copying") as bar:
        made = backup.restore(source, path, force=force, progress=bar.step)
    unknown = _unknown_archives(path, context.config().archive_directory)
    if as_json:
        former, orphans = str(made.former) if made.former else None, [str(orphan) for orphan in made.orphans]
        echo_json(
            {
                "store": str(path),
                "backup": str(source),
                "moved_aside": former,
                "orphans": orphans,
                "unknown_archives": [str(archive) for archive in unknown],
            }
        )
    elif context.verbosity >= 0:
        moved = f"; the former store is {safe_text(str(made.former))}" if made.former else ""
        click.echo(f"restore: {safe_text(str(path))} is what {safe_text(str(source))} was{moved}", err=True)
        _name_orphans(made.orphans)
    if unknown:  # with -q too: until then answers lack what is in them
        click.echo(
            f"sidelog: {len(unknown):,} archives are younger than this store, which does not know them, as"
            f" {safe_text(str(unknown[0]))}: `sidelog archive run --reindex` takes them up",
            err=True,
        )
    return EXIT_DONE


def _unknown_archives(store: Path, directory: Path) -> list[Path]:
    """Archives that a restored store does not know; none where it is of a version that an agent has to bring on."""
    if not directory.is_dir():
        return []
    from agent.archive.verify import unknown_archives

    try:
        connection = open_reader(store)
    except StoreError as error:
        if error.code != "SL407":
            raise
        return []
    with closing(connection):
        return unknown_archives(connection, directory)


def _name_orphans(orphans: list[Path]) -> None:
    for orphan in orphans:
        click.echo(f"left by a store that is gone, and moved aside: {safe_text(str(orphan))}", err=True)
