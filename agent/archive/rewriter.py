"""Archives that were made before their source had all of its `redact`, made anew without the values of these keys.

The steps are the archiver's, and in its order: an archive is written, verified and named, then it takes the place of
the old one in one transaction, durably, and then the old one's file is deleted. It comes at the end of its source's
chain, and retention counts from now on.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

from agent.archive import files, removal, team
from agent.archive.directory import take_over
from agent.archive.lock import ArchiveLock
from agent.archive.process import WorkerProcess
from agent.archive.protocol import (
    ArchiveFailed,
    ArchiveJob,
    ArchiveOrder,
    ArchiveProgress,
    ArchiveWritten,
    RewrittenArchive,
    StoredGeneration,
)
from agent.config.schema import ArchiveConfig
from agent.core.errors import ArchiveError
from agent.parse.settings import parse_settings
from agent.store import archives, begun, tables
from agent.store.archive_redaction import move_logs, read_settings, redacted_by
from agent.store.begun import BegunArchive
from agent.tail.discover import Discovery, tail_settings

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from agent.config import Config
    from agent.store.archives import ArchiveRow, FileVersion
    from agent.store.edit import Change


def unredacted(rows: list[ArchiveRow], config: Config) -> list[tuple[ArchiveRow, tuple[str, ...]]]:
    """The archives that hold what is to be redacted now, each with the keys whose values it may not hold.

    Args:
        rows: all archives.
        config: validated. The source of an archive is the one that its log belongs to now, if there is one.
    """
    discovery, settings = Discovery(tail_settings(config)), parse_settings(config)
    found = []
    for row in rows:
        owner = discovery.source_of(row.log_path)
        source = settings.get(row.source if owner is None else owner.name)
        have = redacted_by(row.settings) or ()
        known = {key.lower() for key in have}
        lacking = [key for key in source.redact if key.lower() not in known] if source is not None else []
        if lacking:
            found.append((row, (*have, *lacking)))
    return found


class ArchiveRewriter:
    """Makes them anew, in one thread, while no agent owns the store.

    Args:
        config: validated.
        change: runs a function in a transaction.
        on_progress: called with the bytes done of the bytes to do, and the archive.
    """

    def __init__(self, config: Config, change: Change, on_progress: Callable[[int, int, str], None]) -> None:
        self._config = config
        self._directory = config.archive_directory
        self._change = change
        self._on_progress = on_progress
        self._worker = WorkerProcess(self._directory)

    def run(self) -> tuple[int, list[ArchiveError]]:
        """Make all of them anew: how many that were, and why others could not be.

        Raises:
            ArchiveError: SL812, the archives are another store's; SL804, their directory cannot be written.
            StoreError: the store cannot be written.
        """
        with ArchiveLock(self._directory, self._config.store.path):
            self._change(partial(take_over, directory=self._directory), durable=False)
            try:
                files.remove_unfinished(self._directory, self._change(begun.begun, durable=False))
            except OSError as error:
                raise ArchiveError.of("SL804", self._directory, why=error) from None
            rows = self._change(archives.load, durable=False)
            try:
                return self._run(unredacted(rows, self._config))
            finally:
                self._worker.close()

    def _run(self, found: list[tuple[ArchiveRow, tuple[str, ...]]]) -> tuple[int, list[ArchiveError]]:
        total, done, count = sum(row.bytes for row, _ in found), 0, 0
        failures: list[ArchiveError] = []
        kept = removal.delete_removed(self._change)
        for row, keys in found:
            self._on_progress(done, total, row.path)
            try:
                version = files.version_of(row)
            except ArchiveError as error:
                failures.append(error)
                continue
            order = self._change(partial(self._order, row=row, version=version, keys=keys), durable=True)
            answer = self._make(order, done, total)
            done += row.bytes
            if isinstance(answer, ArchiveWritten):
                self._change(partial(self._replace, made=answer, old=row), durable=True)
                count += 1
                kept = removal.delete_removed(self._change)
            else:
                failures.append(answer.error())
        return count, failures + [ArchiveError.of("SL807.kept", path, why=why) for path, why in kept]

    def _order(
        self, connection: sqlite3.Connection, *, row: ArchiveRow, version: FileVersion, keys: tuple[str, ...]
    ) -> ArchiveOrder:
        seen = {file.id: file.first_seen for file in tables.load_files(connection)}
        file = row.file_id
        chain = archives.chain(connection, row.source)
        order = ArchiveOrder(
            job=ArchiveJob(
                source=row.source,
                path=os.fsencode(row.path),
                log_path=os.fsencode(row.log_path),
                version=version,
                followed=None if file is None else StoredGeneration(file, 0, 0, b"", first_seen=seen.get(file)),
                settings=read_settings(row.settings) | {"redact": list(keys)},
                resource=row.resource,
                rewritten=RewrittenArchive(
                    entries=archives.entries(connection, row.entry), modified=row.modified, profile=row.profile
                ),
            ),
            directory=os.fsencode(self._directory),
            gid=team.group_of(self._config.archive),
            archive_id=archives.next_id(connection),
            sequence=chain.sequence + 1,
            previous=chain.link,
            level=(self._config.archive or ArchiveConfig()).level,
            created=time.time_ns(),
        )
        begun.begin(connection, BegunArchive(order.archive_id, order.created, row.source, row.path, version))
        return order

    def _make(self, order: ArchiveOrder, before: int, total: int) -> ArchiveWritten | ArchiveFailed:
        try:
            for answer in self._worker.run(order):
                if not isinstance(answer, ArchiveProgress):
                    return answer
                self._on_progress(before + answer.bytes, total, os.fsdecode(order.job.path))
        except ArchiveError as error:
            return ArchiveFailed.by(error)
        raise AssertionError  # pragma: no cover - `run` answers or raises

    def _replace(self, connection: sqlite3.Connection, *, made: ArchiveWritten, old: ArchiveRow) -> None:
        row = made.row()
        archives.add(connection, row, blocks=self._worker.blocks)
        move_logs(connection, old.id, row.id)
        archives.replace(connection, row)
