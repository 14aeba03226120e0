"""Files with the environment of a unit (`EnvironmentFile=`), read as systemd reads them: src/basic/env-file.c of 254.

A value may stand in quotes, several pieces in a row are one, and a quoted one goes on over lines; so does an unquoted
one behind a backslash. Nothing is expanded.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agent.core.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUOTED = r"""'[^']*+'?|"(?:[^"\\]|\\.?)*+"?"""
_ENTRY = lazy(
    r"""[ \t\n]*+(?:[#;][^\n]*+|(?P<name>[^ \t\n#;][^=\n]*+)"""
    rf"""(?:=(?P<value>(?:[ \t]*+(?:{_QUOTED}))*+(?:[^\\\n]|\\.?)*+))?)""",
    re.DOTALL,
)
_PIECE = lazy(r"""[ \t]*+(?:'(?P<single>[^']*+)'?|"(?P<double>(?:[^"\\]|\\.?)*+)"?|(?P<plain>.++))""", re.DOTALL)
_escape_in_quotes = lazy(r"""\\(?:(["\\`$])|\n|\Z)""")
_escape_or_last_blanks = lazy(r"\\(?:\n|(.?))|[ \t]++\Z")
_NAME = lazy(r"[A-Za-z_]\w*", re.ASCII)
_WORDS = lazy(r"[\w. -]{1,60}")  # what may be shown of the left of a `=`; a line without one may be a part of a secret


class EnvironmentLine(NamedTuple):
    """What begins in a line that is not a comment."""

    number: int
    name: str
    value: str | None  # None: there is no `=`

    @property
    def is_assignment(self) -> bool:
        """Whether it gives a variable a value; else systemd drops it: in silence, or with a word in its log where its
        name is none.
        """
        return self.value is not None and _NAME.fullmatch(self.name) is not None

    def shown(self) -> str:
        """What may be said of the line: not what may be a value."""
        return f"{self.name}=…" if self.value is not None and _WORDS.fullmatch(self.name) else "it is no NAME=VALUE"


def read(path: str) -> Iterator[EnvironmentLine]:
    """The lines of an environment file.

    Raises:
        OSError: it cannot be read.
    """
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    for entry in _ENTRY.finditer(text):
        if entry["name"] is not None:
            value = None if entry["value"] is None else _value(entry["value"])
            yield EnvironmentLine(text.count("\n", 0, entry.start("name")) + 1, entry["name"].rstrip(" \t"), value)


def variables(path: str) -> dict[str, str]:
    """What an environment file sets; nothing where it is absent, or closed to whoever looks."""
    try:
        return {line.name: line.value for line in read(path) if line.value is not None and line.is_assignment}
    except OSError:
        return {}


def _value(written: str) -> str:
    return "".join(_plain(piece) for piece in _PIECE.finditer(written))


def _plain(piece: re.Match[str]) -> str:
    if piece["single"] is not None:
        return piece["single"]
    if piece["double"] is not None:
        return _escape_in_quotes.sub(r"\1", piece["double"])
    return _escape_or_last_blanks.sub(r"\1", piece["plain"])
