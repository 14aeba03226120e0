"""What is read that is no file: journals, and standard input. Which generation each continues, and their tasks.

A journal is known by the source that reads it and by its directory; by what is selected where the source has another
name now. What it has given is stored as that of a file is, with the cursor for a place.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from typing import TYPE_CHECKING

from msgspec.structs import replace

from agent.core.errors import TailError
from agent.core.model import JOURNAL, STDIN, FileChange, FileGeneration, FileRow, LineBatch, Position
from agent.tail.reader import LineReader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from agent.tail.discover import SourceSettings
    from agent.tail.journal import JournalFollower
    from agent.tail.journalctl import JournalLines
    from agent.tail.registry import Registry
    from agent.tail.stdin import InputReader


class Streams:
    """All streams of one agent. Used on the event loop only.

    Args:
        known: the generations that the store remembers, those of files included.
        registry: of the files; it says where batches go and ids come from.
        room: whether there is room for another read; waits for it, at most so many seconds.
        wake: called when a stream has come to its end.
        once: read what is there to its end.
        stdin: the descriptor of standard input, where that is to be read.
    """

    def __init__(
        self,
        known: Iterable[FileRow],
        registry: Registry,
        *,
        room: Callable[[float], Awaitable[bool]],
        wake: Callable[[], None],
        once: bool,
        stdin: int | None,
    ) -> None:
        self._dormant = {row.id: row for row in known if row.is_stream and row.state != "finished"}  # not read now
        self._deliver = registry.deliver
        self._changed = registry.changed
        self._room = room
        self._allocate_id = registry.allocate_id
        self._conditions = registry.conditions
        self._clock = registry.clock
        self._wake = wake
        self._once = once
        self._stdin = stdin
        self._input: InputReader | None = None
        self._followers: list[JournalFollower] = []
        self._tasks: dict[object, asyncio.Task[None]] = {}  # by what they read
        # Nothing is read while it is held: whose lines they are is being decided.
        self.gate = asyncio.Lock()

    # the interface

    @property
    def progress(self) -> int:
        """The bytes read."""
        return sum(one.bytes_read for one in self._followers) + (self._input.reader.position if self._input else 0)

    @property
    def done(self) -> bool:
        """Whether all of them have come to their end."""
        return all(task.done() for task in self._tasks.values())

    def check(self) -> None:
        """Raise what has ended one of them, unless that is its end."""
        for task in self._tasks.values():
            if task.done() and not task.cancelled():
                task.result()

    def files(self) -> list[FileRow]:
        """Those that are read, or were to their end. Any thread may call it."""
        rows = [FileRow.of(one.lines.file, Position(one.lines.offset)) for one in list(self._followers)]
        if self._input is not None:
            rows.append(FileRow.of(self._input.reader.file, Position(self._input.reader.offset)))
        return rows

    async def begin(self, sources: Sequence[SourceSettings]) -> None:
        """Read for these sources."""
        async with self.gate:
            await self.apply(sources)

    async def apply(self, sources: Sequence[SourceSettings]) -> None:
        """Read for these sources from now on. Streams that are no source's any more are left where they stand; they
        are continued should a later reload name them again. The `gate` is held meanwhile.
        """
        for left_over in [row for row in self._dormant.values() if row.path == STDIN]:  # by a process that has died
            del self._dormant[left_over.id]
            self._save(replace(left_over.generation_now, state="finished"), left_over.position)
        wanted = [source for source in sources if source.journal is not None]
        following, self._followers = self._followers, []
        left = {one.lines.file.id: one for one in following}
        names = {source.name for source in wanted}
        for source in wanted:
            row = self._known_of(source, names, left.values())
            follower = left.pop(row.id, None) if row is not None else None
            if follower is not None and follower.selection == source.journal:
                self._followers.append(follower)
                await self._hand_over(follower, source)
                continue
            if follower is not None:
                await self._end_task(follower)
            await self._follow(source, row, follower)
        for follower in left.values():
            await self._leave(follower)
        if self._stdin is not None:
            await self._begin_input(self._stdin, next(one for one in sources if one.name == STDIN))

    async def stop(self) -> None:
        """End all of them; of standard input, what was read is delivered."""
        for follower in self._followers:
            await self._end_task(follower)
        if self._input is not None:
            self._input.stop()
            await self._tasks[self._input]

    # generations

    def _known_of(
        self, source: SourceSettings, names: set[str], following: Iterable[JournalFollower]
    ) -> FileRow | None:
        """What the source continues: by its name, or by its selection where that has another source's name that there
        is no more.
        """
        assert source.journal is not None
        rows = [FileRow.of(one.lines.file, _place(one.lines)) for one in following]
        rows += [row for row in self._dormant.values() if row.path.startswith(JOURNAL)]
        rows.sort(key=lambda row: row.id)
        named = [row for row in rows if row.source == source.name and _directory(row) == source.journal.place]
        same = [row for row in rows if row.source not in names and row.current_path == source.journal.name]
        return (named or same)[-1] if named or same else None

    async def _follow(self, source: SourceSettings, row: FileRow | None, before: JournalFollower | None) -> None:
        """Begin to read for a source, where the row ends if there is one."""
        from agent.tail.journal import JournalFollower  # noqa: PLC0415 - most agents read files alone
        from agent.tail.journalctl import JournalLines  # noqa: PLC0415

        assert source.journal is not None
        is_new = row is None
        row = row or FileRow.of(self._generation(JOURNAL + source.name, source), Position())
        self._dormant.pop(row.id, None)
        if before is not None:
            before.end_conditions()
        lines = JournalLines(row.generation_now, source.max_line, row.offset, row.marker_hash)
        follower = JournalFollower(
            source,
            lines,
            self._deliver,
            room=self._room,
            gate=self.gate,
            conditions=self._conditions,
            clock=self._clock,
            once=self._once,
        )
        self._followers.append(follower)
        if is_new and source.start == "end":
            follower.at_end = True
            with contextlib.suppress(TailError):  # who reads says so
                await follower.begin_at_end()
        await self._hand_over(follower, source)
        self._start(follower, follower.run())

    def _generation(self, path: str, source: SourceSettings) -> FileGeneration:
        now, number = self._clock(), self._allocate_id()
        return FileGeneration(
            id=number,
            source=source.name,
            path=path,
            device=0,
            inode=number,  # of its own, as each file has one
            generation=0,
            current_path=path if source.journal is None else source.journal.name,
            first_seen=now,
            last_read=now,
            resource=source.resource,
        )

    async def _hand_over(self, follower: JournalFollower, source: SourceSettings) -> None:
        """Read on for a source, as a successor where it or its labels are other ones than before."""
        lines, journal = follower.lines, source.journal
        assert journal is not None
        follower.source, lines.max_line = source, source.max_line
        file = replace(lines.file, current_path=journal.name)
        if not source.owns(file):
            file = await self._succeed(file, source, follower)
        lines.file = file
        self._save(file, _place(lines))

    async def _succeed(self, file: FileGeneration, source: SourceSettings, follower: JournalFollower) -> FileGeneration:
        if follower.lines.offset > 0:
            batch = follower.lines.finish(self._clock())
            batch.ends = True
            await self._deliver(batch)
            number = self._allocate_id()
            file = replace(file, id=number, inode=number)
        return replace(file, source=source.name, resource=source.resource, last_read=self._clock())

    async def _leave(self, follower: JournalFollower) -> None:
        """Nobody's any more."""
        await self._end_task(follower)
        follower.end_conditions()
        await self._deliver(follower.lines.finish(self._clock()))
        self._dormant[follower.lines.file.id] = FileRow.of(follower.lines.file, _place(follower.lines))

    async def _begin_input(self, fd: int, source: SourceSettings) -> None:
        from agent.tail.stdin import InputReader  # noqa: PLC0415 - few are given any

        if self._input is not None:
            await self._succeed_input(self._input.reader, source)
            return
        file = self._generation(STDIN, source)
        reader = LineReader(file, source.max_line, 0)
        self._save(file, Position())
        self._input = InputReader(
            fd,
            reader,
            self._deliver,
            room=self._room,
            gate=self.gate,
            conditions=self._conditions,
            clock=self._clock,
        )
        self._start(self._input, self._input.run())

    async def _succeed_input(self, reader: LineReader, source: SourceSettings) -> None:
        reader.max_line = source.max_line
        if source.owns(reader.file):
            return
        batch = LineBatch(reader.file, reader.offset, b"", self._clock(), final=True, ends=True)
        await self._deliver(batch)
        number = self._allocate_id()
        reader.file = replace(reader.file, id=number, inode=number, resource=source.resource, last_read=self._clock())
        self._save(reader.file, Position(reader.offset))

    def _save(self, file: FileGeneration, place: Position) -> None:
        length, marker = place.marker_length, place.marker_hash
        self._changed(FileChange(file, place.offset, marker_length=length, marker_hash=marker))

    # tasks

    def _start(self, what: JournalFollower | InputReader, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda _: self._wake())
        self._tasks[what] = task

    async def _end_task(self, follower: JournalFollower) -> None:
        task = self._tasks.pop(follower)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _place(lines: JournalLines) -> Position:
    return Position(lines.offset, len(lines.cursor), lines.cursor)


def _directory(row: FileRow) -> list[str]:
    """The arguments of a journal's row that say which journal it is."""
    return [word for word in shlex.split(row.current_path) if word.startswith("--directory=")]
