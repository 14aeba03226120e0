"""Which file a log was rotated from, as far as names tell."""

# ruff: noqa: PTH118, PTH116 - paths are str here, as in tail

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agent.patterns import lazy
from agent.tail import locate

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMPRESSED = lazy(r"\.(gz|zst)$")
_DIGITS = lazy(r"[0-9]+")


def is_compressed_name(name: str) -> bool:
    """Whether a base name ends like that of a compressed file."""
    return _COMPRESSED.search(name) is not None


class Names:
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
        compressed = is_compressed_name(name)
        if name in self._originals and not compressed:
            return name, self._originals[name]
        found = self.rotated_from(name)
        if found is not None:
            return found, self._originals[found]
        if compressed:  # app-2026-11-21.log.gz beside app-2026-11-22.log, which it was called before it was compressed
            plain = _COMPRESSED.sub("", name)
            source = self._families.get(_family(plain))
            if source is not None:
                return plain, source
        source = self._originals.get(name)
        return None if source is None else (name, source)

    def rotated_from(self, name: str) -> str | None:
        """The followed file of whose name rotation makes this one; of several the one with the longest name."""
        return max((one for one in self._originals if locate.is_rotation(name, one)), key=len, default=None)

    def successors(self, name: str) -> list[str]:
        """The followed files that this name was made from by appending: app.log of app.log.1, but not of app1.log,
        which may as well be the log of a second process.
        """
        return [one for one in self._originals if name.startswith(one) and locate.is_rotation(name, one)]

    def was_left(self, path: str, modified_ns: int) -> bool:
        """Whether the file that this one was rotated from is there again, and has been written since.

        Some loggers count upwards: of app.log and app.log.1 the second one is then the one that is written now.
        """
        directory, name = os.path.split(path)
        for one in self.successors(name):
            try:
                if os.stat(os.path.join(directory, one)).st_mtime_ns >= modified_ns:
                    return True
            except OSError:
                continue
        return False


def _family(name: str) -> str:
    """Names that differ in their numbers only have the same."""
    return _DIGITS.sub("0", name)
