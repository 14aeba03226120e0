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
from agent.archive.container import ArchiveReader, ArchiveWriter
from agent.archive.frames import FrameSplitter
from agent.archive.logfile import LogFile, has_writer
from agent.archive.matchers import GenerationMatcher, PrefixMatcher
from agent.archive.metadata import REDACTED_VERSION, ArchiveMetadata
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
from agent.core.process import die_with_owner, keep_freed_memory, lower_priority
from agent.core.text import to_text
from agent.parse.logredactor import LogRedactor
from agent.parse.settings import ParseSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.archive.container import FrameLocation
    from agent.archive.frames import IndexedFrame
    from agent.archive.protocol import ArchiveJob, StoredGeneration
    from agent.store.archives import FrameRow

_PROGRESS_BYTES = 8 << 20


class _ChangedError(Exception):
    """The log is not what it was when it was found, or somebody writes it."""


class _Written(NamedTuple):
    """What is in the file under its temporary name."""

    metadata: ArchiveMetadata
    link: str
    frames: list[FrameRow]
    digests: list[int]
    contents: list[str]


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
        files.share_made(folder, order.gid)
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
    settings = ParseSettings.from_document(job.settings)
    matcher = GenerationMatcher(job.followed, job.candidates)
    beginnings = PrefixMatcher(order.earlier, order.ways, settings)
    redactor = LogRedactor(settings) if settings.redact else None
    profile = job.rewritten.profile if job.rewritten is not None else matcher.profile
    splitter = FrameSplitter(
        msgspec.structs.replace(settings, redact=()),  # what there was to redact is redacted then
        Profile.from_json(profile) if profile else None,
        _modified(job, log),
        read_by=order.created,
        in_log=None if redactor is None else redactor.in_log,
    )
    writer = ArchiveWriter(file, order.level)
    frames = []
    for number, piece in enumerate(splitter.split(_content(job, log, (matcher, beginnings), redactor, progress))):
        frame = piece.row(number, _add(writer, piece, redactor))
        if filters is not None:
            filters.take(frame)
        frames.append(frame)
    if matcher.undecided or not log.unchanged() or has_writer(log.fd):
        raise _ChangedError
    generation = matcher.generation()
    metadata = ArchiveMetadata(
        id=order.archive_id,
        source=job.source,
        path=to_text(os.fsdecode(job.log_path)),
        file_id=None if generation is None else generation.file_id,
        sequence=order.sequence,
        previous=order.previous,
        created=order.created,
        modified=_modified(job, log),
        lines=writer.all_lines,
        raw_bytes=writer.raw_bytes,
        sha256=writer.sha256,
        resource=job.resource,
        profile=splitter.profile.to_json() if splitter.profile else None,
        settings=job.settings,
        replaces=job.rewritten.entries if job.rewritten is not None else beginnings.outgrown(generation),
    )
    if redactor is not None:
        metadata = _of_redacted(metadata, settings, writer, generation)
    return _Written(metadata, writer.finish(metadata), frames, writer.digests, beginnings.contents())


def _modified(job: ArchiveJob, log: LogFile) -> int:
    """When the log was last written, Unix ns."""
    return log.status.st_mtime_ns if job.rewritten is None else job.rewritten.modified


def _of_redacted(
    metadata: ArchiveMetadata, settings: ParseSettings, writer: ArchiveWriter, generation: StoredGeneration | None
) -> ArchiveMetadata:
    return msgspec.structs.replace(
        metadata,
        version=REDACTED_VERSION,
        settings={name: value for name, value in metadata.settings.items() if name != "redact"},
        redacted=tuple(settings.redact),
        log_bytes=writer.raw_bytes + writer.shift,
        positions=writer.positions_sha256,
        first_seen=None if generation is None else generation.first_seen,
    )


def _content(
    job: ArchiveJob,
    log: LogFile,
    matchers: tuple[GenerationMatcher, PrefixMatcher],
    redactor: LogRedactor | None,
    progress: Callable[[int], None],
) -> Iterator[bytes]:
    """What is to be archived: the log, redacted if so, or that of another archive."""
    if redactor is None:
        yield from _read(log, matchers, progress)
        return
    if job.rewritten is None:
        for data in _read(log, matchers, progress):
            yield redactor.feed(data)
    else:
        yield from _read_archive(Path(log.path), redactor, progress)
    yield redactor.finish()


def _read_archive(path: Path, redactor: LogRedactor, progress: Callable[[int], None]) -> Iterator[bytes]:
    """The log of an archive, redacted, perhaps once more."""
    with ArchiveReader(path) as archive:
        redactor.again = archive.metadata.version == REDACTED_VERSION
        for number, data in enumerate(archive.verified()):
            start, before = 0, 0
            for end, shift in zip(*archive.positions(number), strict=True):
                yield redactor.feed(data[start:end])
                redactor.lengthen(shift - before)
                start, before = end, shift
            yield redactor.feed(data[start:])
            progress(archive.frames[number].offset)


def _add(writer: ArchiveWriter, piece: IndexedFrame, redactor: LogRedactor | None) -> FrameLocation:
    """Write a frame; where it is, and where its content is in the log."""
    before = writer.shift
    location = writer.add(piece.data, piece.lines)
    if redactor is None:
        return location
    positions = redactor.positions(location.raw_offset, location.raw_bytes)
    writer.add_positions(positions)
    start, size = location.raw_offset + before, location.raw_bytes + positions.shift
    return location._replace(raw_offset=start, raw_bytes=size)


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
    metadata, link, frames, digests, contents = written
    try:
        with ArchiveReader(partial) as archive:
            archive.drop_cache()
            archive.compare(digests)
            same = archive.link == link
    except ArchiveError:
        same = False
    if not same:
        raise ArchiveError.of("SL804.differs", partial)
    files.restrict(partial, log.status, metadata.modified)
    files.share_made(partial, order.gid)
    size = partial.stat().st_size
    made = ArchiveWritten(path=b"", size=size, link=link, metadata=metadata, frames=frames, contents=contents)
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


if __name__ == "__main__":
    main()
