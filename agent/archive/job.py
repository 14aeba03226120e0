"""What is asked of the worker, and what it answers: the messages between two processes."""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING, Any

import msgspec

from agent.archive.container import Metadata, Replaced
from agent.archive.source import Version  # noqa: TC001
from agent.store.archives import FrameRow  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.store.archives import Outgrown


class Place(msgspec.Struct, frozen=True):
    """A file generation that a log may be: everything before `offset` is stored, and these are its last bytes."""

    file_id: int
    offset: int
    marker_length: int
    marker_hash: bytes
    profile: str | None = None
    finished: bool = True  # nothing more is to be read of it


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """An archive of what may be the same log before it grew; `places` has its own and those that it has replaced."""

    file_id: int | None
    raw_bytes: int
    sha256: str
    places: tuple[Replaced, ...]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One log to be archived. Paths are as `os` gives them (surrogateescape)."""

    source: str
    path: bytes  # where it lies
    log_path: bytes  # under which it was followed, or would have been
    version: Version  # as it was seen; changed since, it is left for later
    followed: Place | None = None  # the log is this generation, by its inode
    candidates: tuple[Place, ...] = ()  # else it may be one of these, by its head
    settings: dict[str, Any] = {}
    resource: str = "{}"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A job with what the archive is to be."""

    job: Job
    directory: bytes
    archive_id: int
    sequence: int
    previous: str
    level: int
    created: int  # Unix ns
    earlier: tuple[Earlier, ...] = ()


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """So many bytes of the log file (as it lies on the disk) were read."""

    bytes: int


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    """The archive is written, verified and named; and durable."""

    path: bytes
    size: int
    link: str
    metadata: Metadata
    frames: list[FrameRow]


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """It is not, and nothing of it is left. `changed`: the log is still being written, and no error."""

    changed: bool = False
    code: str = ""
    subject: str = ""
    message: str = ""
    hint: str = ""


Answer = Progress | Done | Failed

encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode
_LENGTH = struct.Struct("<I")
_MOST_BYTES = 1 << 30  # of a message


def send(stream: IO[bytes], message: Order | Answer) -> None:
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


def earlier_of(job: Job, outgrown: Iterable[Outgrown]) -> Iterator[Earlier]:
    """The archives that may be of a log before it grew: by its inode; or, for it may have been copied or compressed
    since, by events that say when they happened: without such, another log may begin the same by chance.
    """
    for one in outgrown:
        if one.timed or (one.device, one.inode) == job.version[:2]:
            places = tuple(Replaced(*place) for place in one.places)
            yield Earlier(file_id=one.file_id, raw_bytes=one.raw_bytes, sha256=one.sha256, places=places)
