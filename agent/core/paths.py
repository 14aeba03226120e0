"""Opening what others may have laid there, making what others shall open; file names that are not UTF-8, as text that
SQLite and JSON can hold.

Python keeps such a byte as a lone surrogate U+DC80..U+DCFF (PEP 383), which is no text. Here it becomes the private
character U+10DC80..U+10DCFF, and comes back from it.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from agent.core.patterns import lazy

if TYPE_CHECKING:
    from pathlib import Path

# With these a file is opened in a directory where others write: a link would lead to a file that is not meant, a pipe
# would block until somebody opens its other end, a terminal would become that of the agent, and a child of the agent
# would inherit the file.
OPEN_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_SHIFT = 0x100000
_SURROGATE = lazy("[\udc80-\udcff]")
_PRIVATE = lazy("[\U0010dc80-\U0010dcff]")


def without_group(mode: int) -> int:
    """The mode of a file whose group is not the one that the mode was made for: it may do what everybody may."""
    return mode & (~0o070 | (mode & 0o007) << 3)


def take_place(descriptor: int, former: os.stat_result) -> None:
    """Give a new file owner, group and permissions of the one whose place it takes, as far as that is allowed.

    Its owner can read and write it in any case.

    Raises:
        OSError: its mode cannot be set.
    """
    mode = former.st_mode & 0o666 | 0o600
    for owner in (former.st_uid, -1):
        with contextlib.suppress(OSError):
            os.fchown(descriptor, owner, former.st_gid)
            break
    if os.fstat(descriptor).st_gid != former.st_gid:
        mode = without_group(mode)
    os.fchmod(descriptor, mode)


def follow_owner(descriptor: int, other: os.stat_result) -> None:
    """Give what root has just made, a file or a directory, owner and group of what it lies in or beside: root works
    there for a service's user, who could not open it otherwise. What anybody else makes stays theirs.
    """
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):  # a container's root without that right, or another machine's disk
            os.fchown(descriptor, other.st_uid, other.st_gid)


def make_private_directory(folder: Path) -> None:
    """Make one directory, open to its owner alone, who is for root that of the directory above.

    Raises:
        OSError: it cannot be made, or is there.
    """
    folder.mkdir(mode=0o700)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        follow_owner(descriptor, folder.parent.stat())
    finally:
        os.close(descriptor)


def to_text(path: str) -> str:
    """A path as `os` gives it, as text."""
    return path if path.isascii() else _SURROGATE.sub(lambda found: chr(ord(found[0]) + _SHIFT), path)


def from_text(text: str) -> str:
    """The path that `to_text` was given."""
    return text if text.isascii() else _PRIVATE.sub(lambda found: chr(ord(found[0]) - _SHIFT), text)
