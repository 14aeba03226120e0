"""A region of lines by the bulk paths of its kinds of lines, so that one kind does not stop another's.

A bulk path is made for one kind of line and takes many of them at once (`BulkPath`). What it refuses is halved until
little is left, which goes line by line. A kind of line is known by how it begins; which path takes it is a table:

- JSON objects are events whatever stands beside them. So all of a region are taken at once, also those between which
  other lines stand, and the rows are put into their places afterwards.
- Other lines may belong together, so that only those are taken at once that lie side by side.
"""

from __future__ import annotations

from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Protocol, cast

from agent.core.model import EventBatch
from agent.parse.streams import in_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.parse.assemble import Assembler
    from agent.parse.formats import LineRules

OBJECT, DOCKER, CRI, OTHER = "object", "docker", "cri", "other"  # kinds of lines
MIN_LINES = 4  # fewer go line by line, which notices duplicate keys: a batch costs 25 µs, a line 12
_SPLITS = 8  # halvings of what does not fit: one odd line of 800 costs 50 that go by themselves
_SMALLEST_BYTES = 2048  # what is smaller is not halved
_DOCKER_BEGINS = (b'{"log":"', b'{"log": "')
_CRI_STREAMS = (b" stdout ", b" stderr ")
_VALUE_FOLLOWS = frozenset((b":", b"[", b","))  # what ends a line, in an object over several
_LONGEST_TIME = 48  # bytes before the stream of a line of CRI


class RowTaker(Protocol):
    """Takes rows: an Assembler, or `Rows`."""

    out: EventBatch
    observed: int
    object_rows: int  # how many rows there are behind that of an object

    def begin_rows(self) -> None:
        """Rows follow that no line before them belongs to."""
        ...


class BulkPath(Protocol):
    """Takes many lines of one kind at once. Each of them is an event."""

    def add(self, data: bytes, offset: int, work: Assembler) -> bool:
        """Append exactly the rows that `Assembler.lines` would, or touch nothing.

        Args:
            data: lines, each with its newline.
            offset: of the first byte in the file.
            work: takes the rows. What is open in it before the first line ends with a `begin_rows`. For objects, and
                text between them, it may be a RowTaker alone.

        Returns:
            Whether all lines fit. `False` says nothing about fewer of them.
        """
        ...


class Rows:
    """Takes rows that are put into their places later."""

    def __init__(self, observed: int) -> None:
        self.observed = observed
        self.out = EventBatch()
        self.object_rows = 0

    def begin_rows(self) -> None:
        """Nothing is open here."""


def append_rows(rows: EventBatch, out: EventBatch) -> None:
    """Move rows, which have no gaps, behind those of another batch."""
    begin = len(out.records)
    for error in rows.errors:
        error.index += begin
    out.timestamps += rows.timestamps
    out.severities += rows.severities
    out.loggers += rows.loggers
    out.offsets += rows.offsets
    out.records += rows.records
    out.errors += rows.errors
    out.raws.update(zip(map(begin.__add__, rows.raws), rows.raws.values(), strict=True))
    out.parse_errors.update((begin + row, why) for row, why in rows.parse_errors.items())
    out.completed.update((begin + row, text) for row, text in rows.completed.items())


