"""The process that makes archives: one order after the other from standard input, answers to standard output.

It is of the lowest priority, and what it does never holds up the reading of logs. The steps, so that a crash between
any two leaves no loss and no double: write under a temporary name, flush to the disk, read it back and compare it with
the log, give it its name, flush the directory. The rest is the archiver's: store the index durably, delete the log.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import msgspec

from agent.archive import directory, files
from agent.archive.container import ArchiveMetadata, ArchiveReader, ArchiveWriter
from agent.archive.frames import FrameSplitter
from agent.archive.logfile import LogFile, has_writer
from agent.archive.protocol import (
    ArchiveFailed,
    ArchiveOrder,
    ArchiveProgress,
    ArchiveWritten,
    FilterFile,
    decode_order,
    receive,
    send,
)
from agent.core.errors import ArchiveError
from agent.core.fields import Profile
from agent.core.model import MARKER_BYTES
from agent.core.process import die_with_owner, keep_freed_memory, lower_priority
from agent.core.text import to_text
from agent.parse.settings import ParseSettings
from agent.tail.identity import marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.archive.protocol import StoredGeneration
    from agent.store.archives import ChainEntry, EarlierArchive, FrameRow

_PROGRESS_BYTES = 8 << 20


class _ChangedError(Exception):
    """The log is not what it was when it was found, or somebody writes it."""


class _Written(NamedTuple):
    """What is in the file under its temporary name."""

    metadata: ArchiveMetadata
    link: str
    frames: list[FrameRow]
    digests: list[int]


def archive(
    order: ArchiveOrder, progress: Callable[[int], None] = lambda _: None, filters: FilterFile | None = None
) -> ArchiveWritten | ArchiveFailed:
    """Make one archive.

    Args:
        order: what of.
        progress: called with the bytes of the log file that were read so far.
        filters: where the filters of the frames are left; None: in the answer.

    Returns:
        What was made. After a failure nothing is left of it, and the log is as it was.
    """
    path = os.fsdecode(order.job.path)
    try:
        with LogFile(path) as log:
            return _archive(order, log, progress, filters)
    except _ChangedError:
        return ArchiveFailed(changed=True)
    except ArchiveError as error:
        return ArchiveFailed.by(error)
    except Exception as error:  # noqa: BLE001 - a fault of ours, or no memory, with one log must not stop the others
        return ArchiveFailed.by(ArchiveError.of("SL806", path, code=f"{type(error).__name__}: {error}"))


def _archive(
    order: ArchiveOrder, log: LogFile, progress: Callable[[int], None], filters: FilterFile | None
) -> ArchiveWritten:
    job = order.job
    if log.version != job.version or has_writer(log.fd):
        raise _ChangedError
    folder = Path(os.fsdecode(order.directory)) / directory.safe_name(job.source)
    partial = folder / f".{order.archive_id}-{os.getpid()}{files.PARTIAL_SUFFIX}"
    try:
        files.make_directory(folder)
        with files.partial_file(partial) as file:
            if filters is not None:
                filters.clear()
            written = _write(order, log, file, progress, filters)
        try:
            return _finish(order, log, partial, written)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ArchiveError.of("SL804", partial, why=error) from None


def _write(
    order: ArchiveOrder, log: LogFile, file: BinaryIO, progress: Callable[[int], None], filters: FilterFile | None
) -> _Written:
    job = order.job
    matcher, beginnings = GenerationMatcher(job.followed, job.candidates), PrefixMatcher(order.earlier)
    profile = matcher.profile
    splitter = FrameSplitter(
        ParseSettings.from_document(job.settings),
        Profile.from_json(profile) if profile else None,
        log.status.st_mtime_ns,
    )
    writer = ArchiveWriter(file, order.level)
    frames = []
    for number, piece in enumerate(splitter.split(_read(log, (matcher, beginnings), progress))):
        frame = piece.row(number, writer.add(piece.data, piece.lines))
        if filters is not None:
            filters.take(frame)
        frames.append(frame)
    if matcher.undecided or not log.unchanged() or has_writer(log.fd):
        raise _ChangedError
    metadata = ArchiveMetadata(
        id=order.archive_id,
        source=job.source,
        path=to_text(os.fsdecode(job.log_path)),
        file_id=matcher.file_id(),
        sequence=order.sequence,
        previous=order.previous,
        created=order.created,
        modified=log.status.st_mtime_ns,
        lines=writer.all_lines,
        raw_bytes=writer.raw_bytes,
        sha256=writer.sha256,
        resource=job.resource,
        profile=splitter.profile.to_json() if splitter.profile else None,
        settings=job.settings,
        replaces=beginnings.outgrown(matcher.file_id()),
    )
    return _Written(metadata, writer.finish(metadata), frames, writer.digests)


def _read(
    log: LogFile, matchers: tuple[GenerationMatcher, PrefixMatcher], progress: Callable[[int], None]
) -> Iterator[bytes]:
    due = 0
    for data in log.contents():
        for matcher in matchers:
            matcher.see(data)
        yield data
        done = os.lseek(log.fd, 0, os.SEEK_CUR)
        if done >= due:
            progress(done)
            due = done + _PROGRESS_BYTES


def _finish(order: ArchiveOrder, log: LogFile, partial: Path, written: _Written) -> ArchiveWritten:
    """Read the archive back, compare it, give it its name."""
    metadata, link, frames, digests = written
    try:
        with ArchiveReader(partial) as archive:
            archive.drop_cache()
            archive.compare(digests)
            same = archive.link == link
    except ArchiveError:
        same = False
    if not same:
        raise ArchiveError.of("SL804.differs", partial)
    files.restrict(partial, log.status)
    size = partial.stat().st_size
    made = ArchiveWritten(path=b"", size=size, link=link, metadata=metadata, frames=frames)
    log_path = os.fsdecode(order.job.log_path)
    folder = Path(os.fsdecode(order.directory))
    wanted = directory.archive_path(folder, metadata.source, log_path, made.first_timestamp, order.archive_id)
    return msgspec.structs.replace(made, path=os.fsencode(_name(partial, wanted, metadata)))


def _name(partial: Path, wanted: Path, metadata: ArchiveMetadata) -> Path:
    """Give the archive its name. One that lies there already was named just before a crash if it has the same content,
    or the beginning of it: then this one takes its place. Any other keeps its name.
    """
    number, final = 1, wanted
    while True:
        try:
            files.give_name(partial, final)
        except FileExistsError:
            if _begins_with(partial, final, metadata):
                final.unlink()
                continue
            number += 1
            base = wanted.name.removesuffix(directory.ARCHIVE_SUFFIX)
            final = wanted.with_name(f"{base}-{number}{directory.ARCHIVE_SUFFIX}")
        else:
            return final


def _begins_with(partial: Path, path: Path, metadata: ArchiveMetadata) -> bool:
    """Whether a new archive begins with the content of one that has its number, and so is of the same log."""
    try:
        with ArchiveReader(path) as there, ArchiveReader(partial) as written:
            said = there.metadata
            if said.id != metadata.id or said.raw_bytes > metadata.raw_bytes:
                return False
            found, left = hashlib.sha256(), said.raw_bytes
            for data in written.contents():
                found.update(data[:left])
                left -= len(data)
                if left <= 0:
                    break
            return found.hexdigest() == said.sha256
    except ArchiveError:
        return False


def main() -> None:
    """Answer orders until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the archiver decides
    die_with_owner()  # what is unfinished is made again, by another worker
    lower_priority()
    keep_freed_memory()
    source, target = sys.stdin.buffer, sys.stdout.buffer
    file = os.fdopen(int(sys.argv[1]), "r+b", buffering=0)
    with file, contextlib.suppress(BrokenPipeError):  # the archiver is gone
        while (message := receive(source)) is not None:
            order = decode_order(message)
            filters = FilterFile(Path(os.fsdecode(order.directory)), file)
            send(target, archive(order, lambda done: send(target, ArchiveProgress(done)), filters))


