"""What is done with the log files themselves beside the reading: rotating them where a source wants it, archiving."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from agent.archivist import STOP_S, Archivist
from agent.store import rotations

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.config import Config
    from agent.errors import SidelogError
    from agent.rotator import Rotator
    from agent.store.change import Change
    from agent.tail.tailer import Tailer


def clear_interrupted(change: Change) -> None:
    """Remove what a rotation has left in which an agent was killed; before anything is read."""
    if change(rotations.begun, durable=False):
        from agent.rotator import clear_interrupted  # noqa: PLC0415 - rare, and 5 ms

        clear_interrupted(change)


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
        self._archivist = Archivist(config, change, report, self._names_lock)
        self._rotator: Rotator | None = None

    def start(self) -> None:
        """Begin."""
        self._archivist.start()
        self._rotate()

    def reload(self, config: Config) -> None:
        """Go on with another configuration."""
        self._config = config
        self._archivist.reload(config)
        if self._rotator is not None:
            self._rotator.reload(config)
        else:
            self._rotate()

    def stop(self) -> None:
        """End, in the middle of a log if need be."""
        if self._rotator is not None:
            self._rotator.end()
        self._archivist.stop()
        if self._rotator is not None:
            self._rotator.join(STOP_S)

    def _rotate(self) -> None:
        if any(source.rotate is not None for source in self._config.sources):
            from agent.rotator import Rotator  # noqa: PLC0415 - who does not rotate does not wait for it

            self._rotator = Rotator(
                self._config,
                self._tailer.files,
                self._change,
                self._report,
                names_lock=self._names_lock,
                changed=self._tailer.look_soon,
            )
            self._rotator.start()
