"""One owner per directory of archives: a lock on a file in it, which holds by whatever path the directory is reached.

The file also says for which store archives were made in it last: two stores that take turns break each other's chains
as two at once do. What it says counts no more when no store lies there, nor in a copy of the directory.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Self

import msgspec

from agent.archive.files import make_directory
from agent.core.errors import ArchiveError
from agent.core.filelock import HELD, is_locked, take_lock
from agent.core.text import follow_owner, from_text, to_text

LOCK_NAME = ".sidelog.lock"
_CONTENT_BYTES = 4_096
_UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # a file system without locks


class ArchiveOwner(msgspec.Struct, frozen=True):
    """Who archives into a directory, or did last."""

    store: str = ""
    pid: int = 0
    inode: int = 0  # of the file that says so: in a copy of the directory it means another one


class ArchiveLock:
    """The right to write archives into a directory and to delete some, held from `acquire` until `release` or the end
    of the process. As a context it is held in the block.

    Args:
        directory: of all archives.
        store: that knows them.
    """

    def __init__(self, directory: Path, store: Path) -> None:
        self._directory = directory
        self._path = directory / LOCK_NAME
        self._store = Path(os.path.realpath(store))
        self._descriptor = -1

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self, *, make: bool = False) -> None:
        """Take the lock, unless it is held already. Nothing is done where there is no such directory.

        Args:
            make: make the directory where it is missing.

        Raises:
            ArchiveError: SL812, another store's archives are made there; SL804, the directory cannot be written.
        """
        if self._descriptor >= 0 and self._is_in_place():
            return
        self.release()
        try:
            if make:
                make_directory(self._directory)
            self._descriptor = self._open()
            self._take()
            self._note()
        except FileNotFoundError:
            self.release()
        except ArchiveError:
            self.release()
            raise
        except OSError as error:
            self.release()
            raise ArchiveError.of("SL804", self._directory, why=error) from None

    def release(self) -> None:
        """Give the directory free. The file stays, because removing it would race with the next owner."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _is_in_place(self) -> bool:
        """Whether the file that is locked is still the one that others find."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.lstat())
        except OSError:
            return False

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(self._path, flags | os.O_EXCL, 0o600)
            follow_owner(descriptor, self._directory.stat())
            return descriptor
        return os.open(self._path, flags, 0o600)

    def _take(self) -> None:
        try:
            take_lock(self._descriptor, lambda: _read(self._descriptor).pid)
        except OSError as error:
            if error.errno in HELD:
                raise refused(self._directory, _read(self._descriptor)) from None
            if error.errno not in _UNSUPPORTED:
                raise
        other = _read(self._descriptor)
        if _is_anothers(other, self._store):
            raise refused(self._directory, other)

    def _note(self) -> None:
        content = ArchiveOwner(to_text(str(self._store)), os.getpid(), os.fstat(self._descriptor).st_ino)
        os.pwrite(self._descriptor, msgspec.json.encode(content).ljust(_CONTENT_BYTES), 0)


def refused(directory: Path, other: ArchiveOwner) -> ArchiveError:
    """SL812: the directory is another store's."""
    return ArchiveError.of("SL812", directory, store=other.store or "another one", lock=directory / LOCK_NAME)


def other_owner(directory: Path, store: Path) -> ArchiveOwner | None:
    """Whose archives are made in a directory, where it is another store than this one; without disturbing anybody.

    Raises:
        OSError: the lock is there and cannot be read.
    """
    try:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    own = Path(os.path.realpath(store))
    try:
        found = _read(descriptor)
        return found if _is_anothers(found, own) or (found.store != str(own) and is_locked(descriptor)) else None
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> ArchiveOwner:
    try:
        found = msgspec.json.decode(os.pread(descriptor, _CONTENT_BYTES, 0), type=ArchiveOwner)
    except msgspec.MsgspecError:  # empty, or cut off by a full disk
        return ArchiveOwner()
    if found.inode != os.fstat(descriptor).st_ino:
        return ArchiveOwner()
    return ArchiveOwner(from_text(found.store), found.pid, found.inode)


def _is_anothers(owner: ArchiveOwner, own: Path) -> bool:
    """Whether a directory was another store's last, and that store is still there."""
    other = Path(owner.store)
    if not owner.store or other == own:
        return False
    try:
        return not os.path.samestat(other.stat(), own.stat()) if own.exists() else bool(other.stat())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # it may be looked at by its own user alone
        return True
