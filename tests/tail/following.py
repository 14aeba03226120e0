"""A tailer whose batches are collected and checked, and which can be restarted from what a store would remember."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import time
from pathlib import Path

from msgspec import structs

from agent.core.model import FileRow, Position
from agent.tail.harvester import Timing
from agent.tail.identity import marker
from agent.tail.tailer import Tailer
from tests.sources import source

QUICK = Timing(
    idle_interval_s=0.1,
    rescan_s=0.3,
    rescan_polling_s=0.1,
    rotated_grace_s=0.4,
    deleted_grace_s=0.2,
    copy_grace_s=0.4,
    retry_s=0.05,
    retry_limit_s=0.2,
    hole_grace_s=0.3,
)
PATIENT = structs.replace(QUICK, rotated_grace_s=3600.0, deleted_grace_s=3600.0)


def asynchronous(test):
    """Run a coroutine test in a loop of its own."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run


async def plenty(_timeout_s):
    """Room behind the tailer, always."""
    return True


class Following:
    """`async with Following(pattern…) as tail:` follows; every batch is checked to continue its generation.

    Batches count as stored at once, or with `lagging` when `commit` is called.
    """

    def __init__(
        self,
        *patterns,
        known=(),
        sources=None,
        timing=QUICK,
        deliver=None,
        room=plenty,
        settings=None,
        lagging=False,
        **options,
    ):
        self.known = list(known)
        self.sources = sources or [source(*patterns, **(settings or {}))]
        self.batches = []
        self.errors = []
        self.rows = {file.id: file for file in self.known}  # as the store has them
        self.content = {}
        self.ends = {}
        self.tails = {}
        self._slow = deliver
        self._lagging = lagging
        self._uncommitted = []
        ids = itertools.count(max((file.id for file in self.known), default=0) + 1)
        self.tailer = Tailer(
            self.sources,
            self.known,
            self.deliver,
            changed=self.change,
            room=room,
            allocate_id=lambda: next(ids),
            report=lambda error, active: self.errors.append((error.code, error.subject, active)),
            timing=timing,
            **options,
        )

    async def __aenter__(self):
        self.task = asyncio.create_task(self.tailer.run())
        return self

    async def __aexit__(self, *error):
        self.tailer.stop()
        if error[0] is not None:
            self.task.cancel()
            with contextlib.suppress(BaseException):
                await self.task
        else:
            await asyncio.wait_for(self.task, 10)

    async def run_once(self):
        await asyncio.wait_for(self.tailer.run(), 30)
        return self

    async def deliver(self, batch):
        if self._slow is not None:
            await self._slow(batch)
        file = batch.file
        assert batch.offset == self.ends.get(file.id, self.rows[file.id].offset), (
            "a batch begins where the one before ended"
        )
        cut_off = batch.final or (batch.gaps and batch.gaps[0].reason == "hole")
        assert cut_off or not batch.data or batch.data.endswith(b"\n"), "what ends within a line, and is not cut off"
        tail = self.tails.get(file.id, b"")
        assert batch.before.endswith(tail) or tail.endswith(batch.before), "`before` is what lies before"
        self.content.setdefault(file.id, bytearray()).extend(batch.data)
        self.tails[file.id] = b"" if batch.gaps else (tail + batch.data)[-256:]
        self.ends[file.id] = batch.end
        self.batches.append(batch)
        self._uncommitted.append(batch)
        if not self._lagging:
            self.commit()

    def change(self, change):
        file, row = change.file, self.rows.get(change.file.id)
        self.rows[file.id] = FileRow.of(file, row.position if row is not None else Position(change.offset))

    def commit(self):
        """Store what was delivered."""
        for batch in self._uncommitted:
            file = batch.file
            if batch.ends:
                assert batch.final
                file = structs.replace(file, state="finished")
            position = Position(batch.end, *marker(b"" if batch.gaps else batch.before + batch.data))
            self.rows[file.id] = structs.replace(FileRow.of(file, position), last_read=time.time_ns())
            self.tailer._registry.positions.acknowledge({file.id: position})
        self._uncommitted.clear()

    def stored(self):
        """What a store would hand to the next start."""
        return [row for row in self.rows.values() if row.state != "finished"]

    @property
    def generations(self):
        """The bytes of each generation in the order of their ids, those without any left out."""
        return [bytes(self.content[key]) for key in sorted(self.content) if self.content[key]]

    @property
    def lines(self):
        """All lines of all generations, sorted: to be compared with what was written."""
        return sorted(line for data in self.generations for line in data.split(b"\n") if line)

    @property
    def gaps(self):
        return [(gap.reason, gap.start, gap.end) for batch in self.batches for gap in batch.gaps]

    @property
    def finals(self):
        return [batch.file.path for batch in self.batches if batch.final]

    def codes(self):
        return [code for code, _, active in self.errors if active]

    def states(self):
        return {Path(file.current_path).name: file.state for file in self.tailer.files()}

    async def until(self, condition, what="the condition", timeout_s=60):
        """Wait until `condition()` holds."""
        limit = time.monotonic() + timeout_s
        while not condition():
            if self.task.done():
                self.task.result()
            if time.monotonic() > limit:
                state = (self.generations, self.gaps, self.errors, self.tailer.files())
                raise AssertionError(f"{what} did not come true: {str(state)[:3000]}")
            await asyncio.sleep(0.005)

    async def until_read(self, *lines):
        expected = sorted(lines)
        await self.until(lambda: self.lines == expected, f"reading {len(expected)} lines")

    async def until_armed(self):
        """Until nothing is polled any more: every open file waits for its event, and no look is on its way."""
        harvesters, asleep = self.tailer._registry.harvesters, self.tailer._wakeup._waiters
        await self.until(
            lambda: asleep and harvesters and all(harvester.armed for harvester in harvesters.values()), "calm"
        )

    async def rounds(self, count=3):
        """Let the tailer look around some times."""
        for _ in range(count):
            goal = self.tailer._rounds + 1
            self.tailer._next_scan = 0.0
            self.tailer._wakeup.set()
            await self.until(lambda: self.tailer._rounds >= goal)  # noqa: B023 - awaited before the next turn


def append(path, data):
    with Path(path).open("ab", buffering=0) as file:
        file.write(data)


def numbered(start, count, label="line"):
    return [f"{label} {number:06d} {'x' * 40}".encode() for number in range(start, start + count)]


def joined(lines):
    return b"".join(line + b"\n" for line in lines)
