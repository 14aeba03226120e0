"""Archiving beside the reading: a thread that lets the keeper make a round now and then. Loaded where it is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.archive.keeper import Keeper, Options
from agent.archive.planner import SourceFacts
from agent.core.rounds import Rounds
from agent.settings import archive_directory, parse_settings, resources, tail_settings
from agent.tail.discover import Discovery

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from agent.archive.keeper import Summary
    from agent.config import Config
    from agent.config.schema import ArchiveConfig
    from agent.core.errors import SidelogError
    from agent.store.edit import Change


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
        name: SourceFacts(settings.document(), attributes[name]) for name, settings in parse_settings(config).items()
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


class Archivist(Rounds["Config"]):
    """Archives.

    Args:
        config: validated; without its section `archive` nothing is done.
        change: runs a function in a transaction on the writer's thread.
        report: notes that a condition began (True) or ended (False).
        names_lock: held while a log is deleted by its name.
        shortest_pause_s: at the least so long between two rounds.
        longest_pause_s: at the most so long.
    """

    def __init__(
        self,
        config: Config,
        change: Change,
        report: Callable[[SidelogError, bool], None],
        names_lock: threading.Lock | None = None,
        *,
        shortest_pause_s: float = 0.5,
        longest_pause_s: float = 30.0,
    ) -> None:
        super().__init__("archiving", "SL811", config, report)
        self._change = change
        self._names_lock = names_lock
        self._shortest_pause_s = shortest_pause_s
        self._longest_pause_s = longest_pause_s
        self._keeper: Keeper | None = None
        self._kept: Config | None = None  # the configuration that the keeper is of

    def round(self, config: Config) -> None:
        """Archive what is due."""
        if config.archive is None:
            return
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
        self._keeper.round()

    def pause_s(self, config: Config) -> float:
        """Half of the time for which a log must be quiet, within bounds."""
        if config.archive is None:
            return self._longest_pause_s
        return min(max(config.archive.quiet / 2, self._shortest_pause_s), self._longest_pause_s)

    def end(self) -> None:
        """Come to an end in the middle of a log if need be: what is not finished is made again."""
        super().end()
        if self._keeper is not None:
            self._keeper.worker.kill()


def archive_once(
    config: Config, change: Change, report: Callable[[SidelogError, bool], None], stop: Callable[[], bool]
) -> Summary | None:
    """One round now; None where the configuration wants no archives."""
    if config.archive is None or stop():
        return None
    return make_keeper(config, config.archive, change, report, stop=stop).round()
