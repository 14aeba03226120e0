"""The names of rotated logs: app.log.1 is the newest, higher numbers are older. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_NUMBER = re.compile(r"\.([1-9][0-9]{0,8})", re.ASCII)


def is_numbered(name: str) -> bool:
    """Whether a name ends like that of a rotated log: such a file is never rotated itself."""
    return re.search(r"\.[0-9]{1,9}$", name) is not None


def numbers(log: str, names: Iterable[str]) -> dict[int, str]:
    """The rotated ones of a log among base names, by number, ascending."""
    found = {}
    for name in names:
        match = _NUMBER.fullmatch(name[len(log) :]) if name.startswith(log) else None
        if match:
            found[int(match[1])] = name
    return dict(sorted(found.items()))


def shift(log: str, names: Iterable[str]) -> list[tuple[str, str]]:
    """The renames, in their order, that free the name `log`.1. Only as many as it takes: behind a number that is free,
    nothing moves. Each goes to a name that is free by then, so that nothing is overwritten and a crash between two of
    them leaves every file, in the same order.
    """
    taken = numbers(log, names)
    free = 1
    while free in taken:
        free += 1
    return [(taken[number], f"{log}.{number + 1}") for number in range(free - 1, 0, -1)]


def surplus(log: str, names: Iterable[str], keep: int) -> list[str]:
    """The rotated logs beyond the newest `keep`, oldest first."""
    return list(numbers(log, names).values())[keep:][::-1]
