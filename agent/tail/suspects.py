"""New files that may be copies being made of files that are followed: copytruncate, renamecopy, into any directory."""

# ruff: noqa: PTH119, PTH120, PTH123 - paths are str here: a pathlib object costs 20 times as much, 1,000 files a scan

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgspec

from agent.core.holes import before_hole
from agent.core.model import HEAD_BYTES
from agent.tail.rotated_names import is_rotation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.tail.discover import FoundFile
    from agent.tail.harvester import Harvester
    from agent.tail.identity import FileKey
    from agent.tail.registry import Registry

_PREFIX_BYTES = 64  # tells 1,000 logs apart that begin with an instant


class _Suspect(msgspec.Struct):
    """A new file as it was when it was last seen to change."""

    path: str
    size: int
    mtime_ns: int
    unchanged_since: float


class CopySuspects:
    """Leaves new files alone for as long as they may be copies.

    Args:
        registry: of the harvesters.
        once: nothing is rotated meanwhile, and nobody looks again.
    """

    def __init__(self, registry: Registry, *, once: bool) -> None:
        self._registry = registry
        self._once = once
        self._suspects: dict[FileKey, _Suspect] = {}
        self._originals: dict[bytes, list[tuple[bytes, Harvester]]] = {}  # by how they begin

    @property
    def directories(self) -> set[str]:
        """Where the suspects lie."""
        return {os.path.dirname(suspect.path) for suspect in self._suspects.values()}

    def look(self, fresh: Sequence[FoundFile]) -> None:
        """These are all the new files that there are now."""
        present = {found.key for found in fresh}
        self._suspects = {key: suspect for key, suspect in self._suspects.items() if key in present}
        self._originals = {}
        if fresh and not self._once:
            for harvester in self._registry.harvesters.values():
                self.add(harvester)

    def add(self, harvester: Harvester) -> None:
        """Of this file there may be copies."""
        head = _head(harvester)
        if head:  # of one that is empty, or was emptied before anything of it was read, no copy can be read twice
            self._originals.setdefault(head[:_PREFIX_BYTES], []).append((head, harvester))

    def holds(self, found: FoundFile) -> bool:
        """Whether to leave a new file alone, because it may be a copy: it has the name of a rotation and the head of
        a file that is followed. If that is about to be truncated (copytruncate) or deleted (renamecopy), the copy
        changed a moment ago; if it is deleted already, its end decides.
        """
        originals = [] if self._once else self._resembling(found)
        if not originals:
            self._suspects.pop(found.key, None)
            return False
        now = time.monotonic()
        suspect = self._suspects.get(found.key)
        if suspect is None or (suspect.size, suspect.mtime_ns) != (found.size, found.mtime_ns):
            self._suspects[found.key] = _Suspect(found.path, found.size, found.mtime_ns, now)
            return True
        if not all(harvester.links for harvester in originals):
            return True
        if now - suspect.unchanged_since < self._registry.timing.copy_grace_s:
            return True
        del self._suspects[found.key]
        return False

    def _resembling(self, found: FoundFile) -> list[Harvester]:
        """The followed files from whose names rotation makes this one, and that begin like it as far as it is long
        enough.
        """
        try:
            with open(found.path, "rb", buffering=0) as file:
                begin = file.read(HEAD_BYTES)
        except OSError:
            return []
        name = os.path.basename(found.path)
        prefix = begin[:_PREFIX_BYTES]
        return [
            harvester
            for known in ([prefix] if prefix in self._originals else self._originals)
            if known.startswith(prefix) or prefix.startswith(known)
            for head, harvester in self._originals[known]
            if head.startswith(begin[: len(head)]) and is_rotation(name, os.path.basename(harvester.file.path))
        ]


def _head(harvester: Harvester) -> bytes:
    try:
        if not harvester.head and harvester.fd >= 0:
            return before_hole(os.pread(harvester.fd, HEAD_BYTES, 0))
    except OSError:
        return b""
    return harvester.head
