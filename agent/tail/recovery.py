"""The rest of known files that were compressed (gzip, Zstandard) before they were read to their end.

A portion per file and round of the tailer, so that a large archive delays nobody: first the bytes before the position
are decompressed and only compared, then those after it are read like any other file. Offsets are those of the
decompressed bytes, and an archive is recognised by the same facts as any file: the head, the bytes before the offset.
"""

# ruff: noqa: PTH116, PTH119 - paths are str here: a pathlib object costs 20 times as much, 1,000 files a scan

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from agent.core.decompress import DamagedError, compression, pieces
from agent.core.errors import TailError
from agent.core.model import HEAD_BYTES, MARKER_BYTES, Position
from agent.tail import files, locate
from agent.tail.identity import FileKey, head_hash, marker
from agent.tail.reader import LineReader
from agent.tail.rotated_names import is_compressed_rotation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.core.model import FileGeneration, FileRow
    from agent.tail.discover import SourceSettings
    from agent.tail.harvester import Harvester
    from agent.tail.registry import Registry

_CHUNK_BYTES = 1 << 18
_STEP_BYTES = 1 << 23  # decompressed per step where nothing is delivered: some 20 ms


class DamagedArchiveError(Exception):
    """What follows cannot be decompressed: the archive is damaged or ends early."""


def candidates(file: FileGeneration) -> list[str]:
    """Paths that may be archives of `file`: beside it, named like its rotation, gzip or Zstandard by their content;
    the last modified first. Empty for a file of which not even the head is known.
    """
    if not file.head_length:
        return []
    names = locate.names_of(file)

    def look() -> list[str] | None:
        found = []
        for path, _ in locate.beside(file):
            if any(is_compressed_rotation(os.path.basename(path), name) for name in names):
                with contextlib.suppress(OSError, TailError):
                    if compression(locate.bytes_at(path, 0, 4)) in {"gzip", "zstd"}:
                        found.append(path)
        return found or None

    return locate.until_steady(locate.directories_of(file), look) or []


