"""The files that are followed or known: opening and closing them, beginning and ending generations."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING

from msgspec.structs import replace

from agent.core.containerpaths import file_resource
from agent.core.decompress import compression
from agent.core.errors import TailError
from agent.core.holes import before_hole
from agent.core.model import MARKER_BYTES, FileChange, FileGeneration, FileRow, Position, newest_of_logs
from agent.tail import files, locate
from agent.tail.claims import LogClaims
from agent.tail.descriptors import OpenFiles
from agent.tail.harvester import Harvester
from agent.tail.identity import FileKey, Match, marker
from agent.tail.positions import StoredPositions
from agent.tail.reader import LineReader
from agent.tail.rotated_names import is_rotation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable
    from concurrent.futures import Executor

    from aiofiles.threadpool.binary import AsyncFileIO

    from agent.core.conditions import Conditions
    from agent.core.model import LineBatch
    from agent.tail.discover import FoundFile, SourceSettings
    from agent.tail.harvester import Timing
    from agent.tail.watch import Watcher

_FINISHED_KEPT = 1024  # finished files remembered, in case one is moved back


class DormantFiles(dict[int, FileGeneration]):
    """Files that are known and not followed now, by id, and found by inode without a look at all of them: a start with
    10,000 known files asks for each of as many.
    """

    def __init__(self, known: Iterable[FileGeneration]) -> None:
        super().__init__()
        self._ids: dict[FileKey, set[int]] = {}
        for file in known:
            self[file.id] = file

    def __setitem__(self, file_id: int, file: FileGeneration) -> None:
        self._unlist(file_id)
        super().__setitem__(file_id, file)
        self._ids.setdefault(FileKey(file.device, file.inode), set()).add(file_id)

    def __delitem__(self, file_id: int) -> None:
        self._unlist(file_id)
        super().__delitem__(file_id)

    def discard(self, file_id: int) -> None:
        """Forget a file, if it is there."""
        if file_id in self:
            del self[file_id]

    def of_inode(self, key: FileKey) -> list[FileGeneration]:
        """Those whose inode this is, or was."""
        return [self[file_id] for file_id in self._ids.get(key, ())]

    def _unlist(self, file_id: int) -> None:
        file = self.get(file_id)
        if file is not None:
            key = FileKey(file.device, file.inode)
            ids = self._ids[key]
            ids.discard(file_id)
            if not ids:
                del self._ids[key]


class Registry:
    """All harvesters, by id and by (device, inode), the files that are known beside them, and how far all of them are
    stored. Used on the event loop only.
    """

    def __init__(
        self,
        *,
        known: Collection[FileRow],
        deliver: Callable[[LineBatch], Awaitable[None]],
        changed: Callable[[FileChange], None],
        allocate_id: Callable[[], int],
        conditions: Conditions,
        executor: Executor,
        watcher: Watcher,
        clock: Callable[[], int],
        timing: Timing,
        look_soon: Callable[[], None],
    ) -> None:
        self.harvesters: dict[int, Harvester] = {}
        self.descriptors = OpenFiles(self.harvesters, conditions, executor, watcher)
        self.by_key: dict[FileKey, Harvester] = {}
        newest, _ = newest_of_logs(sorted(known, key=lambda row: row.id))
        self.dormant = DormantFiles(row.generation_now for row in newest)
        self.claims = LogClaims(self._all_generations, look_soon)
        self.positions = StoredPositions(known)
        self.timing = timing
        self.conditions = conditions
        self.deliver = deliver
        self.clock = clock
        self.changed = changed
        self.allocate_id = allocate_id
        self._watcher = watcher
        self._finished: deque[int] = deque()
        self._over: set[int] = set()  # ids whose last batch was delivered, though perhaps not stored yet
        self._compressed: dict[FileKey, int] = {}  # size when it was looked at

    def followed(self) -> list[FileGeneration]:
        """The files that are followed. Any thread may call it."""
        return [harvester.file for harvester in list(self.harvesters.values())]

    def generations(self) -> dict[FileKey, int]:
        """The generation of each followed file."""
        return {key: harvester.file.generation for key, harvester in self.by_key.items()}

    def save(self, file: FileGeneration) -> None:
        """Let the store's row of this file be written again, whether or not lines come."""
        place = self.positions[file.id]
        self.changed(FileChange(file, place.offset, marker_length=place.marker_length, marker_hash=place.marker_hash))

    async def begin(self, found: FoundFile, *, at_end: bool = False, offset: int = 0) -> Harvester | None:
        """Follow a new file from `offset` (or, with `at_end`, from its last line); None where it cannot be yet."""
        if self._compressed.get(found.key, -1) == found.size:
            return None
        with self.claims.opening(found.key):
            opened = await self.descriptors.open_as(found.path, found.key)
            if opened is None:
                return None
            handle, info = opened
            if self._is_compressed(found, info.head) or self.claims.is_archived((*info.key, info.size, info.mtime_ns)):
                await self.descriptors.discard(handle)
                return None
            return await self._begin(found, handle, info, at_end=at_end, offset=offset)

    async def _begin(
        self, found: FoundFile, handle: AsyncFileIO, info: files.Opened, *, at_end: bool, offset: int
    ) -> Harvester:
        """A generation of what was opened just now."""
        offset = files.last_line(handle.fileno(), info.size) if at_end else min(offset, info.size)
        now_ns = self.clock()
        path = found.origin or found.path
        file = FileGeneration(
            id=self.allocate_id(),
            source=found.source.name,
            path=path,
            device=info.key.device,
            inode=info.key.inode,
            generation=info.generation,
            current_path=info.real,
            state="rotated" if found.origin else "active",
            first_seen=now_ns,
            last_read=now_ns,
            resource=file_resource(found.source.resource, path, info.real),
        )
        self.positions.begin(file.id, Position(offset))
        return await self._enroll(file, found.source, handle, info, globbed=not found.origin)

    async def resume(
        self, file: FileGeneration, source: SourceSettings, path: str, key: FileKey, *, globbed: bool, shortened: bool
    ) -> Match | None:
        """Follow a known file that lies at `path` as `key` now, from where its reading stopped; as its successor where
        it is another source's now. Whether it is that file is asked of the open one: until then it may have been
        truncated and written anew.

        Args:
            file: that all is stored of which was delivered.
            source: whose it is now.
            path: where it lies.
            key: as which it was found there.
            globbed: whether a pattern matches the path.
            shortened: whether it goes on too where its end is missing.

        Returns:
            What it is, which is followed only if it is the same or, with `shortened`, a shortened one; None where it
            cannot be opened or read.
        """
        opened = await self.descriptors.open_as(path, key)
        if opened is None:
            return None
        handle, info = opened
        match = self._compare(handle.fileno(), file, path, is_copy=key != FileKey(file.device, file.inode))
        if match is not Match.SAME and not (shortened and match is Match.SHORTENED):
            await self.descriptors.discard(handle)
            return match
        state = file.state
        if {path, info.real}.isdisjoint((file.path, file.current_path)) or self.is_over(file):
            state = "active" if path == file.path else "rotated"
        file = replace(file, **_inode(info), current_path=info.real, state=state, last_read=self.clock())
        file = self.go_on(file, source)
        self._over.discard(file.id)
        self.positions.resume(file.id)
        harvester = await self._enroll(file, source, handle, info, globbed=globbed)
        self.dormant.discard(file.id)  # not before: other threads ask for all generations
        if info.size < harvester.reader.position:
            harvester.short_copy = True
        return match

    def _compare(self, fd: int, file: FileGeneration, path: str, *, is_copy: bool) -> Match | None:
        row = self.positions.row(file)
        try:
            return locate.compare_open(fd, replace(row, generation=0) if is_copy else row)
        except OSError as error:
            self.conditions.begin(files.open_error(path, error))
            return None

    # another source, or other labels

    def go_on(self, file: FileGeneration, source: SourceSettings) -> FileGeneration:
        """The generation as which a file, of which all that was read is stored, is read on for `source`: itself, as
        long as source and resource stay the same. Else a successor, and it is finished: what is stored of it keeps
        what it has.
        """
        if source.owns(file):
            return file
        place = self.positions[file.id]
        if self.positions.starts_at(file.id, place.offset):  # nothing that could keep anything
            return replace(file, source=source.name, resource=source.resource_of(file))
        if not self.is_over(file):
            self.save(replace(file, state="finished"))
        return self._succeed(file, source, place)

    def _succeed(self, file: FileGeneration, source: SourceSettings, place: Position) -> FileGeneration:
        successor = replace(file, id=self.allocate_id(), source=source.name, resource=source.resource_of(file))
        self.positions.begin(successor.id, place)
        self.dormant[successor.id] = successor  # at first: other threads ask for all generations
        self._forget(file.id)
        return successor

    async def hand_over(self, harvester: Harvester, source: SourceSettings) -> None:
        """A followed file is another source's now, or that has other labels: what was not delivered yet is read again,
        for `source`.
        """
        file, reader = harvester.file, harvester.reader
        reader.rewind()
        place, before = Position(reader.offset, *marker(reader.before_offset)), reader.before_offset
        if self.positions.starts_at(file.id, place.offset):
            harvester.change(source=source.name, resource=source.resource_of(file))
            reader.max_line = source.max_line
        else:
            await self.conclude(file, reader)
            self._watcher.disarm(file.id)
            harvester.armed = False
            del self.harvesters[file.id]
            file = self._succeed(file, source, place)
            harvester.reader = LineReader(file, source.max_line, place.offset, before)
            self.harvesters[file.id] = harvester
            del self.dormant[file.id]
        harvester.source, harvester.final, harvester.next_poll = source, False, 0.0
        self.save(harvester.file)

    async def _enroll(
        self, file: FileGeneration, source: SourceSettings, handle: AsyncFileIO, info: files.Opened, *, globbed: bool
    ) -> Harvester:
        fd = handle.fileno()
        offset = self.positions[file.id].offset
        before = os.pread(fd, min(MARKER_BYTES, offset), max(0, offset - MARKER_BYTES))
        reader = LineReader(file, source.max_line, offset, before)
        harvester = Harvester(source, reader, b"", handle, fd, info.size, globbed=globbed)
        harvester.set_head(before_hole(info.head, offset))
        harvester.last_growth = time.monotonic()
        self.harvesters[file.id] = self.by_key[info.key] = harvester
        self.save(harvester.file)
        self.conditions.end(info.path)
        self.conditions.end(file.current_path)
        if self.descriptors.crowded:
            await self.descriptors.close(harvester)  # it is opened again when its turn to be read comes
        return harvester

    def _is_compressed(self, found: FoundFile, head: bytes) -> bool:
        kind = compression(head)
        if kind is None:
            return False
        if len(self._compressed) >= _FINISHED_KEPT:
            self._compressed.clear()
        self._compressed[found.key] = found.size
        directory, name = os.path.split(found.path)
        siblings = (os.path.split(file.path) for file in self._all_generations())
        if not any(directory == folder and is_rotation(name, other) for folder, other in siblings):
            self.conditions.begin(TailError.of("SL204", found.path, kind=kind))
        return True

    def _all_generations(self) -> list[FileGeneration]:
        """Those that are followed and those that were. Any thread may call it."""
        return [*self.followed(), *list(self.dormant.values())]

    async def reject_compressed(self, harvester: Harvester, found: FoundFile, chunk: bytes) -> bool:
        """Stop following a file of which nothing was read yet if `chunk`, its first bytes, show it as compressed."""
        if not self._is_compressed(found, chunk):
            return False
        harvester.change(state="finished")
        self.save(harvester.file)
        await self.drop(harvester)
        self._forget(harvester.file.id)  # nothing of it is to be continued
        return True

    # the end of a generation

    def is_over(self, file: FileGeneration) -> bool:
        """Whether its generation has ended, even if the store does not have its last lines yet."""
        return file.state == "finished" or file.id in self._over

    async def flush(self, harvester: Harvester) -> None:
        """Deliver a final batch: no byte is expected any more."""
        harvester.final = True
        await self._deliver_last(harvester.reader.finish(self.clock()))

    async def end(self, harvester: Harvester, lost_until: int = 0) -> None:
        """The generation is over: deliver the last batch, close the file, follow it no more."""
        harvester.final = True
        await self.conclude(harvester.file, harvester.reader, lost_until)
        await self.drop(harvester)

    async def conclude(self, file: FileGeneration, reader: LineReader, lost_until: int = 0) -> None:
        """Deliver the last batch of a generation, perhaps empty: with it the store learns that the file is finished."""
        self._over.add(file.id)
        batch = reader.finish(self.clock(), lost_until)
        batch.ends = True
        await self._deliver_last(batch)
        self._keep(file)

    async def leave(self, file: FileGeneration, reader: LineReader) -> None:
        """A file that is not open is to be continued another time."""
        await self._deliver_last(reader.finish(self.clock()))
        self.dormant[file.id] = file

    async def _deliver_last(self, batch: LineBatch) -> None:
        self.positions.wait_for(batch.file.id, batch.end)
        await self.deliver(batch)

    async def drop(self, harvester: Harvester) -> None:
        """Close and forget; the generation is kept among the dormant ones, should the same file come back."""
        self._keep(harvester.file)  # at first: other threads ask for all generations
        self.harvesters.pop(harvester.file.id, None)
        if self.by_key.get(harvester.key) is harvester:
            del self.by_key[harvester.key]
        await self.descriptors.close(harvester)

    def _keep(self, file: FileGeneration) -> None:
        known = self.dormant.get(file.id)
        self.dormant[file.id] = file
        if known is None and self.is_over(file):
            self._finished.append(file.id)
            if len(self._finished) > _FINISHED_KEPT:
                self._forget(self._finished.popleft())

    def _forget(self, file_id: int) -> None:
        self.dormant.discard(file_id)
        self.positions.forget(file_id)
        self._over.discard(file_id)

    async def take_over(self, harvester: Harvester, path: str, key: FileKey, *, state: str = "rotated") -> bool:
        """The harvester's bytes lie in the copy at `path` now: go on there, under the copy's identity `key`."""
        opened = await self.descriptors.open_as(path, key)
        if opened is None:
            return False
        handle, info = opened
        old = harvester.handle
        if self.by_key.get(harvester.key) is harvester:
            del self.by_key[harvester.key]
        self._watcher.disarm(harvester.file.id)
        harvester.armed = False
        harvester.handle, harvester.fd = handle, handle.fileno()
        harvester.size, harvester.mtime_ns = info.size, info.mtime_ns
        harvester.short_copy = info.size < harvester.reader.position
        harvester.change(**_inode(info), current_path=info.real, state=state)
        self.save(harvester.file)
        self.by_key[info.key] = harvester
        if old is not None:
            await self.descriptors.discard(old)
        return True


def _inode(info: files.Opened) -> dict[str, int]:
    return {"device": info.key.device, "inode": info.key.inode, "generation": info.generation}
