"""Which file is this: inode generation, a hash of the head, and a hash of the bytes before the offset.

Device and inode alone do not name a file: ext4 gives the inode of a deleted file to the next one created. Three more
facts do. The inode's generation number (FS_IOC_GETVERSION, ioctl_iflags(2)) changes at every reuse, where a file
system has one. The head hash tells two files apart as soon as their first KiB differs. The marker, a hash of the at
most 256 bytes before the read offset, notices what both miss: truncated and regrown past the offset, or rewritten in
place.
"""

from __future__ import annotations

import enum
import fcntl
import os
import struct
import sys
from hashlib import blake2b
from typing import NamedTuple

from agent.core.model import HEAD_BYTES, MARKER_BYTES, FileRow, LineBatch

# _IOR('v', 1, long) of linux/fs.h: direction 2 (read), size of a long, type 'v', number 1
_FS_IOC_GETVERSION = (2 << 30) | (struct.calcsize("l") << 16) | (ord("v") << 8) | 1


class FileKey(NamedTuple):
    """Names a file as long as it exists."""

    device: int
    inode: int


class Match(enum.Enum):
    """What a file on disk is to the one that was read before."""

    SAME = "same"
    SHORTENED = "shortened"  # the same head, but it ends before the offset
    BLANKED = "blanked"  # the same head, but there are NULs before the offset where something was read
    DIFFERENT = "different"


def marker(before: bytes) -> tuple[int, bytes]:
    """Length and blake2b-8 of the last at most MARKER_BYTES bytes of `before`, which ends at the offset."""
    tail = before[-MARKER_BYTES:]
    return len(tail), blake2b(tail, digest_size=8).digest()


def marker_at(batch: LineBatch, offset: int) -> tuple[int, bytes] | None:
    """Length and hash of the bytes directly before an offset; None where this batch of lines does not hold them."""
    known = offset - batch.offset
    if known < 0:
        return None
    if known > len(batch.data):  # behind a gap, whose bytes were not kept
        return marker(b"")
    return marker(batch.before + batch.data[:known])


def head_hash(data: bytes) -> bytes:
    """The blake2b-8 of the first at most HEAD_BYTES bytes of a file."""
    return blake2b(data[:HEAD_BYTES], digest_size=8).digest()


def generation(fd: int) -> int:
    """The inode's generation number; 0 where the file system has none (tmpfs, network file systems, not Linux)."""
    if sys.platform != "linux":
        return 0
    try:
        answer = fcntl.ioctl(fd, _FS_IOC_GETVERSION, bytes(struct.calcsize("l")))
    except OSError:
        return 0
    return int.from_bytes(answer[:4], sys.byteorder)


def same_generation(one: int, other: int) -> bool:
    """Whether two generation numbers can belong to one file; 0 is unknown and fits any."""
    return one == other or not one or not other


def compare(fd: int, file: FileRow) -> Match:
    """Whether the content behind `fd` continues what was read of `file` (generation, head and marker).

    Raises:
        OSError: the file cannot be read.
    """
    if not same_generation(file.generation, generation(fd)):
        return Match.DIFFERENT
    head = os.pread(fd, file.head_length, 0)
    if len(head) < file.head_length or (head and head_hash(head) != file.head_hash):
        return Match.DIFFERENT
    if os.fstat(fd).st_size < file.offset:
        return Match.SHORTENED if head else Match.DIFFERENT
    before = os.pread(fd, file.marker_length, file.offset - file.marker_length)
    if before and marker(before)[1] != file.marker_hash:
        return Match.BLANKED if head and before.endswith(b"\0") else Match.DIFFERENT
    return Match.SAME
