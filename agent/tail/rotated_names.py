"""How rotated logs are named: what all that look for them, archive them or make them know of it.

Loggers and logrotate put numbers, dates and words into a name; sidelog's own rotation numbers: app.log.1 is the newest.
"""

# ruff: noqa: PTH116, PTH118, PTH122 - paths are str here: a pathlib object costs 20 times as much, 1,000 files a scan

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from agent.core.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# what rotation puts into a name: numbers, dates, times of day, a few words; separated by . - _ or nothing
# (each digit by itself: a name of digits could be divided into numbers in more ways than there is time for)
_ROTATION = lazy(r"([.\-_@:0-9]|[TZ](?=[0-9.]|$)|old|bak|prev|copy|orig|save|tmp)+")
_COMPRESSED = lazy(r"\.(gz|zst|bz2|xz|lz4)$")
_READABLE = lazy(r"\.(gz|zst)$")  # of these, what sidelog can read
_DIGITS = lazy(r"[0-9]+")
_NUMBER = lazy(r"\.([1-9][0-9]{0,8})", re.ASCII)
_ANY_NUMBER = lazy(r"\.[0-9]{1,9}$")


def is_rotation(name: str, original: str) -> bool:
    """Whether a base name is made from another by rotation: app.log → app.log.1, app.log-20261122, app-2026-11-22.log,
    app.1.log, each also with .gz, .zst, .bz2 or .xz. A number is not made longer: app10.log is beside app1.log.
    """
    plain = _COMPRESSED.sub("", name)
    if plain == original:
        return plain != name
    stem, extension = os.path.splitext(original)
    if plain.startswith(original):
        return _is_added(original, plain[len(original) :])
    if not plain.startswith(stem) or not plain.endswith(extension):
        return False
    return _is_added(stem, plain[len(stem) : len(plain) - len(extension)])


def _is_added(before: str, added: str) -> bool:
    """Whether rotation puts `added` into a name behind `before`."""
    if before[-1:].isdigit() and added[:1].isdigit():
        return False
    return _ROTATION.fullmatch(added) is not None


def is_compressed_rotation(name: str, original: str) -> bool:
    """Whether a base name is made from another by rotation and compression: app.log.1.gz, app.log.zst."""
    return _COMPRESSED.search(name) is not None and is_rotation(name, original)


# ---------------------------------------------------------------- from which log a name was rotated


class DirectoryNames:
    """The names of one directory.

    Args:
        originals: base names of followed files (also of those that were), with their sources.
    """

    def __init__(self, originals: Mapping[str, str]) -> None:
        self._originals = originals
        self._families = {_family(name): source for name, source in originals.items() if _DIGITS.search(name)}

    def origin(self, name: str) -> tuple[str, str] | None:
        """The base name under which a log of this name was followed, or would have been, and its source.

        It is its own where it is one that is followed now. None where the name says that it is something else.
        """
        compressed = _READABLE.search(name) is not None
        if name in self._originals and not compressed:
            return name, self._originals[name]
        found = self.rotated_from(name)
        if found is not None:
            return found, self._originals[found]
        if compressed:  # app-2026-11-21.log.gz beside app-2026-11-22.log, which it was called before it was compressed
            plain = _READABLE.sub("", name)
            source = self._families.get(_family(plain))
            if source is not None:
                return plain, source
        source = self._originals.get(name)
        return None if source is None else (name, source)

    def rotated_from(self, name: str) -> str | None:
        """The followed file of whose name rotation makes this one; of several the one with the longest name."""
        return max((one for one in self._originals if is_rotation(name, one)), key=len, default=None)

    def was_left(self, path: str, modified_ns: int) -> bool:
        """Whether the file that this one was rotated from is there again, and has been written since.

        Some loggers count upwards: of app.log and app.log.1 the second one is then the one that is written now. Only
        names count to which something was appended: app1.log may as well be the log of a second process.
        """
        directory, name = os.path.split(path)
        for one in self._originals:
            if not (name.startswith(one) and is_rotation(name, one)):
                continue
            try:
                if os.stat(os.path.join(directory, one)).st_mtime_ns >= modified_ns:
                    return True
            except OSError:
                continue
        return False


def _family(name: str) -> str:
    """Names that differ in their numbers only have the same."""
    return _DIGITS.sub("0", name)


def rotated(names: set[str]) -> set[str]:
    """Those of the base names in a directory that are numbered, or made by rotation from another of them: such a file
    is never rotated itself.
    """
    return {name for name in names if is_numbered(name) or _is_made_from(name, names)}


def is_numbered(name: str) -> bool:
    """Whether a name ends in a number, with or without leading zeros."""
    return _ANY_NUMBER.search(name) is not None


def _is_made_from(name: str, others: set[str]) -> bool:
    """Whether rotation makes a name from another one: app.log-20261122, app-20261122.log from app.log.

    What may have been added is cut out, and looked up: 30 ms for the 1,000 names of a directory, where comparing each
    with each other takes 2.2 s.
    """
    for whole in (name, os.path.splitext(name)[0]):  # the second half may say compressed
        ends = [place for place, character in enumerate(whole) if character == "."]
        for end in (*ends, len(whole)):
            for begin in range(1, end):
                other = whole[:begin] + whole[end:]
                if other in others and is_rotation(name, other):
                    return True
    return False


# ---------------------------------------------------------------- numbers, as sidelog itself gives them


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


def newest(log: str) -> str:
    """The name that the log gets when it is rotated."""
    return f"{log}.1"


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


def beyond(keep: int, log: str, names: Iterable[str]) -> list[str]:
    """The rotated logs beyond the newest `keep`, oldest first."""
    return list(numbers(log, names).values())[keep:][::-1]
