"""`sidelog verify`, `backup` and `restore`: whether the store is sound, a new one of what can be read, and copies."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from agent.cli.common import PATH, Bar, Command, Context, echo_json, json_option, safe_text, with_context
from agent.core.errors import EXIT_DONE, EXIT_FAILED, StoreError
from agent.store import backup
from agent.store.reader import open_reader
from agent.store.verify import StoreFinding
from agent.store.verify import verify as find_faults

if TYPE_CHECKING:
    from pathlib import Path

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
    click.echo(f"lost: at most {ids:,} events; {saved.lost_bytes:,} bytes of log files are gaps now")
    if saved.reread_bytes:
        click.echo(f"to be read again by the agent: {saved.reread_bytes:,} bytes of files that still exist")
    if saved.lost_files:
        click.echo(
            f"names lost: {saved.lost_files:,} files, whose events have the source 'lost' now;"
            " what of them still exists is read again, and is stored twice then"
        )
    click.echo(f"verify: the damaged store is {safe_text(saved.moved_aside)}", err=True)


# ---------------------------------------------------------------- copies


@click.command(cls=Command)
@click.argument("destination", metavar="DEST", type=PATH)
@json_option()
@with_context
def back_up(context: Context, *, destination: Path, as_json: bool) -> int:
    """Copy the store to DEST, a file that does not exist yet.

    The copy is of one moment, complete, checked, flushed to the disk, and readable by its owner only, or by
    `store.group` too. The agent goes on meanwhile. `sidelog restore` brings it back.
    """
    config = context.config()
    path = config.store.path
    with Bar("copying") as bar:
        made = backup.back_up(path, destination, bar.step, group=config.store.group)
    if as_json:
        orphans = [str(orphan) for orphan in made.orphans]
        echo_json({"store": str(path), "backup": str(destination), "bytes": made.bytes, "orphans": orphans})
    elif context.verbosity >= 0:
        click.echo(f"backup: {safe_text(str(destination))}, {made.bytes:,} bytes, checked", err=True)
        _name_orphans(made.orphans)
    return EXIT_DONE


@click.command(cls=Command)
@click.argument("source", metavar="SRC", type=PATH)
@click.option("--force", is_flag=True, help="Move a store that is there aside.")
@json_option()
@with_context
def restore(context: Context, *, source: Path, force: bool, as_json: bool) -> int:
    """Put a copy of SRC, made by `sidelog backup`, in the store's place.

    The agent must not run. SRC is checked first and stays as it is. The next start of the agent goes on from where
    the backup was: what the log files have had since is read again.
    """
    config = context.config()
    path = config.store.path
    with Bar("copying") as bar:
        made = backup.restore(source, path, force=force, progress=bar.step, group=config.store.group)
    unknown = _unknown_archives(path, config.archive_directory)
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
