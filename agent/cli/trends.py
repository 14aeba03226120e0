"""Numbers over time as one line of text, and times as a person says them."""

from __future__ import annotations

import sys
import time
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII_BLOCKS = " .:-=+*#@"
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def can_show(text: str, stream: IO[Any] | None = None) -> bool:
    """Whether a stream's encoding has these characters (default: standard output)."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "ascii"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def sparkline(counts: Sequence[int]) -> str:
    """One mark per count, as high as its share of the largest; a count above 0 is never a blank."""
    marks = BLOCKS if can_show(BLOCKS) else ASCII_BLOCKS
    top = max(counts, default=0) or 1
    steps = len(marks) - 1
    return "".join(marks[max(0, -(-count * steps // top))] for count in counts)


def times_sign() -> str:
    """What stands after a number of events."""
    return "×" if can_show("×") else "x"


def length(seconds: int) -> str:
    """A duration in its largest unit, rounded down: `3d`, `2h`, `5m`, `40s`."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    return f"{max(0, seconds) // size}{unit}"


def ago(instant: int) -> str:
    """How long ago an instant (Unix ns) was: `2h ago`; what lies ahead is now."""
    return f"{length((time.time_ns() - instant) // 10**9)} ago"
