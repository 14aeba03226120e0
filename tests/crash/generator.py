"""Seeded writers and rotations on a scratch directory, and the manifest of everything that was ever written.

Every line is JSON with its stream, its number and the hash of its payload. The manifest is kept in the memory of the
process that writes: no fault that is injected into the agent or its disk reaches it.

Three operations can lose lines by themselves, whoever reads; all are measured and noted per line in
`Manifest.may_be_lost`, and nothing else is ever excused:

- copytruncate: lines that were written after the copy and before the truncation;
- deletion (unlink, recreate): lines of the deleted file that are not stored, if no agent has it open, or once the
  agent that has it open ends. An agent that lives on must store them;
- compression of a file of which not a single line was read: nothing tells such an archive from a foreign one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import shutil
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
# what careless splitting takes for the end of a line: NEL, LINE SEPARATOR, PARAGRAPH SEPARATOR
_ODD = ("", "", "", "\u2028", "\x85", "\u2029", "\u00e9\u4e16")

Line = tuple[str, int]  # stream and number

# causes in Manifest.may_be_lost
WINDOW = "written between copy and truncation"
DELETED = "deleted unread"
PACKED = "compressed before any line was read"


@dataclass(frozen=True, slots=True)
class Op:
    """One step of a program: what the source does, or (`start`, `kill`, `stop`, `once`) the agent."""

    kind: str
    stream: str = ""
    number: int = 0  # of lines; milliseconds for `pause` and `kill`

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(str(part) for part in (self.stream, self.number) if part)})"


@dataclass(slots=True)
class Manifest:
    """What was written, without the newlines, and what a source operation itself may have lost."""

    lines: dict[Line, bytes] = field(default_factory=dict)
    may_be_lost: dict[Line, str] = field(default_factory=dict)  # with the cause

    def excuse(self, lines: Iterable[Line], cause: str) -> None:
        """Note that lines may be lost by what the source itself did."""
        self.may_be_lost.update(dict.fromkeys(lines, cause))

    @property
    def required(self) -> set[Line]:
        """The lines that must be stored."""
        return self.lines.keys() - self.may_be_lost.keys()


@dataclass(slots=True)
class _Source:
    """A writer and its files: the one it writes, and those that were rotated, newest first."""

    path: Path
    descriptor: int = -1
    next_number: int = 0
    rest: bytes = b""  # of a line whose beginning has been written
    rotated: list[Path] = field(default_factory=list)
    written: dict[int, list[Line]] = field(default_factory=dict)  # inode -> lines of its present content


class World:
    """Executes operations on `*.log` files in one directory.

    Args:
        directory: exists.
        seed: of the payloads.
        stored: the lines that are in the store now; asked after a deletion.
        held: whether a running agent has the file with this inode open.
        header: a line of this many bytes, the same for all, begins every file (0: none). Hard for an identity that
            looks at the head alone.
    """

    def __init__(
        self,
        directory: Path,
        seed: int,
        *,
        stored: Callable[[], set[Line]] = set,
        held: Callable[[int], bool] = lambda _: False,
        header: int = 0,
    ) -> None:
        self.directory = directory
        self.manifest = Manifest()
        self.same_inode = 0  # recreations that got the inode of the deleted file
        self.rotations = 0
        self._seed = seed
        self._stored = stored
        self._held = held
        self._deleted: set[Line] = set()  # of files that are deleted but still open in the agent
        self._packed: list[set[Line]] = []  # the same of files that were compressed, each for itself
        self._header = header
        self._sources: dict[str, _Source] = {}

    def do(self, op: Op) -> None:
        """Execute one operation; one that has nothing to work on does nothing."""
        getattr(self, f"_{op.kind}")(op)

    def readable(self) -> int:
        """How many lines must be stored by an agent that has caught up: those with a newline."""
        return len(self.manifest.required) - sum(bool(source.rest) for source in self._sources.values())

    def forget_rotated(self, stream: str, kept: int) -> None:
        """Delete the oldest rotated files of a stream, all but `kept`."""
        while len(self._source(stream).rotated) > kept:
            self.do(Op("unlink", stream))

    def agent_ended(self) -> None:
        """Nobody has the deleted files open any more."""
        if self._deleted or self._packed:
            stored = self._stored()
            self.manifest.excuse(self._deleted - stored, DELETED)
            for lines in self._packed:
                if not stored & lines:
                    self.manifest.excuse(lines, PACKED)
            self._deleted.clear()
            self._packed.clear()

    def close(self) -> None:
        """Close the files; what is unfinished stays so."""
        for source in self._sources.values():
            if source.descriptor >= 0:
                os.close(source.descriptor)
                source.descriptor = -1

    def complete(self) -> None:
        """Write the rest of every unfinished line."""
        for name, source in self._sources.items():
            self._complete(name, source)

    def line(self, stream: str, number: int) -> bytes:
        """The bytes of a line without its newline: the same for the same seed, stream and number."""
        choice = random.Random(f"{self._seed}/{stream}/{number}")
        payload = choice.choice(_ODD) + choice.randbytes(choice.choice((4, 20, 20, 60, 400))).hex()
        digest = hashlib.sha256(payload.encode()).hexdigest()[:16]
        when = (_EPOCH + timedelta(milliseconds=number)).isoformat(timespec="milliseconds")
        level = "error" if choice.random() < 0.05 else "info"
        row = {"timestamp": when, "level": level, "stream": stream, "seq": number, "sha": digest, "message": payload}
        return json.dumps(row, ensure_ascii=False).encode()

    # ------------------------------------------------------------ writing

    def _write(self, op: Op) -> None:
        source = self._source(op.stream)
        self._complete(op.stream, source)
        self._put(source, b"".join(self._next(op.stream, source) + b"\n" for _ in range(op.number)))

    def _fragment(self, op: Op) -> None:
        """The beginning of a line; its rest comes with the next operation on this stream."""
        source = self._source(op.stream)
        self._complete(op.stream, source)
        line = self._next(op.stream, source) + b"\n"
        cut = 1 + op.number % (len(line) - 1)
        source.rest = line[cut:]
        self._put(source, line[:cut])

    def _pause(self, op: Op) -> None:
        time.sleep(op.number / 1000)

    def _source(self, stream: str) -> _Source:
        source = self._sources.get(stream)
        if source is None:
            source = self._sources[stream] = _Source(self.directory / f"{stream}.log")
            self._open(source)
        return source

    def _open(self, source: _Source) -> None:
        source.descriptor = os.open(source.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        source.written[os.fstat(source.descriptor).st_ino] = []
        self._put_header(source)

    def _put_header(self, source: _Source) -> None:
        if self._header:
            name = source.path.stem
            number = source.next_number
            source.next_number += 1
            row = {"banner": "=" * self._header, "stream": name, "seq": number, "sha": ""}
            line = json.dumps(row).encode()
            self.manifest.lines[name, number] = line
            self._lines_of(source).append((name, number))
            self._put(source, line + b"\n")

    def _next(self, stream: str, source: _Source) -> bytes:
        number = source.next_number
        source.next_number += 1
        line = self.manifest.lines[stream, number] = self.line(stream, number)
        self._lines_of(source).append((stream, number))
        return line

    def _lines_of(self, source: _Source) -> list[Line]:
        return source.written[os.fstat(source.descriptor).st_ino]

    def _complete(self, stream: str, source: _Source) -> None:
        rest, source.rest = source.rest, b""
        self._put(source, rest)

    @staticmethod
    def _put(source: _Source, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(source.descriptor, view) :]

    # ------------------------------------------------------------ rotating

    def _rename(self, op: Op) -> None:
        """app.log → app.log.1 → app.log.2 …; the writer keeps its descriptor for `number` more lines."""
        self._rotate(op, self._free_first_place)

    def _dateext(self, op: Op) -> None:
        """app.log → app.log-20261122083015."""
        self._rotate(op, self._dated)

    def _rotate(self, op: Op, name_for: Callable[[_Source], Path]) -> None:
        source = self._source(op.stream)
        target = name_for(source)
        source.path.rename(target)
        source.rotated.insert(0, target)
        self._complete(op.stream, source)  # the writer has not noticed yet
        self._put(source, b"".join(self._next(op.stream, source) + b"\n" for _ in range(op.number)))
        os.close(source.descriptor)
        self._open(source)
        self.rotations += 1

    def _copytruncate(self, op: Op) -> None:
        """Copy, then truncate, with `number` lines written in between: those may be lost."""
        source = self._source(op.stream)
        self._complete(op.stream, source)  # else the source itself would tear the line in two
        target = self._free_first_place(source)
        shutil.copy(source.path, target)
        copied = list(self._lines_of(source))
        self._put(source, b"".join(self._next(op.stream, source) + b"\n" for _ in range(op.number)))
        self.manifest.excuse(set(self._lines_of(source)) - set(copied), WINDOW)
        os.ftruncate(source.descriptor, 0)
        source.written[target.stat().st_ino] = copied
        self._lines_of(source).clear()
        source.rotated.insert(0, target)
        self._put_header(source)
        self.rotations += 1

    def _gzip(self, op: Op) -> None:
        """Compress the newest rotated file that is not compressed, as logrotate does."""
        source = self._source(op.stream)
        for place, path in enumerate(source.rotated):
            if path.suffix != ".gz":
                target = path.with_name(f"{path.name}.gz")
                with path.open("rb") as plain, gzip.open(target, "wb", compresslevel=1) as packed:
                    shutil.copyfileobj(plain, packed)
                inode = path.stat().st_ino
                lines = source.written[target.stat().st_ino] = source.written.pop(inode)
                held = self._held(inode)
                path.unlink()
                if held:
                    self._packed.append(set(lines))
                elif not self._stored().intersection(lines):
                    self.manifest.excuse(lines, PACKED)
                source.rotated[place] = target
                return

    def _unlink(self, op: Op) -> None:
        """Delete the oldest rotated file."""
        source = self._source(op.stream)
        if source.rotated:
            self._delete(source, source.rotated.pop())

    def _recreate(self, op: Op) -> None:
        """Delete the file and create it anew at once: file systems like to give it the same inode again."""
        source = self._source(op.stream)
        self._complete(op.stream, source)
        inode = os.fstat(source.descriptor).st_ino
        self._delete(source, source.path)
        os.close(source.descriptor)
        self._open(source)
        self.same_inode += os.fstat(source.descriptor).st_ino == inode

    def _delete(self, source: _Source, path: Path) -> None:
        inode = path.stat().st_ino
        lines = set(source.written.pop(inode, ()))
        held = self._held(inode)
        path.unlink()
        if held:
            self._deleted |= lines
        elif lines:  # asked after the deletion: what is stored by now was read in time, whatever else happens
            self.manifest.excuse(lines - self._stored(), DELETED)

    def _free_first_place(self, source: _Source) -> Path:
        """Move app.log.1 to .2 and so on, the oldest first."""
        numbered = [path for path in source.rotated if "-" not in path.name]
        for place in range(len(numbered), 0, -1):
            path = numbered[place - 1]
            packed = ".gz" if path.suffix == ".gz" else ""
            target = source.path.with_name(f"{source.path.name}.{place + 1}{packed}")
            path.rename(target)
            source.rotated[source.rotated.index(path)] = target
        return source.path.with_name(f"{source.path.name}.1")

    def _dated(self, source: _Source) -> Path:
        stamp = (_EPOCH + timedelta(seconds=self.rotations)).strftime("%Y%m%d%H%M%S")
        return source.path.with_name(f"{source.path.name}-{stamp}")
