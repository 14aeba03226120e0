"""Text from outside: that of logs, made harmless before it is shown, and file names that are not UTF-8.

Nothing that is shown may drive a terminal or pretend to be another line.

A byte of a name that is no UTF-8 is for Python a lone surrogate U+DC80..U+DCFF (PEP 383), which is no text. As text
that SQLite and JSON can hold it becomes the private character U+10DC80..U+10DCFF, and comes back from it.
"""

from __future__ import annotations

import contextlib
import os
import unicodedata
from typing import TYPE_CHECKING

from agent.core.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# C0, DEL, C1, marks that reorder text, and the separators that some programs take for line ends.
_UNSAFE = lazy("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
_CUT = "..."  # a terminal's encoding may have no ellipsis
_COLORS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "dim": 2, "bold": 1}


def escape(text: str, keep: str = "") -> str:
    r"""The text with every unsafe character as a visible escape (`\x1b`, `\u202e`), except those in `keep`."""
    if text.isprintable():
        return text
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _visible(found[0]), text)


def escape_json(text: str) -> str:
    r"""JSON text with unsafe characters as JSON escapes: it stays valid and means the same."""
    if text.isprintable():
        return text
    return _UNSAFE.sub(lambda found: found[0] if found[0] in "\n\t\r" else f"\\u{ord(found[0]):04x}", text)


def _visible(character: str) -> str:
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")  # noqa: PLR2004


def counted(count: int, one: str, many: str = "") -> str:
    """A number with what it counts: `1 file`, `2,000 files`; `many` where that is not made with an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def enumerated(items: Iterable[object]) -> str:
    """`a, b and c`."""
    *first, last = map(str, items)
    return f"{', '.join(first)} and {last}" if first else last


def columns(text: str) -> int:
    """How many columns of a terminal a printable text takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int, *, from_end: bool = False) -> str:
    """A printable text in at most so many columns, with `...` where it was cut: at its end, or at its beginning."""
    if columns(text) <= width:
        return text
    kept, left = [], width - len(_CUT)
    for character in reversed(text) if from_end else text:
        left -= columns(character)
        if left < 0:
            break
        kept.append(character)
    part = "".join(reversed(kept) if from_end else kept)
    return (f"{_CUT}{part}" if from_end else f"{part}{_CUT}")[: max(0, width)]


def paint(text: str, *colors: str) -> str:
    """The text in ANSI colours (names of `_COLORS`), reset after it."""
    return f"\x1b[{';'.join(str(_COLORS[color]) for color in colors)}m{text}\x1b[0m"


# ---------------------------------------------------------------- files and their names


# With these a file is opened in a directory where others write: a link would lead to a file that is not meant, a pipe
# would block until somebody opens its other end, a terminal would become that of the agent, and a child of the agent
# would inherit the file.
OPEN_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_SHIFT = 0x100000
_SURROGATE = lazy("[\udc80-\udcff]")
_PRIVATE = lazy("[\U0010dc80-\U0010dcff]")


def is_seen(path: Path) -> bool:
    """Whether something is there. Where nobody may look it is not: whoever opens it then says why it cannot be."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises there


def is_directory(path: Path) -> bool:
    """As `is_seen`, of directories alone."""
    return os.path.isdir(path)  # noqa: PTH112 - as there


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
