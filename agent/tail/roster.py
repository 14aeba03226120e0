"""The streams that are followed: opening and closing their files, beginning and ending generations."""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from typing import TYPE_CHECKING

import aiofiles

from agent.core.decompress import compression
from agent.core.errors import TailError
from agent.core.model import MARKER_BYTES, TailedFile
from agent.tail import files
from agent.tail.identity import FileKey, same_generation
from agent.tail.reader import LineReader
from agent.tail.rotated_names import is_rotation
from agent.tail.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from concurrent.futures import Executor

    from aiofiles.threadpool.binary import AsyncFileIO

    from agent.core.conditions import Conditions
    from agent.core.model import LineBatch
    from agent.tail.discover import Found
    from agent.tail.settings import SourceSettings, Timing
    from agent.tail.watch import Watcher

_LINE_SEARCH_BYTES = 1 << 16  # how far back `start: end` looks for the beginning of an unfinished line
_REREAD_BYTES = 1 << 16  # of an unfinished line, read once more when a file that has more to read had to be closed
_FINISHED_KEPT = 1024  # finished files remembered, in case one is moved back


class Roster:
    """All streams, by id and by (device, inode), and what it takes to change them. Used on the event loop only."""

    def __init__(
        self,
        *,
        deliver: Callable[[LineBatch], Awaitable[None]],
        allocate_id: Callable[[], int],
        conditions: Conditions,
        executor: Executor,
        watcher: Watcher,
        clock: Callable[[], int],
        timing: Timing,
    ) -> None:
        self.streams: dict[int, Stream] = {}
        self.by_key: dict[FileKey, Stream] = {}
        self.dormant: dict[int, TailedFile] = {}  # known, but not followed now
        self.timing = timing
        self.conditions = conditions
        self.deliver = deliver
        self.clock = clock
        self.open_limit = files.raise_file_limit()
        self._allocate_id = allocate_id
        self._executor = executor
        self._watcher = watcher
        self._open_count = 0
        self._finished: deque[int] = deque()
        self._awaited: dict[int, int] = {}  # by id: the end of the last batch of a file that was left
        self._over: set[int] = set()  # ids whose last batch was delivered, though perhaps not stored yet
        self._compressed: dict[FileKey, int] = {}  # size when it was looked at
        self._changed: deque[TailedFile] = deque()  # appended here, taken by the writer's thread

    @property
    def crowded(self) -> bool:
        """Whether more files are open than should be."""
        return self._open_count > self.open_limit

    def generations(self) -> dict[FileKey, int]:
        """The generation of each followed file."""
        return {key: stream.file.generation for key, stream in self.by_key.items()}

    def mark(self, file: TailedFile) -> None:
        """The store's row of this file is to be written again, whether or not lines come.

        The writer reads the fields while they may be changing. Fields that belong together are assigned in one
        statement, between whose stores CPython does not switch threads.
        """
        self._changed.append(file)

    def take_changed(self) -> list[TailedFile]:
        """The files that were marked since the last call, each once. Any thread may call it."""
        changed: dict[int, TailedFile] = {}
        while self._changed:
            file = self._changed.popleft()
            changed[file.id] = file
        return list(changed.values())

    async def begin(self, found: Found, *, at_end: bool = False, offset: int = 0) -> Stream | None:
        """Follow a new file from `offset` (or, with `at_end`, from its last line); None where it cannot be yet."""
        if self._compressed.get(found.key, -1) == found.size:
            return None
        opened = await self._open_as(found.path, found.key)
        if opened is None:
            return None
        handle, info = opened
        if self._is_compressed(found, info.head):
            await self._discard(handle)
            return None
        offset = _last_line(handle.fileno(), info.size) if at_end else min(offset, info.size)
        now_ns = self.clock()
        file = TailedFile(
            id=self._allocate_id(),
            source=found.source.name,
            path=found.origin or found.path,
            device=info.key.device,
            inode=info.key.inode,
            generation=info.generation,
            offset=offset,
            current_path=found.path,
            state="rotated" if found.origin else "active",
            first_seen=now_ns,
            last_read=now_ns,
        )
        return await self._enroll(file, found.source, handle, info, globbed=not found.origin)

    async def resume(
        self, file: TailedFile, source: SourceSettings, path: str, key: FileKey, *, globbed: bool
    ) -> Stream | None:
        """Follow a known file that lies at `path` as `key` now, from where its reading stopped."""
        opened = await self._open_as(path, key)
        if opened is None:
            return None
        handle, info = opened
        file.device, file.inode, file.generation = info.key.device, info.key.inode, info.generation
        if path not in (file.path, file.current_path) or self.is_over(file):
            file.state = "active" if path == file.path else "rotated"
        file.current_path = path
        self._over.discard(file.id)
        self.dormant.pop(file.id, None)
        self._awaited.pop(file.id, None)
        stream = await self._enroll(file, source, handle, info, globbed=globbed)
        if info.size < stream.reader.position:
            stream.short_copy = True
        return stream

    async def _enroll(
        self, file: TailedFile, source: SourceSettings, handle: AsyncFileIO, info: files.Opened, *, globbed: bool
    ) -> Stream:
        fd = handle.fileno()
        before = os.pread(fd, min(MARKER_BYTES, file.offset), max(0, file.offset - MARKER_BYTES))
        reader = LineReader(file, source.max_line, file.offset, before)
        stream = Stream(file, source, reader, b"", info.resolved, handle, fd, info.size, globbed=globbed)
        stream.set_head(info.head)
        stream.last_growth = time.monotonic()
        self.streams[file.id] = self.by_key[info.key] = stream
        self.mark(file)
        self.conditions.end(info.resolved)
        self.conditions.end(file.current_path)
        if self.crowded:
            await self.close(stream)  # it is opened again when its turn to be read comes
        return stream

    def _is_compressed(self, found: Found, head: bytes) -> bool:
        kind = compression(head)
        if kind is None:
            return False
        if len(self._compressed) >= _FINISHED_KEPT:
            self._compressed.clear()
        self._compressed[found.key] = found.size
        directory, name = os.path.split(found.path)
        siblings = (os.path.split(path) for path in self._all_paths())
        if not any(directory == folder and is_rotation(name, other) for folder, other in siblings):
            self.conditions.begin(
                TailError(
                    "SL204",
                    "follow a file",
                    found.path,
                    f"{found.path} is compressed ({kind}) and is not read as text: it is skipped",
                    hint="exclude it, or decompress it if its lines are wanted",
                )
            )
        return True

    def _all_paths(self) -> Iterable[str]:
        for stream in self.streams.values():
            yield stream.file.path
        for file in self.dormant.values():
            yield file.path

    async def reject_compressed(self, stream: Stream, found: Found, chunk: bytes) -> bool:
        """Stop following a file of which nothing was read yet if `chunk`, its first bytes, show it as compressed."""
        if not self._is_compressed(found, chunk):
            return False
        stream.file.state = "finished"
        self.mark(stream.file)
        await self.drop(stream)
        self.dormant.pop(stream.file.id, None)  # nothing of it is to be continued
        return True

    # open files

    async def _open(self, path: str) -> tuple[AsyncFileIO, files.Opened] | None:
        """Open and describe; None, and a condition, where that fails."""
        if self._open_count >= self.open_limit:
            await self.make_room()
        infos: list[files.Opened] = []

        def opener(name: str, _flags: int) -> int:
            fd = files.open_checked(name)
            try:
                infos.append(files.describe(fd, name))
            except OSError:
                os.close(fd)
                raise
            return fd

        try:
            handle = await aiofiles.open(path, "rb", buffering=0, opener=opener, executor=self._executor)
        except TailError as error:
            self.conditions.begin(error)
            return None
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
                self.conditions.begin(files.open_error(path, error))
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                await self.make_room()
            return None
        self._open_count += 1
        self.conditions.end("open files", "SL207")
        return handle, infos[0]

    async def _open_as(self, path: str, key: FileKey) -> tuple[AsyncFileIO, files.Opened] | None:
        """`_open`; None as well where another file lies there since the look that found `key`: rotation goes on."""
        opened = await self._open(path)
        if opened is not None and opened[1].key != key:
            await self._discard(opened[0])
            return None
        return opened

    async def reopen(self, stream: Stream) -> bool:
        """Open the file of a stream again, after a look has shown that it is still the same one."""
        if stream.fd >= 0:
            return True
        opened = await self._open_as(stream.file.current_path, stream.key)
        if opened is None:
            return False
        handle, info = opened
        if not same_generation(info.generation, stream.file.generation):  # the next look tells
            await self._discard(handle)
            return False
        stream.handle, stream.fd = handle, handle.fileno()
        return True

    async def close(self, stream: Stream) -> None:
        """Close the file; what was read of an unfinished line is read again later."""
        self._watcher.disarm(stream.file.id)
        stream.armed = False
        if stream.handle is None:
            return
        handle, stream.handle, stream.fd = stream.handle, None, -1
        stream.reader.rewind()
        await self._discard(handle)

    async def _discard(self, handle: AsyncFileIO) -> None:
        self._open_count -= 1
        await handle.close()

    async def make_room(self) -> None:
        """Close a tenth of the open files: quiet ones, read to their end, those that grew longest ago first; or where
        all have more to read, some of those, so that every file has its turn.
        """
        kept = [s for s in self.streams.values() if s.fd >= 0 and s.links and s.file.state != "rotated"]
        closable = [s for s in kept if s.drained] or [s for s in kept if s.reader.pending <= _REREAD_BYTES]
        closable.sort(key=lambda stream: stream.last_growth)
        for stream in closable[: max(1, self.open_limit // 10)]:
            await self.close(stream)
            stream.next_poll = 0.0

    # the end of a generation

    def is_over(self, file: TailedFile) -> bool:
        """Whether its generation has ended, even if the store does not have its last lines yet."""
        return file.state == "finished" or file.id in self._over

    def is_settled(self, file: TailedFile) -> bool:
        """Whether the store has all that was delivered of a dormant file: before that, reading cannot go on at
        `file.offset`, or lines on their way would be delivered once more.
        """
        if file.offset < self._awaited.get(file.id, 0):
            return False
        self._awaited.pop(file.id, None)
        return True

    async def flush(self, stream: Stream) -> None:
        """Deliver a final batch: no byte is expected any more."""
        stream.final = True
        await self._deliver_last(stream.reader.finish(self.clock()))

    async def end(self, stream: Stream, lost_until: int = 0) -> None:
        """The generation is over: deliver the last batch, close the file, follow it no more."""
        stream.final = True
        await self.conclude(stream.file, stream.reader, lost_until)
        await self.drop(stream)

    async def conclude(self, file: TailedFile, reader: LineReader, lost_until: int = 0) -> None:
        """Deliver the last batch of a generation, perhaps empty: with it the store learns that the file is finished."""
        self._over.add(file.id)
        batch = reader.finish(self.clock(), lost_until)
        batch.ends = True
        await self._deliver_last(batch)
        self._keep(file)

    async def _deliver_last(self, batch: LineBatch) -> None:
        self._awaited[batch.file.id] = batch.end
        await self.deliver(batch)

    async def drop(self, stream: Stream) -> None:
        """Close and forget; its TailedFile is kept among the dormant ones, should the same file come back."""
        self.streams.pop(stream.file.id, None)
        if self.by_key.get(stream.key) is stream:
            del self.by_key[stream.key]
        self._keep(stream.file)
        await self.close(stream)

    def _keep(self, file: TailedFile) -> None:
        known = self.dormant.get(file.id)
        self.dormant[file.id] = file
        if known is None and self.is_over(file):
            self._finished.append(file.id)
            if len(self._finished) > _FINISHED_KEPT:
                oldest = self._finished.popleft()
                self.dormant.pop(oldest, None)
                self._over.discard(oldest)
                self._awaited.pop(oldest, None)

    async def take_over(self, stream: Stream, path: str, key: FileKey) -> bool:
        """The stream's bytes lie in the copy at `path` now: go on there, under the copy's identity `key`."""
        opened = await self._open_as(path, key)
        if opened is None:
            return False
        handle, info = opened
        old = stream.handle
        if self.by_key.get(stream.key) is stream:
            del self.by_key[stream.key]
        self._watcher.disarm(stream.file.id)
        stream.armed = False
        stream.handle, stream.fd = handle, handle.fileno()
        stream.size, stream.mtime_ns, stream.resolved = info.size, info.mtime_ns, info.resolved
        stream.short_copy = info.size < stream.reader.position
        file = stream.file
        file.device, file.inode, file.generation = info.key.device, info.key.inode, info.generation
        file.current_path, file.state = path, "rotated"
        self.mark(file)
        self.by_key[info.key] = stream
        if old is not None:
            await self._discard(old)
        return True


def _last_line(fd: int, size: int) -> int:
    """The offset after the last newline; the size where the last line is longer than is worth looking."""
    start = max(0, size - _LINE_SEARCH_BYTES)
    newline = os.pread(fd, size - start, start).rfind(b"\n")
    return start + newline + 1 if newline >= 0 else (0 if start == 0 else size)
