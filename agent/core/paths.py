"""Opening what others may have laid there; file names that are not UTF-8, as text that SQLite and JSON can hold.

Python keeps such a byte as a lone surrogate U+DC80..U+DCFF (PEP 383), which is no text. Here it becomes the private
character U+10DC80..U+10DCFF, and comes back from it.
"""

from __future__ import annotations

import os

from agent.core.patterns import lazy

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


def to_text(path: str) -> str:
    """A path as `os` gives it, as text."""
    return path if path.isascii() else _SURROGATE.sub(lambda found: chr(ord(found[0]) + _SHIFT), path)


def from_text(text: str) -> str:
    """The path that `to_text` was given."""
    return text if text.isascii() else _PRIVATE.sub(lambda found: chr(ord(found[0]) - _SHIFT), text)
