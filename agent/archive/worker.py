"""The process that makes archives: one order after the other from standard input, answers to standard output.

It is of the lowest priority, and what it does never holds up the reading of logs. The steps, so that a crash between
any two leaves no loss and no double: write under a temporary name, flush to the disk, read it back and compare it with
the log, give it its name, flush the directory. The rest is the keeper's: store the index durably, delete the log.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import platform
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from agent.archive import place
from agent.archive.container import ArchiveReader, ArchiveWriter, Metadata
from agent.archive.cutter import Cutter
from agent.archive.errors import ArchiveError, not_as_written, unwritable, worker_ended
from agent.archive.identify import Beginnings, Matcher
from agent.archive.job import Done, Failed, Order, Progress, decode_order, receive, send
from agent.archive.process import keep_freed_memory
from agent.archive.source import Log, has_writer
from agent.archive.spool import Spool
from agent.core.fields import Profile
from agent.core.paths import to_text
from agent.parse.settings import ParseSettings
from agent.store.archives import FrameRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PROGRESS_BYTES = 8 << 20
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}  # system call numbers of ioprio_set(2)
_IDLE_CLASS = 3 << 13
_PR_SET_PDEATHSIG = 1  # prctl(2)


class _ChangedError(Exception):
    """The log is not what it was when it was found, or somebody writes it."""


class _Written(NamedTuple):
    """What is in the file under its temporary name."""

    metadata: Metadata
    link: str
    frames: list[FrameRow]
    digests: list[int]


def archive(
    order: Order, progress: Callable[[int], None] = lambda _: None, spool: Spool | None = None
) -> Done | Failed:
    """Make one archive.

    Args:
        order: what of.
        progress: called with the bytes of the log file that were read so far.
        spool: where the filters of the frames are left; None: in the answer.

    Returns:
        What was made. After a failure nothing is left of it, and the log is as it was.
    """
    path = os.fsdecode(order.job.path)
    try:
        with Log(path) as log:
            return _archive(order, log, progress, spool)
    except _ChangedError:
        return Failed(changed=True)
    except ArchiveError as error:
        return Failed(code=error.code, subject=error.subject, message=error.message, hint=error.hint)
    except Exception as error:  # noqa: BLE001 - a fault of ours, or no memory, with one log must not stop the others
        ended = worker_ended(path, f"{type(error).__name__}: {error}")
        return Failed(code=ended.code, subject=path, message=ended.message, hint=ended.hint)


def _archive(order: Order, log: Log, progress: Callable[[int], None], spool: Spool | None) -> Done:
    job = order.job
    if log.version != job.version or has_writer(log.fd):
        raise _ChangedError
    folder = Path(os.fsdecode(order.directory)) / place.safe_name(job.source)
    partial = folder / f".{order.archive_id}-{os.getpid()}{place.PARTIAL_SUFFIX}"
    try:
        place.make_directory(folder)
        with place.partial_file(partial) as file:
            if spool is not None:
                spool.clear()
            written = _write(order, log, file, progress, spool)
        try:
            return _finish(order, log, partial, written)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise unwritable(partial, error) from None


def _write(order: Order, log: Log, file: BinaryIO, progress: Callable[[int], None], spool: Spool | None) -> _Written:
    job = order.job
    matcher, beginnings = Matcher(job.followed, job.candidates), Beginnings(order.earlier)
    profile = matcher.profile
    cutter = Cutter(
        ParseSettings.from_document(job.settings),
        Profile.from_json(profile) if profile else None,
        log.status.st_mtime_ns,
    )
    writer = ArchiveWriter(file, order.level)
    frames = []
    for number, piece in enumerate(cutter.cut(_read(log, (matcher, beginnings), progress))):
        frame = FrameRow(*(number, *writer.add(piece.data, piece.lines), *piece.facts()))
        if spool is not None:
            frame.spooled, frame.blocks = spool.put(frame.blocks), b""
        frames.append(frame)
    if matcher.undecided or not log.unchanged() or has_writer(log.fd):
        raise _ChangedError
    metadata = Metadata(
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
        profile=cutter.profile.to_json() if cutter.profile else None,
        settings=job.settings,
        replaces=beginnings.outgrown(matcher.file_id()),
    )
    return _Written(metadata, writer.finish(metadata), frames, writer.digests)


def _read(log: Log, witnesses: tuple[Matcher, Beginnings], progress: Callable[[int], None]) -> Iterator[bytes]:
    due = 0
    for data in log.contents():
        for witness in witnesses:
            witness.see(data)
        yield data
        done = os.lseek(log.fd, 0, os.SEEK_CUR)
        if done >= due:
            progress(done)
            due = done + _PROGRESS_BYTES


def _finish(order: Order, log: Log, partial: Path, written: _Written) -> Done:
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
        raise not_as_written(partial)
    place.restrict(partial, log.status)
    first = min((frame.min_timestamp for frame in frames if frame.min_timestamp is not None), default=None)
    folder = Path(os.fsdecode(order.directory))
    final = place.archive_path(folder, metadata.source, os.fsdecode(order.job.log_path), first, order.archive_id)
    final = _name(partial, final, metadata)
    size = final.stat().st_size
    return Done(path=os.fsencode(final), size=size, link=link, metadata=metadata, frames=frames)


def _name(partial: Path, final: Path, metadata: Metadata) -> Path:
    """Give the archive its name. One that lies there already was named just before a crash if it has the same content,
    or the beginning of it: then this one takes its place. Any other keeps its name.
    """
    number = 1
    wanted = final
    while True:
        try:
            place.give_name(partial, final)
        except FileExistsError:
            if _begins_with(partial, final, metadata):
                final.unlink()
                continue
            number += 1
            base = wanted.name.removesuffix(place.ARCHIVE_SUFFIX)
            final = wanted.with_name(f"{base}-{number}{place.ARCHIVE_SUFFIX}")
        else:
            return final


def _begins_with(partial: Path, path: Path, metadata: Metadata) -> bool:
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


def die_with_owner() -> None:
    """End at once when the keeper does: what is unfinished is made again, by another worker."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def lower_priority() -> None:
    """Give way to everything else: processor and disk."""
    try:
        os.nice(19)
        number = _IOPRIO_SET.get(platform.machine()) if sys.platform == "linux" else None
        if number is not None:
            ctypes.CDLL(None, use_errno=True).syscall(number, 1, 0, _IDLE_CLASS)  # 1: a process, 0: this one
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES):
            raise


def main() -> None:
    """Answer orders until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the keeper decides
    die_with_owner()
    lower_priority()
    keep_freed_memory()
    source, target = sys.stdin.buffer, sys.stdout.buffer
    file = os.fdopen(int(sys.argv[1]), "r+b", buffering=0)
    with file, contextlib.suppress(BrokenPipeError):  # the keeper is gone
        while (message := receive(source)) is not None:
            order = decode_order(message)
            spool = Spool(Path(os.fsdecode(order.directory)), file)
            send(target, archive(order, lambda done: send(target, Progress(done)), spool))


if __name__ == "__main__":
    main()
