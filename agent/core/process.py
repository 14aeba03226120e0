"""Processes that work for the agent, or for a query: how they are started, and what they do to themselves."""

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


def own_program(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """The command that runs a module of this program, and its environment.

    Modules are found where ours are: `-m` alone would look first where we were started, whoever writes there.

    Start it in a process group of its own, so that Ctrl-C is for its owner alone, but not in a session of its own:
    sessions share the processors as equals (sched(7), autogroup), and a low priority counts within one of them only.
    Twenty who scanned took half of the agent's processor time so.
    """
    places = os.pathsep.join(filter(None, sys.path))
    return [sys.executable, "-P", "-m", module, *arguments], {**os.environ, "PYTHONPATH": places}


def die_with_owner(owner: int | None = None) -> None:
    """End at once when the process that started this one does.

    Args:
        owner: its process id, where it is known: it may have ended before this was called.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if owner is not None and os.getppid() != owner:
        os._exit(0)


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
