"""Rotation beside the reading: a thread that looks every second which logs are due. Loaded where a source wants it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog

from agent.core.conditions import Rounds
from agent.rotate.rotator import Rotator
from agent.store import tables
from agent.tail.discover import Discovery, tail_settings

if TYPE_CHECKING:
    import sqlite3
    import threading
    from collections.abc import Callable

    from agent.config import Config
    from agent.core.errors import SidelogError
    from agent.core.model import FileRow
    from agent.rotate.rotator import RotatedLog
    from agent.store.edit import Change

_SHORTEST_PAUSE_S = 0.1  # after a rotation: a log that grows fast may soon be due again; doubles
_LONGEST_PAUSE_S = 1.0

log = structlog.get_logger("sidelog")


def known_files(config: Config, connection: sqlite3.Connection) -> list[FileRow]:
    """The file generations that the store knows, without those that their sources do not match any more."""
    discovery = Discovery(tail_settings(config))
    found = []
    for file in tables.load_files(connection):
        source = discovery.source_of(file.path)
        if source is not None and source.name == file.source:
            found.append(file)
    return found


def rotate_once(config: Config, change: Change, report: Callable[[SidelogError, bool], None]) -> list[RotatedLog]:
    """One round now, without an agent: of what the store knows."""

    def followed() -> list[FileRow]:
        return change(partial(known_files, config), durable=False)

    return Rotator(config, followed, change, report).round()


class RotatorThread(Rounds["Config"]):
    """Rotates.

    Args:
        config: validated; sources without `rotate` are left alone.
        followed: gives the file generations that are followed.
        change: runs a function in a transaction on the writer's thread.
        report: notes that a condition began (True) or ended (False).
        names_lock: held while names change hands.
        changed: called when logs were rotated.
    """

    def __init__(
        self,
        config: Config,
        followed: Callable[[], list[FileRow]],
        change: Change,
        report: Callable[[SidelogError, bool], None],
        *,
        names_lock: threading.Lock,
        changed: Callable[[], None],
    ) -> None:
        super().__init__("rotation", "SL825", config, report)
        self._taken = config
        self._pause_s = _SHORTEST_PAUSE_S
        self._rotator = Rotator(
            config, followed, change, report, names_lock=names_lock, changed=changed, stop=self._ended.is_set
        )

    def round(self, config: Config) -> None:
        """Rotate what is due."""
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        if self._taken is not config:
            self._taken = config
            self._rotator.take(config)
        for one in self._rotator.round():
            log.info("rotated", path=one.path, to=one.to, bytes=one.bytes, why=one.why)
            self._pause_s = _SHORTEST_PAUSE_S

    def pause_s(self, config: Config) -> float:  # noqa: ARG002 - the same for all
        """Short after a rotation, then longer."""
        return self._pause_s
