"""Archiving beside the reading: a thread that lets the keeper make a round now and then."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from agent.archive.errors import ArchiveError, round_failed
from agent.archiving.job import as_document
from agent.archiving.keeper import Keeper, Options
from agent.archiving.planner import SourceFacts
from agent.errors import StoreError
from agent.settings import parse_settings, resources, tail_settings
from agent.tail.discover import Discovery

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.archiving.keeper import Summary
    from agent.config import Config
    from agent.config.schema import ArchiveConfig
    from agent.errors import SidelogError
    from agent.store.change import Change

_LONGEST_PAUSE_S = 30.0
_SHORTEST_PAUSE_S = 0.5
STOP_S = 2.0


def archive_directory(config: Config) -> Path:
    """Where the archives lie, or would."""
    named = config.archive.directory if config.archive is not None else None
    return named or config.store.path.parent / "archive"


def options(config: Config, archive: ArchiveConfig) -> Options:
    """The section `archive` as the keeper takes it."""
    return Options(
        directory=archive_directory(config),
        quiet_s=archive.quiet,
        inactive_s=archive.inactive,
        level=archive.level,
        delete_source=archive.delete_source,
        keep_s=archive.retention.age,
        keep_bytes=archive.retention.size,
    )


def make_keeper(
    config: Config,
    archive: ArchiveConfig,
    change: Change,
    report: Callable[[SidelogError, bool], None],
    *,
    names_lock: threading.Lock | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, int, str], None] = lambda *_: None,
) -> Keeper:
    """A keeper for the sources of a configuration."""
    attributes = resources(config)
    facts = {
        name: SourceFacts(as_document(settings), attributes[name]) for name, settings in parse_settings(config).items()
    }
    discovery = Discovery(tail_settings(config), [archive_directory(config)])
    return Keeper(
        options(config, archive),
        discovery,
        facts,
        change,
        names_lock=names_lock,
        report=report,
        stop=stop,
        on_progress=on_progress,
    )


class Archivist(threading.Thread):
    """Makes rounds until it is stopped.

    Args:
        config: validated; without its section `archive` nothing is done.
        change: runs a function in a transaction on the writer's thread.
        report: notes that a condition began (True) or ended (False).
        names_lock: held while a log is deleted by its name.
    """

    def __init__(
        self,
        config: Config,
        change: Change,
        report: Callable[[SidelogError, bool], None],
        names_lock: threading.Lock | None = None,
    ) -> None:
        super().__init__(name="sidelog-archivist", daemon=True)
        self._config = config
        self._change = change
        self._report = report
        self._names_lock = names_lock
        self._keeper: Keeper | None = None
        self._kept: Config | None = None  # the configuration that the keeper is of
        self._failing = False  # the last round met something unforeseen
        self._ended = threading.Event()

    def run(self) -> None:
        """The thread."""
        while not self._ended.wait(self._pause_s()):
            config = self._config
            if config.archive is None:
                continue
            if self._keeper is None or self._kept is not config:
                self._keeper = make_keeper(
                    config,
                    config.archive,
                    self._change,
                    self._report,
                    names_lock=self._names_lock,
                    stop=self._ended.is_set,
                )
                self._kept = config
            try:
                self._keeper.round()
            except StoreError:
                continue  # the writer meets it too, and says so
            except Exception as error:  # noqa: BLE001 - or nothing would be archived any more, and nobody would know
                self._failing = True
                self._report(round_failed(error), True)  # noqa: FBT003 - a callback's shape
            else:
                if self._failing:
                    self._report(ArchiveError("SL811", "", "archiving", ""), False)  # noqa: FBT003
                self._failing = False

    def reload(self, config: Config) -> None:
        """Go on with another configuration from the next round on."""
        self._config = config

    def stop(self) -> None:
        """End, in the middle of a log if need be: what is not finished is made again."""
        self._ended.set()
        if self._keeper is not None:
            self._keeper.worker.kill()
        if self.is_alive():
            self.join(STOP_S)

    def _pause_s(self) -> float:
        archive = self._config.archive
        if archive is None:
            return _LONGEST_PAUSE_S
        return min(max(archive.quiet / 2, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)


def archive_once(
    config: Config, change: Change, report: Callable[[SidelogError, bool], None], stop: Callable[[], bool]
) -> Summary | None:
    """One round now; None where the configuration wants no archives."""
    if config.archive is None or stop():
        return None
    return make_keeper(config, config.archive, change, report, stop=stop).round()
