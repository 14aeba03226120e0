"""Backups of the store and its archives together: a directory of sets (`backupsets`), each of which is complete.

A set gets its name when all of it is written, checked and flushed to the disk; until then, and while it is deleted, its
name begins with a dot. Archives never change: one that an older set has is a hard link to the same file, so that a set
costs a store and the archives that are new. None is a link to the archive itself, which would be damaged with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agent.archive import files
from agent.archive.backupsets import (
    ARCHIVES_NAME,
    MANIFEST_NAME,
    STORE_NAME,
    BackupManifest,
    BackupSet,
    SavedArchive,
    copy_archive,
    find_backups,
    is_archive,
)
from agent.archive.directory import load
from agent.core.errors import ArchiveError, SidelogError, StoreError
from agent.core.filelock import HELD, take_lock
from agent.core.patterns import lazy
from agent.core.text import follow_owner, from_text, make_private_directory, to_text
from agent.store import backup
from agent.store.reader import open_reader

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    Progress = Callable[[int, int], None]

_LOCK = ".sidelog-backup.lock"
_UNFINISHED = lazy(r"\.sidelog-\d{8}T\d{6}Z(-\d+)?\.partial")


class MadeBackup(msgspec.Struct):
    """What `make_backup` has done."""

    made: BackupSet
    store_bytes: int
    copied: int = 0
    copied_bytes: int = 0
    linked: int = 0
    failures: list[ArchiveError] = []
    pruned: list[Path] = []


def make_backup(
    store: Path, directory: Path, *, archives: Path | None, keep: int | None, progress: Progress = lambda *_: None
) -> MadeBackup:
    """Add a set to a directory of backups, and delete the oldest complete ones of the same store beyond `keep`.

    The archives come first, the store after them, then the archives that were made meanwhile: what the copy knows is in
    the set, although the agent goes on.

    Args:
        store: to be copied, also while an agent writes it.
        directory: of the sets; made where it is missing.
        archives: directory of all archives; None: the store alone.
        keep: how many complete sets to keep; None: all. Nothing is deleted when an archive could not be saved.
        progress: called with the bytes done and to do of the archives, then the pages of the store.

    Raises:
        StoreError: SL557 another backup is being made there; as `store.backup.back_up`.
    """
    with _locked(directory):
        now = time.time_ns()
        _remove_unfinished(directory)
        before = find_backups(directory)
        name = _free_name(directory, now)
        work = directory / f".{name}.partial"
        try:
            make_private_directory(work)
            said = BackupManifest(made=now, host=socket.gethostname(), store=to_text(str(store.absolute())))
            report = _fill(work, said, store=store, archives=archives, before=before, progress=progress)
            work.rename(directory / name)
            files.flush_directory(directory)
        except OSError as error:
            raise StoreError.of("SL553", directory / name, why=error) from None
        finally:
            shutil.rmtree(work, ignore_errors=True)
        report.made = BackupSet(directory / name, report.made.said)
        if keep is not None and not report.failures:
            report.pruned = _prune(directory, report.made, before, keep)
    return report


# ---------------------------------------------------------------- making


def _fill(
    work: Path, said: BackupManifest, *, store: Path, archives: Path | None, before: list[BackupSet], progress: Progress
) -> MadeBackup:
    saver = _ArchiveSaver(work / ARCHIVES_NAME, before)
    if archives is not None:
        with contextlib.closing(open_reader(store)) as connection:
            saver.save(connection, archives, progress)
    copy = backup.back_up(store, work / STORE_NAME, progress)
    if archives is not None:
        with backup.open_backup(work / STORE_NAME) as connection:
            saver.save(connection, archives, progress)
    said = msgspec.structs.replace(said, archives=[*saver.saved.values()], missing=sorted(saver.failed))
    with files.partial_file(work / MANIFEST_NAME) as file:
        file.write(msgspec.json.format(msgspec.json.encode(said)) + b"\n")
    for folder in (path for path in (work / ARCHIVES_NAME).rglob("*") if path.is_dir()):
        files.flush_directory(folder)
    files.flush_directory(work)
    return MadeBackup(
        BackupSet(work, said), copy.bytes, saver.copied, saver.copied_bytes, saver.linked, [*saver.failed.values()]
    )


class _ArchiveSaver:
    """Puts archives into a set.

    Args:
        folder: of the archives of the set.
        before: older sets, oldest first.
    """

    def __init__(self, folder: Path, before: list[BackupSet]) -> None:
        self._folder = folder
        self._older = {one: older.archive(one) for older in before for one in older.said.archives}
        self.saved: dict[str, SavedArchive] = {}
        self.failed: dict[str, ArchiveError] = {}
        self.copied = self.copied_bytes = self.linked = 0

    def save(self, connection: sqlite3.Connection, directory: Path, progress: Progress) -> None:
        """Save what a store knows, and no more than that.

        Raises:
            OSError: the set cannot be written.
        """
        rows = {to_text("/".join(Path(row.path).parts[-2:])): row for row in load(connection, directory)}
        for name in self.saved.keys() - rows.keys():  # retention took it since
            (self._folder / from_text(name)).unlink()
            del self.saved[name]
        done, total = 0, sum(row.bytes for row in rows.values())
        self.failed = {}
        for name, row in rows.items():
            progress(done, total)
            done += row.bytes
            one = SavedArchive(name, row.bytes, row.link)
            if self.saved.get(name) == one:
                continue
            try:
                self._take(one, Path(row.path))
            except ArchiveError as error:
                self.failed[name] = error
            else:
                self.saved[name] = one

    def _take(self, one: SavedArchive, source: Path) -> None:
        target = self._folder / from_text(one.name)
        for folder in (self._folder, target.parent):
            if not folder.exists():
                make_private_directory(folder)
        older = self._older.get(one)
        if older is not None and is_archive(older, one):
            with contextlib.suppress(OSError):  # a file system without hard links, or a file with too many
                os.link(older, target)
                self.linked += 1
                return
        copy_archive(source, target, one)
        self.copied += 1
        self.copied_bytes += one.bytes


# ---------------------------------------------------------------- the directory


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    try:
        files.make_directory(directory)
        descriptor = os.open(
            directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600
        )
    except OSError as error:
        raise StoreError.of("SL553", directory, why=error) from None
    try:
        follow_owner(descriptor, directory.stat())
        take_lock(descriptor, lambda: None)
    except OSError as error:
        os.close(descriptor)
        key = "SL557" if error.errno in HELD else "SL553"
        raise StoreError.of(key, directory, why=error) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _free_name(directory: Path, now_ns: int) -> str:
    name = stem = time.strftime("sidelog-%Y%m%dT%H%M%SZ", time.gmtime(now_ns // 10**9))
    number = 1
    while os.path.lexists(directory / name):
        name, number = f"{stem}-{number}", number + 1
    return name


def _remove_unfinished(directory: Path) -> None:
    """What a backup that was killed has left; nobody makes one now."""
    for path in directory.iterdir():
        if _UNFINISHED.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _prune(directory: Path, made: BackupSet, before: list[BackupSet], keep: int) -> list[Path]:
    """Delete the oldest complete sets of the same store on the same host, never the one that was just made."""
    origin = attrgetter("said.host", "said.store")
    own = [one for one in before if origin(one) == origin(made) and not one.said.missing]
    pruned = []
    for one in own[: max(0, len(own) + 1 - keep)]:
        doomed = directory / f".{one.path.name}.partial"
        try:
            one.path.rename(doomed)  # so that a half of it is never taken for a backup
            files.flush_directory(directory)
        except OSError as error:
            raise SidelogError.of("SL559", one.path, why=error) from None
        shutil.rmtree(doomed, ignore_errors=True)
        pruned.append(one.path)
    return pruned
