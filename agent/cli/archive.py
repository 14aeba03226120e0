"""`sidelog archive`: the archived logs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from agent.cli.common import Bar, Context, echo_json, json_option, print_error, safe_text, with_context
from agent.core.errors import EXIT_DONE, EXIT_FAILED
from agent.views import archives as views


@click.group(invoke_without_command=True)
@json_option()
@with_context
def command(_: Context, *, as_json: bool) -> Any:
    """Show the archives; make, verify and read them."""
    running = click.get_current_context()
    # `--json` before its command
    running.default_map = {name: {"as_json": as_json} for name in ("list", "run", "verify")}
    if running.invoked_subcommand is None:
        return running.invoke(list_archives, as_json=as_json)
    return EXIT_DONE


@command.command("list")
@json_option()
@with_context
def list_archives(context: Context, *, as_json: bool = False) -> int:
    """List the archives, oldest first."""
    connection, _ = context.open_store()
    rows = views.list_archives(connection)
    if as_json:
        echo_json(rows)
    for row in rows if not as_json else []:
        click.echo(f"{safe_text(row['path'])} {row['bytes']:,} bytes of {row['raw_bytes']:,}, {row['lines']:,} lines")
    return EXIT_DONE


@command.command("verify")
@json_option()
@with_context
def verify(context: Context, *, as_json: bool = False) -> int:
    """Read every archive and compare it with what is known of it."""
    from agent.archive.verify import verify_archives

    connection, config = context.open_store()
    with Bar("verifying") as bar:
        checked, findings = verify_archives(connection, config.archive_directory, bar.step)
    if as_json:
        echo_json(views.verify_document(checked, findings))
    for finding in findings if not as_json else []:
        print_error(finding.error)
    if not as_json and not findings:
        click.echo(f"{checked:,} archives are whole", err=True)
    return EXIT_FAILED if findings else EXIT_DONE


@command.command("cat")
@click.argument("name")
@with_context
def cat(context: Context, name: str) -> int:
    """Print the log of an archive, byte for byte. NAME is its file name, its path, or the end of its path."""
    from agent.archive.container import ArchiveReader
    from agent.archive.verify import find_archive

    connection, _ = context.open_store()
    with ArchiveReader(find_archive(connection, name)) as archive:
        for data in archive.contents():
            sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return EXIT_DONE


@command.command("restore")
@click.argument("name")
@click.argument("destination", type=click.Path(path_type=Path))
@with_context
def restore(context: Context, name: str, destination: Path) -> int:
    """Write the log of an archive to DEST, a new file or a directory. Nothing is overwritten."""
    from agent.archive.verify import find_archive, restore_archive

    connection, _ = context.open_store()
    path, size = restore_archive(find_archive(connection, name), destination)
    click.echo(f"restored {safe_text(str(path))}, {size:,} bytes", err=True)
    return EXIT_DONE


@command.command("run")
@json_option()
@click.option("--reindex", is_flag=True, help="Make the index again from the archives alone.")
@click.option("--dry-run", is_flag=True, help="Only say what would be rotated, archived and deleted, and why.")
@with_context
def run(context: Context, *, as_json: bool = False, reindex: bool = False, dry_run: bool = False) -> int:
    """Rotate and archive everything that is due now, without an agent."""
    from agent.cli import archiving

    if reindex and dry_run:
        raise click.UsageError("--reindex and --dry-run exclude each other")
    work = archiving.show_due if dry_run else archiving.make_index if reindex else archiving.archive_due
    return work(context, as_json=as_json)
