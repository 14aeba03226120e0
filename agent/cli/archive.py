"""`sidelog archive`: the archived logs."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import (
    PATH,
    Bar,
    Context,
    Group,
    echo_json,
    json_option,
    print_error,
    safe_text,
    shown_time,
    utc_option,
    with_context,
)
from agent.core.errors import EXIT_DONE, EXIT_FAILED, ConfigError
from agent.core.text import counted
from agent.views import archives as views

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.archive.planner import ArchivingSummary
    from agent.config import Config
    from agent.core.errors import SidelogError
    from agent.store.opening import OpenStore


@click.group(cls=Group, invoke_without_command=True)
@json_option()
@utc_option
@with_context
def command(_: Context, *, as_json: bool) -> Any:
    """Show the archives; make, verify and read them."""
    running = click.get_current_context()
    if running.invoked_subcommand is None:
        return running.invoke(list_archives, as_json=as_json)
    return EXIT_DONE


@command.command("list")
@json_option()
@utc_option
@with_context
def list_archives(context: Context, *, as_json: bool = False) -> int:
    """List the archives, oldest first."""
    connection, config = context.open_store()
    rows = views.list_archives(connection, config.archive_directory)
    if as_json:
        echo_json(rows)
    for row in rows if not as_json else []:
        span = f", {shown_time(row['first'])} to {shown_time(row['last'])}" if row["first"] and row["last"] else ""
        size = f"{counted(row['bytes'], 'byte')} of {row['raw_bytes']:,}"
        click.echo(f"{safe_text(row['path'])} {size}, {counted(row['lines'], 'line')}{span}")
    if not rows and not as_json:
        click.echo("no archives", err=True)
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
        click.echo(f"{counted(checked, 'archive is', 'archives are')} whole", err=True)
    return EXIT_FAILED if findings else EXIT_DONE


@command.command("cat")
@click.argument("name")
@with_context
def cat(context: Context, name: str) -> int:
    """Print the log of an archive, byte for byte. NAME is its file name, its path, or the end of its path."""
    from agent.archive.container import ArchiveReader
    from agent.archive.verify import find_archive

    connection, config = context.open_store()
    with ArchiveReader(find_archive(connection, config.archive_directory, name)) as archive:
        for data in archive.contents():
            sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return EXIT_DONE


@command.command("restore")
@click.argument("name")
@click.argument("destination", type=PATH)
@with_context
def restore(context: Context, name: str, destination: Path) -> int:
    """Write the log of an archive to DEST, a new file or a directory. Nothing is overwritten."""
    from agent.archive.verify import find_archive, restore_archive

    connection, config = context.open_store()
    path, size = restore_archive(find_archive(connection, config.archive_directory, name), destination)
    click.echo(f"restored {safe_text(str(path))}, {counted(size, 'byte')}", err=True)
    return EXIT_DONE


@command.command("run")
@json_option()
@click.option("--reindex", is_flag=True, help="Make the index again from the archives alone.")
@click.option("--redact", is_flag=True, help="Make archives anew that hold what `redact` of their source names now.")
@click.option("--dry-run", is_flag=True, help="Only say what would be rotated, archived and deleted, and why.")
@with_context
def run(context: Context, *, as_json: bool = False, **options: bool) -> int:
    """Rotate and archive everything that is due now, without an agent."""
    works = {"reindex": _make_index, "redact": _redact, "dry_run": _show_due}
    chosen = [name for name in works if options[name]]
    if len(chosen) > 1:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in chosen)
        raise click.UsageError(f"{names} exclude each other")
    return works[chosen[0]](context, as_json=as_json) if chosen else _archive_due(context, as_json=as_json)


# ---------------------------------------------------------------- the work of `archive run`


def _show_due(context: Context, *, as_json: bool) -> int:
    """Print what would be done; where there is no store yet, what a first round would do that knows no log.

    Raises:
        ConfigError: SL801 and others.
        StoreError: the store is damaged.
    """
    from agent.store.reader import is_absent
    from agent.store.schema import empty_store

    config = context.config()
    _is_rotating(config)
    if is_absent(config.store.path):
        connection = empty_store()
        click.get_current_context().call_on_close(connection.close)
        if context.verbosity >= 0:
            click.echo(f"there is no store at {safe_text(str(config.store.path))} yet", err=True)
    else:
        connection, _ = context.open_store()
    rows = views.planned_actions(config, connection)
    if as_json:
        echo_json([row.document() for row in rows])
    for row in rows if not as_json else []:
        click.echo(f"{row.action:<8}{safe_text(row.path)}  {safe_text(row.why)}")
    if not rows and not as_json:
        click.echo("nothing is due", err=True)
    return EXIT_DONE


def _archive_due(context: Context, *, as_json: bool) -> int:
    """Rotate and archive what is due, with a progress bar on a terminal.

    Raises:
        ConfigError: SL801 and others.
        StoreError: SL404, an agent owns the store: it rotates and archives by itself.
    """
    from agent.archive.archiver import Archiver
    from agent.archive.planner import ArchivingSummary
    from agent.rotate.rotator import rotate_once

    config = context.config()
    is_rotating = _is_rotating(config)
    summary, failed, rotated = ArchivingSummary(), [], 0

    def say(error: SidelogError, active: bool) -> None:
        if active:
            print_error(error)
        if active and error.code != "SL809":  # archives that the store does not know: no part of this work
            failed.append(error.subject)

    with _owned(config) as opened, Bar("archiving") as bar:
        if is_rotating:
            rotated = len(rotate_once(config, opened.writer.change, say))
        if config.archive is not None:
            with contextlib.closing(Archiver(config, opened.writer.change, say, on_progress=bar.step)) as archiver:
                summary = archiver.round()
    summary.failed = failed
    if as_json:
        echo_json(views.round_document(summary, rotated))
    elif context.verbosity >= 0:
        click.echo(_sentence(summary, rotated), err=True)
    return EXIT_FAILED if summary.failed else EXIT_DONE


def _make_index(context: Context, *, as_json: bool) -> int:
    """Make the index again from the archives alone.

    Raises:
        StoreError: SL404, an agent owns the store.
        ArchiveError: SL812, the archives are another store's.
    """
    from agent.archive.lock import ArchiveLock
    from agent.archive.reindex import reindex
    from agent.archive.verify import ArchiveFinding

    config = context.config()
    findings: list[ArchiveFinding] = []
    lock = ArchiveLock(config.archive_directory, config.store.path)
    with _owned(config) as opened, lock, Bar("indexing") as bar:
        count = reindex(
            config.archive_directory,
            opened.writer.change,
            config.store.path.parent,
            lambda path, error: findings.append(ArchiveFinding(str(path), error)),
            bar.step,
        )
    if as_json:
        echo_json(views.reindex_document(count, findings))
    else:
        for finding in findings:
            print_error(finding.error)
        if context.verbosity >= 0:
            click.echo(f"{counted(count, 'archive')} indexed", err=True)
    return EXIT_FAILED if findings else EXIT_DONE


def _redact(context: Context, *, as_json: bool) -> int:
    """Make archives anew, without the values of keys that `redact` names now.

    Raises:
        StoreError: SL404, an agent owns the store.
        ArchiveError: SL812, the archives are another store's.
    """
    from agent.archive.rewriter import ArchiveRewriter
    from agent.archive.verify import ArchiveFinding

    config = context.config()
    with _owned(config) as opened, Bar("redacting") as bar:
        count, failures = ArchiveRewriter(config, opened.writer.change, bar.step).run()
    if as_json:
        echo_json(views.redact_document(count, [ArchiveFinding(error.subject, error) for error in failures]))
    else:
        for error in failures:
            print_error(error)
        if context.verbosity >= 0:
            click.echo(f"{counted(count, 'archive')} redacted", err=True)
    return EXIT_FAILED if failures else EXIT_DONE


def _is_rotating(config: Config) -> bool:
    """Whether a source is to be rotated.

    Raises:
        ConfigError: SL801, there is nothing to be rotated and nothing to be archived.
    """
    is_rotating = any(source.rotate is not None for source in config.sources)
    if config.archive is None and not is_rotating:
        raise ConfigError.of("SL801", "archive")
    return is_rotating


@contextlib.contextmanager
def _owned(config: Config) -> Iterator[OpenStore]:
    from agent.store.opening import open_store

    store = config.store
    opened = open_store(store.path, min_free_bytes=store.min_free, migration_copy=store.migration_copy)
    try:
        yield opened
    finally:
        opened.close()


def _sentence(summary: ArchivingSummary, rotated: int) -> str:
    parts = [f"{counted(summary.archived, 'log')} archived"]
    if summary.bytes:
        ratio = summary.raw_bytes / summary.bytes
        parts[0] += f", {summary.raw_bytes / 1e6:,.1f} MB in {summary.bytes / 1e6:,.1f} MB ({ratio:.1f} : 1)"
    for count, one, many in (
        (rotated, "log rotated", "logs rotated"),
        (summary.known, "archived before", "archived before"),
        (summary.deleted, "log deleted", "logs deleted"),
        (summary.removed, "old archive removed", "old archives removed"),
        (summary.waiting, "log not due yet, or not fully stored", "logs not due yet, or not fully stored"),
        (len(summary.failed), "failure", "failures"),
    ):
        if count:
            parts.append(counted(count, one, many))
    if not summary.archived and len(parts) == 1:
        parts[0] += ": nothing new beside the files that `include` matches is named like a rotation of theirs"
    return "; ".join(parts)