# ---------------------------------------------------------------- which generation a log is


class GenerationMatcher:
    """Sees a log's bytes go by.

    Args:
        followed: the generation that it is for sure; None where only its bytes can tell.
        candidates: those that it may be: they begin alike.
    """

    def __init__(self, followed: StoredGeneration | None, candidates: tuple[StoredGeneration, ...]) -> None:
        self._followed = followed
        self._waiting = sorted(candidates, key=lambda one: one.offset)
        self._found: StoredGeneration | None = None
        self._partly = False  # it goes on behind what is stored of a file that is still being read
        self._position = 0
        self._recent = b""

    @property
    def profile(self) -> str | None:
        """Where the fields of its lines are, if that is known before the log is read."""
        profiles = {place.profile for place in (*filter(None, [self._followed]), *self._waiting)}
        return profiles.pop() if len(profiles) == 1 else None

    def see(self, data: bytes) -> None:
        """The next bytes."""
        end = self._position + len(data)
        while self._waiting and self._waiting[0].offset <= end:
            place = self._waiting.pop(0)
            known = place.offset - self._position
            before = (self._recent + data[:known])[-place.marker_length :] if place.marker_length else b""
            if marker(before) == (place.marker_length, place.marker_hash):
                self._found = place
                self._partly = not place.finished
        self._recent = (self._recent + data[-MARKER_BYTES:])[-MARKER_BYTES:]
        self._position = end

    @property
    def undecided(self) -> bool:
        """Whether, now that all was seen, this may be a file that is still being read, and not all of it is stored."""
        if self._partly and self._found is not None and self._found.offset != self._position:
            return True
        return any(not place.finished for place in self._waiting)

    def file_id(self) -> int | None:
        """The generation's id, once all was seen; None for a log that was never followed."""
        place = self._followed or self._found
        return None if place is None else place.file_id


class PrefixMatcher:
    """Sees a log's bytes go by, and which archives they begin like.

    Args:
        earlier: the archives.
    """

    def __init__(self, earlier: tuple[EarlierArchive, ...]) -> None:
        self._waiting = sorted(earlier, key=lambda one: one.raw_bytes)
        self._found: list[EarlierArchive] = []
        self._hash = hashlib.sha256()
        self._position = 0

    def see(self, data: bytes) -> None:
        """The next bytes; they are hashed as far as an archive may go."""
        start = 0
        while self._waiting and (end := self._waiting[0].raw_bytes - self._position) <= len(data):
            self._hash.update(data[start:end])
            start = end
            one = self._waiting.pop(0)
            if self._hash.hexdigest() == one.sha256:
                self._found.append(one)
        if self._waiting:
            self._hash.update(data[start:])
        self._position += len(data)

    def outgrown(self, file_id: int | None) -> tuple[ChainEntry, ...]:
        """The archives that this log has outgrown, once all was seen.

        Args:
            file_id: of the generation that it is; an archive of another one is another log's.
        """
        found = [one for one in self._found if one.raw_bytes < self._position and one.file_id in (None, file_id)]
        return tuple(entry for one in found for entry in one.entries)


if __name__ == "__main__":
    main()
