"""One owner per store: a lock on `STORE.lock`, which ends with its process, however that dies (`core.filelock`).

The lock file is never the store itself: closing any descriptor of that would drop SQLite's own (classic) locks.

The file also holds what the owner cannot write into the store: why it cannot write into the store. Its few bytes are
overwritten in place, which needs no space on a full disk.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from agent.core.errors import StoreError
from agent.core.filelock import HELD, is_locked, take_lock
from agent.core.text import follow_owner

if TYPE_CHECKING:
    from pathlib import Path

_CONTENT_BYTES = 4_096  # one block: 600 characters of three bytes, escaped, fit
_MESSAGE_CHARS = 300


class Owner(NamedTuple):
    """The agent that holds a store."""

    pid: int  # 0 while it has not written it yet
    started_at: int  # Unix ns
    fault: dict[str, str] | None = None  # code, message and hint of what keeps it from writing the store


def lock_path(store: Path) -> Path:
    """Where the lock of a store lies."""
    return store.with_name(store.name + ".lock")


def store_files(store: Path) -> list[Path]:
    """The files of a store, whether or not they are there: itself, what SQLite lays beside it, the lock."""
    return [*(store.with_name(store.name + end) for end in ("", "-wal", "-shm", "-journal")), lock_path(store)]


def status_of_owner(store: Path) -> os.stat_result:
    """The status of what says to whom a store's files belong: the store, else its lock where a service's user has made
    it, else the directory.

    Raises:
        OSError: there is no such directory.
    """
    with contextlib.suppress(OSError):
        return store.stat()
    with contextlib.suppress(OSError):
        if (status := lock_path(store).stat(follow_symlinks=False)).st_uid:
            return status
    return store.parent.stat()


def _open_lock(path: Path, store: Path) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, flags | os.O_CREAT, 0o600)
    follow_owner(descriptor, status_of_owner(store))
    return descriptor


def owner(store: Path) -> Owner | None:
    """The running agent that holds this store, without disturbing it; None where there is none."""
    try:
        descriptor = os.open(lock_path(store), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if not is_locked(descriptor):
            return None
        with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            held = orjson.loads(os.pread(descriptor, _CONTENT_BYTES, 0))
            return Owner(int(held["pid"]), int(held["started_at"]), held.get("fault"))
        return Owner(0, 0)
    finally:
        os.close(descriptor)


def _witness(descriptor: int) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return dict(orjson.loads(os.pread(descriptor, _CONTENT_BYTES, 0))["store"])
    return {}


class StoreLock:
    """The right to write a store, held from `acquire` until `release` or the end of the process."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._descriptor = -1
        self._started_at = 0
        self._fault: StoreError | None = None
        self.witness: dict[str, Any] = {}  # what the last owner has attested of the store

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            StoreError: SL404, another agent holds it (its pid is named); SL405, the directory cannot be written.
        """
        path = lock_path(self._store)
        try:
            descriptor = _open_lock(path, self._store)
        except OSError as error:
            raise StoreError.of("SL405", self._store, parent=path.parent, why=error) from None
        try:
            take_lock(descriptor, self._owner_pid)
        except OSError as error:
            os.close(descriptor)
            if error.errno not in HELD:
                raise StoreError.of("SL405.locks", self._store, why=error) from None
            held = owner(self._store)
            who = f"process {held.pid}" if held and held.pid else "another process"
            raise StoreError.of("SL404", self._store, who=who) from None
        self._descriptor = descriptor
        self._started_at = time.time_ns()
        self.witness = _witness(descriptor)
        self.note(None)

    def _owner_pid(self) -> int | None:
        held = owner(self._store)
        return None if held is None else held.pid

    def note(self, fault: StoreError | None) -> None:
        """Say beside the store why it cannot be written, or (None) that it can."""
        self._fault = fault
        content: dict[str, object] = {"pid": os.getpid(), "started_at": self._started_at}
        if self.witness:
            content["store"] = self.witness
        if fault is not None:
            content["fault"] = {
                "code": fault.code,
                "message": fault.message[:_MESSAGE_CHARS],
                "hint": fault.hint[:_MESSAGE_CHARS],
            }
        text = orjson.dumps(content)[:_CONTENT_BYTES].ljust(_CONTENT_BYTES)
        with contextlib.suppress(OSError):  # on a full disk a new owner has no name, but it is the owner
            os.pwrite(self._descriptor, text, 0)

    def attest(self, facts: dict[str, Any]) -> None:
        """Keep beside the store what tells an older copy of it that is put in its place (`store.identity`).

        Args:
            facts: short ones.
        """
        self.witness = facts
        self.note(self._fault)

    def release(self, *, forget: bool = False) -> None:
        """Give the store free. The file stays, because removing it would race with the next owner.

        Args:
            forget: remove it all the same: what lies at the store's place is no store and will have no owner.
        """
        if self._descriptor >= 0:
            if forget:
                lock_path(self._store).unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1
