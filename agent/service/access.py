"""What whoever runs this may do with a path, which part of the way stops it, and the least that opens it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agent.service.account import group_name
from agent.service.fix import Fix

if TYPE_CHECKING:
    from agent.service.account import Account

HOMES = ("/home", "/root", "/run/user")  # those that ProtectHome= means (systemd.exec(5))
TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - names alone, of what PrivateTmp= replaces
# Directories of the whole system: like homes, no group of theirs is changed for one program.
_SHARED = (
    *("/", "/bin", "/boot", "/dev", "/etc", "/lib", "/mnt", "/opt", "/run", "/sbin", "/srv", "/sys"),
    *TEMPORARY,
    *("/usr", "/usr/bin", "/usr/local", "/usr/local/bin"),
    *("/var", "/var/cache", "/var/lib", "/var/log", "/var/spool"),
)

_MOST_LINKS = 40  # that Linux follows in one path


class Obstacle(NamedTuple):
    """A file or directory that stops somebody, and what would have to be allowed there (`R_OK`, `W_OK`, `X_OK`)."""

    path: str
    mode: int


def may(path: str, mode: int) -> bool:
    """Whether whoever runs this may use a path so; access lists and capabilities count."""
    try:
        return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)
    except ValueError:  # a NUL in it
        return False


def obstacle(path: str, mode: int) -> Obstacle | None:
    """The first part of a way that stops whoever runs this, links followed; None where the path may be used, or is
    missing.
    """
    found = ways(path)
    for way in found:
        for part in (str(one) for one in reversed(Path(way).parents)):
            if not may(part, os.X_OK):
                return Obstacle(part, os.X_OK) if os.path.lexists(part) else None
    return None if may(found[-1], mode) or not os.path.lexists(found[-1]) else Obstacle(found[-1], mode)


def ways(path: str) -> list[str]:
    """The path, and what it is after each link on it, as far as links can be read: all that is looked up on the way."""
    found = [os.path.abspath(path)]  # noqa: PTH100 - links stay
    for _ in range(_MOST_LINKS):
        parts = found[-1].split("/")[1:]
        heads = ("/" + "/".join(parts[: count + 1]) for count in range(len(parts)))
        link = next((head for head in heads if os.path.islink(head)), None)  # noqa: PTH114
        if link is None:
            break
        try:
            target = os.path.join(os.path.dirname(link), os.readlink(link))  # noqa: PTH115, PTH118, PTH120
        except OSError:  # gone meanwhile
            break
        found.append(os.path.normpath(target + found[-1][len(link) :]))
    return found


def grants(found: Obstacle, account: Account, *, in_unit: bool) -> tuple[Fix, ...]:
    """The least that gives an account, which is who runs this, what an obstacle denies it.

    By a group that may already, and which it joins; by giving the path to its own group where nobody loses by that;
    else by an access list.

    Args:
        found: what stops it.
        account: who is to pass.
        in_unit: its groups can be a unit's.
    """
    path = os.path.realpath(found.path)
    try:
        status, has_list = Path(path).stat(), has_access_list(path)
    except OSError:  # gone
        return ()
    letters = _letters(found.mode)
    if status.st_uid == account.uid:
        return (Fix(command=("chmod", f"u+{letters}"), target=path),)
    if not has_list and (steps := _by_group(path, status, found.mode, letters, account, in_unit=in_unit)):
        return steps
    if has_list is None:
        return ()
    # An entry counts alone for its user (acl(5)): it has what the user was allowed before as well, and reading, which
    # another step may be about to give by a group.
    allowed = sum(bit for bit in (os.R_OK, os.W_OK, os.X_OK) if may(path, bit))
    allowed |= os.R_OK if found.mode & os.W_OK else 0
    return (Fix(command=("setfacl", "-m", f"u:{account.name}:{_letters(found.mode | allowed)}"), target=path),)


def has_access_list(path: str) -> bool | None:
    """Whether a file or directory has an access list (acl(5)), whose entries its mode does not show; None where it
    is gone, or its file system has none.
    """
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except OSError:
        return None


def _letters(mode: int) -> str:
    return "".join(letter for letter, bit in (("r", os.R_OK), ("w", os.W_OK), ("x", os.X_OK)) if mode & bit)


def _by_group(
    path: str, status: os.stat_result, mode: int, letters: str, account: Account, *, in_unit: bool
) -> tuple[Fix, ...]:
    """The steps that do it by a group, without taking anything from others; none where that cannot be done so."""
    group, others = status.st_mode >> 3 & 7, status.st_mode & 7
    writes = mode & os.W_OK  # the other members of a shared group are not to get that
    if status.st_gid == account.gid or (status.st_gid in account.groups and not writes):
        return (Fix(command=("chmod", f"g+{letters}"), target=path),)
    if group & mode == mode and status.st_gid:
        joined = group_name(status.st_gid)
        by_unit = Fix(line=f"SupplementaryGroups={joined}")
        return (by_unit if in_unit else Fix(command=("usermod", "-aG", joined), target=account.name),)
    if is_shared(path) or group & ~others:
        return ()
    given = Fix(command=("chgrp", group_name(account.gid)), target=path)
    return (given, Fix(command=("chmod", f"g+{letters}"), target=path))


def is_shared(path: str) -> bool:
    """Whether a path is a home, lies in one, or is a directory of the whole system: those change hands for nobody."""
    return path in _SHARED or any(lies_in(path, home) for home in HOMES)


def lies_in(path: str, directory: str) -> bool:
    """Whether a path is a directory or lies in it, by its name."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def cannot_delete_in(directory: str) -> str:
    """Why files of others cannot be deleted in a directory: `denied`, `sticky`; empty where they can."""
    if not may(directory, os.W_OK | os.X_OK):
        return "denied"
    status = Path(directory).stat()
    is_sticky = status.st_mode & stat.S_ISVTX and os.geteuid() not in (0, status.st_uid)
    return "sticky" if is_sticky else ""
