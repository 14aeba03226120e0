"""What processes that work for the agent, or for a query, do to themselves."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import sys

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}  # system call numbers of ioprio_set(2)
_IDLE_CLASS = 3 << 13
_PR_SET_PDEATHSIG = 1  # prctl(2)
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)
_KEPT_BYTES = 64 << 20
_LARGEST_BYTES = 32 << 20  # glibc takes no more


def die_with_owner() -> None:
    """End at once when the process that started this one does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def lower_priority() -> None:
    """Give way to everything else: processor and disk.

    Raises:
        OSError: the system knows no such priority.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, 0, 19)  # whatever that of the agent is
        number = _IOPRIO_SET.get(platform.machine()) if sys.platform == "linux" else None
        if number is not None:
            ctypes.CDLL(None, use_errno=True).syscall(number, 1, 0, _IDLE_CLASS)  # 1: a process, 0: this one
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES):
            raise


def keep_freed_memory() -> None:
    """Let malloc keep large blocks that are freed for the next ones, where it is glibc's.

    Otherwise it gives each of them back to the system, which clears every page of the next one: half of the time of a
    search, a tenth of that of making archives.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, _LARGEST_BYTES)
