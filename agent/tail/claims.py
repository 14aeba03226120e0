"""Who has a rotated log that the store knows nothing of: reading, or archiving.

Were both to have it, its lines would be in the store, and in an archive that does not say that they are: each of them
would be found twice.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from agent.core.model import FileGeneration
    from agent.tail.identity import FileKey

LogVersion = tuple[int, int, int, int]  # device, inode, size in bytes, mtime in ns: once written, another one
_MOST_WAITING = 1024  # logs; those that changed before their turn are never asked for again


class LogClaims:
    """Any thread may use it.

    Args:
        generations: gives those that are followed or were, whether or not the store has them yet.
        look_soon: lets reading look for files; None: nobody reads.
    """

    def __init__(
        self, generations: Callable[[], list[FileGeneration]] = list, look_soon: Callable[[], None] | None = None
    ) -> None:
        self._generations = generations
        self._look_soon = look_soon
        self._lock = threading.Lock()
        self._opening: set[tuple[int, int]] = set()  # devices and inodes
        self._archived: set[LogVersion] = set()
        self._looks_begun = self._looks_done = 0
        self._wanted_look: dict[LogVersion, int] = {}  # the first one that begins after the log was asked for

    def begin_look(self) -> None:
        """Reading begins to look for files."""
        with self._lock:
            self._looks_begun += 1

    def end_look(self) -> None:
        """All that the look has found is opened, or is none of reading's."""
        with self._lock:
            self._looks_done = self._looks_begun

    @contextlib.contextmanager
    def opening(self, key: FileKey) -> Iterator[None]:
        """While reading opens a file, until that is one of the generations."""
        with self._lock:
            self._opening.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._opening.discard(key)

    def is_archived(self, log: LogVersion) -> bool:
        """Whether archiving has a file that reading has just opened: it is not to be read."""
        with self._lock:
            return log in self._archived

    def take(self, log: LogVersion, compared: Collection[int]) -> bool:
        """Take a log for archiving, unless reading has it or has not looked for it yet; kept until `release`.

        Args:
            log: as archiving has found it.
            compared: ids of the generations that it is known not to be.
        """
        with self._lock:
            generations = (file for file in self._generations() if (file.device, file.inode) == log[:2])
            if log[:2] in self._opening or any(file.id not in compared for file in generations):
                return False
            if self._look_soon is not None and not self._was_looked_for(log):
                self._look_soon()
                return False
            self._archived.add(log)
            return True

    def _was_looked_for(self, log: LogVersion) -> bool:
        """Whether reading has had the time to find it: it may have been renamed before anybody looked."""
        if len(self._wanted_look) >= _MOST_WAITING:
            self._wanted_look.clear()
        if self._looks_done < self._wanted_look.setdefault(log, self._looks_begun + 1):
            return False
        del self._wanted_look[log]
        return True

    def release(self, log: LogVersion) -> None:
        """The log is gone, or is not archived after all."""
        with self._lock:
            self._archived.discard(log)
