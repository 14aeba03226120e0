"""Who has a rotated log that the store knows nothing of: reading, or archiving.

Were both to have it, its lines would be in the store, and in an archive that does not say that they are: each of them
would be found twice.
"""

from __future__ import annotations

import contextlib
import math
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from agent.core.model import FileGeneration
    from agent.tail.identity import FileKey

LogVersion = tuple[int, int, int, int]  # device, inode, size in bytes, mtime in ns: once written, another one


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
        self._wanted_looks: dict[LogVersion, int] = {}  # the first one that begins after archiving has found the log

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

    def expect(self, logs: Iterable[LogVersion]) -> None:
        """These logs, and no others, archiving has found now and may be going to take. Reading is to look for them
        first: they may have been renamed before anybody looked.
        """
        if self._look_soon is None:
            return
        with self._lock:
            known, further = self._wanted_looks, self._looks_begun + 1
            self._wanted_looks = {log: known.get(log, further) for log in logs}
            missing = any(look > self._looks_done for look in self._wanted_looks.values())
        if missing:
            self._look_soon()

    def take(self, log: LogVersion, compared: Collection[int]) -> bool:
        """Take a log for archiving, unless reading has it or has not looked for it yet; kept until `release`.

        Args:
            log: as archiving has found it, and told by `expect`.
            compared: ids of the generations that it is known not to be.
        """
        with self._lock:
            generations = (file for file in self._generations() if (file.device, file.inode) == log[:2])
            if log[:2] in self._opening or any(file.id not in compared for file in generations):
                return False
            if self._look_soon is not None and self._looks_done < self._wanted_looks.get(log, math.inf):
                return False
            self._archived.add(log)
            return True

    def release(self, log: LogVersion) -> None:
        """The log is gone, or is not archived after all."""
        with self._lock:
            self._archived.discard(log)
