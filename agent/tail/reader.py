"""From chunks of bytes to batches of whole lines. No I/O, no clock, no per-line work: only searches for newlines.

The only loop over parts of a chunk jumps `max_line` bytes at a time, so that a line's fate does not depend on where
chunks happen to end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.core.holes import split_holes
from agent.core.model import MARKER_BYTES, FileGeneration, Gap, LineBatch

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE_BYTES = 1024  # of an over-long line, kept in its gap


def over_long(data: bytes, max_line: int) -> Iterator[tuple[int, int]]:
    """Where in whole lines those lie that are longer than `max_line` bytes without their newline: beginning and end."""
    place = 0
    while len(data) - place > max_line + 1:
        newline = data.rfind(b"\n", place, place + max_line + 1)
        if newline >= 0:
            place = newline + 1
            continue
        end = data.find(b"\n", place + max_line + 1) + 1
        yield place, end
        place = end


class LineReader:
    """The reading state of one file generation.

    `position` is the next byte to read. Everything before it was returned in a batch, or is the beginning of a line
    whose newline has not come yet (`carry`, at most `max_line` bytes), or belongs to an over-long line.

    After a batch with a gap there is always another one, perhaps empty, that begins at the gap's end: its `before`
    is what a marker at that offset is made of.
    """

    __slots__ = (
        "_before_skip", "_nuls", "_sample", "_skip_from", "before", "carry", "file", "max_line", "modified", "position"
    )  # fmt: skip

    def __init__(self, file: FileGeneration, max_line: int, offset: int, before: bytes = b"") -> None:
        self.file = file  # as the next batch is to say it
        self.max_line = max_line
        self.modified = 0  # Unix ns: when the file was last written, at the last look at it; 0 before that
        self.position = offset
        self.carry = b""
        self.before = before  # the at most MARKER_BYTES bytes before the carry, or before position where it is empty
        self._skip_from: int | None = None  # where the over-long line that is being skipped began
        self._sample = b""
        self._before_skip = b""
        self._nuls = 0  # at the end of what `feed_whole` was given: the next bytes say whether they are a hole

    @property
    def offset(self) -> int:
        """Everything before this offset has been returned in batches."""
        return self.position - len(self.carry) if self._skip_from is None else self._skip_from

    @property
    def pending(self) -> int:
        """Bytes of an unfinished line: what `rewind` gives back to be read again."""
        return self.position - self.offset

    @property
    def before_offset(self) -> bytes:
        """The at most MARKER_BYTES bytes before `offset`."""
        return self.before if self._skip_from is None else self._before_skip

    @property
    def recent(self) -> bytes:
        """The at most MARKER_BYTES bytes before `position`, to recognise the place in the file again."""
        carry = self.carry[-MARKER_BYTES:]  # it may be long, and this is asked for at every look and read
        return carry if len(carry) == MARKER_BYTES else (self.before + carry)[-MARKER_BYTES:]

    def feed(self, chunk: bytes, now_ns: int) -> list[LineBatch]:
        """Take the bytes at `position`; the batches of the lines that they complete, in order."""
        batches: list[LineBatch] = []
        self.position += len(chunk)
        if self._skip_from is not None:
            newline = chunk.find(b"\n") + 1
            if not newline:
                self._advance(chunk)
                return batches
            self._advance(chunk[:newline])
            chunk = chunk[newline:]
            batches.append(self._end_skip(self.position - len(chunk), now_ns))
        end = chunk.rfind(b"\n") + 1
        if end:
            # one copy of the chunk, not two
            data = b"".join((self.carry, memoryview(chunk)[:end])) if self.carry else chunk[:end]
            self.carry = chunk[end:]
            batches += self._cut(self.position - len(self.carry) - len(data), data, now_ns)
        else:
            self.carry += chunk
            if batches:
                batches.append(self._batch(self.position - len(self.carry), b"", now_ns))
        if len(self.carry) > self.max_line:
            self._begin_skip()
        return batches

    def feed_whole(self, chunk: bytes, now_ns: int) -> list[LineBatch]:
        """The same for bytes that nobody will fill, such as those of an archive: holes among them stay holes."""
        batches: list[LineBatch] = []
        chunk, self._nuls = bytes(self._nuls) + chunk, 0
        if chunk[:1] == b"\0" and not self.pending and self.before.endswith(b"\0"):  # the hole before it goes on
            rest = chunk.lstrip(b"\0")
            batches += self.skip_hole(self.position, self.position + len(chunk) - len(rest), now_ns)
            chunk = rest
        for piece, hole in split_holes(chunk):
            data = piece if hole else piece.rstrip(b"\0")
            self._nuls = len(piece) - len(data)
            batches += self.feed(data, now_ns)
            if hole:
                batches += self.skip_hole(self.position, self.position + hole, now_ns)
        return batches

    def skip_hole(self, start: int, end: int, now_ns: int) -> list[LineBatch]:
        """Pass over the NUL bytes [start, end), which begin at the position. A line that they cut off has ended."""
        batches = [] if self._skip_from is None else [self._end_skip(start, now_ns)]
        line = self.carry.rstrip(b"\0")
        start -= len(self.carry) - len(line)
        self.carry, self.position = b"", end
        gap = self._batch(start - len(line), line, now_ns)
        gap.gaps.append(Gap(start, end, "hole"))
        self._advance(bytes(min(MARKER_BYTES, end - start)))
        return [*batches, gap, self._batch(end, b"", now_ns)]

    def finish(self, now_ns: int, lost_until: int = 0) -> LineBatch:
        """The final batch: an unterminated last line is a line now, an over-long one a gap.

        `lost_until` is the size that the file was seen to have when bytes after `position` are gone for good: then
        the rest is a gap with the reason `truncated`.
        """
        if self._nuls:
            nuls, self._nuls = bytes(self._nuls), 0
            self.feed(nuls, now_ns)
        if self._skip_from is not None:
            batch = self._end_skip(max(self.position, lost_until), now_ns)
        elif lost_until > self.position:
            start = self.position - len(self.carry)
            gap = Gap(start, lost_until, "truncated", self.carry[:SAMPLE_BYTES])
            batch = LineBatch(self.file, start, b"", now_ns, self.before, [gap])
        else:
            batch = self._batch(self.position - len(self.carry), self.carry, now_ns)
        self.carry = b""
        batch.final = True
        return batch

    def rewind(self) -> None:
        """Forget what was read but not returned, so that it is read again from `offset`."""
        self._nuls = 0
        if self._skip_from is not None:
            self.position, self._skip_from, self.before = self._skip_from, None, self._before_skip
        else:
            self.position -= len(self.carry)
        self.carry = b""

    def _advance(self, data: bytes) -> None:
        """`data` lies before the offset now: keep its end as the bytes before."""
        self.before = data[-MARKER_BYTES:] if len(data) >= MARKER_BYTES else (self.before + data)[-MARKER_BYTES:]

    def _batch(self, offset: int, data: bytes, now_ns: int) -> LineBatch:
        batch = LineBatch(self.file, offset, data, now_ns, self.before, modified=self.modified)
        self._advance(data)
        return batch

    def _begin_skip(self) -> None:
        self._skip_from = self.position - len(self.carry)
        self._sample = self.carry[:SAMPLE_BYTES]
        self._before_skip = self.before
        self._advance(self.carry)
        self.carry = b""

    def _end_skip(self, end: int, now_ns: int) -> LineBatch:
        assert self._skip_from is not None
        gap = Gap(self._skip_from, end, "over_long", self._sample)
        self._skip_from, self._sample = None, b""
        return LineBatch(self.file, gap.start, b"", now_ns, self._before_skip, [gap])

    def _cut(self, offset: int, data: bytes, now_ns: int) -> list[LineBatch]:
        """Whole lines as batches, with every line over `max_line` as a gap between them."""
        batches: list[LineBatch] = []
        begin = 0
        for place, end in over_long(data, self.max_line):
            batch = self._batch(offset + begin, data[begin:place], now_ns)
            batch.gaps.append(Gap(offset + place, offset + end, "over_long", data[place : place + SAMPLE_BYTES]))
            self._advance(data[place:end])
            batches.append(batch)
            begin = end
        batches.append(self._batch(offset + begin, data[begin:], now_ns))
        return batches
