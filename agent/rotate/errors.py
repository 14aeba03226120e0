"""What can keep a log from being rotated."""

from __future__ import annotations

import errno
import os

from agent.core.errors import SidelogError


class RotateError(SidelogError):
    """A log cannot be rotated, its application not be told, or a rotated one not be deleted."""


def unrotatable(path: str, why: str, *, hint: str = "") -> RotateError:
    """SL820, for a log that stays as it is."""
    return RotateError.of("SL820", path, hint=hint or "it goes on as it is, and is tried again", why=why)


def failed(path: str, error: OSError) -> RotateError:
    """SL820, for what the system refused."""
    hint = ""
    if error.errno in {errno.EACCES, errno.EPERM}:
        hint = "let the agent's user write in its directory (setfacl -m u:sidelog:rwx DIR)"
    elif error.errno == errno.EROFS:
        hint = "let the service write in its directory (ReadWritePaths=DIR in `systemctl edit sidelog`)"
    elif error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = "copytruncate needs room for a second copy: free some, or rotate by renaming"
    return unrotatable(path, os.strerror(error.errno or 0), hint=hint)


def untellable(source: str, pidfile: str, why: str) -> RotateError:
    """SL821, for a signal that cannot be sent: the logs of the source are not rotated."""
    return RotateError.of("SL821", source, pidfile=pidfile, why=why)


def command_failed(source: str, command: str, why: str) -> RotateError:
    """SL822, for a command that cannot be run, or that failed."""
    return RotateError.of("SL822", source, command=command, why=why)


def surplus_kept(path: str, name: str, count: int, why: str) -> RotateError:
    """SL823, for rotated logs that `keep` would have deleted."""
    others = f" and {count - 1} more" if count > 1 else ""
    return RotateError.of("SL823", path, name=name, others=others, why=why)


def not_reopened(path: str, rotated: str) -> RotateError:
    """SL824, for an application that writes on in the renamed log."""
    return RotateError.of("SL824", path, rotated=rotated)
