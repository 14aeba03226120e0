"""What two processes say to each other, the archiver and its worker: orders, answers, and a file for what is large."""

from __future__ import annotations

import os
import struct
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, Self

import msgspec

from agent.archive.metadata import REDACTED_VERSION, ArchiveMetadata
from agent.core.errors import ArchiveError
from agent.core.text import from_text
from agent.store.archive_redaction import settings_of
from agent.store.archives import ArchiveRow, ChainEntry, EarlierArchive, FileVersion, FrameRow

if TYPE_CHECKING:
    from pathlib import Path


class StoredGeneration(msgspec.Struct, frozen=True):
    """A file generation that a log may be: everything before `offset` is stored, and these are its last bytes."""

    file_id: int
    offset: int
    marker_length: int
    marker_hash: bytes
    profile: str | None = None
    finished: bool = True  # nothing more is to be read of it
    first_seen: int | None = None  # Unix ns


class RewrittenArchive(msgspec.Struct, frozen=True, kw_only=True):
    """An archive in whose place another one is to come, of the same log, redacted."""

    entries: tuple[ChainEntry, ...]  # its own, and those of archives that it has replaced
    modified: int  # Unix ns: when the log was last written
    profile: str | None = None


class ArchiveJob(msgspec.Struct, frozen=True, kw_only=True):
    """One log to be archived. Paths are as `os` gives them (surrogateescape)."""

    source: str
    path: bytes  # where it lies
    log_path: bytes  # under which it was followed, or would have been
    version: FileVersion  # as it was seen; changed since, it is left for later
    followed: StoredGeneration | None = None  # the log is this generation, by its inode
    candidates: tuple[StoredGeneration, ...] = ()  # else it may be one of these, by its head
    settings: dict[str, Any] = {}
    resource: str = "{}"
    rewritten: RewrittenArchive | None = None  # the log is in this archive, which lies at `path`


class ArchiveOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A job with what the archive is to be."""

    job: ArchiveJob
    directory: bytes
    archive_id: int
    sequence: int
    previous: str
    level: int
    created: int  # Unix ns
    earlier: tuple[EarlierArchive, ...] = ()
    ways: tuple[tuple[str, ...], ...] = ()  # the keys that archives of the source are redacted by, each once
    gid: int | None = None  # a group that may read the archive, beside whoever could read its log


class ArchiveProgress(msgspec.Struct, frozen=True, tag="progress"):
    """So many bytes of the log file (as it lies on the disk) were read."""

    bytes: int


class ArchiveWritten(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    """The archive is written, verified and named; and durable."""

    path: bytes
    size: int
    link: str
    metadata: ArchiveMetadata
    frames: list[FrameRow]
    contents: list[str] = []  # hashes of the same log as it would be in other archives of its source

    @property
    def first_timestamp(self) -> int | None:
        """Of its first event, Unix ns; None where it has none."""
        return min((one.min_timestamp for one in self.frames if one.min_timestamp is not None), default=None)

    def row(self) -> ArchiveRow:
        """What the store is to know of it."""
        said, frames = self.metadata, self.frames
        return ArchiveRow(
            id=said.id,
            file_id=said.file_id,
            source=said.source,
            path=os.fsdecode(self.path),
            log_path=from_text(said.path),
            bytes=self.size,
            raw_bytes=said.log_bytes if said.version == REDACTED_VERSION else said.raw_bytes,
            lines=said.lines,
            events=sum(frame.events for frame in frames),
            min_timestamp=self.first_timestamp,
            max_timestamp=max((one.max_timestamp for one in frames if one.max_timestamp is not None), default=None),
            created=said.created,
            modified=said.modified,
            sha256=said.sha256,
            sequence=said.sequence,
            previous=said.previous,
            link=self.link,
            resource=said.resource,
            profile=said.profile,
            settings=settings_of(said.settings, said.redacted if said.version == REDACTED_VERSION else None),
            frames=frames,
            replaces=said.replaces,
        )


class ArchiveFailed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """It is not, and nothing of it is left. `changed`: the log is still being written, and no error."""

    changed: bool = False
    code: str = ""
    subject: str = ""
    message: str = ""
    hint: str = ""

    @staticmethod
    def by(error: ArchiveError) -> ArchiveFailed:
        """Because of this."""
        return ArchiveFailed(code=error.code, subject=error.subject, message=error.message, hint=error.hint)

    def error(self) -> ArchiveError:
        """Why."""
        return ArchiveError(self.code, "archive a log", self.subject, self.message, hint=self.hint)


Answer = ArchiveProgress | ArchiveWritten | ArchiveFailed

encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(ArchiveOrder).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode
_LENGTH = struct.Struct("<I")
_MOST_BYTES = 1 << 30  # of a message


def send(stream: IO[bytes], message: ArchiveOrder | Answer) -> None:
    """Write one message.

    Raises:
        OSError: the other side is gone.
    """
    data = encode(message)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes | None:
    """The next message; None at the end, also in the middle of one."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(head)
    data = stream.read(size) if size <= _MOST_BYTES else b""
    return data if len(data) == size else None


# ---------------------------------------------------------------- filters


class FilterFile:
    """A file without a name in which the filters of frames wait until they are stored: they are 1.3 % of all logs, and
    may be more than there is memory. One process fills it, and another one may read it.

    Args:
        directory: on whose disk it lies.
        file: binary, unbuffered, to be read and written.

    Raises:
        ArchiveError: SL804, also by its methods: there is no room, or the disk fails.
    """

    def __init__(self, directory: Path, file: IO[bytes]) -> None:
        self._directory = directory
        self._file = file
        self._end = 0

    @classmethod
    def on_disk_of(cls, directory: Path) -> FilterFile:
        """A new one."""
        try:
            return cls(directory, TemporaryFile(buffering=0, dir=directory))
        except OSError as error:
            raise ArchiveError.of("SL804", directory, why=error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the room back."""
        self._file.close()

    @property
    def fd(self) -> int:
        """For another process."""
        return self._file.fileno()

    def clear(self) -> None:
        """Begin anew: nobody needs what is in it any more."""
        os.ftruncate(self.fd, 0)
        self._end = 0

    def take(self, frame: FrameRow) -> None:
        """Take the filter out of a frame's row, which says from now on where it waits."""
        frame.spooled, frame.blocks = self.put(frame.blocks), b""

    def put(self, data: bytes) -> tuple[int, int]:
        """Add something; gives its offset and size in bytes."""
        found, view = (self._end, len(data)), memoryview(data)
        try:
            while view:
                written = os.pwrite(self.fd, view, self._end)
                self._end += written
                view = view[written:]
        except OSError as error:
            raise ArchiveError.of("SL804", self._directory, why=error) from None
        return found

    def blocks(self, frame: FrameRow) -> bytes:
        """The filter of a frame, whichever process has taken it."""
        return self.get(frame.spooled)

    def get(self, where: tuple[int, int]) -> bytes:
        """What was put at this offset, with its size."""
        offset, size = where
        try:
            data = os.pread(self.fd, size, offset)
        except OSError as error:
            raise ArchiveError.of("SL804", self._directory, why=error) from None
        assert len(data) == size, "one process fills the file, and the other one reads what it has been told of"
        return data
