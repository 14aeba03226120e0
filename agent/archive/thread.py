"""Archiving beside the reading: a thread that makes a round now and then. Loaded where it is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.archive.archiver import Archiver
from agent.core.conditions import Rounds

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from agent.config import Config
    from agent.core.errors import SidelogError
    from agent.store.edit import Change
    from agent.tail.claims import LogClaims


class ArchiverThread(Rounds["Config"]):
    """Archives.

    Args:
        config: validated; without its section `archive` nothing is done.
        change: runs a function in a transaction on the writer's thread.
        report: notes that a condition began (True) or ended (False).
        names_lock: held while a log is deleted by its name.
        claims: of the tailer.
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
        claims: LogClaims | None = None,
        shortest_pause_s: float = 0.5,
        longest_pause_s: float = 30.0,
    ) -> None:
        super().__init__("archiving", "SL811", config, report)
        self._change = change
        self._names_lock = names_lock
        self._claims = claims
        self._shortest_pause_s = shortest_pause_s
        self._longest_pause_s = longest_pause_s
        self._archiver: Archiver | None = None
        self._taken: Config | None = None  # the configuration that the archiver is of

    def round(self, config: Config) -> None:
        """Archive what is due."""
        if config.archive is None:
            return
        if self._archiver is None or self._taken is not config:
            self._archiver = Archiver(
                config,
                self._change,
                self._report,
                names_lock=self._names_lock,
                claims=self._claims,
                stop=self._ended.is_set,
            )
            self._taken = config
        self._archiver.round()

    def pause_s(self, config: Config) -> float:
        """Half of the time for which a log must be quiet, within bounds."""
        if config.archive is None:
            return self._longest_pause_s
        return min(max(config.archive.quiet / 2, self._shortest_pause_s), self._longest_pause_s)

    def end(self) -> None:
        """Come to an end in the middle of a log if need be: what is not finished is made again."""
        super().end()
        if self._archiver is not None:
            self._archiver.worker.kill()
