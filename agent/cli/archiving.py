"""The work of `sidelog archive run`: rotating and archiving what is due, saying what is, making the index anew."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from agent.archive.archiver import Archiver, ArchivingSummary
from agent.archive.verify import ArchiveFinding
from agent.cli.common import Bar, echo_json, print_error, safe_text
from agent.core.errors import EXIT_DONE, EXIT_FAILED, ConfigError
from agent.rotate.rotator import rotate_once
from agent.store.opening import open_store
from agent.views import archives as views
from agent.views.due import planned_actions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.cli.common import Context
    from agent.config import Config
    from agent.core.errors import SidelogError
    from agent.store.opening import OpenStore


def show_due(context: Context, *, as_json: bool) -> int:
    """Print what would be done.

    Raises:
        ConfigError: SL801 and others.
        StoreError: the store is missing or damaged.
    """
    connection, config = context.open_store()
    _is_rotating(config)
    rows = planned_actions(config, connection)
    if as_json:
        echo_json([row.document() for row in rows])
    for row in rows if not as_json else []:
        click.echo(f"{row.action:<8}{safe_text(row.path)}  {safe_text(row.why)}")
    if not rows and not as_json:
        click.echo("nothing is due", err=True)
    return EXIT_DONE


def archive_due(context: Context, *, as_json: bool) -> int:
    """Rotate and archive what is due, with a progress bar on a terminal.

    Raises:
        ConfigError: SL801 and others.
        StoreError: SL404, an agent owns the store: it rotates and archives by itself.
    """
    config = context.config()
    is_rotating = _is_rotating(config)
    summary, failed, rotated = ArchivingSummary(), [], 0

    def say(error: SidelogError, active: bool) -> None:
        if active:
            failed.append(error.subject)
            print_error(error)

    with _owned(config) as opened, Bar("archiving") as bar:
        if is_rotating:
            rotated = len(rotate_once(config, opened.writer.change, say))
        if config.archive is not None:
            summary = Archiver(config, opened.writer.change, say, on_progress=bar.step).round()
    summary.failed = failed
    if as_json:
        echo_json(views.round_document(summary, rotated))
    elif context.verbosity >= 0:
        click.echo(_sentence(summary, rotated), err=True)
    return EXIT_FAILED if summary.failed else EXIT_DONE


def make_index(context: Context, *, as_json: bool) -> int:
    """Make the index again from the archives alone.

    Raises:
        StoreError: SL404, an agent owns the store.
    """
    from agent.archive.reindex import reindex

    config = context.config()
    findings: list[ArchiveFinding] = []
    with _owned(config) as opened, Bar("indexing") as bar:
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
            click.echo(f"{count:,} archives indexed", err=True)
    return EXIT_FAILED if findings else EXIT_DONE


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
    opened = open_store(config.store.path, min_free_bytes=config.store.min_free, resources={})
    try:
        yield opened
    finally:
        opened.close()


def _sentence(summary: ArchivingSummary, rotated: int) -> str:
    parts = [f"{summary.archived:,} logs archived"]
    if summary.bytes:
        ratio = summary.raw_bytes / summary.bytes
        parts[0] += f", {summary.raw_bytes / 1e6:,.1f} MB in {summary.bytes / 1e6:,.1f} MB ({ratio:.1f} : 1)"
    for count, what in (
        (rotated, "logs rotated"),
        (summary.known, "archived before"),
        (summary.deleted, "logs deleted"),
        (summary.removed, "old archives removed"),
        (summary.waiting, "logs not due yet, or not fully stored"),
        (len(summary.failed), "failures"),
    ):
        if count:
            parts.append(f"{count:,} {what}")
    if not summary.archived and len(parts) == 1:
        parts[0] += ": nothing new beside the files that `include` matches is named like a rotation of theirs"
    return "; ".join(parts)
