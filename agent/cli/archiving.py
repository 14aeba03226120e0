"""The work of `sidelog archive`: making, verifying, restoring."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from agent.archive.archivist import make_keeper
from agent.archive.container import ArchiveReader
from agent.archive.errors import ArchiveError
from agent.archive.keeper import Summary
from agent.archive.place import ARCHIVE_SUFFIX, flush_directory
from agent.archive.rows import open_archive
from agent.cli.common import Bar, echo_json, load_config, print_error, safe_text, verbosity
from agent.cli.common import open_store as open_reader
from agent.core.errors import EXIT_DONE, EXIT_FAILED, ConfigError, SidelogError
from agent.store import archives
from agent.store.opening import open_store

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from agent.config import Config
    from agent.store.opening import OpenStore

_NAMED = 40  # characters of a path beside the bar


def check_asked(config: Config) -> bool:
    """Whether a source is to be rotated.

    Raises:
        ConfigError: SL801, there is nothing to be rotated and nothing to be archived.
    """
    rotated = any(source.rotate is not None for source in config.sources)
    if config.archive is None and not rotated:
        raise ConfigError(
            "SL801",
            "archive logs",
            "archive",
            "archive: the configuration has no such section, so that nothing is archived and nothing deleted",
            hint="add `archive: {}` to the configuration (`sidelog init` writes one) to archive rotated logs with the"
            " defaults; `archive: {delete_source: false}` keeps the logs",
        )
    return rotated


@contextlib.contextmanager
def _owned(config: Config) -> Iterator[OpenStore]:
    opened = open_store(config.store.path, min_free_bytes=config.store.min_free, resources={})
    try:
        yield opened
    finally:
        opened.close()


def make_archives(config_path: Path | None, store: Path | None, overrides: tuple[str, ...], *, as_json: bool) -> int:
    """Rotate and archive what is due, with a progress bar on a terminal.

    Raises:
        ConfigError: SL801 and others.
        StoreError: SL404, an agent owns the store: it rotates and archives by itself.
    """
    config = load_config(config_path, store, overrides)
    rotating = check_asked(config)
    summary, failed, rotated = Summary(), [], 0

    def say(error: SidelogError, active: bool) -> None:
        if active:
            failed.append(error.subject)
            print_error(error)

    with _owned(config) as opened, Bar("archiving") as bar:
        if rotating:
            from agent.rotate.rotator import rotate_once

            rotated = len(rotate_once(config, opened.writer.change, say))
        if config.archive is not None:
            summary = make_keeper(
                config,
                config.archive,
                opened.writer.change,
                say,
                on_progress=lambda done, total, name: bar.step(done, total, name[-_NAMED:]),
            ).round()
    summary.failed = failed
    if as_json:
        echo_json(_document(summary, rotated))
    elif verbosity() >= 0:
        click.echo(_sentence(summary, rotated), err=True)
    return EXIT_FAILED if summary.failed else EXIT_DONE


def show_outlook(config_path: Path | None, store: Path | None, overrides: tuple[str, ...], *, as_json: bool) -> int:
    """Print what would be done.

    Raises:
        ConfigError: SL801 and others.
        StoreError: the store is missing or damaged.
    """
    from agent.cli.outlook import outlook

    connection, config = open_reader(config_path, store, overrides)
    check_asked(config)
    rows = outlook(config, connection)
    if as_json:
        echo_json([row.document() for row in rows])
    for row in rows if not as_json else []:
        click.echo(f"{row.action:<8}{safe_text(row.path)}  {safe_text(row.why)}")
    if not rows and not as_json:
        click.echo("nothing is due", err=True)
    return EXIT_DONE


def _document(summary: Summary, rotated: int) -> dict[str, object]:
    return {
        "rotated": rotated,
        "archived": summary.archived,
        "bytes": summary.bytes,
        "raw_bytes": summary.raw_bytes,
        "known": summary.known,
        "deleted": summary.deleted,
        "removed": summary.removed,
        "waiting": summary.waiting,
        "failed": summary.failed,
    }


def _sentence(summary: Summary, rotated: int) -> str:
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


# ---------------------------------------------------------------- verifying


class Finding(msgspec.Struct):
    """What is wrong, and with which archive."""

    path: str
    error: ArchiveError

    def document(self) -> dict[str, str]:
        """For JSON."""
        return {"path": self.path, "code": self.error.code, "message": self.error.message}


def verify_archives(connection: sqlite3.Connection, directory: Path) -> tuple[int, list[Finding]]:
    """Read every archive, compare it with the store's row, and follow the chain of each source.

    Args:
        connection: read-only.
        directory: of the archives: files in it that the store does not know are findings too.

    Returns:
        How many archives there are, and what is wrong.
    """
    rows = archives.load(connection)
    replaced = archives.replaced_places(connection)
    findings: list[Finding] = []
    with Bar("verifying") as bar:
        done, total = 0, sum(row.bytes for row in rows)
        last: dict[str, archives.Chain] = {}
        for row in rows:
            before = last.get(row.source) or _beginning(archives.chain(connection, row.source))
            bar.step(done, total, Path(row.path).name[-_NAMED:])
            done += row.bytes
            last[row.source] = archives.Chain(row.sequence, row.link)
            with _noting(findings, row.path):
                _compare(row, _followed(row.source, before, replaced))
    for source, chain in last.items():
        newest = archives.chain(connection, source)
        if chain[:2] != newest[:2]:
            findings.append(Finding(source, _broken(Path(source), "its newest archives are missing from the store")))
    known = {row.path for row in rows} | {path for _, path in archives.removed_files(connection)}
    findings += [
        Finding(str(path), _broken(path, "the store does not know it"))
        for path in sorted(directory.glob(f"*/*{ARCHIVE_SUFFIX}"))
        if str(path) not in known
    ]
    return len(rows), findings


def _beginning(chain: archives.Chain) -> archives.Chain:
    return archives.Chain(chain.removed, chain.removed_link)


def _followed(source: str, before: archives.Chain, replaced: dict[tuple[str, int, str], str]) -> archives.Chain:
    """The place in the chain behind archives that others have replaced."""
    while (link := replaced.get((source, before.sequence + 1, before.link))) is not None:
        before = archives.Chain(before.sequence + 1, link)
    return before


@contextlib.contextmanager
def _noting(findings: list[Finding], path: str) -> Iterator[None]:
    try:
        yield
    except ArchiveError as error:
        findings.append(Finding(path, error))


def _compare(row: archives.ArchiveRow, before: archives.Chain) -> None:
    with open_archive(row) as archive:
        archive.check()
    if (row.sequence, row.previous) != (before.sequence + 1, before.link):
        raise _broken(Path(row.path), "an archive of its source that came before it is missing, or was altered")


def _broken(path: Path, why: str) -> ArchiveError:
    return ArchiveError(
        "SL809",
        "verify archives",
        str(path),
        f"the chain of archives is broken at {path}: {why}",
        hint="bring the missing file back, or run `sidelog archive run --reindex` to accept what is there",
    )


# ---------------------------------------------------------------- restoring


def restore_archive(source: Path, destination: Path) -> tuple[Path, int]:
    """Write the log of an archive into a new file, with the archive's permissions at the most.

    Raises:
        ArchiveError: SL802, SL803 the archive cannot be read: nothing is left of the new file; SL810 it cannot be
            written, or is there already.
    """
    with ArchiveReader(source) as archive:
        if destination.is_dir():
            destination /= Path(archive.metadata.path).name
        try:
            _write_new(archive, source, destination)
        except OSError as error:
            raise ArchiveError(
                "SL810",
                "restore a log",
                str(destination),
                f"{destination} cannot be written: {os.strerror(error.errno or 0)}",
                hint="name a file that does not exist yet, in a directory that you may write to",
            ) from None
        return destination, archive.metadata.raw_bytes


def _write_new(archive: ArchiveReader, source: Path, destination: Path) -> None:
    status = source.stat()
    fd = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            for data in archive.contents():
                file.write(data)
            file.flush()
            # Owner and group are those of who restores: only what the owner could do is carried over.
            os.fchmod(file.fileno(), status.st_mode & 0o600)
            os.utime(file.fileno(), ns=(status.st_atime_ns, archive.metadata.modified))
            os.fsync(file.fileno())
        flush_directory(destination.parent)
    except BaseException:
        destination.unlink(missing_ok=True)
        raise


# ---------------------------------------------------------------- the index


def make_index(config_path: Path | None, store: Path | None, overrides: tuple[str, ...], *, as_json: bool) -> int:
    """Make the index again from the archives alone.

    Raises:
        StoreError: SL404, an agent owns the store.
    """
    from agent.archive.reindex import reindex

    config = load_config(config_path, store, overrides)
    findings: list[Finding] = []
    with _owned(config) as opened, Bar("indexing") as bar:
        count = reindex(
            config.archive_directory,
            opened.writer.change,
            config.store.path.parent,
            lambda path, error: findings.append(Finding(str(path), error)),
            lambda done, total, name: bar.step(done, total, name[-_NAMED:]),
        )
    if as_json:
        echo_json({"indexed": count, "findings": [finding.document() for finding in findings]})
    else:
        for finding in findings:
            print_error(finding.error)
        if verbosity() >= 0:
            click.echo(f"{count:,} archives indexed", err=True)
    return EXIT_FAILED if findings else EXIT_DONE
