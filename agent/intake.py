"""The passage from the event loop to the writer thread: messages in, all that wait out, in their order.

What crosses it is written no more by the side that gave it away. The way back is `Tailer.acknowledge`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from agent.core.model import FileChange, LineBatch
from agent.parse.settings import parse_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.config import Config
    from agent.parse.settings import ParseSettings

_BATCH_OVERHEAD_BYTES = 512  # so that a thousand empty batches have a weight too
_LEAST_LINE_BYTES = 128  # a line weighs no less: of a million of a byte, as `yes` writes them, each becomes an event
_SAMPLE_BYTES = 4096  # of a batch, which say how long its lines are: to count all newlines costs 0.1 µs a line


class IngestSettings(msgspec.Struct, frozen=True):
    """What the writer thread is told of the configuration, at its construction and by every reload."""

    parse: Mapping[str, ParseSettings]  # by source
    flush_interval_s: float  # the longest that a line waits for its commit
    min_free_bytes: int  # on the store's disk
    retention_age_ns: int | None
    retention_size_bytes: int | None

    @staticmethod
    def from_config(config: Config) -> IngestSettings:
        """What the configuration says of storing."""
        store = config.store
        return IngestSettings(
            parse=parse_settings(config),
            flush_interval_s=store.flush_interval,
            min_free_bytes=store.min_free,
            retention_age_ns=None if store.retention.age is None else int(store.retention.age * 1e9),
            retention_size_bytes=store.retention.size,
        )


Message = LineBatch | FileChange | IngestSettings


class Intake:
    """A queue, bounded in bytes of lines. `room` tells the event loop when to read on: that is the backpressure, and
    the log files are the buffer.

    Args:
        limit_bytes: above this much waiting data nothing more is taken; above half of it no more should be read.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._read_below_bytes = limit_bytes // 2
        self._messages: deque[Message] = deque()
        self._settings: deque[IngestSettings] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self._woken = False
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()

    async def room(self, timeout_s: float) -> bool:
        """Whether there is room for what a read gives; waits for it, but not longer than this."""
        if self._bytes >= self._read_below_bytes:
            self._room.clear()
            if self._bytes >= self._read_below_bytes:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._room.wait(), timeout_s)
        return self._bytes < self._read_below_bytes

    async def put(self, batch: LineBatch) -> None:
        """Hand over a batch, waiting while the queue is full. A final one, whose bytes are in memory anyway and which
        nobody can wait for who has other files to look after, is always taken.
        """
        while self._bytes >= self._limit_bytes and not batch.final:
            self._room.clear()
            if self._bytes >= self._limit_bytes:  # the writer may have emptied it between the two lines
                await self._room.wait()
        with self._changed:
            self._messages.append(batch)
            self._bytes += _weight(batch.data) + _BATCH_OVERHEAD_BYTES
            self._changed.notify()

    def send(self, change: FileChange | IngestSettings) -> None:
        """Hand over what needs no room; of settings, how the batches behind them are parsed. The writer takes it with
        the next batch, or when it is woken, or after its longest wait: a thousand new files share a commit.
        """
        with self._changed:
            self._messages.append(change)

    def configure(self, settings: IngestSettings) -> None:
        """Let the writer store by other settings as soon as it can; how lines are parsed it is told by `send`."""
        self._settings.append(settings)
        self.wake()

    def take_settings(self) -> IngestSettings | None:
        """The next settings to go over to, the oldest first. They do not wait behind batches: a commit that cannot
        succeed by the old ones may by these.
        """
        return self._settings.popleft() if self._settings else None

    def take(self, timeout_s: float) -> list[Message]:
        """Everything that waits, at least one batch unless the time is over or the queue was woken or closed."""
        with self._changed:
            if self.empty and not (self._closed or self._woken):
                self._changed.wait(timeout_s)
            self._woken = False
            messages = list(self._messages)
            self._messages.clear()
            was_full = self._bytes >= self._read_below_bytes
            self._bytes = 0
        if was_full:
            self._loop.call_soon_threadsafe(self._room.set)
        return messages

    def wake(self) -> None:
        """Let `take` return now: something else waits for the writer."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def close(self) -> None:
        """Nothing will follow; `take` returns at once from now on."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    @property
    def empty(self) -> bool:
        """No batch waits."""
        return not self._bytes

    @property
    def drained(self) -> bool:
        """Closed and empty."""
        return self._closed and not self._messages


def _weight(data: bytes) -> int:
    """How much waits, in bytes; of short lines, as far as those in the middle tell, in lines."""
    size = len(data)
    begin = max(0, (size - _SAMPLE_BYTES) // 2)
    lines = data.count(b"\n", begin, begin + _SAMPLE_BYTES)
    return max(size, _LEAST_LINE_BYTES * lines * size // max(1, min(size, _SAMPLE_BYTES)))
