"""The room's centre: one loop that wakes, looks, reads and delivers, round after round.

    inotify or clock -> look at the due files (one call) -> read chunks of those that grew -> deliver batches

A file that grows is looked at every 50 ms, by little every 250 ms; a quiet one waits for its inotify event, or is
looked at every second where there is no inotify. In one round a file gives a few chunks, so that none starves.
While there is no `room` behind `deliver` nothing is read, and the log files are the buffer. New ones are opened all the
same, so that what is rotated away or deleted meanwhile is not lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from agent.core.conditions import Conditions
from agent.tail import files
from agent.tail.endings import FileEndings
from agent.tail.harvester import FileLag, FileStatus, Harvester, Timing, check_all
from agent.tail.polling import ChunkReader, PollScheduler
from agent.tail.prospector import Prospector
from agent.tail.recovery import Recovery
from agent.tail.registry import Registry
from agent.tail.streams import Streams
from agent.tail.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from agent.core.errors import SidelogError
    from agent.core.model import FileChange, FileRow, LineBatch, Position
    from agent.tail.claims import LogClaims
    from agent.tail.discover import SourceSettings

_T = TypeVar("_T")

_ROOM_WAIT_S = 0.25  # so often new files are looked for while the store is behind
_MOST_LEVELS = 16  # of directories that are made at once, each seen only when the one above it is watched
_EXECUTOR_THREADS = 2  # looking and reading are sequential; the second serves while a disk hangs


class Tailer:
    """Follows the files of all sources.

    Args:
        sources: what to follow.
        known: the files that the store remembers, finished ones included.
        deliver: takes a batch.
        changed: takes what is to be written of a file that is new, renamed or finished; after the batches before it.
        room: whether there is room for another read behind `deliver`; waits for it, at most so many seconds.
        allocate_id: gives the id of a new file generation.
        report: takes an error and whether its condition holds now or is over.
        avoid: files and directories of the agent itself.
        first_start: nothing is known because the store is new: `start: end` applies to the files that are there.
        once: stop when everything that is there has been read.
        stdin: the descriptor of standard input, where that is to be read: stop at its end.
        clock: Unix nanoseconds, for what is stored; waiting is done by the monotonic clock.
        timing: the durations to wait by.
    """

    def __init__(
        self,
        sources: Sequence[SourceSettings],
        known: Sequence[FileRow],
        deliver: Callable[[LineBatch], Awaitable[None]],
        *,
        changed: Callable[[FileChange], None],
        room: Callable[[float], Awaitable[bool]],
        allocate_id: Callable[[], int],
        report: Callable[[SidelogError, bool], None],
        avoid: Collection[Path] = (),
        first_start: bool = False,
        once: bool = False,
        stdin: int | None = None,
        clock: Callable[[], int] = time.time_ns,
        timing: Timing | None = None,
    ) -> None:
        self._timing = timing or Timing()
        self._hole_grace_s = 0.0 if once else self._timing.hole_grace_s
        self._wakeup = asyncio.Event()
        self._once = once
        self._sources = sources
        self._ends = once or stdin is not None
        self._room = room
        self._conditions = Conditions(report)
        self._executor, self._watcher = ThreadPoolExecutor(_EXECUTOR_THREADS, "tail"), Watcher(self._wake_from_thread)
        self._registry = Registry(
            known=[row for row in known if not row.is_stream],
            deliver=deliver,
            changed=changed,
            allocate_id=allocate_id,
            conditions=self._conditions,
            executor=self._executor,
            watcher=self._watcher,
            clock=clock,
            timing=self._timing,
            look_soon=self.look_soon,
        )
        self._streams = Streams(known, self._registry, room=room, wake=self._wakeup.set, once=once, stdin=stdin)
        self._recovery = Recovery(self._registry, self._run)
        self._prospector = Prospector(
            self._registry, sources, avoid, recovery=self._recovery, at_end=first_start, once=once, run=self._run
        )
        self._endings = FileEndings(self._registry, self._recovery, self._prospector, self._run)
        self._scheduler = PollScheduler(
            self._registry, self._watcher, self._conditions, self._timing, self._endings.deleted, clock=clock
        )
        self._chunks = ChunkReader(self._registry, clock, self._timing.busy_interval_s, self._scheduler)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self._next_scan = self._scan_cost_s = 0.0
        self._rounds = 0
        self._reloaded: tuple[Sequence[SourceSettings], Callable[[], None]] | None = None
        self.looked = asyncio.Event()  # the files that were there at the start are known, and where each begins

    # the interface

    @property
    def progress(self) -> int:
        """Grows with every round and byte, for the service manager's watchdog."""
        return self._rounds + self._chunks.bytes_read + self._streams.progress

    async def run(self) -> None:
        """Follow them until `stop`, or with `once` until all of them are read to their end and delivered."""
        self._loop = asyncio.get_running_loop()
        try:
            if not self._once:
                self._scheduler.start_watching()
            await self._streams.begin(self._sources)
            while not self._stopping:
                await self._round()
                if self._ends and self._is_done():
                    break
                await self._sleep()
            if not self._stopping:
                for harvester in list(self._registry.harvesters.values()):
                    await self._registry.flush(harvester)
        finally:
            await self._streams.stop()
            self._watcher.stop()
            self._recovery.close()
            for harvester in list(self._registry.harvesters.values()):
                await self._registry.descriptors.close(harvester)
            self._executor.shutdown(wait=False)

    def stop(self) -> None:
        """Let `run` return after the batch that is being delivered. Call it on the loop's thread."""
        self._stopping = self._chunks.stopping = True
        self._wakeup.set()

    async def reload(self, sources: Sequence[SourceSettings], taken: Callable[[], None] = lambda: None) -> None:
        """Follow other sources from the next round on. Files that no source matches any more are read to their
        present end and closed; they are continued should a later reload match them again. `taken` is called between
        the last batch that was read for the old sources and the first one for these.
        """
        self._reloaded = sources, taken
        self._look_now()

    def look_soon(self) -> None:
        """Names have changed: look for them now. Any thread may call it."""
        self._call(self._look_now)

    def _look_now(self) -> None:
        self._next_scan = 0.0
        self._wakeup.set()

    def acknowledge(self, positions: Mapping[int, Position]) -> None:
        """So far are files stored now, by file id. Any thread may call it."""
        self._registry.positions.acknowledge(positions)

    def files(self) -> list[FileRow]:
        """All generations that are being followed. Any thread may call it."""
        registry = self._registry
        return [*map(registry.positions.row, registry.followed()), *self._streams.files()]

    @property
    def claims(self) -> LogClaims:
        """What archiving asks before it takes a log that the store does not know."""
        return self._registry.claims

    def lags(self) -> list[FileLag]:
        """How far each followed file is behind. On the event loop."""
        positions = self._registry.positions
        found = [
            FileLag(one.file, positions[one.file.id].offset, max(one.size, one.reader.position), one.drained)
            for one in self._registry.harvesters.values()
        ]
        return found + [
            FileLag(row.generation_now, row.offset, row.offset, partial=True) for row in self._streams.files()
        ]

    # waking

    def _wake_from_thread(self) -> None:
        if not self._wakeup.is_set():
            self._call(self._wakeup.set)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        """Let the event loop call a function."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(function, *arguments)

    async def _sleep(self) -> None:
        """Wait for an event, or until the next file or scan is due."""
        due = min((harvester.next_poll for harvester in self._registry.harvesters.values()), default=math.inf)
        delay = min(due, self._next_scan) - time.monotonic()
        if delay <= 0 or self._recovery.active or self._wakeup.is_set():
            await asyncio.sleep(0)
        else:
            timer = asyncio.get_running_loop().call_later(delay, self._wakeup.set)
            await self._wakeup.wait()
            timer.cancel()
        self._wakeup.clear()

    def _take_events(self) -> None:
        events = self._watcher.take()
        harvesters = self._registry.harvesters
        for token in events.files:
            if (harvester := harvesters.get(token)) is not None:
                harvester.armed = False
                self._watcher.disarm(token)
                harvester.next_poll = 0.0
        for source, target in events.renames:
            self._prospector.renamed(source, target)
        self._prospector.created(events.created)
        if events.lost:
            self._next_scan = 0.0
            for harvester in harvesters.values():  # its event may be among the lost ones
                self._watcher.disarm(harvester.file.id)
                harvester.armed = False
                harvester.next_poll = 0.0
        elif events.names and any(self._prospector.concerns(*name) for name in events.names):
            pause = max(self._timing.debounce_s, 10 * self._scan_cost_s)  # scans take a tenth of the time at most
            self._next_scan = min(self._next_scan, time.monotonic() + pause)

    # looking

    async def _round(self) -> None:
        self._rounds += 1
        self._streams.check()
        self._take_events()
        self._prospector.begin_round()
        if self._reloaded is not None:
            (sources, taken), self._reloaded = self._reloaded, None
            async with self._streams.gate:
                await self._apply(sources)
                taken()
        if time.monotonic() >= self._next_scan:
            await self._scan()
        if self._recovery.active:
            await self._wait_for_room()
            await self._recovery.step()
        now = time.monotonic()
        due = [harvester for harvester in self._registry.harvesters.values() if harvester.next_poll <= now]
        if not due:
            return
        ready = []
        for harvester, look in zip(due, await self._check(due), strict=True):
            if harvester.file.id in self._registry.harvesters and await self._judge(harvester, look):
                ready.append(harvester)
        # rotated files first, for they may be deleted; then what has waited longest
        ready.sort(key=lambda harvester: (harvester.file.state != "rotated", harvester.mtime_ns))
        for harvester in ready:
            await self._wait_for_room()
            if self._stopping or self._reloaded is not None:  # what is read from now on is for the new sources
                return
            if harvester.file.id in self._registry.harvesters:
                await self._read(harvester)

    async def _check(self, harvesters: list[Harvester]) -> list[FileStatus]:
        if self._scheduler.at_hand(harvesters):
            return check_all(harvesters, self._hole_grace_s)
        return await self._run(check_all, harvesters, self._hole_grace_s)

    async def _wait_for_room(self, *, looking: bool = True) -> None:
        while not self._stopping and not await self._room(_ROOM_WAIT_S):
            self._rounds += 1
            if looking:
                self._take_events()
                if time.monotonic() >= self._next_scan:
                    await self._scan()

    def _is_done(self) -> bool:
        """Whether everything that was seen has been read, apart from what cannot be."""
        is_calm = self._streams.done and time.monotonic() < self._next_scan and not self._recovery.active
        return is_calm and all(s.drained or s.retry_s for s in self._registry.harvesters.values())

    async def _read(self, harvester: Harvester) -> bool:
        """Open the file if it is closed, and read from it; False where either failed and is to be tried later.

        Opened no sooner than here: of 1,000 closed files with something to read, those that were read make room for
        the others, and none waits for its next try because all descriptors are held by files that wait to be read.
        """
        try:
            if await self._registry.descriptors.reopen(harvester):
                await self._chunks.read(harvester)
                return True
            self._put_off(harvester)
        except OSError as error:
            await self._fail(harvester, error)
        return False

    async def _run(self, function: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    async def _scan(self) -> None:
        self._next_scan = math.inf  # what is asked for from here on may have come too late for this look
        self.claims.begin_look()
        for _ in range(_MOST_LEVELS):
            began = time.monotonic()
            scan = await self._run(self._prospector.discovery.scan)
            self._scan_cost_s = time.monotonic() - began
            if not await self._run(self._scheduler.watch_directories, scan.directories):
                break
        await self._run(self._watcher.catch_up)  # how the files that were seen came to their names
        self._take_events()
        await self._prospector.settle(scan)
        if not self._prospector.undecided:
            self.claims.end_look()
        now = time.monotonic()
        for harvester in self._registry.harvesters.values():
            if not harvester.retry_s:
                harvester.next_poll = min(harvester.next_poll, now)
        soon = not self._watcher.running or self._prospector.undecided
        pause = self._timing.rescan_polling_s if soon else self._timing.rescan_s
        self._next_scan = min(self._next_scan, now + pause)
        self.looked.set()

    async def _judge(self, harvester: Harvester, look: FileStatus) -> bool:
        """Whether there is something to read. Notices truncation and rewriting, errors, and the end of quiet files."""
        if look.error is not None:
            await self._fail(harvester, look.error)
            return False
        if not look.intact:
            await self._endings.truncated(harvester)
            self._next_scan = 0.0
            return False
        harvester.size, harvester.mtime_ns, harvester.links = look.size, look.mtime_ns, look.links
        if look.hole is not None or harvester.at_hole is not None:
            harvester.hole = look.hole
        if look.size > harvester.reader.position:
            return True
        if harvester.retry_s:
            harvester.retry_s = 0.0
            self._conditions.end(harvester.file.current_path, "SL201", "SL208")
        await self._scheduler.settle(harvester)
        return False

    async def _fail(self, harvester: Harvester, error: OSError) -> None:
        """A file cannot be looked at or read: gone while it was closed, or to be tried again later."""
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            pause = harvester.retry_s or self._timing.debounce_s
            self._next_scan = min(self._next_scan, time.monotonic() + pause)
        else:
            self._conditions.begin(files.open_error(harvester.file.current_path, error))
            await self._registry.descriptors.close(harvester)
        self._put_off(harvester)

    def _put_off(self, harvester: Harvester) -> None:
        harvester.retry_s = min(max(self._timing.retry_s, harvester.retry_s * 2), self._timing.retry_limit_s)
        harvester.next_poll = time.monotonic() + harvester.retry_s

    async def _apply(self, sources: Sequence[SourceSettings]) -> None:
        self._prospector.set_sources(sources)
        if not self._once and not self._watcher.running:
            self._scheduler.start_watching()  # the limit may have been raised
        for harvester in list(self._registry.harvesters.values()):
            source = self._prospector.source_of(harvester.file)
            if source is None:
                await self._dismiss(harvester)
            elif source.owns(harvester.file):
                harvester.source = source
                harvester.reader.max_line = source.max_line
            else:
                await self._registry.hand_over(harvester, source)
        await self._recovery.reload(self._prospector.source_of)
        await self._streams.apply(sources)

    async def _dismiss(self, harvester: Harvester) -> None:
        """Read a file to its present end and follow it no more; its unfinished line stays unread."""
        [look] = await self._check([harvester])
        while (
            not self._stopping and await self._judge(harvester, look) and harvester.file.id in self._registry.harvesters
        ):
            await self._wait_for_room(looking=False)
            if not await self._read(harvester):
                break
            [look] = await self._check([harvester])
        if harvester.file.id in self._registry.harvesters:
            harvester.reader.rewind()
            await self._registry.flush(harvester)
            await self._registry.drop(harvester)
