"""After a look at a file: read what has come, then wait for more, by inotify while quiet, by the clock while busy."""

# ruff: noqa: PTH116 - paths are str here: a pathlib object costs 20 times as much, 1,000 files a scan

from __future__ import annotations

import errno
import math
import os
import time
from typing import TYPE_CHECKING

from agent.core.decompress import compression
from agent.core.errors import TailError
from agent.core.holes import before_hole
from agent.core.model import HEAD_BYTES
from agent.tail import files, holes
from agent.tail.discover import FoundFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.core.conditions import Conditions
    from agent.tail.harvester import Harvester, Timing
    from agent.tail.holes import Hole
    from agent.tail.registry import Registry
    from agent.tail.watch import Watcher


CHUNK_BYTES = 1 << 18
_READ_BYTES = 1 << 20  # per file and round: 10 ms of the writer's time. A read costs 60 to 190 µs of thread switches,
# which at 256 KiB were twice as much per line (0.3 µs) as the parts of a batch's way through the tailer together
_LOOKS_HERE = 8
_READ_HERE_BYTES = 1 << 16  # so much of what was just written is in memory: no thread is needed to wait for it
_RECENT_NS = 5 * 10**9
_LITTLE_BYTES = 1 << 13  # a read of less: the file is looked at less often
_ALONE_S = 0.5  # a line so long after the one before: the next one is waited for, not looked for
_PAGE_BYTES = 1 << 12  # read beyond the size that was seen: what has come since then
_REFUSAL_OVER_S = 60.0


