"""The stage: one loop that wakes, looks, reads and delivers, round after round.

    inotify or clock -> look at the due files (one executor call) -> read chunks of those that grew -> deliver batches

A file that grows is looked at every 50 ms; a quiet one waits for its inotify event, or is looked at every second
where there is no inotify. In one round a file gives at most `_CHUNKS_PER_ROUND` chunks, so that none starves.
`deliver` blocks while the queue behind it is full: then nothing is read, and the log files are the buffer.
"""

# ruff: noqa: PTH116 - paths are str here: a pathlib object costs 20 times as much, 1,000 files a scan

from __future__ import annotations

import asyncio
import errno
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from agent.errors import TailError
from agent.tail import files, locate
from agent.tail.census import Census
from agent.tail.discover import Found
from agent.tail.identity import compression
from agent.tail.report import Conditions
from agent.tail.roster import Roster
from agent.tail.settings import Timing
from agent.tail.stream import Probe, Stream, probe_all
from agent.tail.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence
    from pathlib import Path

    from agent.errors import SidelogError
    from agent.model import LineBatch, TailedFile
    from agent.tail.settings import SourceSettings

_T = TypeVar("_T")

CHUNK_BYTES = 1 << 18
_CHUNKS_PER_ROUND = 4  # 1 MiB per file and round: about 10 ms of the writer's time
_EXECUTOR_THREADS = 2  # looking and reading are sequential; the second serves while a disk hangs
_PAGE_BYTES = 4096  # a chunk of NULs of this size or more may be a hole


