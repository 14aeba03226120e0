"""What can keep a log from being rotated."""

from __future__ import annotations

import errno
import os

from agent.core.errors import SidelogError


class RotateError(SidelogError):
    """A log cannot be rotated, its application not be told, or a rotated one not be deleted."""


def unrotatable(path: str, why: str, *, hint: str = "") -> RotateError:
    """SL820, for a log that stays as it is."""
    return RotateError(
        "SL820",
        "rotate a log",
        path,
        f"{path} cannot be rotated: {why}",
        hint=hint or "it goes on as it is, and is tried again",
        retryable=True,
    )


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
    return RotateError(
        "SL821",
        "signal an application",
        source,
        f"the logs of {source} cannot be rotated, for its application cannot be told to reopen them: {pidfile} {why}",
        hint="correct rotate.signal.pidfile, or start the application; it is tried again",
        retryable=True,
    )


def command_failed(source: str, command: str, why: str) -> RotateError:
    """SL822, for a command that cannot be run, or that failed."""
    return RotateError(
        "SL822",
        "run a command after a rotation",
        source,
        f"the command {command}, which is to tell the application of {source} of a rotation, failed: {why}",
        hint="its logs are not rotated again before it has succeeded; it is tried again",
        retryable=True,
    )


def surplus_kept(path: str, name: str, count: int, why: str) -> RotateError:
    """SL823, for rotated logs that `keep` would have deleted."""
    others = f" and {count - 1} more" if count > 1 else ""
    return RotateError(
        "SL823",
        "delete a rotated log",
        path,
        f"{name}{others} beside {path} would be deleted by `keep`, but stays: {why}",
        hint="what was never followed is for you to delete, or to archive (section archive)",
        retryable=True,
    )


def not_reopened(path: str, rotated: str) -> RotateError:
    """SL824, for an application that writes on in the renamed log."""
    return RotateError(
        "SL824",
        "rotate a log",
        path,
        f"{path} was renamed to {rotated}, and its application still writes there instead of opening {path} again",
        hint="name the signal or command that makes it reopen its log, or use `method: copytruncate`",
    )
