"""What is done with the log files themselves beside the reading: rotating them where a source wants it, archiving.

Who does not archive or rotate does not wait for the modules of these rooms, and keeps no memory for them.
"""

from __future__ import annotations

import threading
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import structlog

from agent.core.conditions import Rounds
from agent.store import tables
from agent.store.archive_totals import ArchiveTally

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.archive.archiver import Archiver
    from agent.config import Config
    from agent.core.errors import SidelogError
    from agent.core.metrics import SourceArchives
    from agent.core.model import FileRow
    from agent.store.edit import Change
    from agent.tail.claims import LogClaims
    from agent.tail.tailer import Tailer

_STOP_S = 2.0
_ROTATION_PAUSE_S = 0.1  # after a rotation: a log that grows fast may soon be due again; doubles
_LONGEST_ROTATION_PAUSE_S = 1.0

log = structlog.get_logger("sidelog")


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

        with closing(Archiver(config, change, report, stop=stop)) as archiver:
            archiver.round()


class ArchiverThread(Rounds["Config"]):
    """Archives.

    Args:
        config: validated; without its section `archive` nothing is done.
        change: runs a function in a transaction on the writer's thread.
        report: notes that a condition began (True) or ended (False).
        names_lock: held while a log is deleted by its name.
        claims: of the tailer.
        done: called after each round.
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
        done: Callable[[], None] = lambda: None,
        shortest_pause_s: float = 0.5,
        longest_pause_s: float = 30.0,
    ) -> None:
        super().__init__("archiving", "SL811", config, report)
        self._change = change
        self._names_lock = names_lock
        self._claims = claims
        self._done = done
        self._shortest_pause_s = shortest_pause_s
        self._longest_pause_s = longest_pause_s
        self._archiver: Archiver | None = None
        self._taken: Config | None = None  # the configuration that the archiver is of

    def round(self, config: Config) -> None:
        """Archive what is due."""
        if self._archiver is not None and self._taken is not config:
            self._archiver.close()
            self._archiver = None
        if config.archive is None:
            return
        if self._archiver is None:
            from agent.archive.archiver import Archiver  # noqa: PLC0415 - once there is something to archive with

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
        self._done()

    def pause_s(self, config: Config) -> float:
        """Half of the time for which a log must be quiet, within bounds."""
        if config.archive is None:
            return self._longest_pause_s
        return min(max(config.archive.quiet / 2, self._shortest_pause_s), self._longest_pause_s)

    def run(self) -> None:
        """The thread."""
        super().run()
        if self._archiver is not None:
            self._archiver.close()

    def end(self) -> None:
        """Come to an end in the middle of a log if need be: what is not finished is made again."""
        super().end()
        if self._archiver is not None:
            self._archiver.worker.kill()


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
        from agent.rotate.rotator import Rotator  # noqa: PLC0415 - for those alone who want it

        super().__init__("rotation", "SL825", config, report)
        self._taken = config
        self._pause_s = _ROTATION_PAUSE_S
        self._rotator = Rotator(
            config, followed, change, report, names_lock=names_lock, changed=changed, stop=self._ended.is_set
        )

    def round(self, config: Config) -> None:
        """Rotate what is due."""
        self._pause_s = min(self._pause_s * 2, _LONGEST_ROTATION_PAUSE_S)
        if self._taken is not config:
            self._taken = config
            self._rotator.take(config)
        for one in self._rotator.round():
            log.info("rotated", path=one.path, to=one.to, bytes=one.bytes, why=one.why)
            self._pause_s = _ROTATION_PAUSE_S

    def pause_s(self, config: Config) -> float:  # noqa: ARG002 - the same for all
        """Short after a rotation, then longer."""
        return self._pause_s


class Logkeeping:
    """The threads that rotate and archive.

    Args:
        config: validated.
        tailer: follows the logs.
        change: runs a function in a transaction on the writer's thread.
        report: notes that a condition began (True) or ended (False).
        archived: the archives of each source, as the store has them.
    """

    def __init__(
        self,
        config: Config,
        tailer: Tailer,
        change: Change,
        report: Callable[[SidelogError, bool], None],
        archived: dict[str, SourceArchives],
    ) -> None:
        self._config = config
        self._tailer = tailer
        self._change = change
        self._report = report
        self.archives = ArchiveTally(archived, change)
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

    def _archive(self) -> ArchiverThread:
        archiver = ArchiverThread(
            self._config,
            self.archives.change,
            self._report,
            self._names_lock,
            claims=self._tailer.claims,
            done=self.archives.settle,
        )
        archiver.start()
        return archiver

    def _rotate(self) -> RotatorThread:
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