class CompressedLog:
    """An open archive. `position` counts the decompressed bytes that were read, `recent` are the last of them.

    Raises:
        OSError: it cannot be read.
        TailError: it may not be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.position = 0
        self.recent = b""
        fd = files.open_checked(path)
        self._file = os.fdopen(fd, "rb")
        status = os.fstat(fd)
        self.key = files.file_key(status)
        self.version = status.st_size, status.st_mtime_ns
        kind = compression(self._file.read(4))
        self._file.seek(0)
        self._pieces = pieces(self._file, kind or "zstd")
        self._rest = b""

    def read(self, most: int) -> bytes:
        """The next bytes, at most so many; none at the end.

        Raises:
            DamagedArchiveError: nothing more can be had, although the archive is not at its end.
            OSError: it cannot be read.
        """
        try:
            while not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    return b""
                self._rest = piece
        except DamagedError as error:
            raise DamagedArchiveError(str(error)) from error
        data, self._rest = self._rest[:most], self._rest[most:]
        self.position += len(data)
        self.recent = (self.recent + data[-MARKER_BYTES:])[-MARKER_BYTES:]
        return data

    def back_to_start(self, data: bytes) -> None:
        """Take back `data`, which is all that was read so far."""
        self._rest = data + self._rest
        self.position, self.recent = 0, b""

    def close(self) -> None:
        """Close the file."""
        self._pieces.close()
        self._file.close()


# ---------------------------------------------------------------- continuing files


class _Job(msgspec.Struct):
    """One file to be continued from one of the archives `paths`; the one in `archive` is being tried or read."""

    file: FileGeneration
    source: SourceSettings
    place: Position
    paths: list[str]
    archive: CompressedLog | None = None
    reader: LineReader | None = None  # there once the archive was recognised
    rivals: list[Position] = []  # of files that `archive` may be of instead; ascending
    kept: bool = False  # an archive could not be read to its end: the file is not finished


class Recovery:
    """Continues files from their archives. Used on the event loop only.

    Args:
        registry: what it tells of the files; a file that is being recovered is neither followed nor dormant.
        run: calls a blocking function in the executor.
    """

    def __init__(self, registry: Registry, run: Callable[..., Awaitable[bool]]) -> None:
        self._registry = registry
        self._run = run
        self._jobs: list[_Job] = []
        self._claimed: set[tuple[FileKey, tuple[int, int]]] = set()  # archives that belong to a file, as they are
        self._damaged: dict[str, tuple[int, int]] = {}  # path -> size and mtime: not tried again until they change

    @property
    def active(self) -> bool:
        """Whether there is something to do."""
        return bool(self._jobs)

    async def take(self, harvester: Harvester) -> None:
        """A followed file is gone, and it is not open any more, or was truncated: continue it from an archive."""
        place = Position(harvester.reader.offset, *marker(harvester.reader.before_offset))
        await self._registry.drop(harvester)
        self._registry.positions.wait_for(harvester.file.id, place.offset)
        await self.settle(harvester.file, harvester.source, place)

    async def settle(self, file: FileGeneration, source: SourceSettings, place: Position) -> None:
        """A known file is nowhere to be found: continue it from an archive, or declare it finished.

        Args:
            file: of the registry.
            source: whose it is now.
            place: up to which it was delivered.
        """
        if any(job.file.id == file.id for job in self._jobs):
            return
        paths: list[str] = []

        def look() -> bool:
            paths.extend(candidates(file))
            return bool(paths) or locate.is_gone(file)

        if not await self._run(look):
            return
        fresh = [path for path in paths if self._damaged.get(path) != _version(path)]
        if fresh:
            self._registry.dormant.discard(file.id)
            self._jobs.append(_Job(file, source, place, fresh))
        elif not paths:  # a damaged one may still be mended
            await self._registry.conclude(file, LineReader(file, source.max_line, place.offset))

    async def step(self) -> None:
        """Go on a portion with each file."""
        for job in list(self._jobs):
            try:
                if job.archive is None:
                    await self._next(job)
                elif job.rivals:
                    await self._rule_out(job, job.archive)
                elif job.reader is None:
                    await self._recognise(job, job.archive)
                else:
                    await self._read(job, job.archive, job.reader)
            except (DamagedArchiveError, TailError, OSError) as error:
                self._give_up(job, error)

    async def reload(self, source_of: Callable[[FileGeneration], SourceSettings | None]) -> None:
        """Leave the files that belong to another source now: they are found again."""
        for job in list(self._jobs):
            source = source_of(job.file)
            if source is not None and source.owns(job.file):
                job.source = source
                continue
            self._jobs.remove(job)
            if job.archive is not None:
                self._claimed.discard(_claim(job.archive))
            self._drop_archive(job)
            if job.reader is not None:
                job.reader.rewind()
                await self._registry.leave(job.file, job.reader)
            else:
                self._registry.dormant[job.file.id] = job.file

    def close(self) -> None:
        """Close the archives; what is not read yet is found again at the next start."""
        for job in self._jobs:
            if job.archive is not None:
                job.archive.close()
        self._jobs.clear()

    async def _next(self, job: _Job) -> None:
        """Open the next archive, or end without one."""
        if job.paths:
            path = job.paths.pop(0)

            known = self._others(job)

            def begin() -> bool:
                archive = CompressedLog(path)
                job.archive = archive
                head = _read_fully(archive, HEAD_BYTES)
                archive.back_to_start(head)
                job.rivals = [row.position for row in known if _begins(head, row)]
                return _begins(head, job.file)

            if not await self._run(begin) or job.archive is None or _claim(job.archive) in self._claimed:
                self._drop_archive(job)
            return
        self._jobs.remove(job)
        if job.kept:
            self._registry.dormant[job.file.id] = job.file
        else:
            await self._registry.conclude(job.file, LineReader(job.file, job.source.max_line, job.place.offset))

    def _others(self, job: _Job) -> list[FileRow]:
        """The other known files of which more was read, ascending: the one that an archive is of may be among them.

        Of a file that ended in the middle of its first line hardly more is known than how every file begins.
        """
        harvesters = [harvester.file for harvester in self._registry.harvesters.values()]
        others = [*self._registry.dormant.values(), *harvesters, *(other.file for other in self._jobs)]
        rows = [self._registry.positions.row(file) for file in others if file.id != job.file.id]
        farther = [row for row in rows if row.offset > job.place.offset and row.marker_length]
        return sorted(farther, key=lambda row: row.offset)

    async def _rule_out(self, job: _Job, archive: CompressedLog) -> None:
        """Decompress up to the place of another file that begins like this archive: is it the archive of that?"""
        place = job.rivals[0]
        if await self._run(_skip, archive, place.offset):
            if archive.position < place.offset:
                return
            if _lies_before(archive, place):
                self._drop_archive(job)
                return
            job.rivals.pop(0)
        else:
            job.rivals.clear()  # it ends before the offset, and the others are farther

        def again() -> bool:
            archive.close()
            job.archive = CompressedLog(archive.path)
            return True

        if not job.rivals:
            await self._run(again)

    async def _recognise(self, job: _Job, archive: CompressedLog) -> None:
        """Decompress up to the offset and compare what lies before it."""
        place = job.place
        if not await self._run(_skip, archive, place.offset):  # it ends before the offset
            self._drop_archive(job)
        elif archive.position == place.offset:
            if place.marker_length and not _lies_before(archive, place):
                self._drop_archive(job)
                return
            self._claimed.add(_claim(archive))
            job.file = replace(self._registry.go_on(job.file, job.source), current_path=archive.path, state="rotated")
            self._registry.dormant.discard(job.file.id)
            self._registry.save(job.file)
            job.reader = LineReader(job.file, job.source.max_line, place.offset, archive.recent)
            job.reader.modified = archive.version[1]  # compressors leave their archive the log's

    async def _read(self, job: _Job, archive: CompressedLog, reader: LineReader) -> None:
        """Deliver a chunk; at the end of the archive the file is finished."""
        chunks: list[bytes] = []

        def read() -> bool:
            chunks.append(archive.read(_CHUNK_BYTES))
            return True

        await self._run(read)
        if chunks[0]:
            for batch in reader.feed_whole(chunks[0], self._registry.clock()):
                await self._registry.deliver(batch)
            return
        archive.close()
        self._jobs.remove(job)
        self._registry.conditions.end(archive.path)  # also that it was skipped as no text (SL204)
        await self._registry.conclude(job.file, reader)

    def _drop_archive(self, job: _Job) -> None:
        if job.archive is not None:
            job.archive.close()
            job.archive = None

    def _give_up(self, job: _Job, error: Exception) -> None:
        """This archive cannot be read: say so, and keep the file unfinished in case it is mended."""
        archive = job.archive
        if isinstance(error, OSError):
            path = archive.path if archive else error.filename
            error = files.open_error(str(path), error)
        elif isinstance(error, DamagedArchiveError) and archive is not None:
            error = TailError.of("SL210", archive.path, position=archive.position, why=error)
        if archive is not None:
            self._damaged[archive.path] = archive.version
            if job.reader is not None:  # go on behind what was delivered another time, once the store has it
                offset, before = job.reader.offset, job.reader.before_offset
                self._registry.positions.wait_for(job.file.id, offset)
                self._claimed.discard(_claim(archive))
                job.place, job.reader = Position(offset, *marker(before)), None
        if isinstance(error, TailError):
            self._registry.conditions.begin(error)
        job.kept = True
        self._drop_archive(job)


def _claim(archive: CompressedLog) -> tuple[FileKey, tuple[int, int]]:
    return archive.key, archive.version


def _begins(head: bytes, file: FileGeneration) -> bool:
    """Whether content that begins with `head` can be that of a known file."""
    begin = head[: file.head_length]
    return len(begin) == file.head_length > 0 and head_hash(begin) == file.head_hash


def _skip(archive: CompressedLog, offset: int) -> bool:
    """Decompress a portion on the way to `offset`; False where the archive ends before it."""
    limit = archive.position + _STEP_BYTES
    while archive.position < min(offset, limit):
        if not archive.read(min(_CHUNK_BYTES, offset - archive.position)):
            return False
    return True


def _lies_before(archive: CompressedLog, place: Position) -> bool:
    """Whether the archive, read up to the place, holds the bytes before it."""
    before = archive.recent[-place.marker_length :] if place.marker_length else b""
    return marker(before) == (place.marker_length, place.marker_hash)


def _read_fully(archive: CompressedLog, size: int) -> bytes:
    data = b""
    while len(data) < size and (part := archive.read(size - len(data))):
        data += part
    return data


def _version(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