class Tailer:
    """Follows the files of all sources.

    Args:
        sources: what to follow.
        known: the files that the store remembers, finished ones included.
        deliver: takes a batch; waits while the queue behind it is full.
        allocate_id: gives the id of a new file generation.
        report: takes an error and whether its condition holds now or is over.
        avoid: files and directories of the agent itself.
        first_start: nothing is known because the store is new: `start: end` applies to the files that are there.
        once: stop when everything that is there has been read.
        clock: Unix nanoseconds, for what is stored; waiting is done by the monotonic clock.
        timing: the durations to wait by.
    """

    def __init__(
        self,
        sources: Sequence[SourceSettings],
        known: Sequence[TailedFile],
        deliver: Callable[[LineBatch], Awaitable[None]],
        *,
        allocate_id: Callable[[], int],
        report: Callable[[SidelogError, bool], None],
        avoid: Collection[Path] = (),
        first_start: bool = False,
        once: bool = False,
        clock: Callable[[], int] = time.time_ns,
        timing: Timing | None = None,
    ) -> None:
        self.progress = 0  # grows with every round and byte, for the service manager's watchdog
        self._timing = timing or Timing()
        self._once = once
        self._clock = clock
        self._conditions = Conditions(report)
        self._executor = ThreadPoolExecutor(_EXECUTOR_THREADS, thread_name_prefix="tail")
        self._watcher = Watcher(self._wake_from_thread)
        self._roster = Roster(
            deliver=deliver,
            allocate_id=allocate_id,
            conditions=self._conditions,
            executor=self._executor,
            watcher=self._watcher,
            clock=clock,
            timing=self._timing,
        )
        self._roster.dormant = {file.id: file for file in known}
        self._census = Census(self._roster, sources, avoid, at_end=first_start, once=once)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wakeup = asyncio.Event()
        self._stopping = False
        self._next_scan = 0.0
        self._scan_cost_s = 0.0
        self._file_systems: dict[int, str | None] = {}  # device -> name of a file system that gives no events

    # the interface

    async def run(self) -> None:
        """Follow the files until `stop`, or with `once` until all of them are read to their end and delivered."""
        self._loop = asyncio.get_running_loop()
        try:
            if not self._once:
                self._start_watching()
            while not self._stopping:
                await self._round()
                if self._once and all(s.drained or s.retry_s for s in self._roster.streams.values()):
                    break
                await self._sleep()
            if not self._stopping:
                for stream in list(self._roster.streams.values()):
                    await self._roster.flush(stream)
        finally:
            self._watcher.stop()
            for stream in list(self._roster.streams.values()):
                await self._roster.close(stream)
            self._executor.shutdown(wait=False)

    def stop(self) -> None:
        """Let `run` return after the batch that is being delivered. Call it on the loop's thread."""
        self._stopping = True
        self._wakeup.set()

    async def reload(self, sources: Sequence[SourceSettings]) -> None:
        """Follow other sources from now on. Files that no source matches any more are read to their end and closed."""
        self._census.set_sources(sources)
        by_name = {source.name: source for source in sources}
        for stream in list(self._roster.streams.values()):
            source = self._census.discovery.source_of(stream.file.path)
            if source is None or source.name != stream.file.source:
                await self._drain(stream)
                await self._roster.drop(stream)
            else:
                stream.source = by_name[source.name]
                stream.reader.max_line = source.max_line
        self._next_scan = 0.0
        self._wakeup.set()

    def files(self) -> list[TailedFile]:
        """All generations that are being followed."""
        return [stream.file for stream in self._roster.streams.values()]

    def sizes(self) -> dict[int, int]:
        """The size in bytes of each followed file as last seen, by file id: what lag is computed from."""
        return {s.file.id: max(s.size, s.reader.position) for s in self._roster.streams.values()}

    def committed(self, file_id: int, offset: int) -> None:
        """The store has everything of this file before `offset`. Call it on the loop's thread."""
        stream = self._roster.streams.get(file_id)
        if stream is not None:
            stream.committed = offset

    # waking

    def _start_watching(self) -> None:
        try:
            self._watcher.start()
        except OSError as error:
            self._conditions.begin(_no_inotify(error, "fs.inotify.max_user_instances"))

    def _wake_from_thread(self) -> None:
        loop = self._loop
        if loop is not None and not self._wakeup.is_set():
            try:
                loop.call_soon_threadsafe(self._wakeup.set)
            except RuntimeError:  # the loop is closed already
                return

    async def _sleep(self) -> None:
        """Wait for an event, or until the next file or scan is due."""
        due = min((stream.next_poll for stream in self._roster.streams.values()), default=math.inf)
        delay = min(due, self._next_scan) - time.monotonic()
        if delay <= 0 or self._wakeup.is_set():
            await asyncio.sleep(0)
        else:
            timer = asyncio.get_running_loop().call_later(delay, self._wakeup.set)
            await self._wakeup.wait()
            timer.cancel()
        self._wakeup.clear()

    def _take_events(self) -> None:
        events = self._watcher.take()
        streams = self._roster.streams
        for token in events.files:
            stream = streams.get(token)
            if stream is not None:
                stream.armed = False
                self._watcher.disarm(token)
                stream.next_poll = 0.0
        for source, target in events.renames:
            self._census.renamed(source, target)
        if events.lost:
            self._next_scan = 0.0
            for stream in streams.values():  # its event may be among the lost ones
                self._watcher.disarm(stream.file.id)
                stream.armed = False
                stream.next_poll = 0.0
        elif events.names and any(self._census.concerns(*name) for name in events.names):
            pause = max(self._timing.debounce_s, 10 * self._scan_cost_s)  # scans take a tenth of the time at most
            self._next_scan = min(self._next_scan, time.monotonic() + pause)

    # looking

    async def _round(self) -> None:
        self.progress += 1
        self._take_events()
        if time.monotonic() >= self._next_scan:
            await self._scan()
        now = time.monotonic()
        due = [stream for stream in self._roster.streams.values() if stream.next_poll <= now]
        if not due:
            return
        ready = []
        for stream, look in zip(due, await self._run(probe_all, due), strict=True):
            if stream.file.id in self._roster.streams and await self._judge(stream, look):
                ready.append(stream)
        # rotated files first, for they may be deleted; then what has waited longest
        ready.sort(key=lambda stream: (stream.file.state != "rotated", stream.mtime_ns))
        for stream in ready:
            if self._stopping:
                return
            if stream.file.id in self._roster.streams:
                await self._read(stream)

    async def _run(self, function: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    async def _scan(self) -> None:
        began = time.monotonic()
        scan = await self._run(self._census.discovery.scan)
        if self._watcher.running:
            wanted = {path for path in scan.directories if self._events_come(path)}
            try:
                if await self._run(self._watcher.watch_directories, wanted):
                    scan = await self._run(self._census.discovery.scan)
            except OSError as error:
                self._conditions.begin(_no_inotify(error, "fs.inotify.max_user_watches"))
        self._scan_cost_s = time.monotonic() - began
        await self._census.settle(scan)
        now = time.monotonic()
        for stream in self._roster.streams.values():
            stream.next_poll = min(stream.next_poll, now)
        timing = self._timing
        soon = not self._watcher.running or self._census.undecided
        self._next_scan = now + (timing.rescan_polling_s if soon else timing.rescan_s)

    def _events_come(self, path: str) -> bool:
        """Whether inotify tells everything about this path; a file system where it does not is reported once."""
        try:
            device = os.stat(path).st_dev
        except OSError:
            return False
        if device not in self._file_systems:
            self._file_systems[device] = name = files.network_name(path)
            if name is not None and name != "overlay":
                self._conditions.begin(_network(path, name))
        name = self._file_systems[device]
        return name is None or name == "overlay"

    async def _judge(self, stream: Stream, look: Probe) -> bool:
        """Whether there is something to read. Notices truncation and rewriting, errors, and the end of quiet files."""
        if look.error is not None:
            await self._fail(stream, look.error)
            return False
        if not look.intact:
            await self._replace(stream)
            return False
        stream.size, stream.mtime_ns, stream.links = look.size, look.mtime_ns, look.links
        if look.size > stream.reader.position:
            if await self._roster.reopen(stream):
                return True
            stream.next_poll = time.monotonic() + self._timing.retry_s
            return False
        await self._settle(stream)
        return False

    async def _settle(self, stream: Stream) -> None:
        """A look found nothing new: wait longer, arm the watch, or end what has been quiet for its grace time."""
        now = time.monotonic()
        quiet_s = now - stream.last_growth
        timing = self._timing
        deadline = math.inf
        if not stream.links:
            if quiet_s >= timing.deleted_grace_s:
                await self._roster.end(stream)
                return
            deadline = stream.last_growth + timing.deleted_grace_s
        elif stream.file.state == "rotated" and not stream.final:
            if quiet_s >= timing.rotated_grace_s and files.exists(stream.file.path):
                await self._roster.flush(stream)
            else:
                deadline = max(now + timing.idle_interval_s, stream.last_growth + timing.rotated_grace_s)
        if stream.final and not stream.globbed:
            await self._roster.close(stream)  # the scans look whether it grows after all
            stream.wait_for_event()
            return
        stream.interval_s = min(max(stream.interval_s, timing.busy_interval_s) * 2, timing.idle_interval_s)
        if stream.armed:
            stream.next_poll = deadline
        elif quiet_s >= timing.calm_after_s and self._arm(stream):
            stream.next_poll = now  # a line may have come just before the watch
        else:
            stream.next_poll = min(now + stream.interval_s, deadline)

    def _arm(self, stream: Stream) -> bool:
        path = f"/proc/self/fd/{stream.fd}" if stream.fd >= 0 else stream.file.current_path
        if not self._watcher.running or not self._events_come(path):
            return False
        try:
            self._watcher.arm(stream.file.id, path)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self._conditions.begin(_no_inotify(error, "fs.inotify.max_user_watches"))
            return False
        stream.armed = True
        return True

    async def _fail(self, stream: Stream, error: OSError) -> None:
        """A file cannot be looked at or read: gone while it was closed, or to be tried again later."""
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            stream.wait_for_event()
            self._next_scan = min(self._next_scan, time.monotonic() + self._timing.debounce_s)
            return
        self._conditions.begin(files.open_error(stream.file.current_path, error))
        await self._roster.close(stream)
        stream.retry_s = min(max(self._timing.retry_s, stream.retry_s * 2), self._timing.retry_limit_s)
        stream.next_poll = time.monotonic() + stream.retry_s

    async def _replace(self, stream: Stream) -> None:
        """The file was truncated or rewritten: read the rest from a copy, if there is one, else end the generation.

        The scan that follows finds an inode that nobody follows, and begins a new generation at its head.
        """
        reader = stream.reader
        claimed = set(self._roster.by_key)
        copy = await self._run(locate.find_copy, stream.file, stream.head, reader.position, reader.recent, claimed)
        if copy is None or not await self._roster.take_over(stream, copy[0]):
            await self._roster.end(stream, stream.size)
        else:
            stream.globbed = self._census.discovery.source_of(copy[0]) is not None
            stream.last_growth = time.monotonic()
            stream.next_poll = 0.0
        self._next_scan = 0.0

    # reading

    async def _read(self, stream: Stream) -> None:
        """Read at most `_CHUNKS_PER_ROUND` chunks and deliver their lines."""
        reader = stream.reader
        stream.retry_s, stream.final = 0.0, False
        for _ in range(_CHUNKS_PER_ROUND):
            wanted = min(CHUNK_BYTES, max(stream.size - reader.position, 0) + _PAGE_BYTES)
            start = reader.position
            try:
                assert stream.handle is not None
                chunk = await stream.handle.read(wanted)
            except OSError as error:
                await self._fail(stream, error)
                return
            if not chunk:
                break
            if start == 0 and compression(chunk) and await self._reject(stream, chunk):
                return
            stream.grow_head(start, chunk)
            stream.last_growth = time.monotonic()
            self.progress += len(chunk)
            await self._deliver(stream, chunk)
            if len(chunk) < wanted or self._stopping or stream.fd < 0:
                break
        stream.file.last_read = self._clock()
        stream.interval_s = self._timing.busy_interval_s
        now = time.monotonic()
        # one grid for all files, so that many busy ones share a round
        grid = stream.interval_s
        stream.next_poll = now if stream.reader.position < stream.size else (now // grid + 1) * grid

    async def _deliver(self, stream: Stream, chunk: bytes) -> None:
        reader = stream.reader
        if len(chunk) >= _PAGE_BYTES and not reader.carry and not chunk.strip(b"\0"):
            start = reader.position
            end = _data_after(stream.fd, start + len(chunk), stream.size)
            os.lseek(stream.fd, end, os.SEEK_SET)
            batches = reader.skip_hole(start, end, self._clock())
        else:
            batches = reader.feed(chunk, self._clock())
        for batch in batches:
            await self._roster.deliver(batch)

    async def _reject(self, stream: Stream, chunk: bytes) -> bool:
        file = stream.file
        found = Found(file.current_path, stream.source, stream.key, stream.size, stream.mtime_ns)
        return await self._roster.reject_compressed(stream, found, chunk)

    async def _drain(self, stream: Stream) -> None:
        """Read a file to its present end; its unfinished line stays unread."""
        [look] = await self._run(probe_all, [stream])
        while not self._stopping and await self._judge(stream, look) and stream.file.id in self._roster.streams:
            await self._read(stream)
            [look] = await self._run(probe_all, [stream])
        if stream.file.id in self._roster.streams:
            stream.reader.rewind()
            await self._roster.flush(stream)


def _data_after(fd: int, offset: int, size: int) -> int:
    """Where data begins at or after `offset` (lseek SEEK_DATA); the size where there is none."""
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        return max(size, offset) if error.errno == errno.ENXIO else offset


def _no_inotify(error: OSError, sysctl: str) -> TailError:
    limit = error.errno in {errno.ENOSPC, errno.EMFILE}
    return TailError(
        "SL205",
        "wait for events",
        "inotify",
        f"inotify cannot be used ({os.strerror(error.errno or 0)}): files are looked at every second instead",
        hint=f"raise the limit: sysctl -w {sysctl}=524288" if limit else "lines appear up to a second later",
        retryable=True,
    )


def _network(path: str, name: str) -> TailError:
    return TailError(
        "SL206",
        "wait for events",
        path,
        f"{path} lies on {name}, which tells nothing of other machines' writes: it is looked at every second",
        hint="nothing needs to be done; running the agent where the files are written is faster",
    )
