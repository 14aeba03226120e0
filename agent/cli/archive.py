"""`sidelog archive`: the archived logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import config_options, echo_json, open_store, print_error, safe_text
from agent.core.errors import EXIT_DONE, EXIT_FAILED

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from agent.store.archives import ArchiveRow

JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


@click.group(invoke_without_command=True)
@JSON
@config_options
@click.pass_context
def command(context: click.Context, /, *, as_json: bool, **_: Any) -> Any:
    """Show the archives; make, verify and read them."""
    # `--json` before its command
    context.default_map = {name: {"as_json": as_json} for name in ("list", "run", "verify")}
    if context.invoked_subcommand is None:
        return context.invoke(list_archives, as_json=as_json)
    return EXIT_DONE


@command.command("list")
@JSON
@config_options
def list_archives(
    config_path: Path | None,
    store: Path | None,
    overrides: tuple[str, ...],
    as_json: bool = False,
) -> int:
    """List the archives, oldest first."""
    from agent.store import archives
    from agent.views.status import iso

    connection, _ = open_store(config_path, store, overrides)
    rows = archives.load(connection)
    if as_json:
        echo_json(
            [
                {
                    "path": row.path,
                    "source": row.source,
                    "log": row.log_path,
                    "bytes": row.bytes,
                    "raw_bytes": row.raw_bytes,
                    "lines": row.lines,
                    "events": row.events,
                    "first": iso(row.min_timestamp),
                    "last": iso(row.max_timestamp),
                    "sha256": row.sha256,
                }
                for row in rows
            ]
        )
    for row in rows if not as_json else []:
        click.echo(f"{safe_text(row.path)} {row.bytes:,} bytes of {row.raw_bytes:,}, {row.lines:,} lines")
    return EXIT_DONE


@command.command("run")
@JSON
@click.option("--reindex", is_flag=True, help="Make the index again from the archives alone.")
@click.option("--dry-run", is_flag=True, help="Only say what would be rotated, archived and deleted, and why.")
@config_options
def run(
    config_path: Path | None,
    store: Path | None,
    overrides: tuple[str, ...],
    *,
    as_json: bool = False,
    reindex: bool = False,
    dry_run: bool = False,
) -> int:
    """Rotate and archive everything that is due now, without an agent."""
    from agent.cli.archiving import make_archives, make_index, show_outlook

    if reindex and dry_run:
        raise click.UsageError("--reindex and --dry-run exclude each other")
    work = show_outlook if dry_run else make_index if reindex else make_archives
    return work(config_path, store, overrides, as_json=as_json)


@command.command("verify")
@JSON
@config_options
def verify(config_path: Path | None, store: Path | None, overrides: tuple[str, ...], as_json: bool = False) -> int:
    """Read every archive and compare it with what is known of it."""
    from agent.cli.archiving import verify_archives

    connection, config = open_store(config_path, store, overrides)
    checked, findings = verify_archives(connection, config.archive_directory)
    if as_json:
        echo_json({"archives": checked, "findings": [finding.document() for finding in findings]})
    for finding in findings if not as_json else []:
        print_error(finding.error)
    if not as_json and not findings:
        click.echo(f"{checked:,} archives are whole", err=True)
    return EXIT_FAILED if findings else EXIT_DONE


@command.command("cat")
@click.argument("name")
@config_options
def cat(name: str, config_path: Path | None, store: Path | None, overrides: tuple[str, ...]) -> int:
    """Print the log of an archive, byte for byte. NAME is its file name, its path, or the end of its path."""
    import sys

    from agent.archive.container import ArchiveReader

    connection, _ = open_store(config_path, store, overrides)
    with ArchiveReader(_find(connection, name)) as archive:
        for data in archive.contents():
            sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return EXIT_DONE


@command.command("restore")
@click.argument("name")
@click.argument("destination", type=click.Path())
@config_options
def restore(
    name: str, destination: str, config_path: Path | None, store: Path | None, overrides: tuple[str, ...]
) -> int:
    """Write the log of an archive to DEST, a new file or a directory. Nothing is overwritten."""
    from pathlib import Path

    from agent.cli.archiving import restore_archive

    connection, _ = open_store(config_path, store, overrides)
    path, size = restore_archive(_find(connection, name), Path(destination))
    click.echo(f"restored {safe_text(str(path))}, {size:,} bytes", err=True)
    return EXIT_DONE


def _find(connection: sqlite3.Connection, name: str) -> Path:
    """The one archive that is meant.

    Raises:
        UsageError: SL808, there is none, or several.
    """
    from pathlib import Path

    from agent.core.errors import UsageError
    from agent.store import archives

    rows: list[ArchiveRow] = archives.load(connection)
    found = [row for row in rows if row.path == name] or [
        row for row in rows if row.path.endswith(f"/{name}") or Path(row.path).name.startswith(name)
    ]
    if len(found) == 1:
        return Path(found[0].path)
    said = "there is no archive" if not found else f"{len(found)} archives are"
    raise UsageError(
        "SL808",
        "find an archive",
        name,
        f"{said} named {name}",
        hint="sidelog archive list prints their names; the beginning of a file name is enough where it is the only one",
    )
