"""Errors of the query language: what cannot be read, and a caret under the place."""

from __future__ import annotations

from agent.errors import UsageError

_SHOWN = 60  # characters of the query on each side of the caret


class QueryError(UsageError):
    """A term cannot be read. `text` is what was given, `position` the index of the character at fault."""

    def __init__(self, code: str, text: str, position: int, message: str, hint: str) -> None:
        super().__init__(code, "read query", text, f"{message}, at character {position + 1}", hint=hint)
        self.text = text
        self.position = position

    def pointer(self) -> str:
        """Two lines: the text around the place, and a caret under it."""
        start = max(0, self.position - _SHOWN)
        shown = "".join(c if c.isprintable() else "?" for c in self.text[start : self.position + _SHOWN])
        return f"{shown}\n{' ' * (self.position - start)}^"