class PollScheduler:
    """Decides per harvester between waiting for an event, polling, and ending what has been quiet for long."""

    def __init__(
        self,
        registry: Registry,
        watcher: Watcher,
        conditions: Conditions,
        timing: Timing,
        end_deleted: Callable[[Harvester], Awaitable[None]],
        *,
        clock: Callable[[], int],
    ) -> None:
        self._registry = registry
        self._watcher = watcher
        self._conditions = conditions
        self._timing = timing
        self._end_deleted = end_deleted
        self._clock = clock
        self._refused_at = -math.inf  # when a watch was last refused
        self._file_systems: dict[int, str | None] = {}  # device -> name of a file system that gives no events

    def start_watching(self) -> None:
        """Begin to take events; where that is impossible, say so once and poll."""
        try:
            self._watcher.start()
        except OSError as error:
            self._conditions.begin(TailError.of("SL205", "inotify", why=error))

    def watch_directories(self, wanted: set[str]) -> bool:
        """Watch exactly these directories; whether one is new, so that what came before its watch must be looked for.

        Blocks for some microseconds per directory.
        """
        if not self._watcher.running:
            return False
        try:
            return self._watcher.watch_directories({path for path in wanted if self._events_come(path)})
        except OSError as error:
            self._refused(error)
            return False

    async def settle(self, harvester: Harvester) -> None:
        """A look found nothing new: wait longer, arm the watch, or end what has been quiet for its grace time."""
        now = time.monotonic()
        timing = self._timing
        end, deadline = self._end_of(harvester, now)
        if end <= now:
            if not await self._is_whole(harvester):
                harvester.next_poll = now + timing.busy_interval_s
                return
            if not harvester.links:
                await self._end_deleted(harvester)
                return
            await self._registry.flush(harvester)
        if harvester.final and not harvester.globbed:
            await self._registry.descriptors.close(harvester)  # the scans look whether it grows after all
            harvester.wait_for_event()
            return
        harvester.interval_s = min(max(harvester.interval_s, timing.busy_interval_s) * 2, timing.idle_interval_s)
        if harvester.armed:
            harvester.next_poll = deadline
        elif now - harvester.last_growth >= timing.calm_after_s and self._arm(harvester):
            harvester.next_poll = deadline if self._stands(harvester) else now
        else:
            harvester.next_poll = min(now + harvester.interval_s, deadline)
        hole = harvester.at_hole
        if hole is not None:  # what is written into mapped memory gives no event
            pause = harvester.interval_s if hole.is_known else timing.busy_interval_s
            harvester.next_poll = min(harvester.next_poll, now + pause)

    def _end_of(self, harvester: Harvester, now: float) -> tuple[float, float]:
        """When a file that stays quiet comes to its end, and by when that is to be asked again; both may be never."""
        timing = self._timing
        if not harvester.links:
            end = harvester.last_growth + timing.deleted_grace_s
            return end, end
        if harvester.file.state != "rotated" or harvester.final:
            return math.inf, math.inf
        # without a successor the writer may still be about to reopen its file: it gets ten times as long
        patience = 1 if files.exists(harvester.file.path) else 10
        end = harvester.last_growth + timing.rotated_grace_s * patience
        if end <= now:
            return end, math.inf
        return end, max(now + timing.idle_interval_s, harvester.last_growth + timing.rotated_grace_s)

    async def _is_whole(self, harvester: Harvester) -> bool:
        """A file comes to its end: NULs that nobody has filled are a gap. False while they are still looked through."""
        hole = harvester.at_hole
        if hole is not None:
            if not hole.is_tail:
                return False
            for batch in harvester.pass_hole(self._clock()):
                await self._registry.deliver(batch)
        return True

    def wait(self, harvester: Harvester) -> bool:
        """After a read, let a file wait for its event at once, without another look; False where more may have come."""
        is_plain = harvester.links and harvester.file.state == "active" and harvester.globbed
        if is_plain and self.is_local(harvester.file.device) and self._arm(harvester) and self._stands(harvester):
            harvester.wait_for_event()
            return True
        return False

    def _stands(self, harvester: Harvester) -> bool:
        """Whether no line has come just before the watch; False where it takes a thread to tell."""
        if harvester.fd < 0 or not self.is_local(harvester.file.device):
            return False
        try:
            status = os.fstat(harvester.fd)
        except OSError:
            return False
        return harvester.drained and (status.st_size, status.st_mtime_ns) == (harvester.size, harvester.mtime_ns)

    def _arm(self, harvester: Harvester) -> bool:
        path = f"/proc/self/fd/{harvester.fd}" if harvester.fd >= 0 else harvester.file.current_path
        if not self._watcher.running or not self._events_come(path):
            return False
        try:
            self._watcher.arm(harvester.file.id, path)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self._refused(error)
            return False
        harvester.armed = True
        if time.monotonic() - self._refused_at >= _REFUSAL_OVER_S:
            self._conditions.end("inotify", "SL205")
        return True

    def at_hand(self, harvesters: list[Harvester]) -> bool:
        """Whether a look at these files needs no thread: a hop there and back costs as much as 20 looks."""
        return len(harvesters) <= _LOOKS_HERE and all(
            one.fd >= 0 and one.at_hole is None and self.is_local(one.file.device) for one in harvesters
        )

    def is_local(self, device: int) -> bool:
        """Whether this file system is known to be on this machine: a look at it waits for nobody."""
        return self._file_systems.get(device, "unknown") in (None, "overlay")

    def _refused(self, error: OSError) -> None:
        """At the limit, a watch that fired makes room for another: one success does not end the condition."""
        self._refused_at = time.monotonic()
        self._conditions.begin(TailError.of("SL205", "inotify", why=error))

    def _events_come(self, path: str) -> bool:
        """Whether inotify tells everything about this path; a file system where it does not is reported once."""
        try:
            device = os.stat(path).st_dev
        except OSError:
            return False
        if device not in self._file_systems:
            self._file_systems[device] = name = files.network_name(path)
            if name is not None and name != "overlay":
                self._conditions.begin(TailError.of("SL206", path, name=name))
        name = self._file_systems[device]
        return name is None or name == "overlay"


# ---------------------------------------------------------------- reading


