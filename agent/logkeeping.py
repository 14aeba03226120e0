"""What is done with the log files themselves beside the reading: rotating them where a source wants it, archiving."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from agent.store import tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.archive.thread import ArchiverThread
    from agent.config import Config
    from agent.core.conditions import Rounds
    from agent.core.errors import SidelogError
    from agent.rotate.thread import RotatorThread
    from agent.store.edit import Change
    from agent.tail.tailer import Tailer

_STOP_S = 2.0


def clear_interrupted(change: Change) -> None:
    """Remove what a crash in the middle of copytruncate has left, before anything is read: it would be read twice."""
    rows = change(tables.begun_rotations, durable=False)
    if rows:
        from agent.rotate import copytruncate  # noqa: PLC0415 - rare

        cleared = copytruncate.clear(rows)
        over = [row.path for row in rows if row.copy and row.path in cleared]
        change(partial(tables.end_rotations, paths=over), durable=False)


def archive_now(
    config: Config, change: Change, report: Callable[[SidelogError, bool], None], stop: Callable[[], bool]
) -> None:
    """One round of archiving, where the configuration wants archives."""
    if config.archive is not None and not stop():
        from agent.archive.archiver import Archiver  # noqa: PLC0415 - who does not archive does not wait for it

        Archiver(config, change, report, stop=stop).round()


class Logkeeping:
    """The threads that rotate and archive.

    Args:
        config: validated.
        tailer: follows the logs.
        change: runs a function in a transaction on the writer's thread.
        report: notes that a condition began (True) or ended (False).
    """

    def __init__(
        self, config: Config, tailer: Tailer, change: Change, report: Callable[[SidelogError, bool], None]
    ) -> None:
        self._config = config
        self._tailer = tailer
        self._change = change
        self._report = report
        # Rotation gives logs other names, and archiving deletes them by their names.
        self._names_lock = threading.Lock()
        self._archiver: ArchiverThread | None = None
        self._rotator: RotatorThread | None = None

    def start(self) -> None:
        """Begin what the configuration wants and is not done yet."""
        if self._archiver is None and self._config.archive is not None:
            self._archiver = self._archive()
        if self._rotator is None and any(source.rotate is not None for source in self._config.sources):
            self._rotator = self._rotate()

    def reload(self, config: Config) -> None:
        """Go on with another configuration."""
        self._config = config
        for thread in self._threads():
            thread.reload(config)
        self.start()

    def stop(self) -> None:
        """End, in the middle of a log if need be."""
        threads = self._threads()
        for thread in threads:
            thread.end()
        for thread in threads:
            thread.join(_STOP_S)

    def _threads(self) -> list[Rounds[Config]]:
        return [thread for thread in (self._archiver, self._rotator) if thread is not None]

    # Who does not archive or rotate does not wait for the modules, and keeps no memory for them.

    def _archive(self) -> ArchiverThread:
        from agent.archive.thread import ArchiverThread  # noqa: PLC0415

        archiver = ArchiverThread(
            self._config, self._change, self._report, self._names_lock, claims=self._tailer.claims
        )
        archiver.start()
        return archiver

    def _rotate(self) -> RotatorThread:
        from agent.rotate.thread import RotatorThread  # noqa: PLC0415

        rotator = RotatorThread(
            self._config,
            self._tailer.files,
            self._change,
            self._report,
            names_lock=self._names_lock,
            changed=self._tailer.look_soon,
        )
        rotator.start()
        return rotator
