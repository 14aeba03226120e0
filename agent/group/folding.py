"""A stack trace for people: runs of frames that are libraries' folded to a line each, what is the application's kept.

The readers of `group.frames`, of all languages, say of each frame whose it is. Nothing is folded where no frame is the
application's, or where it would save no line.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from agent.core.patterns import lazy
from agent.core.text import counted
from agent.group import frames, runtimes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.group.frames import Reader

_MOST_LINES = 5_000  # of a longer trace nothing is folded: nobody reads it here
_INDENT = lazy(r"[ \t|+-]*")
_PHP_FRAME = lazy(r"#\d+ ")
_PHP_LIBRARY = lazy(r"[\\/]vendor[\\/]|^#\d+ \[internal function\]")
# What a reader wants to have seen before it takes a frame for one.
_BEFORE: dict[Reader, str] = {runtimes.rust: "stack backtrace:\n", runtimes.dart: "#0 \n"}


class _Block(NamedTuple):
    """Lines that belong together: a frame with what stands below it, or a line that is none."""

    kind: str  # ours | library | "" for no frame
    lines: list[str]


class Stretch(NamedTuple):
    """Lines of a trace; `libraries` is how many frames of libraries they are, 0 where they are to be seen."""

    text: str
    libraries: int = 0


def folded(text: str) -> list[Stretch]:
    """A trace in stretches: what is the application's, and what may be folded.

    Args:
        text: of the trace, lines with newlines between.
    """
    lines = text.split("\n")
    reader = next((read for read in frames.READERS if read(text)), None) if len(lines) <= _MOST_LINES else None
    blocks = [] if reader is None else list(_blocks(lines, reader))
    if not any(block.kind == "ours" for block in blocks):
        return [Stretch(text)]
    found: list[Stretch] = []
    for kind, run in groupby(blocks, key=lambda block: block.kind):
        members = list(run)
        part = [line for block in members for line in block.lines]
        is_folded = kind == "library" and len(part) > 1
        if found and not is_folded and not found[-1].libraries:
            found[-1] = Stretch("\n".join([found[-1].text, *part]))
        else:
            found.append(Stretch("\n".join(part), len(members) if is_folded else 0))
    return found


def fold(text: str) -> tuple[str, int]:
    """A trace with its libraries' frames folded to a line for each run of them, and how many these are.

    Args:
        text: of the trace, lines with newlines between.
    """
    stretches = folded(text)
    lines = [
        f"{one.text[: len(one.text) - len(one.text.lstrip())]}... {counted(one.libraries, 'frame')} of libraries"
        if one.libraries
        else one.text
        for one in stretches
    ]
    return "\n".join(lines), sum(one.libraries for one in stretches)


def _blocks(lines: list[str], reader: Reader) -> Iterator[_Block]:
    at = 0
    while at < len(lines):
        kind, length = _frame(lines, at, reader)
        if reader is frames.python and kind:  # the source, and marks below it
            depth = _depth(lines[at])
            while at + length < len(lines) and lines[at + length].strip() and _depth(lines[at + length]) > depth:
                length += 1
        yield _Block(kind, lines[at : at + length])
        at += length


def _frame(lines: list[str], at: int, reader: Reader) -> tuple[str, int]:
    """Whose frame begins with a line, empty where none does, and of how many lines it is: two where the second has
    the place of what the first names.
    """
    line = lines[at]
    if reader is runtimes.php:  # a function's file stands in the line before, and the eye sees this line's
        return ("" if not _PHP_FRAME.match(line) else "library" if _PHP_LIBRARY.search(line) else "ours"), 1
    before = _BEFORE.get(reader, "")
    below = lines[at + 1] if at + 1 < len(lines) else ""
    if reader is frames.go or (reader is runtimes.rust and below.lstrip().startswith("at ")):
        kind = _kind(reader(f"{before}{line}\n{below}"))
        return kind, 2 if kind else 1
    return _kind(reader(f"{before}{line}")), 1


def _kind(links: list[runtimes.Link]) -> str:
    ours = next((ours for _, found in links for _, ours in found), None)
    return "" if ours is None else "ours" if ours else "library"


def _depth(line: str) -> int:
    found = _INDENT.match(line)
    return found.end() if found else 0
