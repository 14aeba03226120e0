"""What a backup of store and archives is, where a directory has several of them, and how archives come back from one.

    DIRECTORY/sidelog-20261130T030000Z/store.db
                                       archive/SOURCE/NAME.log.zst
                                       backup.json     what it is made of (BackupManifest)

`agent.archive.backups` makes them.
"""

from __future__ import annotations

import os
import shutil
import socket
from typing import TYPE_CHECKING

import msgspec

from agent.archive import files
from agent.archive.container import ArchiveReader
from agent.archive.lock import ArchiveLock
from agent.core.errors import ArchiveError, StoreError
from agent.core.patterns import lazy
from agent.core.text import OPEN_FLAGS, follow_owner, from_text, to_text
from agent.core.times import format_utc
from agent.store.backup import free_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Progress = Callable[[int, int], None]

STORE_NAME = "store.db"
MANIFEST_NAME = "backup.json"
ARCHIVES_NAME = "archive"
_VERSION = 1
_NAME = lazy(r"sidelog-\d{8}T\d{6}Z(-\d+)?")


class SavedArchive(msgspec.Struct, frozen=True):
    """An archive of a backup."""

    name: str  # SOURCE/NAME.log.zst (agent.core.text.to_text)
    bytes: int
    link: str  # its own, hexadecimal (agent.archive.metadata)


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself."""

    version: int = _VERSION
    made: int  # Unix ns, before the first byte of it was read
    host: str
    store: str  # path of the store that it is of (agent.core.text.to_text)
    archives: list[SavedArchive] = []
    missing: list[str] = []  # archives that the store knows and that could not be saved; then it is not complete


class BackupSet(msgspec.Struct, frozen=True):
    """A finished backup in a directory."""

    path: Path
    said: BackupManifest

    @property
    def store(self) -> Path:
        """The copy of the store."""
        return self.path / STORE_NAME

    def archive(self, saved: SavedArchive) -> Path:
        """Where an archive of it lies."""
        return self.path / ARCHIVES_NAME / from_text(saved.name)


def find_backups(directory: Path) -> list[BackupSet]:
    """The finished backups in a directory, oldest first.

    Raises:
        StoreError: SL558, the directory cannot be read.
    """
    try:
        names = [path for path in directory.iterdir() if _NAME.fullmatch(path.name)]
    except OSError as error:
        raise StoreError.of("SL558", directory, why=error) from None
    found = [BackupSet(path, said) for path in names if (said := _manifest(path)) is not None]
    return sorted(found, key=lambda one: (one.said.made, one.path.name))


def choose_backup(source: Path, store: Path, until_ns: int | None) -> BackupSet:
    """The backup that is meant.

    Args:
        source: one backup, or a directory of several.
        store: that is to be restored; in a directory with backups of several stores it says which ones are meant.
        until_ns: Unix ns; the newest that was made by then is taken, else the newest.

    Raises:
        StoreError: SL558, there is none, or there are several stores' and none is of this one.
    """
    if (said := _manifest(source)) is not None:
        return BackupSet(source, said)
    found = [one for one in find_backups(source) if not one.said.missing] or find_backups(source)
    if not found:
        raise StoreError.of("SL558.none", source)
    origins = {(one.said.host, one.said.store) for one in found}
    if len(origins) > 1:
        own = (socket.gethostname(), to_text(str(store.absolute())))
        found = [one for one in found if (one.said.host, one.said.store) == own]
        if not found:
            raise StoreError.of("SL558.several", source, count=len(origins))
    if until_ns is not None:
        if found[0].said.made > until_ns:
            raise StoreError.of("SL558.later", source, first=format_utc(found[0].said.made))
        found = [one for one in found if one.said.made <= until_ns]
    return found[-1]


def bring_archives_back(
    saved: BackupSet, directory: Path, store: Path, progress: Progress = lambda *_: None
) -> tuple[int, list[ArchiveError]]:
    """Copy the archives of a backup to where the store that was restored looks for them. Those that lie there stay; a
    file of the same name that is another one is renamed.

    Args:
        saved: the backup.
        directory: of all archives; made where it is missing.
        store: that knows them.
        progress: called with the bytes done and to do.

    Returns:
        How many were copied, and what could not be.

    Raises:
        ArchiveError: SL812 the directory is another store's; SL804 it cannot be written.
    """
    copied, failures = 0, []
    done, total = 0, sum(one.bytes for one in saved.said.archives)
    lock = ArchiveLock(directory, store)
    lock.acquire(make=bool(saved.said.archives))
    try:
        for one in saved.said.archives:
            target = directory / from_text(one.name)
            progress(done, total)
            done += one.bytes
            if is_archive(target, one):
                continue
            try:
                files.make_directory(target.parent)
                if os.path.lexists(target):
                    target.rename(free_name(target, "replaced"))
                copy_archive(saved.archive(one), target, one)
                copied += 1
            except ArchiveError as error:
                failures.append(error)
            except OSError as error:
                failures.append(ArchiveError.of("SL804", target, why=error))
    finally:
        lock.release()
    return copied, failures


def copy_archive(source: Path, target: Path, one: SavedArchive) -> None:
    """Copy an archive under a temporary name, check the copy, and give it its name.

    Raises:
        ArchiveError: SL802, SL803 it cannot be read, or is not the one that is meant.
        OSError: it cannot be written.
    """
    partial = target.with_name(f".{target.name}{files.PARTIAL_SUFFIX}")
    try:
        fd = os.open(source, os.O_RDONLY | OPEN_FLAGS)
    except OSError as error:
        raise ArchiveError.of("SL802", source, why=error) from None
    try:
        with os.fdopen(fd, "rb") as original, files.partial_file(partial) as copy:
            status = os.fstat(original.fileno())
            shutil.copyfileobj(original, copy, 1 << 20)
            follow_owner(copy.fileno(), target.parent.stat())
        with ArchiveReader(partial) as archive:
            if (archive.link, archive.bytes) != (one.link, one.bytes):
                raise ArchiveError.of("SL803.other", source)
            archive.check()
        os.utime(partial, ns=(status.st_atime_ns, status.st_mtime_ns))
        files.give_name(partial, target)
    except ArchiveError as error:
        # Its words are about the copy, which is about to be gone.
        raise ArchiveError(
            error.code, error.operation, str(source), error.message.replace(str(partial), str(source)), hint=error.hint
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def is_archive(path: Path, one: SavedArchive) -> bool:
    """Whether an archive lies there that says to be the one that is meant; its content is not read."""
    try:
        with ArchiveReader(path) as archive:
            return (archive.link, archive.bytes) == (one.link, one.bytes)
    except ArchiveError:
        return False


def _manifest(path: Path) -> BackupManifest | None:
    """What a backup says of itself; None where it is none that this program knows."""
    try:
        said = msgspec.json.decode((path / MANIFEST_NAME).read_bytes(), type=BackupManifest)
    except (OSError, msgspec.MsgspecError):
        return None
    return said if said.version == _VERSION else None
