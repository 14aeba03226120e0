"""`sidelog verify`, `backup` and `restore`: whether the store is sound, a new one of what can be read, and copies."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import PATH, Bar, Command, Context, echo_json, json_option, print_error, safe_text, with_context
from agent.core.errors import EXIT_DONE, EXIT_FAILED, ArchiveError, StoreError
from agent.core.text import counted, is_directory
from agent.core.times import parse_time
from agent.store import backup
from agent.store.reader import open_reader
from agent.store.verify import StoreFinding
from agent.store.verify import verify as find_faults

if TYPE_CHECKING:
    from agent.store.salvage import SalvageReport

_FINDINGS_SHOWN = 20


@click.command(cls=Command)
@click.option("--repair", is_flag=True, help="Make a new store of what can be read; the damaged one is kept.")
@json_option()
@with_context
def verify(context: Context, *, repair: bool, as_json: bool) -> int:
    """Check the store: SQLite's integrity check, every record, every event's place in its file, samples of counts.

    Exits 1 when something is wrong. Works beside a running agent. `--repair` needs the agent stopped: it saves row by
    row what can be read into a new store, notes what is lost as gaps, and keeps the damaged file under another name.
    What is lost at the end of a file that still exists is read again at the agent's next start.
    """
    config = context.config()
    path = config.store.path
    findings = _check(path, tolerant=repair)
    saved = None
    if repair and findings:
        from agent.store.salvage import salvage

        with Bar("saving") as bar:
            saved = salvage(path, bar.step, group=config.store.group)
    if as_json:
        echo_json(_document(path, findings, saved))
    else:
        _print(path, findings, saved, is_quiet=context.verbosity < 0)
    return EXIT_FAILED if findings and saved is None else EXIT_DONE


def _check(path: Path, *, tolerant: bool) -> list[StoreFinding]:
    """What is wrong; with `tolerant` also that the store cannot be opened for its damage."""
    try:
        connection = open_reader(path)
    except StoreError as error:
        if tolerant and error.code == "SL402":
            return [StoreFinding("read", error.message)]
        raise
    try:
        with Bar("checking") as bar:
            return find_faults(connection, path, bar.step)
    finally:
        connection.close()


def _document(path: Path, findings: list[StoreFinding], saved: SalvageReport | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "store": str(path),
        "sound": not findings,
        "findings": [{"check": finding.check, "what": finding.what} for finding in findings],
        "repaired": saved is not None,
    }
    if saved is not None:
        document |= {
            "moved_aside": saved.moved_aside,
            "rows": saved.rows,
            "damaged_tables": saved.damaged,
            "lost_ids": [list(span) for span in saved.lost_ranges],
            "lost_bytes": saved.lost_bytes,
            "reread_bytes": saved.reread_bytes,
            "lost_files": saved.lost_files,
        }
    return document


def _print(path: Path, findings: list[StoreFinding], saved: SalvageReport | None, *, is_quiet: bool) -> None:
    for finding in findings[:_FINDINGS_SHOWN]:
        click.echo(f"{finding.check}: {safe_text(finding.what)}")
    if len(findings) > _FINDINGS_SHOWN:
        click.echo(f"… and {len(findings) - _FINDINGS_SHOWN} more")
    if is_quiet:
        return
    if saved is None:
        verdict = "is sound" if not findings else "is not sound: `sidelog verify --repair` saves what can be read"
        click.echo(f"verify: {safe_text(str(path))} {verdict}", err=True)
        return
    rows = ", ".join(f"{count:,} {table}" for table, count in saved.rows.items() if count)
    click.echo(f"saved: {rows or 'nothing'}")
    ids = sum(last - first + 1 for first, last in saved.lost_ranges)
    click.echo(
        f"lost: at most {counted(ids, 'event')};"
        f" {counted(saved.lost_bytes, 'byte of log files is a gap', 'bytes of log files are gaps')} now"
    )
    if saved.reread_bytes:
        click.echo(f"to be read again by the agent: {counted(saved.reread_bytes, 'byte')} of files that still exist")
    if saved.lost_files:
        click.echo(
            f"names lost: {counted(saved.lost_files, 'file')}, whose events have the source 'lost' now;"
            " what of them still exists is read again, and is stored twice then"
        )
    click.echo(f"verify: the damaged store is {safe_text(saved.moved_aside)}", err=True)


# ---------------------------------------------------------------- copies


@click.command(cls=Command)
@click.argument("destination", metavar="DEST", type=click.Path(readable=False))
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="DEST is a directory: keep the newest N backups.")
@click.option("--no-archives", is_flag=True, help="The store alone.")
@json_option()
@with_context
def back_up(context: Context, *, destination: str, keep: int | None, no_archives: bool, as_json: bool) -> int:
    """Copy the store to DEST: a file that does not exist yet, or a directory of backups.

    The copy is of one moment, complete, checked, flushed to the disk, and readable by its owner only, or by
    `store.group` too. The agent goes on meanwhile. In a directory (one that is there, a name with a slash at its end,
    or with `--keep`) a backup is named by its time, holds the archives too, and is its owner's alone; archives that an
    older backup there has are not copied again. `sidelog restore` brings it back.
    """
    config = context.config()
    path, target = config.store.path, Path(destination)
    if keep is not None or destination.endswith("/") or is_directory(target):
        return _back_up_set(context, target, None if no_archives else config.archive_directory, keep, as_json)
    with Bar("copying") as bar:
        made = backup.back_up(path, target, bar.step, group=config.store.group)
    if as_json:
        orphans = [str(orphan) for orphan in made.orphans]
        echo_json({"store": str(path), "backup": str(destination), "bytes": made.bytes, "orphans": orphans})
    elif context.verbosity >= 0:
        click.echo(f"backup: {safe_text(str(destination))}, {made.bytes:,} bytes, checked", err=True)
        _name_orphans(made.orphans)
    return EXIT_DONE


def _back_up_set(context: Context, directory: Path, archives: Path | None, keep: int | None, as_json: bool) -> int:
    from agent.archive.backups import make_backup

    store = context.config().store.path
    with Bar("copying") as bar:
        report = make_backup(store, directory, archives=archives, keep=keep, progress=bar.step)
    made = report.made
    if as_json:
        echo_json(
            {
                "store": str(store),
                "backup": str(made.path),
                "bytes": report.store_bytes,
                "archives": len(made.said.archives),
                "copied": report.copied,
                "copied_bytes": report.copied_bytes,
                "missing": made.said.missing,
                "pruned": [str(path) for path in report.pruned],
            }
        )
    elif context.verbosity >= 0:
        said = f"backup: {safe_text(str(made.path))}, {report.store_bytes:,} bytes"
        if archives is not None:
            all_of_them = counted(len(made.said.archives), "archive")
            said += f", {all_of_them} ({report.copied:,} new, {report.copied_bytes:,} bytes)"
        said += f", checked; {counted(len(report.pruned), 'old one')} deleted" if report.pruned else ", checked"
        click.echo(said, err=True)
    for error in report.failures:
        print_error(error)
    if report.failures:
        click.echo("sidelog: this backup is not complete, and no old one was deleted for it", err=True)
    return EXIT_FAILED if report.failures else EXIT_DONE


@click.command(cls=Command)
@click.argument("source", metavar="SRC", type=PATH)
@click.option("--force", is_flag=True, help="Move a store that is there aside.")
@click.option("--at", metavar="TIME", help="SRC is a directory of backups: the newest one made by then.")
@click.option("--no-archives", is_flag=True, help="The store alone.")
@json_option()
@with_context
def restore(context: Context, *, source: Path, force: bool, at: str | None, no_archives: bool, as_json: bool) -> int:
    """Put a copy of SRC, made by `sidelog backup`, in the store's place.

    SRC is a file, a backup in a directory, or a directory of backups, whose newest is taken. The agent must not run.
    SRC is checked first and stays as it is. Archives that it has and that are gone are brought back too. The next
    start of the agent goes on from where the backup was: what the log files have had since is read again.
    """
    config = context.config()
    path, directory = config.store.path, config.archive_directory
    chosen = None
    if is_directory(source):
        from agent.archive.backupsets import choose_backup

        chosen = choose_backup(source, path, None if at is None else parse_time(at, time.time_ns()))
    elif at is not None:
        raise click.UsageError("--at chooses a backup of a directory, and SRC is none")
    with Bar("copying") as bar:
        made = backup.restore(
            chosen.store if chosen else source, path, force=force, progress=bar.step, group=config.store.group
        )
    copied, failures = 0, list[ArchiveError]()
    if chosen is not None and not no_archives:
        from agent.archive.backupsets import bring_archives_back

        with Bar("copying") as bar:
            copied, failures = bring_archives_back(chosen, directory, path, bar.step)
    unknown = _unknown_archives(path, directory)
    if as_json:
        echo_json(
            {
                "store": str(path),
                "backup": str(chosen.path if chosen else source),
                "moved_aside": str(made.former) if made.former else None,
                "orphans": [str(orphan) for orphan in made.orphans],
                "archives": copied,
                "failed": [error.subject for error in failures],
                "unknown_archives": [str(archive) for archive in unknown],
            }
        )
    elif context.verbosity >= 0:
        _say_restored(path, chosen.path if chosen else source, made, copied)
    for error in failures:
        print_error(error)
    if unknown:  # with -q too: until then answers lack what is in them
        young, it = ("archives are", "them") if len(unknown) > 1 else ("archive is", "it")
        click.echo(
            f"sidelog: {len(unknown):,} {young} younger than this store, which does not know {it}, as"
            f" {safe_text(str(unknown[0]))}: `sidelog archive run --reindex` takes {it} up",
            err=True,
        )
    return EXIT_FAILED if failures else EXIT_DONE


def _say_restored(path: Path, source: Path, made: backup.RestoredStore, copied: int) -> None:
    moved = f"; the former store is {safe_text(str(made.former))}" if made.former else ""
    brought = f"; {counted(copied, 'archive')} brought back" if copied else ""
    click.echo(f"restore: {safe_text(str(path))} is what {safe_text(str(source))} was{brought}{moved}", err=True)
    _name_orphans(made.orphans)


def _unknown_archives(store: Path, directory: Path) -> list[Path]:
    """Archives that a restored store does not know; none where it is of a version that an agent has to bring on."""
    if not is_directory(directory):
        return []
    from agent.archive.directory import unknown_archives

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