class Runs:
    """The bulk paths for the lines of one source.

    Args:
        rules: what its lines can be.
        paths: by the kind of lines; kinds without one go line by line.
    """

    def __init__(self, rules: LineRules, paths: Mapping[str, BulkPath]) -> None:
        self._rules = rules
        self._paths = dict(paths)
        self._mixed = False  # the last region had several kinds: so will the next one

    def take(self, data: bytes, offset: int, work: Assembler) -> None:
        """Let `work` have the rows of lines, each with its newline, the first of which begins at `offset`."""
        path = None if self._mixed else self._paths.get(self._kind(data[: data.find(b"\n")]))
        if path is not None and path.add(data, offset, work):
            return
        lines = data.split(b"\n")
        lines.pop()
        kinds = self._kinds(lines, data)
        found = set(kinds)
        self._mixed = len(found) > 1
        if not self._mixed:
            self._halve(kinds[0], data, offset, work, [_SPLITS])
        elif found == {OBJECT, OTHER} and OBJECT in self._paths:
            self._objects_apart(lines, kinds, offset, work)
        else:
            for kind, run in groupby(range(len(lines)), kinds.__getitem__):
                indices = list(run)
                self._side_by_side(lines, indices[0], indices[-1] + 1, kind, offset, work)
                offset += sum(map(len, lines[indices[0] : indices[-1] + 1])) + len(indices)

    # --- kinds

    def _kinds(self, lines: Sequence[bytes], data: bytes) -> list[str]:
        if self._rules.may_wrap(data):
            return list(map(self._kind, lines))
        return [OBJECT if line[:1] == b"{" else OTHER for line in lines]

    def _kind(self, line: bytes) -> str:
        first = line[:1]
        if first == b"{":
            return DOCKER if line.startswith(_DOCKER_BEGINS) and first in self._rules.wrappers else OBJECT
        if first in self._rules.wrappers and any(stream in line[:_LONGEST_TIME] for stream in _CRI_STREAMS):
            return CRI
        return OTHER

    # --- lines that lie side by side

    def _halve(self, kind: str, data: bytes, offset: int, work: Assembler, splits: list[int]) -> None:
        path = self._paths.get(kind)
        few = len(data) < _SMALLEST_BYTES and data.count(b"\n", 0, _SMALLEST_BYTES) < MIN_LINES
        if path is None or few or work.several.lines:  # whose object may go on with lines that are objects
            work.lines(data, offset)
            return
        if path.add(data, offset, work):
            return
        half = data.find(b"\n", len(data) // 2) + 1
        if splits[0] <= 0 or half in (0, len(data)) or len(data) < _SMALLEST_BYTES:
            work.lines(data, offset)
            return
        splits[0] -= 1
        self._halve(kind, data[:half], offset, work, splits)
        self._halve(kind, data[half:], offset + half, work, splits)

    def _side_by_side(  # noqa: PLR0917 - of a region
        self, lines: Sequence[bytes], begin: int, end: int, kind: str, offset: int, work: Assembler
    ) -> None:
        """Lines of one kind, from `begin` to `end`; the first one's offset is given."""
        following = lines[end] if end < len(lines) else b""
        if end - begin == 1:
            work.lines(lines[begin] + b"\n", offset, following)
        elif kind in self._paths and end - begin >= MIN_LINES:
            self._halve(kind, b"\n".join(lines[begin:end]) + b"\n", offset, work, [_SPLITS])
        else:
            work.lines(b"\n".join(lines[begin:end]) + b"\n", offset, following)

    # --- objects, and what stands between them

    def _objects_apart(self, lines: Sequence[bytes], kinds: Sequence[str], offset: int, work: Assembler) -> None:
        """All objects at once, then what stands between them: each of those ends what is open before it."""
        begins = list(accumulate([len(line) + 1 for line in lines], initial=offset))
        rows, count = Rows(work.observed), len(lines)
        objects = [index for index in _events(lines) if kinds[index] is OBJECT]
        taken = set(objects).difference(self._gathered(OBJECT, objects, lines, begins, rows, [_SPLITS]))
        if not taken:
            work.lines(b"\n".join(lines) + b"\n", offset)
            return
        if OTHER in self._paths:  # a line between two objects is an event by itself
            alone = [at for at in range(1, count - 1) if kinds[at] is OTHER and {at - 1, at + 1} <= taken]
            taken |= set(alone).difference(self._gathered(OTHER, alone, lines, begins, rows, [_SPLITS]))
        first = min(taken)
        if first:  # it may go on with what is open
            self._side_by_side(lines, 0, first, OTHER if OBJECT not in kinds[:first] else "", offset, work)
        work.begin_rows()
        row = len(work.out.records)
        append_rows(rows.out, work.out)
        end = first
        for begin in range(first, count):
            if begin < end or begin in taken:
                continue
            end = begin + 1
            while end < count and end not in taken:
                end += 1
            if end == count:  # what follows it is not known yet
                in_order(work.out, row)
                row = len(work.out.records)
            _behind(kinds[begin - 1], work)
            kind = OTHER if OBJECT not in kinds[begin:end] else ""
            self._side_by_side(lines, begin, end, kind, begins[begin], work)
            if end < count:
                work.begin_rows()
        if end < count:
            _behind(kinds[-1], work)
        in_order(work.out, row)

    def _gathered(  # noqa: PLR0917 - of a region
        self,
        kind: str,
        indices: list[int],
        lines: Sequence[bytes],
        begins: Sequence[int],
        rows: Rows,
        splits: list[int],
    ) -> list[int]:
        """Take these lines as if nothing stood between them; those that have to go by themselves."""
        if len(indices) < MIN_LINES:
            return indices
        row = len(rows.out.offsets)
        data = b"\n".join([lines[index] for index in indices]) + b"\n"
        if self._paths[kind].add(data, 0, cast("Assembler", rows)):
            rows.out.offsets[row:] = [begins[index] for index in indices]
            return []
        if splits[0] <= 0:
            return indices
        splits[0] -= 1
        half = len(indices) // 2
        left = self._gathered(kind, indices[:half], lines, begins, rows, splits)
        return left + self._gathered(kind, indices[half:], lines, begins, rows, splits)


def _behind(kind: str, work: Assembler) -> None:
    """What follows is behind a row of this kind."""
    work.object_rows = len(work.out.records) if kind is OBJECT else -1


def _events(lines: Sequence[bytes]) -> list[int]:
    """The lines that are events if they are objects: no value of one over several lines."""
    found, before = [], b""
    for index, line in enumerate(lines):
        if before not in _VALUE_FOLLOWS:
            found.append(index)
        bare = line.rstrip()
        if bare:
            before = bare[-1:]
    return found
