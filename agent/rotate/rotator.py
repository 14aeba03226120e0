"""Rotation beside the reading: a thread that looks every second which logs are due. Loaded where a source wants it."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

import structlog

from agent.config.hours import time_of_day
from agent.core.rounds import Rounds
from agent.rotate.due import Policy
from agent.rotate.rotation import Rotation, Rule
from agent.settings import tail_settings
from agent.store import tables
from agent.tail.discover import Discovery

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from agent.config import Config, RotateConfig
    from agent.core.errors import SidelogError
    from agent.core.model import FileRow
    from agent.rotate.rotation import Rotated
    from agent.store.edit import Change

_SHORTEST_PAUSE_S = 0.1  # after a rotation: a log that grows fast may soon be due again; doubles
_LONGEST_PAUSE_S = 1.0

log = structlog.get_logger("sidelog")


def rules(config: Config) -> dict[str, Rule]:
    """How the logs of each source are rotated, of those that have `rotate`."""
    return {
        source.name: Rule(_policy(source.rotate), source.rotate)
        for source in config.sources
        if source.rotate is not None
    }


def _policy(rotate: RotateConfig) -> Policy:
    return Policy(rotate.size, rotate.every, time_of_day(rotate.at) if rotate.at is not None else None)


def make_rotation(
    config: Config,
    followed: Callable[[], list[FileRow]],
    change: Change,
    report: Callable[[SidelogError, bool], None],
    *,
    names_lock: threading.Lock | None = None,
    changed: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> Rotation:
    """A rotation of the sources of a configuration."""
    return Rotation(
        rules(config),
        followed,
        change,
        archiving=config.archive is not None,
        names_lock=names_lock or threading.Lock(),
        report=report,
        changed=changed,
        stop=stop,
    )


def known_files(config: Config, connection: sqlite3.Connection) -> list[FileRow]:
    """The file generations that the store knows, without those that their sources do not match any more."""
    discovery = Discovery(tail_settings(config))
    found = []
    for file in tables.load_files(connection):
        source = discovery.source_of(file.path)
        if source is not None and source.name == file.source:
            found.append(file)
    return found


def rotate_once(config: Config, change: Change, report: Callable[[SidelogError, bool], None]) -> list[Rotated]:
    """One round now, without an agent: of what the store knows."""

    def followed() -> list[FileRow]:
        return change(partial(known_files, config), durable=False)

    return make_rotation(config, followed, change, report).round()


def log_rotated(rotated: Rotated) -> None:
    """Say that a log was rotated."""
    log.info("rotated", path=rotated.path, to=rotated.to, bytes=rotated.bytes, why=rotated.why)


class Rotator(Rounds["Config"]):
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
        self._rotation = make_rotation(
            config, followed, change, report, names_lock=names_lock, changed=changed, stop=self._ended.is_set
        )

    def round(self, config: Config) -> None:
        """Rotate what is due."""
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        if self._taken is not config:
            self._taken = config
            self._rotation.set_rules(rules(config), archiving=config.archive is not None)
        for rotated in self._rotation.round():
            log_rotated(rotated)
            self._pause_s = _SHORTEST_PAUSE_S

    def pause_s(self, config: Config) -> float:  # noqa: ARG002 - the same for all
        """Short after a rotation, then longer."""
        return self._pause_s
