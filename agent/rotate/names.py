"""The names of rotated logs: app.log.1 is the newest, higher numbers are older. Pure."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from agent.core.patterns import lazy
from agent.tail import locate

if TYPE_CHECKING:
    from collections.abc import Iterable

_NUMBER = lazy(r"\.([1-9][0-9]{0,8})", re.ASCII)


def is_numbered(name: str) -> bool:
    """Whether a name ends like that of a rotated log: such a file is never rotated itself."""
    return re.search(r"\.[0-9]{1,9}$", name) is not None


def rotated(names: set[str]) -> set[str]:
    """Those of the base names in a directory that are numbered, or made by rotation from another of them."""
    return {name for name in names if is_numbered(name) or _is_made_from(name, names)}


def _is_made_from(name: str, others: set[str]) -> bool:
    """Whether rotation makes a name from another one: app.log-20261122, app-20261122.log from app.log.

    What may have been added is cut out, and looked up: 30 ms for the 1,000 names of a directory, where comparing each
    with each other takes 2.2 s.
    """
    for whole in (name, os.path.splitext(name)[0]):  # noqa: PTH122 - of a name; the second half may say compressed
        ends = [place for place, character in enumerate(whole) if character == "."]
        for end in (*ends, len(whole)):
            for begin in range(1, end):
                other = whole[:begin] + whole[end:]
                if other in others and locate.is_rotation(name, other):
                    return True
    return False


def numbers(log: str, names: Iterable[str]) -> dict[int, str]:
    """The rotated ones of a log among base names, by number, ascending."""
    found = {}
    for name in names:
        match = _NUMBER.fullmatch(name[len(log) :]) if name.startswith(log) else None
        if match:
            found[int(match[1])] = name
    return dict(sorted(found.items()))


def by_log(names: Iterable[str]) -> dict[str, list[str]]:
    """The base names in a directory that end in a number, by what stands before it."""
    found: dict[str, list[str]] = {}
    for name in names:
        log, _, number = name.rpartition(".")
        if number.isdigit():
            found.setdefault(log, []).append(name)
    return found


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
