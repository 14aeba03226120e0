"""A lock on a file, which ends with its process, however that dies.

An open-file-description lock (fcntl(2), F_OFD_SETLK): unlike flock(2) it can be asked about without being taken,
and unlike a classic record lock it does not fall when another descriptor of the same file is closed. Where there is
none (macOS), flock(2) has to do.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_FLOCK = struct.Struct("hhqqi4x")  # struct flock on 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid
_WHOLE_FILE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
_HAS_OFD = hasattr(fcntl, "F_OFD_SETLK")
HELD = (errno.EAGAIN, errno.EACCES)  # of the error where another process has the lock
_DEAD_OWNER_S = 2.0  # between fork and exec are milliseconds, on a busy machine more


def take_lock(descriptor: int, owner: Callable[[], int | None]) -> None:
    """Take the lock; of an owner that was killed, wait for a program that it was just about to start: until that has
    begun, the new process holds what its parent held.

    Args:
        descriptor: open for writing.
        owner: gives the process that is said to hold the lock; None where none is.

    Raises:
        OSError: another process holds it (HELD), or the file system has no locks.
    """
    end = time.monotonic() + _DEAD_OWNER_S
    while True:
        try:
            return _lock(descriptor)
        except OSError as error:
            held = owner()
            alive = held is not None and _is_running(held)
            if error.errno not in HELD or alive or time.monotonic() >= end:
                raise
        time.sleep(_DEAD_OWNER_S / 100)


def is_locked(descriptor: int) -> bool:
    """Whether another process holds the lock of an open file."""
    if _HAS_OFD:
        return bool(_FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _WHOLE_FILE))[0] != fcntl.F_UNLCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _lock(descriptor: int) -> None:
    if _HAS_OFD:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _WHOLE_FILE)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_running(pid: int) -> bool:
    """Whether there is such a process, and it has not ended already; of one that we know nothing of, True."""
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
    except ProcessLookupError:
        return False
    except OSError:  # another user's, or not Linux
        return True
