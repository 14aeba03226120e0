"""Where paths lead through symbolic links, and which names on the way decide that.

A link may be one of a chain (Kubernetes: /var/log/containers → /var/log/pods → /var/lib/docker/containers), and lead
to a directory (`current → releases/42`). So paths are resolved step by step, and each link is noted with its directory:
when that name changes its meaning, the path leads elsewhere.
"""

# ruff: noqa: PTH112, PTH115, PTH118, PTH120 - paths are str here: a pathlib object costs 20 times as much, 1,000 files a scan

from __future__ import annotations

import os

_MOST_LINKS = 40  # in one path, as in the kernel (path_resolution(7)); whatever lies behind more is not found


class LinkResolver:
    """Resolves the paths of one scan: each directory only once, for 1 µs, and the links among the files.

    `names` are directory and name of each link that was met, and of the targets that are told by `lead`.
    """

    def __init__(self) -> None:
        self.names: set[tuple[str, str]] = set()
        self._known: dict[str, str] = {os.sep: os.sep}

    def real(self, path: str, depth: int = 0) -> str:
        """An absolute path without symbolic links; where something is missing, the rest as it is."""
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = self._resolve(path, depth)
        return known

    def _resolve(self, path: str, depth: int) -> str:
        parent, name = os.path.split(path)
        directory = self.real(parent, depth)
        if name in ("", os.curdir):
            return directory
        if name == os.pardir:
            return os.path.dirname(directory)
        place = os.path.join(directory, name)
        try:
            target = os.readlink(place)
        except OSError:  # no link, or not there
            return place
        if depth >= _MOST_LINKS:
            return place
        self.names.add((directory, name))
        return self.real(os.path.join(directory, target), depth + 1)

    def lead(self, path: str) -> str:
        """`real` of a link, and note its target, whose name may come to be another file's, or be missing."""
        real = self.real(path)
        self.names.add(existing(real))
        return real


def existing(path: str) -> tuple[str, str]:
    """The nearest directory above a path that there is, and the name in it that leads on to the path."""
    directory, name = os.path.split(path)
    while directory != os.sep and not os.path.isdir(directory):
        directory, name = os.path.split(directory)
    return directory, name
