"""Text out of logs that is about to be shown: nothing in it may drive a terminal or pretend to be another line."""

from __future__ import annotations

from agent.core.patterns import lazy

# C0, DEL, C1, marks that reorder text, and the separators that some programs take for line ends.
_UNSAFE = lazy("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
_COLORS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "dim": 2, "bold": 1}


def escape(text: str, keep: str = "") -> str:
    r"""The text with every unsafe character as a visible escape (`\x1b`, `\u202e`), except those in `keep`."""
    if text.isprintable():
        return text
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _visible(found[0]), text)


def escape_json(text: str) -> str:
    r"""JSON text with unsafe characters as JSON escapes: it stays valid and means the same."""
    if text.isprintable():
        return text
    return _UNSAFE.sub(lambda found: found[0] if found[0] in "\n\t\r" else f"\\u{ord(found[0]):04x}", text)


def _visible(character: str) -> str:
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")  # noqa: PLR2004


def paint(text: str, *colors: str) -> str:
    """The text in ANSI colours (names of `_COLORS`), reset after it."""
    return f"\x1b[{';'.join(str(_COLORS[color]) for color in colors)}m{text}\x1b[0m"
