"""What kind of lines a frame holds, found out once when it is archived: a search need not look again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.parse import wrappers

if TYPE_CHECKING:
    from agent.archive.scan import Lines
    from agent.parse.decode import ParseSettings

JSON_LINES = 1  # each line is a JSON object of its own, so that any of them can be parsed without the others
ESCAPED = 2  # escapes hide ASCII characters
INVALID = 4  # not UTF-8 all through: such bytes stand in an event's record as escapes
WRAPPED = 8  # lines of a container runtime, in which the application's own lines may be split
CHANGED = 16  # some records are not their lines byte for byte: a value was redacted, a key was there twice, …


def shape_of(data: bytes, lines: Lines, settings: ParseSettings) -> int:
    """The shape of a frame with these lines: a sum of the constants above."""
    found = JSON_LINES * lines.objects + ESCAPED * lines.escaped + INVALID * (not lines.valid)
    return found + WRAPPED * _is_wrapped(data, settings)


def _is_wrapped(data: bytes, settings: ParseSettings) -> bool:
    if settings.format in ("docker", "cri"):
        return True
    return settings.format == "auto" and wrappers.unwrap(data[: data.find(b"\n") + 1 or None], "auto") is not None
