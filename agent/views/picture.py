"""A line with what was found in it: where each part stands, and how that is drawn below the line."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.event import severity_text
from agent.core.fields import ALIASES, find, own_paths, read_fields
from agent.core.text import columns, escape, paint
from agent.parse.patterns import Piece
from agent.views import iso, short_iso

if TYPE_CHECKING:
    from agent.core.fields import Profile

# The letter below each character of a part, and its colour. Any other name is an attribute.
MARKS = {
    "timestamp": ("t", "cyan"), "severity": ("s", "yellow"), "logger": ("l", "magenta"), "service": ("v", "magenta"),
    "trace_id": ("i", "blue"), "span_id": ("i", "blue"), "message": ("m", "green"),
}  # fmt: skip
_ATTRIBUTE, _NOT_TAKEN = ("a", "blue"), ("?", "red")
LEGEND = "t timestamp  s severity  l logger  v service  i trace or span  a attribute  m message  ? nothing"
_VALUE_CHARACTERS = 60  # of an attribute that is told


class PicturedLine(msgspec.Struct):
    """The first line of an event, and what was found where: [start, end) in characters of `text`."""

    line: int | None  # its number in the file, from 1 on
    text: str
    pieces: list[Piece]
    timestamp: int | None
    severity: int
    parse_error: str | None
    logger: str | None = None
    attributes: dict[str, Any] = {}

    def document(self) -> dict[str, Any]:
        """The document of one line in `parse --json`."""
        parts = [{"name": piece.name, "start": piece.start, "end": piece.end} for piece in self.pieces]
        return {
            "line": self.line,
            "text": self.text,
            "parts": parts,
            "timestamp": iso(self.timestamp),
            "severity": severity_text(self.severity),
            "logger": self.logger,
            "attributes": self.attributes,
            "parse_error": self.parse_error,
        }

    def drawn(self, width: int, *, color: bool) -> list[str]:
        """The line, what was found where below it, and what that means; harmless on a terminal.

        Args:
            width: columns of the terminal.
            color: paint the parts, too.
        """
        number = "" if self.line is None else str(self.line)
        shown, marks = self._marked(width - 8, color=color)
        rows = [f"{number:>5} | {shown}", f"      | {marks}".rstrip(), f"      = {escape(self._meaning())}"]
        if self.parse_error is not None:
            rows.append(f"      ! {escape(self.parse_error)}")
        return rows

    def _marked(self, width: int, *, color: bool) -> tuple[str, str]:
        shown, marks, used = [], [], 0
        taken = {at: piece for piece in reversed(self.pieces) for at in range(piece.start, piece.end)}
        taken |= {at: piece for piece in self.pieces if piece.name != "message" for at in range(piece.start, piece.end)}
        for at, character in enumerate(self.text):
            cell = escape(character)
            taking = columns(cell)
            if used + taking > width - 1:
                shown.append("…")
                break
            piece = taken.get(at)
            mark, shade = _NOT_TAKEN if piece is None else MARKS.get(piece.name, _ATTRIBUTE)
            plain = piece is None and not character.isalnum()
            shown.append(paint(cell, shade) if color and not plain else cell)
            marks.append(" " * taking if plain else mark * taking)
            used += taking
        return "".join(shown), "".join(marks)

    def _meaning(self) -> str:
        instant = "no instant" if self.timestamp is None else short_iso(self.timestamp)
        parts = [instant, severity_text(self.severity) or "no severity"]
        parts += [f"logger={self.logger}"] if self.logger else []
        for name, value in self.attributes.items():
            if value == self.logger and name == "logger":
                continue
            text = value if type(value) is str else _written(value)
            parts.append(f"{name}={text if len(text) <= _VALUE_CHARACTERS else text[:_VALUE_CHARACTERS] + '…'}")
        return "  ".join(parts)


def without_trace(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes but those of a stack trace."""
    return {name: value for name, value in attributes.items() if not name.startswith("exception.")}


def located(text: str, record: dict[str, Any], profile: Profile) -> list[Piece]:
    """Where the parts of a record stand in the line that it was made of, as far as they can be found there.

    Args:
        text: the line.
        record: of its event.
        profile: of its file.
    """
    found: list[Piece] = []
    for role in ("timestamp", "severity", "logger", "service", "trace_id", "span_id"):
        paths = (*own_paths(profile, role), *ALIASES[role])
        value = next((value for path in paths if (value := find(record, path)) is not None), None)
        _place(found, text, role, value)
    body = read_fields(record, profile).body.partition("\n")[0]
    at = text.rfind(body) if body else -1
    if at >= 0 and not any(piece.end > at and piece.start < at + len(body) for piece in found):
        found.append(Piece(at, at + len(body), "message"))
    else:
        _place(found, text, "message", body)
    for name, value in without_trace(read_fields(record, profile).attributes(record)).items():
        _place(found, text, name, value)
    return sorted(found)


def _place(found: list[Piece], text: str, name: str, value: Any) -> None:
    """Add the place of a value, the first that nothing else takes and that is no part of a longer word."""
    if isinstance(value, dict | list) or value is None or value == "":
        return
    for written in dict.fromkeys((value if type(value) is str else _written(value), _written(value).strip('"'))):
        at = text.find(written)
        while at >= 0:
            end = at + len(written)
            if not any(piece.end > at and piece.start < end for piece in found) and _is_whole(text, at, end):
                found.append(Piece(at, end, name))
                return
            at = text.find(written, at + 1)


def _written(value: Any) -> str:
    with contextlib.suppress(TypeError, msgspec.MsgspecError, UnicodeError, ValueError):
        return msgspec.json.encode(value).decode()
    return str(value)


def _is_whole(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    return not (before.isalnum() and text[start].isalnum()) and not (after.isalnum() and text[end - 1].isalnum())
