"""The files that are held open: no more than the system allows, so that some of many are closed for a while."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import aiofiles

from agent.core.errors import TailError
from agent.tail import files
from agent.tail.identity import same_generation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Executor

    from aiofiles.threadpool.binary import AsyncFileIO

    from agent.core.conditions import Conditions
    from agent.tail.harvester import Harvester
    from agent.tail.identity import FileKey
    from agent.tail.watch import Watcher

_REREAD_BYTES = 1 << 16  # of an unfinished line, read once more when a file that has more to read had to be closed


class OpenFiles:
    """Opens and closes the files of the harvesters. Used on the event loop only.

    Args:
        harvesters: all of them, by id; only read here.
        conditions: takes what cannot be opened.
        executor: for opening.
        watcher: of the open files.
    """

    def __init__(
        self, harvesters: Mapping[int, Harvester], conditions: Conditions, executor: Executor, watcher: Watcher
    ) -> None:
        self.limit = files.raise_file_limit()
        self._harvesters = harvesters
        self._conditions = conditions
        self._executor = executor
        self._watcher = watcher
        self._count = 0

    @property
    def crowded(self) -> bool:
        """Whether more files are open than should be."""
        return self._count > self.limit

    async def _open(self, path: str) -> tuple[AsyncFileIO, files.Opened] | None:
        """Open and describe; None, and a condition, where that fails."""
        if self._count >= self.limit:
            await self._make_room()
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
            self._conditions.begin(error)
            return None
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
                self._conditions.begin(files.open_error(path, error))
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                await self._make_room()
            return None
        self._count += 1
        self._conditions.end("open files", "SL207")
        return handle, infos[0]

    async def open_as(self, path: str, key: FileKey) -> tuple[AsyncFileIO, files.Opened] | None:
        """`_open`; None as well where another file lies there since the look that found `key`: rotation goes on."""
        opened = await self._open(path)
        if opened is not None and opened[1].key != key:
            await self.discard(opened[0])
            return None
        return opened

    async def reopen(self, harvester: Harvester) -> bool:
        """Open the file of a harvester again, after a look has shown that it is still the same one."""
        if harvester.fd >= 0:
            return True
        opened = await self.open_as(harvester.file.current_path, harvester.key)
        if opened is None:
            return False
        handle, info = opened
        if not same_generation(info.generation, harvester.file.generation):  # the next look tells
            await self.discard(handle)
            return False
        harvester.handle, harvester.fd = handle, handle.fileno()
        return True

    async def close(self, harvester: Harvester) -> None:
        """Close the file; what was read of an unfinished line is read again later."""
        self._watcher.disarm(harvester.file.id)
        harvester.armed = False
        if harvester.handle is None:
            return
        handle, harvester.handle, harvester.fd = harvester.handle, None, -1
        harvester.reader.rewind()
        await self.discard(handle)

    async def discard(self, handle: AsyncFileIO) -> None:
        """Close a file that is no harvester's."""
        self._count -= 1
        await handle.close()

    async def _make_room(self) -> None:
        """Close a tenth of the open files: quiet ones, read to their end, those that grew longest ago first; or where
        all have more to read, some of those, so that every file has its turn.
        """
        kept = [s for s in self._harvesters.values() if s.fd >= 0 and s.links and s.file.state != "rotated"]
        closable = [s for s in kept if s.drained] or [s for s in kept if s.reader.pending <= _REREAD_BYTES]
        closable.sort(key=lambda harvester: harvester.last_growth)
        for harvester in closable[: max(1, self.limit // 10)]:
            await self.close(harvester)
            harvester.next_poll = 0.0
