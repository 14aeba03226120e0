"""Rotation beside the reading: a thread that looks every second which logs are due. Loaded where a source wants it."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

import structlog

from agent.config.hours import time_of_day
from agent.errors import StoreError
from agent.rotate import interrupted
from agent.rotate.due import Policy
from agent.rotate.rotation import Rotation, Rule
from agent.store import rotations, tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.config import Config, RotateConfig
    from agent.errors import SidelogError
    from agent.model import TailedFile
    from agent.rotate.rotation import Rotated
    from agent.store.change import Change

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
    followed: Callable[[], list[TailedFile]],
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


def rotate_once(config: Config, change: Change, report: Callable[[SidelogError, bool], None]) -> list[Rotated]:
    """One round now, without an agent: of what the store knows."""

    def followed() -> list[TailedFile]:
        return change(tables.load_files, durable=False)

    return make_rotation(config, followed, change, report).round()


def clear_interrupted(change: Change) -> None:
    """Remove what a crash in the middle of copytruncate has left, before anything is read: it would be read twice."""
    rows = change(rotations.begun, durable=False)
    interrupted.clear(rows)
    change(partial(rotations.end, paths=[row.path for row in rows if row.copy]), durable=False)


def log_rotated(rotated: Rotated) -> None:
    """Say that a log was rotated."""
    log.info("rotated", path=rotated.path, to=rotated.to, bytes=rotated.bytes, why=rotated.why)


class Rotator(threading.Thread):
    """Makes rounds until it is stopped.

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
        followed: Callable[[], list[TailedFile]],
        change: Change,
        report: Callable[[SidelogError, bool], None],
        *,
        names_lock: threading.Lock,
        changed: Callable[[], None],
    ) -> None:
        super().__init__(name="sidelog-rotator", daemon=True)
        self._ended = threading.Event()
        self._config = config
        self._rotation = make_rotation(
            config, followed, change, report, names_lock=names_lock, changed=changed, stop=self._ended.is_set
        )

    def run(self) -> None:
        """The thread."""
        taken, pause_s = self._config, _SHORTEST_PAUSE_S
        while not self._ended.wait(pause_s):
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            if taken is not self._config:
                taken = self._config
                self._rotation.set_rules(rules(taken), archiving=taken.archive is not None)
            try:
                for rotated in self._rotation.round():
                    log_rotated(rotated)
                    pause_s = _SHORTEST_PAUSE_S
            except StoreError:
                continue  # the writer meets it too, and says so

    def reload(self, config: Config) -> None:
        """Go on with another configuration from the next round on."""
        self._config = config

    def end(self) -> None:
        """Come to an end soon: what is not finished is finished by the next agent."""
        self._ended.set()
