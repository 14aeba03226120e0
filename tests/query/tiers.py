"""Logs in a store, in archives, or in both: by the real parser, grouper, writer and worker, in the test's process."""

from __future__ import annotations

import contextlib
import json
import os
from functools import partial
from typing import TYPE_CHECKING, Self

from msgspec.structs import replace

from agent.archive import worker
from agent.archive.frames import FrameSplitter
from agent.archive.protocol import ArchiveJob, ArchiveOrder, ArchiveWritten, StoredGeneration
from agent.core.model import HEAD_BYTES, FileChange, FileRow, LineBatch, StoredBatch, Transaction
from agent.group.grouper import Grouper
from agent.parse.decode import FileParser, ParseSettings
from agent.query.archives import search
from agent.query.archives.engine import ArchiveEngine
from agent.query.sqlite.engine import SqliteEngine
from agent.query.union import UnionEngine
from agent.store import archives
from agent.store.archives import FileVersion
from agent.store.maintenance import Retention
from agent.store.opening import open_store
from agent.store.reader import open_reader
from agent.tail.identity import head_hash, marker
from tests.sources import parsing

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from agent.core.model import EventBatch, FileGeneration
    from agent.query.engine import Engine
    from agent.store.archives import ArchiveRow

RESOURCE = {"service.name": "shop"}
OBSERVED = 1_795_000_000 * 10**9  # when all logs were read, and written for the last time


def small_frames(monkeypatch: pytest.MonkeyPatch, frame_bytes: int) -> None:
    """Archives of many frames, all searched in this process."""
    monkeypatch.setattr(worker, "FrameSplitter", partial(FrameSplitter, frame_bytes=frame_bytes))
    monkeypatch.setattr(search, "_ALONE_S", float("inf"))


def parsed(
    file: FileGeneration, data: bytes, settings: ParseSettings, grouper: Grouper
) -> tuple[EventBatch, dict[int, int], str | None]:
    """The events of a whole log, row -> group of its errors, and the profile that was found, as JSON."""
    parser = FileParser(settings)
    events = parser.feed(LineBatch(file, 0, data, OBSERVED, final=True))
    groups = {error.index: grouper.assign(error) for error in events.errors}
    return events, groups, parser.profile.to_json() if parser.profile else None


class Tiers:
    """One store and its archives in a directory. `with` closes it."""

    def __init__(self, root: Path, settings: ParseSettings | None = None) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.path = root / "s.db"
        self.settings = settings or parsing()
        self.opened = open_store(self.path, min_free_bytes=0)
        self.connection = self.opened.writer.connection
        self.reader = open_reader(self.path)
        self._grouper = Grouper()
        self._files: dict[str, FileRow] = {}
        self.gone = 0  # the last id that retention has deleted

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()
        self.opened.close()

    def store(self, name: str, data: bytes, *, source: str = "app") -> None:
        """Let a log be followed to its end."""
        number = len(self._files) + 1
        head = min(len(data), HEAD_BYTES), head_hash(data)
        resource = json.dumps(RESOURCE if source == "app" else {})
        file = FileRow(number, source, f"/var/log/{name}", 1, number, 0, *head, state="finished", resource=resource)
        events, groups, profile = parsed(file, data, self.settings, self._grouper)
        batch = StoredBatch(file, events, *marker(data), OBSERVED, groups, profile)
        files = {number: FileChange(file, 0, profile)}
        self.opened.writer.write(Transaction([batch], files, self._grouper.take_updates()), None, None)
        length, before = marker(data)
        self._files[name] = replace(file, offset=len(data), marker_length=length, marker_hash=before, profile=profile)

    def decide(self, group: int, state: str) -> None:
        """Give an error group a state, as `errors ignore` and others do."""
        self.connection.execute("UPDATE error_groups SET state = ? WHERE id = ?", (state, group))

    def archive(self, name: str, data: bytes, *, source: str = "app", **job: object) -> ArchiveRow:
        """Archive a log, whether it was followed or not."""
        log = self.root / "log"
        log.write_bytes(data)
        os.utime(log, ns=(OBSERVED, OBSERVED))
        file = self._files.get(name)
        followed = None
        if file is not None:
            followed = StoredGeneration(file.id, file.offset, file.marker_length, file.marker_hash, file.profile)
        done = worker.archive(
            ArchiveOrder(
                job=ArchiveJob(
                    source=source,
                    path=os.fsencode(log),
                    log_path=os.fsencode(f"/var/log/{name}"),
                    version=FileVersion.of(log.stat()),
                    followed=followed,
                    settings=self.settings.document(),
                    resource=json.dumps(RESOURCE),
                    **job,
                ),
                directory=os.fsencode(self.root / "archive"),
                archive_id=archives.next_id(self.connection),
                sequence=archives.chain(self.connection, source).sequence + 1,
                previous=archives.chain(self.connection, source).link,
                level=1,
                created=OBSERVED,
            )
        )
        assert isinstance(done, ArchiveWritten), done
        row = done.row()
        with self._transaction():
            archives.add(self.connection, row)
        return row

    def engine(self, *, stored: bool = True, archived: bool = True) -> Engine:
        """What answers for one tier or both; closed with the reader."""
        store = SqliteEngine(self.reader, self.path)
        if not archived:
            return store
        archives = ArchiveEngine(self.reader, self.path, self.path.parent / "archive", beside_store=stored)
        return UnionEngine([archives, store]) if stored else archives

    def expire(self, share: float = 1.0) -> None:
        """Let retention delete this share of the events that are stored, the oldest stored first."""
        low, high = self.connection.execute("SELECT min(id), max(id) FROM events").fetchone()
        if low is not None:
            self.expire_through(low - 1 + round((high - low + 1) * share))

    def expire_through(self, last: int) -> None:
        """Let retention delete events up to this id."""
        with self._transaction():
            self.gone = last
            Retention(self.opened.writer, age_ns=None, size_bytes=None)._delete_through(last)

    def remove(self, row: ArchiveRow) -> None:
        """What retention of archives does with the row of one."""
        with self._transaction():
            archives.remove(self.connection, row)

    @contextlib.contextmanager
    def _transaction(self):
        self.connection.execute("BEGIN IMMEDIATE")
        yield
        self.connection.execute("COMMIT")