class ChunkReader:
    """Reads the files of harvesters in chunks; `bytes_read` counts for the watchdog."""

    def __init__(
        self, registry: Registry, clock: Callable[[], int], interval_s: float, scheduler: PollScheduler
    ) -> None:
        self.bytes_read = 0
        self.stopping = False
        self._registry = registry
        self._clock = clock
        self._interval_s = interval_s
        self._scheduler = scheduler

    async def read(self, harvester: Harvester) -> None:
        """Read once, at most 1 MiB, and deliver the lines in batches of at most CHUNK_BYTES and a carried line. Batches
        are cut behind newlines: what is carried into one is copied, with all that is in it.

        The bytes before the position are read along: the file may have been truncated and written anew since the look
        that found it grown, and then the next look is to find that out.

        Raises:
            OSError: the file cannot be read.
        """
        reader = harvester.reader
        harvester.final = False
        if (hole := harvester.at_hole) is not None and not await self._pass(harvester, hole):
            return
        known = reader.recent
        os.lseek(harvester.fd, reader.position - len(known), os.SEEK_SET)
        grown = min(_READ_BYTES, max(harvester.size - reader.position, 0) + _PAGE_BYTES)
        data = await self._read(harvester, len(known) + grown)
        if not data.startswith(known):
            harvester.next_poll, harvester.mtime_ns = 0.0, 0  # both writes may bear the same time
            return
        data = before_hole(data, len(known))
        if reader.position == 0 and compression(data) and await self._reject(harvester, data):
            return
        if harvester.retry_s:
            harvester.retry_s = 0.0
            self._registry.conditions.end(harvester.file.current_path, "SL208")
        begin, reader.modified = reader.position, harvester.mtime_ns
        harvester.grow_head(begin, data[len(known) : len(known) + HEAD_BYTES])
        self.bytes_read += len(data) - len(known)
        end = len(known)
        while end < len(data) and not self.stopping:
            start, end = end, min(end + CHUNK_BYTES, len(data))
            end = data.rfind(b"\n", start, end) + 1 or end
            for batch in reader.feed(data[start:end], self._clock()):
                await self._registry.deliver(batch)
        self._look_again(harvester, len(data) - len(known))
        if self._registry.descriptors.crowded and harvester.drained:
            await self._registry.descriptors.close(harvester)

    async def _pass(self, harvester: Harvester, hole: Hole) -> bool:
        """Leave a hole behind, unless it was filled since the look at it."""
        harvester.next_poll = 0.0
        if holes.skip(harvester.fd, hole.start, hole.end)[1]:
            return False
        for batch in harvester.pass_hole(self._clock()):
            await self._registry.deliver(batch)
        return True

    async def _read(self, harvester: Harvester, size: int) -> bytes:
        assert harvester.handle is not None
        recent = self._clock() - harvester.mtime_ns < _RECENT_NS
        if recent and size <= _READ_HERE_BYTES and self._scheduler.is_local(harvester.file.device):
            return os.read(harvester.fd, size)
        return await harvester.handle.read(size)

    def _look_again(self, harvester: Harvester, grown: int) -> None:
        now = time.monotonic()
        was_alone = now - harvester.last_growth >= _ALONE_S
        harvester.last_growth = now
        grid = harvester.interval_s = self._interval_s
        if grown < _LITTLE_BYTES:
            harvester.interval_s = max(grid, harvester.source.look_interval_s)
            if was_alone and not self._registry.descriptors.crowded and self._scheduler.wait(harvester):
                return
        # one grid for all files, so that many busy ones share a round
        later = now + harvester.interval_s - grid
        harvester.next_poll = (later // grid + 1) * grid if harvester.drained else now

    async def _reject(self, harvester: Harvester, chunk: bytes) -> bool:
        file = harvester.file
        path, size = file.current_path, harvester.size
        found = FoundFile(path, harvester.source, harvester.key, size, harvester.mtime_ns, path)
        return await self._registry.reject_compressed(harvester, found, chunk)
